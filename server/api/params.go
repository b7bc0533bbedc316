package api

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gpupulse/sdk/telemetry"
)

// Bounds of parameters.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxLimitAll  = 100_000 // where an item is small and clients want all of them
	maxNames     = 100     // names in one list
)

// request is what a handler gets: echo's context, and parameters that were checked
// against the route's list. The first fault is kept and everything after it is default.
type request struct {
	echo.Context
	query url.Values
	err   error
}

// newRequest refuses parameters that the route does not know, so that a misspelt one is
// not silently without effect.
func newRequest(c echo.Context, known []param) (*request, error) {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, echo.NewHTTPError(400, fmt.Sprintf("the query is malformed: %v", err))
	}
	r := &request{Context: c, query: query}
	for name, values := range query {
		i := slices.IndexFunc(known, func(p param) bool { return p.name == name })
		switch {
		case i < 0 && len(known) == 0:
			return nil, &parameterError{name, "is not known; there are none here"}
		case i < 0:
			return nil, &parameterError{name, "is not known; there are " + paramNames(known)}
		case len(values) > 1 && !known[i].list:
			return nil, &parameterError{name, "is given more than once"}
		}
	}
	return r, nil
}

func paramNames(known []param) string {
	var names []string
	for _, p := range known {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

func (r *request) bad(name, format string, args ...any) {
	if r.err == nil {
		r.err = &parameterError{name, fmt.Sprintf(format, args...)}
	}
}

// path returns a part of the path, unescaped.
func (r *request) path(name string) string {
	raw := r.Param(name)
	if r.Request().URL.RawPath == "" {
		return raw // echo matched the path that net/http has unescaped already
	}
	value, err := url.PathUnescape(raw)
	if err != nil {
		r.bad(name, "is not escaped well: %v", err)
	}
	return value
}

func (r *request) text(name string) string {
	value := r.query.Get(name)
	if len(value) > telemetry.MaxLabelBytes {
		r.bad(name, "has %d bytes, %d are allowed", len(value), telemetry.MaxLabelBytes)
	}
	return value
}

// page reads limit and offset.
func (r *request) page(highest int) telemetry.Page {
	return telemetry.Page{
		Limit:  r.number("limit", defaultLimit, 1, highest),
		Offset: r.number("offset", 0, 0, math.MaxInt32),
	}
}

func (r *request) number(name string, otherwise, lowest, highest int) int {
	value := r.query.Get(name)
	if !r.query.Has(name) {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < lowest || n > highest {
		r.bad(name, "must be a whole number from %d to %d, not %q", lowest, highest, value)
		return otherwise
	}
	return n
}

// time reads a time by RFC 3339 and returns nanoseconds since 1970.
func (r *request) time(name string, otherwise int64) int64 {
	if !r.query.Has(name) {
		return otherwise
	}
	value := r.query.Get(name)
	// A plus sign that was not escaped arrives as a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(value, " ", "+", 1))
	if err != nil {
		r.bad(name, "must be a time by RFC 3339 such as 2026-01-31T12:00:00Z, not %q", value)
		return otherwise
	}
	if t.Year() < 1678 || t.Year() > 2261 {
		r.bad(name, "must be between the years 1678 and 2261, not %q", value)
		return otherwise
	}
	return t.UnixNano()
}

// span reads start_time and end_time.
func (r *request) span(start, end int64) telemetry.Span {
	s := telemetry.Span{Start: r.time("start_time", start), End: r.time("end_time", end)}
	if s.Start > s.End {
		if r.query.Has("end_time") {
			r.bad("start_time", "is after end_time")
		}
		s.End = s.Start // nothing there yet: a span without readings
	}
	return s
}

// names reads a list of metrics, repeated or separated by commas. A source's name for a
// metric of the catalogue becomes the canonical one, so that it fits whatever any source
// called it.
func (r *request) names(name string) []string {
	var out []string
	for _, list := range r.query[name] {
		for one := range strings.SplitSeq(list, ",") {
			if one = strings.TrimSpace(one); one == "" || len(one) > telemetry.MaxLabelBytes {
				r.bad(name, "holds a name with %d bytes, 1 to %d are allowed", len(one), telemetry.MaxLabelBytes)
				return nil
			}
			if d, ok := telemetry.Lookup(one); ok {
				one = d.Name
			}
			out = append(out, one)
		}
	}
	if len(out) > maxNames {
		r.bad(name, "holds %d names, %d are allowed", len(out), maxNames)
	}
	return out
}

// choice reads one of a few words; the first is the default.
func (r *request) choice(name string, words ...string) string {
	if !r.query.Has(name) {
		return words[0]
	}
	value := r.query.Get(name)
	if !slices.Contains(words, value) {
		r.bad(name, "must be %s, not %q", strings.Join(words, " or "), value)
		return words[0]
	}
	return value
}

// sourceNames reads names=canonical|source.
func (r *request) sourceNames() bool { return r.choice("names", "canonical", "source") == "source" }

// step reads a duration such as 30s, or a number of seconds; 0 if there is none.
func (r *request) step(name string) time.Duration {
	if !r.query.Has(name) {
		return 0
	}
	value := r.query.Get(name)
	d, err := time.ParseDuration(value)
	if seconds, errNumber := strconv.ParseFloat(value, 64); err != nil && errNumber == nil && seconds < math.MaxInt64/1e9 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < time.Millisecond {
		r.bad(name, "must be a duration of at least 1ms, such as 30s or 5m, not %q", value)
		return 0
	}
	return d
}
