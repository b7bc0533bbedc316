package collector_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
	"gpupulse/server/collector"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
	"gpupulse/server/store"
)

// pipeline is a log, a hub, a store and a collector between them.
type pipeline struct {
	t         *testing.T
	messages  *commitlog.Log
	hub       *hub.Hub
	store     *store.Store
	collector *collector.Collector
	publisher *sdk.Client
}

// openPipeline opens all parts in dir; wrap may stand between collector and store.
func openPipeline(t *testing.T, dir string, o collector.Options, wrap func(*store.Store) collector.Appender) *pipeline {
	p := &pipeline{t: t}
	var err error
	p.messages, err = commitlog.Open(filepath.Join(dir, "log"), commitlog.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	p.hub, err = hub.New(p.messages, hub.Options{})
	require.NoError(t, err)
	p.store, err = store.Open(filepath.Join(dir, "store"), store.Options{})
	require.NoError(t, err)
	p.collector = collector.New(wrap(p.store), o)
	require.NoError(t, p.collector.Consume(t.Context(), p.client("collector")))
	p.publisher = p.client("publisher")
	return p
}

func plain(s *store.Store) collector.Appender { return s }

func (p *pipeline) client(name string) *sdk.Client {
	c, err := sdk.Dial(p.t.Context(), "ws://hub.local/ws", sdk.Options{Name: name, Dial: p.hub.DialLocal})
	require.NoError(p.t, err)
	return c
}

func (p *pipeline) close() {
	require.NoError(p.t, p.publisher.Close())
	require.NoError(p.t, p.collector.Drain(context.Background()))
	require.NoError(p.t, p.hub.Close())
	require.NoError(p.t, p.store.Check())
	require.NoError(p.t, p.store.Close())
	require.NoError(p.t, p.messages.Close())
}

// publish sends one reading a message, count of them over ten GPUs.
func (p *pipeline) publish(count int) {
	d := telemetry.Descriptor{Name: "test.n", Kind: telemetry.Gauge, Source: "N", Mul: 1, Div: 1}
	var messages []sdk.Message
	for i := range count {
		gpu := fmt.Sprint("GPU-", i%10)
		payload, err := telemetry.Append(nil, &telemetry.Reading{
			Time: int64(i / 10), Host: "h", GPU: gpu, Samples: []telemetry.Sample{{Metric: &d, Sent: float64(i)}},
		})
		require.NoError(p.t, err)
		messages = append(messages, sdk.Message{Topic: "gpu.h." + gpu, Payload: payload})
	}
	_, err := p.publisher.Publish(p.t.Context(), messages...)
	require.NoError(p.t, err)
}

func (p *pipeline) consumer() hub.ConsumerInfo {
	for _, c := range p.hub.Consumers() {
		if c.Consumer == "store" {
			return c
		}
	}
	return hub.ConsumerInfo{}
}

// settled waits until the hub has an answer for everything up to sequence.
func (p *pipeline) settled(sequence uint64) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		c := p.consumer()
		return c.Floor >= sequence && c.InFlight == 0
	}, 20*time.Second, 5*time.Millisecond)
}

func TestFromTheHubToTheStore(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	const count = 3000
	for round := 1; round <= 3; round++ {
		p := openPipeline(t, dir, collector.Options{Workers: 3}, plain)
		p.publish(count)
		p.settled(uint64(round * count))
		require.Eventually(t, func() bool {
			_, checkpoint := p.store.Checkpoint()
			return checkpoint >= uint64(round*count)
		}, 5*time.Second, 5*time.Millisecond)
		assert.EqualValues(t, count, p.store.Stats().Rows, "round %d adds nothing new", round)
		readings, total, err := p.store.Readings(t.Context(), telemetry.ReadingQuery{
			GPU: "GPU-7", Span: telemetry.Span{Start: 0, End: count}, Page: telemetry.Page{Limit: 1},
		})
		require.NoError(t, err)
		assert.Equal(t, count/10, total)
		assert.Equal(t, float64(count-3), readings[0].Samples[0].Sent)
		assert.NoError(t, p.collector.Ready())
		epoch, _ := p.store.Checkpoint()
		assert.Equal(t, p.messages.Epoch(), epoch)
		p.close()
	}
}

func TestWhatIsNoReadingBecomesADeadLetter(t *testing.T) {
	p := openPipeline(t, t.TempDir(), collector.Options{}, plain)
	defer p.close()
	_, err := p.publisher.Publish(t.Context(), sdk.Message{Topic: "gpu.h.x", Payload: []byte{0xff}}, sdk.Message{Topic: "gpu.h.x", Payload: []byte("{}")})
	require.NoError(t, err)
	p.publish(10)
	p.settled(12)
	require.Eventually(t, func() bool { return p.consumer().DeadLetters == 2 }, 5*time.Second, 5*time.Millisecond)
	assert.EqualValues(t, 10, p.store.Stats().Rows)
	assert.EqualValues(t, 2, p.collector.Stats().Termed)
}

// brokenStore fails while it is told to.
type brokenStore struct {
	collector.Appender
	broken atomic.Bool
}

func (s *brokenStore) Append(ctx context.Context, epoch string, sequences []uint64, readings []telemetry.Reading, checkpoint uint64) error {
	if s.broken.Load() {
		return errors.New("write: no space left on device")
	}
	return s.Appender.Append(ctx, epoch, sequences, readings, checkpoint)
}

// An outage of the store that is longer than the ack wait loses nothing, acks nothing
// and costs no message a delivery.
func TestStoreOutage(t *testing.T) {
	var broken *brokenStore
	p := openPipeline(t, t.TempDir(), collector.Options{Workers: 2, AckWait: time.Second}, func(s *store.Store) collector.Appender {
		broken = &brokenStore{Appender: s}
		return broken
	})
	defer p.close()
	broken.broken.Store(true)
	p.publish(500)
	began := time.Now()
	require.Eventually(t, func() bool { return p.collector.Ready() != nil && time.Since(began) > 2500*time.Millisecond }, 10*time.Second, 10*time.Millisecond)
	assert.ErrorContains(t, p.collector.Ready(), "no space left on device")
	assert.Zero(t, p.consumer().Acked)
	assert.Zero(t, p.consumer().Redelivered, "leases are extended")
	broken.broken.Store(false)
	p.settled(500)
	assert.NoError(t, p.collector.Ready())
	assert.EqualValues(t, 500, p.store.Stats().Rows)
	assert.Zero(t, p.consumer().DeadLetters)
}
