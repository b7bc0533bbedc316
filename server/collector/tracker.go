package collector

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// answers are the ways to answer a delivered message.
type answers interface {
	Ack() error
	Term(reason string) error
	Progress() error
}

// delivery is one message of the log on its way into the store.
type delivery struct {
	answers
	topic    string
	payload  []byte
	epoch    string
	sequence uint64
	attempt  int
	stored   time.Time // when the hub stored it
}

// pending is a delivery that the tracker watches.
type pending struct {
	delivery
	batch *batch // the batch that is storing it
	done  bool
}

// tracker knows which delivered messages are not yet stored, and so how far a
// checkpoint may go: to the highest sequence with nothing unstored at or before it.
// A message that was term'ed counts as stored.
type tracker struct {
	mu    sync.Mutex
	epoch string
	list  []*pending // ascending by sequence; all are after floor
	floor uint64     // everything delivered up to here is stored
}

// add watches deliveries of one epoch. Those of another epoch than before begin a new
// list: sequences of two epochs cannot be compared.
func (t *tracker) add(deliveries []delivery) []*pending {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*pending, 0, len(deliveries))
	for _, d := range deliveries {
		if d.epoch != t.epoch {
			t.epoch, t.list, t.floor = d.epoch, nil, 0
		}
		p := &pending{delivery: d}
		out = append(out, p)
		if d.sequence <= t.floor {
			continue // redelivered after it was stored
		}
		i, again := t.find(d.sequence)
		if again {
			t.list[i] = p
		} else {
			t.list = slices.Insert(t.list, i, p)
		}
	}
	return out
}

func (t *tracker) find(sequence uint64) (int, bool) {
	if n := len(t.list); n == 0 || t.list[n-1].sequence < sequence {
		return n, false
	}
	return slices.BinarySearchFunc(t.list, sequence, func(p *pending, s uint64) int { return cmp.Compare(p.sequence, s) })
}

// checkpoint returns how far a checkpoint may go once b is stored; 0 if there is none to make.
func (t *tracker) checkpoint(b *batch) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.epoch != t.epoch {
		return 0
	}
	for _, p := range b.pending {
		p.batch = b
	}
	floor := t.floor
	for _, p := range t.list {
		if !p.done && p.batch != b {
			break
		}
		floor = p.sequence
	}
	return floor
}

// stored takes note that b is in the store.
func (t *tracker) stored(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.epoch != t.epoch {
		return
	}
	for _, p := range b.pending {
		if i, found := t.find(p.sequence); found {
			t.list[i].done = true // or a redelivery of p that came meanwhile
		}
	}
	n := 0
	for n < len(t.list) && t.list[n].done {
		t.floor = t.list[n].sequence
		n++
	}
	t.list = slices.Delete(t.list, 0, n)
}

// settled returns how far everything delivered is stored, and whether that is all of it.
func (t *tracker) settled(epoch string) (floor uint64, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.floor, len(t.list) == 0 && t.epoch == epoch
}

// waiting returns what is not yet stored, and when the oldest of it was sent to the hub.
func (t *tracker) waiting() (all []*pending, oldest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.list {
		if p.done {
			continue
		}
		if oldest.IsZero() || p.stored.Before(oldest) {
			oldest = p.stored
		}
		all = append(all, p)
	}
	return all, oldest
}
