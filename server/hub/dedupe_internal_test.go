package hub

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestIdsAreKnownForTheWholeWindow: whenever an id came, it is known for the window, and the
// memory has its bound.
func TestIdsAreKnownForTheWholeWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 2 * time.Minute
		d := newDedupe(window, 1000)
		known := func(id string) bool {
			_, ok := d.findLocked(d.hash([]byte("p"), []byte(id)))
			return ok
		}
		remember := func(id string) { d.rememberLocked(d.hash([]byte("p"), []byte(id)), origin{commit: &commit{first: 1}}) }
		came := map[string]time.Time{}
		for i := range 100 { // one each seven seconds, so that they come at any age of a generation
			id := strconv.Itoa(i)
			remember(id)
			came[id] = time.Now()
			for old, at := range came {
				if age := time.Since(at); age <= window {
					require.True(t, known(old), "%s after %s", old, age)
				} else if age > 2*window+7*time.Second {
					require.False(t, known(old), "%s after %s", old, age)
				}
			}
			time.Sleep(7 * time.Second)
		}
		for i := range 10_000 {
			remember("flood " + strconv.Itoa(i))
			require.LessOrEqual(t, len(d.now)+len(d.before), 1000)
			require.True(t, known("flood "+strconv.Itoa(max(0, i-499))), "the last half of the bound is known")
		}
	})
}
