package source

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"gpupulse/sdk/telemetry"
)

// maxIdentities bounds what is remembered of the label columns' contents; past it all of
// it is forgotten and learned again.
const maxIdentities = 64 << 10

// identity is whose row it is: what the label columns of a row say.
type identity struct {
	host, gpu string
	labels    map[string]string
	metric    *telemetry.Descriptor // long form
	reason    string                // why such rows are rejected, "" if they are not
	detail    string
}

// same reports whether labels are this identity's own map.
func (id *identity) same(labels map[string]string) bool {
	return reflect.ValueOf(id.labels).Pointer() == reflect.ValueOf(labels).Pointer()
}

// identify finds out whose row it is. Rows with the same label columns share the answer.
func (c *CSV) identify() *identity {
	c.key = c.key[:0]
	for i := range c.layout.columns {
		switch c.layout.columns[i].role {
		case roleMetric, roleTime, roleValue, roleUndecided:
		default:
			c.key = append(append(c.key, c.cells[i]...), 0)
		}
	}
	if id := c.known[string(c.key)]; id != nil {
		return id
	}
	if len(c.known) >= maxIdentities {
		clear(c.known)
	}
	id := c.learn()
	c.known[string(c.key)] = id
	return id
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
		if col.role == roleValue || col.role == roleMetric || col.role == roleUndecided {
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
	if l.long && !c.nameMetric(id) {
		return refuse(reasonNoMetric, "")
	}
	return c.share(id)
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

// nameMetric finds a long-form row's descriptor.
func (c *CSV) nameMetric(id *identity) bool {
	name := string(c.cells[c.layout.metric])
	if name == "" {
		return false
	}
	d := c.metrics[name]
	if d == nil {
		var ok bool
		if d, ok = telemetry.Lookup(name); !ok {
			d = telemetry.Custom(name)
		}
		if len(c.metrics) < maxIdentities {
			c.metrics[name] = d
		}
	}
	id.metric = d
	return true
}

// share lets identities that differ in nothing but their metric have one map of labels, which
// makes joining their rows cheap.
func (c *CSV) share(id *identity) *identity {
	key := "\x00labels\x00" + id.host + "\x00" + id.gpu
	first := c.known[key]
	if first == nil {
		c.known[key] = id
		return id
	}
	if len(first.labels) != len(id.labels) {
		return id
	}
	for name, value := range id.labels {
		if has, ok := first.labels[name]; !ok || has != value {
			return id
		}
	}
	id.labels = first.labels
	return id
}
