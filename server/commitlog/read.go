package commitlog

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Read calls visit with the records that hold sequences from `from` on, in order,
// until about maxBytes of bodies have been seen, visit returns false or the log
// ends. The first record may begin before `from`. Sequences that retention or
// damage took are missing. A body is valid only during its call.
func (l *Log) Read(from uint64, maxBytes int, visit func(first uint64, count int, unixNano int64, body []byte) bool) error {
	l.mu.Lock()
	segments, last, closed := l.segments, l.last, l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if from > last {
		return nil
	}
	i := len(segments) - 1
	for i > 0 && segments[i].first > from {
		i--
	}
	for ; i < len(segments) && maxBytes > 0; i++ {
		more := true
		err := l.readSegment(segments, i, from, func(r *record) bool {
			if r.kind == kindMessages && r.last() >= from {
				more = visit(r.first, r.count, r.unixNano, r.body)
				maxBytes -= len(r.body)
			}
			return more && maxBytes > 0
		})
		if errors.Is(err, os.ErrClosed) {
			continue // retention took it meanwhile
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// FirstSince returns the first sequence that was stored at or after unixNano; the next one
// if there is none yet.
func (l *Log) FirstSince(unixNano int64) (uint64, error) {
	l.mu.Lock()
	segments, last := l.segments, l.last
	l.mu.Unlock()
	i := len(segments) - 1
	for i > 0 && segments[i].createdAt > unixNano {
		i--
	}
	for ; i < len(segments); i++ {
		seq := uint64(0)
		err := l.readSegment(segments, i, segments[i].first, func(r *record) bool {
			if r.kind == kindMessages && r.unixNano >= unixNano {
				seq = r.first
			}
			return seq == 0
		})
		if err != nil || seq > 0 {
			return seq, err
		}
	}
	return last + 1, nil
}

// readSegment visits the records of segments[i] from an indexed one at or before
// sequence from, until visit returns false.
func (l *Log) readSegment(segments []*segment, i int, from uint64, visit func(*record) bool) error {
	s := segments[i]
	if err := l.scanOnce(segments, i); err != nil {
		return err
	}
	s.mu.Lock()
	off, end, damage := s.findLocked(from), s.end, s.damage
	s.mu.Unlock()
	buf := windows.Get().(*window)
	defer windows.Put(buf)
	w := &window{f: s.f, size: end, step: readBytes, buf: buf.buf[:0]}
	defer func() { buf.buf = w.buf[:0] }()
	for off < end {
		if to, ok := skip(damage, off); ok {
			off = to
			continue
		}
		r, err := w.record(off)
		switch {
		case isBroken(err):
			// It read back when the segment was scanned or written: the disk has
			// changed it since.
			to, err := l.damaged(s, w, off)
			if err != nil {
				return err
			}
			off = to
			continue
		case err != nil:
			return fmt.Errorf("read segment %s at %d: %w", s.path, off, err)
		}
		if !visit(&r) {
			return nil
		}
		off += r.size()
	}
	return nil
}

// readBytes is how much of a segment a reader takes at once.
const readBytes = 256 << 10

// windows holds read buffers: a reader takes one for a call.
var windows = sync.Pool{New: func() any { return new(window) }}

// scanOnce scans an older segment when it is first read.
func (l *Log) scanOnce(segments []*segment, i int) error {
	s := segments[i]
	s.mu.Lock()
	scanned := s.scanned
	s.mu.Unlock()
	if scanned {
		return nil
	}
	found, err := scan(s, segments[i+1], nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	scanned = s.scanned
	s.mu.Unlock()
	if !scanned { // two readers may have scanned at once: the first reports
		found.install(s)
		l.report(found.damage)
	}
	return nil
}

// skip returns where a damaged range that begins at off ends.
func skip(damage []Damage, off int64) (int64, bool) {
	for _, d := range damage {
		if d.Offset == off {
			return off + d.Bytes, true
		}
	}
	return 0, false
}

// damaged records that the range from off on no longer reads back, and returns its end.
func (l *Log) damaged(s *segment, w *window, off int64) (int64, error) {
	s.mu.Lock()
	i := len(s.index) - 1
	for i > 0 && s.index[i].offset > off {
		i--
	}
	before := s.first
	if i >= 0 {
		before = s.index[i].first
	}
	s.mu.Unlock()
	to, err := w.resync(off, before)
	if err != nil {
		return 0, fmt.Errorf("read segment %s at %d: %w", s.path, off, err)
	}
	d := Damage{Segment: segmentName(s.first), Offset: off, Bytes: to - off, First: before, Last: s.last}
	if r, err := w.record(to); err == nil {
		d.Last = r.first - 1
	}
	s.mu.Lock()
	_, known := skip(s.damage, off)
	if !known {
		s.damage = append(s.damage, d)
	}
	s.mu.Unlock()
	if !known {
		l.report([]Damage{d})
	}
	return to, nil
}
