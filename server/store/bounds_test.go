package store_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

func custom(i int) *telemetry.Descriptor {
	return &telemetry.Descriptor{Name: fmt.Sprintf("custom.%d", i), Kind: telemetry.Gauge, Source: fmt.Sprintf("Custom %d", i), Mul: 1, Div: 1}
}

func TestReadingsOutOfBoundsAreRefusedAlone(t *testing.T) {
	s := open(t, store.Options{MaxGPUs: 2, MaxMetrics: 5})
	good := reading("a", 1, sample(temp, 1))
	long := strings.Repeat("x", telemetry.MaxLabelBytes+1)
	f := func(name, want string, bad telemetry.Reading) {
		t.Run(name, func(t *testing.T) {
			err := s.Append(t.Context(), "e", []uint64{1, 2, 3}, []telemetry.Reading{good, bad, good}, 3)
			var refused *store.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Len(t, refused.Refused(), 1)
			assert.ErrorContains(t, refused.Refused()[1], want)
			assert.ErrorContains(t, err, want)
			_, sequence := s.Checkpoint()
			assert.Equal(t, uint64(3), sequence, "the rest is stored")
		})
	}
	s.put(1, good, reading("b", 1))
	many := reading("a", 1)
	for i := range telemetry.MaxSamples + 1 {
		many.Samples = append(many.Samples, sample(temp, float64(i)))
	}
	overflow := sample(temp, 1)
	overflow.Offset = time.Hour
	labels := reading("a", 1)
	labels.Labels = map[string]string{}
	for i := range telemetry.MaxLabels + 1 {
		labels.Labels[fmt.Sprint(i)] = "v"
	}
	f("gpu too many", `gpu "c" would be one more than the 2`, reading("c", 1, sample(temp, 1)))
	f("no gpu", "gpu has 0 bytes", reading("", 1, sample(temp, 1)))
	f("no host", "host has 0 bytes", telemetry.Reading{GPU: "a"})
	f("long gpu", "gpu has 1025 bytes", telemetry.Reading{Host: "h", GPU: long})
	f("many samples", "1025 samples", many)
	f("many labels", "65 labels", labels)
	f("metrics too many", "6 new metrics", reading("a", 2, sample(custom(0), 1), sample(custom(1), 1), sample(custom(2), 1), sample(custom(3), 1), sample(custom(4), 1), sample(custom(5), 1)))
	f("not a number", "not a finite number", reading("a", 1, sample(temp, math.NaN())))
	f("infinite", "not a finite number", reading("a", 1, sample(temp, math.Inf(-1))))
	f("time out of range", "time out of range", reading("a", math.MaxInt64, overflow))
}

// A GPU whose metrics come and go at random costs a bounded number of schemas, and
// every sample is still there.
func TestSchemasAreBounded(t *testing.T) {
	s := open(t, store.Options{})
	const rounds, width = 6000, 13
	var sequences []uint64
	var batch []telemetry.Reading
	for i := 1; i <= rounds; i++ {
		r := reading("a", int64(i))
		for bit := range width {
			if i>>bit&1 == 1 {
				r.Samples = append(r.Samples, sample(custom(bit), float64(i)))
			}
		}
		sequences, batch = append(sequences, uint64(i)), append(batch, r)
	}
	for range 2 {
		require.NoError(t, s.Append(t.Context(), "e", sequences, batch, rounds))
		got, total := s.readings(telemetry.ReadingQuery{GPU: "a", Page: telemetry.Page{Limit: rounds}, OldestFirst: true})
		require.Equal(t, rounds, total)
		for i, r := range got {
			require.Len(t, r.Samples, len(batch[i].Samples))
		}
		assert.LessOrEqual(t, s.Stats().Schemas, 4096+width)
		s.restart()
	}
}

func TestMetricsOfOneGPUAreBounded(t *testing.T) {
	s := open(t, store.Options{})
	fill := func(from int) error {
		r := reading("a", int64(from+1))
		for i := range telemetry.MaxSamples {
			r.Samples = append(r.Samples, sample(custom(from+i), 1))
		}
		return s.Append(t.Context(), "e", []uint64{uint64(from + 1)}, []telemetry.Reading{r}, 0)
	}
	require.NoError(t, fill(0))
	require.NoError(t, fill(telemetry.MaxSamples))
	require.NoError(t, fill(telemetry.MaxSamples), "known ones are welcome")
	require.ErrorContains(t, fill(2*telemetry.MaxSamples), "would have more than 2048 metrics")
}

// A batch that is larger than a transaction may be goes into several.
func TestLargeBatch(t *testing.T) {
	s := open(t, store.Options{})
	const n = 40_000
	sequences, batch := make([]uint64, n), make([]telemetry.Reading, n)
	for i := range n {
		sequences[i] = uint64(i + 1)
		batch[i] = reading(fmt.Sprint("gpu-", i%300), int64(i), sample(temp, float64(i)), sample(util, 1/float64(i+1)))
	}
	require.NoError(t, s.Append(t.Context(), "e", sequences, batch, n))
	assert.Equal(t, uint64(n), s.Stats().Rows)
	require.NoError(t, s.Append(t.Context(), "e", sequences, batch, n))
	assert.Equal(t, uint64(n), s.Stats().Rows)
}
