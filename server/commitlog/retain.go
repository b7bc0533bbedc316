package commitlog

import (
	"errors"
	"os"
	"time"
)

// retain removes the oldest segments that age or size ask to go and Keep allows.
func (l *Log) retain() {
	for _, s := range l.expire(time.Now()) {
		if err := errors.Join(s.f.Close(), os.Remove(s.path)); err != nil {
			l.o.Logger.Error("remove old segment", "segment", s.path, "err", err)
			continue
		}
		l.o.Logger.Info("removed old segment", "segment", s.path)
	}
}

// expire takes the segments that may go out of the list.
func (l *Log) expire(now time.Time) (gone []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var total int64
	for _, s := range l.segments {
		total += s.size
	}
	for len(l.segments) > 1 {
		oldest, next := l.segments[0], l.segments[1]
		tooMuch := l.o.MaxBytes > 0 && total > l.o.MaxBytes
		// A segment's youngest message is no younger than its successor.
		tooOld := l.o.MaxAge > 0 && now.Sub(time.Unix(0, next.createdAt)) > l.o.MaxAge
		if !tooMuch && !tooOld || next.first > l.keep {
			return gone
		}
		gone = append(gone, oldest)
		total -= oldest.size
		l.segments = append([]*segment(nil), l.segments[1:]...)
	}
	return gone
}
