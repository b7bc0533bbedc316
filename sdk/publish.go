package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

const (
	// maxUnackedBytes bounds the memory of messages that wait for their answer.
	maxUnackedBytes = 64 << 20
	// unavailablePause is how long a client waits before it sends again what the hub's
	// log could not take.
	unavailablePause = 250 * time.Millisecond
)

// publisher is the publishing side of a client. Its fields are guarded by Client.mu.
type publisher struct {
	lastErr error // of the last try to connect

	numbered  uint64 // message ids given
	ordered   uint64 // parts made
	open      int    // messages that are not answered
	openBytes int
	room      *sync.Cond // of open
	queue     []*part    // not sent, in order
	sent      []*sentFrame
	pausedFor time.Time // nothing is sent before
	timer     *time.Timer
}

func (p *publisher) init(mu *sync.Mutex) { p.room = sync.NewCond(mu) }

// submission is one call of PublishAsync.
type submission struct {
	results []Result
	missing int // parts that are not answered
	done    func([]Result, error)
}

// part is as many messages of a submission as one frame takes.
type part struct {
	order    uint64
	of       *submission
	offset   int // of its first message in the submission
	count    int
	messages []byte // as wire.AppendPublished makes them
}

// sentFrame is a Publish frame that waits for its PubAck.
type sentFrame struct {
	request uint64
	parts   []*part
}

// Publish sends messages and returns when all are answered, on the hub's disk if its log
// syncs. The error is the first refusal, or why the rest could not be sent; then
// Results with neither a sequence nor an error of their own were not answered.
func (c *Client) Publish(ctx context.Context, messages ...Message) ([]Result, error) {
	type answer struct {
		results []Result
		err     error
	}
	answered := make(chan answer, 1)
	if err := c.PublishAsync(ctx, messages, func(r []Result, err error) { answered <- answer{r, err} }); err != nil {
		return nil, err
	}
	select {
	case a := <-answered:
		return a.results, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("publish: %w", context.Cause(ctx))
	}
}

// PublishAsync queues messages and calls done once, when all of them are answered. It
// waits while the window is full, whether connected or not; after a lost connection
// what is not answered is sent again, with the same ids. done is called from the
// client's goroutine and must not block or publish. An error means that nothing was
// queued and done is not called.
func (c *Client) PublishAsync(ctx context.Context, messages []Message, done func([]Result, error)) error {
	if len(messages) == 0 {
		done(nil, nil)
		return nil
	}
	for i := range messages {
		if err := checkMessage(&messages[i]); err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(messages), err)
		}
	}
	s := &submission{results: make([]Result, len(messages)), done: done}
	bytes := 0
	for i := range messages {
		bytes += len(messages[i].Payload) + len(messages[i].Topic)
	}
	c.mu.Lock()
	if err := c.waitForRoomLocked(ctx, len(messages), bytes); err != nil {
		c.mu.Unlock()
		return fmt.Errorf("publish: %w", err)
	}
	alone := c.open == 0
	c.open += len(messages)
	parts := c.partition(s, messages, c.numbered)
	c.numbered += uint64(len(messages))
	for _, p := range parts {
		c.ordered++
		p.order = c.ordered
		c.openBytes += len(p.messages)
	}
	s.missing = len(parts)
	c.queue = append(c.queue, parts...)
	session := c.session
	c.mu.Unlock()
	if session == nil {
		return nil
	}
	// Who has nothing else open waits for the answer: to write here saves waking the writer.
	if !alone || !session.writeHere() {
		session.signal()
	}
	return nil
}

// waitForRoomLocked waits until so many messages fit the window. The caller holds mu.
func (c *Client) waitForRoomLocked(ctx context.Context, messages, bytes int) error {
	full := func() bool {
		return c.open > 0 && (c.open+messages > c.o.MaxUnacked || c.openBytes+bytes > maxUnackedBytes)
	}
	if full() {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			c.room.Broadcast()
			c.mu.Unlock()
		})
		defer stop()
	}
	for full() && c.final == nil && ctx.Err() == nil {
		c.room.Wait()
	}
	if c.final != nil {
		return c.final
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func checkMessage(m *Message) error {
	if err := topic.Check(m.Topic); err != nil {
		return wire.Faultf(wire.BadTopic, "%v", err)
	}
	if size := wire.MessageSize(m.Topic, m.Payload, m.Headers, m.ID, m.ExpectedSequence); size > wire.MaxMessageBytes {
		return wire.Faultf(wire.MessageTooBig, "message of %d bytes, %d are allowed", size, wire.MaxMessageBytes)
	}
	return nil
}

// partition encodes messages into parts of at most a frame each.
func (c *Client) partition(s *submission, messages []Message, number uint64) []*part {
	var parts []*part
	var id []byte
	for i := range messages {
		m := &messages[i]
		name := m.ID
		if name == "" {
			id = append(append(id[:0], c.nonce...), '-')
			id = strconv.AppendUint(id, number+uint64(i), 36)
			name = string(id)
		}
		size := wire.MessageSize(m.Topic, m.Payload, m.Headers, name, m.ExpectedSequence)
		last := len(parts) - 1
		if last < 0 || len(parts[last].messages)+size > wire.CoalesceBytes {
			parts = append(parts, &part{of: s, offset: i, messages: make([]byte, 0, min((len(messages)-i)*(size+16), wire.CoalesceBytes+size))})
			last++
		}
		p := parts[last]
		p.count++
		p.messages = wire.AppendPublished(p.messages, size, func(dst []byte) []byte {
			return wire.AppendMessage(dst, m.Topic, m.Payload, m.Headers, name, m.ExpectedSequence)
		})
	}
	return parts
}

// nextPublishLocked makes a Publish frame of everything that waits, up to a frame's size.
func (c *Client) nextPublishLocked(buf []byte) []byte {
	if len(c.queue) == 0 {
		return nil
	}
	if wait := time.Until(c.pausedFor); wait > 0 {
		if c.timer == nil {
			c.timer = time.AfterFunc(wait, func() {
				c.mu.Lock()
				c.timer = nil
				c.wakeLocked()
				c.mu.Unlock()
			})
		}
		return nil
	}
	n, size := 0, 0
	for n < len(c.queue) && (n == 0 || size+len(c.queue[n].messages) <= wire.CoalesceBytes) {
		size += len(c.queue[n].messages)
		n++
	}
	f := &sentFrame{request: c.nextRequestLocked(), parts: append([]*part(nil), c.queue[:n]...)}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	c.sent = append(c.sent, f)
	frame := wire.AppendPublishHead(buf, f.request, size)
	for _, p := range f.parts {
		frame = append(frame, p.messages...)
	}
	return frame
}

// resendLocked puts what was sent and not answered in front of the queue again.
func (c *Client) resendLocked() {
	var again []*part
	for _, f := range c.sent {
		again = append(again, f.parts...)
	}
	c.sent = nil
	c.requeueLocked(again)
}

// requeueLocked puts parts back where their order belongs.
func (c *Client) requeueLocked(parts []*part) {
	merged := make([]*part, 0, len(parts)+len(c.queue))
	i := 0
	for _, p := range c.queue {
		for i < len(parts) && parts[i].order < p.order {
			merged = append(merged, parts[i])
			i++
		}
		merged = append(merged, p)
	}
	c.queue = append(merged, parts[i:]...)
}

// acknowledge takes the hub's answer to a frame.
func (c *Client) acknowledge(ack *wire.PubAck) {
	c.mu.Lock()
	at := -1
	for i, f := range c.sent {
		if f.request == ack.GetRequest() {
			at = i
			break
		}
	}
	if at < 0 {
		c.mu.Unlock()
		return
	}
	f := c.sent[at]
	c.sent = slices.Delete(c.sent, at, at+1)
	results, again := f.results(ack)
	var finished []*submission
	offset := 0
	for _, p := range f.parts {
		part := results[offset : offset+p.count]
		offset += p.count
		if again[p] {
			continue
		}
		copy(p.of.results[p.offset:], part)
		c.open -= p.count
		c.openBytes -= len(p.messages)
		if p.of.missing--; p.of.missing == 0 {
			finished = append(finished, p.of)
		}
	}
	if len(again) > 0 {
		c.pauseLocked(f, again)
	}
	c.room.Broadcast()
	c.mu.Unlock()
	for _, s := range finished {
		s.done(s.results, firstRefusal(s.results))
	}
}

// results spells out a PubAck, one result a message. Parts that the log could not take are
// to be sent again.
func (f *sentFrame) results(ack *wire.PubAck) (results []Result, again map[*part]bool) {
	total := 0
	for _, p := range f.parts {
		total += p.count
	}
	results = make([]Result, total)
	var excepted map[uint32]*wire.PubException
	if n := len(ack.GetExceptions()); n > 0 {
		excepted = make(map[uint32]*wire.PubException, n)
	}
	for _, e := range ack.GetExceptions() {
		excepted[e.GetIndex()] = e
	}
	next, index := ack.GetFirstSequence(), uint32(0)
	for _, p := range f.parts {
		for range p.count {
			r := &results[index]
			switch e := excepted[index]; {
			case e == nil:
				r.Sequence = next
				next++
			case e.GetCode() == 0:
				r.Sequence, r.Duplicate = e.GetDuplicateOf(), true
			default:
				r.Err = &wire.Fault{Code: wire.Code(e.GetCode()), Text: e.GetText()}
				if wire.Code(e.GetCode()) == wire.LogUnavailable {
					if again == nil {
						again = map[*part]bool{}
					}
					again[p] = true
				}
			}
			index++
		}
	}
	return results, again
}

// pauseLocked queues again what the log could not take, and gives the hub time.
func (c *Client) pauseLocked(f *sentFrame, again map[*part]bool) {
	var parts []*part
	for _, p := range f.parts {
		if again[p] {
			parts = append(parts, p)
		}
	}
	c.requeueLocked(parts)
	c.pausedFor = time.Now().Add(unavailablePause)
	c.wakeLocked()
}

func firstRefusal(results []Result) error {
	for i, r := range results {
		if r.Err != nil {
			return fmt.Errorf("message %d of %d: %w", i+1, len(results), r.Err)
		}
	}
	return nil
}

// refusedPublish is the answer to a whole frame that the hub could not read, nil if the
// request is no such frame.
func (c *Client) refusedPublish(request uint64, fault *wire.Fault) *wire.PubAck {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.sent {
		if f.request != request {
			continue
		}
		ack := &wire.PubAck{Request: request}
		for _, p := range f.parts {
			for range p.count {
				ack.Exceptions = append(ack.Exceptions, &wire.PubException{Index: ack.Count, Code: uint32(fault.Code), Text: fault.Text})
				ack.Count++
			}
		}
		return ack
	}
	return nil
}

// failPublishes answers everything that is open with an error.
func (c *Client) failPublishes(err error) {
	c.mu.Lock()
	parts := c.queue
	for _, f := range c.sent {
		parts = append(parts, f.parts...)
	}
	c.queue, c.sent, c.open, c.openBytes = nil, nil, 0, 0
	if c.timer != nil {
		c.timer.Stop()
	}
	c.room.Broadcast()
	c.mu.Unlock()
	told := map[*submission]bool{}
	for _, p := range parts {
		if !told[p.of] {
			told[p.of] = true
			p.of.done(p.of.results, fmt.Errorf("publish: %w", err))
		}
	}
}

// Flush returns when everything published before is answered.
func (c *Client) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.room.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open > 0 && c.final == nil && ctx.Err() == nil {
		c.room.Wait()
	}
	switch {
	case c.open > 0 && ctx.Err() != nil:
		return errors.Join(fmt.Errorf("flush: %d messages are not answered: %w", c.open, context.Cause(ctx)), c.lastErr)
	case c.final != nil && !errors.Is(c.final, ErrClosed):
		return fmt.Errorf("flush: %w", c.final)
	}
	return nil
}
