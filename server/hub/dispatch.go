package hub

import (
	"errors"
	"math"
	"time"

	"gpupulse/sdk/wire"
)

// dispatch acts on one frame. An error ends the connection; a refused request is
// answered with Error and does not.
func (c *conn) dispatch(b []byte) error {
	if !c.json {
		if content, ok := wire.IsPublish(b); ok {
			return c.publish(content)
		}
	}
	f, err := c.decode(b)
	if err != nil {
		return c.refuse(0, err)
	}
	switch k := f.GetKind().(type) {
	case *wire.Frame_Publish:
		return c.publishDecoded(k.Publish)
	case *wire.Frame_Subscribe:
		return c.refuse(k.Subscribe.GetRequest(), c.subscribe(k.Subscribe))
	case *wire.Frame_Consume:
		return c.refuse(k.Consume.GetRequest(), c.consume(k.Consume))
	case *wire.Frame_Unsubscribe:
		return c.refuse(k.Unsubscribe.GetRequest(), c.unsubscribe(k.Unsubscribe.GetRequest()))
	case *wire.Frame_Ack:
		return c.refuse(k.Ack.GetSubscription(), c.answer(k.Ack.GetSubscription(), k.Ack.GetRanges(), answer{kind: acked}))
	case *wire.Frame_Nak:
		delay := time.Duration(k.Nak.GetDelayMs()) * time.Millisecond
		return c.refuse(k.Nak.GetSubscription(), c.answer(k.Nak.GetSubscription(), k.Nak.GetRanges(), answer{kind: naked, delay: delay}))
	case *wire.Frame_Term:
		return c.refuse(k.Term.GetSubscription(), c.answer(k.Term.GetSubscription(), k.Term.GetRanges(), answer{kind: termed, reason: k.Term.GetReason()}))
	case *wire.Frame_Progress:
		return c.refuse(k.Progress.GetSubscription(), c.answer(k.Progress.GetSubscription(), k.Progress.GetRanges(), answer{kind: progressed}))
	case *wire.Frame_Ping:
		c.send(&wire.Frame{Kind: &wire.Frame_Pong{Pong: &wire.Pong{Nonce: k.Ping.GetNonce()}}})
		return nil
	case *wire.Frame_Pong:
		return nil
	case *wire.Frame_Connect:
		return wire.Faultf(wire.ProtocolFault, "a second Connect")
	default:
		return c.refuse(0, wire.Faultf(wire.BadFrame, "a frame that only a hub sends"))
	}
}

// refuse answers a request with what is wrong, if anything. What closes the connection is
// returned.
func (c *conn) refuse(request uint64, err error) error {
	if err == nil {
		return nil
	}
	var fault *wire.Fault
	if !errors.As(err, &fault) {
		c.hub.o.Logger.Error("request failed", "conn", c.id, "request", request, "err", err)
		fault = wire.Faultf(wire.Internal, "the hub has logged why")
	}
	if fault.Code.Closes() {
		return fault
	}
	c.send(&wire.Frame{Kind: &wire.Frame_Error{Error: &wire.Error{Request: request, Code: uint32(fault.Code), Text: fault.Text}}})
	return nil
}

// publish takes the content of a Publish frame.
func (c *conn) publish(content []byte) error {
	p := c.newPublication(len(content))
	var request uint64
	count := 0
	request, err := wire.ParsePublish(content, func([]byte) error { count++; return nil })
	if err != nil {
		return c.refuse(request, err)
	}
	p.request = request
	alone := c.unacked.take(count)
	c.hub.gather()
	// It parsed a moment ago, so it cannot fail.
	_, _ = wire.ParsePublish(content, func(raw []byte) error {
		c.hub.stats.messagesIn.Add(1)
		c.hub.add(p, raw, false)
		return nil
	})
	c.published.Add(uint64(count))
	c.submit(p, alone)
	return nil
}

// publishDecoded is publish for the JSON subprotocol.
func (c *conn) publishDecoded(f *wire.Publish) error {
	p := c.newPublication(0)
	p.request = f.GetRequest()
	alone := c.unacked.take(len(f.GetMessages()))
	c.hub.gather()
	for _, m := range f.GetMessages() {
		raw := wire.AppendMessage(nil, m.GetTopic(), m.GetPayload(), m.GetHeaders(), m.GetId(), m.ExpectedSequence)
		c.hub.stats.messagesIn.Add(1)
		c.hub.add(p, raw, false)
	}
	c.published.Add(uint64(len(f.GetMessages())))
	c.submit(p, alone)
	return nil
}

// submit sends a publication on its way. A client that has one message open and nothing else
// waits for its answer: then as much as can be is done here, the answer's write included,
// since each goroutine that has to wake up costs more than all the rest. Who sends more than
// one at a time sends the next while these are stored, which must be read meanwhile.
func (c *conn) submit(p *publication, alone bool) {
	if !alone || p.count > 1 {
		c.hub.submit(p, false)
		return
	}
	c.out.hold()
	c.hub.submit(p, true)
	if !c.out.unhold() {
		return
	}
	if err := c.writeHere(); err != nil {
		c.end(err)
	}
}

func (c *conn) newPublication(sizeHint int) *publication {
	return c.hub.newPublication(c.publisher, sizeHint, func(ack *wire.PubAck) {
		c.send(&wire.Frame{Kind: &wire.Frame_PubAck{PubAck: ack}})
		c.unacked.give(int(ack.GetCount()))
	})
}

// newRequest checks the number of a new subscription or membership, and their bound.
func (c *conn) newRequest(request uint64) error {
	_, live := c.subscriptions[request]
	_, member := c.members[request]
	switch {
	case request == 0:
		return wire.Faultf(wire.BadRequest, "request 0")
	case live || member:
		return wire.Faultf(wire.Conflict, "request %d is in use", request)
	case len(c.subscriptions)+len(c.members) >= c.hub.o.MaxSubscriptions:
		return wire.Faultf(wire.TooMany, "%d subscriptions on this connection", c.hub.o.MaxSubscriptions)
	}
	return nil
}

func (c *conn) unsubscribe(request uint64) error {
	if s := c.subscriptions[request]; s != nil {
		s.end()
		delete(c.subscriptions, request)
		c.opened.Store(int64(len(c.subscriptions)))
		return nil
	}
	if m := c.members[request]; m != nil {
		m.consumer.leave(m)
		delete(c.members, request)
		c.joined.Store(int64(len(c.members)))
		return nil
	}
	return wire.Faultf(wire.NotFound, "no subscription %d", request)
}

// answer passes an Ack, Nak, Term or Progress to its consumer.
func (c *conn) answer(request uint64, ranges []*wire.Range, a answer) error {
	m := c.members[request]
	if m == nil {
		return wire.Faultf(wire.NotFound, "no consumer on subscription %d", request)
	}
	for _, r := range ranges {
		first, last := r.GetFirst(), max(r.GetFirst(), r.GetLast())
		if first == 0 {
			return wire.Faultf(wire.BadRequest, "range %d to %d", r.GetFirst(), r.GetLast())
		}
		m.consumer.answer(m, first, last, a)
	}
	return nil
}

// consume joins a durable consumer.
func (c *conn) consume(f *wire.Consume) error {
	if err := c.newRequest(f.GetRequest()); err != nil {
		return err
	}
	if n := f.GetMaxInFlight(); n > math.MaxInt32 {
		return wire.Faultf(wire.BadRequest, "max_in_flight %d", n)
	}
	m, err := c.hub.join(c, f)
	if err != nil {
		return err
	}
	c.members[f.GetRequest()] = m
	c.joined.Store(int64(len(c.members)))
	return nil
}
