package hub_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gpupulse/sdk"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
)

// The model test drives one consumer of a real hub, on a real log and over the real
// protocol, with random operations in a bubble of fake time, and holds what happens
// against a table of messages.

// operation is one step; what its numbers mean depends on its kind.
type operation struct {
	Kind string
	A, B int
}

const (
	modelAckWait    = 2 * time.Second
	modelMaxDeliver = 3
)

func operations() *rapid.Generator[[]operation] {
	kinds := []string{"publish", "publish", "publish", "join", "leave", "ack", "ack", "ack all", "nak", "term", "progress", "wait", "expire", "restart"}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) operation {
		return operation{rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.IntRange(0, 7).Draw(t, "a"), rapid.IntRange(0, 7).Draw(t, "b")}
	}), 1, 60)
}

// world is the hub under test with what the model knows of it.
type world struct {
	t       *testing.T
	dir     string
	log     *commitlog.Log
	hub     *hub.Hub
	writer  *sdk.Client
	members []*modelMember
	sent    int

	mu        sync.Mutex
	held      []*sdk.Delivery // delivered and not answered, as the model sees it
	delivered map[string][]time.Time
	acked     map[string]bool
	termed    map[string]bool
	naked     map[string]int
	faults    []string
}

type modelMember struct{ client *sdk.Client }

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *world) open() {
	var err error
	w.log, err = commitlog.Open(w.dir, commitlog.Options{SegmentBytes: 64 << 10, Fsync: commitlog.FsyncNever})
	require.NoError(w.t, err)
	w.hub, err = hub.New(w.log, hub.Options{AckWait: modelAckWait, MaxDeliver: modelMaxDeliver})
	require.NoError(w.t, err)
	w.writer = w.dial()
}

func (w *world) dial() *sdk.Client {
	c, err := sdk.Dial(context.Background(), "ws://hub.local/ws", sdk.Options{Dial: w.hub.DialLocal})
	require.NoError(w.t, err)
	return c
}

func (w *world) close() {
	for _, m := range w.members {
		require.NoError(w.t, m.client.Close())
	}
	w.members = nil
	require.NoError(w.t, w.writer.Close())
	require.NoError(w.t, w.hub.Close())
	require.NoError(w.t, w.log.Close())
}

// join adds a member that notes what it gets and answers nothing by itself.
func (w *world) join(answer func(*sdk.Delivery)) {
	c := w.dial()
	_, err := c.Consume(context.Background(), sdk.ConsumeOptions{
		Consumer: "model", Filter: "t.*", MaxInFlight: 4, AckWait: modelAckWait, MaxDeliver: modelMaxDeliver,
		Backoff: []time.Duration{100 * time.Millisecond},
	}, func(d *sdk.Delivery) {
		w.mu.Lock()
		name := string(d.Payload)
		if w.acked[name] || w.termed[name] {
			w.fault("%s was delivered after it was answered", name)
		}
		if failed := w.failures(name); d.Attempt > failed+1 {
			w.fault("%s is at attempt %d, but only %d failed", name, d.Attempt, failed)
		}
		w.delivered[name] = append(w.delivered[name], time.Now())
		if answer == nil {
			w.held = append(w.held, d)
		}
		w.mu.Unlock()
		if answer != nil {
			answer(d)
		}
	})
	require.NoError(w.t, err)
	w.members = append(w.members, &modelMember{c})
}

// settle lets everything that can happen without time passing happen, and the
// consumer's state become durable.
func (w *world) settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

// take removes one held delivery.
func (w *world) take(at int) *sdk.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	at %= len(w.held)
	d := w.held[at]
	w.held = slices.Delete(w.held, at, at+1)
	return d
}

// answered notes an answer that ends a message for good.
func (w *world) answered(d *sdk.Delivery, by map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := string(d.Payload)
	by[name] = true
	w.held = slices.DeleteFunc(w.held, func(x *sdk.Delivery) bool { return x.Sequence == d.Sequence })
}

// failures is how many deliveries of a message may have failed: those that were nak'ed and
// those that are older than the ack wait.
func (w *world) failures(name string) int {
	n := w.naked[name]
	for _, at := range w.delivered[name] {
		if time.Since(at) >= modelAckWait {
			n++
		}
	}
	return n
}

// forget gives up what is held: its members have gone.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = nil
}

func (w *world) do(op operation) {
	switch op.Kind {
	case "publish":
		w.publish(1+op.A, op.B)
	case "join":
		if len(w.members) < 3 {
			w.join(nil)
		}
	case "leave":
		if n := len(w.members); n > 0 {
			m := w.members[op.A%n]
			w.members = slices.Delete(w.members, op.A%n, op.A%n+1)
			require.NoError(w.t, m.client.Close())
			w.forgetClosed()
		}
	case "ack":
		w.one(op.A, (*sdk.Delivery).Ack, w.acked)
	case "ack all":
		for range 8 {
			w.one(0, (*sdk.Delivery).Ack, w.acked)
		}
	case "term":
		w.one(op.A, func(d *sdk.Delivery) error { return d.Term("model") }, w.termed)
	case "nak":
		if d := w.take(op.A); d != nil {
			w.mu.Lock()
			w.naked[string(d.Payload)]++
			w.mu.Unlock()
			_ = d.Nak(0) // its member may have gone: then it comes again all the same
		}
	case "progress":
		if d := w.take(op.A); d != nil {
			_ = d.Progress()
			w.mu.Lock()
			w.held = append(w.held, d)
			w.mu.Unlock()
		}
	case "wait":
		time.Sleep(time.Duration(op.A+1) * 50 * time.Millisecond)
	case "expire":
		time.Sleep(modelAckWait + time.Second)
	case "restart":
		w.settle()
		w.close()
		w.forget()
		w.open()
	}
	w.settle()
}

func (w *world) publish(n, topic int) {
	batch := make([]sdk.Message, n)
	for i := range batch {
		batch[i] = message(fmt.Sprintf("t.%d", (topic+i)%3), fmt.Sprint(w.sent))
		w.sent++
	}
	_, err := w.writer.Publish(context.Background(), batch...)
	require.NoError(w.t, err)
}

func (w *world) one(at int, answer func(*sdk.Delivery) error, by map[string]bool) {
	d := w.take(at)
	if d == nil {
		return
	}
	if err := answer(d); err == nil {
		w.answered(d, by)
	}
}

// forgetClosed drops what members that have left held. The model does not know whose is
// whose, so it keeps only what can still be answered: nothing, if nobody is left.
func (w *world) forgetClosed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = slices.DeleteFunc(w.held, func(d *sdk.Delivery) bool { return d.Progress() != nil })
}

// finish has somebody acknowledge everything that is left, and checks the sum.
func (w *world) finish() {
	for _, m := range w.members {
		require.NoError(w.t, m.client.Close())
	}
	w.members = nil
	w.forget()
	buried := map[string]bool{}
	_, err := w.writer.Consume(context.Background(), sdk.ConsumeOptions{Consumer: "undertaker", Filter: "$dead.*"}, func(d *sdk.Delivery) {
		w.mu.Lock()
		buried[string(d.Payload)] = true
		w.mu.Unlock()
		_ = d.Ack()
	})
	require.NoError(w.t, err)
	w.join(func(d *sdk.Delivery) {
		if d.Ack() == nil {
			w.answered(d, w.acked)
		}
	})
	time.Sleep(time.Minute)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sent {
		name := fmt.Sprint(i)
		switch {
		case len(w.delivered[name]) == 0:
			w.fault("%s was never delivered", name)
		case w.acked[name] && buried[name] && w.failures(name) < modelMaxDeliver: // else the ack came too late
			w.fault("%s was acknowledged and became a dead letter", name)
		case !w.acked[name] && !buried[name]:
			w.fault("%s is neither acknowledged nor a dead letter", name)
		case buried[name] && !w.termed[name] && w.failures(name) < modelMaxDeliver:
			w.fault("%s became a dead letter after %d failures", name, w.failures(name))
		}
	}
	for _, info := range w.hub.Consumers() {
		_, last := w.log.Bounds()
		if info.Consumer == "model" && (info.InFlight != 0 || info.Floor != last) {
			w.fault("in the end %d are in flight and the floor is %d of %d", info.InFlight, info.Floor, last)
		}
	}
	for name := range maps.Keys(w.termed) {
		if !buried[name] {
			w.fault("%s was term'ed and is no dead letter", name)
		}
	}
}

func TestConsumerAgainstItsModel(t *testing.T) {
	root := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		ops := operations().Draw(rt, "operations")
		round++
		w := &world{
			dir: fmt.Sprintf("%s/%d", root, round), delivered: map[string][]time.Time{},
			acked: map[string]bool{}, termed: map[string]bool{}, naked: map[string]int{},
		}
		t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w.t = t
				w.open()
				for _, op := range ops {
					w.do(op)
				}
				w.finish()
				w.close()
			})
		})
		if len(w.faults) > 0 {
			rt.Fatalf("%v", w.faults)
		}
	})
}
