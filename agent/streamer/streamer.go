package streamer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"gpupulse/agent/source"
	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
	"gpupulse/sdk/topic"
)

const (
	// maxBatch is how many messages go to the publisher at once: a frame of 64 KiB
	// takes about as many readings.
	maxBatch = 256
	// queuedChunks is how many parts of source batches wait for each worker: one to
	// work on while the next is read.
	queuedChunks = 2
	// maxWorkers bounds goroutines; encoding needs no more than the cores.
	maxWorkers = 256
	// maxDealt bounds the GPUs whose worker is remembered: more than a large fleet has.
	maxDealt = 1 << 17
)

// Publisher is what the streamer needs of an sdk.Client.
type Publisher interface {
	// PublishAsync queues messages, waiting while the window is full, and calls done
	// once when all are answered. If it fails, done is not called.
	PublishAsync(ctx context.Context, messages []sdk.Message, done func([]sdk.Result, error)) error
	// Flush returns when everything queued is answered, or with the reason why not.
	Flush(ctx context.Context) error
}

// Options of a streamer. The zero value is usable.
type Options struct {
	Workers int     // 0: 1
	Rate    float64 // source rows per second and worker; 0: as fast as the hub acknowledges
	// Topic is the template of topics, as in telemetry.Topic. Empty: its DefaultTopic.
	Topic string
	// Restamp replaces the time of each reading by the one at which it is sent.
	Restamp bool
	// DrainTimeout bounds what Run does after its context has ended. 0: 8 s, which
	// leaves time to close within the ten seconds that a SIGTERM gives.
	DrainTimeout time.Duration
	Rejects      *source.Rejects // shared with the source; nil: the streamer's own
	// Skipped and Dropped tell how many rows the source left out: of other hosts, and
	// because nobody took them in time. Nil: none.
	Skipped, Dropped func() uint64
	Logger           *slog.Logger // nil: none
}

func (o Options) withDefaults() (Options, error) {
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Topic == "" {
		o.Topic = telemetry.DefaultTopic
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 8 * time.Second
	}
	if o.Rejects == nil {
		o.Rejects = &source.Rejects{}
	}
	none := func() uint64 { return 0 }
	if o.Skipped == nil {
		o.Skipped = none
	}
	if o.Dropped == nil {
		o.Dropped = none
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Workers < 0 || o.Workers > maxWorkers:
		return o, fmt.Errorf("%d workers: want 1 to %d", o.Workers, maxWorkers)
	case o.Rate != 0 && (o.Rate < minRate || o.Rate > maxRate || math.IsNaN(o.Rate)):
		return o, fmt.Errorf("rate of %g rows/s: want %g to %g, or 0 for no limit", o.Rate, minRate, maxRate)
	}
	// A template is right or wrong by itself, but only a reading brings it out.
	name, err := telemetry.Topic(o.Topic, &telemetry.Reading{Host: "host", GPU: "gpu"})
	if err == nil && topic.Reserved(name) {
		err = fmt.Errorf("topic template %q: topics that begin with $ are the hub's own", o.Topic)
	}
	return o, err
}

// Streamer moves readings from one source to one publisher, once.
type Streamer struct {
	o       Options
	from    source.Source
	to      Publisher
	seed    maphash.Seed
	dealt   map[uint64]int // worker by the hash of host and GPU; of Run's goroutine
	workers []*worker
	batches sync.Pool // of *batch, which cost more to make than to fill
	counts  counts
}

// New makes a streamer. The caller closes source and publisher after Run.
func New(from source.Source, to Publisher, o Options) (*Streamer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Streamer{o: o, from: from, to: to, seed: maphash.MakeSeed(), dealt: map[uint64]int{}}
	s.counts.init()
	for range o.Workers {
		s.workers = append(s.workers, &worker{
			s: s, queue: make(chan source.Batch, queuedChunks), pace: pacer{rate: o.Rate},
		})
	}
	return s, nil
}

// ErrUndrained is in Run's error when its context ended and the hub did not
// acknowledge everything within DrainTimeout.
var ErrUndrained = errors.New("no time left for the hub to acknowledge the rest")

// Run streams until the source ends or ctx does. It returns nil if every row that was
// read and could be understood is acknowledged. It is called once.
func (s *Streamer) Run(ctx context.Context) error {
	s.counts.begin()
	defer s.counts.end()
	// Sending goes on for a while after reading has stopped, and ends for good when
	// a worker cannot send.
	send, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	var watching, working sync.WaitGroup
	watching.Go(func() { s.watch(ctx, send, giveUp) })
	defer watching.Wait()
	defer giveUp(nil)
	for _, w := range s.workers {
		working.Go(func() {
			if err := w.run(ctx, send); err != nil {
				giveUp(err)
			}
		})
	}
	err := s.read(ctx, send)
	for _, w := range s.workers {
		close(w.queue)
	}
	working.Wait()
	if cause := context.Cause(send); cause != nil {
		return errors.Join(err, cause)
	}
	if flushed := s.to.Flush(send); flushed != nil {
		return errors.Join(err, fmt.Errorf("wait for acknowledgements: %w", flushed))
	}
	return errors.Join(err, s.counts.refusal())
}

// watch ends send DrainTimeout after ctx, unless it has ended by itself.
func (s *Streamer) watch(ctx, send context.Context, giveUp context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-send.Done():
		return
	}
	timer := time.NewTimer(s.o.DrainTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		giveUp(ErrUndrained)
	case <-send.Done():
	}
}

// read hands batches to the workers until the source or a context ends.
func (s *Streamer) read(ctx, send context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(send, stop)()
	// Without a rate everything that was read is sent, even after the end of ctx.
	queueing := send
	if s.o.Rate > 0 {
		queueing = reading
	}
	for {
		batch, err := s.from.Read(reading)
		switch {
		case errors.Is(err, io.EOF) || err != nil && reading.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read source: %w", err)
		}
		for i, part := range s.split(batch) {
			if len(part.Readings) == 0 {
				continue
			}
			select {
			case s.workers[i].queue <- part:
			case <-queueing.Done():
				return nil
			}
		}
	}
}

// split deals the readings of a batch out, each to the worker of its GPU.
func (s *Streamer) split(b source.Batch) []source.Batch {
	if len(s.workers) == 1 {
		return []source.Batch{b}
	}
	parts := make([]source.Batch, len(s.workers))
	for i := range b.Readings {
		parts[s.workerOf(&b.Readings[i])].Add(b.Readings[i], b.Rows[i], b.Line(i))
	}
	return parts
}

// workerOf is always the same one for a GPU. GPUs are dealt out in turn as they come
// up, so that a few of them are spread evenly; past maxDealt a hash decides.
func (s *Streamer) workerOf(r *telemetry.Reading) int {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(r.Host)
	h.WriteByte(0)
	h.WriteString(r.GPU)
	key := h.Sum64()
	worker, known := s.dealt[key]
	switch {
	case known:
	case len(s.dealt) < maxDealt:
		worker = len(s.dealt) % len(s.workers)
		s.dealt[key] = worker
	default:
		worker = int(key % uint64(len(s.workers)))
	}
	return worker
}
