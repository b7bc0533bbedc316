package hub_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/server/hub"
)

// BenchmarkPublish is durable publishing over a socket, window 500, 512-byte payloads.
func BenchmarkPublish(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch %d", batch), func(b *testing.B) {
			h := start(b, b.TempDir(), hub.Options{})
			defer h.stop()
			c := h.dial(sdk.Options{MaxUnacked: 500})
			defer c.Close()
			messages := make([]sdk.Message, batch)
			for i := range messages {
				messages[i] = sdk.Message{Topic: fmt.Sprintf("gpu.host.%d", i), Payload: make([]byte, 512)}
			}
			b.ResetTimer()
			for range b.N {
				require.NoError(b, c.PublishAsync(b.Context(), messages, func(_ []sdk.Result, err error) {
					if err != nil {
						b.Error(err)
					}
				}))
			}
			require.NoError(b, c.Flush(b.Context()))
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkConsume is durable consuming with an ack for every message.
func BenchmarkConsume(b *testing.B) {
	h := start(b, b.TempDir(), hub.Options{})
	defer h.stop()
	c := h.dial(sdk.Options{})
	defer c.Close()
	messages := make([]sdk.Message, 64)
	for i := range messages {
		messages[i] = sdk.Message{Topic: fmt.Sprintf("gpu.host.%d", i), Payload: make([]byte, 512)}
	}
	total := int64(0)
	for total < int64(b.N) {
		require.NoError(b, c.PublishAsync(b.Context(), messages, func([]sdk.Result, error) {}))
		total += 64
	}
	require.NoError(b, c.Flush(b.Context()))
	var got atomic.Int64
	done := make(chan struct{})
	b.ResetTimer()
	var consumer *sdk.Consumer
	ready := make(chan struct{})
	consumer, err := c.ConsumeBatches(b.Context(), sdk.ConsumeOptions{Consumer: "bench", Filter: ">", MaxInFlight: 8192}, func(list []*sdk.Delivery) {
		<-ready
		if err := consumer.Ack(list...); err != nil {
			b.Error(err)
		}
		if got.Add(int64(len(list))) == total {
			close(done)
		}
	})
	require.NoError(b, err)
	close(ready)
	<-done
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkFanOut is a message to 1,000 live subscriptions, each on a connection of its own,
// with at most 64 messages ahead of the slowest.
func BenchmarkFanOut(b *testing.B) {
	const subscribers, ahead = 1000, 64
	h := start(b, b.TempDir(), hub.Options{MaxHandshakes: 10 * subscribers})
	defer h.stop()
	var delivered atomic.Int64
	came := make(chan struct{}, 1)
	for range subscribers {
		_, err := h.dial(sdk.Options{}).Subscribe(b.Context(), "fan", sdk.SubscribeOptions{}, func(*sdk.Delivery) {
			if delivered.Add(1)%subscribers == 0 {
				select {
				case came <- struct{}{}:
				default:
				}
			}
		})
		require.NoError(b, err)
	}
	c := h.dial(sdk.Options{})
	message := []sdk.Message{{Topic: "fan", Payload: make([]byte, 512)}}
	b.ResetTimer()
	for i := range b.N {
		for int64(i-ahead)*subscribers > delivered.Load() {
			<-came
		}
		require.NoError(b, c.PublishAsync(b.Context(), message, func([]sdk.Result, error) {}))
	}
	for int64(b.N)*subscribers > delivered.Load() {
		<-came
	}
	b.ReportMetric(float64(b.N*subscribers)/b.Elapsed().Seconds(), "deliveries/s")
	b.StopTimer()
}
