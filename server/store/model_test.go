package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

// model is the store told in maps: for each GPU, time and metric the sample with the
// highest sequence.
type model struct {
	samples map[string]map[int64]map[string]modelSample
	heard   map[string]map[int64]modelSample // of the reading as a whole
	last    uint64
}

type modelSample struct {
	sequence uint64
	labels   string
	sent     telemetry.Sample
}

func (m *model) put(sequence uint64, r telemetry.Reading) {
	if m.samples[r.GPU] == nil {
		m.samples[r.GPU] = map[int64]map[string]modelSample{}
		m.heard[r.GPU] = map[int64]modelSample{}
	}
	m.last = max(m.last, sequence)
	for _, x := range r.Samples {
		at := r.Time + int64(x.Offset)
		x.Offset = 0
		w := modelSample{sequence: sequence, labels: r.Labels["v"], sent: x}
		if m.heard[r.GPU][at].sequence <= sequence {
			m.heard[r.GPU][at] = w
		}
		if m.samples[r.GPU][at] == nil {
			m.samples[r.GPU][at] = map[string]modelSample{}
		}
		if m.samples[r.GPU][at][x.Metric.Name].sequence <= sequence {
			m.samples[r.GPU][at][x.Metric.Name] = w
		}
	}
}

func newModel() *model {
	return &model{samples: map[string]map[int64]map[string]modelSample{}, heard: map[string]map[int64]modelSample{}}
}

func drawReading(t *rapid.T, descriptors []*telemetry.Descriptor) telemetry.Reading {
	r := telemetry.Reading{
		GPU: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "gpu"), Host: "h",
		Time:   rapid.Int64Range(-3, 20).Draw(t, "time"),
		Labels: map[string]string{"v": fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "label"))},
	}
	seen := map[string]bool{}
	for _, d := range rapid.SliceOfN(rapid.SampledFrom(descriptors), 1, 5).Draw(t, "metrics") {
		x := telemetry.Sample{Metric: d, Sent: rapid.Float64().Draw(t, "sent")}
		if rapid.IntRange(0, 4).Draw(t, "moved") == 0 {
			x.Offset = 1
		}
		// Two samples of one metric and time in one reading have a rule of their own.
		if id := fmt.Sprint(d.Name, x.Offset); !seen[id] {
			seen[id] = true
			r.Samples = append(r.Samples, x)
		}
	}
	return r
}

// Whatever is written in whatever order, and however often, the store answers as the
// model does.
func TestStoreIsAsItsModel(t *testing.T) {
	descriptors := []*telemetry.Descriptor{util, temp, tempK, custom(1), custom(2)}
	rapid.Check(t, func(rt *rapid.T) {
		s, m := &opened{t: t, dir: t.TempDir()}, newModel()
		var err error
		s.Store, err = store.Open(s.dir, store.Options{})
		require.NoError(rt, err)
		defer func() { require.NoError(rt, s.Close()) }()
		type write struct {
			sequence uint64
			reading  telemetry.Reading
		}
		var written []write
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				n := rapid.IntRange(1, 6).Draw(rt, "size")
				var sequences []uint64
				var batch []telemetry.Reading
				for range n {
					w := write{uint64(len(written) + 1), drawReading(rt, descriptors)}
					if len(written) > 0 && rapid.Bool().Draw(rt, "again") {
						w = rapid.SampledFrom(written).Draw(rt, "which")
					}
					written = append(written, w)
					sequences, batch = append(sequences, w.sequence), append(batch, w.reading)
					m.put(w.sequence, w.reading)
				}
				require.NoError(rt, s.Append(t.Context(), "e", sequences, batch, m.last))
			},
			"restart": func(rt *rapid.T) {
				if rapid.IntRange(0, 7).Draw(rt, "restart") == 7 { // it takes far longer than the rest
					s.restart()
				}
			},
			"": func(rt *rapid.T) { compare(rt, t, s, m) },
		})
		require.NoError(rt, s.Check())
	})
}

func compare(rt *rapid.T, t *testing.T, s *opened, m *model) {
	_, checkpoint := s.Checkpoint()
	require.Equal(rt, m.last, checkpoint)
	for gpu, byTime := range m.samples {
		span := telemetry.Span{Start: rapid.Int64Range(-4, 21).Draw(rt, "start"), End: rapid.Int64Range(-4, 21).Draw(rt, "end")}
		name := rapid.SampledFrom([]string{"", "test.temp", "TEMP", "test.util", "custom.1"}).Draw(rt, "metric")
		q := telemetry.ReadingQuery{GPU: gpu, Span: span, OldestFirst: rapid.Bool().Draw(rt, "oldest first"),
			Page: telemetry.Page{Limit: rapid.IntRange(0, 9).Draw(rt, "limit"), Offset: rapid.IntRange(0, 9).Draw(rt, "offset")}}
		if name != "" {
			q.Metrics = []string{name}
		}
		got, total, err := s.Readings(t.Context(), q)
		require.NoError(rt, err)
		// A filter by a source's name looks at what was sent, so only times are compared for it.
		if name == "TEMP" {
			continue
		}
		want := m.readings(q)
		require.Equal(rt, len(want), total)
		want = want[min(q.Offset, len(want)):]
		want = want[:min(q.Limit, len(want))]
		require.Equal(rt, want, comparable(got))
		compareLatest(rt, t, s, gpu, byTime)
	}
}

// flat is a reading in a comparable form.
type flat struct {
	time    int64
	label   string
	samples map[string]telemetry.Sample
}

func comparable(readings []telemetry.Reading) []flat {
	out := []flat{}
	for _, r := range readings {
		f := flat{time: r.Time, label: r.Labels["v"], samples: map[string]telemetry.Sample{}}
		for _, x := range r.Samples {
			f.samples[x.Metric.Name] = telemetry.Sample{Metric: byValue(x.Metric), Sent: x.Sent}
		}
		out = append(out, f)
	}
	return out
}

// byValue returns the test's own descriptor that equals d, so that they compare by address.
func byValue(d *telemetry.Descriptor) *telemetry.Descriptor {
	for _, own := range []*telemetry.Descriptor{util, temp, tempK} {
		if *own == *d {
			return own
		}
	}
	c := *d
	return &c
}

func (m *model) readings(q telemetry.ReadingQuery) []flat {
	out := []flat{}
	times := slices.Sorted(maps.Keys(m.samples[q.GPU]))
	if !q.OldestFirst {
		slices.Reverse(times)
	}
	for _, at := range times {
		if at < q.Span.Start || at > q.Span.End {
			continue
		}
		f := flat{time: at, label: m.heard[q.GPU][at].labels, samples: map[string]telemetry.Sample{}}
		for name, x := range m.samples[q.GPU][at] {
			if len(q.Metrics) == 0 || q.Metrics[0] == name {
				f.samples[name] = telemetry.Sample{Metric: byValue(x.sent.Metric), Sent: x.sent.Sent}
				if len(q.Metrics) > 0 {
					f.label = x.labels // of the message that the wanted sample came in
				}
			}
		}
		if len(f.samples) == 0 {
			continue
		}
		out = append(out, f)
	}
	return out
}

func compareLatest(rt *rapid.T, t *testing.T, s *opened, gpu string, byTime map[int64]map[string]modelSample) {
	want := map[string]float64{}
	for _, at := range slices.Sorted(maps.Keys(byTime)) {
		for name, x := range byTime[at] {
			want[name] = x.sent.Value()
		}
	}
	values, _, err := s.Latest(t.Context(), telemetry.LatestQuery{GPU: gpu, Page: telemetry.Page{Limit: 100}})
	require.NoError(rt, err)
	got := map[string]float64{}
	for _, v := range values {
		got[v.Metric.Name] = v.Value()
	}
	require.Equal(rt, want, got)
}
