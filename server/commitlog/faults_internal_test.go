package commitlog

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faulty is a file that fails on demand.
type faulty struct {
	file
	fault *atomic.Pointer[fault]
}

type fault struct {
	write, sync, create error
	tear                int // a failing write stores this many bytes all the same
}

func (f *faulty) WriteAt(b []byte, off int64) (int, error) {
	if now := f.fault.Load(); now.write != nil {
		n, _ := f.file.WriteAt(b[:min(now.tear, len(b))], off)
		return n, now.write
	}
	return f.file.WriteAt(b, off)
}

func (f *faulty) Sync() error {
	if now := f.fault.Load(); now.sync != nil {
		return now.sync
	}
	return f.file.Sync()
}

func openFaulty(t *testing.T, dir string) (*Log, *atomic.Pointer[fault]) {
	t.Helper()
	now := new(atomic.Pointer[fault])
	now.Store(&fault{})
	l, err := Open(dir, Options{SegmentBytes: 64 << 10, open: func(path string, flag int) (file, error) {
		if err := now.Load().create; err != nil && flag&os.O_CREATE != 0 {
			return nil, err
		}
		f, err := openOS(path, flag)
		return &faulty{f, now}, err
	}})
	require.NoError(t, err)
	return l, now
}

func appendWait(l *Log, body string) (uint64, error) {
	type answer struct {
		first uint64
		err   error
	}
	answered := make(chan answer, 1)
	l.Append(1, []byte(body), true, func(first uint64, _ int64, err error) { answered <- answer{first, err} })
	a := <-answered
	return a.first, a.err
}

func bodies(t *testing.T, l *Log) (all []string) {
	t.Helper()
	require.NoError(t, l.Read(1, 1<<30, func(_ uint64, _ int, _ int64, body []byte) bool {
		all = append(all, string(body))
		return true
	}))
	return all
}

func TestFailingDiskStopsAcksAndComesBack(t *testing.T) {
	eio, full := errors.New("input/output error"), errors.New("no space left on device")
	for name, broken := range map[string]*fault{
		"write":             {write: eio},
		"torn write":        {write: eio, tear: 20},
		"whole write, sync": {sync: eio},
		"full":              {write: full, create: full},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, now := openFaulty(t, dir)
			_, err := appendWait(l, "before")
			require.NoError(t, err)
			require.NoError(t, l.Ready())

			now.Store(broken)
			for range 3 {
				_, err = appendWait(l, "refused")
				require.ErrorIs(t, err, ErrUnavailable)
			}
			require.Error(t, l.Ready())
			require.Equal(t, []string{"before"}, bodies(t, l))

			now.Store(&fault{})
			var seq uint64
			require.Eventually(t, func() bool {
				seq, err = appendWait(l, "after")
				return err == nil
			}, 5*time.Second, retryEvery/4)
			require.Equal(t, uint64(2), seq, "a refused message leaves no gap")
			require.NoError(t, l.Ready())
			require.Equal(t, []string{"before", "after"}, bodies(t, l))
			require.NoError(t, l.Close())

			l, _ = openFaulty(t, dir)
			require.Equal(t, []string{"before", "after"}, bodies(t, l))
			require.Empty(t, l.Damage())
			require.NoError(t, l.Close())
		})
	}
}

func FuzzRecover(f *testing.F) {
	good := appendRecord(nil, &record{kind: kindMessages, count: 2, promised: 64, first: 1, unixNano: 5, body: []byte("body")})
	f.Add(good)
	f.Add(appendRecord(good, &record{kind: kindValues, promised: 100, first: 3, unixNano: 6, body: appendValue(nil, "k", []byte("v"))}))
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &segment{path: "x.log", first: 1, size: segmentHeaderBytes + int64(len(b)), f: memory(append(make([]byte, segmentHeaderBytes), b...))}
		found, err := scan(s, nil, func(r *record) error {
			if r.kind == kindValues {
				_ = applyValues(map[string][]byte{}, r.body) // may refuse, must not panic
			}
			return nil
		})
		require.NoError(t, err)
		require.LessOrEqual(t, found.end, s.size)
		for _, d := range found.damage {
			require.Greater(t, d.Bytes, int64(0))
			require.LessOrEqual(t, d.Offset+d.Bytes, s.size)
		}
	})
}

// memory is a read-only file.
type memory []byte

func (m memory) ReadAt(b []byte, off int64) (int, error) {
	if n := copy(b, m[off:]); n < len(b) {
		return n, errors.New("read past the end")
	}
	return len(b), nil
}
func (memory) WriteAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (memory) Sync() error                        { return nil }
func (memory) Close() error                       { return nil }
