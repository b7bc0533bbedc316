package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"gpupulse/sdk/telemetry"
)

// transaction is one Badger transaction in the making. What the catalogue learns from
// it beyond numbers is published by commit.
type transaction struct {
	cat     *catalogue
	txn     *badger.Txn
	max     limits
	touched map[uint32]*gpu // copies of GPUs with what this transaction adds
	added   uint64          // rows that were not there before
	entries int
	bytes   int
	scratch []byte
	columns []column
	ids     []uint32
}

// limits are the bounds of a store and of its transactions.
type limits struct {
	gpus, descriptors int
	entries, bytes    int
}

// maxReadingText bounds the bytes of a reading's labels and metric names, so that the
// records of one reading always fit into a transaction that is not full. A message of
// the wire cannot have more.
const maxReadingText = 256 << 10

// column is one sample on its way into a row.
type column struct {
	time       int64
	descriptor uint32
	metric     *telemetry.Descriptor
	sent       float64
}

// refusal says why a reading can never be stored.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

func begin(db *badger.DB, cat *catalogue, max limits) (*transaction, error) {
	t := &transaction{cat: cat, txn: db.NewTransaction(true), max: max, touched: make(map[uint32]*gpu)}
	for key, record := range cat.unwritten {
		if err := t.set([]byte(key), record); err != nil {
			t.txn.Discard()
			return nil, err
		}
	}
	return t, nil
}

// full reports whether the next reading could break Badger's bounds.
func (t *transaction) full() bool { return t.entries > t.max.entries || t.bytes > t.max.bytes }

func (t *transaction) set(key, value []byte) error {
	t.entries++
	t.bytes += len(key) + len(value)
	if err := t.txn.Set(key, value); err != nil {
		return fmt.Errorf("add record %x: %w", key, err)
	}
	return nil
}

// put adds a reading. A *refusal leaves the transaction as it was.
func (t *transaction) put(s stamp, r *telemetry.Reading) error {
	if err := t.check(r); err != nil {
		return err
	}
	if err := t.columnsOf(r); err != nil {
		return err
	}
	g, err := t.gpu(r.GPU)
	if err != nil {
		return err
	}
	labels, err := t.labels(g, r.Host, r.Labels)
	if err != nil {
		return err
	}
	if len(t.columns) == 0 {
		return t.row(g, s, labels, r.Time, nil)
	}
	for rest := t.columns; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].time == rest[0].time {
			n++
		}
		if err := t.row(g, s, labels, rest[0].time, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// check refuses readings that are outside telemetry's or the store's bounds.
func (t *transaction) check(r *telemetry.Reading) error {
	switch {
	case r.Host == "" || len(r.Host) > telemetry.MaxLabelBytes:
		return refuse("host has %d bytes, 1 to %d are allowed", len(r.Host), telemetry.MaxLabelBytes)
	case r.GPU == "" || len(r.GPU) > telemetry.MaxLabelBytes:
		return refuse("gpu has %d bytes, 1 to %d are allowed", len(r.GPU), telemetry.MaxLabelBytes)
	case len(r.Labels) > telemetry.MaxLabels:
		return refuse("%d labels, %d are allowed", len(r.Labels), telemetry.MaxLabels)
	case len(r.Samples) > telemetry.MaxSamples:
		return refuse("%d samples, %d are allowed", len(r.Samples), telemetry.MaxSamples)
	}
	if n := textBytes(r); n > maxReadingText {
		return refuse("labels and names of metrics have %d bytes, %d are allowed", n, maxReadingText)
	}
	id, known := t.cat.byUUID[r.GPU]
	if !known && len(t.cat.byUUID) >= t.max.gpus {
		return refuse("gpu %q would be one more than the %d that are allowed", r.GPU, t.max.gpus)
	}
	var fresh int
	for _, x := range r.Samples {
		if math.IsNaN(x.Sent) || math.IsInf(x.Sent, 0) {
			return refuse("metric %q is not a finite number", x.Metric.Name)
		}
		if at := r.Time + int64(x.Offset); (at < r.Time) != (x.Offset < 0) {
			return refuse("metric %q has a time out of range", x.Metric.Name)
		}
		if _, ok := t.cat.descriptorID(x.Metric); !ok {
			fresh++
		}
	}
	if fresh > 0 && len(t.cat.descriptors)+fresh > t.max.descriptors {
		return refuse("%d new metrics would be more than the %d that are allowed", fresh, t.max.descriptors)
	}
	if g := t.current(id); g != nil && len(g.latest)+len(r.Samples) > maxGPUMetrics && g.wouldHave(r) > maxGPUMetrics {
		return refuse("gpu %q would have more than %d metrics", r.GPU, maxGPUMetrics)
	}
	return nil
}

func textBytes(r *telemetry.Reading) int {
	n := 0
	for name, value := range r.Labels {
		n += len(name) + len(value)
	}
	for _, x := range r.Samples {
		if x.Metric.Number == 0 {
			n += len(x.Metric.Name) + len(x.Metric.Source) + len(x.Metric.Unit) + len(x.Metric.SourceUnit)
		}
	}
	return n
}

func (t *transaction) current(id uint32) *gpu {
	if g, ok := t.touched[id]; ok {
		return g
	}
	return t.cat.gpus[id]
}

// wouldHave counts the metrics that g would have after r.
func (g *gpu) wouldHave(r *telemetry.Reading) int {
	n := len(g.latest)
	for i, x := range r.Samples {
		if g.find(x.Metric, i) < 0 {
			n++
		}
	}
	return n
}

// columnsOf leaves r's samples in t.columns, sorted by time and descriptor; of two with
// the same of both the later one stays.
func (t *transaction) columnsOf(r *telemetry.Reading) error {
	t.columns = t.columns[:0]
	sorted := true
	for _, x := range r.Samples {
		id, err := t.descriptor(x.Metric)
		if err != nil {
			return err
		}
		c := column{time: r.Time + int64(x.Offset), descriptor: id, metric: t.cat.descriptors[id], sent: x.Sent}
		if n := len(t.columns); n > 0 && c.compare(t.columns[n-1]) <= 0 {
			sorted = false
		}
		t.columns = append(t.columns, c)
	}
	if sorted {
		return nil
	}
	slices.SortStableFunc(t.columns, column.compare)
	kept := t.columns[:1]
	for _, c := range t.columns[1:] {
		if last := len(kept) - 1; c.compare(kept[last]) == 0 {
			kept[last] = c
		} else {
			kept = append(kept, c)
		}
	}
	t.columns = kept
	return nil
}

func (c column) compare(o column) int {
	return cmp.Or(cmp.Compare(c.time, o.time), cmp.Compare(c.descriptor, o.descriptor))
}

// row adds what was measured at one time: one row, or one a column where there is no
// schema for all of them.
func (t *transaction) row(g *gpu, s stamp, labels *labelSet, time int64, columns []column) error {
	t.ids = t.ids[:0]
	for _, c := range columns {
		t.ids = append(t.ids, c.descriptor)
	}
	sch, err := t.schema(t.ids)
	if err != nil {
		return err
	}
	if sch == nil {
		for i := range columns {
			if err := t.row(g, s, labels, time, columns[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	key := rowKey(make([]byte, 0, rowKeyBytes), g.id, time, sch.id)
	stored := false
	if g.labels != nil && time <= g.newest {
		old, found, err := t.stampAt(key)
		if err != nil {
			return err
		}
		if found && !old.before(s) {
			return nil
		}
		stored = found
	}
	value := appendRowHead(make([]byte, 0, 16+5*len(columns)), s, labels.id)
	hint := 0
	g.seen(time, s, labels)
	for _, c := range columns {
		value = appendValue(value, c.sent)
		before := len(g.latest)
		hint = 1 + g.sample(latest{metric: c.metric, descriptor: c.descriptor, time: time, stamp: s, sent: c.sent}, hint)
		t.bytes += latestBytes * (len(g.latest) - before)
	}
	if !stored {
		t.added++
	}
	return t.set(key, value)
}

// stampAt returns the stamp of the row under key, as this transaction sees it.
func (t *transaction) stampAt(key []byte) (s stamp, found bool, err error) {
	item, err := t.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return stamp{}, false, nil
	}
	if err == nil {
		err = item.Value(func(value []byte) error {
			old, err := decodeRow(value)
			s = old.stamp
			return err
		})
	}
	if err != nil {
		return stamp{}, false, fmt.Errorf("look for row %x: %w", key, err)
	}
	return s, true, nil
}

// commit makes it durable and then lets queries see it.
func (t *transaction) commit() error {
	for id, g := range t.touched {
		if err := t.set(idKey(nil, prefixLatest, id), appendLatest(nil, g)); err != nil {
			return err
		}
	}
	if err := t.txn.Commit(); err != nil {
		return fmt.Errorf("commit %d records: %w", t.entries, err)
	}
	clear(t.cat.unwritten)
	t.cat.mu.Lock()
	defer t.cat.mu.Unlock()
	for id, g := range t.touched {
		if old, ok := t.cat.gpus[id]; !ok || old.labels.id != g.labels.id {
			t.cat.order = nil
		}
		t.cat.gpus[id] = g
	}
	return nil
}
