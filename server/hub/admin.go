package hub

import (
	"context"
	"slices"
	"strconv"
	"time"

	"gpupulse/sdk/wire"
)

// maxDeadLetters bounds the dead letters that a consumer lists; the oldest leave the list,
// not the log.
const maxDeadLetters = 10_000

// DeadLetter is a message that a consumer gave up.
type DeadLetter struct {
	Sequence         uint64            `json:"sequence"` // its own, on $dead.<consumer>
	Time             time.Time         `json:"time"`
	Topic            string            `json:"topic"` // where it was published
	OriginalSequence uint64            `json:"original_sequence"`
	Deliveries       int               `json:"deliveries"`
	Reason           string            `json:"reason"`
	Payload          []byte            `json:"payload"`
	Headers          map[string]string `json:"headers,omitempty"` // as published
}

// find returns a consumer, or a *wire.Fault with NotFound.
func (h *Hub) find(name string) (*consumer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.consumers[name]
	if c == nil {
		return nil, wire.Faultf(wire.NotFound, "no consumer %q", name)
	}
	return c, nil
}

// Consumer tells one consumer's state; the error is a *wire.Fault with NotFound.
func (h *Hub) Consumer(name string) (ConsumerInfo, error) {
	c, err := h.find(name)
	if err != nil {
		return ConsumerInfo{}, err
	}
	return c.info(time.Now()), nil
}

// PauseConsumer stops or resumes deliveries. Answers are taken all the time.
func (h *Hub) PauseConsumer(name string, paused bool) error {
	c, err := h.find(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.paused, c.dirty = paused, true
	c.mu.Unlock()
	c.signal()
	return nil
}

// ResetConsumer lets a consumer begin anew as start says; f is read as in Consume. What is in
// flight is forgotten.
func (h *Hub) ResetConsumer(name string, f *wire.Consume) error {
	c, err := h.find(name)
	if err != nil {
		return err
	}
	floor, spans, err := h.startOf(c.filter, f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.reset = &restart{floor, spans}
	c.mu.Unlock()
	c.signal()
	return nil
}

// restart is where a consumer begins anew.
type restart struct {
	floor uint64
	spans []span
}

// applyResetLocked begins anew, if that was asked for. Only run calls it.
func (c *consumer) applyResetLocked() {
	if c.reset == nil {
		return
	}
	for _, m := range c.members {
		m.open, m.bytes, m.stalled, m.owed = 0, 0, false, false
	}
	clear(c.owners)
	c.ahead, c.dying = c.ahead[:0], nil
	c.inFlight = inFlight{}
	c.inFlight.start(c.reset.floor, c.reset.spans)
	c.next, c.reset, c.dirty = c.reset.floor+1, nil, true
}

// DeleteConsumer forgets a consumer, unless it has members: a *wire.Fault with Conflict. Its
// dead letters stay in the log.
func (h *Hub) DeleteConsumer(name string) error {
	c, err := h.find(name)
	if err != nil {
		return err
	}
	h.mu.Lock()
	c.mu.Lock()
	members := len(c.members)
	if members == 0 {
		c.deleted = true
		delete(h.consumers, name)
	}
	c.mu.Unlock()
	h.mu.Unlock()
	if members > 0 {
		return wire.Faultf(wire.Conflict, "consumer %q has %d members, which must leave first", name, members)
	}
	c.signal()
	<-c.ended
	done := make(chan error, 1)
	h.log.Put(memoryPrefix+name, nil, func(err error) { done <- err })
	return <-done
}

// DeadLetters lists a consumer's dead letters, the newest first, and how many there are.
func (h *Hub) DeadLetters(name string, offset, limit int) (list []DeadLetter, total int, err error) {
	c, err := h.find(name)
	if err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	sequences := slices.Clone(c.deadAt)
	c.mu.Unlock()
	slices.Reverse(sequences)
	total = len(sequences)
	sequences = sequences[min(offset, total):min(offset+limit, total)]
	for _, sequence := range sequences {
		if d, ok := h.deadLetter(sequence); ok {
			list = append(list, d)
		}
	}
	return list, total, nil
}

// deadLetter reads one dead letter from the log.
func (h *Hub) deadLetter(sequence uint64) (d DeadLetter, found bool) {
	raw, unixNano, found := h.readMessage(sequence)
	if !found {
		return d, false
	}
	m, err := wire.ParseMessage(raw)
	if err != nil {
		h.o.Logger.Error("read dead letter", "seq", sequence, "err", err)
		return d, false
	}
	d = DeadLetter{Sequence: sequence, Time: time.Unix(0, unixNano).UTC(), Payload: m.Payload, Headers: map[string]string{}}
	m.EachHeader(func(name, value string) {
		switch name {
		case headerReason:
			d.Reason = value
		case headerTopic:
			d.Topic = value
		case headerSequence:
			d.OriginalSequence, _ = strconv.ParseUint(value, 10, 64) // the hub wrote it
		case headerDeliveries:
			d.Deliveries, _ = strconv.Atoi(value)
		case headerConsumer:
		default:
			d.Headers[name] = value
		}
	})
	return d, true
}

// ReplayDeadLetters publishes dead letters to the topics that they came from, and takes them
// off the list once that is safe; all of them if sequences is empty. It returns how
// many were replayed. A second replay of one dead letter is a duplicate to the hub.
func (h *Hub) ReplayDeadLetters(ctx context.Context, name string, sequences []uint64) (replayed int, err error) {
	c, err := h.find(name)
	if err != nil {
		return 0, err
	}
	for _, sequence := range c.chosen(sequences) {
		d, found := h.deadLetter(sequence)
		if !found {
			c.unlist(sequence)
			continue
		}
		d.Headers["gpupulse-replayed"] = strconv.FormatUint(sequence, 10)
		ack, err := h.Publish(ctx, "$replay."+name, &wire.Message{
			Topic: d.Topic, Payload: d.Payload, Headers: d.Headers, Id: strconv.FormatUint(sequence, 10),
		})
		if err != nil {
			return replayed, err
		}
		for _, e := range ack.GetExceptions() {
			if e.GetCode() != 0 {
				return replayed, wire.Faultf(wire.Code(e.GetCode()), "replay dead letter %d: %s", sequence, e.GetText())
			}
		}
		c.unlist(sequence)
		replayed++
	}
	return replayed, nil
}

// PurgeDeadLetters takes dead letters off the list, all of them if sequences is empty, and
// returns how many. The log keeps them as long as it keeps anything of their age.
func (h *Hub) PurgeDeadLetters(name string, sequences []uint64) (purged int, err error) {
	c, err := h.find(name)
	if err != nil {
		return 0, err
	}
	chosen := c.chosen(sequences)
	for _, sequence := range chosen {
		c.unlist(sequence)
	}
	return len(chosen), nil
}

// chosen returns those of the listed dead letters that sequences names, or all.
func (c *consumer) chosen(sequences []uint64) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.deadAt)
	if len(sequences) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(s uint64) bool { return !slices.Contains(sequences, s) })
}

func (c *consumer) unlist(sequence uint64) {
	c.mu.Lock()
	c.deadAt = slices.DeleteFunc(c.deadAt, func(s uint64) bool { return s == sequence })
	c.dirty = true
	c.mu.Unlock()
	c.signal()
}
