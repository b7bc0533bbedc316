package hub

import (
	"slices"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// subscription is a live subscription. What is set when it is made never changes; the
// rest is guarded by its connection's outbox.mu.
type subscription struct {
	request  uint64
	filter   string
	conn     *conn
	conflate time.Duration
	maxQueue int
	maxBytes int

	// queue holds every message, oldest first, from index head on. taken is handed to
	// the writer and used again.
	queue [][]byte
	head  int
	taken [][]byte
	// newest holds the newest message of each topic since the last tick, and order the
	// topics in the order of their first.
	newest map[*topicState][]byte
	order  []*topicState

	bytes   int
	dropped uint64 // since the last Dropped frame
	lost    uint64 // in all
	isReady bool
	held    bool // nothing is sent while what it missed is read from the log
	flushed time.Time
	timer   *time.Timer
	closed  bool
}

// push queues a message for the writer. It never waits: a queue that is full loses its
// oldest message, a conflated topic its older one.
func (s *subscription) push(t *topicState, _ uint64, delivery []byte) {
	o := s.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.closed || o.closed {
		return
	}
	if s.conflate > 0 {
		s.conflateLocked(t, delivery)
		return
	}
	s.queue = append(s.queue, delivery)
	s.bytes += len(delivery)
	for s.lenLocked() > s.maxQueue || s.bytes > s.maxBytes && s.lenLocked() > 1 {
		s.dropOldestLocked()
	}
	s.readyLocked()
}

func (s *subscription) dropOldestLocked() {
	s.bytes -= len(s.queue[s.head])
	s.queue[s.head] = nil
	s.head++
	s.dropped++
	s.lost++
	s.conn.hub.stats.dropped.Add(1)
	s.compactLocked()
}

// compactLocked moves the queue to the front of its memory once half of that is empty.
func (s *subscription) compactLocked() {
	if s.head > 64 && s.head > len(s.queue)/2 {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
}

func (s *subscription) conflateLocked(t *topicState, delivery []byte) {
	old, waiting := s.newest[t]
	s.newest[t] = delivery
	s.bytes += len(delivery) - len(old)
	if !waiting {
		s.order = append(s.order, t)
	}
	if s.timer == nil && !s.isReady && !s.held {
		s.timer = time.AfterFunc(max(0, s.conflate-time.Since(s.flushed)), s.tick)
	}
}

// tick makes what a conflated subscription has gathered ready.
func (s *subscription) tick() {
	o := s.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.timer = nil
	if !s.closed && !o.closed {
		s.flushed = time.Now()
		s.readyLocked()
	}
}

func (s *subscription) readyLocked() {
	if s.isReady || s.held {
		return
	}
	s.isReady = true
	s.conn.out.ready = append(s.conn.out.ready, s)
	s.conn.out.signal()
}

// takeLocked removes up to about maxBytes of what waits, at least one message. The
// result is valid until the next call.
func (s *subscription) takeLocked(maxBytes int) (deliveries [][]byte, more bool) {
	s.taken = s.taken[:0]
	if s.conflate > 0 {
		n := 0
		for ; n < len(s.order) && maxBytes > 0; n++ {
			d := s.newest[s.order[n]]
			delete(s.newest, s.order[n])
			maxBytes -= len(d)
			s.bytes -= len(d)
			s.taken = append(s.taken, d)
		}
		s.order = slices.Delete(s.order, 0, n)
		return s.taken, len(s.order) > 0
	}
	for s.head < len(s.queue) && maxBytes > 0 {
		d := s.queue[s.head]
		s.queue[s.head] = nil
		s.head++
		maxBytes -= len(d)
		s.bytes -= len(d)
		s.taken = append(s.taken, d)
	}
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
		return s.taken, false
	}
	return s.taken, true
}

func (s *subscription) lenLocked() int { return len(s.queue) - s.head + len(s.order) }

// subscribe opens a live subscription.
func (c *conn) subscribe(f *wire.Subscribe) error {
	if err := topic.CheckFilter(f.GetFilter()); err != nil {
		return wire.Faultf(wire.BadTopic, "%v", err)
	}
	if err := c.newRequest(f.GetRequest()); err != nil {
		return err
	}
	o := &c.hub.o
	s := &subscription{
		request: f.GetRequest(), filter: f.GetFilter(), conn: c,
		conflate: time.Duration(f.GetConflateMs()) * time.Millisecond,
		maxQueue: o.MaxQueue, maxBytes: o.MaxQueueBytes, newest: map[*topicState][]byte{},
	}
	if n := int(f.GetMaxQueue()); n > 0 {
		s.maxQueue = min(n, o.MaxQueue)
	}
	c.subscriptions[s.request] = s
	c.opened.Store(int64(len(c.subscriptions)))
	// A conflated subscription has no use for what it missed: the newest is enough.
	resume := f.GetEpoch() == c.hub.epoch && s.conflate == 0
	s.held = resume

	fan := c.hub.fan
	states := []*topicState(nil)
	if f.GetSendLast() && !resume {
		states = fan.states(s.filter)
	}
	fan.mu.Lock()
	fan.index.add(s)
	last := fan.last
	c.out.mu.Lock()
	c.out.live = append(c.out.live, s)
	c.out.mu.Unlock()
	subscribed := &wire.Subscribed{Request: s.request, Epoch: c.hub.epoch, Sequence: last}
	if !resume {
		c.send(&wire.Frame{Kind: &wire.Frame_Subscribed{Subscribed: subscribed}})
	}
	for _, t := range states {
		if t.newest != nil {
			s.push(t, t.sequence, t.newest)
		}
	}
	fan.mu.Unlock()
	if !resume {
		return nil
	}
	missed, recovered := c.hub.missed(s, f.GetAfterSequence(), last)
	subscribed.Recovered = recovered
	c.send(&wire.Frame{Kind: &wire.Frame_Subscribed{Subscribed: subscribed}})
	s.release(missed)
	return nil
}

// maxResume bounds the sequences that are looked through for a subscription that resumes.
const maxResume = 1 << 18

// missed reads what fits s from the log, after one sequence and up to another. It is not
// recovered if the log or the subscription's queue does not hold all of it.
func (h *Hub) missed(s *subscription, after, upTo uint64) (missed [][]byte, recovered bool) {
	first, _ := h.log.Bounds()
	if after+1 < first || after > upTo || upTo-after > maxResume {
		return nil, false
	}
	bytes, tooMuch := 0, false
	for from := after + 1; from <= upTo && !tooMuch; {
		next := from
		err := h.log.Read(from, 1<<20, func(first uint64, count int, unixNano int64, body []byte) bool {
			next = first + uint64(count)
			err := eachMessage(body, func(_ []byte, i int, raw []byte) error {
				sequence := first + uint64(i)
				m, err := wire.ParseMessage(raw)
				if err != nil || sequence <= after || sequence > upTo || !topic.Match(s.filter, string(m.Topic)) {
					return err
				}
				missed = append(missed, wire.AppendDelivery(nil, sequence, 1, unixNano, raw))
				bytes += len(raw)
				return nil
			})
			tooMuch = err != nil || len(missed) > s.maxQueue || bytes > s.maxBytes
			return !tooMuch
		})
		if err != nil || next == from {
			return nil, false
		}
		from = next
	}
	if tooMuch {
		return nil, false
	}
	return missed, true
}

// release lets a held subscription go, with what it missed in front.
func (s *subscription) release(missed [][]byte) {
	o := s.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.held = false
	for _, d := range missed {
		s.bytes += len(d)
	}
	s.queue, s.head = append(missed, s.queue[s.head:]...), 0
	for s.lenLocked() > s.maxQueue {
		s.dropOldestLocked()
	}
	if s.lenLocked() > 0 {
		s.readyLocked()
	}
}

// end takes the subscription out.
func (s *subscription) end() {
	fan := s.conn.hub.fan
	fan.mu.Lock()
	fan.index.remove(s)
	fan.mu.Unlock()
	o := s.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.queue, s.newest, s.order, s.bytes = nil, nil, nil, 0
	o.live = slices.DeleteFunc(o.live, func(x *subscription) bool { return x == s })
	if s.isReady {
		o.ready = slices.DeleteFunc(o.ready, func(x *subscription) bool { return x == s })
	}
}
