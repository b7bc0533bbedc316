package telemetry

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of reading.proto.
const (
	fieldTime       = 1
	fieldHost       = 2
	fieldGPU        = 3
	fieldLabels     = 4
	fieldDescriptor = 5
	fieldValue      = 6
	fieldOffset     = 7
	fieldExtra      = 8

	extraName       = 1
	extraSource     = 2
	extraSourceUnit = 3
	extraMul        = 4
	extraDiv        = 5
	extraUnit       = 6
	extraKind       = 7
)

// Error says what is wrong with a reading, and where in it.
type Error struct {
	Field  string // such as "host", "label pod" or "metric gpu.temp"
	Reason string
}

func (e *Error) Error() string { return "reading: " + e.Field + " " + e.Reason }

func wrong(field, format string, args ...any) error {
	return &Error{field, fmt.Sprintf(format, args...)}
}

// check holds a reading against the bounds that both directions keep to.
func check(r *Reading) error {
	switch {
	case r.Host == "":
		return wrong("host", "is empty")
	case r.GPU == "":
		return wrong("gpu", "is empty")
	case len(r.Samples) > MaxSamples:
		return wrong("metrics", "are %d, %d are allowed", len(r.Samples), MaxSamples)
	case len(r.Labels) > MaxLabels:
		return wrong("labels", "are %d, %d are allowed", len(r.Labels), MaxLabels)
	}
	if err := checkText("host", r.Host); err != nil {
		return err
	}
	if err := checkText("gpu", r.GPU); err != nil {
		return err
	}
	for name, value := range r.Labels {
		if name == "" {
			return wrong("labels", "have one without a name")
		}
		if err := checkText("label's name", name); err != nil {
			return err
		}
		if err := checkText("label "+name, value); err != nil {
			return err
		}
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Metric == nil {
			return wrong("metrics", "have one without a descriptor")
		}
		if math.IsNaN(s.Sent) || math.IsInf(s.Sent, 0) || math.IsInf(s.Value(), 0) {
			return wrong("metric "+s.Metric.Name, "is not a finite number")
		}
		if s.Metric.Number == 0 {
			if reason := checkDescriptor(s.Metric); reason != "" {
				return wrong("metric "+cut(s.Metric.Name), "has a bad descriptor: %s", reason)
			}
		}
	}
	return nil
}

func checkText(field, text string) error {
	switch {
	case len(text) > MaxLabelBytes:
		return wrong(field, "has %d bytes, %d are allowed", len(text), MaxLabelBytes)
	case !utf8.ValidString(text):
		return wrong(field, "is not UTF-8")
	}
	return nil
}

// cut shortens a text for an error.
func cut(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}

// Append adds the payload of a reading to dst. Readings that are equal have equal payloads.
// The error is an *Error; dst is then returned as it was.
func Append(dst []byte, r *Reading) ([]byte, error) {
	if err := check(r); err != nil {
		return dst, err
	}
	dst = protowire.AppendTag(dst, fieldTime, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, uint64(r.Time))
	dst = appendText(dst, fieldHost, r.Host)
	dst = appendText(dst, fieldGPU, r.GPU)
	dst = appendLabels(dst, r.Labels)
	if len(r.Samples) == 0 {
		return dst, nil
	}
	size, offsets := 0, false
	for i := range r.Samples {
		size += protowire.SizeVarint(uint64(r.Samples[i].Metric.Number))
		offsets = offsets || r.Samples[i].Offset != 0
	}
	dst = protowire.AppendTag(dst, fieldDescriptor, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	for i := range r.Samples {
		dst = protowire.AppendVarint(dst, uint64(r.Samples[i].Metric.Number))
	}
	dst = protowire.AppendTag(dst, fieldValue, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(8*len(r.Samples)))
	for i := range r.Samples {
		dst = protowire.AppendFixed64(dst, math.Float64bits(r.Samples[i].Sent))
	}
	if offsets {
		dst = appendOffsets(dst, r.Samples)
	}
	for i := range r.Samples {
		if d := r.Samples[i].Metric; d.Number == 0 {
			dst = appendDescriptor(dst, d)
		}
	}
	return dst, nil
}

func appendText(dst []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, text)
}

func appendLabels(dst []byte, labels map[string]string) []byte {
	if len(labels) == 0 {
		return dst
	}
	var room [MaxLabels]string
	names := room[:0]
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := labels[name]
		size := 2 + protowire.SizeBytes(len(name)) + protowire.SizeBytes(len(value))
		dst = protowire.AppendTag(dst, fieldLabels, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendString(dst, name)
		dst = protowire.AppendTag(dst, 2, protowire.BytesType)
		dst = protowire.AppendString(dst, value)
	}
	return dst
}

func appendOffsets(dst []byte, samples []Sample) []byte {
	size := 0
	for i := range samples {
		size += protowire.SizeVarint(protowire.EncodeZigZag(int64(samples[i].Offset)))
	}
	dst = protowire.AppendTag(dst, fieldOffset, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	for i := range samples {
		dst = protowire.AppendVarint(dst, protowire.EncodeZigZag(int64(samples[i].Offset)))
	}
	return dst
}

func appendDescriptor(dst []byte, d *Descriptor) []byte {
	var body []byte
	body = appendText(body, extraName, d.Name)
	body = appendText(body, extraSource, d.Source)
	body = appendText(body, extraSourceUnit, d.SourceUnit)
	body = appendFactor(body, extraMul, d.Mul)
	body = appendFactor(body, extraDiv, d.Div)
	body = appendText(body, extraUnit, d.Unit)
	if d.Kind != Gauge {
		body = appendText(body, extraKind, string(d.Kind))
	}
	dst = protowire.AppendTag(dst, fieldExtra, protowire.BytesType)
	return protowire.AppendBytes(dst, body)
}

// appendFactor leaves out a factor of 1, which is what 0 means.
func appendFactor(dst []byte, num protowire.Number, factor float64) []byte {
	if factor == 1 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, math.Float64bits(factor))
}
