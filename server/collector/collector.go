package collector

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the settings of a collector; the zero value is usable.
type Options struct {
	// Consumer is the durable consumer's name; "": store.
	Consumer string
	// Filter says which messages are readings; "": gpu.>
	Filter string
	// Workers decode and store side by side; 0: one a CPU.
	Workers int
	// AckWait is the consumer's, after which the hub delivers again; 0: 30 s. It counts
	// when the consumer is made, which is at the first start.
	AckWait    time.Duration
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: not registered
}

// Bounds of what the hub may have delivered here and not yet had answered.
const (
	maxInFlight      = 16_384
	maxInFlightBytes = 32 << 20
)

// Collector moves readings from a hub into an Appender. All methods may be called
// concurrently.
type Collector struct {
	o        Options
	appender Appender
	log      *slog.Logger
	count    counters
	tracker  tracker
	seed     maphash.Seed
	queues   []chan []*pending

	ctx       context.Context // ends when nothing more shall be stored
	cancel    context.CancelFunc
	workers   sync.WaitGroup
	extending sync.WaitGroup
	taking    sync.RWMutex // held for reading in take; for writing to close the queues
	ended     bool         // guarded by taking

	mu      sync.Mutex
	failing map[int]error // why storing fails now, by worker
	source  source        // nil until joined
}

// source is the membership in the consumer.
type source interface {
	// Ready reports why nothing would be delivered now; nil if something would.
	Ready() error
	// Leave sends the answers that wait, as long as ctx allows, and ends the
	// membership. Nothing is delivered after it returns. It may be called again.
	Leave(ctx context.Context) error
}

// New starts the workers; Consume gives them something to do.
func New(a Appender, o Options) *Collector {
	if o.Consumer == "" {
		o.Consumer = "store"
	}
	if o.Filter == "" {
		o.Filter = "gpu.>"
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.AckWait == 0 {
		o.AckWait = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Collector{o: o, appender: a, log: o.Logger, seed: maphash.MakeSeed(), failing: make(map[int]error)}
	c.count.register(o.Registerer, c)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i := range o.Workers {
		w := &worker{Collector: c, queue: make(chan []*pending, queueLength), number: i}
		c.queues = append(c.queues, w.queue)
		c.workers.Go(func() { w.run(c.ctx) })
	}
	c.extending.Go(c.extend)
	return c
}

// take deals deliveries to the workers. It waits while a worker's queue is full.
func (c *Collector) take(deliveries []delivery) {
	c.taking.RLock()
	defer c.taking.RUnlock()
	if c.ended {
		return
	}
	parts := make([][]*pending, len(c.queues))
	for _, p := range c.tracker.add(deliveries) {
		if p.attempt > 1 {
			c.count.redelivered.Add(1)
		}
		i := maphash.String(c.seed, p.topic) % uint64(len(parts))
		parts[i] = append(parts[i], p)
	}
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		select {
		case c.queues[i] <- part:
		case <-c.ctx.Done():
			return
		}
	}
}

// maxExtend is the longest pause between two extensions of leases: the consumer may
// have been made with a shorter ack wait than is asked today.
const maxExtend = time.Second

// extend tells the hub that what waits here is still being worked on.
func (c *Collector) extend() {
	tick := time.NewTicker(min(c.o.AckWait/3, maxExtend))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		all, _ := c.tracker.waiting()
		for _, p := range all {
			if err := p.Progress(); err != nil {
				c.log.Debug("lease not extended, the hub will deliver again", "topic", p.topic, "seq", p.sequence, "error", err)
				break
			}
		}
	}
}

func (c *Collector) failed(worker int, err error) {
	c.count.failed(err)
	c.mu.Lock()
	first := len(c.failing) == 0
	c.failing[worker] = err
	c.mu.Unlock()
	if first {
		c.log.Error("storing fails; messages are held and it is tried again", "error", err)
	}
}

func (c *Collector) recovered(worker int) {
	c.mu.Lock()
	_, failed := c.failing[worker]
	delete(c.failing, worker)
	last := failed && len(c.failing) == 0
	c.mu.Unlock()
	if last {
		c.log.Info("storing works again")
	}
}

// Ready reports why readings do not reach the store now; nil if they do.
func (c *Collector) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.failing {
		return fmt.Errorf("storing fails: %w", err)
	}
	if c.source == nil {
		return errors.New("has not joined its consumer yet")
	}
	return c.source.Ready()
}

// Drain takes nothing more from the hub, stores and answers what it holds, and ends.
// What ctx leaves no time for stays unanswered, and the hub delivers it again later.
func (c *Collector) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	c.closeQueues()
	c.workers.Wait()
	return c.end(ctx)
}

// Close ends at once. It may be called again, and after Drain.
func (c *Collector) Close() error {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Drain(done)
}

func (c *Collector) end(ctx context.Context) error {
	c.cancel()
	c.extending.Wait()
	c.count.unregister()
	c.mu.Lock()
	source := c.source
	c.mu.Unlock()
	if source == nil {
		return nil
	}
	if err := source.Leave(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (c *Collector) closeQueues() {
	c.taking.Lock()
	defer c.taking.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	for _, q := range c.queues {
		close(q)
	}
}
