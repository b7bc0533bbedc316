package collector

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the collector's own, for Stats and for /metrics.
type counters struct {
	readings    atomic.Uint64
	batches     atomic.Uint64
	failures    atomic.Uint64
	redelivered atomic.Uint64
	terms       atomic.Uint64

	mu        sync.Mutex
	lastError string
	lastTime  time.Time

	reg prometheus.Registerer
	all []prometheus.Collector
}

// register shows the counters of c, and what it holds, in reg.
func (n *counters) register(reg prometheus.Registerer, c *Collector) {
	if reg == nil {
		return
	}
	counter := func(name, help string, value *atomic.Uint64) {
		n.all = append(n.all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gpupulse_collector_" + name, Help: help},
			func() float64 { return float64(value.Load()) }))
	}
	gauge := func(name, help string, value func() float64) {
		n.all = append(n.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gpupulse_collector_" + name, Help: help}, value))
	}
	counter("stored_readings_total", "Readings stored and acknowledged.", &n.readings)
	counter("stored_batches_total", "Batches stored.", &n.batches)
	counter("store_failures_total", "Attempts to store a batch that failed.", &n.failures)
	counter("redelivered_messages_total", "Messages that were delivered more than once.", &n.redelivered)
	counter("termed_messages_total", "Messages that can never be stored.", &n.terms)
	gauge("waiting_messages", "Messages delivered and not yet stored.", func() float64 {
		all, _ := c.tracker.waiting()
		return float64(len(all))
	})
	gauge("lag_seconds", "Age of the oldest message delivered and not yet stored.", func() float64 {
		_, oldest := c.tracker.waiting()
		return lag(oldest)
	})
	n.reg = reg
	reg.MustRegister(n.all...)
}

func (n *counters) unregister() {
	for _, c := range n.all {
		n.reg.Unregister(c)
	}
}

func (n *counters) stored(readings int) {
	n.batches.Add(1)
	n.readings.Add(uint64(readings))
}

func (n *counters) termed(reason string) {
	n.terms.Add(1)
	n.note(reason)
}

func (n *counters) failed(err error) {
	n.failures.Add(1)
	n.note(err.Error())
}

func (n *counters) note(err string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastError, n.lastTime = err, time.Now()
}

// lag is how long ago oldest was, in seconds; 0 if there is none.
func lag(oldest time.Time) float64 {
	if oldest.IsZero() {
		return 0
	}
	return max(0, time.Since(oldest).Seconds())
}

// Stats is what a collector can tell about itself, since its start.
type Stats struct {
	Consumer    string     `json:"consumer"`
	Workers     int        `json:"workers"`
	Readings    uint64     `json:"readings"` // stored and acknowledged
	Batches     uint64     `json:"batches"`
	Failures    uint64     `json:"failures"` // attempts to store
	Redelivered uint64     `json:"redelivered"`
	Termed      uint64     `json:"termed"`      // never to be stored
	Waiting     int        `json:"waiting"`     // delivered, not yet stored
	LagSeconds  float64    `json:"lag_seconds"` // age of the oldest waiting
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_time,omitempty"`
}

// Stats returns the collector's numbers of now.
func (c *Collector) Stats() Stats {
	all, oldest := c.tracker.waiting()
	s := Stats{
		Consumer: c.o.Consumer, Workers: c.o.Workers,
		Readings: c.count.readings.Load(), Batches: c.count.batches.Load(), Failures: c.count.failures.Load(),
		Redelivered: c.count.redelivered.Load(), Termed: c.count.terms.Load(),
		Waiting: len(all), LagSeconds: lag(oldest),
	}
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	if s.LastError = c.count.lastError; s.LastError != "" {
		at := c.count.lastTime.UTC()
		s.LastErrorAt = &at
	}
	return s
}
