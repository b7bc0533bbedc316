package source

import (
	"fmt"
	"strings"

	"gpupulse/sdk/telemetry"
)

// role is what a column is for.
type role uint8

const (
	roleUndecided role = iota // its first cell with something in it decides
	roleMetric
	roleLabel
	roleTime
	roleUUID
	roleGPU // a name or index of the GPU that is not a UUID
	roleHost
	roleMetricName // long form
	roleValue      // long form
	roleLabels     // long form: labels in the exporter's own syntax
)

// column is one column of a CSV.
type column struct {
	name   string // as in the header
	role   role
	label  string // of roleLabel
	metric *telemetry.Descriptor
	unit   string // in the header's brackets, lower case
}

// layout is what a header says.
type layout struct {
	columns []column
	long    bool // a row is one metric, named in a column
	uuid    int  // positions; -1 if there is none
	gpu     int
	host    int
	time    int
	metric  int
	value   int
	raw     int
}

// Columns by their names in lower case, with spaces as underscores.
var columnRoles = map[string]role{
	"timestamp": roleTime, "time": roleTime, "ts": roleTime, "datetime": roleTime, "date_time": roleTime,
	"uuid": roleUUID, "gpu_uuid": roleUUID,
	"gpu_id": roleGPU, "gpu": roleGPU, "index": roleGPU, "gpu_index": roleGPU, "minor_number": roleGPU,
	"hostname": roleHost, "host": roleHost, "node": roleHost,
	"metric_name": roleMetricName, "value": roleValue, "labels_raw": roleLabels,
}

// Labels that have a standard name, by the source's in lower case.
var standardLabels = map[string]string{
	"modelname": telemetry.LabelModel, "model_name": telemetry.LabelModel, "model": telemetry.LabelModel, "name": telemetry.LabelModel,
	"device": telemetry.LabelDevice, "gpu": telemetry.LabelIndex, "index": telemetry.LabelIndex, "gpu_index": telemetry.LabelIndex,
	"gpu_id": telemetry.LabelIndex, "minor_number": telemetry.LabelIndex,
	"driver": telemetry.LabelDriver, "driver_version": telemetry.LabelDriver, "dcgm_fi_driver_version": telemetry.LabelDriver,
	"pod": telemetry.LabelPod, "exported_pod": telemetry.LabelPod,
	"namespace": telemetry.LabelNamespace, "exported_namespace": telemetry.LabelNamespace,
	"container": telemetry.LabelContainer, "exported_container": telemetry.LabelContainer,
}

// labelName is the standard name of a label, or the source's own.
func labelName(name string) string {
	if standard, ok := standardLabels[strings.ToLower(name)]; ok {
		return standard
	}
	return name
}

// parseHeader makes a layout of a header's cells.
func parseHeader(header [][]byte) *layout {
	l := &layout{uuid: -1, gpu: -1, host: -1, time: -1, metric: -1, value: -1, raw: -1}
	for i, cell := range header {
		name := string(cell)
		if name == "" {
			name = fmt.Sprintf("column %d", i+1)
		}
		l.columns = append(l.columns, column{name: name})
	}
	for i := range l.columns {
		c := &l.columns[i]
		key, unit, _ := strings.Cut(strings.ToLower(c.name), " [")
		c.unit = strings.TrimSuffix(unit, "]")
		key = strings.ReplaceAll(key, " ", "_")
		c.role = columnRoles[key]
		for _, p := range []struct {
			role role
			at   *int
		}{{roleTime, &l.time}, {roleUUID, &l.uuid}, {roleGPU, &l.gpu}, {roleHost, &l.host}, {roleMetricName, &l.metric}, {roleValue, &l.value}, {roleLabels, &l.raw}} {
			if c.role != p.role {
				continue
			}
			if *p.at >= 0 {
				c.role = roleUndecided // the first of a kind counts, the others are data
			} else {
				*p.at = i
			}
		}
	}
	l.long = l.metric >= 0 && l.value >= 0
	for i := range l.columns {
		l.settle(&l.columns[i])
	}
	return l
}

// settle decides what a column without a role is for, as far as its name tells.
func (l *layout) settle(c *column) {
	if !l.long && (c.role == roleMetricName || c.role == roleValue || c.role == roleLabels) {
		c.role = roleUndecided
	}
	if c.role != roleUndecided {
		return
	}
	if _, standard := standardLabels[strings.ToLower(c.name)]; standard || l.long {
		c.role, c.label = roleLabel, labelName(c.name)
		return
	}
	if d, ok := telemetry.Lookup(c.name); ok {
		c.role, c.metric = roleMetric, d
	} else if d, ok := telemetry.Lookup(strings.ToLower(c.name)); ok {
		c.role, c.metric = roleMetric, d
	}
}

// identifies reports whether a row can name its GPU at all.
func (l *layout) identifies() bool { return l.uuid >= 0 || l.gpu >= 0 }

// decision is what the first cell with something in it says of its column: text or numbers. It
// counts once the whole row has been found good.
type decision struct {
	column int
	number bool
}

// decide settles the columns that a good row has told the kind of.
func (c *CSV) decide() {
	for _, d := range c.first {
		col := &c.layout.columns[d.column]
		if d.number {
			col.role, col.metric = roleMetric, telemetry.Custom(col.name)
		} else {
			col.role, col.label = roleLabel, labelName(col.name)
		}
	}
}
