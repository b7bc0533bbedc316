package api

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gpupulse/sdk/telemetry"
)

type hostItem struct {
	Name     string `json:"name"`
	GPUs     int    `json:"gpus"`
	LastSeen string `json:"last_seen"`
}

type gpuItem struct {
	ID       string            `json:"id"`
	Host     string            `json:"host"`
	Index    *int              `json:"index"` // null where no source told it
	Device   string            `json:"device"`
	Model    string            `json:"model"`
	Labels   map[string]string `json:"labels"`
	LastSeen string            `json:"last_seen"`
}

type gpuAnswer struct {
	gpuItem
	Latest map[string]valueItem `json:"latest"`
}

type valueItem struct {
	Value number `json:"value"`
	Time  string `json:"time"`
	Unit  string `json:"unit"`
}

type latestItem struct {
	Host   string `json:"host"`
	GPU    string `json:"gpu"`
	Metric string `json:"metric"`
	Value  number `json:"value"`
	Unit   string `json:"unit"`
	Time   string `json:"time"`
}

type seriesAnswer struct {
	GPU       string              `json:"gpu"`
	StartTime string              `json:"start_time"`
	EndTime   string              `json:"end_time"`
	Step      string              `json:"step"`
	Agg       telemetry.Agg       `json:"agg"`
	Times     []string            `json:"times"`
	Columns   map[string][]number `json:"columns"`
}

func (s *Server) hosts(r *request) error {
	page := r.page(maxLimit)
	if r.err != nil {
		return r.err
	}
	hosts, total, err := s.o.Querier.Hosts(r.Request().Context(), page)
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	items := make([]hostItem, 0, len(hosts))
	for _, h := range hosts {
		items = append(items, hostItem{h.Name, h.GPUs, formatTime(h.LastSeen)})
	}
	return answerList(r, items, total, page)
}

func (s *Server) hostGPUs(r *request) error {
	q := telemetry.GPUQuery{Host: r.path("host"), Page: r.page(maxLimitAll)}
	if r.err != nil {
		return r.err
	}
	if q.Host == "" {
		return fmt.Errorf("host \"\" %w", telemetry.ErrUnknown)
	}
	return s.answerGPUs(r, q, true)
}

func (s *Server) gpus(r *request) error {
	q := telemetry.GPUQuery{Host: r.text("host"), Model: r.text("model"), Page: r.page(maxLimitAll)}
	if r.err != nil {
		return r.err
	}
	return s.answerGPUs(r, q, false)
}

func (s *Server) answerGPUs(r *request, q telemetry.GPUQuery, mustExist bool) error {
	gpus, total, err := s.o.Querier.GPUs(r.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("list GPUs: %w", err)
	}
	if total == 0 && mustExist {
		return fmt.Errorf("host %q %w", q.Host, telemetry.ErrUnknown)
	}
	items := make([]gpuItem, 0, len(gpus))
	for _, g := range gpus {
		items = append(items, newGPUItem(g))
	}
	return answerList(r, items, total, q.Page)
}

func newGPUItem(g telemetry.GPU) gpuItem {
	item := gpuItem{
		ID: g.ID, Host: g.Host, Device: g.Labels[telemetry.LabelDevice], Model: g.Labels[telemetry.LabelModel],
		Labels: g.Labels, LastSeen: formatTime(g.LastSeen),
	}
	if item.Labels == nil {
		item.Labels = map[string]string{}
	}
	if i, err := strconv.Atoi(g.Labels[telemetry.LabelIndex]); err == nil {
		item.Index = &i
	}
	return item
}

// findGPU returns the GPU that the path names.
func (s *Server) findGPU(r *request) (telemetry.GPU, error) {
	id := r.path("id")
	if r.err != nil {
		return telemetry.GPU{}, r.err
	}
	if id != "" {
		gpus, _, err := s.o.Querier.GPUs(r.Request().Context(), telemetry.GPUQuery{ID: id, Page: telemetry.Page{Limit: 1}})
		if err != nil {
			return telemetry.GPU{}, fmt.Errorf("find GPU %q: %w", id, err)
		}
		if len(gpus) > 0 {
			return gpus[0], nil
		}
	}
	return telemetry.GPU{}, fmt.Errorf("GPU %q %w", id, telemetry.ErrUnknown)
}

func (s *Server) gpu(r *request) error {
	source := r.sourceNames()
	g, err := s.findGPU(r)
	if err != nil {
		return err
	}
	values, _, err := s.o.Querier.Latest(r.Request().Context(), telemetry.LatestQuery{GPU: g.ID, Page: telemetry.Page{Limit: maxLimitAll}})
	if err != nil {
		return fmt.Errorf("latest of GPU %q: %w", g.ID, err)
	}
	answer := gpuAnswer{gpuItem: newGPUItem(g), Latest: make(map[string]valueItem, len(values))}
	for _, v := range values {
		name, value, unit := shown(v.Sample, source)
		answer.Latest[name] = valueItem{number(value), formatTime(v.Time), unit}
	}
	return r.answer(http.StatusOK, answer)
}

// shown returns how a sample is to be called, its value and the value's unit.
func shown(x telemetry.Sample, source bool) (name string, value float64, unit string) {
	if source {
		return x.Metric.Source, x.Sent, x.Metric.SourceUnit
	}
	return x.Metric.Name, x.Value(), x.Metric.Unit
}

func (s *Server) latest(r *request) error {
	source := r.sourceNames()
	q := telemetry.LatestQuery{Metrics: r.names("metric"), Host: r.text("host"), Page: r.page(maxLimitAll)}
	if r.err != nil {
		return r.err
	}
	values, total, err := s.o.Querier.Latest(r.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("latest values: %w", err)
	}
	items := make([]latestItem, 0, len(values))
	for _, v := range values {
		name, value, unit := shown(v.Sample, source)
		items = append(items, latestItem{v.Host, v.GPU, name, number(value), unit, formatTime(v.Time)})
	}
	return answerList(r, items, total, q.Page)
}

// telemetry answers with readings; they are encoded one after the other, since there
// may be many.
func (s *Server) telemetry(r *request) error {
	source := r.sourceNames()
	q := telemetry.ReadingQuery{
		GPU: r.path("id"), Span: r.span(math.MinInt64, math.MaxInt64), Metrics: r.names("metric"),
		OldestFirst: r.choice("order", "desc", "asc") == "asc", Page: r.page(maxLimit),
	}
	if r.err != nil {
		return r.err
	}
	readings, total, err := s.o.Querier.Readings(r.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("read telemetry: %w", err)
	}
	body := append(make([]byte, 0, 256*len(readings)+100), `{"items":[`...)
	for i := range readings {
		if i > 0 {
			body = append(body, ',')
		}
		body = readings[i].AppendJSON(body, source)
	}
	body = fmt.Appendf(body, `],"total":%d,"limit":%d,"offset":%d}`+"\n", total, q.Limit, q.Offset)
	return r.Blob(http.StatusOK, "application/json", body)
}

// defaultSpan is what a chart shows if it is not told: the last hour that there is.
const defaultSpan = time.Hour

func (s *Server) series(r *request) error {
	source := r.sourceNames()
	g, err := s.findGPU(r)
	if err != nil {
		return err
	}
	end := r.time("end_time", g.LastSeen)
	q := telemetry.SeriesQuery{
		GPU: g.ID, Span: r.span(end-int64(defaultSpan), end), Metrics: r.names("metric"), Step: r.step("step"),
		Agg:         telemetry.Agg(r.choice("agg", aggNames()...)),
		SourceNames: source,
	}
	if r.err != nil {
		return r.err
	}
	if q.Step == 0 {
		q.Step = chooseStep(q.Span)
	}
	columns, err := s.o.Querier.Series(r.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("read series: %w", err)
	}
	answer := seriesAnswer{
		GPU: g.ID, StartTime: formatTime(q.Span.Start), EndTime: formatTime(q.Span.End), Step: q.Step.String(), Agg: q.Agg,
		Times: make([]string, 0, len(columns.Times)), Columns: make(map[string][]number, len(columns.Columns)),
	}
	for _, t := range columns.Times {
		answer.Times = append(answer.Times, formatTime(t))
	}
	for _, c := range columns.Columns {
		values := make([]number, len(c.Values))
		for i, v := range c.Values {
			values[i] = number(v)
		}
		answer.Columns[c.Name] = values
	}
	return r.answer(http.StatusOK, answer)
}

// aimedSteps is how many points a chart of usual width can show.
const aimedSteps = 1000

// chooseStep returns the shortest step that people use with which a span has no more
// than about a thousand of them.
func chooseStep(span telemetry.Span) time.Duration {
	least := time.Duration(uint64(span.End-span.Start) / aimedSteps)
	const day = 24 * time.Hour
	for _, step := range []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day,
	} {
		if step >= least {
			return step
		}
	}
	return (least/day + 1) * day
}

func aggNames() []string {
	var names []string
	for _, a := range telemetry.Aggs() {
		names = append(names, string(a))
	}
	return names
}

// metrics answers with the catalogue and what sources have sent beyond it.
func (s *Server) metrics(r *request) error {
	all := telemetry.Metrics()
	seen, err := s.o.Querier.Metrics(r.Request().Context())
	if err != nil {
		return fmt.Errorf("list metrics: %w", err)
	}
	known := make(map[string]int, len(all))
	for i, m := range all {
		known[m.Name] = i
	}
	for _, d := range seen {
		i, ok := known[d.Name]
		if !ok {
			i = len(all)
			known[d.Name] = i
			all = append(all, telemetry.MetricInfo{Name: d.Name, Unit: d.Unit, Kind: d.Kind, Sources: []string{}})
		}
		if m := &all[i]; d.Source != d.Name && !slices.Contains(m.Sources, d.Source) {
			m.Sources = append(m.Sources, d.Source)
		}
	}
	return answerPage(r, all)
}
