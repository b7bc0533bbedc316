package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gpupulse/sdk"
)

const (
	payloadBytes  = 512
	publishWindow = 500
	liveRate      = 5000 // messages a second for latencies
)

func hubRows() []row {
	const perSecond = "msg/s"
	return []row{
		{name: "durable publish, fsync before the ack, window 500", unit: perSecond, target: 20, label: "JetStream, sync always",
			ours: ourPublish("always", publishWindow), peer: natsPublish("always", publishWindow)},
		{name: "durable publish against an unsynced peer", unit: perSecond, target: 1, label: "JetStream, default",
			ours: ourPublish("always", publishWindow), peer: natsPublish("", publishWindow)},
		{name: "durable publish, one in flight", unit: perSecond, target: 1.5, label: "JetStream, sync always",
			ours: ourPublish("always", 1), peer: natsPublish("always", 1)},
		{name: "unsynced publish, window 500", unit: perSecond, target: 2, label: "JetStream, default",
			ours: ourPublish("never", publishWindow), peer: natsPublish("", publishWindow)},
		{name: "consume with explicit acks", unit: perSecond, target: 2, label: "JetStream pull consumer",
			ours: ourConsume, peer: natsConsume},
		{name: "fan-out to 1,000 WebSocket subscribers", unit: "deliveries/s", target: 2.5, label: "NATS over WebSocket",
			ours: ourFanOut(1000), peer: natsFanOut(1000)},
		{name: "live latency at 5,000 msg/s, p50", unit: "ms", target: 1, less: true, label: "NATS over WebSocket",
			ours: ourLatency("never", 0.5), peer: natsLatency(0.5)},
		{name: "live latency at 5,000 msg/s, p99", unit: "ms", target: 1, less: true, label: "NATS over WebSocket",
			ours: ourLatency("never", 0.99), peer: natsLatency(0.99)},
		{name: "the same, durable with fsync, p99", unit: "ms", bound: 2, ours: ourLatency("always", 0.99)},
		{name: "server memory, idle", unit: "MiB", bound: 25, ours: ourIdle(0)},
		{name: "server memory per idle connection, 10,000 of them", unit: "KiB", bound: 45, ours: ourIdle(10_000)},
	}
}

func (e *environment) withOurs(ctx context.Context, fsync string, load func(c *sdk.Client, s *server) (float64, error)) (_ float64, err error) {
	s, err := e.gpupulse(fsync)
	if err != nil {
		return 0, err
	}
	defer func() {
		if stopped := s.stop(); err == nil {
			err = stopped
		}
	}()
	c, err := sdk.Dial(ctx, "ws://"+s.address+"/ws", sdk.Options{Name: "bench", MaxUnacked: publishWindow})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return load(c, s)
}

func (e *environment) withNATS(sync string, load func(plain, web string) (float64, error)) (_ float64, err error) {
	plain, web, s, err := e.nats(sync)
	if err != nil {
		return 0, err
	}
	defer func() {
		if stopped := s.stop(); err == nil {
			err = stopped
		}
	}()
	return load(plain, web)
}

// ourPublish publishes one message a call with a window, over WebSocket.
func ourPublish(fsync string, window int) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withOurs(ctx, fsync, func(c *sdk.Client, _ *server) (float64, error) {
			message := []sdk.Message{{Topic: "bench.publish", Payload: make([]byte, payloadBytes)}}
			var refused atomic.Pointer[error]
			start, n := time.Now(), 0
			for time.Since(start) < e.length {
				if window == 1 {
					if _, err := c.Publish(ctx, message...); err != nil {
						return 0, err
					}
				} else if err := c.PublishAsync(ctx, message, func(_ []sdk.Result, err error) {
					if err != nil {
						refused.Store(&err)
					}
				}); err != nil {
					return 0, err
				}
				n++
			}
			if err := c.Flush(ctx); err != nil {
				return 0, err
			}
			if err := refused.Load(); err != nil {
				return 0, *err
			}
			return float64(n) / time.Since(start).Seconds(), nil
		})
	}
}

// natsPublish does the same to a JetStream file stream, over NATS' own protocol on TCP, which
// is its faster door.
func natsPublish(sync string, window int) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withNATS(sync, func(plain, _ string) (float64, error) {
			js, closeAll, err := stream(ctx, plain, window)
			if err != nil {
				return 0, err
			}
			defer closeAll()
			payload := make([]byte, payloadBytes)
			start, n := time.Now(), 0
			for time.Since(start) < e.length {
				if window == 1 {
					_, err = js.Publish(ctx, "bench.publish", payload)
				} else {
					_, err = js.PublishAsync("bench.publish", payload, jetstream.WithStallWait(10*time.Second))
				}
				if err != nil {
					return 0, err
				}
				n++
			}
			<-js.PublishAsyncComplete()
			return float64(n) / time.Since(start).Seconds(), nil
		})
	}
}

func stream(ctx context.Context, url string, window int) (jetstream.JetStream, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
	if err == nil {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "BENCH", Subjects: []string{"bench.>"}, Storage: jetstream.FileStorage})
	}
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return js, nc.Close, nil
}

// consumeMessages is how many messages lie ready before a consumer starts.
const consumeMessages = 300_000

func ourConsume(ctx context.Context, e *environment) (float64, error) {
	return e.withOurs(ctx, "always", func(c *sdk.Client, _ *server) (float64, error) {
		message := []sdk.Message{{Topic: "bench.consume", Payload: make([]byte, payloadBytes)}}
		for range consumeMessages {
			if err := c.PublishAsync(ctx, message, func([]sdk.Result, error) {}); err != nil {
				return 0, err
			}
		}
		if err := c.Flush(ctx); err != nil {
			return 0, err
		}
		n, done := 0, make(chan error, 1)
		start := time.Now()
		_, err := c.Consume(ctx, sdk.ConsumeOptions{Consumer: "bench", Filter: "bench.>", MaxInFlight: 4096}, func(d *sdk.Delivery) {
			if err := d.Ack(); err != nil {
				done <- err
			}
			if n++; n == consumeMessages {
				done <- nil
			}
		})
		if err != nil {
			return 0, err
		}
		err = <-done
		return consumeMessages / time.Since(start).Seconds(), err
	})
}

func natsConsume(ctx context.Context, e *environment) (float64, error) {
	return e.withNATS("", func(plain, _ string) (float64, error) {
		js, closeAll, err := stream(ctx, plain, 4000)
		if err != nil {
			return 0, err
		}
		defer closeAll()
		payload := make([]byte, payloadBytes)
		for range consumeMessages {
			if _, err := js.PublishAsync("bench.consume", payload, jetstream.WithStallWait(10*time.Second)); err != nil {
				return 0, err
			}
		}
		<-js.PublishAsyncComplete()
		consumer, err := js.CreateConsumer(ctx, "BENCH", jetstream.ConsumerConfig{Durable: "bench", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4096})
		if err != nil {
			return 0, err
		}
		n, done := 0, make(chan error, 1)
		start := time.Now()
		consuming, err := consumer.Consume(func(m jetstream.Msg) {
			if err := m.Ack(); err != nil {
				done <- err
			}
			if n++; n == consumeMessages {
				done <- nil
			}
		}, jetstream.PullMaxMessages(4096))
		if err != nil {
			return 0, err
		}
		defer consuming.Stop()
		err = <-done
		return consumeMessages / time.Since(start).Seconds(), err
	})
}

// fanOutMessages is how many messages go to every subscriber; the publisher is bounded so
// that nobody's queue overflows: a lost delivery fails the run.
const (
	fanOutMessages = 2000
	fanOutAhead    = 250
)

func ourFanOut(subscribers int) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withOurs(ctx, "never", func(c *sdk.Client, s *server) (float64, error) {
			g := newGate(subscribers)
			for range subscribers {
				r, err := sdk.Dial(ctx, "ws://"+s.address+"/ws", sdk.Options{Name: "bench reader"})
				if err != nil {
					return 0, err
				}
				defer r.Close()
				o := sdk.SubscribeOptions{OnDropped: func(n uint64) { g.fail(fmt.Errorf("%d deliveries were dropped", n)) }}
				if _, err := r.Subscribe(ctx, "bench.fan", o, func(*sdk.Delivery) { g.got() }); err != nil {
					return 0, err
				}
			}
			message := []sdk.Message{{Topic: "bench.fan", Payload: make([]byte, payloadBytes)}}
			return g.run(ctx, func() error { return c.PublishAsync(ctx, message, func([]sdk.Result, error) {}) })
		})
	}
}

func natsFanOut(subscribers int) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withNATS("", func(_, web string) (float64, error) {
			g := newGate(subscribers)
			for range subscribers {
				nc, err := nats.Connect(web)
				if err != nil {
					return 0, err
				}
				defer nc.Close()
				if _, err := nc.Subscribe("bench.fan", func(*nats.Msg) { g.got() }); err != nil {
					return 0, err
				}
				if err := nc.Flush(); err != nil {
					return 0, err
				}
			}
			nc, err := nats.Connect(web)
			if err != nil {
				return 0, err
			}
			defer nc.Close()
			payload := make([]byte, payloadBytes)
			return g.run(ctx, func() error { return nc.Publish("bench.fan", payload) })
		})
	}
}

// gate counts deliveries and keeps the publisher a bounded number of messages ahead.
type gate struct {
	subscribers int64
	delivered   atomic.Int64
	failed      chan error
}

func newGate(subscribers int) *gate {
	return &gate{subscribers: int64(subscribers), failed: make(chan error, 1)}
}

func (g *gate) got() { g.delivered.Add(1) }

func (g *gate) fail(err error) {
	select {
	case g.failed <- err:
	default:
	}
}

func (g *gate) run(ctx context.Context, publish func() error) (float64, error) {
	start := time.Now()
	for sent := int64(0); sent < fanOutMessages; sent++ {
		if err := g.wait(ctx, (sent-fanOutAhead)*g.subscribers); err != nil {
			return 0, err
		}
		if err := publish(); err != nil {
			return 0, err
		}
	}
	if err := g.wait(ctx, fanOutMessages*g.subscribers); err != nil {
		return 0, err
	}
	return float64(g.delivered.Load()) / time.Since(start).Seconds(), nil
}

// wait returns once so many deliveries have come.
func (g *gate) wait(ctx context.Context, deliveries int64) error {
	for deadline := time.Now().Add(2 * time.Minute); g.delivered.Load() < deliveries; time.Sleep(50 * time.Microsecond) {
		select {
		case err := <-g.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d deliveries came", g.delivered.Load(), deliveries)
		}
	}
	return nil
}

// latencies publishes at liveRate and returns a quantile of the times to delivery, in ms.
type latencies struct {
	mu    sync.Mutex
	times []time.Duration
}

func (l *latencies) got(payload []byte) {
	sent := time.Duration(0)
	for i := range 8 {
		sent |= time.Duration(payload[i]) << (8 * i)
	}
	took := time.Duration(time.Now().UnixNano()) - sent
	l.mu.Lock()
	l.times = append(l.times, took)
	l.mu.Unlock()
}

func (l *latencies) run(length time.Duration, q float64, publish func(payload []byte) error) (float64, error) {
	start := time.Now()
	n := int(length.Seconds() * liveRate)
	for i := range n {
		if wait := time.Until(start.Add(time.Duration(i) * time.Second / liveRate)); wait > 0 {
			time.Sleep(wait)
		}
		payload := make([]byte, payloadBytes)
		now := time.Now().UnixNano()
		for b := range 8 {
			payload[b] = byte(now >> (8 * b))
		}
		if err := publish(payload); err != nil {
			return 0, err
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		got := len(l.times)
		l.mu.Unlock()
		if got == n {
			break
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%d of %d messages came", got, n)
		}
	}
	slices.Sort(l.times)
	return float64(l.times[int(q*float64(n-1))]) / float64(time.Millisecond), nil
}

func ourLatency(fsync string, q float64) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withOurs(ctx, fsync, func(c *sdk.Client, s *server) (float64, error) {
			r, err := sdk.Dial(ctx, "ws://"+s.address+"/ws", sdk.Options{Name: "bench reader"})
			if err != nil {
				return 0, err
			}
			defer r.Close()
			l := new(latencies)
			if _, err := r.Subscribe(ctx, "bench.live", sdk.SubscribeOptions{}, func(d *sdk.Delivery) { l.got(d.Payload) }); err != nil {
				return 0, err
			}
			return l.run(e.length, q, func(payload []byte) error {
				return c.PublishAsync(ctx, []sdk.Message{{Topic: "bench.live", Payload: payload}}, func([]sdk.Result, error) {})
			})
		})
	}
}

func natsLatency(q float64) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		return e.withNATS("", func(_, web string) (float64, error) {
			reader, err := nats.Connect(web)
			if err != nil {
				return 0, err
			}
			defer reader.Close()
			writer, err := nats.Connect(web)
			if err != nil {
				return 0, err
			}
			defer writer.Close()
			l := new(latencies)
			if _, err := reader.Subscribe("bench.live", func(m *nats.Msg) { l.got(m.Data) }); err != nil {
				return 0, err
			}
			if err := reader.Flush(); err != nil {
				return 0, err
			}
			return l.run(e.length, q, func(payload []byte) error { return writer.Publish("bench.live", payload) })
		})
	}
}

// ourIdle is the server's memory in MiB with nothing to do, or, with connections, what each
// of them adds in KiB.
func ourIdle(connections int) func(context.Context, *environment) (float64, error) {
	return func(ctx context.Context, e *environment) (float64, error) {
		s, err := e.gpupulse("always")
		if err != nil {
			return 0, err
		}
		defer s.stop()
		time.Sleep(2 * time.Second)
		before, err := s.memory()
		if err != nil || connections == 0 {
			return before, err
		}
		for range connections {
			c, err := sdk.Dial(ctx, "ws://"+s.address+"/ws", sdk.Options{Name: "bench idle"})
			if err != nil {
				return 0, err
			}
			defer c.Close()
		}
		time.Sleep(2 * time.Second)
		after, err := s.memory()
		return (after - before) * 1024 / float64(connections), err
	}
}
