package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gpupulse/sdk"
)

type benchCommand struct {
	output
	Topic    string `help:"Messages go to TOPIC.0, TOPIC.1 and so on." default:"bench"`
	Topics   int    `help:"How many topics." default:"8"`
	Messages int    `help:"How many messages." default:"100000"`
	Size     int    `help:"Payload in bytes." default:"200"`
	Batch    int    `help:"Messages of one publish call." default:"16"`
	Window   int    `help:"Messages published and not yet answered, at most." default:"4096"`
}

// benchResult is what was measured. A latency is from the call to the answer of its batch.
type benchResult struct {
	Messages   int     `json:"messages"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"messages_per_second"`
	MBPerSec   float64 `json:"megabytes_per_second"`
	P50Millis  float64 `json:"latency_p50_ms"`
	P95Millis  float64 `json:"latency_p95_ms"`
	P99Millis  float64 `json:"latency_p99_ms"`
	MaxMillis  float64 `json:"latency_max_ms"`
	BatchesNot int     `json:"failed_batches"`
}

func (b *benchCommand) check() error {
	for _, v := range []struct {
		flag  string
		value int
	}{{"topics", b.Topics}, {"messages", b.Messages}, {"batch", b.Batch}, {"window", b.Window}} {
		if v.value < 1 {
			return fmt.Errorf("--%s %d: must be at least 1", v.flag, v.value)
		}
	}
	if b.Size < 0 {
		return fmt.Errorf("--size %d: must not be negative", b.Size)
	}
	return nil
}

// Run publishes and measures.
func (b *benchCommand) Run(ctx context.Context, log *slog.Logger, c *connection, s *streams) error {
	if err := b.check(); err != nil {
		return err
	}
	session, err := c.dial(ctx, log, s, sdk.Options{MaxUnacked: b.Window})
	if err != nil {
		return err
	}
	defer session.Close()
	result, err := b.measure(session)
	if err != nil {
		return err
	}
	if b.json() {
		return printJSON(s.out, result)
	}
	_, err = fmt.Fprintf(s.out, "%d messages of %d bytes in %.2f s: %.0f messages/s, %.1f MB/s\nanswered after p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms\n",
		result.Messages, b.Size, result.Seconds, result.PerSecond, result.MBPerSec, result.P50Millis, result.P95Millis, result.P99Millis, result.MaxMillis)
	return err
}

func (b *benchCommand) measure(session *session) (benchResult, error) {
	var (
		mu        sync.Mutex
		latencies []time.Duration
		failed    int
		firstErr  error
	)
	payload := bytes.Repeat([]byte("x"), b.Size)
	started := time.Now()
	for sent := 0; sent < b.Messages; {
		batch := make([]sdk.Message, min(b.Batch, b.Messages-sent))
		for i := range batch {
			batch[i] = sdk.Message{Topic: fmt.Sprintf("%s.%d", b.Topic, (sent+i)%b.Topics), Payload: payload}
		}
		sent += len(batch)
		called := time.Now()
		err := session.PublishAsync(session.ctx, batch, func(_ []sdk.Result, err error) {
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, time.Since(called))
			if err != nil {
				failed++
			}
			if firstErr == nil {
				firstErr = err
			}
		})
		if err != nil {
			return benchResult{}, err
		}
	}
	if err := session.Flush(session.ctx); err != nil {
		return benchResult{}, err
	}
	took := time.Since(started).Seconds()
	mu.Lock()
	defer mu.Unlock()
	if failed == len(latencies) {
		return benchResult{}, firstErr
	}
	slices.Sort(latencies)
	at := func(share float64) float64 {
		return latencies[int(share*float64(len(latencies)-1))].Seconds() * 1000
	}
	return benchResult{
		Messages: b.Messages, Seconds: took, PerSecond: float64(b.Messages) / took, MBPerSec: float64(b.Messages*b.Size) / took / 1e6,
		P50Millis: at(0.5), P95Millis: at(0.95), P99Millis: at(0.99), MaxMillis: at(1), BatchesNot: failed,
	}, nil
}
