package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gpupulse/sdk/telemetry"
)

// maxGroup bounds the readings that one round of the writer takes, so that an Append
// does not wait for a long queue that formed behind it.
const maxGroup = 8192

// request is one Append on its way through the writer.
type request struct {
	epoch      string
	sequences  []uint64
	readings   []telemetry.Reading
	checkpoint uint64
	refused    map[int]error
	done       chan error
}

// RefusedError is answered when a batch is stored but for some readings, which never
// can be: they are outside a bound.
type RefusedError struct {
	reasons map[int]error
}

func (e *RefusedError) Error() string {
	for i, err := range e.reasons {
		return fmt.Sprintf("%d readings refused, such as number %d: %v", len(e.reasons), i, err)
	}
	return "no readings refused"
}

// Refused tells which readings of the batch were refused, by their index, and why.
func (e *RefusedError) Refused() map[int]error { return e.reasons }

// Append stores readings and returns when they are on disk. sequences names the log
// record of each; of two samples of one GPU, metric and time the one with the higher
// sequence stays. checkpoint, if it is not 0, says that the effect of all records of
// this epoch up to it is in the store with this batch; it is committed with it.
//
// The slices are not used after Append has returned. An error means that nothing is
// promised about the batch and that it may be appended again, but for a *RefusedError,
// with which all but the named readings are stored.
func (s *Store) Append(ctx context.Context, epoch string, sequences []uint64, readings []telemetry.Reading, checkpoint uint64) error {
	if len(sequences) != len(readings) {
		return fmt.Errorf("append %d readings: %d sequences", len(readings), len(sequences))
	}
	q := &request{epoch: epoch, sequences: sequences, readings: readings, checkpoint: checkpoint, done: make(chan error, 1)}
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	select {
	case s.requests <- q:
	case <-ctx.Done():
		return fmt.Errorf("append %d readings: %w", len(readings), ctx.Err())
	case <-s.closing:
		return ErrClosed
	}
	// The writer reads the caller's slices, so it is waited for, whatever ctx says.
	select {
	case err := <-q.done:
		return err
	case <-s.stopped:
	}
	select {
	case err := <-q.done:
		return err
	default:
		return ErrClosed
	}
}

// write is the writer's loop.
func (s *Store) write() {
	defer close(s.stopped)
	for {
		select {
		case q := <-s.requests:
			s.writeGroup(s.gather(q))
		case check := <-s.checks:
			check()
		case <-s.closing:
			for {
				select {
				case q := <-s.requests:
					s.writeGroup(s.gather(q))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits behind q, without waiting for more.
func (s *Store) gather(q *request) []*request {
	group, n := []*request{q}, len(q.readings)
	for n < maxGroup {
		select {
		case q := <-s.requests:
			group, n = append(group, q), n+len(q.readings)
		default:
			return group
		}
	}
	return group
}

// writeGroup stores a group and answers each of its requests.
func (s *Store) writeGroup(group []*request) {
	start := time.Now()
	before := s.state.Load().rows
	err := s.storeGroup(group)
	readings := 0
	for _, q := range group {
		readings += len(q.readings)
		switch {
		case err != nil:
			q.done <- err
		case len(q.refused) > 0:
			q.done <- &RefusedError{q.refused}
		default:
			q.done <- nil
		}
	}
	s.metrics.group(readings, s.state.Load().rows-before, time.Since(start), err)
}

// storeGroup stores a group in one transaction, or in several where it is large. The
// checkpoint goes into the last.
func (s *Store) storeGroup(group []*request) error {
	t, err := begin(s.db, s.cat, s.max)
	if err != nil {
		return err
	}
	defer func() { t.txn.Discard() }()
	next := *s.state.Load()
	for _, q := range group {
		q.refused = nil
		epoch, err := t.epoch(q.epoch)
		if err != nil {
			return err
		}
		for i := range q.readings {
			if t.full() {
				if err := s.commit(t, next); err != nil {
					return err
				}
				next = *s.state.Load()
				if t, err = begin(s.db, s.cat, s.max); err != nil {
					return err
				}
			}
			if err := q.put(t, epoch, i); err != nil {
				return err
			}
		}
	}
	for _, q := range group {
		next.advance(s.cat.epochs[q.epoch], q.epoch, q.checkpoint)
	}
	return s.commit(t, next)
}

// put adds reading i, or notes why it is refused.
func (q *request) put(t *transaction, epoch uint32, i int) error {
	err := t.put(stamp{epoch: epoch, sequence: q.sequences[i]}, &q.readings[i])
	var no *refusal
	if errors.As(err, &no) {
		if q.refused == nil {
			q.refused = make(map[int]error)
		}
		q.refused[i] = no
		return nil
	}
	return err
}

// advance moves the checkpoint forwards, never back.
func (st *state) advance(epoch uint32, name string, checkpoint uint64) {
	if checkpoint != 0 && (epoch > st.epoch || epoch == st.epoch && checkpoint > st.checkpoint) {
		st.epoch, st.epochName, st.checkpoint = epoch, name, checkpoint
	}
}

// commit commits t together with the state that follows from it.
func (s *Store) commit(t *transaction, next state) error {
	next.rows += t.added
	if err := t.set([]byte{prefixRows}, appendNumbers(next.rows)); err != nil {
		return err
	}
	if err := t.set([]byte{prefixCheckpoint}, appendNumbers(uint64(next.epoch), next.checkpoint)); err != nil {
		return err
	}
	if err := t.commit(); err != nil {
		return err
	}
	s.state.Store(&next)
	return nil
}
