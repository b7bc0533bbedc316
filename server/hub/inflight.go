package hub

import (
	"container/heap"
	"slices"
	"sort"
	"time"
)

// inFlight is what a consumer has delivered above its floor. Every method is called with
// the consumer's mu held.
//
// Invariants: every sequence that fits the filter and is <= floor is answered; slots are in
// the order of their sequences, all are > floor and <= scanned; every sequence that
// fits and is <= scanned is answered or has a slot; the first slot is not answered.
type inFlight struct {
	slots   []slot
	head    int    // slots before it are gone
	scanned uint64 // how far the log has been given out
	open    int    // slots that are not answered
	spans   []span // answered before a restart, > floor, in order
	// attempts holds the delivery counts of before a restart.
	attempts map[uint64]uint32
	leases   fifo
	waiting  waits
}

type slotState uint8

const (
	waiting slotState = iota // for its next delivery
	leased
	dead // on its way to the dead letters
	done
)

// slot is one delivered message.
type slot struct {
	sequence uint64
	unixNano int64
	hash     uint64
	bytes    int
	attempt  uint32
	state    slotState
	member   *member   // while leased
	deadline time.Time // while leased
	extended bool      // by progress: no lease has this deadline yet
}

// span is a range of sequences of which all that fit the filter are answered.
type span struct{ First, Last uint64 }

// lease is when a slot's ack wait may run out; the slot has the last word.
type lease struct {
	sequence uint64
	deadline time.Time
}

// fifo holds leases in the order in which they were given, which is that of their deadlines.
type fifo struct {
	items []lease
	head  int
}

func (f *fifo) push(l lease) {
	if f.head > 1024 && f.head > len(f.items)/2 {
		f.items = f.items[:copy(f.items, f.items[f.head:])]
		f.head = 0
	}
	f.items = append(f.items, l)
}

func (f *fifo) front() (lease, bool) {
	if f.head == len(f.items) {
		return lease{}, false
	}
	return f.items[f.head], true
}

func (f *fifo) len() int { return len(f.items) - f.head }

// wait is a redelivery to come.
type wait struct {
	sequence uint64
	at       time.Time
}

// waits is a heap, soonest first; at one time in the order of the sequences.
type waits []wait

func (w waits) Len() int { return len(w) }
func (w waits) Less(i, j int) bool {
	if w[i].at.Equal(w[j].at) {
		return w[i].sequence < w[j].sequence
	}
	return w[i].at.Before(w[j].at)
}
func (w waits) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push is heap.Interface's.
func (w *waits) Push(x any) { *w = append(*w, x.(wait)) }

// Pop is heap.Interface's.
func (w *waits) Pop() any {
	old := *w
	x := old[len(old)-1]
	*w = old[:len(old)-1]
	return x
}

// maxSlots bounds how far a consumer gets ahead of its floor: one message that nobody
// answers must not cost memory for all that come after it.
const maxSlots = 64 << 10

// fullLocked reports whether no slot may be added.
func (f *inFlight) fullLocked() bool { return len(f.slots)-f.head >= maxSlots }

// leaseLocked notes when a slot's ack wait runs out.
func (f *inFlight) leaseLocked(s *slot, deadline time.Time) {
	s.deadline = deadline
	if f.leases.len() >= 2*maxSlots {
		f.leases = fifo{items: slices.DeleteFunc(f.leases.items[f.leases.head:], func(l lease) bool {
			return !f.liveLocked(l)
		})}
	}
	f.leases.push(lease{s.sequence, deadline})
}

// liveLocked reports whether a lease's delivery still waits for its answer.
func (f *inFlight) liveLocked(l lease) bool {
	s := f.findLocked(l.sequence)
	return s != nil && s.state == leased && !s.deadline.Before(l.deadline)
}

// expiredLocked takes the next slot whose ack wait has run out.
func (f *inFlight) expiredLocked(now time.Time) *slot {
	for {
		l, ok := f.leases.front()
		if !ok {
			return nil
		}
		live := f.liveLocked(l)
		if live && l.deadline.After(now) {
			return nil
		}
		f.leases.head++
		if !live {
			continue
		}
		s := f.findLocked(l.sequence)
		if !s.deadline.After(now) {
			return s
		}
		// Its member has said progress, or it was delivered again: a later lease holds. The
		// first of these leaves none behind.
		if s.deadline != l.deadline && !s.extended {
			continue
		}
		s.extended = false
		f.leases.push(lease{s.sequence, s.deadline})
	}
}

// start sets the floor of a consumer that has delivered nothing.
func (f *inFlight) start(floor uint64, spans []span) {
	f.scanned, f.spans = floor, spans
}

// floorLocked is the highest sequence up to which everything is answered.
func (f *inFlight) floorLocked() uint64 {
	if f.head < len(f.slots) {
		return f.slots[f.head].sequence - 1
	}
	return f.scanned
}

// answeredLocked reports whether a sequence above scanned was answered before a restart.
func (f *inFlight) answeredLocked(sequence uint64) bool {
	for len(f.spans) > 0 && f.spans[0].Last < sequence {
		f.spans = f.spans[1:]
	}
	return len(f.spans) > 0 && f.spans[0].First <= sequence
}

// addLocked makes a slot. The pointer is valid until the next call.
func (f *inFlight) addLocked(sequence uint64, unixNano int64, hash uint64, bytes int) *slot {
	if f.head > 1024 && f.head > len(f.slots)/2 {
		f.slots = f.slots[:copy(f.slots, f.slots[f.head:])]
		f.head = 0
	}
	s := slot{sequence: sequence, unixNano: unixNano, hash: hash, bytes: bytes}
	if n, ok := f.attempts[sequence]; ok {
		s.attempt = n
		delete(f.attempts, sequence)
	}
	f.slots = append(f.slots, s)
	f.scanned = max(f.scanned, sequence)
	f.open++
	return &f.slots[len(f.slots)-1]
}

// searchLocked returns the index of the first slot at or after a sequence.
func (f *inFlight) searchLocked(sequence uint64) int {
	live := f.slots[f.head:]
	return f.head + sort.Search(len(live), func(i int) bool { return live[i].sequence >= sequence })
}

// findLocked returns a sequence's slot, or nil.
func (f *inFlight) findLocked(sequence uint64) *slot {
	if i := f.searchLocked(sequence); i < len(f.slots) && f.slots[i].sequence == sequence {
		return &f.slots[i]
	}
	return nil
}

func (f *inFlight) eachLocked(visit func(*slot)) {
	for i := f.head; i < len(f.slots); i++ {
		visit(&f.slots[i])
	}
}

// releaseLocked ends a slot's lease, if it has one.
func (s *slot) releaseLocked() {
	if s.state != leased {
		return
	}
	s.member.open--
	s.member.bytes -= s.bytes
	s.member.consumer.disownLocked(s.hash)
	s.member = nil
}

// waitLocked ends a lease and has the message delivered again at a time.
func (f *inFlight) waitLocked(s *slot, at time.Time) {
	s.releaseLocked()
	s.state = waiting
	heap.Push(&f.waiting, wait{s.sequence, at})
}

// doneLocked marks a slot as answered.
func (f *inFlight) doneLocked(s *slot) {
	s.releaseLocked()
	s.state = done
	f.open--
}

// settleLocked moves the floor past answered slots.
func (f *inFlight) settleLocked() {
	for f.head < len(f.slots) && f.slots[f.head].state == done {
		f.head++
	}
	if f.head == len(f.slots) {
		f.slots, f.head = f.slots[:0], 0
	}
}

// untilLocked is how long nothing becomes due.
func (f *inFlight) untilLocked(now time.Time) time.Duration {
	until := time.Hour
	if l, ok := f.leases.front(); ok {
		until = min(until, l.deadline.Sub(now))
	}
	if len(f.waiting) > 0 {
		until = min(until, f.waiting[0].at.Sub(now))
	}
	return max(until, time.Millisecond)
}

// stateLocked is what must outlive a restart.
func (f *inFlight) stateLocked() (floor uint64, spans []span, attempts map[uint64]uint32) {
	floor = f.floorLocked()
	attempts = map[uint64]uint32{}
	open := false
	for i := f.head; i < len(f.slots); i++ {
		s := &f.slots[i]
		if s.state == done {
			if open && len(spans) > 0 {
				spans[len(spans)-1].Last = s.sequence
			} else {
				spans = append(spans, span{s.sequence, s.sequence})
			}
			open = true
			continue
		}
		open = false
		failed := s.attempt
		if s.state == leased {
			failed-- // this delivery may still succeed
		}
		if failed > 0 {
			attempts[s.sequence] = failed
		}
	}
	for sequence, n := range f.attempts {
		if sequence > f.scanned {
			attempts[sequence] = n
		}
	}
	return floor, append(spans, slices.Clone(f.spans)...), attempts
}
