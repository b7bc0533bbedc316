package streamer_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/agent/source"
	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a publisher that remembers what it was sent. It answers at once, unless it
// is held: then at release.
type hub struct {
	mu       sync.Mutex
	messages []sdk.Message
	times    []time.Time // of arrival
	largest  int         // batch
	window   int         // messages that may be unanswered; 0: any
	held     bool
	open     int
	waiting  []func()
	changed  chan struct{}
	answer   func(sdk.Message) sdk.Result // nil: a new sequence
	broken   error                        // of PublishAsync
}

func (h *hub) PublishAsync(ctx context.Context, messages []sdk.Message, done func([]sdk.Result, error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	for h.window > 0 && h.open > 0 && h.open+len(messages) > h.window && h.broken == nil {
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if ctx.Err() != nil {
			return fmt.Errorf("publish: %w", context.Cause(ctx))
		}
	}
	if h.broken != nil {
		return h.broken
	}
	results := make([]sdk.Result, len(messages))
	for i, m := range messages {
		m.Payload = append([]byte(nil), m.Payload...) // it is the sender's again after done
		h.messages = append(h.messages, m)
		h.times = append(h.times, time.Now())
		results[i] = sdk.Result{Sequence: uint64(len(h.messages))}
		if h.answer != nil {
			results[i] = h.answer(m)
		}
	}
	h.largest = max(h.largest, len(messages))
	h.open += len(messages)
	h.waiting = append(h.waiting, func() {
		h.open -= len(messages)
		done(results, nil)
	})
	if !h.held {
		h.answerLocked()
	}
	return nil
}

func (h *hub) answerLocked() {
	for _, answer := range h.waiting {
		answer()
	}
	h.waiting = nil
	close(h.changed)
	h.changed = make(chan struct{})
}

// release answers everything, now and from now on.
func (h *hub) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = false
	if h.changed != nil {
		h.answerLocked()
	}
}

func (h *hub) Flush(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.open > 0 {
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if ctx.Err() != nil {
			return fmt.Errorf("flush: %w", context.Cause(ctx))
		}
	}
	return nil
}

// readings decodes what has arrived, in order.
func (h *hub) readings(t *testing.T) []telemetry.Reading {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]telemetry.Reading, len(h.messages))
	for i, m := range h.messages {
		require.NoError(t, telemetry.Decode(m.Payload, &all[i]))
	}
	return all
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// rows is a source of readings of some GPUs in turn: the n-th reading of a GPU has
// time n and value n.
type rows struct {
	gpus, left, next int
	rowsEach         int // rows of each reading; 0: 1
	batch            int // readings of one Read; 0: 100
	err              error
	reads            int
	change           func(*telemetry.Reading)
}

func (r *rows) Read(ctx context.Context) (source.Batch, error) {
	r.reads++
	if err := ctx.Err(); err != nil {
		return source.Batch{}, err
	}
	if r.left == 0 {
		if r.err != nil {
			return source.Batch{}, r.err
		}
		return source.Batch{}, io.EOF
	}
	util, _ := telemetry.Lookup("DCGM_FI_DEV_GPU_UTIL")
	var b source.Batch
	size := r.batch
	if size == 0 {
		size = 100
	}
	for range min(size, r.left) {
		reading := telemetry.Reading{
			Time: int64(r.next/r.gpus) + 1, Host: "host", GPU: fmt.Sprint("GPU-", r.next%r.gpus),
			Samples: []telemetry.Sample{{Metric: util, Sent: float64(r.next/r.gpus + 1)}},
		}
		if r.change != nil {
			r.change(&reading)
		}
		b.Add(reading, max(r.rowsEach, 1), r.next+2)
		r.next++
		r.left--
	}
	return b, nil
}

func (r *rows) Close() error { return nil }
