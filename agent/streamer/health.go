package streamer

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gpupulse/sdk"
)

// Link follows an sdk.Client through its OnState. The zero value is ready and may be
// used concurrently.
type Link struct {
	mu          sync.Mutex
	state       sdk.State
	since       time.Time
	connections uint64
	lastErr     error
}

// OnState is for sdk.Options.
func (l *Link) OnState(state sdk.State, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.since = state, time.Now()
	switch {
	case state == sdk.Connected:
		l.connections++
		l.lastErr = nil
	case err != nil:
		l.lastErr = err
	}
}

// Err says why the hub cannot be reached now; nil if it can.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == sdk.Connected:
		return nil
	case l.lastErr != nil:
		return l.lastErr
	}
	return errors.New("not connected to the hub yet")
}

// Reconnects counts the connections after the first.
func (l *Link) Reconnects() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.connections, 1) - 1
}

// Handler answers /healthz (the process is alive), /readyz (200 while the hub can be
// reached, otherwise 503 with the reason) and /metrics.
func Handler(l *Link, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, l.Err()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func writeHealth(w http.ResponseWriter, problem error) {
	answer := map[string]string{"status": "ok"}
	w.Header().Set("Content-Type", "application/json")
	if problem != nil {
		answer = map[string]string{"status": "unavailable", "hub": problem.Error()}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // a peer that has gone needs no answer
}

// Register adds the metrics of a streamer and its link. They are made from Summary,
// so that both tell the same.
func (s *Streamer) Register(to prometheus.Registerer, l *Link) error {
	return errors.Join(to.Register(s.counts.latency), to.Register(newCollector(s, l)))
}

// collector turns Summary and Link into metrics.
type collector struct {
	s                                           *Streamer
	l                                           *Link
	rows, rejects, readings, waiting, up, again *prometheus.Desc
}

func newCollector(s *Streamer, l *Link) *collector {
	return &collector{
		s: s, l: l,
		rows:     prometheus.NewDesc("gpupulse_agent_rows_total", "Rows of the source by what became of them.", []string{"state"}, nil),
		rejects:  prometheus.NewDesc("gpupulse_agent_rejects_total", "Rows that were not understood, by reason.", []string{"reason"}, nil),
		readings: prometheus.NewDesc("gpupulse_agent_readings_total", "Readings sent.", nil, nil),
		waiting:  prometheus.NewDesc("gpupulse_agent_unanswered_rows", "Rows sent and not answered yet.", nil, nil),
		up:       prometheus.NewDesc("gpupulse_agent_connected", "1 while connected to the hub.", nil, nil),
		again:    prometheus.NewDesc("gpupulse_agent_reconnects_total", "Connections to the hub after the first.", nil, nil),
	}
}

// Describe is prometheus.Collector's.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.rows, c.rejects, c.readings, c.waiting, c.up, c.again} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	sum := c.s.Summary()
	counter(c.rows, sum.RowsRead, "read")
	counter(c.rows, sum.RowsAcknowledged, "acknowledged")
	counter(c.rows, sum.RowsDuplicate, "duplicate")
	counter(c.rows, sum.RowsRejected, "rejected")
	counter(c.rows, sum.RowsRefused, "refused")
	counter(c.rows, sum.RowsSkipped, "skipped")
	counter(c.rows, sum.RowsDropped, "dropped")
	for _, r := range sum.Rejects {
		counter(c.rejects, r.Rows, r.Reason)
	}
	counter(c.readings, sum.Readings)
	gauge(c.waiting, float64(sum.RowsUnanswered))
	connected := 0.0
	if c.l.Err() == nil {
		connected = 1
	}
	gauge(c.up, connected)
	counter(c.again, c.l.Reconnects())
}
