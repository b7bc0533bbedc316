package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON adds the reading as a JSON object, {"time","host","gpu","labels","metrics"}: time in
// RFC 3339 UTC, metrics in canonical names and units, or, with sourceNames, what the source
// called and measured them in. Samples with a time of their own are in "times" too.
func (r *Reading) AppendJSON(dst []byte, sourceNames bool) []byte {
	dst = append(dst, `{"time":"`...)
	dst = time.Unix(0, r.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","host":`...)
	dst = appendString(dst, r.Host)
	dst = append(dst, `,"gpu":`...)
	dst = appendString(dst, r.GPU)
	dst = append(dst, `,"labels":{`...)
	for i, name := range slices.Sorted(maps.Keys(r.Labels)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendString(dst, r.Labels[name])
	}
	dst = append(dst, `},"metrics":{`...)
	dst, _ = r.appendMetrics(dst, sourceNames, func(dst []byte, s *Sample) []byte {
		if sourceNames {
			return AppendNumber(dst, s.Sent)
		}
		return AppendNumber(dst, s.Value())
	})
	dst = append(dst, '}')
	if slices.ContainsFunc(r.Samples, func(s Sample) bool { return s.Offset != 0 }) {
		dst = append(dst, `,"times":{`...)
		dst, _ = r.appendMetrics(dst, sourceNames, func(dst []byte, s *Sample) []byte {
			dst = append(dst, '"')
			dst = time.Unix(0, r.Time+int64(s.Offset)).UTC().AppendFormat(dst, time.RFC3339Nano)
			return append(dst, '"')
		})
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendMetrics adds a member for each metric; of two samples with one name the last counts.
func (r *Reading) appendMetrics(dst []byte, sourceNames bool, value func([]byte, *Sample) []byte) ([]byte, int) {
	written := 0
	for i := range r.Samples {
		s := &r.Samples[i]
		name := s.name(sourceNames)
		if slices.ContainsFunc(r.Samples[i+1:], func(later Sample) bool { return later.name(sourceNames) == name }) {
			continue
		}
		if written > 0 {
			dst = append(dst, ',')
		}
		written++
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = value(dst, s)
	}
	return dst, written
}

func (s *Sample) name(source bool) string {
	if source {
		return s.Metric.Source
	}
	return s.Metric.Name
}

// AppendNumber adds a finite number as JSON has it, in as few digits as tell it from its
// neighbours.
func AppendNumber(dst []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendString adds a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(dst, `""`...) // strings always marshal
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// jsonReading is a reading as JSON brings it.
type jsonReading struct {
	Time    time.Time            `json:"time"`
	Host    string               `json:"host"`
	GPU     string               `json:"gpu"`
	Labels  map[string]string    `json:"labels"`
	Metrics map[string]*float64  `json:"metrics"`
	Times   map[string]time.Time `json:"times"`
}

// decodeJSON is Decode for JSON. A metric that is null is absent.
func decodeJSON(payload []byte, r *Reading) error {
	var j jsonReading
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return wrong("payload", "is not a JSON reading: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return wrong("payload", "goes on after its JSON reading")
	}
	if j.Time.IsZero() {
		return wrong("time", "is missing")
	}
	*r = Reading{Time: j.Time.UnixNano(), Host: j.Host, GPU: j.GPU, Labels: j.Labels, Samples: r.Samples[:0]}
	if len(j.Metrics) > MaxSamples {
		return wrong("metrics", "are %d, %d are allowed", len(j.Metrics), MaxSamples)
	}
	for _, name := range slices.Sorted(maps.Keys(j.Metrics)) {
		value := j.Metrics[name]
		if value == nil {
			continue
		}
		metric, known := Lookup(name)
		if !known {
			metric = Custom(name)
		}
		s := Sample{Metric: metric, Sent: *value}
		if at, ok := j.Times[name]; ok {
			s.Offset = at.Sub(j.Time)
		}
		r.Samples = append(r.Samples, s)
	}
	return check(r)
}
