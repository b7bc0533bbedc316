package store

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the store's own.
type metrics struct {
	reg      prometheus.Registerer
	all      []prometheus.Collector
	readings prometheus.Counter
	rows     prometheus.Counter
	failures prometheus.Counter
	seconds  prometheus.Histogram
	sizes    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gpupulse_store_" + name, Help: help})
	}
	m := &metrics{
		reg:      reg,
		readings: counter("appended_readings_total", "Readings that were stored, repeated ones too."),
		rows:     counter("new_rows_total", "Rows that were not there before."),
		failures: counter("failed_commits_total", "Groups of readings that could not be stored."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpupulse_store_commit_seconds", Help: "Duration of storing one group, fsync included.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 16),
		}),
		sizes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpupulse_store_commit_readings", Help: "Readings that one group stored.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gpupulse_store_" + name, Help: help}, value)
	}
	m.all = []prometheus.Collector{
		m.readings, m.rows, m.failures, m.seconds, m.sizes,
		gauge("rows", "Rows stored.", func() float64 { return float64(s.state.Load().rows) }),
		gauge("checkpoint_sequence", "Last log sequence whose effect is stored.", func() float64 { return float64(s.state.Load().checkpoint) }),
		gauge("gpus", "GPUs known.", func() float64 {
			s.cat.mu.RLock()
			defer s.cat.mu.RUnlock()
			return float64(len(s.cat.gpus))
		}),
		gauge("disk_bytes", "Bytes on disk.", func() float64 { return float64(diskUsage(s.db.Opts().Dir)) }),
	}
	if reg != nil {
		reg.MustRegister(m.all...)
	}
	return m
}

func (m *metrics) group(readings int, rows uint64, took time.Duration, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.readings.Add(float64(readings))
	m.rows.Add(float64(rows))
	m.seconds.Observe(took.Seconds())
	m.sizes.Observe(float64(readings))
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

// badgerLog is Badger's logger on ours. Badger is talkative: its infos are our debug.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error("badger: " + text(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn("badger: " + text(f, a)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug("badger: " + text(f, a)) }
func (l badgerLog) Debugf(string, ...any)       {}

func text(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
