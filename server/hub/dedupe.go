package hub

import (
	"hash/maphash"
	"sync"
	"time"
)

// dedupe remembers which message ids each publisher has sent: for a window of time at
// least, and half the number of entries at least, whichever is less. Two generations make
// forgetting cheap: the older one is forgotten when the younger is as old as the window or
// holds half the entries. Ids are kept as 128-bit hashes: that two of a million
// collide has odds of about one in 10^26.
type dedupe struct {
	window  time.Duration
	entries int
	seeds   [2]maphash.Seed

	mu      sync.Mutex
	now     map[idHash]origin
	before  map[idHash]origin
	rotated time.Time
}

type idHash [2]uint64

// origin is where an id was first seen: a message of a commit.
type origin struct {
	commit *commit
	index  uint32
}

// commit is the fate of one appended record, shared by its messages' ids. Its fields are
// guarded by dedupe.mu.
type commit struct {
	first  uint64 // 0 until it is safe
	failed bool
	// followers are told when it is settled: duplicates that came meanwhile.
	followers []func(first uint64, ok bool)
}

func newDedupe(window time.Duration, entries int) *dedupe {
	return &dedupe{
		window: window, entries: entries, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		now: map[idHash]origin{}, before: map[idHash]origin{}, rotated: time.Now(),
	}
}

func (d *dedupe) hash(publisher, id []byte) idHash {
	var h maphash.Hash
	var sum idHash
	for i, seed := range d.seeds {
		h.SetSeed(seed)
		h.Write(publisher)
		h.WriteByte(0)
		h.Write(id)
		sum[i] = h.Sum64()
	}
	return sum
}

// findLocked returns where an id was first seen, if it is known.
func (d *dedupe) findLocked(key idHash) (first origin, known bool) {
	for _, generation := range [...]map[idHash]origin{d.now, d.before} {
		if first, ok := generation[key]; ok && !first.commit.failed {
			return first, true
		}
	}
	return origin{}, false
}

// rememberLocked makes o the origin of an id.
func (d *dedupe) rememberLocked(key idHash, o origin) {
	if len(d.now) >= d.entries/2 || time.Since(d.rotated) > d.window {
		d.before, d.now, d.rotated = d.now, make(map[idHash]origin, min(len(d.now), 1024)), time.Now()
	}
	d.now[key] = o
}

// settle tells what became of a commit, and those who wait for it.
func (d *dedupe) settle(c *commit, first uint64, ok bool) {
	d.mu.Lock()
	c.first, c.failed = first, !ok
	followers := c.followers
	c.followers = nil
	d.mu.Unlock()
	for _, tell := range followers {
		tell(first, ok)
	}
}
