package source

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gpupulse/sdk/telemetry"
)

// Bounds of a simulated fleet.
const (
	maxSimGPUs     = 100_000               // of all hosts together: ten times the largest fleet that is tested
	minSimInterval = 10 * time.Millisecond // sensors are not read faster
	// simBacklog is how far a simulation may fall behind the clock, because what
	// comes after it is slow, before it leaves out the oldest ticks. It costs no
	// memory: readings are made when they are asked for. A minute outlasts the
	// restart of a server.
	simBacklog = time.Minute
	// simWarmUp is played before the first tick, so that a fleet begins in the
	// middle of its work and not with every GPU cold.
	simWarmUp = 10 * time.Minute
	simStep   = 5 * time.Second // the longest in which a fleet is moved on at once
)

// SimOptions describe a simulated fleet. The zero value is 4 hosts of 8 GPUs, read
// every second.
type SimOptions struct {
	Hosts, GPUs int // GPUs of each host
	Interval    time.Duration
	// Seed decides what happens in the fleet: the same seed, hosts, GPUs and
	// interval give the same values in the same order.
	Seed uint64
}

func (o SimOptions) withDefaults() (SimOptions, error) {
	if o.Hosts == 0 {
		o.Hosts = 4
	}
	if o.GPUs == 0 {
		o.GPUs = 8
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	switch {
	case o.Hosts < 0 || o.GPUs < 0 || o.Hosts > maxSimGPUs || o.GPUs > maxSimGPUs || o.Hosts*o.GPUs > maxSimGPUs:
		return o, fmt.Errorf("simulate %d hosts of %d GPUs: want 1 to %d GPUs in all", o.Hosts, o.GPUs, maxSimGPUs)
	case o.Interval < minSimInterval:
		return o, fmt.Errorf("simulate every %s: want at least %s", o.Interval, minSimInterval)
	}
	return o, nil
}

// Sim is a source that plays a fleet of H100s: jobs start and stop, heat follows
// power, one GPU is badly cooled and slows its job down, some keep memory after
// their work has ended, and now and then there is an XID.
//
// Tick k is due at start + k*interval and carries exactly that time. Whoever reads
// late gets the ticks that were missed one after the other; what is older than
// simBacklog is left out and counted by Dropped.
type Sim struct {
	interval time.Duration
	fleet    *simFleet
	metrics  simMetrics

	start   time.Time
	tick    int64 // the one that is handed out or due next
	stepped int64 // the one that the fleet stands at
	next    int   // GPU of this tick that comes next

	dropped atomic.Uint64
	close   sync.Once
	closed  chan struct{}
}

// NewSim makes the fleet; its first tick is due at once.
func NewSim(o SimOptions) (*Sim, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	metrics, err := newSimMetrics()
	if err != nil {
		return nil, err
	}
	s := &Sim{
		interval: o.Interval, metrics: metrics, fleet: newSimFleet(o), stepped: -1,
		start: time.Now().Truncate(o.Interval), closed: make(chan struct{}),
	}
	s.fleet.play(simWarmUp)
	return s, nil
}

// Read waits for the next tick and answers its readings, in parts if the fleet is large.
func (s *Sim) Read(ctx context.Context) (Batch, error) {
	if s.next == 0 {
		if err := s.await(ctx); err != nil {
			return Batch{}, err
		}
		s.fleet.play(time.Duration(s.tick-s.stepped) * s.interval)
		s.stepped = s.tick
	}
	from := s.next
	to := min(from+MaxBatch, len(s.fleet.gpus))
	batch := s.readings(s.fleet.gpus[from:to], s.start.Add(time.Duration(s.tick)*s.interval))
	s.next = to
	if to == len(s.fleet.gpus) {
		s.next = 0
		s.tick++
	}
	return batch, nil
}

// await returns when the next tick is due, which may be a later one than was next.
func (s *Sim) await(ctx context.Context) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	late := time.Since(s.start.Add(time.Duration(s.tick) * s.interval))
	if late > simBacklog {
		missed := int64((late - simBacklog) / s.interval)
		s.tick += missed
		s.dropped.Add(uint64(missed) * uint64(len(s.fleet.gpus)))
	}
	if late >= 0 {
		return nil
	}
	timer := time.NewTimer(-late)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closed:
		return ErrClosed
	}
}

// Dropped is how many readings were left out because nobody took them in time. It
// may be called concurrently.
func (s *Sim) Dropped() uint64 { return s.dropped.Load() }

// Close ends a Read that waits.
func (s *Sim) Close() error {
	s.close.Do(func() { close(s.closed) })
	return nil
}

func (s *Sim) readings(gpus []*simGPU, at time.Time) Batch {
	batch := Batch{Readings: make([]telemetry.Reading, 0, len(gpus)), Rows: make([]int, 0, len(gpus))}
	samples := make([]telemetry.Sample, 0, len(gpus)*len(s.metrics))
	for _, g := range gpus {
		begin := len(samples)
		samples = s.metrics.appendSamples(samples, g)
		batch.Add(telemetry.Reading{
			Time: at.UnixNano(), Host: g.host, GPU: g.id, Labels: g.labels,
			Samples: samples[begin:len(samples):len(samples)],
		}, 1, 0)
	}
	return batch
}

// simMetrics are the descriptors of what a simulated GPU reports, in the order of
// appendSamples.
type simMetrics [12]*telemetry.Descriptor

func newSimMetrics() (simMetrics, error) {
	var m simMetrics
	for i, name := range [len(m)]string{
		"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_GPU_TEMP",
		"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_DEC_UTIL", "DCGM_FI_DEV_ENC_UTIL",
		"DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
	} {
		d, ok := telemetry.Lookup(name)
		if !ok {
			return m, fmt.Errorf("simulate: metric %s is not in the catalogue", name)
		}
		m[i] = d
	}
	return m, nil
}

func (m *simMetrics) appendSamples(dst []telemetry.Sample, g *simGPU) []telemetry.Sample {
	for i, sent := range g.sensors() {
		dst = append(dst, telemetry.Sample{Metric: m[i], Sent: sent})
	}
	return dst
}
