package hub_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
	"gpupulse/server/hub"
)

// worker is a consumer's member that does as it is told and counts.
type worker struct {
	mu   sync.Mutex
	fail bool
	got  map[string]int
}

func (w *worker) handle(d *sdk.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got[string(d.Payload)]++
	if w.fail {
		_ = d.Nak(time.Millisecond)
		return
	}
	_ = d.Ack()
}

func (w *worker) set(fail bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

func (w *worker) count(payload string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got[payload]
}

func consumerOf(t *testing.T, h *hub.Hub, name string) hub.ConsumerInfo {
	info, err := h.Consumer(name)
	require.NoError(t, err)
	return info
}

func TestDeadLettersAreListedReplayedAndPurged(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, hub.Options{MaxDeliver: 2})
	c := b.dial(sdk.Options{})
	w := &worker{got: map[string]int{}, fail: true}
	o := sdk.ConsumeOptions{Consumer: "work", Filter: "job.*"}
	_, err := c.Consume(within(t), o, w.handle)
	require.NoError(t, err)
	for i := range 3 {
		publish(t, c, sdk.Message{Topic: "job.x", Payload: fmt.Append(nil, i), Headers: map[string]string{"own": "kept"}})
	}
	require.Eventually(t, func() bool { return consumerOf(t, b.hub, "work").DeadListed == 3 }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Drain(within(t)))
	b.stop()

	b = start(t, dir, hub.Options{MaxDeliver: 2})
	defer b.stop()
	list, total, err := b.hub.DeadLetters("work", 1, 1)
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Len(t, list, 1)
	require.Equal(t, "job.x", list[0].Topic)
	require.Equal(t, map[string]string{"own": "kept"}, list[0].Headers)
	require.Equal(t, 2, list[0].Deliveries)
	require.Contains(t, list[0].Reason, "nak")
	replayed := string(list[0].Payload)

	c = b.dial(sdk.Options{})
	defer c.Close()
	w.set(false)
	_, err = c.Consume(within(t), o, w.handle)
	require.NoError(t, err)
	n, err := b.hub.ReplayDeadLetters(within(t), "work", []uint64{list[0].Sequence, 1 << 40})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Eventually(t, func() bool { return w.count(replayed) == 3 }, 5*time.Second, time.Millisecond)
	n, err = b.hub.PurgeDeadLetters("work", nil)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Zero(t, consumerOf(t, b.hub, "work").DeadListed)
	_, _, err = b.hub.DeadLetters("nobody", 0, 1)
	var fault *wire.Fault
	require.ErrorAs(t, err, &fault)
	require.Equal(t, wire.NotFound, fault.Code)
}

func TestConsumerIsPausedResetAndDeleted(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	w := &worker{got: map[string]int{}}
	consumer, err := c.Consume(within(t), sdk.ConsumeOptions{Consumer: "work", Filter: "job.*"}, w.handle)
	require.NoError(t, err)
	publish(t, c, message("job.x", "a"))
	require.Eventually(t, func() bool { return w.count("a") == 1 }, 5*time.Second, time.Millisecond)

	require.NoError(t, b.hub.PauseConsumer("work", true))
	publish(t, c, message("job.x", "b"))
	require.Eventually(t, func() bool { return consumerOf(t, b.hub, "work").Pending == 1 }, 5*time.Second, time.Millisecond)
	require.Never(t, func() bool { return w.count("b") > 0 }, 50*time.Millisecond, 5*time.Millisecond)
	require.NoError(t, b.hub.PauseConsumer("work", false))
	require.Eventually(t, func() bool { return w.count("b") == 1 }, 5*time.Second, time.Millisecond)

	require.NoError(t, b.hub.ResetConsumer("work", &wire.Consume{Start: wire.Start_START_ALL}))
	require.Eventually(t, func() bool { return w.count("a") == 2 && w.count("b") == 2 }, 5*time.Second, time.Millisecond)

	require.ErrorContains(t, b.hub.DeleteConsumer("work"), "1 members")
	require.NoError(t, consumer.Close())
	require.Eventually(t, func() bool { return b.hub.DeleteConsumer("work") == nil }, 5*time.Second, time.Millisecond)
	require.Empty(t, b.hub.Consumers())
	require.Error(t, b.hub.DeleteConsumer("work"))
	publish(t, c, message("job.x", "c"))
	_, err = c.Consume(within(t), sdk.ConsumeOptions{Consumer: "work", Filter: "other.*"}, w.handle)
	require.NoError(t, err, "the name is free again, for any filter")
	require.Zero(t, w.count("c"))
}
