package sdk

import (
	"context"
	"fmt"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// defaultQueue bounds what a live subscription's handler may be behind, in messages.
const defaultQueue = 8192

// SubscribeOptions of a live subscription. The zero value takes every message from now on.
type SubscribeOptions struct {
	// Conflate is how often the newest message of each topic is sent; 0: every message.
	Conflate time.Duration
	// SendLast begins with the newest message of each topic.
	SendLast bool
	// MaxQueue bounds what waits, in the hub and here; past it the oldest are lost. 0: 8192.
	MaxQueue int
	// OnDropped is told how many messages were missed since the last time; called from
	// the handler's goroutine.
	OnDropped func(uint64)
}

// Subscription is a live subscription.
type Subscription struct{ outlet *outlet }

// Subscribe opens a live subscription and calls handle with each message, in order, from
// one goroutine. It returns once the hub has agreed. After a lost connection it is
// opened again; one that takes every message goes on where it was, as far as the hub
// still has it, and OnDropped is told of the rest.
func (c *Client) Subscribe(ctx context.Context, filter string, o SubscribeOptions, handle func(*Delivery)) (*Subscription, error) {
	if err := topic.CheckFilter(filter); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = defaultQueue
	}
	x := &outlet{maxQueue: o.MaxQueue, dropped: o.OnDropped, handle: func(list []*Delivery) {
		for _, d := range list {
			handle(d)
		}
	}}
	x.frame = func() *wire.Frame {
		f := &wire.Subscribe{
			Request: x.request, Filter: filter, ConflateMs: uint32(o.Conflate.Milliseconds()),
			SendLast: o.SendLast, MaxQueue: uint32(o.MaxQueue),
		}
		if x.isOpen && o.Conflate == 0 {
			f.Epoch, f.AfterSequence = x.epoch, x.last
		}
		return &wire.Frame{Kind: &wire.Frame_Subscribe{Subscribe: f}}
	}
	if err := c.enlist(ctx, x); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return &Subscription{x}, nil
}

// Close ends the subscription. Its handler may still be running; it is not called again.
func (s *Subscription) Close() error {
	s.outlet.close(ErrClosed)
	return nil
}
