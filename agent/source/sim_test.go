package source_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/agent/source"
	"gpupulse/sdk/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticks reads n ticks of a fleet of that many GPUs.
func ticks(t *testing.T, s *source.Sim, gpus, n int) [][]telemetry.Reading {
	t.Helper()
	all := make([][]telemetry.Reading, n)
	for i := range all {
		for len(all[i]) < gpus {
			b, err := s.Read(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, b.Readings)
			require.LessOrEqual(t, len(b.Readings), source.MaxBatch)
			require.Len(t, b.Rows, len(b.Readings))
			all[i] = append(all[i], b.Readings...)
		}
		require.Len(t, all[i], gpus)
	}
	return all
}

func newSim(t *testing.T, o source.SimOptions) *source.Sim {
	t.Helper()
	s, err := source.NewSim(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestSimIsDecidedByItsSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(seed uint64) [][]telemetry.Reading {
			all := ticks(t, newSim(t, source.SimOptions{Hosts: 3, GPUs: 8, Seed: seed}), 24, 120)
			for _, tick := range all {
				for i := range tick {
					tick[i].Time = 0
				}
			}
			return all
		}
		first := run(7)
		assert.Equal(t, first, run(7))
		assert.NotEqual(t, first, run(8))
	})
}

func TestSimGPUsHaveNamesAndLabels(t *testing.T) {
	gpus := map[string]bool{}
	for _, r := range ticks(t, newSim(t, source.SimOptions{Hosts: 2, GPUs: 4}), 8, 1)[0] {
		gpus[r.GPU] = true
		assert.Regexp(t, `^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, r.GPU)
		assert.Regexp(t, `^sim-node-00[12]$`, r.Host)
		assert.Equal(t, "nvidia"+r.Labels[telemetry.LabelIndex], r.Labels[telemetry.LabelDevice])
		assert.NotEmpty(t, r.Labels[telemetry.LabelModel])
		assert.NotEmpty(t, r.Labels[telemetry.LabelDriver])
		assert.Len(t, r.Samples, 12)
	}
	assert.Len(t, gpus, 8)
}

func TestSimTicksAreExactlyAnIntervalApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 250 * time.Millisecond
		s := newSim(t, source.SimOptions{Hosts: 150, GPUs: 8, Interval: interval})
		all := ticks(t, s, 1200, 20)
		first := all[0][0].Time
		for k, tick := range all {
			for _, r := range tick {
				require.Equal(t, first+int64(k)*int64(interval), r.Time)
			}
		}
		assert.Zero(t, time.Unix(0, first).Sub(time.Unix(0, first).Truncate(interval)))
		assert.WithinDuration(t, time.Now(), time.Unix(0, all[19][0].Time), interval, "the last one was not early")
		assert.Zero(t, s.Dropped())
	})
}

func TestSimLateReaderGetsWhatIsNotTooOldAndTheRestIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, source.SimOptions{Hosts: 1, GPUs: 2})
		first := ticks(t, s, 2, 1)[0][0].Time
		<-time.After(30 * time.Second)
		late := ticks(t, s, 2, 30)
		assert.Equal(t, first+int64(time.Second), late[0][0].Time, "half a minute is caught up with")
		assert.Zero(t, s.Dropped())

		<-time.After(100 * time.Second)
		next := ticks(t, s, 2, 1)[0][0].Time
		assert.Equal(t, first+int64(31+39)*int64(time.Second), next)
		assert.EqualValues(t, 2*39, s.Dropped())
		ticks(t, s, 2, 60)
		assert.EqualValues(t, 2*39, s.Dropped())
	})
}

func TestSimReadEndsWithContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, source.SimOptions{Hosts: 1, GPUs: 1, Interval: time.Hour})
		ticks(t, s, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.Read(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		time.AfterFunc(time.Minute, func() { assert.NoError(t, s.Close()) })
		_, err = s.Read(t.Context())
		require.ErrorIs(t, err, source.ErrClosed)
		require.NoError(t, s.Close())
		_, err = s.Read(t.Context())
		require.ErrorIs(t, err, source.ErrClosed)
	})
}

func TestSimRefusesWhatIsNoFleet(t *testing.T) {
	for _, o := range []source.SimOptions{
		{Hosts: -1}, {GPUs: -8}, {Hosts: 20_000, GPUs: 8}, {Hosts: math.MaxInt, GPUs: math.MaxInt}, {Interval: time.Millisecond},
	} {
		_, err := source.NewSim(o)
		assert.ErrorContains(t, err, "simulate")
	}
}

// hour is what a fleet did, one slice of values a metric, by GPU.
func hour(t *testing.T) []map[string][]float64 {
	t.Helper()
	const gpus, seconds = 32, 3600
	fleet := make([]map[string][]float64, gpus)
	synctest.Test(t, func(t *testing.T) {
		for _, tick := range ticks(t, newSim(t, source.SimOptions{Seed: 1}), gpus, seconds) {
			for i, r := range tick {
				if fleet[i] == nil {
					fleet[i] = map[string][]float64{}
				}
				for _, s := range r.Samples {
					fleet[i][s.Metric.Source] = append(fleet[i][s.Metric.Source], s.Sent)
				}
			}
		}
	})
	return fleet
}

const (
	util   = "DCGM_FI_DEV_GPU_UTIL"
	watts  = "DCGM_FI_DEV_POWER_USAGE"
	temp   = "DCGM_FI_DEV_GPU_TEMP"
	used   = "DCGM_FI_DEV_FB_USED"
	free   = "DCGM_FI_DEV_FB_FREE"
	clock  = "DCGM_FI_DEV_SM_CLOCK"
	xid    = "DCGM_FI_DEV_XID_ERRORS"
	energy = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
)

func TestSimObeysPhysics(t *testing.T) {
	for i, g := range hour(t) {
		for k := range g[util] {
			require.True(t, g[util][k] >= 0 && g[util][k] <= 100, "util %g", g[util][k])
			require.True(t, g[watts][k] > 60 && g[watts][k] <= 700, "%g W", g[watts][k])
			require.True(t, g[temp][k] > 20 && g[temp][k] < 92, "%g °C", g[temp][k])
			require.Equal(t, 81007.0, g[used][k]+g[free][k])
			require.True(t, g[clock][k] == 345 || g[clock][k] >= 990 && g[clock][k] <= 1980 && math.Mod(g[clock][k], 15) == 0, "%g MHz", g[clock][k])
			if g[used][k] < 5 {
				require.Equal(t, 345.0, g[clock][k], "an empty device is not clocked up")
			}
			if g[clock][k] == 1980 && k > 0 && g[temp][k] < 83 && g[temp][k-1] < 83 && g[used][k-1] > 5 {
				require.Equal(t, g[clock][k], g[clock][k-1], "a busy device that is not hot keeps its clock")
			}
			if k > 0 {
				joules := (g[energy][k] - g[energy][k-1]) / 1000
				require.InDelta(t, g[watts][k], joules, 0.01, "energy is power times a second")
				require.LessOrEqual(t, math.Abs(g[temp][k]-g[temp][k-1]), 4.0, "device %d heats slowly", i)
			}
		}
	}
}

func TestSimHeatFollowsPowerWithALag(t *testing.T) {
	seen := 0
	for _, g := range hour(t) {
		for k := 90; k+60 < len(g[watts]); k++ {
			before, after := mean(g[watts][k-90:k]), mean(g[watts][k+5:k+60])
			if g[watts][k]-g[watts][k-1] < 100 || after-before < 250 {
				continue // not the beginning of work after a rest
			}
			seen++
			assert.Less(t, g[temp][k+1]-g[temp][k-1], 9.0, "not at once")
			assert.Greater(t, mean(g[temp][k+40:k+60])-mean(g[temp][k-10:k]), 6.0, "but within a minute")
		}
	}
	assert.Greater(t, seen, 10)
}

func TestSimFleetHasSomethingOfEverything(t *testing.T) {
	var starts, stops, hangs, codes, throttled, busy, samples int
	for _, g := range hour(t) {
		slow := false
		for k := 1; k < len(g[used]); k++ {
			samples++
			if g[util][k] > 0 {
				busy++
			}
			if g[used][k-1] < 5 && g[used][k] >= 5 {
				starts++
			}
			if g[used][k-1] > 1024 && g[used][k] < 5 {
				stops++
			}
			if g[xid][k] != 0 && g[xid][k] != g[xid][k-1] {
				codes++
			}
			if k > 60 && mean(g[util][k-60:k]) == 0 && g[used][k] > 1024 {
				hangs++
			}
			slow = slow || g[clock][k] > 345 && g[clock][k] < 1980
		}
		if slow {
			throttled++
		}
	}
	assert.Greater(t, starts, 20, "jobs start")
	assert.Greater(t, stops, 10, "jobs stop")
	assert.Greater(t, hangs, 60, "idle devices hold memory")
	assert.Greater(t, codes, 3, "there are XIDs")
	assert.Less(t, codes, 40, "but not many")
	assert.Equal(t, 1, throttled, "one device is too hot")
	share := float64(busy) / float64(samples)
	assert.True(t, share > 0.25 && share < 0.8, "busy share %g", share)
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	return sum / float64(len(of))
}
