package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"gpupulse/sdk/telemetry"
)

// What is remembered of the label columns' contents and of metrics' names is bounded; past
// that all of it is forgotten and learned again.
const (
	maxIdentities    = 64 << 10
	maxIdentityBytes = 32 << 20 // of the contents
	maxMetrics       = 16 << 10
)

// identity is whose row it is: what the label columns of a row say.
type identity struct {
	host, gpu string
	labels    map[string]string
	reason    string // why such rows are rejected, "" if they are not
	detail    string
}

// same reports whether labels are this identity's own map.
func (id *identity) same(labels map[string]string) bool {
	return reflect.ValueOf(id.labels).Pointer() == reflect.ValueOf(labels).Pointer()
}

// identify finds out whose row it is. Rows with the same label columns share the answer,
// and so the map of labels, which makes joining them cheap.
func (c *CSV) identify() *identity {
	c.key = c.key[:0]
	for i := range c.layout.columns {
		switch c.layout.columns[i].role {
		case roleMetric, roleTime, roleValue, roleUndecided, roleMetricName:
		case roleLabels:
			c.key = appendRawKey(c.key, c.cells[i])
		default:
			c.key = binary.AppendUvarint(c.key, uint64(len(c.cells[i])))
			c.key = append(c.key, c.cells[i]...)
		}
	}
	if id := c.known[string(c.key)]; id != nil {
		return id
	}
	if len(c.known) >= maxIdentities || c.knownBytes+len(c.key) > maxIdentityBytes {
		clear(c.known)
		c.knownBytes = 0
	}
	id := c.learn()
	c.known[string(c.key)] = id
	c.knownBytes += len(c.key)
	return id
}

// appendRawKey adds labels in the exporter's syntax without the metric's name, in which alone
// many rows differ.
func appendRawKey(key, raw []byte) []byte {
	const name = `__name__="`
	key = binary.AppendUvarint(key, uint64(len(raw)))
	if before, after, found := bytes.Cut(raw, []byte(name)); found {
		if _, rest, closed := bytes.Cut(after, []byte(`"`)); closed {
			key = binary.AppendUvarint(append(key, before...), uint64(len(rest)))
			return append(key, rest...)
		}
	}
	return append(key, raw...)
}

// learn reads the label columns.
func (c *CSV) learn() *identity {
	l := c.layout
	id := &identity{labels: map[string]string{}}
	refuse := func(reason, detail string) *identity {
		return &identity{reason: reason, detail: clip(detail)}
	}
	for i := range l.columns {
		col := &l.columns[i]
		cell := c.cells[i]
		switch col.role {
		case roleValue, roleMetric, roleUndecided, roleTime, roleMetricName:
			continue
		}
		switch {
		case len(cell) > telemetry.MaxLabelBytes && col.role != roleLabels:
			return refuse(reasonTextTooLong, "column "+col.name+": "+string(cell[:maxDetailBytes]))
		case !utf8.Valid(cell):
			return refuse(reasonNotUTF8, "column "+col.name)
		case absent(cell):
			continue
		}
		if col.role == roleLabel {
			id.labels[col.label] = string(cell)
		}
	}
	if l.raw >= 0 && !absent(c.cells[l.raw]) {
		if err := mergeRaw(id.labels, string(c.cells[l.raw])); err != nil {
			return refuse(reasonLabels, err.Error())
		}
	}
	if len(id.labels) > telemetry.MaxLabels {
		return refuse(reasonLabels, fmt.Sprintf("%d labels, %d are allowed", len(id.labels), telemetry.MaxLabels))
	}
	if !c.name(id) {
		return refuse(reasonNoGPU, "the row names no GPU")
	}
	return id
}

// name finds the row's host and GPU: its UUID, or else its name or index, which other hosts
// may use too, so that the host goes before it.
func (c *CSV) name(id *identity) bool {
	l := c.layout
	cell := func(i int) string {
		if i < 0 || absent(c.cells[i]) {
			return ""
		}
		return string(c.cells[i])
	}
	id.host = cell(l.host)
	named := id.host != ""
	if !named {
		id.host = c.o.Host
	}
	gpu := cell(l.gpu)
	_, isIndex := integer([]byte(gpu))
	if isIndex || cell(l.uuid) != "" && gpu != "" {
		id.labels[telemetry.LabelIndex] = gpu
	}
	switch uuid := cell(l.uuid); {
	case uuid != "":
		id.gpu = uuid
	case gpu == "":
		return false
	case isIndex:
		n, _ := strconv.Atoi(gpu) // integer has read it
		id.gpu = fmt.Sprintf("%s:gpu-%03d", id.host, n)
	case !named || strings.HasPrefix(gpu, "GPU-") || strings.HasPrefix(gpu, "MIG-"):
		id.gpu = gpu
	default:
		id.gpu = id.host + ":" + gpu
	}
	return true
}

// metric finds a long-form row's descriptor, or why there is none.
func (c *CSV) metric() (d *telemetry.Descriptor, reason string) {
	cell := c.cells[c.layout.metric]
	if d := c.metrics[string(cell)]; d != nil {
		return d, ""
	}
	switch {
	case len(cell) == 0:
		return nil, reasonNoMetric
	case len(cell) > telemetry.MaxLabelBytes:
		return nil, reasonTextTooLong
	case !utf8.Valid(cell):
		return nil, reasonNotUTF8
	}
	d, ok := telemetry.Lookup(string(cell))
	if !ok {
		d = telemetry.Custom(string(cell))
	}
	if len(c.metrics) >= maxMetrics {
		clear(c.metrics)
	}
	c.metrics[string(cell)] = d
	return d, ""
}
