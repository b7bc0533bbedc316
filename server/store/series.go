package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gpupulse/sdk/telemetry"
)

// Bounds of one question for series, so that its answer fits in memory and in a
// browser: steps, and steps times columns.
const (
	MaxSteps  = 11_000
	maxPoints = 2_000_000
)

// Series returns one column a metric, with one value a step: every step of the span is
// there, with NaN where there was no sample. Steps are aligned to whole multiples of
// the step since 1970, and samples before the span's start or after its end do not count.
func (s *Store) Series(ctx context.Context, q telemetry.SeriesQuery) (*telemetry.Series, error) {
	g, err := s.cat.find(q.GPU)
	if err != nil {
		return nil, err
	}
	a, err := newAggregation(q)
	if err != nil {
		return nil, err
	}
	sc := s.newScan(q.Metrics)
	defer sc.close()
	var now merger
	flush := func() error {
		defer now.reset(0)
		for _, x := range now.samples {
			if err := a.add(now.time, x.Sample); err != nil {
				return err
			}
		}
		return nil
	}
	err = sc.each(ctx, g.id, q.Span, false, func(f found) error {
		if f.time != now.time {
			if err := flush(); err != nil {
				return err
			}
			now.reset(f.time)
		}
		return now.add(f)
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return nil, fmt.Errorf("read GPU %q: %w", q.GPU, err)
	}
	return a.result(), nil
}

// aggregation gathers samples into steps.
type aggregation struct {
	q       telemetry.SeriesQuery
	first   int64 // number of the first step
	steps   int
	columns map[string]*aggregate
}

// aggregate is one column in the making.
type aggregate struct {
	name   string
	values []float64
	counts []uint32 // samples of each step
}

func newAggregation(q telemetry.SeriesQuery) (*aggregation, error) {
	if q.Step <= 0 {
		return nil, fmt.Errorf("step %v is not positive", q.Step)
	}
	if !slices.Contains(telemetry.Aggs(), q.Agg) {
		return nil, fmt.Errorf("aggregation %q is not one of %v", q.Agg, telemetry.Aggs())
	}
	a := &aggregation{q: q, columns: make(map[string]*aggregate)}
	if q.Span.Start > q.Span.End {
		return a, nil
	}
	first, last := floorDiv(q.Span.Start, int64(q.Step)), floorDiv(q.Span.End, int64(q.Step))
	if n := uint64(last - first); n >= MaxSteps {
		return nil, &telemetry.TooMuchError{What: "steps", Asked: int(min(n, math.MaxInt-1)) + 1, Max: MaxSteps}
	}
	a.first, a.steps = first, int(last-first)+1
	return a, nil
}

func (a *aggregation) add(time int64, x telemetry.Sample) error {
	name, value := x.Metric.Name, x.Value()
	if a.q.SourceNames {
		name, value = x.Metric.Source, x.Sent
	}
	c, ok := a.columns[name]
	if !ok {
		if n := (len(a.columns) + 1) * a.steps; n > maxPoints {
			return &telemetry.TooMuchError{What: "points", Asked: n, Max: maxPoints}
		}
		c = &aggregate{name: name, values: make([]float64, a.steps), counts: make([]uint32, a.steps)}
		a.columns[name] = c
	}
	c.add(int(floorDiv(time, int64(a.q.Step))-a.first), value, a.q.Agg)
	return nil
}

func (c *aggregate) add(step int, value float64, agg telemetry.Agg) {
	sum := &c.values[step]
	c.counts[step]++
	if c.counts[step] == 1 {
		*sum = value
		return
	}
	switch agg {
	case telemetry.Min:
		*sum = min(*sum, value)
	case telemetry.Max:
		*sum = max(*sum, value)
	case telemetry.Last:
		*sum = value
	default:
		*sum += value
	}
}

func (a *aggregation) result() *telemetry.Series {
	out := &telemetry.Series{Times: make([]int64, a.steps)}
	for i := range out.Times {
		out.Times[i] = (a.first + int64(i)) * int64(a.q.Step)
	}
	for _, c := range a.columns {
		for i, n := range c.counts {
			switch {
			case n == 0:
				c.values[i] = math.NaN()
			case a.q.Agg == telemetry.Count:
				c.values[i] = float64(n)
			case a.q.Agg == telemetry.Avg:
				c.values[i] /= float64(n)
			}
		}
		out.Columns = append(out.Columns, telemetry.Column{Name: c.name, Values: c.values})
	}
	slices.SortFunc(out.Columns, func(x, y telemetry.Column) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// floorDiv rounds towards minus infinity.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
