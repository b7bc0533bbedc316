package hub

import (
	"sync"

	"gpupulse/sdk/wire"
)

// maxControl bounds the answers that wait in an outbox: past it the connection's reader
// waits, so a client that does not read its answers cannot ask for more.
const maxControl = 1024

// outbox is what waits to be written to one connection. Whoever puts something in never
// waits; each kind of content has a bound of its own:
//
//	control     maxControl, held by the reader (waitForRoom), and pub acks, by the window
//	deliveries  of consumers: by their members' max in flight
//	live        each subscription's queue: drops the oldest or keeps the newest per topic
type outbox struct {
	wake chan struct{} // holds a token while there may be something to write
	turn sync.Mutex    // held by who writes: the writer, or the reader for its own answer

	mu      sync.Mutex
	room    sync.Cond // of control
	control [][]byte
	ready   []*subscription // with something to send now
	live    []*subscription // all of the connection's, ready or not
	held    bool            // the reader is about to write: the writer need not wake
	ending  bool            // write what waits, then end
	closed  bool
}

func newOutbox() *outbox {
	o := &outbox{wake: make(chan struct{}, 1)}
	o.room.L = &o.mu
	return o
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// put queues an encoded frame.
func (o *outbox) put(frame []byte) {
	o.mu.Lock()
	if !o.closed {
		o.control = append(o.control, frame)
	}
	held := o.held
	o.mu.Unlock()
	if !held {
		o.signal()
	}
}

// hold has put leave the writer asleep until unhold, whose caller then writes.
func (o *outbox) hold() {
	o.mu.Lock()
	o.held = true
	o.mu.Unlock()
}

// unhold ends hold and reports whether there is something to write.
func (o *outbox) unhold() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	return len(o.control) > 0
}

// signalIfReady wakes the writer for what came while somebody else wrote.
func (o *outbox) signalIfReady() {
	o.mu.Lock()
	more := len(o.control) > 0 || len(o.ready) > 0 || o.ending
	o.mu.Unlock()
	if more {
		o.signal()
	}
}

// waitForRoom holds the reader back while too many answers wait.
func (o *outbox) waitForRoom() {
	o.mu.Lock()
	for len(o.control) >= maxControl && !o.closed {
		o.room.Wait()
	}
	o.mu.Unlock()
}

// finish has the writer end once everything that waits is written.
func (o *outbox) finish() {
	o.mu.Lock()
	o.ending = true
	o.mu.Unlock()
	o.signal()
}

// finished reports whether finish has been called and nothing waits.
func (o *outbox) finished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending && len(o.control) == 0
}

// close drops everything; later puts are ignored.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.control, o.ready, o.live = nil, nil, nil
	o.room.Broadcast()
	o.mu.Unlock()
	o.signal()
}

// takeControl removes the frames that wait.
func (o *outbox) takeControl() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames := o.control
	o.control = nil
	if len(frames) >= maxControl {
		o.room.Broadcast()
	}
	return frames
}

// liveFrame is what takeLive takes: a Deliver frame, and what the subscription has missed
// before it.
type liveFrame struct {
	subscription uint64
	dropped      uint64
	messages     int
	frame        []byte // empty if there are no messages
}

// takeLive takes one frame's worth of a ready subscription's deliveries, encoded into
// buf. ok is false if nothing is ready.
func (o *outbox) takeLive(buf []byte) (l liveFrame, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ready) == 0 {
		return liveFrame{frame: buf}, false
	}
	s := o.ready[0]
	o.ready = o.ready[1:]
	deliveries, more := s.takeLocked(wire.CoalesceBytes)
	if more {
		o.ready = append(o.ready, s) // round robin
	} else {
		s.isReady = false
	}
	l = liveFrame{subscription: s.request, dropped: s.dropped, messages: len(deliveries), frame: buf}
	s.dropped = 0
	size := 0
	for _, d := range deliveries {
		size += len(d)
	}
	if len(deliveries) > 0 {
		l.frame = wire.AppendDeliver(l.frame, s.request, size)
	}
	for i, d := range deliveries {
		l.frame = append(l.frame, d...)
		deliveries[i] = nil
	}
	return l, true
}

// depth counts what waits, and how many messages may.
func (o *outbox) depth(maxTopics int) (messages, most, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.live {
		messages += s.lenLocked()
		bytes += s.bytes
		if s.conflate > 0 {
			most += maxTopics
		} else {
			most += s.maxQueue
		}
	}
	for _, frame := range o.control {
		bytes += len(frame)
	}
	return messages, most, bytes
}
