package hub

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"gpupulse/sdk/wire"
)

// Options of a hub. The zero value is usable.
type Options struct {
	Name    string // told in Welcome and Stats
	Version string
	Fsync   string // the log's policy, told in Stats

	AckWait    time.Duration // of consumers that name none; 0: 30 s
	MaxDeliver int           // of consumers that name none; 0: 5

	MaxConnections   int // 0: 20,000
	MaxHandshakes    int // connections from the network that may begin per second; 0: 1,000
	MaxSubscriptions int // per connection; 0: wire.MaxSubscriptions
	MaxUnacked       int // per connection; 0: wire.MaxUnacked
	MaxFrameBytes    int // 0: wire.MaxFrameBytes
	MaxMessageBytes  int // 0: wire.MaxMessageBytes
	MaxTopics        int // 0: 200,000
	MaxConsumers     int // 0: 1,000
	// MaxQueue and MaxQueueBytes bound a live subscription that takes every message; past
	// them it loses its oldest. 0: 8,192 messages, 8 MiB.
	MaxQueue      int
	MaxQueueBytes int
	// DedupeWindow is how long a message id is known at least, DedupeEntries how many are
	// kept at most: with more than half of that within the window the oldest are forgotten
	// before. 0: two minutes, 2^19 ids.
	DedupeWindow  time.Duration
	DedupeEntries int

	HandshakeTimeout time.Duration // for Connect to come; 0: 10 s
	PingInterval     time.Duration // 0: wire.PingInterval
	WriteTimeout     time.Duration // of one frame to a slow reader; 0: 10 s

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

func (o Options) withDefaults() Options {
	integer := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	duration := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	duration(&o.AckWait, 30*time.Second)
	integer(&o.MaxDeliver, 5)
	integer(&o.MaxConnections, 20_000)
	integer(&o.MaxHandshakes, 1000)
	integer(&o.MaxSubscriptions, wire.MaxSubscriptions)
	integer(&o.MaxUnacked, wire.MaxUnacked)
	integer(&o.MaxFrameBytes, wire.MaxFrameBytes)
	integer(&o.MaxMessageBytes, wire.MaxMessageBytes)
	integer(&o.MaxTopics, 200_000)
	integer(&o.MaxConsumers, 1000)
	integer(&o.MaxQueue, 8192)
	integer(&o.MaxQueueBytes, 8<<20)
	duration(&o.DedupeWindow, 2*time.Minute)
	integer(&o.DedupeEntries, 1<<19)
	duration(&o.HandshakeTimeout, 10*time.Second)
	duration(&o.PingInterval, wire.PingInterval)
	duration(&o.WriteTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Hub is the broker. Its methods may be called concurrently.
type Hub struct {
	o       Options
	log     Log
	epoch   string
	seed    maphash.Seed
	started time.Time
	fan     *fanout
	dedupe  *dedupe
	stats   *stats
	door    *door

	ctx      context.Context // ends what runs
	cancel   context.CancelFunc
	running  sync.WaitGroup // consumers, clock
	fanDone  chan struct{}
	fanEnded chan struct{}
	serving  sync.WaitGroup // connections
	nextConn atomic.Uint64
	// handshakes keeps a storm of reconnects from taking the processor from those that
	// are connected.
	handshakes *rate.Limiter

	// order is held for reading while a publication gathers its messages, and for writing from
	// the first message with an expectation until the log has the publication. Before mu.
	order sync.RWMutex

	mu        sync.Mutex
	conns     map[uint64]*conn
	consumers map[string]*consumer
	admitted  int // connections, their handshakes included
	draining  bool
	closed    bool
}

// New starts a hub on a log, which it does not close, and brings back the consumers and
// the topics that the log remembers.
func New(log Log, o Options) (*Hub, error) {
	o = o.withDefaults()
	h := &Hub{
		o: o, log: log, epoch: log.Epoch(), seed: maphash.MakeSeed(), started: time.Now(),
		dedupe: newDedupe(o.DedupeWindow, o.DedupeEntries), stats: new(stats),
		handshakes: rate.NewLimiter(rate.Limit(o.MaxHandshakes), o.MaxHandshakes),
		conns:      map[uint64]*conn{}, consumers: map[string]*consumer{},
		fanDone: make(chan struct{}), fanEnded: make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.fan = newFanout(o.MaxTopics, h.wakeConsumers)
	commits := map[uint64]*commit{}
	err := h.fan.restore(log, func(first uint64, publisher []byte, i int, id []byte) {
		c := commits[first]
		if c == nil {
			clear(commits) // records come one after another
			c = &commit{first: first}
			commits[first] = c
		}
		h.dedupe.rememberLocked(h.dedupe.hash(publisher, id), origin{c, uint32(i)})
	})
	if err != nil {
		return nil, err
	}
	log.Each(func(key string, value []byte) {
		name, ok := strings.CutPrefix(key, memoryPrefix)
		if !ok || err != nil {
			return
		}
		var c *consumer
		if c, err = h.restoreConsumer(name, value); err == nil {
			h.consumers[name] = c
		}
	})
	if err != nil {
		return nil, err
	}
	h.start()
	return h, nil
}

func (h *Hub) start() {
	for _, c := range h.consumers {
		h.startConsumer(c)
	}
	h.keep()
	go func() {
		defer close(h.fanEnded)
		h.fan.run(h.fanDone)
	}()
	h.running.Go(h.clock)
	h.door = openDoor(h)
	h.stats.register(h.o.Registerer, h)
}

// clock pings, measures rates and tells the log what it must keep, once a second.
func (h *Hub) clock() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, pinged := time.Now(), time.Now()
	for {
		select {
		case <-h.ctx.Done():
			return
		case now := <-ticker.C:
			h.fan.tick(now.Sub(last))
			h.stats.tick(now.Sub(last))
			last = now
			h.keep()
			if now.Sub(pinged) >= h.o.PingInterval {
				pinged = now
				for _, c := range h.connections() {
					c.ping(now)
				}
			}
		}
	}
}

// keep tells the log what consumers still need.
func (h *Hub) keep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, last := h.log.Bounds()
	from := last + 1
	for _, c := range h.consumers {
		c.mu.Lock()
		from = min(from, c.inFlight.floorLocked()+1)
		if len(c.deadAt) > 0 {
			from = min(from, c.deadAt[0])
		}
		c.mu.Unlock()
	}
	h.log.Keep(from)
}

func (h *Hub) wakeConsumers() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.consumers {
		c.signal()
	}
}

// admit lets a connection in, or says why not.
func (h *Hub) admit(local bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining || h.closed:
		return wire.Faultf(wire.Draining, "the hub is going down")
	case h.admitted >= h.o.MaxConnections:
		return wire.Faultf(wire.TooBusy, "the hub has %d connections", h.admitted)
	case !local && !h.handshakes.Allow():
		h.stats.refused.Add(1)
		return wire.Faultf(wire.TooBusy, "more than %d connections began within a second", h.o.MaxHandshakes)
	}
	h.admitted++
	h.serving.Add(1)
	return nil
}

func (h *Hub) leave() {
	h.mu.Lock()
	h.admitted--
	h.mu.Unlock()
	h.serving.Done()
}

// enter lists a connection whose handshake is done.
func (h *Hub) enter(c *conn) {
	h.mu.Lock()
	h.conns[c.id] = c
	draining := h.draining
	h.mu.Unlock()
	h.o.Logger.Debug("connected", "conn", c.id, "name", c.name, "remote", c.remote, "protocol", c.protocol)
	if draining {
		h.sendAway(c, 0)
	}
}

func (h *Hub) exit(c *conn) {
	h.mu.Lock()
	delete(h.conns, c.id)
	h.mu.Unlock()
}

func (h *Hub) connections() []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*conn, 0, len(h.conns))
	for _, c := range h.conns {
		all = append(all, c)
	}
	return all
}

func (h *Hub) welcome(id uint64) *wire.Welcome {
	first, last := h.log.Bounds()
	return &wire.Welcome{
		Server: h.o.Name, Version: h.o.Version, Epoch: h.epoch, FirstSequence: first, LastSequence: last,
		MaxFrameBytes: uint32(h.o.MaxFrameBytes), MaxMessageBytes: uint32(h.o.MaxMessageBytes),
		MaxUnacked: uint32(h.o.MaxUnacked), PingIntervalMs: uint32(h.o.PingInterval.Milliseconds()),
		Connection: id, MaxSubscriptions: uint32(h.o.MaxSubscriptions),
	}
}

// Ready returns nil if the hub takes messages, or why it does not.
func (h *Hub) Ready() error {
	h.mu.Lock()
	draining := h.draining || h.closed
	h.mu.Unlock()
	if draining {
		return errors.New("the hub is going down")
	}
	if log, ok := h.log.(interface{ Ready() error }); ok {
		if err := log.Ready(); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	return nil
}

// Drain refuses new connections, tells the clients on the network to go away, each at a
// moment of its own, and waits until they have gone or ctx ends. Connections
// through DialLocal stay: their owners close them.
func (h *Hub) Drain(ctx context.Context) error {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	// Thousands of clients that come back in the same instant are a load of their own:
	// the hint spreads them.
	spread := time.Duration(len(h.connections())) * time.Millisecond
	for _, c := range h.connections() {
		h.sendAway(c, spread)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		waiting := 0
		for _, c := range h.connections() {
			if !c.local() {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drain hub: %d connections are left: %w", waiting, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// minRetry is the least that a client is asked to stay away.
const minRetry = 250 * time.Millisecond

func (h *Hub) sendAway(c *conn, spread time.Duration) {
	if c.local() {
		return
	}
	retry := minRetry + time.Duration(rand.Int64N(int64(spread+1)))
	c.send(&wire.Frame{Kind: &wire.Frame_GoAway{GoAway: &wire.GoAway{
		Reason: "the hub is going down", RetryAfterMs: uint32(retry.Milliseconds()),
	}}})
	c.out.finish()
}

// Close ends all connections and saves the consumers. What was accepted before is in the log
// or refused. It may be called more than once.
func (h *Hub) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed, h.draining = true, true
	h.mu.Unlock()
	for _, c := range h.connections() {
		c.end(wire.Faultf(wire.Draining, "the hub is going down"))
	}
	h.door.close()
	h.serving.Wait()
	h.cancel()
	h.running.Wait()
	close(h.fanDone)
	<-h.fanEnded
	h.stats.unregister(h.o.Registerer)
	return nil
}
