package collector

import (
	"context"
	"fmt"

	"gpupulse/sdk"
)

// Consume joins the consumer through client and returns once the hub has agreed; from
// then on readings are stored. The client is the collector's own from now on, and ends
// with it. Consume is called once.
//
// Messages are delivered without bound on their number: one that can never be stored is
// term'ed here, and all others are wanted, however often a server is killed before it
// has stored them.
func (c *Collector) Consume(ctx context.Context, client *sdk.Client) error {
	_, err := client.ConsumeBatches(ctx, sdk.ConsumeOptions{
		Consumer: c.o.Consumer, Filter: c.o.Filter, AckWait: c.o.AckWait, MaxDeliver: -1,
		MaxInFlight: maxInFlight, MaxInFlightBytes: maxInFlightBytes,
	}, c.deliver)
	if err != nil {
		return fmt.Errorf("join consumer %s: %w", c.o.Consumer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = membership{client}
	return nil
}

// deliver takes one frame's messages.
func (c *Collector) deliver(ds []*sdk.Delivery) {
	list := make([]delivery, len(ds))
	for i, d := range ds {
		list[i] = delivery{
			answers: d, topic: d.Topic, payload: d.Payload, epoch: d.Epoch, sequence: d.Sequence,
			attempt: d.Attempt, stored: d.Time,
		}
	}
	c.take(list)
}

// membership is a client that has joined the consumer.
type membership struct{ client *sdk.Client }

func (m membership) Ready() error {
	if s := m.client.State(); s != sdk.Connected {
		return fmt.Errorf("the connection to the hub is %s", s)
	}
	return nil
}

func (m membership) Leave(ctx context.Context) error {
	if err := m.client.Drain(ctx); err != nil {
		return fmt.Errorf("leave consumer: %w", err)
	}
	return nil
}
