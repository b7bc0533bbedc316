package hub

import (
	"context"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// consumer is a durable cursor over the log. One goroutine, run, delivers; answers come
// from the members' readers. It holds no message but one read-ahead buffer: what is
// in flight is a sequence and a deadline, and is read from the log again if need be.
type consumer struct {
	hub    *Hub
	name   string
	filter string
	wake   chan struct{}
	ended  chan struct{} // run has returned

	// Owned by run: what has been read and not yet been given to a member.
	ahead    []fetched
	aheadBuf []byte

	mu       sync.Mutex
	settings settings
	members  []*member
	owners   map[uint64]owner // of topics with something in flight, by hash
	inFlight inFlight
	next     uint64 // first sequence not yet read from the log
	dying    []burial
	deadAt   []uint64 // sequences of the dead letters that are listed
	reset    *restart
	paused   bool
	deleted  bool
	dirty    bool
	saved    time.Time
	counts   counts
}

type counts struct {
	delivered, acked, redelivered, dead, lost uint64
	last                                      uint64 // highest sequence delivered
}

// owner is the member that has a topic's messages in flight, and how many.
type owner struct {
	member *member
	open   int
}

// settings are the newest member's.
type settings struct {
	ackWait    time.Duration
	maxDeliver int // 0: without bound
	backoff    []time.Duration
}

// fetched is a message in the read-ahead buffer.
type fetched struct {
	sequence uint64
	unixNano int64
	hash     uint64 // of its topic
	raw      []byte
}

// member is one subscription that shares a consumer's work. What follows request is
// guarded by consumer.mu.
type member struct {
	consumer *consumer
	conn     *conn
	request  uint64
	maxOpen  int
	maxBytes int

	open    int // in flight
	bytes   int
	left    bool
	owed    bool   // a redelivery waits for room: nothing new before it
	stalled bool   // let an ack wait run out and has answered nothing since
	batch   []byte // deliveries that wait for the end of a step
}

const (
	// aheadBytes is how much a consumer reads from the log at once.
	aheadBytes = 256 << 10
	// saveEvery is how often a consumer's state is made durable while it changes. A
	// crash redelivers what was answered since.
	saveEvery = 20 * time.Millisecond
	// defaultInFlight and defaultInFlightBytes bound a member that names no bound.
	defaultInFlight      = 1024
	defaultInFlightBytes = 8 << 20
	// unlimited is max_deliver's value for no bound.
	unlimited = math.MaxUint32
)

// join makes the connection a member of the consumer that f names.
func (h *Hub) join(conn *conn, f *wire.Consume) (*member, error) {
	name, filter := f.GetConsumer(), f.GetFilter()
	if name == "" || len(name) > wire.MaxNameBytes {
		return nil, wire.Faultf(wire.BadRequest, "consumer name of %d bytes, 1 to %d are allowed", len(name), wire.MaxNameBytes)
	}
	if err := topic.CheckFilter(filter); err != nil {
		return nil, wire.Faultf(wire.BadTopic, "%v", err)
	}
	c, err := h.consumer(name, filter, f)
	if err != nil {
		return nil, err
	}
	m := &member{consumer: c, conn: conn, request: f.GetRequest(), maxOpen: defaultInFlight, maxBytes: defaultInFlightBytes}
	if n := f.GetMaxInFlight(); n > 0 {
		m.maxOpen = int(n)
	}
	if n := f.GetMaxInFlightBytes(); n > 0 {
		m.maxBytes = int(min(n, math.MaxInt32))
	}
	_, last := h.log.Bounds()
	subscribed := &wire.Subscribed{Request: m.request, Epoch: h.epoch, Sequence: last, Recovered: true}
	c.mu.Lock()
	if c.deleted {
		c.mu.Unlock()
		return nil, wire.Faultf(wire.NotFound, "consumer %q was deleted a moment ago", name)
	}
	conn.send(&wire.Frame{Kind: &wire.Frame_Subscribed{Subscribed: subscribed}}) // before the first delivery
	c.settings = h.settingsOf(f)
	c.members = append(c.members, m)
	c.mu.Unlock()
	c.signal()
	return m, nil
}

func (h *Hub) settingsOf(f *wire.Consume) settings {
	s := settings{ackWait: h.o.AckWait, maxDeliver: h.o.MaxDeliver}
	if ms := f.GetAckWaitMs(); ms > 0 {
		s.ackWait = time.Duration(ms) * time.Millisecond
	}
	switch n := f.GetMaxDeliver(); n {
	case 0:
	case unlimited:
		s.maxDeliver = 0
	default:
		s.maxDeliver = int(n)
	}
	for _, ms := range f.GetBackoffMs() {
		s.backoff = append(s.backoff, time.Duration(ms)*time.Millisecond)
	}
	return s
}

// consumer finds the consumer of that name, or makes it.
func (h *Hub) consumer(name, filter string, f *wire.Consume) (*consumer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.consumers[name]; c != nil {
		if c.filter != filter {
			return nil, wire.Faultf(wire.Conflict, "consumer %q has filter %q, not %q", name, c.filter, filter)
		}
		return c, nil
	}
	if len(h.consumers) >= h.o.MaxConsumers {
		return nil, wire.Faultf(wire.TooMany, "the hub keeps %d consumers", h.o.MaxConsumers)
	}
	floor, spans, err := h.startOf(filter, f)
	if err != nil {
		return nil, err
	}
	c := h.newConsumer(name, filter)
	c.settings = h.settingsOf(f)
	c.inFlight.start(floor, spans)
	c.next, c.dirty = floor+1, true
	h.startConsumer(c)
	return c, nil
}

func (h *Hub) newConsumer(name, filter string) *consumer {
	return &consumer{hub: h, name: name, filter: filter, wake: make(chan struct{}, 1), ended: make(chan struct{}), owners: map[uint64]owner{}}
}

// startConsumer lets a consumer run. The caller holds h.mu, or nobody else has h yet.
func (h *Hub) startConsumer(c *consumer) {
	h.consumers[c.name] = c
	h.running.Go(func() { c.run(h.ctx) })
}

// startOf turns a start policy into a floor and what above it counts as answered.
func (h *Hub) startOf(filter string, f *wire.Consume) (floor uint64, spans []span, err error) {
	first, last := h.log.Bounds()
	switch f.GetStart() {
	case wire.Start_START_UNSPECIFIED, wire.Start_START_ALL:
		return first - 1, nil, nil
	case wire.Start_START_NEW:
		return last, nil, nil
	case wire.Start_START_SEQUENCE:
		return max(first, f.GetStartSequence()) - 1, nil, nil
	case wire.Start_START_TIME:
		from, err := h.log.FirstSince(f.GetStartTimeUnixNano())
		return max(first, from) - 1, nil, err
	case wire.Start_START_LAST_PER_TOPIC:
		return h.lastPerTopic(filter, last)
	}
	return 0, nil, wire.Faultf(wire.BadRequest, "start %d", f.GetStart())
}

// lastPerTopic starts at the newest message of each topic, with all between answered.
func (h *Hub) lastPerTopic(filter string, last uint64) (floor uint64, spans []span, err error) {
	var newest []uint64
	h.fan.mu.Lock()
	for _, t := range h.fan.states(filter) {
		if t.sequence > 0 && t.sequence <= last {
			newest = append(newest, t.sequence)
		}
	}
	h.fan.mu.Unlock()
	slices.Sort(newest)
	for i, sequence := range append(newest, last+1) {
		switch {
		case i == 0:
			floor = sequence - 1
		case sequence > newest[i-1]+1:
			spans = append(spans, span{newest[i-1] + 1, sequence - 1})
		}
	}
	return floor, spans, nil
}

func (c *consumer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends.
func (c *consumer) run(ctx context.Context) {
	defer close(c.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, deleted := c.step(time.Now())
		if deleted {
			return
		}
		timer.Reset(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
			c.save(time.Now())
			return
		}
	}
}

// step does all that can be done now and tells how long to wait for the next deadline, or
// that there is nothing more to do ever.
func (c *consumer) step(now time.Time) (wait time.Duration, deleted bool) {
	c.mu.Lock()
	if c.deleted {
		c.mu.Unlock()
		return 0, true
	}
	c.applyResetLocked()
	c.expireLocked(now)
	due := c.dueLocked(now)
	dying := c.dying
	c.dying = nil
	c.mu.Unlock()
	for _, b := range dying {
		c.bury(b)
	}
	for _, sequence := range due {
		c.redeliver(sequence)
	}
	for c.deliver() {
	}
	c.flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = c.inFlight.untilLocked(now)
	if c.dirty {
		if since := now.Sub(c.saved); since >= saveEvery {
			c.saveLocked(now)
		} else {
			wait = min(wait, saveEvery-since)
		}
	}
	return wait, false
}

// deliver gives read messages to members. It reports whether there may be more to do.
func (c *consumer) deliver() bool {
	if len(c.ahead) == 0 && !c.read() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return false
	}
	now := time.Now()
	given := 0
	for _, f := range c.ahead {
		if c.inFlight.answeredLocked(f.sequence) {
			// It keeps a slot, so that another restart knows it too.
			c.inFlight.doneLocked(c.inFlight.addLocked(f.sequence, f.unixNano, f.hash, len(f.raw)))
			given++
			continue
		}
		m := c.pickLocked(f.hash)
		if m == nil || m.owed || c.inFlight.fullLocked() || m.open > 0 && (m.open >= m.maxOpen || m.bytes+len(f.raw) > m.maxBytes) {
			break
		}
		s := c.inFlight.addLocked(f.sequence, f.unixNano, f.hash, len(f.raw))
		c.leaseLocked(s, m, now, f.raw)
		given++
	}
	all := given == len(c.ahead)
	switch {
	case all:
		c.inFlight.scanned = c.next - 1
	case given > 0:
		c.inFlight.scanned = c.ahead[given].sequence - 1
	}
	c.ahead = c.ahead[given:]
	c.inFlight.settleLocked()
	return all
}

// leaseLocked gives a message to a member.
func (c *consumer) leaseLocked(s *slot, m *member, now time.Time, raw []byte) {
	s.attempt++
	s.state, s.member, s.extended = leased, m, false
	c.inFlight.leaseLocked(s, now.Add(c.settings.ackWait))
	m.open++
	m.bytes += s.bytes
	c.owners[s.hash] = owner{m, c.owners[s.hash].open + 1}
	m.batch = wire.AppendDelivery(m.batch, s.sequence, s.attempt, s.unixNano, raw)
	c.counts.delivered++
	c.counts.last = max(c.counts.last, s.sequence)
	if s.attempt > 1 {
		c.counts.redelivered++
		c.hub.stats.redelivered.Add(1)
	}
	m.conn.delivered.Add(1)
	c.hub.stats.messagesOut.Add(1)
	if len(m.batch) >= wire.CoalesceBytes {
		m.flushLocked()
	}
}

func (m *member) flushLocked() {
	if len(m.batch) == 0 {
		return
	}
	frame := wire.AppendDeliver(make([]byte, 0, len(m.batch)+deliveryOverhead), m.request, len(m.batch))
	m.conn.out.put(append(frame, m.batch...))
	m.batch = m.batch[:0]
}

func (c *consumer) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		m.flushLocked()
	}
}

// disownLocked counts one message of a topic less in flight.
func (c *consumer) disownLocked(hash uint64) {
	o := c.owners[hash]
	if o.open--; o.open <= 0 {
		delete(c.owners, hash)
		return
	}
	c.owners[hash] = o
}

// pickLocked chooses the member for a topic: the one that has messages of it in flight, so
// that they stay in order; else one by its hash. A stalled member gets nothing new.
func (c *consumer) pickLocked(hash uint64) *member {
	if o := c.owners[hash]; o.member != nil && !o.member.stalled && !o.member.left {
		return o.member
	}
	n := 0
	for _, m := range c.members {
		if !m.stalled {
			n++
		}
	}
	if n == 0 {
		if len(c.members) == 0 {
			return nil
		}
		return c.members[hash%uint64(len(c.members))]
	}
	at := int(hash % uint64(n))
	for _, m := range c.members {
		if m.stalled {
			continue
		}
		if at == 0 {
			return m
		}
		at--
	}
	return nil
}

// read fills the read-ahead buffer. It reports whether the log had anything new.
func (c *consumer) read() bool {
	c.mu.Lock()
	from, idle := c.next, len(c.members) == 0 || c.paused
	c.mu.Unlock()
	_, last := c.hub.log.Bounds()
	if idle || from > last {
		return false
	}
	c.ahead, c.aheadBuf = c.ahead[:0], c.aheadBuf[:0]
	next := from
	err := c.hub.log.Read(from, aheadBytes, func(first uint64, count int, unixNano int64, body []byte) bool {
		next = first + uint64(count)
		err := eachMessage(body, func(_ []byte, i int, raw []byte) error {
			if sequence := first + uint64(i); sequence >= from {
				return c.take(sequence, unixNano, raw)
			}
			return nil
		})
		if err != nil {
			c.hub.o.Logger.Error("record in the log cannot be read and is skipped", "consumer", c.name, "seq", first, "err", err)
		}
		return true
	})
	if err != nil {
		c.hub.o.Logger.Error("read log", "consumer", c.name, "seq", from, "err", err)
		return false
	}
	if next == from {
		next = last + 1 // all the rest was trimmed or is damaged, which the log has told
	}
	c.mu.Lock()
	c.next = next
	c.mu.Unlock()
	return true
}

// take copies a message that fits the filter into the read-ahead buffer.
func (c *consumer) take(sequence uint64, unixNano int64, raw []byte) error {
	m, err := wire.ParseMessage(raw)
	if err != nil || !topic.Match(c.filter, string(m.Topic)) {
		return err
	}
	start := len(c.aheadBuf)
	c.aheadBuf = append(c.aheadBuf, raw...)
	c.ahead = append(c.ahead, fetched{
		sequence: sequence, unixNano: unixNano, raw: c.aheadBuf[start:], hash: maphash.Bytes(c.hub.seed, m.Topic),
	})
	return nil
}

// leave takes a member out. What it had in flight goes to others at once, and that
// delivery does not count: a connection that ends says nothing about a message.
func (c *consumer) leave(m *member) {
	c.mu.Lock()
	c.members = slices.DeleteFunc(c.members, func(x *member) bool { return x == m })
	m.left = true
	now := time.Now()
	c.inFlight.eachLocked(func(s *slot) {
		if s.state == leased && s.member == m {
			s.attempt--
			c.inFlight.waitLocked(s, now)
		}
	})
	c.mu.Unlock()
	c.signal()
}
