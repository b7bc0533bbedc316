package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// fanoutBytes bounds what has been committed and not yet handed to subscriptions; past
// it publishers wait.
const fanoutBytes = 64 << 20

// fanout hands committed messages to the live subscriptions, in the log's order, and keeps
// each topic's newest message. One goroutine, run, does so; pushing to a subscription
// never waits for its reader.
//
// Lock order: mu, then a connection's outbox.mu. names and queue have locks of their
// own, which nobody holds while taking another. turn comes before all of them.
type fanout struct {
	maxTopics int
	committed func() // tells durable consumers

	names struct {
		sync.RWMutex
		byName map[string]*topicState
	}
	queue struct {
		sync.Mutex
		room    sync.Cond
		batches []batch
		bytes   int
		closed  bool
	}
	wake chan struct{}
	turn sync.Mutex // held by who hands out: run, or a publisher that helps

	mu    sync.Mutex
	index index
	last  uint64 // last sequence handed out
}

// batch is one committed record.
type batch struct {
	first    uint64
	unixNano int64
	messages []published
	size     int
}

// topicState is what the hub knows of a topic. Its name never changes; the rest is
// guarded by fanout.mu.
type topicState struct {
	name       string
	matches    []*subscription
	generation uint64
	messages   uint64
	bytes      uint64
	rate       meter
	sequence   uint64 // of the newest message
	unixNano   int64
	newest     []byte // as AppendDelivery makes it; shared, never changed

	// What a publisher's expectation is held against: sequence may be behind the answers.
	stored   atomic.Uint64 // sequence of the newest message in the log
	underWay atomic.Int64  // messages on their way there
}

func newFanout(maxTopics int, committed func()) *fanout {
	f := &fanout{maxTopics: maxTopics, committed: committed, wake: make(chan struct{}, 1)}
	f.names.byName = map[string]*topicState{}
	f.queue.room.L = &f.queue
	f.index.generation = 1
	return f
}

// topic returns the state of a topic, new if need be.
func (f *fanout) topic(name []byte) (*topicState, error) {
	f.names.RLock()
	state := f.names.byName[string(name)]
	f.names.RUnlock()
	if state != nil {
		return state, nil
	}
	f.names.Lock()
	defer f.names.Unlock()
	if state := f.names.byName[string(name)]; state != nil {
		return state, nil
	}
	if len(f.names.byName) >= f.maxTopics {
		return nil, wire.Faultf(wire.TooMany, "the hub keeps %d topics and %q would be one more", f.maxTopics, name)
	}
	state = &topicState{name: string(name)}
	f.names.byName[state.name] = state
	return state, nil
}

// states lists the topics that fit a filter, by name; "" fits all.
func (f *fanout) states(filter string) []*topicState {
	f.names.RLock()
	all := make([]*topicState, 0, len(f.names.byName))
	for name, state := range f.names.byName {
		if filter == "" || topic.Match(filter, name) {
			all = append(all, state)
		}
	}
	f.names.RUnlock()
	slices.SortFunc(all, func(a, b *topicState) int { return strings.Compare(a.name, b.name) })
	return all
}

// waitForRoom holds a publisher back while too much waits to be handed out.
func (f *fanout) waitForRoom() {
	f.queue.Lock()
	for f.queue.bytes > fanoutBytes && !f.queue.closed {
		f.queue.room.Wait()
	}
	f.queue.Unlock()
}

// depth is how many bytes of committed records wait to be handed out.
func (f *fanout) depth() int {
	f.queue.Lock()
	defer f.queue.Unlock()
	return f.queue.bytes
}

// push queues a committed record. Who calls it sees to it that run is signalled or somebody
// helps out.
func (f *fanout) push(b batch) {
	f.queue.Lock()
	f.queue.batches = append(f.queue.batches, b)
	f.queue.bytes += b.size
	f.queue.Unlock()
}

// run hands out until done is closed and the queue is empty.
func (f *fanout) run(done <-chan struct{}) {
	for {
		select {
		case <-f.wake:
		case <-done:
			f.drain()
			f.queue.Lock()
			f.queue.closed = true
			f.queue.room.Broadcast()
			f.queue.Unlock()
			return
		}
		f.drain()
	}
}

func (f *fanout) drain() {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.drainLocked()
}

// helpOut hands out in a publisher's goroutine, unless run is at it.
func (f *fanout) helpOut() {
	if !f.turn.TryLock() {
		f.signal() // run may have looked for the last time
		return
	}
	f.drainLocked()
	f.turn.Unlock()
}

func (f *fanout) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fanout) drainLocked() {
	var spare []batch
	for {
		f.queue.Lock()
		batches := f.queue.batches
		f.queue.batches, f.queue.bytes = spare[:0], 0
		f.queue.room.Broadcast()
		f.queue.Unlock()
		if len(batches) == 0 {
			return
		}
		for i := range batches {
			f.handOut(&batches[i])
			batches[i] = batch{}
		}
		f.committed()
		spare = batches
	}
}

// handOut pushes one record's messages.
func (f *fanout) handOut(b *batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, m := range b.messages {
		sequence := b.first + uint64(i)
		f.noteLocked(m.topic, sequence, b.unixNano, m.raw)
		f.last = sequence
		for _, s := range f.matchesLocked(m.topic) {
			s.push(m.topic, sequence, m.topic.newest)
		}
	}
}

// meets holds a message's expectation against the topic. The caller keeps other
// publications out.
func (t *topicState) meets(m *wire.RawMessage) error {
	if !m.Expects {
		return nil
	}
	// In this order: what is no longer on its way is in stored.
	if n := t.underWay.Load(); n > 0 {
		return wire.Faultf(wire.Conflict, "%d messages of topic %q are on their way to the log", n, t.name)
	}
	if stored := t.stored.Load(); stored != m.Expected {
		return wire.Faultf(wire.Conflict, "newest message of topic %q has sequence %d, %d was expected", t.name, stored, m.Expected)
	}
	return nil
}

// noteLocked makes a message its topic's newest.
func (f *fanout) noteLocked(t *topicState, sequence uint64, unixNano int64, raw []byte) {
	t.messages++
	t.bytes += uint64(len(raw))
	t.sequence, t.unixNano = sequence, unixNano
	t.newest = wire.AppendDelivery(make([]byte, 0, len(raw)+deliveryOverhead), sequence, 1, unixNano, raw)
}

// deliveryOverhead is the most that a Delivery adds to its message.
const deliveryOverhead = 48

func (f *fanout) matchesLocked(t *topicState) []*subscription {
	if t.generation != f.index.generation {
		t.matches, t.generation = f.index.match(t.matches[:0], t.name), f.index.generation
	}
	return t.matches
}

// restoreMessages is how much of the log's end a hub reads when it starts: the newest
// messages of topics older than that are known again when they speak.
const restoreMessages = 1 << 18

// restore rebuilds the topics from the newest part of the log and shows each message
// that has an id.
func (f *fanout) restore(log Log, each func(first uint64, publisher []byte, i int, id []byte)) error {
	first, last := log.Bounds()
	f.last = last
	from := max(first, last+1-min(last, restoreMessages))
	for from <= last {
		next := from
		var bad error
		err := log.Read(from, 4<<20, func(first uint64, count int, unixNano int64, body []byte) bool {
			next = first + uint64(count)
			bad = f.restoreRecord(first, unixNano, body, each)
			return bad == nil
		})
		if err = errors.Join(err, bad); err != nil {
			return fmt.Errorf("restore topics from sequence %d: %w", from, err)
		}
		if next == from {
			return nil // the rest is damaged; the log has said so
		}
		from = next
	}
	return nil
}

func (f *fanout) restoreRecord(first uint64, unixNano int64, body []byte, each func(uint64, []byte, int, []byte)) error {
	return eachMessage(body, func(publisher []byte, i int, raw []byte) error {
		m, err := wire.ParseMessage(raw)
		if err != nil {
			return err
		}
		// Past the bound on topics this one has no newest message: the bound is smaller than it was.
		if state, err := f.topic(m.Topic); err == nil {
			f.noteLocked(state, first+uint64(i), unixNano, raw)
			state.stored.Store(first + uint64(i))
			state.rate.last = state.messages // it is not traffic of now
		}
		if len(m.ID) > 0 {
			each(first, publisher, i, m.ID)
		}
		return nil
	})
}

// tick brings the topics' rates up to date.
func (f *fanout) tick(elapsed time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names.RLock()
	defer f.names.RUnlock()
	for _, t := range f.names.byName {
		t.rate.tick(t.messages, elapsed)
	}
}
