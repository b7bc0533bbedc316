package cmdline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gpupulse/sdk/cmdline"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]cmdline.Bytes{
		"0": 0, "512": 512, "512B": 512, "1KB": 1000, "1kib": 1024, "1.5 MiB": 3 << 19,
		"10GiB": 10 << 30, "2TB": 2e12, "0.5KiB": 512, " 7 ": 7,
	} {
		got, err := cmdline.ParseBytes(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "GiB", "ten", "-1", "-1GiB", "NaN", "Inf", "1e30", "9000000TiB", "1 000", "10Gi"} {
		_, err := cmdline.ParseBytes(text)
		assert.Error(t, err, text)
	}
}

func TestBytesAreWrittenAsTheyAreRead(t *testing.T) {
	for text, size := range map[string]cmdline.Bytes{"0B": 0, "10GiB": 10 << 30, "1001B": 1001, "3KB": 3000, "5MB": 5e6} {
		assert.Equal(t, text, size.String())
	}
	rapid.Check(t, func(t *rapid.T) {
		// A float64 is exact up to 2^53: no setting is larger.
		size := cmdline.Bytes(rapid.Int64Range(0, 1<<53).Draw(t, "size"))
		back, err := cmdline.ParseBytes(size.String())
		require.NoError(t, err)
		require.Equal(t, size, back)
	})
}

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "250ms": 250 * time.Millisecond, "30s": 30 * time.Second, "1h30m": 90 * time.Minute,
		"7d": 7 * day, "1w2d12h": 9*day + 12*time.Hour, "0.5d": 12 * time.Hour, "-1d": -day,
	} {
		got, err := cmdline.ParseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "d", "30", "soon", "1d2", "1x", "999999999w", "NaNd", "106751d24h"} {
		_, err := cmdline.ParseDuration(text)
		assert.Error(t, err, text)
	}
}
