package streamer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gpupulse/agent/source"
)

// Summary accounts for every row: RowsRead is RowsAcknowledged + RowsRefused +
// RowsUnanswered + RowsRejected + RowsSkipped.
type Summary struct {
	RowsRead uint64 `json:"rows_read"`
	// Readings were sent, each of one row or of several that were joined.
	Readings         uint64 `json:"readings"`
	RowsAcknowledged uint64 `json:"rows_acknowledged"`
	// RowsDuplicate are those of the acknowledged that the hub had stored before.
	RowsDuplicate  uint64 `json:"rows_duplicate"`
	RowsRefused    uint64 `json:"rows_refused"`    // by the hub
	RowsUnanswered uint64 `json:"rows_unanswered"` // sent, or about to be
	RowsRejected   uint64 `json:"rows_rejected"`   // not understood
	RowsSkipped    uint64 `json:"rows_skipped"`    // of other hosts
	// RowsDropped were due but never read, because what comes after was too slow.
	RowsDropped   uint64          `json:"rows_dropped"`
	Seconds       float64         `json:"seconds"`
	RowsPerSecond float64         `json:"rows_per_second"` // acknowledged
	Rejects       []source.Reject `json:"rejects,omitempty"`
}

// Summary may be called at any time, and concurrently with Run.
func (s *Streamer) Summary() Summary {
	c := &s.counts
	// Answers are read before what they answer, so that no difference is negative.
	sum := Summary{RowsAcknowledged: c.acked.Load(), RowsDuplicate: c.duplicate.Load(), RowsRefused: c.refusedRows.Load()}
	sent := c.sent.Load()
	sum.Readings, sum.RowsSkipped, sum.RowsDropped = c.readings.Load(), s.o.Skipped(), s.o.Dropped()
	sum.RowsUnanswered = sent - sum.RowsAcknowledged - sum.RowsRefused
	sum.Rejects = s.o.Rejects.List()
	for _, r := range sum.Rejects {
		sum.RowsRejected += r.Rows
	}
	sum.RowsRead = sent + sum.RowsRejected + sum.RowsSkipped
	sum.Seconds = c.elapsed().Seconds()
	if sum.Seconds > 0 {
		sum.RowsPerSecond = float64(sum.RowsAcknowledged) / sum.Seconds
	}
	return sum
}

// WriteJSON writes the summary as one line.
func (s Summary) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(s) }

// WriteText writes the summary for people: one line, and one for each way in which
// rows did not arrive.
func (s Summary) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows read, %d acknowledged in %.1f s (%.0f rows/s), %d readings sent\n",
		s.RowsRead, s.RowsAcknowledged, s.Seconds, s.RowsPerSecond, s.Readings)
	for _, line := range []struct {
		rows uint64
		what string
	}{
		{s.RowsDuplicate, "of the acknowledged were stored before"},
		{s.RowsSkipped, "skipped: of other hosts"},
		{s.RowsRefused, "refused by the hub"},
		{s.RowsUnanswered, "not acknowledged: the hub may have them or not"},
		{s.RowsDropped, "dropped: due, but not taken in time"},
		{s.RowsRejected, "rejected:"},
	} {
		if line.rows > 0 {
			fmt.Fprintf(&b, "  %d %s\n", line.rows, line.what)
		}
	}
	for _, r := range s.Rejects {
		fmt.Fprintf(&b, "    %d %s%s", r.Rows, r.Reason, lines(r))
		if r.Detail != "" {
			fmt.Fprintf(&b, ": %s", r.Detail)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lines names the lines of the last few rows of a reject.
func lines(r source.Reject) string {
	if len(r.Lines) == 0 {
		return ""
	}
	words := strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Lines), " ", ", "), "[]")
	switch {
	case uint64(len(r.Lines)) < r.Rows:
		return " (last in lines " + words + ")"
	case len(r.Lines) == 1:
		return " (line " + words + ")"
	}
	return " (lines " + words + ")"
}

// counts is what a streamer has done; it may be used concurrently.
type counts struct {
	readings, sent                atomic.Uint64 // sent in rows
	acked, duplicate, refusedRows atomic.Uint64
	latency                       prometheus.Histogram

	mu           sync.Mutex
	began, ended time.Time
	firstRefusal error
}

func (c *counts) init() {
	c.latency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gpupulse_agent_ack_seconds", Help: "From publishing a batch of readings until the hub has acknowledged all of it.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), // to 8 s
	})
}

func (c *counts) took(rows int) {
	c.sent.Add(uint64(rows))
	c.readings.Add(1)
}

func (c *counts) acknowledged(rows int, duplicate bool) {
	if duplicate {
		c.duplicate.Add(uint64(rows))
	}
	c.acked.Add(uint64(rows))
}

func (c *counts) refused(rows int, topic string, err error) {
	c.refusedRows.Add(uint64(rows))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.firstRefusal == nil {
		c.firstRefusal = fmt.Errorf("topic %s: %w", topic, err)
	}
}

// refusal is an error if the hub refused anything.
func (c *counts) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.firstRefusal == nil {
		return nil
	}
	return fmt.Errorf("hub refused %d rows, the first on %w", c.refusedRows.Load(), c.firstRefusal)
}

func (c *counts) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = time.Now()
}

func (c *counts) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = time.Now()
}

// elapsed is how long Run has taken until now or its end.
func (c *counts) elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.began.IsZero():
		return 0
	case c.ended.IsZero():
		return time.Since(c.began)
	}
	return c.ended.Sub(c.began)
}
