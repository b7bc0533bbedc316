package telemetry

import (
	"time"
)

// Bounds on a reading, so that a hostile or broken source costs little.
const (
	MaxSamples    = 1024 // samples in one reading
	MaxLabels     = 64   // labels in one reading
	MaxLabelBytes = 1024 // bytes of a label's name or value, of a host, a GPU or a metric name
)

// Reading is one row of telemetry: what one GPU measured at one time.
//
// A Reading owns nothing that is shared but its descriptors, which are read only.
type Reading struct {
	// Time is when the samples were taken, in nanoseconds since 1970 UTC.
	Time int64
	// Host names the machine, GPU the device: its UUID, or what identifies it
	// best. Neither is empty.
	Host, GPU string
	// Labels holds everything that was said about the GPU and is not a number:
	// model, device, index, driver, pod, … Names as in LabelModel and so on.
	Labels map[string]string
	// Samples holds one value a metric; absent metrics are absent, never zero.
	Samples []Sample
}

// Sample is one value of one metric.
type Sample struct {
	Metric *Descriptor
	// Sent is the value as the source measured it, in Metric.SourceUnit. It is finite.
	Sent float64
	// Offset is the sample's own time less the reading's; nearly always zero.
	Offset time.Duration
}

// Value is the sample in the metric's canonical unit.
func (s Sample) Value() float64 { return s.Metric.Canonical(s.Sent) }

// Kind says how a metric's values are to be read.
type Kind string

// The kinds of metrics.
const (
	Gauge   Kind = "gauge"
	Counter Kind = "counter" // only grows, but for resets
	Event   Kind = "event"   // a code: its changes count
)

// Descriptor says what a source's number means. Descriptors of the catalogue are
// shared and must not be changed; Custom makes others.
type Descriptor struct {
	// Number is the descriptor's place in the catalogue, 0 for custom ones. It
	// never changes its meaning.
	Number uint32
	// Name, Unit and Kind are canonical: gpu.temp, celsius, gauge.
	Name string
	Unit string
	Kind Kind
	// Source is what the source calls it and SourceUnit what it measures it in.
	Source     string
	SourceUnit string
	// Mul and Div turn what was sent into the canonical unit; neither is zero.
	Mul, Div float64
}

// Canonical converts a value from the source's unit to the canonical one.
func (d *Descriptor) Canonical(sent float64) float64 {
	if d.Mul == d.Div {
		return sent
	}
	return sent * d.Mul / d.Div
}

// Names of labels with a meaning. Any other name is kept as the source gave it.
const (
	LabelModel     = "model"
	LabelDevice    = "device"
	LabelIndex     = "index"
	LabelDriver    = "driver"
	LabelPod       = "pod"
	LabelNamespace = "namespace"
	LabelContainer = "container"
)
