package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
)

// fakeStore is an Appender that remembers, and fails when it is told to.
type fakeStore struct {
	mu         sync.Mutex
	fail       error
	gate       func(readings []telemetry.Reading) // called before storing, not under mu
	refuse     map[uint64]error
	sequences  []uint64
	gpus       map[string][]uint64
	checkpoint uint64
	tries      int
}

type fakeRefusal map[int]error

func (fakeRefusal) Error() string            { return "refused some" }
func (f fakeRefusal) Refused() map[int]error { return f }

func (s *fakeStore) Append(_ context.Context, _ string, sequences []uint64, readings []telemetry.Reading, checkpoint uint64) error {
	if s.gate != nil {
		s.gate(readings)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.fail != nil {
		return s.fail
	}
	refused := fakeRefusal{}
	if s.gpus == nil {
		s.gpus = map[string][]uint64{}
	}
	for i, sequence := range sequences {
		if err := s.refuse[sequence]; err != nil {
			refused[i] = err
			continue
		}
		s.sequences = append(s.sequences, sequence)
		s.gpus[readings[i].GPU] = append(s.gpus[readings[i].GPU], sequence)
	}
	s.checkpoint = max(s.checkpoint, checkpoint)
	if len(refused) > 0 {
		return refused
	}
	return nil
}

func (s *fakeStore) Checkpoint() (string, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "e", s.checkpoint
}

func (s *fakeStore) set(fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// answered remembers how messages were answered.
type answered struct {
	mu       sync.Mutex
	store    *fakeStore
	acked    []uint64
	termed   map[uint64]string
	progress int
	early    []uint64 // acked before it was stored
}

type fakeAnswers struct {
	*answered
	sequence uint64
}

func (a fakeAnswers) Ack() error {
	a.store.mu.Lock()
	stored := slices.Contains(a.store.sequences, a.sequence)
	a.store.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = append(a.acked, a.sequence)
	if !stored {
		a.early = append(a.early, a.sequence)
	}
	return nil
}

func (a fakeAnswers) Term(reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.termed == nil {
		a.termed = map[uint64]string{}
	}
	a.termed[a.sequence] = reason
	return nil
}

func (a fakeAnswers) Progress() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progress++
	return nil
}

// fakeSource is a membership that does nothing.
type fakeSource struct{ left bool }

func (*fakeSource) Ready() error                  { return nil }
func (s *fakeSource) Leave(context.Context) error { s.left = true; return nil }

// bench is a collector with its surroundings.
type bench struct {
	*Collector
	store  *fakeStore
	said   *answered
	source *fakeSource
}

func newBench(o Options) *bench {
	b := &bench{store: &fakeStore{}, source: &fakeSource{}}
	b.said = &answered{store: b.store}
	b.Collector = New(b.store, o)
	b.Collector.source = b.source
	return b
}

// message is a delivery of a reading of one GPU.
func (b *bench) message(t *testing.T, sequence uint64, gpu string) delivery {
	payload, err := telemetry.Append(nil, &telemetry.Reading{Time: int64(sequence), Host: "h", GPU: gpu})
	require.NoError(t, err)
	return delivery{
		answers: fakeAnswers{b.said, sequence}, topic: "gpu.h." + gpu, payload: payload, epoch: "e",
		sequence: sequence, attempt: 1, stored: time.Now(),
	}
}

func TestAckedAfterItIsStoredAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 3, Registerer: prometheus.NewRegistry()})
		var want []uint64
		for first := uint64(1); first <= 500; first += 10 {
			var frame []delivery
			for s := first; s < first+10; s++ {
				frame = append(frame, b.message(t, s, fmt.Sprint("gpu-", s%7)))
				want = append(want, s)
			}
			b.take(frame)
		}
		synctest.Wait()
		assert.ElementsMatch(t, want, b.said.acked)
		assert.Empty(t, b.said.early)
		for gpu, sequences := range b.store.gpus {
			assert.True(t, slices.IsSorted(sequences), "%s in order", gpu)
		}
		assert.Equal(t, uint64(500), b.store.checkpoint)
		s := b.Stats()
		assert.Equal(t, uint64(500), s.Readings)
		assert.Zero(t, s.Waiting)
		require.NoError(t, b.Drain(t.Context()))
		assert.True(t, b.source.left)
	})
}

func TestFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 2, AckWait: 3 * time.Second})
		b.store.set(errors.New("no space left on device"))
		var frame []delivery
		for s := uint64(1); s <= 20; s++ {
			frame = append(frame, b.message(t, s, fmt.Sprint(s)))
		}
		b.take(frame)
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		assert.Empty(t, b.said.acked)
		assert.GreaterOrEqual(t, b.said.progress, 20*50, "leases are extended")
		assert.ErrorContains(t, b.Ready(), "no space left on device")
		s := b.Stats()
		assert.Equal(t, 20, s.Waiting)
		assert.InDelta(t, 60, s.LagSeconds, 1)
		assert.Equal(t, "no space left on device", s.LastError)
		assert.Less(t, b.store.tries, 100, "it is not tried without pause")

		b.store.set(nil)
		time.Sleep(2 * maxRetry)
		synctest.Wait()
		assert.Len(t, b.said.acked, 20)
		assert.Empty(t, b.said.early)
		assert.NoError(t, b.Ready())
		require.NoError(t, b.Close())
	})
}

func TestWhatCannotBeStoredIsTermed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 1})
		b.store.refuse = map[uint64]error{3: errors.New("one GPU too many")}
		bad := b.message(t, 2, "a")
		bad.payload = []byte("not a reading")
		b.take([]delivery{b.message(t, 1, "a"), bad, b.message(t, 3, "a"), b.message(t, 4, "a")})
		synctest.Wait()
		assert.Equal(t, []uint64{1, 4}, b.said.acked)
		require.Len(t, b.said.termed, 2)
		assert.Contains(t, b.said.termed[2], "decode reading: ")
		assert.Equal(t, "store reading: one GPU too many", b.said.termed[3])
		assert.Equal(t, uint64(4), b.store.checkpoint, "what is term'ed holds up nothing")
		assert.Equal(t, uint64(2), b.Stats().Termed)
		assert.NoError(t, b.Ready(), "bad messages are no fault of the store")
		require.NoError(t, b.Close())
	})
}

func TestCheckpointWaitsForTheSlowestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 8})
		release := make(chan struct{})
		b.store.gate = func(readings []telemetry.Reading) {
			if slices.ContainsFunc(readings, func(r telemetry.Reading) bool { return r.GPU == "slow" }) {
				<-release
			}
		}
		b.take([]delivery{b.message(t, 1, "a"), b.message(t, 2, "slow")})
		synctest.Wait()
		for s := uint64(3); s <= 40; s++ {
			b.take([]delivery{b.message(t, s, fmt.Sprint(s))})
		}
		synctest.Wait()
		assert.NotContains(t, b.said.acked, uint64(2))
		assert.Less(t, b.store.checkpoint, uint64(2))
		close(release)
		synctest.Wait()
		assert.Len(t, b.said.acked, 40)
		assert.Equal(t, uint64(40), b.store.checkpoint)
		require.NoError(t, b.Close())
	})
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 1})
		b.store.set(errors.New("disk is gone"))
		b.take([]delivery{b.message(t, 1, "a")})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		require.NoError(t, b.Drain(ctx))
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Empty(t, b.said.acked, "the hub will deliver it again")
		b.take([]delivery{b.message(t, 2, "a")}) // after the end: dropped, not a panic
		require.NoError(t, b.Drain(ctx))
	})
}

func TestFullQueuesHoldUpTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Workers: 1})
		b.store.set(errors.New("disk is gone"))
		taken := 0
		go func() {
			for s := uint64(1); s <= 10*queueLength; s++ {
				b.take([]delivery{b.message(t, s, "a")})
				taken++
			}
		}()
		synctest.Wait()
		assert.LessOrEqual(t, taken, 2*queueLength+2)
		b.store.set(nil)
		time.Sleep(2 * maxRetry)
		synctest.Wait()
		assert.Len(t, b.said.acked, 10*queueLength)
		require.NoError(t, b.Close())
	})
}
