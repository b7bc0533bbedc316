package hub

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

type answerKind uint8

const (
	acked answerKind = iota
	naked
	termed
	progressed
)

// answer is what a member says about a message.
type answer struct {
	kind   answerKind
	delay  time.Duration // of a nak; 0: the consumer's backoff
	reason string        // of a term
}

const (
	// A consumer without a backoff list waits this long after a nak, twice as long after
	// each further one, and with jitter, so that what always fails costs little.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 30 * time.Second
	// maxReasonBytes bounds a dead letter's reason.
	maxReasonBytes = 1024
)

// answer applies an answer to the sequences from first to last. Ones that are answered
// already or unknown are passed over: an answer may come twice.
func (c *consumer) answer(m *member, first, last uint64, a answer) {
	now := time.Now()
	c.mu.Lock()
	f := &c.inFlight
	for i := f.searchLocked(first); i < len(f.slots) && f.slots[i].sequence <= last; i++ {
		c.answerLocked(m, &f.slots[i], a, now)
	}
	m.stalled = false
	f.settleLocked()
	c.mu.Unlock()
	c.signal()
}

func (c *consumer) answerLocked(m *member, s *slot, a answer, now time.Time) {
	// An ack counts even if it comes late and the message is with somebody else by now;
	// a nak or progress is only for who has it.
	if s.state == done || s.state == dead || (a.kind == naked || a.kind == progressed) && (s.state != leased || s.member != m) {
		return
	}
	switch a.kind {
	case acked:
		c.inFlight.doneLocked(s)
		c.counts.acked++
		c.dirty = true
	case naked:
		delay := a.delay
		if delay == 0 {
			delay = c.backoffLocked(int(s.attempt))
		}
		c.failLocked(s, "nak", now, delay)
	case termed:
		c.condemnLocked(s, a.reason)
	case progressed:
		s.deadline, s.extended = now.Add(c.settings.ackWait), true
	}
}

// failLocked ends a delivery that did not succeed.
func (c *consumer) failLocked(s *slot, how string, now time.Time, delay time.Duration) {
	c.dirty = true
	if c.settings.maxDeliver > 0 && int(s.attempt) >= c.settings.maxDeliver {
		c.condemnLocked(s, fmt.Sprintf("delivered %d times, the last ended by %s", s.attempt, how))
		return
	}
	c.inFlight.waitLocked(s, now.Add(delay))
}

// backoffLocked is the pause after so many deliveries, give or take a fifth.
func (c *consumer) backoffLocked(attempt int) time.Duration {
	pause := min(firstBackoff<<min(attempt-1, 20), maxBackoff)
	if list := c.settings.backoff; len(list) > 0 {
		pause = list[min(attempt, len(list))-1]
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// expireLocked fails the deliveries whose ack wait has run out.
func (c *consumer) expireLocked(now time.Time) {
	for s := c.inFlight.expiredLocked(now); s != nil; s = c.inFlight.expiredLocked(now) {
		s.member.stalled = true
		c.failLocked(s, "its ack wait running out", now, 0)
	}
}

// dueLocked takes the redeliveries whose time has come and for which there is somebody.
func (c *consumer) dueLocked(now time.Time) (due []uint64) {
	w := &c.inFlight.waiting
	if len(c.members) == 0 || c.paused || w.Len() == 0 || (*w)[0].at.After(now) {
		return nil
	}
	for _, m := range c.members {
		m.owed = false
	}
	for w.Len() > 0 && !(*w)[0].at.After(now) && len(due) < defaultInFlight {
		due = append(due, heap.Pop(w).(wait).sequence)
	}
	return due
}

// redeliver reads a message from the log again and gives it to a member.
func (c *consumer) redeliver(sequence uint64) {
	raw, _, found := c.hub.readMessage(sequence)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.inFlight.findLocked(sequence)
	if s == nil || s.state != waiting {
		return
	}
	if !found {
		c.loseLocked(s)
		return
	}
	m := c.pickLocked(s.hash)
	if m == nil || m.open > 0 && m.open >= m.maxOpen {
		if m != nil {
			m.owed = true
		}
		heap.Push(&c.inFlight.waiting, wait{sequence, time.Now().Add(saveEvery)})
		return
	}
	c.leaseLocked(s, m, time.Now(), raw)
}

// loseLocked gives up a message that the log does not have any more.
func (c *consumer) loseLocked(s *slot) {
	c.hub.o.Logger.Error("message is gone from the log before it was answered", "consumer", c.name, "seq", s.sequence)
	c.counts.lost++
	c.inFlight.doneLocked(s)
	c.inFlight.settleLocked()
	c.dirty = true
}

// readMessage reads one encoded message from the log.
func (h *Hub) readMessage(sequence uint64) (raw []byte, unixNano int64, found bool) {
	err := h.log.Read(sequence, 1, func(first uint64, count int, at int64, body []byte) bool {
		if first > sequence {
			return false
		}
		err := eachMessage(body, func(_ []byte, i int, message []byte) error {
			if first+uint64(i) == sequence {
				raw, unixNano, found = append([]byte(nil), message...), at, true
			}
			return nil
		})
		return err == nil && !found
	})
	if err != nil {
		h.o.Logger.Error("read message from the log", "seq", sequence, "err", err)
	}
	return raw, unixNano, found
}

// burial is a message on its way to the dead letters.
type burial struct {
	sequence uint64
	attempt  uint32
	reason   string
}

// condemnLocked sends a message to the dead letters.
func (c *consumer) condemnLocked(s *slot, reason string) {
	if len(reason) > maxReasonBytes {
		reason = reason[:maxReasonBytes]
	}
	s.releaseLocked()
	s.state = dead
	c.dying = append(c.dying, burial{s.sequence, s.attempt, reason})
}

// Headers of a dead letter, beside the message's own.
const (
	headerReason     = "gpupulse-reason"
	headerConsumer   = "gpupulse-consumer"
	headerTopic      = "gpupulse-topic"
	headerSequence   = "gpupulse-sequence"
	headerDeliveries = "gpupulse-deliveries"
)

// bury copies a message to the dead letters; only when it is safe there is the original
// answered.
func (c *consumer) bury(b burial) {
	raw, _, found := c.hub.readMessage(b.sequence)
	m, err := wire.ParseMessage(raw)
	if !found || err != nil {
		c.buried(b.sequence, 0)
		return
	}
	headers := map[string]string{}
	m.EachHeader(func(name, value string) { headers[name] = value })
	maps.Copy(headers, map[string]string{
		headerReason:     b.reason,
		headerConsumer:   c.name,
		headerTopic:      string(m.Topic),
		headerSequence:   strconv.FormatUint(b.sequence, 10),
		headerDeliveries: strconv.FormatUint(uint64(b.attempt), 10),
	})
	p := c.hub.newPublication("", len(raw), func(ack *wire.PubAck) {
		if len(ack.GetExceptions()) == 0 {
			c.buried(b.sequence, ack.GetFirstSequence())
			return
		}
		time.AfterFunc(time.Second, func() {
			c.mu.Lock()
			c.dying = append(c.dying, b)
			c.mu.Unlock()
			c.signal()
		})
	})
	c.hub.gather()
	c.hub.add(p, wire.AppendMessage(nil, "$dead."+topic.Escape(c.name), m.Payload, headers, "", nil), true)
	c.hub.submit(p, false)
}

// buried ends a message whose dead letter is safe at sequence as; 0 if there was nothing
// left to bury.
func (c *consumer) buried(sequence, as uint64) {
	c.mu.Lock()
	if s := c.inFlight.findLocked(sequence); s != nil && s.state == dead {
		if as > 0 {
			c.deadAt = append(c.deadAt, as)
			c.deadAt = c.deadAt[max(0, len(c.deadAt)-maxDeadLetters):]
			c.inFlight.doneLocked(s)
			c.inFlight.settleLocked()
			c.counts.dead++
			c.hub.stats.dead.Add(1)
			c.dirty = true
		} else {
			c.loseLocked(s)
		}
	}
	c.mu.Unlock()
	c.signal()
}

// memoryPrefix is where a hub keeps its consumers in the log's table.
const memoryPrefix = "consumer/"

// remembered is a consumer's durable state.
type remembered struct {
	Filter     string            `json:"filter"`
	Floor      uint64            `json:"floor"`
	Spans      []span            `json:"spans,omitempty"`
	Attempts   map[uint64]uint32 `json:"attempts,omitempty"`
	AckWait    time.Duration     `json:"ack_wait"`
	MaxDeliver int               `json:"max_deliver"`
	Backoff    []time.Duration   `json:"backoff,omitempty"`
	Dead       uint64            `json:"dead"`
	DeadAt     []uint64          `json:"dead_at,omitempty"`
	Paused     bool              `json:"paused,omitempty"`
	Acked      uint64            `json:"acked"`
}

func (c *consumer) save(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saveLocked(now)
}

// saveLocked has the log keep the consumer's state with its next commit.
func (c *consumer) saveLocked(now time.Time) {
	r := remembered{
		Filter: c.filter, AckWait: c.settings.ackWait, MaxDeliver: c.settings.maxDeliver, Backoff: c.settings.backoff,
		Dead: c.counts.dead, DeadAt: c.deadAt, Paused: c.paused, Acked: c.counts.acked,
	}
	r.Floor, r.Spans, r.Attempts = c.inFlight.stateLocked()
	value, err := json.Marshal(r)
	if err != nil {
		c.hub.o.Logger.Error("encode consumer", "consumer", c.name, "err", err)
		return
	}
	c.hub.log.Put(memoryPrefix+c.name, value, nil)
	c.dirty, c.saved = false, now
}

// restoreConsumer brings a consumer back as it was remembered.
func (h *Hub) restoreConsumer(name string, value []byte) (*consumer, error) {
	var r remembered
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("restore consumer %q: %w", name, err)
	}
	c := h.newConsumer(name, r.Filter)
	c.settings = settings{r.AckWait, r.MaxDeliver, r.Backoff}
	c.inFlight.start(r.Floor, r.Spans)
	c.inFlight.attempts = r.Attempts
	c.next = r.Floor + 1
	c.counts.dead, c.counts.acked = r.Dead, r.Acked
	c.deadAt, c.paused = r.DeadAt, r.Paused
	return c, nil
}
