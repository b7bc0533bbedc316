package store

import (
	"context"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"gpupulse/sdk/telemetry"
)

// scan walks the rows of a GPU in one Badger snapshot.
type scan struct {
	store *Store
	txn   *badger.Txn
	want  metricFilter
	seen  map[uint32]*selection
}

// selection is the part of a schema that a question wants.
type selection struct {
	*schema
	columns []int // positions in the schema
}

// found is one row: its key taken apart, its value not yet read.
type found struct {
	time int64
	sel  *selection
	item *badger.Item // valid until the callback returns
}

func (s *Store) newScan(metrics []string) *scan {
	return &scan{store: s, txn: s.db.NewTransaction(false), want: newMetricFilter(metrics), seen: make(map[uint32]*selection)}
}

func (sc *scan) close() { sc.txn.Discard() }

// ctxEvery is how many keys are read between two looks at the context.
const ctxEvery = 1024

// each calls fn for the rows of a GPU in the span that have a wanted column, ordered by
// time and schema, or the other way round. It seeks to the span and reads keys only.
func (sc *scan) each(ctx context.Context, gpu uint32, span telemetry.Span, reverse bool, fn func(found) error) error {
	if span.Start > span.End {
		return ctx.Err()
	}
	first, last := rowKey(nil, gpu, span.Start, 0), rowKey(nil, gpu, span.End, ^uint32(0))
	if reverse {
		first = last
	}
	it := sc.txn.NewIterator(badger.IteratorOptions{Prefix: idKey(nil, prefixRow, gpu), Reverse: reverse})
	defer it.Close()
	n := 0
	for it.Seek(first); it.Valid(); it.Next() {
		if n++; n%ctxEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		_, time, id := parseRowKey(it.Item().Key())
		if time < span.Start || time > span.End {
			break
		}
		sel, err := sc.selection(id)
		if err != nil {
			return err
		}
		if sc.want != nil && len(sel.columns) == 0 {
			continue
		}
		if err := fn(found{time: time, sel: sel, item: it.Item()}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (sc *scan) selection(id uint32) (*selection, error) {
	if sel, ok := sc.seen[id]; ok {
		return sel, nil
	}
	s, err := sc.store.cat.schema(id)
	if err != nil {
		return nil, err
	}
	sel := &selection{schema: s}
	for i, d := range s.metrics {
		if sc.want.fits(d) {
			sel.columns = append(sel.columns, i)
		}
	}
	sc.seen[id] = sel
	return sel, nil
}

func (sc *scan) labels(id uint32) (*labelSet, error) { return sc.store.labels.get(sc.txn, id) }

// merger makes one reading of all the rows of one GPU and time.
type merger struct {
	time    int64
	rows    []mergeRow
	samples []mergeSample
	values  []float64 // room for decoding
}

type mergeRow struct {
	stamp  stamp
	labels uint32
}

type mergeSample struct {
	telemetry.Sample
	stamp      stamp
	descriptor uint32
}

func (m *merger) reset(time int64) {
	m.time, m.rows, m.samples = time, m.rows[:0], m.samples[:0]
}

// add reads a row's wanted columns. Of several samples of one canonical metric the one
// with the highest stamp stays.
func (m *merger) add(f found) error {
	return f.item.Value(func(value []byte) error {
		r, err := decodeRow(value)
		if err != nil {
			return err
		}
		if m.values, err = r.values(m.values[:0], len(f.sel.metrics)); err != nil {
			return err
		}
		simple := len(m.samples) == 0 && f.sel.distinct
		m.rows = append(m.rows, mergeRow{stamp: r.stamp, labels: r.labels})
		for _, i := range f.sel.columns {
			x := mergeSample{
				Sample: telemetry.Sample{Metric: f.sel.metrics[i], Sent: m.values[i]},
				stamp:  r.stamp, descriptor: f.sel.descriptors[i],
			}
			if simple {
				m.samples = append(m.samples, x)
			} else {
				m.merge(x)
			}
		}
		return nil
	})
}

func (m *merger) merge(x mergeSample) {
	i := slices.IndexFunc(m.samples, func(o mergeSample) bool { return o.Metric.Name == x.Metric.Name })
	switch {
	case i < 0:
		m.samples = append(m.samples, x)
	case !supersedes(m.samples[i].stamp, m.samples[i].descriptor, x.stamp, x.descriptor):
		m.samples[i] = x
	}
}

// reading returns what was merged; host and labels are those of the row with the
// highest stamp.
func (m *merger) reading(labels func(uint32) (*labelSet, error)) (telemetry.Reading, error) {
	newest := m.rows[0]
	for _, r := range m.rows[1:] {
		if newest.stamp.before(r.stamp) {
			newest = r
		}
	}
	l, err := labels(newest.labels)
	if err != nil {
		return telemetry.Reading{}, err
	}
	r := telemetry.Reading{Time: m.time, Host: l.host, Labels: l.labels, Samples: make([]telemetry.Sample, len(m.samples))}
	for i, x := range m.samples {
		r.Samples[i] = x.Sample
	}
	return r, nil
}
