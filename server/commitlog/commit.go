package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// groupBytes bounds one write, so that the first of a long queue do not wait for the last.
	groupBytes = 4 << 20
	// retryEvery is how often a log that failed tries the disk again.
	retryEvery = 250 * time.Millisecond
	// retainEvery is how often retention looks, besides at each new segment.
	retainEvery = 10 * time.Second
)

// run is the committer.
func (l *Log) run() {
	defer close(l.done)
	sync := time.NewTicker(l.o.SyncInterval)
	defer sync.Stop()
	retain := time.NewTicker(retainEvery)
	defer retain.Stop()
	for {
		select {
		case <-l.wake:
		case <-sync.C:
			l.turn.Lock()
			l.syncInterval()
			l.turn.Unlock()
			continue
		case <-retain.C:
			l.turn.Lock()
			l.retain()
			l.probe()
			l.turn.Unlock()
			continue
		}
		if l.commitAll() {
			return
		}
	}
}

// commitAll commits until nothing waits. It reports whether the log is closed and finished.
func (l *Log) commitAll() (closed bool) {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		group, values, putDone, closed := l.take()
		if len(group) == 0 && values == nil && len(putDone) == 0 {
			if closed {
				l.finish()
			}
			return closed
		}
		l.commit(group, values, putDone)
	}
}

// commitHere commits what waits in the caller's goroutine, unless somebody commits
// already. What came meanwhile is left to the committer.
func (l *Log) commitHere() bool {
	if !l.turn.TryLock() {
		return false
	}
	group, values, putDone, _ := l.take()
	l.commit(group, values, putDone)
	l.turn.Unlock()
	l.mu.Lock()
	more := len(l.queue) > 0 || len(l.dirty) > 0 || len(l.putDone) > 0 || l.closed
	l.mu.Unlock()
	if more {
		l.signal()
	}
	return true
}

// take removes a group from the queue.
func (l *Log) take() (group []pending, values []byte, putDone []func(error), closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < len(l.queue) && (n == 0 || size+len(l.queue[n].body) <= groupBytes) {
		size += len(l.queue[n].body)
		n++
	}
	if n == len(l.queue) {
		group, l.queue = l.queue, nil
	} else {
		group = l.queue[:n:n]
		l.queue = append([]pending(nil), l.queue[n:]...)
	}
	l.queued -= int64(size)
	if n > 0 {
		l.room.Broadcast()
	}
	if len(l.dirty) > 0 {
		values = l.dirtyValuesLocked()
	}
	putDone, l.putDone = l.putDone, nil
	return group, values, putDone, l.closed
}

func (l *Log) dirtyValuesLocked() []byte {
	values := []byte{}
	for key := range l.dirty {
		values = appendValue(values, key, l.values[key])
	}
	clear(l.dirty)
	return values
}

// commit writes a group, makes it durable under the policy and answers.
func (l *Log) commit(group []pending, values []byte, putDone []func(error)) {
	waiting, err := l.available()
	for err == nil && (len(group) > 0 || values != nil) {
		var n int
		var all bool
		if n, all, err = l.commitSome(group, values); err != nil {
			break
		}
		group = group[n:]
		if all {
			values = nil
		}
	}
	if err != nil {
		// Values need no care: the next segment begins with the whole table.
		if !waiting {
			l.fail(err)
		}
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		for _, p := range group {
			p.done(0, 0, err)
		}
	}
	for _, done := range putDone {
		done(err)
	}
}

// available makes sure that there is a segment to write to. After a failure it tries
// the disk only now and then; in between it answers the failure again, with waiting set.
func (l *Log) available() (waiting bool, err error) {
	if !l.abandoned {
		return false, nil
	}
	if time.Now().Before(l.retryAt) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return true, l.failed
	}
	return false, l.roll(0)
}

// probe lets a failed log recover although nobody publishes.
func (l *Log) probe() {
	if !l.abandoned {
		return
	}
	if waiting, err := l.available(); err != nil && !waiting {
		l.fail(err)
	}
}

func (l *Log) fail(err error) {
	l.abandoned = true
	l.retryAt = time.Now().Add(retryEvery)
	l.mu.Lock()
	before := l.failed
	l.failed = err
	l.mu.Unlock()
	if before == nil {
		l.o.Logger.Error("log stops taking messages", "dir", l.dir, "err", err)
	}
}

// commitSome writes as much of the group as the active segment holds, at least one
// record, and the values if they fit behind all of it; a record that does not fit
// gets a new segment. It answers what it wrote: n of the group, and whether that
// was all, values included.
func (l *Log) commitSome(group []pending, values []byte) (n int, all bool, err error) {
	s := l.active()
	n, all = l.encode(s, group, values)
	if len(l.records) == 0 {
		if err := l.roll(recordHeaderBytes + int64(firstBody(group, values))); err != nil {
			return 0, false, err
		}
		s = l.active()
		n, all = l.encode(s, group, values)
	}
	if err := l.write(s, l.buf); err != nil {
		return 0, false, err
	}
	l.publish(s, l.records)
	for i, p := range group[:n] {
		p.done(l.records[i].first, l.records[i].unixNano, nil)
	}
	l.metrics.commit(len(l.records), int64(len(l.buf)))
	l.prepareAhead(s)
	return n, all, nil
}

func firstBody(group []pending, values []byte) int {
	if len(group) > 0 {
		return len(group[0].body)
	}
	return len(values)
}

// encode puts into l.buf and l.records what fits into what is left of s.
func (l *Log) encode(s *segment, group []pending, values []byte) (n int, all bool) {
	l.buf, l.records = l.buf[:0], l.records[:0]
	now := max(time.Now().UnixNano(), l.lastAt)
	next, left := l.last+1, s.size-s.end
	add := func(r record) bool {
		if left -= r.size(); left < 0 {
			return false
		}
		r.promised, r.first, r.unixNano = uint32(s.end), next, now
		l.buf = appendRecord(l.buf, &r)
		l.records = append(l.records, r)
		next += uint64(r.count)
		return true
	}
	for _, p := range group {
		if !add(record{kind: kindMessages, count: p.count, body: p.body}) {
			return n, false
		}
		n++
	}
	return n, values == nil || add(record{kind: kindValues, body: values})
}

// write puts b at the segment's end and makes it durable under the policy.
func (l *Log) write(s *segment, b []byte) error {
	if _, err := s.f.WriteAt(b, s.end); err != nil {
		return fmt.Errorf("write segment %s: %w", s.path, err)
	}
	if l.o.Fsync != FsyncAlways {
		l.unsynced = true
		return nil
	}
	return l.sync(s)
}

func (l *Log) sync(s *segment) error {
	start := time.Now()
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("sync segment %s: %w", s.path, err)
	}
	l.unsynced = false
	l.metrics.sync(time.Since(start))
	l.mu.Lock()
	l.fsyncs++
	l.mu.Unlock()
	return nil
}

// publish lets readers see the records.
func (l *Log) publish(s *segment, records []record) {
	s.mu.Lock()
	for i := range records {
		s.noteLocked(&records[i], s.end)
	}
	last := s.last
	l.lastAt = s.lastAt
	s.mu.Unlock()
	l.mu.Lock()
	l.last = max(l.last, last)
	l.commits++
	l.mu.Unlock()
}

func (l *Log) syncInterval() {
	if l.o.Fsync != FsyncInterval || !l.unsynced || l.abandoned {
		return
	}
	if err := l.sync(l.active()); err != nil {
		l.fail(err)
	}
}

func (l *Log) active() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[len(l.segments)-1]
}

// roll goes on in a new segment that has room for at least so many bytes.
func (l *Log) roll(room int64) error {
	l.mu.Lock()
	active := l.segments[len(l.segments)-1]
	table := []byte{}
	for key, value := range l.values {
		table = appendValue(table, key, value)
	}
	clear(l.dirty)
	first := l.last + 1
	l.mu.Unlock()

	if l.o.Fsync == FsyncInterval && l.unsynced && !l.abandoned {
		if err := l.sync(active); err != nil {
			return err
		}
	}
	promised := active.end
	replaces := first == active.first // it holds no messages: the new one takes its name
	if replaces {
		promised = active.promisedBefore
	}
	s, err := l.startNext(first, promised, table, room)
	if err != nil {
		return err
	}
	l.begin(s, replaces)
	if replaces {
		if err := active.f.Close(); err != nil {
			l.o.Logger.Warn("close replaced segment", "segment", active.path, "err", err)
		}
	}
	l.retain()
	return nil
}

// begin makes s the active segment.
func (l *Log) begin(s *segment, replaces bool) {
	l.mu.Lock()
	before := l.segments
	if replaces {
		before = before[:len(before)-1]
	}
	l.segments = append(slices.Clone(before), s)
	recovered := l.failed != nil
	l.failed = nil
	l.mu.Unlock()
	l.abandoned = false
	if recovered {
		l.o.Logger.Info("log takes messages again", "dir", l.dir, "segment", filepath.Base(s.path))
	}
}

// startNext names the prepared file, or a new one, as the segment that begins with first.
func (l *Log) startNext(first uint64, promised int64, table []byte, room int64) (*segment, error) {
	size := max(l.o.SegmentBytes, segmentHeaderBytes+2*recordHeaderBytes+int64(len(table))+room)
	next := filepath.Join(l.dir, nextName)
	p := prepared{err: os.ErrNotExist}
	if l.preparing {
		p = <-l.next
		l.preparing = false
	}
	if p.err == nil && p.size < size {
		p.err = errors.Join(os.ErrNotExist, p.f.Close())
	}
	if p.err != nil {
		f, err := prepareFile(l.o.open, next, size, l.o.Fsync == FsyncNever)
		if err != nil {
			return nil, err
		}
		p = prepared{f: f, size: size}
	}
	s, err := startSegment(l.dir, p.f, p.size, l.epoch, first, max(time.Now().UnixNano(), l.lastAt), promised, table)
	if err != nil {
		return nil, errors.Join(err, p.f.Close())
	}
	return s, nil
}

// prepareAhead has the next segment's zeros written once the active one is half full.
func (l *Log) prepareAhead(s *segment) {
	if l.preparing || s.end < s.size/2 {
		return
	}
	l.preparing = true
	size := l.o.SegmentBytes
	go func() {
		f, err := prepareFile(l.o.open, filepath.Join(l.dir, nextName), size, l.o.Fsync == FsyncNever)
		l.next <- prepared{f, size, err}
	}()
}

// finish promises everything and waits for the preparer.
func (l *Log) finish() {
	if s := l.active(); !l.abandoned && s.end+recordHeaderBytes <= s.size {
		if _, all := l.encode(s, nil, []byte{}); all {
			err := l.write(s, l.buf)
			if err == nil && l.o.Fsync == FsyncInterval {
				err = l.sync(s)
			}
			if err != nil {
				l.o.Logger.Error("close log", "err", err)
			}
		}
	}
	if l.preparing {
		if p := <-l.next; p.err == nil {
			if err := errors.Join(p.f.Close(), os.Remove(filepath.Join(l.dir, nextName))); err != nil {
				l.o.Logger.Warn("remove prepared segment", "err", err)
			}
		}
	}
}
