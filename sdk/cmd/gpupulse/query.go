package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gpupulse/sdk/cmdline"
)

type queryCommand struct {
	output
	GPU    string   `arg:"" help:"The GPU's id."`
	Start  string   `help:"No reading before: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m or 7d." placeholder:"TIME"`
	End    string   `help:"No reading after; as --start." placeholder:"TIME"`
	Metric []string `help:"Only these metrics, separated by commas."`
	Limit  int      `help:"Readings, at most; 0: all." default:"100"`
	Order  string   `help:"desc: newest first; asc: oldest first." default:"desc" enum:"desc,asc"`
	Names  string   `help:"canonical, or source: names and values as the source sent them." default:"canonical" enum:"canonical,source"`
}

// stored is a reading as the server answers it.
type stored struct {
	Time    string             `json:"time"`
	Metrics map[string]float64 `json:"metrics"`
}

// Run prints stored readings.
func (q *queryCommand) Run(ctx context.Context, c *connection, s *streams) error {
	query := url.Values{"order": {q.Order}, "names": {q.Names}}
	for name, value := range map[string]string{"start_time": q.Start, "end_time": q.End} {
		if value == "" {
			continue
		}
		at, err := parseTime(value, time.Now())
		if err != nil {
			return err
		}
		query.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	for _, metric := range q.Metric {
		query.Add("metric", metric)
	}
	if q.Limit < 0 {
		return fmt.Errorf("--limit %d: must not be negative", q.Limit)
	}
	l, err := c.all(ctx, "/api/v1/gpus/"+url.PathEscape(q.GPU)+"/telemetry", query, q.Limit)
	if err != nil {
		return err
	}
	if q.json() {
		return printJSON(s.out, l)
	}
	return printReadings(s.out, l)
}

// parseTime reads a time, or a duration before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := cmdline.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 15m", text)
	}
	return at, nil
}

// printReadings prints a table with a column for each metric that any of the
// readings has. A metric that a reading has not is a dash: it is not zero.
func printReadings(out io.Writer, l list) error {
	readings := make([]stored, len(l.Items))
	names := map[string]bool{}
	for i, item := range l.Items {
		if err := json.Unmarshal(item, &readings[i]); err != nil {
			return fmt.Errorf("item %d of the answer: %w", i, err)
		}
		for name := range readings[i].Metrics {
			names[name] = true
		}
	}
	metrics := slices.Sorted(maps.Keys(names))
	rows := make([][]string, len(readings))
	for i, r := range readings {
		rows[i] = append(rows[i], r.Time)
		for _, name := range metrics {
			cell := "-"
			if value, ok := r.Metrics[name]; ok {
				cell = strconv.FormatFloat(value, 'f', -1, 64)
			}
			rows[i] = append(rows[i], cell)
		}
	}
	heads := []string{"TIME"}
	for _, name := range metrics {
		heads = append(heads, text(name))
	}
	if err := printTable(out, heads, rows); err != nil {
		return err
	}
	if l.Total > len(readings) {
		_, err := fmt.Fprintf(out, "%d of %d; --limit gives more\n", len(readings), l.Total)
		return err
	}
	return nil
}
