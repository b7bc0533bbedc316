package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gpupulse/sdk/telemetry"
)

// Hosts returns the hosts of a page, sorted by name, and how many there are. A GPU
// belongs to the host that its newest reading names.
func (s *Store) Hosts(ctx context.Context, page telemetry.Page) ([]telemetry.Host, int, error) {
	var hosts []telemetry.Host
	for _, g := range s.cat.sorted() {
		if n := len(hosts); n == 0 || hosts[n-1].Name != g.labels.host {
			hosts = append(hosts, telemetry.Host{Name: g.labels.host, LastSeen: g.newest})
		}
		h := &hosts[len(hosts)-1]
		h.GPUs++
		h.LastSeen = max(h.LastSeen, g.newest)
	}
	return cut(hosts, page), len(hosts), ctx.Err()
}

// GPUs returns the GPUs of a page that fit q, sorted by host, index and id, and how
// many fit.
func (s *Store) GPUs(ctx context.Context, q telemetry.GPUQuery) ([]telemetry.GPU, int, error) {
	var gpus []telemetry.GPU
	total := 0
	for _, g := range s.cat.sorted() {
		if q.ID != "" && g.uuid != q.ID || q.Host != "" && g.labels.host != q.Host ||
			q.Model != "" && g.labels.labels[telemetry.LabelModel] != q.Model {
			continue
		}
		if total++; total > q.Offset && len(gpus) < q.Limit {
			gpus = append(gpus, telemetry.GPU{ID: g.uuid, Host: g.labels.host, Labels: g.labels.labels, LastSeen: g.newest})
		}
	}
	return gpus, total, ctx.Err()
}

// Latest returns the newest sample of every series of a page that fits q, sorted as
// GPUs are and then by metric, and how many fit.
func (s *Store) Latest(ctx context.Context, q telemetry.LatestQuery) ([]telemetry.Value, int, error) {
	want := newMetricFilter(q.Metrics)
	var (
		values []telemetry.Value
		sorted []latest
		total  int
	)
	for _, g := range s.cat.sorted() {
		if q.GPU != "" && g.uuid != q.GPU || q.Host != "" && g.labels.host != q.Host {
			continue
		}
		sorted = append(sorted[:0], g.latest...)
		slices.SortFunc(sorted, func(a, b latest) int { return strings.Compare(a.metric.Name, b.metric.Name) })
		for _, l := range sorted {
			if !want.fits(l.metric) {
				continue
			}
			if total++; total > q.Offset && len(values) < q.Limit {
				values = append(values, telemetry.Value{
					Host: g.labels.host, GPU: g.uuid, Time: l.time,
					Sample: telemetry.Sample{Metric: l.metric, Sent: l.sent},
				})
			}
		}
	}
	return values, total, ctx.Err()
}

// Metrics returns the descriptors of all metrics ever stored, sorted by canonical and
// then by source name.
func (s *Store) Metrics(ctx context.Context) ([]*telemetry.Descriptor, error) {
	s.cat.mu.RLock()
	defer s.cat.mu.RUnlock()
	all := make([]*telemetry.Descriptor, 0, len(s.cat.descriptors))
	for _, d := range s.cat.descriptors {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *telemetry.Descriptor) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Source, b.Source))
	})
	return all, ctx.Err()
}

// cut returns the items of a page.
func cut[T any](items []T, page telemetry.Page) []T {
	from := min(max(page.Offset, 0), len(items))
	return items[from : from+min(max(page.Limit, 0), len(items)-from)]
}

// metricFilter is a set of names, canonical or of a source; nil fits every metric.
type metricFilter map[string]bool

func newMetricFilter(names []string) metricFilter {
	if len(names) == 0 {
		return nil
	}
	f := make(metricFilter, len(names))
	for _, name := range names {
		f[name] = true
	}
	return f
}

func (f metricFilter) fits(d *telemetry.Descriptor) bool {
	return f == nil || f[d.Name] || f[d.Source]
}

// Readings returns the readings of a page that fit q, and how many fit. A GPU has one
// reading a time, even if its samples came in several messages. It reads the keys of
// the span and the values of the page.
func (s *Store) Readings(ctx context.Context, q telemetry.ReadingQuery) ([]telemetry.Reading, int, error) {
	g, err := s.cat.find(q.GPU)
	if err != nil {
		return nil, 0, err
	}
	var (
		readings []telemetry.Reading
		total    int
		now      merger
	)
	sc := s.newScan(q.Metrics)
	defer sc.close()
	flush := func() error {
		if len(now.rows) == 0 {
			return nil
		}
		r, err := now.reading(sc.labels)
		if err != nil {
			return err
		}
		r.GPU = q.GPU
		readings = append(readings, r)
		now.reset(0)
		return nil
	}
	err = sc.each(ctx, g.id, q.Span, !q.OldestFirst, func(f found) error {
		if total == 0 || f.time != now.time {
			if err := flush(); err != nil {
				return err
			}
			total++
			now.reset(f.time)
		}
		if total <= q.Offset || len(readings) >= q.Limit {
			return nil
		}
		return now.add(f)
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read GPU %q: %w", q.GPU, err)
	}
	return readings, total, nil
}
