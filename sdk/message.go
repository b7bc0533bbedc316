package sdk

import (
	"fmt"
	"time"

	"gpupulse/sdk/wire"
)

// Message is what is published and delivered.
type Message struct {
	Topic   string
	Payload []byte
	Headers map[string]string
	// ID is the publisher's own name for this message; empty: the client numbers it.
	ID string
	// ExpectedSequence, if given, has the hub store the message only if the topic's newest
	// has this sequence, 0 if it has none, and refuse it with wire.Conflict otherwise.
	ExpectedSequence *uint64
}

// Result is the hub's answer to one published message.
type Result struct {
	Sequence  uint64
	Duplicate bool  // it was stored before, at Sequence
	Err       error // a *wire.Fault, where it was refused
}

// Delivery is a message as it was delivered. It may be kept; its payload must not be
// changed.
type Delivery struct {
	Message
	Sequence uint64
	Attempt  int       // how often it has been delivered, this time included; 1 for live ones
	Time     time.Time // when the hub stored it
	Epoch    string    // the log that Sequence belongs to
	consumer *Consumer
}

// Ack says that the message is done. Like Nak, Term and Progress it is queued and
// sent with others of its kind; it fails only on a live delivery or a closed client.
// After a lost connection the hub may deliver the message again all the same.
func (d *Delivery) Ack() error { return d.answer(func(c *Consumer) error { return c.Ack(d) }) }

// Nak asks for the message again after a delay; 0 is the consumer's backoff.
func (d *Delivery) Nak(delay time.Duration) error {
	return d.answer(func(c *Consumer) error { return c.reply(pendingAnswer{kind: nakAnswer, delay: delay}, d) })
}

// Term says that the message is never to be delivered again; it becomes a dead letter
// with that reason.
func (d *Delivery) Term(reason string) error {
	return d.answer(func(c *Consumer) error { return c.reply(pendingAnswer{kind: termAnswer, reason: reason}, d) })
}

// Progress says that the message is still being worked on: its ack wait begins anew.
func (d *Delivery) Progress() error {
	return d.answer(func(c *Consumer) error { return c.reply(pendingAnswer{kind: progressAnswer}, d) })
}

func (d *Delivery) answer(to func(*Consumer) error) error {
	if d.consumer == nil {
		return fmt.Errorf("message %d on %s came from a live subscription, which takes no answers", d.Sequence, d.Topic)
	}
	return to(d.consumer)
}

// deliveries turns the content of a Deliver frame into deliveries. The content must be
// theirs to keep.
func deliveries(content []byte, epoch string) (subscription uint64, list []*Delivery, err error) {
	var all []Delivery
	subscription, err = wire.ParseDeliver(content, func(raw wire.RawDelivery) error {
		m, err := wire.ParseMessage(raw.Message)
		if err != nil {
			return err
		}
		d := Delivery{
			Message:  Message{Topic: string(m.Topic), Payload: m.Payload, ID: string(m.ID)},
			Sequence: raw.Sequence, Attempt: int(raw.Attempt), Time: time.Unix(0, raw.UnixNano).UTC(), Epoch: epoch,
		}
		if m.Headers > 0 {
			d.Headers = make(map[string]string, m.Headers)
			m.EachHeader(func(name, value string) { d.Headers[name] = value })
		}
		all = append(all, d)
		return nil
	})
	list = make([]*Delivery, len(all))
	for i := range all {
		list[i] = &all[i]
	}
	return subscription, list, err
}
