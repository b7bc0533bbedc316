package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"gpupulse/sdk/wire"
)

// A record's body in the log is the publisher's name, with its length in front as a
// uvarint, and then its messages as they stand in a Publish frame.

// publication is one Publish on its way through the log.
type publication struct {
	publisher string
	request   uint64
	answer    func(*wire.PubAck)

	count      int // messages in the request
	messages   []published
	body       []byte
	commit     *commit
	exceptions []*wire.PubException
	// exclusive is set once a message with an expectation has come: then no other
	// publication is between its first message and the log.
	exclusive bool
	// waiting counts what must be settled before the answer: the record, and each
	// commit that a duplicate waits for.
	waiting atomic.Int32
	first   uint64
	// help is helpOffered while the submitter may yet hand the messages out itself, and
	// helpTaken once the log's answer has left that to it.
	help atomic.Int32
}

// published is one message of a record that the log has taken.
type published struct {
	topic *topicState
	raw   []byte // the encoded Message, within the record's body
}

const (
	noHelp int32 = iota
	helpOffered
	helpTaken
)

func (h *Hub) newPublication(publisher string, sizeHint int, answer func(*wire.PubAck)) *publication {
	body := make([]byte, 0, sizeHint+len(publisher)+binary.MaxVarintLen64)
	body = binary.AppendUvarint(body, uint64(len(publisher)))
	body = append(body, publisher...)
	p := &publication{publisher: publisher, answer: answer, body: body, commit: new(commit)}
	p.waiting.Store(1)
	return p
}

// gather comes before the first add; from then on the caller may wait for nothing but submit.
func (h *Hub) gather() { h.order.RLock() }

// add takes a message into the publication or notes why not. own is set for the
// hub's own messages, which may go to reserved topics.
func (h *Hub) add(p *publication, raw []byte, own bool) {
	index := uint32(p.count)
	p.count++
	m, err := wire.ParseMessage(raw)
	if err == nil && !own {
		err = m.Check(h.o.MaxMessageBytes)
	}
	var state *topicState
	if err == nil {
		state, err = h.fan.topic(m.Topic)
	}
	if err == nil && m.Expects {
		h.exclude(p)
	}
	if err == nil {
		var duplicate bool
		if duplicate, err = h.claim(p, index, &m, state); duplicate {
			return
		}
	}
	if err != nil {
		p.except(index, err)
		return
	}
	state.underWay.Add(1)
	p.body = wire.AppendPublishedRaw(p.body, raw)
	p.messages = append(p.messages, published{state, p.body[len(p.body)-len(raw):]})
}

// exclude keeps all other publications out of the log's order until p is in it: what an
// expectation is held against must not change meanwhile.
func (h *Hub) exclude(p *publication) {
	if p.exclusive {
		return
	}
	h.order.RUnlock()
	h.order.Lock()
	p.exclusive = true
}

// except notes that a message was refused.
func (p *publication) except(index uint32, err error) {
	var fault *wire.Fault
	if !errors.As(err, &fault) {
		fault = wire.Faultf(wire.Internal, "%v", err)
	}
	p.exceptions = append(p.exceptions, &wire.PubException{Index: index, Code: uint32(fault.Code), Text: fault.Text})
}

// claim looks whether the message is a duplicate. One whose original is not safe yet
// waits for it: an answer must not promise what may still fail. An error is an expectation that
// is not met; a duplicate's was met when it was stored, and its sender has not heard of it.
func (h *Hub) claim(p *publication, index uint32, m *wire.RawMessage, t *topicState) (duplicate bool, err error) {
	if len(m.ID) == 0 {
		return false, t.meets(m)
	}
	key := h.dedupe.hash([]byte(p.publisher), m.ID)
	h.dedupe.mu.Lock()
	defer h.dedupe.mu.Unlock()
	original, duplicate := h.dedupe.findLocked(key)
	if !duplicate {
		if err := t.meets(m); err != nil {
			return false, err
		}
		h.dedupe.rememberLocked(key, origin{p.commit, uint32(len(p.messages))})
		return false, nil
	}
	exception := &wire.PubException{Index: index}
	p.exceptions = append(p.exceptions, exception)
	c := original.commit
	switch {
	case c.first > 0:
		exception.DuplicateOf = c.first + uint64(original.index)
	case c == p.commit: // twice in one request
		p.commit.followers = append(p.commit.followers, func(first uint64, ok bool) {
			settleException(exception, first+uint64(original.index), ok)
		})
	default:
		p.waiting.Add(1)
		c.followers = append(c.followers, func(first uint64, ok bool) {
			settleException(exception, first+uint64(original.index), ok)
			h.finish(p)
		})
	}
	return true, nil
}

func settleException(e *wire.PubException, sequence uint64, ok bool) {
	if ok {
		e.DuplicateOf = sequence
		return
	}
	e.Code, e.Text = uint32(wire.LogUnavailable), "the first copy could not be stored"
}

// submit sends the publication to the log. It waits while the fan-out is behind. With
// alone its publisher waits for nothing else: then the commit, and what follows from it,
// may happen here.
func (h *Hub) submit(p *publication, alone bool) {
	if p.exclusive {
		// The log gives numbers in the order of Append, so it is enough to have called it;
		// a commit here would keep all publishers waiting.
		defer h.order.Unlock()
		alone = false
	} else {
		h.order.RUnlock()
	}
	if len(p.messages) == 0 {
		h.finish(p)
		return
	}
	h.fan.waitForRoom()
	if alone {
		p.help.Store(helpOffered)
		defer func() {
			if p.help.Swap(noHelp) == helpTaken {
				h.fan.helpOut()
			}
		}()
	}
	h.log.Append(len(p.messages), p.body, alone, func(first uint64, unixNano int64, err error) {
		if err != nil {
			h.refuse(p, err)
		} else {
			p.first = first
			h.fan.push(batch{first: first, unixNano: unixNano, messages: p.messages, size: len(p.body)})
			if !p.help.CompareAndSwap(helpOffered, helpTaken) {
				h.fan.signal()
			}
		}
		p.leave(err == nil)
		h.dedupe.settle(p.commit, first, err == nil)
		h.finish(p)
	})
}

// leave tells the topics that the publication's messages are no longer on their way.
func (p *publication) leave(stored bool) {
	for i, m := range p.messages {
		if stored {
			m.topic.stored.Store(p.first + uint64(i))
		}
		m.topic.underWay.Add(-1)
	}
}

// refuse turns every message that the log did not take into an exception.
func (h *Hub) refuse(p *publication, err error) {
	refused := make([]bool, p.count)
	for _, e := range p.exceptions {
		refused[e.GetIndex()] = true
	}
	for i, already := range refused {
		if !already {
			p.except(uint32(i), wire.Faultf(wire.LogUnavailable, "%v", err))
		}
	}
}

// finish answers once everything that the publication waits for is settled.
func (h *Hub) finish(p *publication) {
	if p.waiting.Add(-1) > 0 {
		return
	}
	ack := &wire.PubAck{Request: p.request, FirstSequence: p.first, Count: uint32(p.count), Exceptions: p.exceptions}
	p.answer(ack)
}

// Publish stores messages on behalf of a caller in this process and returns when all
// are answered. publisher is the scope of their ids. An error is ctx's only; what
// was refused is in the answer.
func (h *Hub) Publish(ctx context.Context, publisher string, messages ...*wire.Message) (*wire.PubAck, error) {
	answered := make(chan *wire.PubAck, 1)
	p := h.newPublication(publisher, 0, func(ack *wire.PubAck) { answered <- ack })
	h.gather()
	for _, m := range messages {
		raw := wire.AppendMessage(nil, m.GetTopic(), m.GetPayload(), m.GetHeaders(), m.GetId(), m.ExpectedSequence)
		h.stats.messagesIn.Add(1)
		h.add(p, raw, false)
	}
	h.submit(p, true)
	select {
	case ack := <-answered:
		return ack, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// eachMessage visits the messages of a record's body.
func eachMessage(body []byte, visit func(publisher []byte, i int, raw []byte) error) error {
	n, w := binary.Uvarint(body)
	if w <= 0 || n > uint64(len(body)-w) {
		return wire.Faultf(wire.Internal, "record without a publisher")
	}
	publisher, i := body[w:w+int(n)], -1
	_, err := wire.ParsePublish(body[w+int(n):], func(raw []byte) error {
		i++
		return visit(publisher, i, raw)
	})
	return err
}
