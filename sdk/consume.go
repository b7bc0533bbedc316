package sdk

import (
	"context"
	"fmt"
	"math"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// ConsumeOptions say which durable consumer to join and, where it does not exist, how
// to make it.
type ConsumeOptions struct {
	Consumer string // its name, shared by its members
	Filter   string
	// Start says where a new consumer begins; the zero value with the oldest message.
	Start         wire.Start
	StartSequence uint64
	StartTime     time.Time
	// AckWait is how long a delivery may stay without an answer; 0: the hub's default.
	AckWait time.Duration
	// MaxDeliver is how often a message is delivered before it becomes a dead letter;
	// 0: the hub's default; negative: without bound.
	MaxDeliver int
	// Backoff lists the pauses before the second, third, … delivery; the last one stays.
	Backoff []time.Duration
	// MaxInFlight and MaxInFlightBytes bound what is delivered here and not answered;
	// 0: the hub's defaults.
	MaxInFlight      int
	MaxInFlightBytes int64
}

// Consumer is a membership in a durable consumer.
type Consumer struct{ outlet *outlet }

type answerKind int

const (
	ackAnswer answerKind = iota
	nakAnswer
	termAnswer
	progressAnswer
)

// pendingAnswer is an answer that waits to be sent, with others like it.
type pendingAnswer struct {
	kind   answerKind
	delay  time.Duration
	reason string
	ranges []*wire.Range
}

// maxRanges bounds the ranges of one answering frame.
const maxRanges = 4096

// Consume joins a durable consumer and calls handle with each message, in order, from
// one goroutine. It returns once the hub has agreed. Every message must be answered:
// Ack, Nak or Term.
func (c *Client) Consume(ctx context.Context, o ConsumeOptions, handle func(*Delivery)) (*Consumer, error) {
	return c.ConsumeBatches(ctx, o, func(list []*Delivery) {
		for _, d := range list {
			handle(d)
		}
	})
}

// ConsumeBatches is Consume with the messages as they came together. The handler may keep them.
func (c *Client) ConsumeBatches(ctx context.Context, o ConsumeOptions, handle func([]*Delivery)) (*Consumer, error) {
	if err := topic.CheckFilter(o.Filter); err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	consumer := &Consumer{}
	x := &outlet{handle: handle, consumer: consumer}
	consumer.outlet = x
	x.frame = func() *wire.Frame { return &wire.Frame{Kind: &wire.Frame_Consume{Consume: o.frame(x.request)}} }
	if err := c.enlist(ctx, x); err != nil {
		return nil, fmt.Errorf("consume %s as %s: %w", o.Filter, o.Consumer, err)
	}
	return consumer, nil
}

func (o *ConsumeOptions) frame(request uint64) *wire.Consume {
	f := &wire.Consume{
		Request: request, Consumer: o.Consumer, Filter: o.Filter, Start: o.Start, StartSequence: o.StartSequence,
		AckWaitMs: uint32(o.AckWait.Milliseconds()), MaxInFlight: uint32(max(0, o.MaxInFlight)),
		MaxInFlightBytes: uint64(max(0, o.MaxInFlightBytes)), MaxDeliver: uint32(max(0, o.MaxDeliver)),
	}
	if !o.StartTime.IsZero() {
		f.StartTimeUnixNano = o.StartTime.UnixNano()
	}
	if o.MaxDeliver < 0 {
		f.MaxDeliver = math.MaxUint32
	}
	for _, pause := range o.Backoff {
		f.BackoffMs = append(f.BackoffMs, uint32(pause.Milliseconds()))
	}
	return f
}

// Ack says that messages are done. See Delivery.Ack.
func (c *Consumer) Ack(ds ...*Delivery) error { return c.reply(pendingAnswer{kind: ackAnswer}, ds...) }

// Epoch is the log that the consumer's sequences belong to.
func (c *Consumer) Epoch() string {
	c.outlet.client.mu.Lock()
	defer c.outlet.client.mu.Unlock()
	return c.outlet.epoch
}

// Close leaves the consumer, which stays in the hub. What was delivered and is not
// answered goes to other members.
func (c *Consumer) Close() error {
	c.outlet.close(ErrClosed)
	return nil
}

// reply queues an answer to messages.
func (c *Consumer) reply(a pendingAnswer, ds ...*Delivery) error {
	x := c.outlet
	x.client.mu.Lock()
	defer x.client.mu.Unlock()
	if x.closed {
		return ErrClosed
	}
	for _, d := range ds {
		if d.consumer != c {
			return fmt.Errorf("message %d on %s came from another consumer", d.Sequence, d.Topic)
		}
		if d.Epoch == x.epoch {
			x.addAnswerLocked(a, d.Sequence)
		}
	}
	x.client.wakeLocked()
	return nil
}

// addAnswerLocked puts a sequence to the last answer, if that says the same.
func (x *outlet) addAnswerLocked(a pendingAnswer, sequence uint64) {
	n := len(x.answers)
	if n == 0 || !x.answers[n-1].same(a) || len(x.answers[n-1].ranges) >= maxRanges {
		x.answers = append(x.answers, a)
		n++
	}
	last := &x.answers[n-1]
	if m := len(last.ranges); m > 0 && last.ranges[m-1].GetLast()+1 == sequence {
		last.ranges[m-1].Last = sequence
		return
	}
	last.ranges = append(last.ranges, &wire.Range{First: sequence, Last: sequence})
}

func (a pendingAnswer) same(b pendingAnswer) bool {
	return a.kind == b.kind && a.delay == b.delay && a.reason == b.reason
}

// nextAnswerLocked encodes the next answer that waits, nil if there is none.
func (x *outlet) nextAnswerLocked() []byte {
	if len(x.answers) == 0 || !x.isOpen {
		return nil
	}
	a := x.answers[0]
	x.answers = x.answers[1:]
	x.client.room.Broadcast() // for flushAnswers
	b, err := wire.Marshal(a.frame(x.request))
	if err != nil {
		x.client.o.Logger.Error("encode answer", "err", err)
		return nil
	}
	return b
}

func (a pendingAnswer) frame(request uint64) *wire.Frame {
	switch a.kind {
	case nakAnswer:
		return &wire.Frame{Kind: &wire.Frame_Nak{Nak: &wire.Nak{Subscription: request, Ranges: a.ranges, DelayMs: uint32(a.delay.Milliseconds())}}}
	case termAnswer:
		return &wire.Frame{Kind: &wire.Frame_Term{Term: &wire.Term{Subscription: request, Ranges: a.ranges, Reason: a.reason}}}
	case progressAnswer:
		return &wire.Frame{Kind: &wire.Frame_Progress{Progress: &wire.Progress{Subscription: request, Ranges: a.ranges}}}
	}
	return &wire.Frame{Kind: &wire.Frame_Ack{Ack: &wire.Ack{Subscription: request, Ranges: a.ranges}}}
}

// flushAnswers returns when every answer that waits has reached the hub: a ping behind
// them has come back. Without a connection there is nothing to wait for: the hub
// delivers again.
func (c *Client) flushAnswers(ctx context.Context) error {
	pong := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.room.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	for c.waitingAnswersLocked() && ctx.Err() == nil && c.final == nil && c.session != nil {
		c.room.Wait()
	}
	s := c.session
	if s == nil || ctx.Err() != nil {
		c.mu.Unlock()
		return context.Cause(ctx)
	}
	nonce := c.nextRequestLocked()
	c.pongs[nonce] = pong
	changed := c.changed
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pongs, nonce)
		c.mu.Unlock()
	}()
	if err := s.queue(&wire.Frame{Kind: &wire.Frame_Ping{Ping: &wire.Ping{Nonce: nonce}}}); err != nil {
		return err
	}
	select {
	case <-pong:
		return nil
	case <-changed: // the connection ended
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush answers: %w", context.Cause(ctx))
	}
}

func (c *Client) waitingAnswersLocked() bool {
	for _, x := range c.outlets {
		if len(x.answers) > 0 && x.isOpen {
			return true
		}
	}
	return false
}

// ponged takes the hub's answer to a ping.
func (c *Client) ponged(nonce uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pong := c.pongs[nonce]; pong != nil {
		pong <- struct{}{}
	}
}
