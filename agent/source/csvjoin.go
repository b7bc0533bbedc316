package source

import (
	"maps"
	"time"

	"gpupulse/sdk/telemetry"
)

const (
	// maxOpen bounds the readings that wait for more rows: a snapshot of so many GPUs,
	// one metric after another, still joins.
	maxOpen = 16 << 10
	// joinPatience is how long a reading waits for more rows while others keep coming.
	joinPatience = time.Second
)

// joiner gathers long-form rows into readings. Rows of one GPU join if their times are
// equal, or differ by no more than window; each sample keeps its own time.
type joiner struct {
	window time.Duration
	open   map[joinKey]*opened
	oldest *opened // a list in the order of the readings' first rows
	newest *opened
}

// joinKey names an open reading. With a window a GPU has one at a time and at is 0.
type joinKey struct {
	host, gpu string
	at        int64
}

// opened is a reading that may get more rows.
type opened struct {
	key        joinKey
	reading    telemetry.Reading
	rows, line int
	since      time.Time
	next, prev *opened
	shared     bool // the labels are somebody else's too
}

func newJoiner(window time.Duration) *joiner {
	return &joiner{window: window, open: map[joinKey]*opened{}}
}

// add joins a row, or opens a new reading. Readings that can get no more rows go to out.
func (j *joiner) add(id *identity, at int64, s telemetry.Sample, line int, now time.Time, out *Batch) {
	key := joinKey{host: id.host, gpu: id.gpu}
	if j.window == 0 {
		key.at = at
	}
	o := j.open[key]
	if o != nil && !j.fits(o, id, at, s.Metric) {
		j.emit(o, out)
		o = nil
	}
	if o == nil {
		if len(j.open) >= maxOpen {
			j.emit(j.oldest, out)
		}
		o = &opened{key: key, line: line, since: now, shared: true}
		o.reading = telemetry.Reading{Time: at, Host: id.host, GPU: id.gpu, Labels: id.labels}
		j.push(o)
	}
	s.Offset = time.Duration(at - o.reading.Time)
	o.reading.Samples = append(o.reading.Samples, s)
	o.rows++
	j.merge(o, id)
}

// fits reports whether a row may join: within the window, a metric that the reading does
// not have, and no label that says otherwise.
func (j *joiner) fits(o *opened, id *identity, at int64, metric *telemetry.Descriptor) bool {
	if d := at - o.reading.Time; d > int64(j.window) || d < -int64(j.window) {
		return false
	}
	for i := range o.reading.Samples {
		if o.reading.Samples[i].Metric == metric {
			return false
		}
	}
	if len(o.reading.Samples) >= telemetry.MaxSamples {
		return false
	}
	if id.same(o.reading.Labels) {
		return true
	}
	for name, value := range id.labels {
		if has, ok := o.reading.Labels[name]; ok && has != value {
			return false
		}
	}
	return true
}

// merge adds labels that only this row has.
func (j *joiner) merge(o *opened, id *identity) {
	if id.same(o.reading.Labels) {
		return
	}
	for name, value := range id.labels {
		if _, ok := o.reading.Labels[name]; ok || len(o.reading.Labels) >= telemetry.MaxLabels {
			continue
		}
		if o.shared {
			o.reading.Labels, o.shared = maps.Clone(o.reading.Labels), false
		}
		o.reading.Labels[name] = value
	}
}

func (j *joiner) push(o *opened) {
	j.open[o.key] = o
	o.prev = j.newest
	if j.newest != nil {
		j.newest.next = o
	} else {
		j.oldest = o
	}
	j.newest = o
}

// emit hands a reading on.
func (j *joiner) emit(o *opened, out *Batch) {
	delete(j.open, o.key)
	if o.prev != nil {
		o.prev.next = o.next
	} else {
		j.oldest = o.next
	}
	if o.next != nil {
		o.next.prev = o.prev
	} else {
		j.newest = o.prev
	}
	out.Add(o.reading, o.rows, o.line)
}

// flush hands on readings that were opened before a time, as many as out has room for. It
// reports whether some are left.
func (j *joiner) flush(before time.Time, out *Batch) (more bool) {
	for j.oldest != nil && !j.oldest.since.After(before) {
		if len(out.Readings) >= MaxBatch {
			return true
		}
		j.emit(j.oldest, out)
	}
	return false
}
