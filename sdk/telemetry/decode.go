package telemetry

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decode reads a payload into r, whose memory it uses again. A payload that begins with a
// brace is a JSON reading, as AppendJSON writes it with either kind of names. The error
// is an *Error. Nothing in r aliases payload.
func Decode(payload []byte, r *Reading) error {
	if len(payload) > 0 && payload[0] == '{' {
		return decodeJSON(payload, r)
	}
	*r = Reading{Labels: r.Labels, Samples: r.Samples[:0]}
	clear(r.Labels)
	d := decoder{reading: r}
	if err := d.fields(payload, d.field); err != nil {
		return err
	}
	if err := d.join(); err != nil {
		return err
	}
	return check(r)
}

// decoder gathers the columns of a payload, which may come in any order.
type decoder struct {
	reading     *Reading
	descriptors []byte
	values      []byte
	offsets     []byte
	extra       []*Descriptor
}

// fields walks protobuf fields; bytes is nil for numbers.
func (d *decoder) fields(b []byte, visit func(num protowire.Number, v uint64, bytes []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return wrong("payload", "is not a reading: %v", protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var bytes []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
			if bytes == nil {
				bytes = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
			num = 0 // no field of ours
		}
		if n < 0 {
			return wrong("payload", "is not a reading: %v", protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(num, v, bytes); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) field(num protowire.Number, v uint64, b []byte) error {
	r := d.reading
	if (b == nil) != (num == fieldTime) && num >= fieldTime && num <= fieldExtra {
		return wrong("payload", "is not a reading: field %d has the wrong type", num)
	}
	switch num {
	case fieldTime:
		r.Time = int64(v)
	case fieldHost:
		r.Host = string(b)
	case fieldGPU:
		r.GPU = string(b)
	case fieldLabels:
		return d.label(b)
	case fieldDescriptor:
		d.descriptors = b
	case fieldValue:
		d.values = b
	case fieldOffset:
		d.offsets = b
	case fieldExtra:
		return d.descriptor(b)
	}
	return nil
}

func (d *decoder) label(b []byte) error {
	var name, value string
	err := d.fields(b, func(num protowire.Number, _ uint64, text []byte) error {
		switch {
		case num == 1 && text != nil:
			name = string(text)
		case num == 2 && text != nil:
			value = string(text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r := d.reading
	if r.Labels == nil {
		r.Labels = make(map[string]string, 8)
	}
	if len(r.Labels) >= MaxLabels {
		return wrong("labels", "are more than %d", MaxLabels)
	}
	r.Labels[name] = value
	return nil
}

func (d *decoder) descriptor(b []byte) error {
	if len(d.extra) >= MaxSamples {
		return wrong("metrics", "are more than %d", MaxSamples)
	}
	x := &Descriptor{Kind: Gauge, Mul: 1, Div: 1}
	err := d.fields(b, func(num protowire.Number, v uint64, text []byte) error {
		switch num {
		case extraName:
			x.Name = string(text)
		case extraSource:
			x.Source = string(text)
		case extraSourceUnit:
			x.SourceUnit = string(text)
		case extraMul:
			x.Mul = math.Float64frombits(v)
		case extraDiv:
			x.Div = math.Float64frombits(v)
		case extraUnit:
			x.Unit = string(text)
		case extraKind:
			x.Kind = Kind(text)
		}
		return nil
	})
	d.extra = append(d.extra, x)
	return err
}

// join makes samples of the columns.
func (d *decoder) join() error {
	r := d.reading
	extra := d.extra
	for i := 0; len(d.descriptors) > 0; i++ {
		number, n := protowire.ConsumeVarint(d.descriptors)
		if n < 0 || i >= MaxSamples {
			return wrong("metrics", "cannot be read: their list is malformed or longer than %d", MaxSamples)
		}
		d.descriptors = d.descriptors[n:]
		s := Sample{}
		switch metric, known := ByNumber(uint32(min(number, math.MaxUint32))); {
		case known:
			s.Metric = metric
		case number != 0:
			return wrong("metrics", "hold number %d, which this version's catalogue does not have", number)
		case len(extra) == 0:
			return wrong("metrics", "hold one without a descriptor")
		default:
			s.Metric, extra = extra[0], extra[1:]
		}
		bits, n := protowire.ConsumeFixed64(d.values)
		if n < 0 {
			return wrong("metrics", "are more than their values")
		}
		d.values = d.values[n:]
		s.Sent = math.Float64frombits(bits)
		if len(d.offsets) > 0 {
			offset, n := protowire.ConsumeVarint(d.offsets)
			if n < 0 {
				return wrong("metrics", "have malformed times")
			}
			d.offsets = d.offsets[n:]
			s.Offset = time.Duration(protowire.DecodeZigZag(offset))
		}
		r.Samples = append(r.Samples, s)
	}
	if len(d.values) > 0 || len(extra) > 0 {
		return wrong("metrics", "are fewer than their values or descriptors")
	}
	return nil
}
