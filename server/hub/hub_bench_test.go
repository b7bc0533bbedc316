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
