package commitlog_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"gpupulse/server/commitlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, o commitlog.Options) *commitlog.Log {
	t.Helper()
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 10
	}
	l, err := commitlog.Open(dir, o)
	require.NoError(t, err)
	return l
}

// put appends one record and waits for its answer.
func put(l *commitlog.Log, count int, body []byte) (uint64, error) {
	type answer struct {
		first uint64
		err   error
	}
	answered := make(chan answer, 1)
	l.Append(count, body, count%2 == 0, func(first uint64, _ int64, err error) { answered <- answer{first, err} })
	a := <-answered
	return a.first, a.err
}

func mustPut(t testing.TB, l *commitlog.Log, count int, body []byte) uint64 {
	t.Helper()
	first, err := put(l, count, body)
	require.NoError(t, err)
	return first
}

func putThreeSegments(t testing.TB, l *commitlog.Log) (put []entry) {
	t.Helper()
	for i := range 150 {
		body := fmt.Sprintf("%04d%s", i, string(make([]byte, 996)))
		put = append(put, entry{mustPut(t, l, 1, []byte(body)), 1, body})
	}
	return put
}

func values(l *commitlog.Log) map[string]string {
	all := map[string]string{}
	l.Each(func(key string, value []byte) { all[key] = string(value) })
	return all
}

func putValue(t testing.TB, l *commitlog.Log, key, value string) {
	t.Helper()
	answered := make(chan error, 1)
	l.Put(key, []byte(value), func(err error) { answered <- err })
	require.NoError(t, <-answered)
}

type entry struct {
	First uint64
	Count int
	Body  string
}

func readAll(t testing.TB, l *commitlog.Log, from uint64) (all []entry) {
	t.Helper()
	require.NoError(t, l.Read(from, 1<<40, func(first uint64, count int, _ int64, body []byte) bool {
		all = append(all, entry{first, count, string(body)})
		return true
	}))
	return all
}

func TestAppendGivesConsecutiveSequences(t *testing.T) {
	l := open(t, t.TempDir(), commitlog.Options{})
	require.Equal(t, uint64(1), mustPut(t, l, 3, []byte("abc")))
	require.Equal(t, uint64(4), mustPut(t, l, 1, []byte("d")))
	first, last := l.Bounds()
	require.Equal(t, uint64(1), first)
	require.Equal(t, uint64(4), last)
	require.Equal(t, []entry{{1, 3, "abc"}, {4, 1, "d"}}, readAll(t, l, 1))
	require.Equal(t, []entry{{1, 3, "abc"}, {4, 1, "d"}}, readAll(t, l, 3))
	require.Equal(t, []entry{{4, 1, "d"}}, readAll(t, l, 4))
	require.Empty(t, readAll(t, l, 5))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err := put(l, 1, nil)
	require.ErrorIs(t, err, commitlog.ErrClosed)
}

func TestReopenFindsAll(t *testing.T) {
	for _, policy := range []commitlog.Policy{commitlog.FsyncAlways, commitlog.FsyncInterval, commitlog.FsyncNever} {
		t.Run(string(policy), func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, commitlog.Options{Fsync: policy, SyncInterval: time.Millisecond})
			epoch := l.Epoch()
			var want []entry
			for round := range 4 {
				for i := range 100 {
					body := fmt.Sprintf("%d-%d-%s", round, i, string(make([]byte, 700)))
					want = append(want, entry{mustPut(t, l, 1+i%3, []byte(body)), 1 + i%3, body})
				}
				require.NoError(t, l.Close())
				l = open(t, dir, commitlog.Options{Fsync: policy})
				require.Equal(t, epoch, l.Epoch())
				require.Equal(t, want, readAll(t, l, 1))
			}
			require.Greater(t, l.Stats().Segments, 3)
			require.Empty(t, l.Damage())
			require.NoError(t, l.Close())
		})
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{})
	_, err := commitlog.Open(dir, commitlog.Options{})
	require.ErrorContains(t, err, "another process")
	require.NoError(t, l.Close())
}

func TestGroupCommitSharesSyncs(t *testing.T) {
	l := open(t, t.TempDir(), commitlog.Options{SegmentBytes: 4 << 20})
	const publishers, each = 32, 50
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				_, err := put(l, 1, make([]byte, 100))
				require.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.Less(t, l.Stats().Fsyncs, uint64(publishers*each), "each sync must serve several publishers")
	require.Equal(t, uint64(publishers*each), l.Stats().LastSequence)
	require.NoError(t, l.Close())
}

func TestBigRecordGetsItsOwnSegment(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{})
	big := string(make([]byte, 300<<10))
	mustPut(t, l, 1, []byte("a"))
	mustPut(t, l, 1, []byte(big))
	mustPut(t, l, 1, []byte("b"))
	want := []entry{{1, 1, "a"}, {2, 1, big}, {3, 1, "b"}}
	require.Equal(t, want, readAll(t, l, 1))
	require.NoError(t, l.Close())
	l = open(t, dir, commitlog.Options{})
	require.Equal(t, want, readAll(t, l, 1))
	require.NoError(t, l.Close())
}

func TestOutOfBoundsAppendIsRefused(t *testing.T) {
	l := open(t, t.TempDir(), commitlog.Options{})
	_, err := put(l, 0, nil)
	require.ErrorContains(t, err, "out of bounds")
	_, err = put(l, 1, make([]byte, 17<<20))
	require.ErrorContains(t, err, "out of bounds")
	require.NoError(t, l.Close())
}

func TestValuesOutliveSegments(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{MaxBytes: 1})
	l.Keep(math.MaxUint64)
	set := func(key, value string) {
		done := make(chan error, 1)
		var v []byte
		if value != "" {
			v = []byte(value)
		}
		l.Put(key, v, func(err error) { done <- err })
		require.NoError(t, <-done)
	}
	set("a", "1")
	set("gone", "x")
	for range 300 {
		mustPut(t, l, 1, make([]byte, 1000))
	}
	set("a", "2")
	set("gone", "")
	for i := range 3000 { // values alone fill segments too
		set("b", fmt.Sprint(i))
	}
	require.NoError(t, l.Close())
	l = open(t, dir, commitlog.Options{})
	got := map[string]string{}
	l.Each(func(key string, value []byte) { got[key] = string(value) })
	require.Equal(t, map[string]string{"a": "2", "b": "2999"}, got)
	require.LessOrEqual(t, l.Stats().Segments, 2)
	require.Equal(t, uint64(300), l.Stats().LastSequence)
	require.NoError(t, l.Close())
}

func TestRetentionKeepsWhatIsAskedFor(t *testing.T) {
	l := open(t, t.TempDir(), commitlog.Options{MaxBytes: 128 << 10})
	l.Keep(50)
	for range 500 {
		mustPut(t, l, 1, make([]byte, 1000))
	}
	first, _ := l.Bounds()
	require.LessOrEqual(t, first, uint64(50))
	require.Equal(t, uint64(50), readAll(t, l, 50)[0].First)
	l.Keep(480)
	for range 100 {
		mustPut(t, l, 1, make([]byte, 1000))
	}
	first, last := l.Bounds()
	require.Greater(t, first, uint64(400))
	require.Equal(t, uint64(600), last)
	require.Len(t, readAll(t, l, first), int(last-first+1))
	require.Len(t, readAll(t, l, 1), int(last-first+1), "a trimmed range is skipped")
	require.NoError(t, l.Close())
}

func TestFirstSinceFindsTheFirstAtOrAfterATime(t *testing.T) {
	l := open(t, t.TempDir(), commitlog.Options{})
	var times []int64
	for range 200 {
		done := make(chan int64, 1)
		l.Append(1, make([]byte, 1000), false, func(_ uint64, at int64, _ error) { done <- at })
		times = append(times, <-done)
	}
	for _, i := range []int{0, 1, 63, 64, 65, 130, 199} {
		seq, err := l.FirstSince(times[i])
		require.NoError(t, err)
		require.LessOrEqual(t, seq, uint64(i+1))
		require.Equal(t, times[i], times[seq-1], "sequence %d", seq)
	}
	seq, err := l.FirstSince(times[199] + int64(time.Hour))
	require.NoError(t, err)
	require.Equal(t, uint64(201), seq)
	require.NoError(t, l.Close())
}

// segments lists a closed log's files.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	return paths
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	require.NoError(t, err)
	b[0] ^= 0x55
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestDamageInTheMiddleIsSkippedAndReported(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{})
	want := putThreeSegments(t, l)
	require.NoError(t, l.Close())
	paths := segments(t, dir)
	require.Len(t, paths, 3)
	for _, path := range paths {
		flip(t, path, 64+40+5*1032+500)
	}
	l = open(t, dir, commitlog.Options{})
	got := readAll(t, l, 1)
	require.Len(t, got, len(want)-3)
	require.Len(t, l.Damage(), 3)
	lost := map[uint64]bool{}
	for _, d := range l.Damage() {
		require.Equal(t, d.First, d.Last, d.String())
		require.Equal(t, int64(1032), d.Bytes, d.String())
		lost[d.First] = true
	}
	for _, e := range want {
		if !lost[e.First] {
			require.Contains(t, got, e)
		}
	}
	require.Equal(t, uint64(151), mustPut(t, l, 1, []byte("next")), "the log goes on after damage")
	require.NoError(t, l.Close())
	l = open(t, dir, commitlog.Options{})
	require.Len(t, readAll(t, l, 1), len(want)-3+1)
	require.NoError(t, l.Close())
}

func TestDamagedHeadersCostNoMessage(t *testing.T) {
	for name, which := range map[string][]int{"first": {0}, "middle": {1}, "last": {2}, "all": {0, 1, 2}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, commitlog.Options{})
			want := putThreeSegments(t, l)
			putValue(t, l, "floor", "149")
			epoch := l.Epoch()
			require.NoError(t, l.Close())
			for _, i := range which {
				flip(t, segments(t, dir)[i], 41) // promisedBefore
			}
			for start := range 2 {
				l = open(t, dir, commitlog.Options{})
				require.Equal(t, want, readAll(t, l, 1))
				require.Len(t, l.Damage(), len(which), "told at each start")
				lost := start == 0 && len(which) == 3
				require.Equal(t, lost, epoch != l.Epoch(), "an epoch that nobody remembers is another one")
				epoch = l.Epoch()
				require.Equal(t, map[string]string{"floor": "149"}, values(l))
				want = append(want, entry{mustPut(t, l, 1, []byte("next")), 1, "next"})
				require.NoError(t, l.Close())
			}
		})
	}
}

func TestEmptySegmentWithDamagedHeaderKeepsItsPredecessor(t *testing.T) {
	for name, at := range map[string]int64{"header": 41, "table": 64 + 20} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, commitlog.Options{})
			first := mustPut(t, l, 1, []byte("kept"))
			putValue(t, l, "floor", "1")
			require.NoError(t, l.Close())
			flip(t, segments(t, dir)[0], 41)
			l = open(t, dir, commitlog.Options{}) // goes on in a new segment
			require.NoError(t, l.Close())
			require.Len(t, segments(t, dir), 2)
			flip(t, segments(t, dir)[1], at)

			for range 2 {
				l = open(t, dir, commitlog.Options{})
				require.NotEmpty(t, l.Damage())
				require.Equal(t, map[string]string{"floor": "1"}, values(l))
				require.Equal(t, entry{first, 1, "kept"}, readAll(t, l, 1)[0])
				mustPut(t, l, 1, []byte("next"))
				require.NoError(t, l.Close())
			}
			require.Len(t, func() []entry {
				l = open(t, dir, commitlog.Options{})
				defer l.Close()
				return readAll(t, l, 1)
			}(), 3)
		})
	}
}

func TestSegmentOfAnotherProgramIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, open(t, dir, commitlog.Options{}).Close())
	path := segments(t, dir)[0]
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[7] = 9 // a version of the future, with a checksum that says so on purpose
	binary.LittleEndian.PutUint32(b[48:], crc32.Checksum(b[:48], crc32.MakeTable(crc32.Castagnoli)))
	require.NoError(t, os.WriteFile(path, b, 0o644))
	_, err = commitlog.Open(dir, commitlog.Options{})
	require.ErrorContains(t, err, "format version 9, this program knows 1")
}

// crash copies the directory of an open log, as a killed process leaves it.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, path := range segments(t, dir) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, filepath.Base(path)), b, 0o644))
	}
	return to
}

func TestTornTailIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{})
	for range 5 {
		mustPut(t, l, 1, []byte("0123456789"))
	}
	left := crash(t, dir)
	require.NoError(t, l.Close())

	path := segments(t, left)[0]
	flip(t, path, 64+32+5*42-3) // the last record's body: nothing promises it
	l = open(t, left, commitlog.Options{})
	require.Len(t, readAll(t, l, 1), 4)
	require.Empty(t, l.Damage())
	require.Equal(t, uint64(5), mustPut(t, l, 1, []byte("again")))
	require.NoError(t, l.Close())

	l = open(t, left, commitlog.Options{})
	all := readAll(t, l, 1)
	require.Len(t, all, 5)
	require.Equal(t, "again", all[4].Body)
	require.NoError(t, l.Close())
}

// TestRecoveryUnderAnyDamage cuts and flips a crashed log at random: whatever is there
// afterwards must be a subset in order, the log must go on, and what is missing
// below the last promise must be reported.
func TestRecoveryUnderAnyDamage(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, commitlog.Options{SegmentBytes: 1 << 30 >> 12})
	for i := range 400 {
		mustPut(t, l, 1, binary.LittleEndian.AppendUint64(make([]byte, i%90), uint64(i)))
	}
	left := crash(t, dir)
	require.NoError(t, l.Close())
	original, err := os.ReadFile(segments(t, left)[0])
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		damaged := append([]byte(nil), original...)
		for range rapid.IntRange(0, 4).Draw(rt, "flips") {
			at := rapid.IntRange(0, 40_000).Draw(rt, "at")
			damaged[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		}
		if rapid.Bool().Draw(rt, "torn") {
			clear(damaged[rapid.IntRange(64, 40_000).Draw(rt, "from"):])
		}
		again, err := os.MkdirTemp("", "log")
		require.NoError(rt, err)
		defer os.RemoveAll(again)
		require.NoError(rt, os.WriteFile(filepath.Join(again, "00000000000000000001.log"), damaged, 0o644))
		l, err := commitlog.Open(again, commitlog.Options{SegmentBytes: 64 << 10, Fsync: commitlog.FsyncNever})
		if err != nil {
			return // values records are vouched for by their own checksum only
		}
		defer l.Close()
		seen, missing := uint64(0), uint64(0)
		require.NoError(rt, l.Read(1, 1<<40, func(first uint64, count int, _ int64, body []byte) bool {
			require.Greater(rt, first, seen)
			require.Equal(rt, first-1, binary.LittleEndian.Uint64(body[len(body)-8:]))
			missing += first - seen - 1
			seen = first
			return true
		}))
		for _, d := range l.Damage() {
			require.LessOrEqual(rt, d.First, d.Last+1)
			missing -= d.Last - d.First + 1
		}
		require.Zero(rt, missing, "every missing message below the last one is reported")
		_, last := l.Bounds()
		first, err := put(l, 1, []byte("12345678"))
		require.NoError(rt, err)
		require.Equal(rt, last+1, first)
	})
}
