package hub_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
	"gpupulse/server/hub"
)

func TestExpectedSequence(t *testing.T) {
	for _, json := range []bool{false, true} {
		t.Run(fmt.Sprintf("json %v", json), func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, dir, hub.Options{})
			c := b.dial(sdk.Options{JSON: json})
			expecting := func(sequence uint64, id string) sdk.Message {
				m := message("leader", "me")
				m.ExpectedSequence, m.ID = &sequence, id
				return m
			}
			publish(t, c, message("other", "x"))
			first := publish(t, c, expecting(0, "a"))[0].Sequence
			_, err := c.Publish(within(t), expecting(0, "b"))
			var fault *wire.Fault
			require.ErrorAs(t, err, &fault)
			require.Equal(t, wire.Conflict, fault.Code)
			require.Contains(t, fault.Text, fmt.Sprintf("has sequence %d, 0 was expected", first))
			require.True(t, publish(t, c, expecting(0, "a"))[0].Duplicate, "sent again, it was stored before")
			second := publish(t, c, expecting(first, "b"))[0].Sequence
			require.Greater(t, second, first)

			results, err := c.Publish(within(t), expecting(second, ""), message("other", "y"), expecting(second, ""))
			require.ErrorAs(t, err, &fault)
			require.NoError(t, results[0].Err)
			require.NoError(t, results[1].Err)
			require.Error(t, results[2].Err, "the one before it is on its way")
			require.NoError(t, c.Close())
			b.stop()

			b = start(t, dir, hub.Options{})
			defer b.stop()
			again := b.dial(sdk.Options{JSON: json})
			publish(t, again, expecting(results[0].Sequence, ""))
		})
	}
}

// TestExpectedSequenceAdmitsOneOfMany has publishers race to follow the same message, among
// others that expect nothing: each accepted one follows exactly what it expected.
func TestExpectedSequenceAdmitsOneOfMany(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	type accepted struct{ expected, sequence uint64 }
	var mu sync.Mutex
	var wins []accepted
	var all []uint64
	var racing sync.WaitGroup
	for i := range 6 {
		racing.Go(func() {
			c := b.dial(sdk.Options{})
			newest := uint64(0)
			for range 150 {
				m := message("t", "x")
				if i > 0 {
					m.ExpectedSequence = &newest
				}
				results, err := c.Publish(within(t), m)
				mu.Lock()
				if err == nil {
					all = append(all, results[0].Sequence)
					if i > 0 {
						wins = append(wins, accepted{newest, results[0].Sequence})
					}
				}
				newest = 0
				if len(all) > 0 {
					newest = slices.Max(all)
				}
				mu.Unlock()
			}
		})
	}
	racing.Wait()
	slices.Sort(all)
	require.NotEmpty(t, wins)
	for _, w := range wins {
		at, found := slices.BinarySearch(all, w.sequence)
		require.True(t, found)
		before := uint64(0)
		if at > 0 {
			before = all[at-1]
		}
		require.Equal(t, w.expected, before, "what came before sequence %d", w.sequence)
	}
}
