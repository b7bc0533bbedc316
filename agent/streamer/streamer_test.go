package streamer_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/agent/source"
	"gpupulse/agent/streamer"
	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
	"gpupulse/sdk/wire"
)

func newStreamer(t *testing.T, from source.Source, to streamer.Publisher, o streamer.Options) *streamer.Streamer {
	t.Helper()
	s, err := streamer.New(from, to, o)
	require.NoError(t, err)
	return s
}

func TestEveryReadingArrivesOnceAndInTheOrderOfItsGPU(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		h := &hub{window: 1000}
		s := newStreamer(t, &rows{gpus: 10, left: 3000, batch: 333}, h, streamer.Options{Workers: workers})
		require.NoError(t, s.Run(t.Context()))
		last := map[string]int64{}
		for _, r := range h.readings(t) {
			require.Equal(t, last[r.GPU]+1, r.Time, "%s with %d workers", r.GPU, workers)
			require.Equal(t, float64(r.Time), r.Samples[0].Sent)
			last[r.GPU]++
		}
		assert.Len(t, last, 10)
		assert.Len(t, h.messages, 3000)
		assert.LessOrEqual(t, h.largest, 256)
		for i, r := range h.readings(t) {
			require.Equal(t, "gpu.host."+r.GPU, h.messages[i].Topic)
		}
		sum := s.Summary()
		assert.EqualValues(t, 3000, sum.RowsRead)
		assert.EqualValues(t, 3000, sum.RowsAcknowledged)
		assert.EqualValues(t, 3000, sum.Readings)
		assert.Zero(t, sum.RowsUnanswered)
	}
}

func TestRowsOfJoinedReadingsAreCounted(t *testing.T) {
	s := newStreamer(t, &rows{gpus: 247, left: 247, rowsEach: 10}, &hub{}, streamer.Options{Workers: 3})
	require.NoError(t, s.Run(t.Context()))
	sum := s.Summary()
	assert.EqualValues(t, 2470, sum.RowsRead)
	assert.EqualValues(t, 2470, sum.RowsAcknowledged)
	assert.EqualValues(t, 247, sum.Readings)
}

func TestRateIsOfRowsAndOfEachWorker(t *testing.T) {
	for _, c := range []struct {
		name              string
		rate              float64
		workers, rowsEach int
		duration          time.Duration
		want, tolerance   float64
	}{
		{"one in two seconds", 0.5, 1, 1, 21 * time.Second, 11, 0},
		{"rows of joined readings", 10, 1, 10, 5500 * time.Millisecond, 6, 0},
		{"high", 5000, 1, 1, 5 * time.Second, 25_000, 600},
		{"four workers", 50, 4, 1, 10 * time.Second, 2000, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{}
				s := newStreamer(t, &rows{gpus: 1000, left: math.MaxInt32, rowsEach: c.rowsEach}, h,
					streamer.Options{Rate: c.rate, Workers: c.workers})
				ctx, cancel := context.WithTimeout(t.Context(), c.duration)
				defer cancel()
				began := time.Now()
				require.NoError(t, s.Run(ctx))
				assert.Equal(t, c.duration, time.Since(began), "it ends on time")
				assert.InDelta(t, c.want, h.count(), c.tolerance)
				assert.EqualValues(t, h.count()*c.rowsEach, s.Summary().RowsRead, "what was not due is not read")
				assert.EqualValues(t, h.count()*c.rowsEach, s.Summary().RowsAcknowledged)
			})
		})
	}
}

func TestRowsOfARateAreEvenlySpacedAndNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		s := newStreamer(t, &rows{gpus: 3, left: 10}, h, streamer.Options{Rate: 2})
		began := time.Now()
		require.NoError(t, s.Run(t.Context()))
		for i, at := range h.times {
			assert.Equal(t, time.Duration(i)*500*time.Millisecond, at.Sub(began))
		}
	})
}

func TestRateHasNoBurstAfterAPauseOfTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{held: true, window: 1}
		s := newStreamer(t, &rows{gpus: 1, left: math.MaxInt32}, h, streamer.Options{Rate: 10})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		time.AfterFunc(10*time.Second, h.release)
		require.NoError(t, s.Run(ctx))
		assert.InDelta(t, 102, h.count(), 3)
	})
}

func TestSlowHubHoldsTheSourceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{held: true, window: 512}
		from := &rows{gpus: 50, left: 20_000, batch: 1000}
		s := newStreamer(t, from, h, streamer.Options{Workers: 2})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		synctest.Wait()
		assert.LessOrEqual(t, h.count(), 512)
		assert.LessOrEqual(t, from.reads, 10, "only what the queues hold is read")
		h.release()
		require.NoError(t, <-ended)
		assert.Equal(t, 20_000, h.count())
	})
}

func TestEndOfContextSendsWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{held: true, window: 512}
		from := &rows{gpus: 50, left: 100_000, batch: 1000}
		s := newStreamer(t, from, h, streamer.Options{Workers: 2, DrainTimeout: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(3*time.Second, h.release)
		began := time.Now()
		require.NoError(t, s.Run(ctx))
		assert.Equal(t, 3*time.Second, time.Since(began))
		assert.Equal(t, from.next, h.count(), "all that came out of the source is sent")
		assert.Less(t, from.next, 20_000)
		assert.EqualValues(t, from.next, s.Summary().RowsAcknowledged)
	})
}

func TestDrainEndsInTimeIfTheHubDoesNotAnswer(t *testing.T) {
	for name, window := range map[string]int{"full window": 512, "last batch": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{held: true, window: window}
				s := newStreamer(t, &rows{gpus: 50, left: 3000}, h, streamer.Options{DrainTimeout: 5 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				require.ErrorIs(t, s.Run(ctx), streamer.ErrUndrained)
				assert.Equal(t, 6*time.Second, time.Since(began))
				sum := s.Summary()
				assert.Equal(t, sum.RowsRead, sum.RowsUnanswered)
				assert.Positive(t, sum.RowsUnanswered)
			})
		})
	}
}

func TestWaitsForTheHubAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{held: true}
		s := newStreamer(t, &rows{gpus: 5, left: 100}, h, streamer.Options{})
		time.AfterFunc(72*time.Hour, h.release)
		require.NoError(t, s.Run(t.Context()))
		assert.EqualValues(t, 100, s.Summary().RowsAcknowledged)
	})
}

func TestErrorsOfBothEnds(t *testing.T) {
	broken := errors.New("disk on fire")
	s := newStreamer(t, &rows{gpus: 1, left: 10, err: broken}, &hub{}, streamer.Options{})
	err := s.Run(t.Context())
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "read source")
	assert.EqualValues(t, 10, s.Summary().RowsAcknowledged, "what came before is sent all the same")

	refused := wire.Faultf(wire.Unauthorised, "no token")
	s = newStreamer(t, &rows{gpus: 9, left: math.MaxInt32}, &hub{broken: refused}, streamer.Options{Workers: 3})
	require.ErrorIs(t, s.Run(t.Context()), refused, "and it ends, though the source does not")
	s = newStreamer(t, &rows{gpus: 9, left: math.MaxInt32}, &hub{broken: refused}, streamer.Options{Workers: 3, Rate: 5})
	require.ErrorIs(t, s.Run(t.Context()), refused)
}

func TestRefusedAndRepeatedMessages(t *testing.T) {
	h := &hub{answer: func(m sdk.Message) sdk.Result {
		switch m.Topic {
		case "gpu.host.GPU-1":
			return sdk.Result{Err: wire.Faultf(wire.NotAllowed, "not your host")}
		case "gpu.host.GPU-2":
			return sdk.Result{Sequence: 1, Duplicate: true}
		}
		return sdk.Result{Sequence: 5}
	}}
	s := newStreamer(t, &rows{gpus: 4, left: 40, rowsEach: 2}, h, streamer.Options{})
	err := s.Run(t.Context())
	assert.ErrorContains(t, err, "refused 20 rows")
	assert.ErrorContains(t, err, "gpu.host.GPU-1: not allowed: not your host")
	sum := s.Summary()
	assert.EqualValues(t, 80, sum.RowsRead)
	assert.EqualValues(t, 60, sum.RowsAcknowledged)
	assert.EqualValues(t, 20, sum.RowsDuplicate)
	assert.EqualValues(t, 20, sum.RowsRefused)
	assert.Zero(t, sum.RowsUnanswered)
}

func TestReadingThatIsNoMessageIsRejectedAlone(t *testing.T) {
	rejects := &source.Rejects{}
	rejects.Add("too few fields", 3, 7, "of the source")
	s := newStreamer(t, &rows{gpus: 5, left: 50, change: func(r *telemetry.Reading) {
		if r.GPU == "GPU-3" {
			r.Samples[0].Sent = math.NaN()
		}
	}}, &hub{}, streamer.Options{Rejects: rejects, Skipped: func() uint64 { return 4 }, Dropped: func() uint64 { return 6 }})
	require.NoError(t, s.Run(t.Context()))
	sum := s.Summary()
	assert.EqualValues(t, 57, sum.RowsRead)
	assert.EqualValues(t, 40, sum.RowsAcknowledged)
	assert.EqualValues(t, 13, sum.RowsRejected)
	assert.EqualValues(t, 4, sum.RowsSkipped)
	assert.EqualValues(t, 6, sum.RowsDropped)
	require.Len(t, sum.Rejects, 2)
	assert.Equal(t, []int{30, 35, 40, 45, 50}, sum.Rejects[0].Lines)
}

func TestRestampGivesEachReadingItsOwnPresentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		s := newStreamer(t, &rows{gpus: 2, left: 300, change: func(r *telemetry.Reading) {
			r.Samples[0].Offset = time.Second
		}}, h, streamer.Options{Restamp: true})
		began := time.Now().UnixNano()
		require.NoError(t, s.Run(t.Context()))
		seen := map[int64]bool{}
		for _, r := range h.readings(t) {
			assert.InDelta(t, began, r.Time, 1000)
			assert.False(t, seen[r.Time])
			seen[r.Time] = true
			assert.Zero(t, r.Samples[0].Offset)
		}
	})
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]streamer.Options{
		"workers": {Workers: -1}, "worker": {Workers: 1 << 20}, "rate": {Rate: -1}, "rate ": {Rate: math.NaN()},
		"rate of": {Rate: math.Inf(1)}, "topic": {Topic: "gpu.{host"}, "topic ": {Topic: "gpu..{host}"}, "the hub's own": {Topic: "$dead.{host}"},
	} {
		_, err := streamer.New(&rows{}, &hub{}, o)
		assert.ErrorContains(t, err, name)
	}
}
