package streamer

import "time"

// Bounds of a rate in rows per second: one row in eleven days, and more than any
// source has.
const (
	minRate = 1e-6
	maxRate = 1e9
)

// paceSlack is how much a pacer lets its user catch up after a wait that took too
// long. It evens out timers, which are coarser than a high rate, and not more: after
// a pause of the hub there is no burst.
const paceSlack = 100 * time.Millisecond

// pacer spaces rows evenly in time. The first may go at once; a reading of ten rows
// makes the next one wait ten times as long. Rate 0 never waits.
type pacer struct {
	rate float64 // rows per second
	next time.Time
}

// wait is the time until the next row may go.
func (p *pacer) wait(now time.Time) time.Duration {
	if p.rate == 0 || p.next.IsZero() {
		return 0
	}
	return max(p.next.Sub(now), 0)
}

// took notes that rows went.
func (p *pacer) took(now time.Time, rows int) {
	if p.rate == 0 {
		return
	}
	if p.next.Before(now.Add(-paceSlack)) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(rows) / p.rate * float64(time.Second)))
}
