package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
)

func TestRowKeysSortAsTimes(t *testing.T) {
	var last string
	for _, time := range []int64{math.MinInt64, -1, 0, 1, 1 << 40, math.MaxInt64} {
		for _, schema := range []uint32{0, 1, math.MaxUint32} {
			key := rowKey(nil, 7, time, schema)
			assert.Greater(t, string(key), last)
			last = string(key)
			gpu, gotTime, gotSchema := parseRowKey(key)
			assert.Equal(t, []any{uint32(7), time, schema}, []any{gpu, gotTime, gotSchema})
		}
	}
}

func TestValuesAreExact(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, 29, 0.29, 117.77, -5, 1 << 53, 1<<53 + 2, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64}
	record := appendRowHead(nil, stamp{epoch: 3, sequence: 1 << 60}, 9)
	for _, v := range values {
		record = appendValue(record, v)
	}
	r, err := decodeRow(record)
	require.NoError(t, err)
	assert.Equal(t, stamp{epoch: 3, sequence: 1 << 60}, r.stamp)
	assert.Equal(t, uint32(9), r.labels)
	got, err := r.values(nil, len(values))
	require.NoError(t, err)
	for i, v := range values {
		assert.Equal(t, math.Float64bits(v), math.Float64bits(got[i]), "%v", v)
	}
	_, err = r.values(nil, len(values)-1)
	assert.ErrorIs(t, err, errDamaged, "more columns than the schema has")
	_, err = r.values(nil, len(values)+1)
	assert.ErrorIs(t, err, errDamaged, "fewer columns than the schema has")
}

func FuzzRow(f *testing.F) {
	f.Add(appendValue(appendRowHead(nil, stamp{1, 2}, 3), 41), 1)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 3)
	f.Fuzz(func(t *testing.T, record []byte, columns int) {
		r, err := decodeRow(record)
		if err != nil {
			return
		}
		values, err := r.values(nil, max(0, min(columns, telemetry.MaxSamples)))
		if err != nil {
			return
		}
		again := appendRowHead(nil, r.stamp, r.labels)
		for _, v := range values {
			again = appendValue(again, v)
		}
		assert.LessOrEqual(t, len(again), len(record), "our form is the shortest")
	})
}

func FuzzLabels(f *testing.F) {
	f.Add(appendLabels(nil, "host", map[string]string{"model": "H100", "pod": ""}))
	f.Add([]byte{4, 'h'})
	f.Fuzz(func(t *testing.T, record []byte) {
		l, err := decodeLabels(1, record)
		if err != nil {
			return
		}
		again, err := decodeLabels(1, appendLabels(nil, l.host, l.labels))
		require.NoError(t, err)
		assert.Equal(t, l, again)
	})
}

func FuzzLatest(f *testing.F) {
	d := &telemetry.Descriptor{Name: "a", Source: "A", Mul: 1, Div: 1}
	g := &gpu{id: 1, newest: 50, stamp: stamp{1, 2}, labels: &labelSet{id: 4}}
	g.sample(latest{metric: d, descriptor: 1, time: 40, stamp: stamp{1, 1}, sent: 0.5}, 0)
	f.Add(appendLatest(nil, g))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, record []byte) {
		g := &gpu{id: 1}
		labels, err := decodeLatest(g, record, func(uint32) *telemetry.Descriptor { return d })
		if err != nil {
			return
		}
		g.labels = &labelSet{id: labels}
		again := &gpu{id: 1, labels: g.labels}
		_, err = decodeLatest(again, appendLatest(nil, g), func(uint32) *telemetry.Descriptor { return d })
		require.NoError(t, err)
		require.Len(t, again.latest, len(g.latest))
		for i, l := range g.latest { // a value may be any bits, NaN too, so bits are compared
			assert.Equal(t, math.Float64bits(l.sent), math.Float64bits(again.latest[i].sent))
			l.sent, again.latest[i].sent = 0, 0
			assert.Equal(t, l, again.latest[i])
		}
	})
}
