package streamer

import (
	"context"
	"fmt"
	"time"

	"gpupulse/agent/source"
	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
	"gpupulse/sdk/topic"
	"gpupulse/sdk/wire"
)

// worker encodes and publishes the readings of some of the GPUs, in order.
type worker struct {
	s     *Streamer
	queue chan source.Batch
	pace  pacer
	open  *batch // being filled; nil if nothing is
	stamp int64  // the last one of Restamp
}

// batch is what goes to the publisher at once.
type batch struct {
	messages []sdk.Message
	rows     []int  // of each message
	payloads []byte // of all messages, one after the other
	ends     []int  // of each message's payload
	began    time.Time
}

// Reasons for rejecting rows here.
const (
	reasonTopic    = "no valid topic"
	reasonEncoding = "cannot be encoded"
	reasonTooBig   = "too big for a message"
)

// run works until its queue is closed, ctx ends before a rate lets the next reading
// through, or nothing can be sent any more.
func (w *worker) run(ctx, send context.Context) error {
	for chunk := range w.queue {
		for i := range chunk.Readings {
			due, err := w.await(ctx, send)
			if err != nil || !due {
				return err
			}
			w.pace.took(time.Now(), chunk.Rows[i])
			w.add(&chunk.Readings[i], chunk.Rows[i], chunk.Line(i))
			if w.open != nil && len(w.open.messages) == maxBatch {
				if err := w.publish(send); err != nil {
					return err
				}
			}
		}
		if err := w.publish(send); err != nil {
			return err
		}
	}
	return nil
}

// await returns when the next reading may be sent, or false if ctx ends before. What
// is encoded already does not wait with it.
func (w *worker) await(ctx, send context.Context) (bool, error) {
	if w.pace.rate == 0 {
		return true, nil
	}
	wait := w.pace.wait(time.Now())
	if wait > 0 {
		if err := w.publish(send); err != nil {
			return false, err
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-send.Done():
		}
	}
	if ctx.Err() != nil {
		return false, w.publish(send)
	}
	return true, nil
}

// add encodes a reading into the open batch. One that cannot be a message is
// counted and left out.
func (w *worker) add(r *telemetry.Reading, rows, line int) {
	if w.s.o.Restamp {
		w.restamp(r)
	}
	name, err := telemetry.Topic(w.s.o.Topic, r)
	if err == nil {
		err = topic.Check(name)
	}
	if err != nil {
		w.s.o.Rejects.Add(reasonTopic, rows, line, err.Error())
		return
	}
	if w.open == nil {
		w.open = w.s.newBatch()
	}
	b := w.open
	begin := len(b.payloads)
	payloads, err := telemetry.Append(b.payloads, r)
	switch size := wire.MessageSize(name, payloads[min(begin, len(payloads)):], nil, "", nil) + wire.MaxIDBytes; {
	case err != nil:
		w.s.o.Rejects.Add(reasonEncoding, rows, line, err.Error())
		b.payloads = b.payloads[:begin]
		return
	case size > wire.MaxMessageBytes:
		w.s.o.Rejects.Add(reasonTooBig, rows, line, fmt.Sprintf("%d bytes, %d are allowed", size, wire.MaxMessageBytes))
		b.payloads = payloads[:begin]
		return
	}
	b.payloads = payloads
	b.messages = append(b.messages, sdk.Message{Topic: name})
	b.rows = append(b.rows, rows)
	b.ends = append(b.ends, len(payloads))
	w.s.counts.took(rows)
}

// restamp gives a reading the present time, and no two of a worker the same: two
// readings of one GPU at one time would be one in the store.
func (w *worker) restamp(r *telemetry.Reading) {
	w.stamp = max(w.stamp+1, time.Now().UnixNano())
	r.Time = w.stamp
	for i := range r.Samples {
		r.Samples[i].Offset = 0
	}
}

// publish hands the open batch over; how it went is counted when the answer comes.
func (w *worker) publish(send context.Context) error {
	b := w.open
	if b == nil || len(b.messages) == 0 {
		return nil
	}
	w.open = nil
	begin := 0
	for i, end := range b.ends {
		b.messages[i].Payload = b.payloads[begin:end:end]
		begin = end
	}
	b.began = time.Now()
	err := w.s.to.PublishAsync(send, b.messages, func(results []sdk.Result, err error) { w.s.answered(b, results, err) })
	if err != nil {
		return fmt.Errorf("publish %d readings: %w", len(b.messages), err)
	}
	return nil
}

func (s *Streamer) newBatch() *batch {
	if b, ok := s.batches.Get().(*batch); ok {
		return b
	}
	return &batch{}
}

// answered takes the hub's answer to a batch. What has neither a sequence nor a
// refusal was not answered before the publisher closed.
func (s *Streamer) answered(b *batch, results []sdk.Result, err error) {
	for i, r := range results {
		switch {
		case r.Err != nil:
			s.counts.refused(b.rows[i], b.messages[i].Topic, r.Err)
		case r.Sequence > 0:
			s.counts.acknowledged(b.rows[i], r.Duplicate)
		}
	}
	if err != nil {
		s.o.Logger.Debug("batch was not acknowledged as a whole", "messages", len(b.messages), "err", err)
	}
	s.counts.latency.Observe(time.Since(b.began).Seconds())
	clear(b.messages)
	b.messages, b.rows, b.payloads, b.ends = b.messages[:0], b.rows[:0], b.payloads[:0], b.ends[:0]
	s.batches.Put(b)
}
