package hub

import (
	"math"
	"time"
)

// meter turns a counter into rates: over the last tick, and smoothed over a minute.
type meter struct {
	last   uint64
	now    float64 // per second, over the last tick
	smooth float64 // exponential mean of now, not yet divided by weight
	weight float64 // how much of a whole mean smooth is
}

// tick takes the counter's value some time after the last tick.
func (m *meter) tick(count uint64, elapsed time.Duration) {
	seconds := elapsed.Seconds()
	if seconds <= 0 {
		return
	}
	m.now = float64(count-m.last) / seconds
	m.last = count
	keep := math.Exp(-seconds / 60)
	m.smooth = m.smooth*keep + m.now*(1-keep)
	m.weight = m.weight*keep + 1 - keep
}

// minute is the rate per second over about the last minute.
func (m *meter) minute() float64 {
	if m.weight == 0 {
		return 0
	}
	return m.smooth / m.weight
}
