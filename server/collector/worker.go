package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gpupulse/sdk/telemetry"
)

const (
	// maxBatch bounds the readings of one Append: past this a commit's own cost is
	// spread thin enough.
	maxBatch = 2048
	// queueLength bounds the parts of deliveries that wait for one worker.
	queueLength = 32
	// minRetry and maxRetry bound the wait before storing is tried again.
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
)

// worker stores the messages of the topics that fall to it, one batch at a time.
type worker struct {
	*Collector
	queue    chan []*pending
	readings []telemetry.Reading // decoded into, again and again
	number   int
}

// batch is what one Append stores.
type batch struct {
	epoch   string
	pending []*pending // all of it, to be tracked
	// The decoded ones: position by position.
	kept      []*pending
	sequences []uint64
	readings  []telemetry.Reading
}

// run works until the queue is closed and empty, or ctx ends.
func (w *worker) run(ctx context.Context) {
	var held []*pending // read from the queue, of the next batch
	for {
		if len(held) == 0 {
			select {
			case next, open := <-w.queue:
				if !open {
					return
				}
				held = next
			case <-ctx.Done():
				return
			}
		}
		var b *batch
		b, held = w.gather(held)
		w.decode(b)
		if !w.store(ctx, b) {
			return
		}
		w.settle(ctx, b.epoch)
	}
}

// settle brings the checkpoint up to date when nothing is left to store: batches of
// several workers that were stored side by side did not know of each other.
func (w *worker) settle(ctx context.Context, epoch string) {
	floor, idle := w.tracker.settled(epoch)
	if !idle {
		return // the next batch will carry it
	}
	if stored, sequence := w.appender.Checkpoint(); stored == epoch && sequence >= floor {
		return
	}
	if err := w.appender.Append(ctx, epoch, nil, nil, floor); err != nil && ctx.Err() == nil {
		w.count.failed(err)
		w.log.Warn("checkpoint not stored; the next batch will carry it", "seq", floor, "error", err)
	}
}

// gather makes a batch of first and what waits in the queue behind it. What belongs to
// the next batch is returned.
func (w *worker) gather(first []*pending) (b *batch, rest []*pending) {
	b = &batch{epoch: first[0].epoch, pending: first}
	for len(b.pending) < maxBatch {
		select {
		case next, open := <-w.queue:
			if !open {
				return b, nil
			}
			if next[0].epoch != b.epoch {
				return b, next
			}
			b.pending = append(b.pending, next...)
		default:
			return b, nil
		}
	}
	return b, nil
}

// decode fills the batch with readings and terms what is not one.
func (w *worker) decode(b *batch) {
	for len(w.readings) < len(b.pending) {
		w.readings = append(w.readings, telemetry.Reading{})
	}
	n := 0
	for _, p := range b.pending {
		if err := telemetry.Decode(p.payload, &w.readings[n]); err != nil {
			w.term(p, fmt.Sprintf("decode reading: %v", err))
			continue
		}
		n++
		b.kept = append(b.kept, p)
		b.sequences = append(b.sequences, p.sequence)
	}
	b.readings = w.readings[:n]
}

// store tries until the batch is stored, then answers it; false if ctx ended before.
func (w *worker) store(ctx context.Context, b *batch) bool {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		err := w.appender.Append(ctx, b.epoch, b.sequences, b.readings, w.tracker.checkpoint(b))
		var partly refuser
		if err == nil || errors.As(err, &partly) {
			w.tracker.stored(b)
			w.answer(b, partly)
			w.recovered(w.number)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		w.failed(w.number, err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// answer acks what is stored and terms what was refused.
func (w *worker) answer(b *batch, partly refuser) {
	var refused map[int]error
	if partly != nil {
		refused = partly.Refused()
	}
	for i, p := range b.kept {
		if why, ok := refused[i]; ok {
			w.term(p, fmt.Sprintf("store reading: %v", why))
			continue
		}
		if err := p.Ack(); err != nil {
			w.log.Debug("ack not sent, the hub will deliver again", "topic", p.topic, "seq", p.sequence, "error", err)
		}
	}
	w.count.stored(len(b.kept) - len(refused))
}

func (w *worker) term(p *pending, reason string) {
	w.count.termed(reason)
	w.log.Debug("message term'ed", "topic", p.topic, "seq", p.sequence, "reason", reason)
	if err := p.Term(reason); err != nil {
		w.log.Debug("term not sent, the hub will deliver again", "topic", p.topic, "seq", p.sequence, "error", err)
	}
}
