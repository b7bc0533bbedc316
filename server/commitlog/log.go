package commitlog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Policy says when an append is answered.
type Policy string

// The policies. Under FsyncAlways an answer means that the messages are on disk;
// under the others it means that the operating system has them, which a killed
// process survives and a power cut does not.
const (
	FsyncAlways   Policy = "always"
	FsyncInterval Policy = "interval"
	FsyncNever    Policy = "never"
)

// ParsePolicy reads a policy's name.
func ParsePolicy(name string) (Policy, error) {
	switch p := Policy(name); p {
	case FsyncAlways, FsyncInterval, FsyncNever:
		return p, nil
	}
	return "", fmt.Errorf("fsync policy %q: want always, interval or never", name)
}

// Options of a log. The zero value is usable.
type Options struct {
	Fsync        Policy        // "": FsyncAlways
	SyncInterval time.Duration // of FsyncInterval; 0: one second
	// SegmentBytes is the size of a segment file; 0: 64 MiB.
	SegmentBytes int64
	// MaxAge and MaxBytes bound what is kept; whole segments go, oldest first, and
	// none that Keep still asks for. 0: no bound.
	MaxAge   time.Duration
	MaxBytes int64
	// MaxQueueBytes bounds what waits for the committer; Append waits for room. 0: 32 MiB.
	MaxQueueBytes int64

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none

	open openFunc // tests
}

type openFunc func(path string, flag int) (file, error)

func openOS(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (o Options) withDefaults() Options {
	if o.Fsync == "" {
		o.Fsync = FsyncAlways
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = time.Second
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.MaxQueueBytes <= 0 {
		o.MaxQueueBytes = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.open == nil {
		o.open = openOS
	}
	return o
}

// ErrClosed answers calls on a closed log.
var ErrClosed = errors.New("log is closed")

// ErrUnavailable wraps what keeps the log from taking messages: the disk is full or
// failing. The log tries again by itself; what was refused may be sent again.
var ErrUnavailable = errors.New("log cannot take messages")

// Damage is a range of acknowledged bytes that does not read back.
type Damage struct {
	Segment string // file name
	Offset  int64
	Bytes   int64
	// First and Last are the sequences that the range held, as far as its
	// neighbours tell; Last < First if it held none.
	First, Last uint64
}

func (d Damage) String() string {
	return fmt.Sprintf("segment %s, offset %d: %d bytes, sequences %d to %d", d.Segment, d.Offset, d.Bytes, d.First, d.Last)
}

// Stats tells how the log is.
type Stats struct {
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
	Bytes         int64  `json:"bytes"`
	Segments      int    `json:"segments"`
	Fsyncs        uint64 `json:"fsyncs"`
	Commits       uint64 `json:"commits"`
	Damaged       int    `json:"damaged_ranges"`
	Fsync         Policy `json:"fsync"`
}

// Log is an open log. All methods may be called concurrently.
type Log struct {
	dir      string
	o        Options
	epoch    [16]byte
	lockFile *os.File
	metrics  *metrics

	wake chan struct{} // holds one token: something waits for the committer
	done chan struct{} // closed when the committer has ended
	next chan prepared // holds the next segment's file once it is ready

	// turn is held by who commits: the committer, or a caller that commits for itself.
	// Unlike mu it is held over writes and syncs; nobody waits for it but the committer.
	turn sync.Mutex

	// Owned by who has the turn.
	buf       []byte
	records   []record
	preparing bool
	abandoned bool      // the active segment must not be written any more
	retryAt   time.Time // after a failure: not before
	unsynced  bool
	lastAt    int64

	mu       sync.Mutex
	room     *sync.Cond // of queueBytes
	queue    []pending
	queued   int64
	segments []*segment // oldest first; the last is active
	last     uint64     // last acknowledged sequence
	keep     uint64
	values   map[string][]byte
	dirty    map[string]struct{}
	putDone  []func(error)
	failed   error
	closed   bool
	damage   []Damage
	fsyncs   uint64
	commits  uint64
}

// pending is an append that waits for the committer.
type pending struct {
	count int
	body  []byte
	done  func(first uint64, unixNano int64, err error)
}

type prepared struct {
	f    file
	size int64
	err  error
}

// Open opens the log in dir and makes it where there is none. It fails if another
// process has it open, or if a segment's header cannot be trusted.
func Open(dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lockFile, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := lock(lockFile); err != nil {
		return nil, errors.Join(fmt.Errorf("open log %s: another process has it open: %w", dir, err), lockFile.Close())
	}
	l := &Log{
		dir: dir, o: o, lockFile: lockFile,
		wake: make(chan struct{}, 1), done: make(chan struct{}), next: make(chan prepared, 1),
		values: map[string][]byte{}, dirty: map[string]struct{}{},
	}
	l.room = sync.NewCond(&l.mu)
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	l.metrics = newMetrics(o.Registerer, l)
	go l.run()
	return l, nil
}

func newEpoch() (epoch [16]byte) {
	rand.Read(epoch[:]) // never fails
	return epoch
}

// Epoch identifies the log: sequences of another epoch mean nothing here.
func (l *Log) Epoch() string { return uuid.UUID(l.epoch).String() }

// Bounds returns the first sequence that is kept and the last acknowledged one.
// An empty log has last = first - 1.
func (l *Log) Bounds() (first, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[0].first, l.last
}

// Append queues a record of count messages. It waits while the queue is full and
// keeps body until done is called: once, by whoever commits, which must not be held
// up. The first message's sequence is first, the others follow. An error wraps
// ErrClosed or ErrUnavailable; then nothing was stored.
//
// A caller that has nothing better to do than to wait for the answer says so with
// alone: if nobody commits at the moment the commit happens before Append returns,
// which saves waking another goroutine.
func (l *Log) Append(count int, body []byte, alone bool, done func(first uint64, unixNano int64, err error)) {
	if count < 1 || count > maxCount || len(body) > maxBodyBytes {
		done(0, 0, fmt.Errorf("append %d messages of %d bytes to the log: out of bounds", count, len(body)))
		return
	}
	l.mu.Lock()
	for l.queued > 0 && l.queued+int64(len(body)) > l.o.MaxQueueBytes && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		done(0, 0, ErrClosed)
		return
	}
	l.queue = append(l.queue, pending{count, body, done})
	l.queued += int64(len(body))
	l.mu.Unlock()
	if !alone || !l.commitHere() {
		l.signal()
	}
}

// Put sets a named value, or deletes it if value is nil. Puts of one key between
// two commits count once, the last wins. The value must not change afterwards.
// If done is not nil it is called as Append's is.
func (l *Log) Put(key string, value []byte, done func(error)) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		if done != nil {
			done(ErrClosed)
		}
		return
	}
	if value == nil {
		delete(l.values, key)
	} else {
		l.values[key] = value
	}
	l.dirty[key] = struct{}{}
	if done != nil {
		l.putDone = append(l.putDone, done)
	}
	l.mu.Unlock()
	l.signal()
}

// Each calls visit for every named value, in the order of the keys.
func (l *Log) Each(visit func(key string, value []byte)) {
	l.mu.Lock()
	values := maps.Clone(l.values)
	l.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		visit(key, values[key])
	}
}

// Keep tells retention to leave everything from sequence from on; until it is called
// retention leaves everything.
func (l *Log) Keep(from uint64) {
	l.mu.Lock()
	l.keep = from
	l.mu.Unlock()
}

// Ready returns nil if the log takes messages, or why it does not.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// Damage lists the damaged ranges that have been met since Open.
func (l *Log) Damage() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.damage)
}

// Stats tells how the log is.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		FirstSequence: l.segments[0].first, LastSequence: l.last, Segments: len(l.segments),
		Fsyncs: l.fsyncs, Commits: l.commits, Damaged: len(l.damage), Fsync: l.o.Fsync,
	}
	for _, seg := range l.segments {
		s.Bytes += seg.size
	}
	return s
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close commits what waits, promises all of it and closes the files. It may be
// called more than once.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
	l.signal()
	<-l.done
	l.metrics.unregister(l.o.Registerer)
	return l.closeFiles()
}

func (l *Log) closeFiles() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.f.Close())
	}
	return errors.Join(append(errs, l.lockFile.Close())...)
}
