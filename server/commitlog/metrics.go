package commitlog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the log's own; with no registerer they are kept and nobody asks.
type metrics struct {
	all     []prometheus.Collector
	records prometheus.Histogram
	bytes   prometheus.Counter
	syncs   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, l *Log) *metrics {
	m := &metrics{
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpupulse_log_commit_records", Help: "Records that one commit made durable.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gpupulse_log_written_bytes_total", Help: "Bytes of records written.",
		}),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpupulse_log_fsync_seconds", Help: "Duration of an fdatasync.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 14),
		}),
	}
	gauge := func(name, help string, value func(Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(l.Stats()) })
	}
	m.all = []prometheus.Collector{
		m.records, m.bytes, m.syncs,
		gauge("gpupulse_log_size_bytes", "Bytes of all segments on disk.", func(s Stats) float64 { return float64(s.Bytes) }),
		gauge("gpupulse_log_first_sequence", "First sequence kept.", func(s Stats) float64 { return float64(s.FirstSequence) }),
		gauge("gpupulse_log_last_sequence", "Last sequence acknowledged.", func(s Stats) float64 { return float64(s.LastSequence) }),
		gauge("gpupulse_log_damaged_ranges", "Damaged ranges met since the start.", func(s Stats) float64 { return float64(s.Damaged) }),
	}
	if reg != nil {
		reg.MustRegister(m.all...)
	}
	return m
}

func (m *metrics) commit(records int, bytes int64) {
	m.records.Observe(float64(records))
	m.bytes.Add(float64(bytes))
}

func (m *metrics) sync(d time.Duration) { m.syncs.Observe(d.Seconds()) }

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}
