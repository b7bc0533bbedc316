package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// recover brings the log to where the last process left it.
func (l *Log) recover() error {
	if err := os.Remove(filepath.Join(l.dir, nextName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open log: %w", err)
	}
	paths, err := listSegments(l.dir)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		l.epoch = newEpoch()
		s, err := l.startNext(1, 0, nil, 0)
		if err != nil {
			return err
		}
		l.segments = []*segment{s}
		return nil
	}
	for _, path := range paths {
		s, err := openSegment(l.o.open, path)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
	}
	if err := l.adopt(); err != nil {
		return err
	}
	return l.recoverLast()
}

// adopt takes the log's epoch from the segments' headers and gives it to those whose
// header is damaged. Where none is left to tell, it is another epoch: whoever remembers
// sequences of the lost one must not take these for the same.
func (l *Log) adopt() error {
	var known *segment
	for _, s := range l.segments {
		switch {
		case s.headless:
			l.report([]Damage{{Segment: filepath.Base(s.path), Bytes: segmentHeaderBytes, First: s.first, Last: s.first - 1}})
		case known == nil:
			known = s
		case s.epoch != known.epoch:
			return fmt.Errorf("segment %s belongs to another log than %s", s.path, known.path)
		}
	}
	l.epoch = newEpoch()
	if known != nil {
		l.epoch = known.epoch
	}
	for _, s := range l.segments {
		s.epoch = l.epoch
	}
	return nil
}

// recoverLast scans the last segment and goes on in it, or in a new one if its
// tail is not clean.
func (l *Log) recoverLast() error {
	n := len(l.segments) - 1
	s := l.segments[n]
	values := func(r *record) error {
		if r.kind == kindValues {
			return applyValues(l.values, r.body)
		}
		return nil
	}
	if n > 0 && !s.startsWell() {
		// Its table of values is gone: the one before it is older, but not far from it.
		if _, err := scan(l.segments[n-1], s, values); err != nil {
			return err
		}
	}
	found, err := scan(s, nil, values)
	if err != nil {
		return err
	}
	found.install(s)
	l.last, l.lastAt = s.last, s.lastAt
	l.report(found.damage)
	if s.last < s.first && (s.headless || len(s.index) == 0) {
		l.last++ // the next segment needs a name of its own: this one cannot be replaced safely
	}
	if found.torn > 0 {
		l.o.Logger.Warn("left a torn tail behind, nothing of it had been acknowledged",
			"segment", filepath.Base(s.path), "offset", s.end, "bytes", found.torn)
	}
	if found.torn > 0 || len(found.damage) > 0 || s.headless {
		return l.roll(0)
	}
	return nil
}

// startsWell reports whether the segment's first record, the table of values, reads back.
func (s *segment) startsWell() bool {
	w := &window{f: s.f, size: s.size, step: windowBytes}
	r, err := w.record(segmentHeaderBytes)
	return err == nil && r.kind == kindValues
}

// report remembers damage and logs it.
func (l *Log) report(damage []Damage) {
	for _, d := range damage {
		if d.Last < d.First {
			l.o.Logger.Error("the log is damaged on disk, no message was there", "segment", d.Segment, "offset", d.Offset, "bytes", d.Bytes)
			continue
		}
		l.o.Logger.Error("acknowledged messages are damaged on disk and are skipped", "segment", d.Segment,
			"offset", d.Offset, "bytes", d.Bytes, "first", d.First, "last", d.Last)
	}
	l.mu.Lock()
	l.damage = append(l.damage, damage...)
	if len(l.damage) > maxDamage {
		l.damage = l.damage[:maxDamage]
	}
	l.mu.Unlock()
}

// maxDamage bounds the list of damaged ranges: a disk that bad needs no longer one.
const maxDamage = 10_000

// scanned is what a scan found.
type scanned struct {
	index  []indexEntry
	end    int64
	last   uint64
	lastAt int64
	damage []Damage
	torn   int64  // bytes between end and the last byte that is not zero
	until  uint64 // last sequence that the successor vouches for, 0 if there is none
}

func (f *scanned) install(s *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.end, s.last, s.lastAt, s.damage = f.index, f.end, f.last, f.lastAt, f.damage
	s.scanned = true
}

// hole is a range that does not read back, with what had been found before it.
type hole struct {
	from, to int64
	before   segmentState
}

type segmentState struct {
	entries int
	end     int64
	last    uint64
	lastAt  int64
}

// scan reads the whole segment. next is its successor, whose header says how much of it
// is promised, or nil for the last segment. visit sees each record that a clean end or a promise vouches
// for, in order, and may keep nothing of it.
func scan(s, next *segment, visit func(*record) error) (*scanned, error) {
	// The first record was safe before the segment had its name.
	limit, vouched := s.size, int64(segmentHeaderBytes+1)
	if next != nil && !next.headless {
		limit = min(next.promisedBefore, s.size)
		vouched = next.promisedBefore
	}
	w := &window{f: s.f, size: limit, step: windowBytes}
	view := &segment{last: s.first - 1, lastAt: s.createdAt, end: segmentHeaderBytes}
	var holes []hole
	for off := int64(segmentHeaderBytes); off < limit; {
		r, err := w.record(off)
		if err != nil && !isBroken(err) {
			return nil, fmt.Errorf("read segment %s at %d: %w", s.path, off, err)
		}
		if err == nil && r.first <= view.last {
			err = errKind // left over from a group that failed
		}
		if err != nil {
			to, err := w.resync(off, view.last)
			if err != nil {
				return nil, fmt.Errorf("read segment %s at %d: %w", s.path, off, err)
			}
			holes = append(holes, hole{off, to, segmentState{len(view.index), view.end, view.last, view.lastAt}})
			off = to
			continue
		}
		if next != nil && r.first >= next.first && r.kind == kindMessages {
			limit = off // of a group that failed: the next segment has these numbers
			break
		}
		view.noteLocked(&r, off)
		vouched = max(vouched, int64(r.promised))
		off = view.end
	}
	found, cut := settle(s, view, holes, vouched, limit)
	if next != nil && cut == limit {
		found.until = next.first - 1
	}
	if err := replay(s, w, found, cut, visit); err != nil {
		return nil, err
	}
	if next != nil && next.headless && cut < limit && found.last < next.first-1 {
		// Nobody says any more how much of this tail was promised, but its messages are missing.
		found.damage = append(found.damage, Damage{
			Segment: filepath.Base(s.path), Offset: cut, Bytes: limit - cut, First: found.last + 1, Last: next.first - 1,
		})
	}
	return found, nil
}

// settle tells damage from a torn tail: a hole that a later record or the next segment
// vouches for is damage, the first other one is where the segment ends.
func settle(s *segment, view *segment, holes []hole, vouched, limit int64) (f *scanned, cut int64) {
	f = &scanned{index: view.index, end: view.end, last: view.last, lastAt: view.lastAt}
	cut = limit
	for _, h := range holes {
		if h.from >= vouched {
			cut = h.from
			f.index, f.end, f.last, f.lastAt = view.index[:h.before.entries], h.before.end, h.before.last, h.before.lastAt
			f.torn = max(0, lastByte(s, h.from)-h.from)
			return f, cut
		}
		f.damage = append(f.damage, Damage{
			Segment: filepath.Base(s.path), Offset: h.from, Bytes: h.to - h.from, First: h.before.last + 1,
		})
	}
	return f, cut
}

// replay shows the records below cut to visit and fills in what damage cost.
func replay(s *segment, w *window, f *scanned, cut int64, visit func(*record) error) error {
	told, passed := 0, 0 // damaged ranges whose last sequence is known, and those passed
	for off := int64(segmentHeaderBytes); off < cut && off < f.end; {
		if passed < len(f.damage) && f.damage[passed].Offset == off {
			off += f.damage[passed].Bytes
			passed++
			continue
		}
		r, err := w.record(off)
		if err != nil {
			return fmt.Errorf("read segment %s at %d: %w", s.path, off, err)
		}
		for ; told < passed; told++ {
			f.damage[told].Last = r.first - 1
		}
		if visit != nil {
			if err := visit(&r); err != nil {
				return fmt.Errorf("segment %s, record at %d: %w", s.path, off, err)
			}
		}
		off += r.size()
	}
	for ; told < len(f.damage); told++ {
		f.damage[told].Last = max(f.last, f.until, f.damage[told].First-1)
	}
	return nil
}

func isBroken(err error) bool {
	return errors.Is(err, errEnd) || errors.Is(err, errShort) || errors.Is(err, errCRC) || errors.Is(err, errKind)
}

// lastByte returns the offset after the last byte at or after from that is not zero.
func lastByte(s *segment, from int64) int64 {
	w := &window{f: s.f, size: s.size, step: windowBytes}
	last := from
	for off := from; off < s.size; off += windowBytes {
		b, err := w.view(off, int(min(windowBytes, s.size-off)))
		if err != nil {
			return s.size
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != 0 {
				last = off + int64(i) + 1
				break
			}
		}
	}
	return last
}

// windowBytes is how much of a segment a scan holds in memory.
const windowBytes = 1 << 20

// window is a view of a file that slides forward.
type window struct {
	f    file
	size int64
	step int // how much to read at once
	off  int64
	buf  []byte
}

// view returns n bytes at off, or fewer at the end of the file. They are valid until
// the next call.
func (w *window) view(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil, nil
	}
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	want := int(min(int64(max(n, w.step)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	if got, err := w.f.ReadAt(w.buf, off); err != nil && !(errors.Is(err, io.EOF) && got == want) {
		w.buf = w.buf[:0]
		return nil, err
	}
	return w.buf[:n], nil
}

// record reads the record at off; its body is valid until the next call.
func (w *window) record(off int64) (record, error) {
	b, err := w.view(off, recordHeaderBytes)
	if err != nil {
		return record{}, err
	}
	_, length, err := parseHeader(b)
	if err != nil {
		return record{}, err
	}
	if off+recordHeaderBytes+int64(length) > w.size {
		return record{}, errShort
	}
	if b, err = w.view(off, recordHeaderBytes+length); err != nil {
		return record{}, err
	}
	return parseRecord(b)
}

// resync returns the offset of the next record after off that reads back and goes
// on after sequence last; w.size if there is none. The zeros that most of a segment's
// tail is made of are passed over in strides.
func (w *window) resync(off int64, last uint64) (int64, error) {
	for at := off + 1; at+recordHeaderBytes <= w.size; {
		b, err := w.view(at, int(min(windowBytes, w.size-at)))
		if err != nil {
			return 0, err
		}
		i := candidate(b, at, last)
		if i < 0 {
			// A header may reach over the end of this view.
			at += max(1, int64(len(b))-recordHeaderBytes+1)
			continue
		}
		at += int64(i)
		_, err = w.record(at)
		if err == nil {
			return at, nil
		}
		if !isBroken(err) {
			return 0, err
		}
		at++
	}
	return w.size, nil
}

// candidate returns the first position in b, which lies at offset at, where a header could be
// that goes on after sequence last; -1 if there is none.
func candidate(b []byte, at int64, last uint64) int {
	for i := 0; i+recordHeaderBytes <= len(b); i++ {
		if binary.LittleEndian.Uint64(b[i:]) == 0 && binary.LittleEndian.Uint64(b[i+8:]) == 0 {
			i += 7 // no header begins within the first eight of sixteen zeros
			continue
		}
		if k := kind(b[i+8]); k != kindMessages && k != kindValues {
			continue
		}
		r, _, err := parseHeader(b[i:])
		if err == nil && r.first > last && int64(r.promised) <= at+int64(i) && r.promised >= segmentHeaderBytes {
			return i
		}
	}
	return -1
}
