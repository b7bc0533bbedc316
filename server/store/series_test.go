package store_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

func TestSeries(t *testing.T) {
	s := open(t, store.Options{})
	nan := math.NaN()
	for i, at := range []int64{-15, 0, 4, 9, 10, 31} {
		s.put(uint64(i+1), reading("a", at*int64(time.Second), sample(util, float64(at))))
	}
	s.put(20, reading("a", 4*int64(time.Second), sample(temp, 60)))
	f := func(agg telemetry.Agg, want ...float64) {
		t.Helper()
		got, err := s.Series(t.Context(), telemetry.SeriesQuery{
			GPU: "a", Metrics: []string{"test.util"}, Step: 10 * time.Second, Agg: agg, SourceNames: true,
			Span: telemetry.Span{Start: -15 * int64(time.Second), End: 30 * int64(time.Second)},
		})
		require.NoError(t, err)
		require.Len(t, got.Columns, 1)
		assert.Equal(t, "UTIL", got.Columns[0].Name)
		assert.Equal(t, []int64{-20e9, -10e9, 0, 10e9, 20e9, 30e9}, got.Times)
		require.Len(t, got.Columns[0].Values, len(want))
		for i, v := range want {
			if math.IsNaN(v) {
				assert.True(t, math.IsNaN(got.Columns[0].Values[i]), "step %d is empty", i)
			} else {
				assert.InDelta(t, v, got.Columns[0].Values[i], 1e-12, "step %d", i)
			}
		}
	}
	f(telemetry.Avg, -15, nan, 13.0/3, 10, nan, nan)
	f(telemetry.Min, -15, nan, 0, 10, nan, nan)
	f(telemetry.Max, -15, nan, 9, 10, nan, nan)
	f(telemetry.Sum, -15, nan, 13, 10, nan, nan)
	f(telemetry.Count, 1, nan, 3, 1, nan, nan)
	f(telemetry.Last, -15, nan, 9, 10, nan, nan)

	all, err := s.Series(t.Context(), telemetry.SeriesQuery{GPU: "a", Step: time.Minute, Agg: telemetry.Max, Span: telemetry.Span{Start: 0, End: 59e9}})
	require.NoError(t, err)
	assert.Equal(t, []telemetry.Column{{Name: "test.temp", Values: []float64{60}}, {Name: "test.util", Values: []float64{0.31}}}, all.Columns)
}

func TestSeriesIsBounded(t *testing.T) {
	s := open(t, store.Options{})
	s.put(1, reading("a", 0, sample(util, 1)))
	f := func(q telemetry.SeriesQuery) error {
		q.GPU = "a"
		_, err := s.Series(t.Context(), q)
		return err
	}
	var tooMuch *telemetry.TooMuchError
	require.ErrorAs(t, f(telemetry.SeriesQuery{Step: 1, Agg: telemetry.Avg, Span: telemetry.Span{Start: math.MinInt64, End: math.MaxInt64}}), &tooMuch)
	require.ErrorAs(t, f(telemetry.SeriesQuery{Step: 1, Agg: telemetry.Avg, Span: telemetry.Span{Start: 0, End: store.MaxSteps}}), &tooMuch)
	assert.Equal(t, store.MaxSteps+1, tooMuch.Asked)
	assert.NoError(t, f(telemetry.SeriesQuery{Step: 1, Agg: telemetry.Avg, Span: telemetry.Span{Start: 0, End: store.MaxSteps - 1}}))
	assert.NoError(t, f(telemetry.SeriesQuery{Step: 1, Agg: telemetry.Avg, Span: telemetry.Span{Start: 9, End: 1}}), "an empty span has no steps")
	assert.Error(t, f(telemetry.SeriesQuery{Step: 0, Agg: telemetry.Avg}))
	assert.Error(t, f(telemetry.SeriesQuery{Step: 1, Agg: "median"}))
}
