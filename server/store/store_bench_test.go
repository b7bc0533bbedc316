package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

// fleet makes readings as 256 GPUs with ten metrics send them once a second.
func fleet(second, gpus int, metrics []*telemetry.Descriptor, random *rand.Rand) []telemetry.Reading {
	batch := make([]telemetry.Reading, gpus)
	for g := range batch {
		r := reading(fmt.Sprintf("GPU-%08d", g), int64(second)*int64(time.Second))
		r.Labels = map[string]string{telemetry.LabelModel: "H100", telemetry.LabelIndex: fmt.Sprint(g % 8), telemetry.LabelDevice: "nvidia0"}
		for i, d := range metrics {
			value := float64(random.IntN(100))
			if i%5 == 0 {
				value += 0.25 * float64(random.IntN(4))
			}
			r.Samples = append(r.Samples, sample(d, value))
		}
		batch[g] = r
	}
	return batch
}

func benchStore(b *testing.B, seconds int) (*store.Store, []*telemetry.Descriptor) {
	s, err := store.Open(b.TempDir(), store.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	var metrics []*telemetry.Descriptor
	for i := range 10 {
		metrics = append(metrics, custom(i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	var sequence uint64
	for second := range seconds {
		batch := fleet(second, 256, metrics, random)
		sequences := make([]uint64, len(batch))
		for i := range sequences {
			sequence++
			sequences[i] = sequence
		}
		require.NoError(b, s.Append(b.Context(), "e", sequences, batch, sequence))
	}
	return s, metrics
}

// BenchmarkAppend stores batches of 1,000 readings of ten metrics, each on disk before the next.
func BenchmarkAppend(b *testing.B) {
	s, metrics := benchStore(b, 0)
	random := rand.New(rand.NewPCG(1, 2))
	const size = 1000
	sequences := make([]uint64, size)
	var sequence uint64
	second := 0
	var batch []telemetry.Reading
	for b.Loop() {
		b.StopTimer()
		batch = batch[:0]
		for len(batch) < size {
			batch = append(batch, fleet(second, 250, metrics, random)...)
			second++
		}
		for i := range sequences {
			sequence++
			sequences[i] = sequence
		}
		b.StartTimer()
		require.NoError(b, s.Append(b.Context(), "e", sequences, batch, sequence))
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "readings/s")
	b.ReportMetric(float64(b.N*size*len(metrics))/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkReadings asks for pages of 100 and for a chart of one GPU's quarter of an hour.
func BenchmarkReadings(b *testing.B) {
	s, _ := benchStore(b, 900)
	all := telemetry.Span{Start: 0, End: 900 * int64(time.Second)}
	b.Run("newest page", func(b *testing.B) {
		for b.Loop() {
			_, _, err := s.Readings(b.Context(), telemetry.ReadingQuery{GPU: "GPU-00000100", Span: all, Page: telemetry.Page{Limit: 100}})
			require.NoError(b, err)
		}
	})
	b.Run("one minute", func(b *testing.B) {
		span := telemetry.Span{Start: 400 * int64(time.Second), End: 460 * int64(time.Second)}
		for b.Loop() {
			_, _, err := s.Readings(b.Context(), telemetry.ReadingQuery{GPU: "GPU-00000100", Span: span, Page: telemetry.Page{Limit: 100}})
			require.NoError(b, err)
		}
	})
	b.Run("series", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Series(b.Context(), telemetry.SeriesQuery{GPU: "GPU-00000100", Span: all, Step: time.Second, Agg: telemetry.Avg})
			require.NoError(b, err)
		}
	})
	b.Run("latest of all", func(b *testing.B) {
		for b.Loop() {
			_, _, err := s.Latest(b.Context(), telemetry.LatestQuery{Page: telemetry.Page{Limit: 100_000}})
			require.NoError(b, err)
		}
	})
}
