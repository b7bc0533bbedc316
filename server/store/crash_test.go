package store_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/store"
)

// copyDir copies the files of a store that is open: what a killed process leaves.
func copyDir(t *testing.T, from string) string {
	to := t.TempDir()
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		if f.Name() == "LOCK" {
			continue
		}
		in, err := os.Open(filepath.Join(from, f.Name()))
		require.NoError(t, err)
		out, err := os.Create(filepath.Join(to, f.Name()))
		require.NoError(t, err)
		_, err = io.Copy(out, in)
		require.NoError(t, err)
		require.NoError(t, in.Close())
		require.NoError(t, out.Close())
	}
	return to
}

// What a killed process leaves holds all that was appended, catalogue, latest values and
// checkpoint included, and goes on from there.
func TestKilledStoreHasAllThatWasAppended(t *testing.T) {
	s := open(t, store.Options{})
	for i := range 3 {
		at := int64(100 * i)
		s.put(uint64(2*i+1), reading("a", at, sample(temp, float64(i))), reading("b", at+1, sample(util, float64(i)), sample(custom(i), 1)))

		left := &opened{t: t, dir: copyDir(t, s.dir)}
		var err error
		left.Store, err = store.Open(left.dir, store.Options{})
		require.NoError(t, err)
		require.NoError(t, left.Check())
		assert.Equal(t, s.Stats().Rows, left.Stats().Rows)
		_, sequence := left.Checkpoint()
		assert.Equal(t, uint64(2*i+2), sequence)
		got, total := left.readings(telemetry.ReadingQuery{GPU: "b"})
		assert.Equal(t, i+1, total)
		assert.Equal(t, at+1, got[0].Time)
		left.put(50, reading("c", 1, sample(custom(9), 1)))
		require.NoError(t, left.Check())
		require.NoError(t, left.Close())
	}
}
