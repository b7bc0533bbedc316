package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

var (
	util  = &telemetry.Descriptor{Name: "test.util", Unit: "ratio", Kind: telemetry.Gauge, Source: "UTIL", SourceUnit: "percent", Mul: 1, Div: 100}
	temp  = &telemetry.Descriptor{Name: "test.temp", Unit: "celsius", Kind: telemetry.Gauge, Source: "TEMP", SourceUnit: "celsius", Mul: 1, Div: 1}
	tempK = &telemetry.Descriptor{Name: "test.temp", Unit: "celsius", Kind: telemetry.Gauge, Source: "TEMP_MILLI", SourceUnit: "millicelsius", Mul: 1, Div: 1000}
)

// opened is a store that is checked and closed at the test's end, and can be restarted.
type opened struct {
	*store.Store
	t   testing.TB
	dir string
}

func open(t testing.TB, o store.Options) *opened {
	s := &opened{t: t, dir: t.TempDir()}
	var err error
	s.Store, err = store.Open(s.dir, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, s.Check())
		assert.NoError(t, s.Close())
	})
	return s
}

func (s *opened) restart() {
	require.NoError(s.t, s.Check())
	require.NoError(s.t, s.Close())
	var err error
	s.Store, err = store.Open(s.dir, store.Options{})
	require.NoError(s.t, err)
	require.NoError(s.t, s.Check())
}

// put appends readings with consecutive sequences from first.
func (s *opened) put(first uint64, readings ...telemetry.Reading) {
	s.t.Helper()
	sequences := make([]uint64, len(readings))
	for i := range sequences {
		sequences[i] = first + uint64(i)
	}
	require.NoError(s.t, s.Append(s.t.Context(), "epoch", sequences, readings, first+uint64(len(readings))-1))
}

func (s *opened) readings(q telemetry.ReadingQuery) ([]telemetry.Reading, int) {
	s.t.Helper()
	if q.Span == (telemetry.Span{}) {
		q.Span = telemetry.Span{Start: 0, End: 1 << 62}
	}
	if q.Limit == 0 {
		q.Limit = 1000
	}
	got, total, err := s.Readings(s.t.Context(), q)
	require.NoError(s.t, err)
	return got, total
}

func reading(gpu string, time int64, samples ...telemetry.Sample) telemetry.Reading {
	return telemetry.Reading{
		Time: time, Host: "host-of-" + gpu, GPU: gpu, Samples: samples,
		Labels: map[string]string{telemetry.LabelModel: "H100", telemetry.LabelIndex: "0"},
	}
}

func sample(d *telemetry.Descriptor, sent float64) telemetry.Sample {
	return telemetry.Sample{Metric: d, Sent: sent}
}

// times are the readings' times, for short expectations.
func times(readings []telemetry.Reading) []int64 {
	out := []int64{}
	for _, r := range readings {
		out = append(out, r.Time)
	}
	return out
}

func TestReadingComesBackAsSentAfterRestart(t *testing.T) {
	s := open(t, store.Options{})
	want := reading("a", 1_700_000_000_123_456_789, sample(util, 29), sample(temp, 41.5))
	s.put(7, want)
	for range 2 {
		got, total := s.readings(telemetry.ReadingQuery{GPU: "a"})
		assert.Equal(t, 1, total)
		assert.Equal(t, []telemetry.Reading{want}, got)
		epoch, sequence := s.Checkpoint()
		assert.Equal(t, "epoch", epoch)
		assert.Equal(t, uint64(7), sequence)
		values, total, err := s.Latest(t.Context(), telemetry.LatestQuery{Page: telemetry.Page{Limit: 10}})
		require.NoError(t, err)
		assert.Equal(t, 2, total)
		assert.Equal(t, 0.29, values[1].Value())
		assert.Equal(t, 29.0, values[1].Sent)
		assert.Equal(t, want.Time, values[1].Time)
		s.restart()
	}
}

func TestRepeatedReadingsChangeNothing(t *testing.T) {
	s := open(t, store.Options{})
	batch := []telemetry.Reading{
		reading("a", 100, sample(temp, 1)), reading("a", 200, sample(temp, 2)), reading("b", 100, sample(temp, 3)),
	}
	s.put(1, batch...)
	before := s.Stats().Rows
	s.put(1, batch...)            // redelivered
	s.put(4, batch...)            // sent again
	s.put(7, batch[2], batch[0])  // in another order
	s.put(2, batch[1], batch[2])  // late redelivery
	s.put(20, batch[0], batch[0]) // twice in a batch
	s.put(30, batch[1], batch[0]) //
	s.put(1, batch[0])            //
	assert.Equal(t, before, s.Stats().Rows)
	got, total := s.readings(telemetry.ReadingQuery{GPU: "a", OldestFirst: true})
	assert.Equal(t, 2, total)
	assert.Equal(t, batch[:2], got)
	_, sequence := s.Checkpoint()
	assert.Equal(t, uint64(31), sequence, "a checkpoint never goes back")
}

func TestHigherSequenceWins(t *testing.T) {
	f := func(name string, want float64, writes ...telemetry.Reading) {
		t.Run(name, func(t *testing.T) {
			s := open(t, store.Options{})
			for _, w := range writes {
				// The label carries the sequence.
				var sequence uint64
				_, err := fmt.Sscan(w.Labels["sequence"], &sequence)
				require.NoError(t, err)
				s.put(sequence, w)
			}
			for range 2 {
				got, total := s.readings(telemetry.ReadingQuery{GPU: "a", Metrics: []string{"test.temp"}})
				require.Equal(t, 1, total)
				require.Len(t, got[0].Samples, 1)
				assert.Equal(t, want, got[0].Samples[0].Value())
				values, _, err := s.Latest(t.Context(), telemetry.LatestQuery{Metrics: []string{"test.temp"}, Page: telemetry.Page{Limit: 1}})
				require.NoError(t, err)
				assert.Equal(t, want, values[0].Value())
				s.restart()
			}
		})
	}
	at := func(sequence int, samples ...telemetry.Sample) telemetry.Reading {
		r := reading("a", 1000, samples...)
		r.Labels = map[string]string{"sequence": fmt.Sprint(sequence)}
		return r
	}
	f("later write", 2, at(5, sample(temp, 1)), at(6, sample(temp, 2)))
	f("late redelivery of the older", 2, at(6, sample(temp, 2)), at(5, sample(temp, 1)))
	f("other columns, later", 2, at(5, sample(temp, 1), sample(util, 7)), at(6, sample(temp, 2)))
	f("other columns, older arrives late", 2, at(6, sample(temp, 2)), at(5, sample(temp, 1), sample(util, 7)))
	f("other name of the metric", 2, at(5, sample(temp, 1)), at(6, sample(tempK, 2000)))
	f("other name, older arrives late", 2, at(6, sample(tempK, 2000)), at(5, sample(temp, 1)))
	f("both names in one reading", 2, at(5, sample(temp, 1), sample(tempK, 2000)))
	f("twice in one reading", 2, at(5, sample(temp, 1), sample(temp, 2)))
}

func TestLaterEpochWins(t *testing.T) {
	s := open(t, store.Options{})
	require.NoError(t, s.Append(t.Context(), "old", []uint64{900}, []telemetry.Reading{reading("a", 5, sample(temp, 1))}, 900))
	require.NoError(t, s.Append(t.Context(), "new", []uint64{1}, []telemetry.Reading{reading("a", 5, sample(temp, 2))}, 1))
	require.NoError(t, s.Append(t.Context(), "old", []uint64{901}, []telemetry.Reading{reading("a", 5, sample(temp, 3))}, 901))
	got, _ := s.readings(telemetry.ReadingQuery{GPU: "a"})
	assert.Equal(t, 2.0, got[0].Samples[0].Sent)
	epoch, sequence := s.Checkpoint()
	assert.Equal(t, "new", epoch)
	assert.Equal(t, uint64(1), sequence)
}

func TestSamplesOfOneTimeAreOneReading(t *testing.T) {
	s := open(t, store.Options{})
	late := sample(util, 50)
	late.Offset = 300
	s.put(1, reading("a", 1000, sample(temp, 40), late)) // util is of 1300
	s.put(2, reading("a", 1300, sample(temp, 41)))
	got, total := s.readings(telemetry.ReadingQuery{GPU: "a", OldestFirst: true})
	require.Equal(t, 2, total)
	assert.Equal(t, []int64{1000, 1300}, times(got))
	assert.ElementsMatch(t, []telemetry.Sample{sample(util, 50), sample(temp, 41)}, got[1].Samples)
	_, total = s.readings(telemetry.ReadingQuery{GPU: "a", Metrics: []string{"UTIL"}})
	assert.Equal(t, 1, total)
}

func TestPages(t *testing.T) {
	s := open(t, store.Options{})
	for i, at := range []int64{50, 10, -30, 40, 20} { // late and before 1970
		s.put(uint64(i+1), reading("a", at, sample(temp, float64(at))))
	}
	s.put(10, reading("b", 20, sample(temp, 0)), reading("a", 30, sample(util, 1)))
	f := func(want []int64, total int, q telemetry.ReadingQuery) {
		t.Helper()
		q.GPU = "a"
		if q.Span == (telemetry.Span{}) {
			q.Span = telemetry.Span{Start: -1 << 63, End: 1<<63 - 1}
		}
		got, n, err := s.Readings(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, want, times(got))
		assert.Equal(t, total, n)
	}
	page := func(limit, offset int) telemetry.Page { return telemetry.Page{Limit: limit, Offset: offset} }
	f([]int64{50, 40, 30, 20, 10, -30}, 6, telemetry.ReadingQuery{Page: page(100, 0)})
	f([]int64{-30, 10}, 6, telemetry.ReadingQuery{Page: page(2, 0), OldestFirst: true})
	f([]int64{20, 10}, 6, telemetry.ReadingQuery{Page: page(2, 3)})
	f([]int64{-30}, 6, telemetry.ReadingQuery{Page: page(2, 5)})
	f([]int64{}, 6, telemetry.ReadingQuery{Page: page(2, 9)})
	f([]int64{}, 6, telemetry.ReadingQuery{})
	f([]int64{40, 30, 20}, 3, telemetry.ReadingQuery{Page: page(9, 0), Span: telemetry.Span{Start: 20, End: 40}})
	f([]int64{20, 30, 40}, 3, telemetry.ReadingQuery{Page: page(9, 0), Span: telemetry.Span{Start: 20, End: 40}, OldestFirst: true})
	f([]int64{}, 0, telemetry.ReadingQuery{Page: page(9, 0), Span: telemetry.Span{Start: 41, End: 49}})
	f([]int64{}, 0, telemetry.ReadingQuery{Page: page(9, 0), Span: telemetry.Span{Start: 40, End: 20}})
	f([]int64{30}, 1, telemetry.ReadingQuery{Page: page(9, 0), Metrics: []string{"test.util"}})
	f([]int64{}, 0, telemetry.ReadingQuery{Page: page(9, 0), Metrics: []string{"nothing"}})
}

func TestCatalogue(t *testing.T) {
	s := open(t, store.Options{})
	gpu := func(id, host, index, model string, time int64) telemetry.Reading {
		return telemetry.Reading{Time: time, Host: host, GPU: id, Samples: []telemetry.Sample{sample(temp, 1)},
			Labels: map[string]string{telemetry.LabelModel: model, telemetry.LabelIndex: index}}
	}
	s.put(1, gpu("x", "h2", "10", "A100", 5), gpu("y", "h2", "9", "H100", 6), gpu("z", "h1", "0", "H100", 3), gpu("../e", "h/1", "", "H100", 1))
	for range 2 {
		hosts, total, err := s.Hosts(t.Context(), telemetry.Page{Limit: 2, Offset: 1})
		require.NoError(t, err)
		assert.Equal(t, 3, total)
		assert.Equal(t, []telemetry.Host{{Name: "h1", GPUs: 1, LastSeen: 3}, {Name: "h2", GPUs: 2, LastSeen: 6}}, hosts)
		gpus, total, err := s.GPUs(t.Context(), telemetry.GPUQuery{Page: telemetry.Page{Limit: 3, Offset: 1}})
		require.NoError(t, err)
		assert.Equal(t, 4, total)
		assert.Equal(t, []string{"z", "y", "x"}, []string{gpus[0].ID, gpus[1].ID, gpus[2].ID}, "by host, index as a number, id")
		_, total, _ = s.GPUs(t.Context(), telemetry.GPUQuery{Host: "h2", Model: "A100"})
		assert.Equal(t, 1, total)
		s.restart()
	}
	// A GPU that moves belongs to the new host; a late reading does not move it back.
	s.put(10, gpu("x", "h1", "1", "A100", 50))
	s.put(11, gpu("x", "h2", "10", "A100", 49))
	hosts, _, err := s.Hosts(t.Context(), telemetry.Page{Limit: 9})
	require.NoError(t, err)
	assert.Equal(t, []telemetry.Host{{Name: "h/1", GPUs: 1, LastSeen: 1}, {Name: "h1", GPUs: 2, LastSeen: 50}, {Name: "h2", GPUs: 1, LastSeen: 6}}, hosts)
	got, _ := s.readings(telemetry.ReadingQuery{GPU: "x"})
	assert.Equal(t, []string{"h1", "h2", "h2"}, []string{got[0].Host, got[1].Host, got[2].Host}, "a reading keeps its own host")
}

func TestUnknownGPU(t *testing.T) {
	s := open(t, store.Options{})
	_, _, err := s.Readings(t.Context(), telemetry.ReadingQuery{GPU: "nobody"})
	assert.ErrorIs(t, err, telemetry.ErrUnknown)
	_, err = s.Series(t.Context(), telemetry.SeriesQuery{GPU: "nobody", Step: time.Second, Agg: telemetry.Avg})
	assert.ErrorIs(t, err, telemetry.ErrUnknown)
}

func TestConcurrentAppends(t *testing.T) {
	s := open(t, store.Options{Registerer: prometheus.NewRegistry()})
	const workers, batches, size = 8, 20, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for b := range batches {
				var sequences []uint64
				var batch []telemetry.Reading
				for i := range size {
					sequences = append(sequences, uint64(1+w+workers*(b*size+i)))
					batch = append(batch, reading(fmt.Sprint("gpu-", w), int64(b*size+i), sample(temp, float64(i))))
				}
				assert.NoError(t, s.Append(t.Context(), "epoch", sequences, batch, 0))
			}
		})
	}
	wg.Wait()
	s.restart()
	assert.Equal(t, uint64(workers*batches*size), s.Stats().Rows)
	_, total := s.readings(telemetry.ReadingQuery{GPU: "gpu-3"})
	assert.Equal(t, batches*size, total)
}

func TestCloseIsIdempotentAndRefusesWork(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	assert.ErrorIs(t, s.Append(t.Context(), "e", nil, nil, 0), store.ErrClosed)
	assert.ErrorIs(t, s.Check(), store.ErrClosed)
}

func TestDirectoryIsLocked(t *testing.T) {
	s := open(t, store.Options{})
	_, err := store.Open(s.dir, store.Options{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), s.dir)
	assert.Contains(t, err.Error(), "Another process is using")
}

func TestForeignAndNewerFormatsAreRefused(t *testing.T) {
	f := func(name, key, value, want string) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
			require.NoError(t, err)
			require.NoError(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(key), []byte(value)) }))
			require.NoError(t, db.Close())
			_, err = store.Open(dir, store.Options{})
			require.ErrorContains(t, err, want)
			_, err = store.Open(dir, store.Options{})
			require.ErrorContains(t, err, want, "a refused directory is left as it was, and unlocked")
		})
	}
	f("newer", "!", "gpupulse-store 2", "use a newer one")
	f("not ours", "!", "something", "is not ours")
	f("foreign", "user/1", "x", "of another program")
}

func TestOpenNeedsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := store.Open(file, store.Options{})
	require.ErrorContains(t, err, file)
}
