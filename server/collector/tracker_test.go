package collector

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The floor is always the highest sequence with nothing unstored at or before it, in
// whatever order messages are delivered, again delivered and stored.
func TestTrackerIsAsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var (
			tr      tracker
			open    []*batch            // being stored
			state   = map[uint64]bool{} // delivered: stored or not
			reached uint64
		)
		floor := func(also *batch) uint64 {
			best := reached
			for _, s := range slices.Sorted(func(yield func(uint64) bool) {
				for s := range state {
					if !yield(s) {
						return
					}
				}
			}) {
				if s <= reached {
					continue
				}
				stored := state[s]
				if also != nil {
					stored = stored || slices.ContainsFunc(also.pending, func(p *pending) bool { return p.sequence == s })
				}
				if !stored {
					break
				}
				best = s
			}
			return best
		}
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": func(rt *rapid.T) {
				var ds []delivery
				for _, s := range rapid.SliceOfNDistinct(rapid.Uint64Range(1, 40), 1, 6, rapid.ID).Draw(rt, "sequences") {
					busy := slices.ContainsFunc(open, func(b *batch) bool {
						return slices.ContainsFunc(b.pending, func(p *pending) bool { return p.sequence == s })
					})
					if busy {
						continue // its worker has it; the second copy would wait behind
					}
					ds = append(ds, delivery{epoch: "e", sequence: s})
					if _, again := state[s]; !again || s > reached {
						state[s] = state[s] && s <= reached
					}
				}
				if len(ds) > 0 {
					open = append(open, &batch{epoch: "e", pending: tr.add(ds)})
				}
			},
			"store": func(rt *rapid.T) {
				if len(open) == 0 {
					rt.Skip("nothing is open")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "batch")
				b := open[i]
				open = slices.Delete(open, i, i+1)
				require.Equal(rt, floor(b), tr.checkpoint(b))
				tr.stored(b)
				for _, p := range b.pending {
					state[p.sequence] = true
				}
				reached = floor(nil)
				require.Equal(rt, reached, tr.floor)
			},
			"": func(rt *rapid.T) {
				all, _ := tr.waiting()
				for _, p := range all {
					require.False(rt, state[p.sequence])
					require.Greater(rt, p.sequence, tr.floor)
				}
			},
		})
	})
}

func TestNewEpochBeginsANewList(t *testing.T) {
	var tr tracker
	old := &batch{epoch: "old", pending: tr.add([]delivery{{epoch: "old", sequence: 100}})}
	fresh := &batch{epoch: "new", pending: tr.add([]delivery{{epoch: "new", sequence: 1}})}
	require.Zero(t, tr.checkpoint(old), "there is nothing to say about a log that is gone")
	tr.stored(old)
	require.Equal(t, uint64(1), tr.checkpoint(fresh))
}
