package cmdline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever a settings file holds, it is refused or gives known keys only.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{"listen: a:1\nhosts: [a, 'b,c']\n", "listen:", "- x", "listen: {a: 1}", "a: &a [*a]", "listen: !!binary aGk=", "%YAML 9", "\x00"} {
		f.Add([]byte(seed))
	}
	known := map[string]bool{"listen": true, "hosts": true}
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, err := parseFile(text, known)
		if err != nil {
			require.Nil(t, settings)
		}
		for key := range settings {
			require.True(t, known[key], key)
		}
	})
}

// A duration that the standard library reads means the same here.
func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"7d", "1w2d", "30s", "-1.5h", "d", "9223372036854775807ns", "1e9w"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseDuration(text)
		if want, plain := time.ParseDuration(text); plain == nil {
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

// A size is never negative, and what is written of it reads back.
func FuzzParseBytes(f *testing.F) {
	for _, seed := range []string{"10GiB", "1.5 MiB", "0", "-1", "1e18", "0x10", "7EB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseBytes(text)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, int64(size), int64(0))
		back, err := ParseBytes(size.String())
		require.NoError(t, err)
		require.InEpsilon(t, float64(size)+1, float64(back)+1, 1e-12) // a float64 is exact up to 2^53
	})
}
