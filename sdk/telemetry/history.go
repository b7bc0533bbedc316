package telemetry

import (
	"errors"
	"fmt"
	"time"
)

// This file holds the questions one may ask about stored telemetry and the
// shapes of the answers. A store answers them, an API serves them; neither has
// to know the other. Times are nanoseconds since 1970 UTC, as in Reading.

// ErrUnknown is answered, wrapped with a name, when a GPU or host was never seen.
var ErrUnknown = errors.New("is not known")

// TooMuchError is answered when a question would cost more than is allowed.
type TooMuchError struct {
	What       string // such as "points"
	Asked, Max int
}

func (e *TooMuchError) Error() string {
	return fmt.Sprintf("asks for %d %s, %d are allowed", e.Asked, e.What, e.Max)
}

// Host is a machine and what is known about its GPUs.
type Host struct {
	Name string
	GPUs int
	// LastSeen is the time of the newest reading of any of them.
	LastSeen int64
}

// GPU is a device as its newest reading describes it. Labels is shared and must
// not be changed.
type GPU struct {
	ID, Host string
	Labels   map[string]string
	// LastSeen is the time of the newest reading.
	LastSeen int64
}

// Value is the newest sample of one series.
type Value struct {
	Host, GPU string
	Time      int64
	Sample    // Offset is zero
}

// Page is the part of a list that is wanted. Limit 0 asks for the total only.
type Page struct {
	Limit, Offset int
}

// GPUQuery asks for GPUs, sorted by host, index and id. Empty fields fit all.
type GPUQuery struct {
	ID, Host, Model string
	Page
}

// LatestQuery asks for the newest sample of every series that fits, sorted as GPUs
// and then by metric. Empty fields fit all.
type LatestQuery struct {
	GPU, Host string
	Metrics   []string
	Page
}

// Span is a range of time with both ends in it.
type Span struct {
	Start, End int64
}

// ReadingQuery asks for the readings of one GPU.
type ReadingQuery struct {
	GPU  string
	Span Span
	// Metrics names the wanted ones, by canonical or source name; readings with
	// none of them are left out. Empty: all.
	Metrics []string
	// OldestFirst turns the order round; the newest comes first by default.
	OldestFirst bool
	Page
}

// Agg says how the samples of one step become one number.
type Agg string

// The ways to aggregate.
const (
	Avg   Agg = "avg"
	Min   Agg = "min"
	Max   Agg = "max"
	Sum   Agg = "sum"
	Count Agg = "count"
	Last  Agg = "last"
)

// Aggs lists the ways to aggregate, for messages and documents.
func Aggs() []Agg { return []Agg{Avg, Min, Max, Sum, Count, Last} }

// SeriesQuery asks for columns that a chart can draw: one value a metric and step.
type SeriesQuery struct {
	GPU     string
	Span    Span
	Metrics []string // as in ReadingQuery
	Step    time.Duration
	Agg     Agg
	// SourceNames keeps a column for each of the source's names, in the source's unit.
	SourceNames bool
}

// Series answers a SeriesQuery. Step i covers [Times[i], Times[i]+Step); steps are
// aligned to whole multiples of Step since 1970, so that those of several GPUs meet.
type Series struct {
	Times   []int64
	Columns []Column // sorted by name
}

// Column is one metric of a Series: a value for each of its times, NaN where there
// was no sample.
type Column struct {
	Name   string
	Values []float64
}
