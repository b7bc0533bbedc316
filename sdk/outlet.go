package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gpupulse/sdk/wire"
)

// outlet is what subscriptions and consumers have in common: a request that the client
// opens again after each lost connection, a queue, and a goroutine that calls the handler.
// All fields that change are guarded by Client.mu.
type outlet struct {
	client  *Client
	request uint64
	frame   func() *wire.Frame // what opens it
	handle  func([]*Delivery)
	opening chan error // takes the answer to the first request

	arrived  *sync.Cond // of queue
	queue    [][]*Delivery
	queued   int
	maxQueue int          // messages; 0: the hub bounds them
	dropped  func(uint64) // told how many a live subscription missed; may be nil
	lost     uint64       // not told yet
	answers  []pendingAnswer
	consumer *Consumer
	epoch    string
	last     uint64 // everything up to here has come, or was before the outlet
	isOpen   bool
	closed   bool
}

// enlist registers the outlet and waits for the hub's answer.
func (c *Client) enlist(ctx context.Context, x *outlet) error {
	x.client, x.opening, x.arrived = c, make(chan error, 1), sync.NewCond(&c.mu)
	c.mu.Lock()
	if c.final != nil {
		c.mu.Unlock()
		return c.final
	}
	x.request = c.nextRequestLocked()
	c.outlets[x.request] = x
	if c.session != nil {
		x.openLocked(c.session)
		c.session.signal()
	}
	c.mu.Unlock()
	c.work.Go(x.run)
	select {
	case err := <-x.opening:
		if err != nil {
			x.close(err)
		}
		return err
	case <-ctx.Done():
		x.close(context.Cause(ctx))
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(context.Cause(ctx), c.lastErr)
	}
}

// openLocked asks a session's hub for the outlet.
func (x *outlet) openLocked(s *session) {
	b, err := wire.Marshal(x.frame())
	if err != nil {
		x.answerOpening(fmt.Errorf("open subscription: %w", err))
		return
	}
	s.control = append(s.control, b)
}

func (x *outlet) answerOpening(err error) {
	select {
	case x.opening <- err:
	default: // answered before: this is a reconnect
	}
}

// run calls the handler until the outlet is closed.
func (x *outlet) run() {
	c := x.client
	for {
		c.mu.Lock()
		for len(x.queue) == 0 && x.lost == 0 && !x.closed {
			x.arrived.Wait()
		}
		if x.closed {
			c.mu.Unlock()
			return
		}
		queue, lost := x.queue, x.lost
		x.queue, x.queued, x.lost = nil, 0, 0
		c.mu.Unlock()
		if lost > 0 && x.dropped != nil {
			x.dropped(lost)
		}
		for _, list := range queue {
			x.handle(list)
		}
	}
}

// close ends the outlet and tells the hub.
func (x *outlet) close(err error) {
	c := x.client
	c.mu.Lock()
	s := c.session
	open := !x.closed
	x.closeLocked(err)
	delete(c.outlets, x.request)
	c.mu.Unlock()
	if open && s != nil {
		if err := s.queue(&wire.Frame{Kind: &wire.Frame_Unsubscribe{Unsubscribe: &wire.Unsubscribe{Request: x.request}}}); err != nil {
			c.o.Logger.Error("unsubscribe", "request", x.request, "err", err)
		}
	}
}

func (x *outlet) closeLocked(err error) {
	x.closed = true
	x.answers = nil
	x.answerOpening(err)
	x.arrived.Broadcast()
}

// deliver queues a Deliver frame's messages for their handler. It never waits: a live
// subscription whose handler is behind loses its oldest messages.
func (c *Client) deliver(s *session, content []byte) error {
	request, list, err := deliveries(content, s.welcome.GetEpoch())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.outlets[request]
	if x == nil || len(list) == 0 {
		return nil // it was closed a moment ago
	}
	for _, d := range list {
		d.consumer = x.consumer
	}
	x.epoch, x.last = s.welcome.GetEpoch(), list[len(list)-1].Sequence
	x.queue = append(x.queue, list)
	x.queued += len(list)
	for x.maxQueue > 0 && x.queued > x.maxQueue && len(x.queue) > 1 {
		n := len(x.queue[0])
		x.queue = x.queue[1:]
		x.queued -= n
		x.lost += uint64(n)
	}
	x.arrived.Signal()
	return nil
}

// opened takes the hub's answer to Subscribe or Consume.
func (c *Client) opened(f *wire.Subscribed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.outlets[f.GetRequest()]
	if x == nil {
		return
	}
	if x.isOpen && x.consumer == nil && !f.GetRecovered() && x.epoch == f.GetEpoch() && x.maxQueue > 0 && f.GetSequence() > x.last {
		x.lost += f.GetSequence() - x.last // at most so many: not all of them need fit the filter
		x.arrived.Signal()
	}
	if !x.isOpen || x.epoch != f.GetEpoch() {
		x.last = f.GetSequence()
	}
	x.isOpen, x.epoch = true, f.GetEpoch()
	x.answerOpening(nil)
	c.wakeLocked() // for answers to what came before this
}

// missed takes the hub's word that a live subscription lost messages.
func (c *Client) missed(f *wire.Dropped) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.outlets[f.GetSubscription()]; x != nil {
		x.lost += f.GetCount()
		x.arrived.Signal()
	}
}

// refused takes the hub's refusal of a request.
func (c *Client) refused(f *wire.Error) {
	fault := &wire.Fault{Code: wire.Code(f.GetCode()), Text: f.GetText()}
	if ack := c.refusedPublish(f.GetRequest(), fault); ack != nil {
		c.acknowledge(ack)
		return
	}
	c.mu.Lock()
	x := c.outlets[f.GetRequest()]
	if x != nil && !x.isOpen {
		x.closeLocked(fault)
		delete(c.outlets, x.request)
	}
	c.mu.Unlock()
	c.o.Logger.Warn("the hub refused a request", "request", f.GetRequest(), "code", f.GetCode(), "reason", f.GetText())
}
