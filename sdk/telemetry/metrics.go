package telemetry

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// MetricInfo is a canonical metric.
type MetricInfo struct {
	Name        string   `json:"name"`
	Unit        string   `json:"unit"`
	Kind        Kind     `json:"kind"`
	Description string   `json:"description"`
	Sources     []string `json:"sources"` // what sources call it
}

// Metrics lists the canonical metrics of the catalogue by name.
func Metrics() []MetricInfo {
	list := make([]MetricInfo, 0, len(metricTable))
	for _, m := range metricTable {
		info := MetricInfo{Name: m.name, Unit: m.unit, Kind: m.kind, Description: m.description, Sources: []string{}}
		for i := range descriptors {
			if d := &descriptors[i]; d.Name == m.name && d.Source != m.name {
				info.Sources = append(info.Sources, d.Source)
			}
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b MetricInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Catalogue lists all descriptors in the order of their numbers, from 1.
func Catalogue() []*Descriptor {
	list := make([]*Descriptor, len(descriptors))
	for i := range descriptors {
		list[i] = &descriptors[i]
	}
	return list
}

// ByNumber returns the descriptor with that place in the catalogue.
func ByNumber(n uint32) (*Descriptor, bool) {
	if n == 0 || int(n) > len(descriptors) {
		return nil, false
	}
	return &descriptors[n-1], true
}

// Lookup returns the descriptor of what a source calls a metric, of any generation of
// names, or of a canonical name. A unit in brackets behind the name, as nvidia-smi
// writes it, is passed over.
func Lookup(source string) (*Descriptor, bool) {
	if d, ok := bySource[source]; ok {
		return d, true
	}
	if name, _, ok := strings.Cut(source, " ["); ok {
		d, ok := bySource[name]
		return d, ok
	}
	return nil, false
}

// LookupUnit is Lookup for a source that uses one name for several units.
func LookupUnit(source, unit string) (*Descriptor, bool) {
	for i := range descriptors {
		if d := &descriptors[i]; d.Source == source && d.SourceUnit == unit {
			return d, true
		}
	}
	return nil, false
}

// Custom makes the descriptor of a metric that the catalogue does not have. Its canonical
// name is the source's in lower case, with every run of other characters than letters,
// digits, dots and underscores as one underscore; its unit is unknown and its value
// stays as sent.
func Custom(source string) *Descriptor {
	return &Descriptor{Name: sanitise(source), Kind: Gauge, Source: source, Mul: 1, Div: 1}
}

func sanitise(source string) string {
	out := make([]byte, 0, len(source))
	for _, r := range source {
		switch {
		case r >= 'A' && r <= 'Z':
			out = append(out, byte(r-'A'+'a'))
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
			out = append(out, byte(r))
		case len(out) == 0 || out[len(out)-1] != '_':
			out = append(out, '_')
		}
	}
	name := strings.Trim(string(out), "_")
	if name == "" {
		return "unnamed"
	}
	return name
}

// checkDescriptor says what is wrong with a descriptor that came from outside.
func checkDescriptor(d *Descriptor) string {
	for _, text := range []string{d.Name, d.Source, d.Unit, d.SourceUnit, string(d.Kind)} {
		if len(text) > MaxLabelBytes {
			return "a name or unit is too long"
		}
		if !utf8.ValidString(text) {
			return "a name or unit is not UTF-8"
		}
	}
	finite := func(f float64) bool { return f != 0 && !math.IsNaN(f) && !math.IsInf(f, 0) }
	switch {
	case d.Name == "" || d.Source == "":
		return "it has no name"
	case !finite(d.Mul) || !finite(d.Div):
		return "its factors are not finite"
	case d.Kind != Gauge && d.Kind != Counter && d.Kind != Event:
		return "its kind is none of gauge, counter and event"
	}
	return ""
}
