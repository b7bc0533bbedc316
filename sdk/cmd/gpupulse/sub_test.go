package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
)

func TestLinesOfMessagesThatAreNoReadings(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	delivery := func(payload string) *sdk.Delivery {
		return &sdk.Delivery{Message: sdk.Message{Topic: "demo.a", Payload: []byte(payload)}, Sequence: 7, Time: at}
	}
	var p printer
	assert.Equal(t, `{"topic":"demo.a","sequence":7,"time":"2026-01-01T00:00:00Z","text":"hé\nllo"}`+"\n", string(p.line(delivery("hé\nllo"))))
	assert.Equal(t, `{"topic":"demo.a","sequence":7,"time":"2026-01-01T00:00:00Z","base64":"/wA="}`+"\n", string(p.line(delivery("\xff\x00"))))
	assert.Equal(t, `{"topic":"demo.a","sequence":7,"time":"2026-01-01T00:00:00Z","text":""}`+"\n", string(p.line(delivery(""))))
	p.raw = true
	assert.Equal(t, "\xff\x00\n", string(p.line(delivery("\xff\x00"))))
}

func TestReadingsAreLinesOfTheirOwnForm(t *testing.T) {
	payload := `{"time":"2026-01-01T00:00:00Z","host":"node-01","gpu":"GPU-1","metrics":{"DCGM_FI_DEV_GPU_UTIL":29}}`
	d := &sdk.Delivery{Message: sdk.Message{Topic: "gpu.node-01.GPU-1", Payload: []byte(payload)}}
	var canonical, source printer
	source.source = true
	assert.JSONEq(t, `{"time":"2026-01-01T00:00:00Z","host":"node-01","gpu":"GPU-1","labels":{},"metrics":{"gpu.util":0.29}}`, string(canonical.line(d)))
	assert.JSONEq(t, `{"time":"2026-01-01T00:00:00Z","host":"node-01","gpu":"GPU-1","labels":{},"metrics":{"DCGM_FI_DEV_GPU_UTIL":29}}`, string(source.line(d)))
}

// chunks notes each write.
type chunks struct{ writes []string }

func (c *chunks) Write(b []byte) (int, error) {
	c.writes = append(c.writes, string(b))
	return len(b), nil
}

func TestALineWaitsOnlyForOnesThatAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, out, done := make(chan []byte, 10), &chunks{}, make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		lines <- []byte("a\n")
		lines <- []byte("b\n")
		go func() { done <- printLines(ctx, out, lines, 0) }()
		synctest.Wait()
		assert.Equal(t, []string{"a\nb\n"}, out.writes)
		lines <- []byte("c\n")
		synctest.Wait()
		assert.Equal(t, []string{"a\nb\n", "c\n"}, out.writes)
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
}

func TestPrintingEndsAtTheCount(t *testing.T) {
	lines := make(chan []byte, 3)
	for range 3 {
		lines <- []byte("x\n")
	}
	var out bytes.Buffer
	require.NoError(t, printLines(t.Context(), &out, lines, 2))
	assert.Equal(t, "x\nx\n", out.String())
}

func TestPrintingEndsWithItsReader(t *testing.T) {
	lines := make(chan []byte, 1)
	lines <- []byte("x\n")
	from, to := io.Pipe()
	gone := errors.New("reader has gone")
	require.NoError(t, from.CloseWithError(gone))
	assert.ErrorIs(t, printLines(t.Context(), to, lines, 0), gone)
}
