package store

import (
	"errors"
	"fmt"
	"maps"

	"github.com/dgraph-io/badger/v4"
)

// Check reads the whole store and reports every broken invariant, at most maxFaults:
//
//   - every key is of a known kind, every record can be decoded;
//   - a row's GPU, schema, labels and epoch are in the catalogue;
//   - the latest record of a GPU is what its rows say, on disk and in memory;
//   - label sets are found by their hash;
//   - the number of rows is as recorded, and the checkpoint's epoch is known.
//
// Appends wait until it is done.
func (s *Store) Check() error {
	result := make(chan error, 1)
	check := func() { result <- s.db.View(func(txn *badger.Txn) error { return newChecker(s, txn).run() }) }
	select {
	case s.checks <- check:
		return <-result
	case <-s.stopped:
		return ErrClosed
	}
}

// maxFaults bounds the faults that Check reports.
const maxFaults = 20

type checker struct {
	store  *Store
	txn    *badger.Txn
	gpus   map[uint32]*gpu // as rows say
	rows   uint64
	faults []error
}

func newChecker(s *Store, txn *badger.Txn) *checker {
	return &checker{store: s, txn: txn, gpus: make(map[uint32]*gpu)}
}

func (c *checker) fault(format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

func (c *checker) run() error {
	it := c.txn.NewIterator(badger.DefaultIteratorOptions)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error { return c.record(item.Key(), value) })
		if err != nil {
			c.fault("key %x: %w", item.Key(), err)
		}
	}
	st := c.store.state.Load()
	if st.rows != c.rows {
		c.fault("%d rows are recorded, %d are there", st.rows, c.rows)
	}
	if st.checkpoint != 0 && c.store.cat.epochs[st.epochName] != st.epoch {
		c.fault("the checkpoint's epoch %d is not known", st.epoch)
	}
	c.latest()
	return errors.Join(c.faults...)
}

func (c *checker) record(key, value []byte) error {
	switch key[0] {
	case prefixRow:
		if len(key) != rowKeyBytes {
			return errDamaged
		}
		return c.row(key, value)
	case prefixLabels:
		if len(key) != idKeyBytes {
			return errDamaged
		}
		item, err := c.txn.Get(labelsHashKey(value))
		if err != nil {
			return fmt.Errorf("find labels by hash: %w", err)
		}
		return item.Value(func(id []byte) error {
			r := reader{b: id}
			if got := idKey(nil, prefixLabels, r.uint32()); string(got) != string(key) {
				return fmt.Errorf("hash leads to %x", got)
			}
			return r.end()
		})
	case prefixFormat, prefixEpoch, prefixGPU, prefixDescriptor, prefixSchema, prefixLabelsHash, prefixLatest, prefixCheckpoint, prefixRows:
		return nil
	}
	return errors.New("is of no known kind")
}

func (c *checker) row(key, value []byte) error {
	c.rows++
	id, time, schemaID := parseRowKey(key)
	g, ok := c.gpus[id]
	if !ok {
		g = &gpu{id: id}
		c.gpus[id] = g
	}
	sch, ok := c.store.cat.schemas[schemaID]
	if !ok {
		return fmt.Errorf("schema %d is missing", schemaID)
	}
	r, err := decodeRow(value)
	if err != nil {
		return err
	}
	values, err := r.values(nil, len(sch.metrics))
	if err != nil {
		return err
	}
	labels, err := c.store.labels.get(c.txn, r.labels)
	if err != nil {
		return err
	}
	if r.stamp.epoch == 0 || r.stamp.epoch >= c.store.cat.next.epoch {
		return fmt.Errorf("epoch %d is missing", r.stamp.epoch)
	}
	g.seen(time, r.stamp, labels)
	for i, d := range sch.metrics {
		g.sample(latest{metric: d, descriptor: sch.descriptors[i], time: time, stamp: r.stamp, sent: values[i]}, i)
	}
	return nil
}

// latest compares what rows say is newest with memory and with the latest records.
func (c *checker) latest() {
	for id, g := range c.gpus {
		if _, ok := c.store.cat.gpus[id]; !ok {
			c.fault("GPU %d has rows and is not in the catalogue", id)
			continue
		}
		c.same(g, c.store.cat.gpus[id], "in memory")
		stored := &gpu{id: id}
		item, err := c.txn.Get(idKey(nil, prefixLatest, id))
		if err == nil {
			err = item.Value(func(record []byte) error {
				labels, err := decodeLatest(stored, record, c.store.cat.descriptor)
				if err == nil {
					stored.labels, err = readLabels(c.txn, labels)
				}
				return err
			})
		}
		if err != nil {
			c.fault("latest record of GPU %d: %w", id, err)
			continue
		}
		c.same(g, stored, "on disk")
	}
	for id := range c.store.cat.gpus {
		if c.gpus[id] == nil {
			c.fault("GPU %d has no rows", id)
		}
	}
}

func (c *checker) same(rows, kept *gpu, where string) {
	if rows.newest != kept.newest || rows.stamp != kept.stamp {
		c.fault("GPU %d: newest reading %s is at %d by %v, rows have %d by %v", rows.id, where, kept.newest, kept.stamp, rows.newest, rows.stamp)
	}
	if rows.labels.id != kept.labels.id || !maps.Equal(rows.labels.labels, kept.labels.labels) {
		c.fault("GPU %d: labels %s are %d, rows have %d", rows.id, where, kept.labels.id, rows.labels.id)
	}
	byName := func(g *gpu) map[string]latest {
		m := make(map[string]latest, len(g.latest))
		for _, l := range g.latest {
			m[l.metric.Name] = l
		}
		return m
	}
	if a, b := byName(rows), byName(kept); !maps.Equal(a, b) {
		c.fault("GPU %d: latest values %s are %v, rows have %v", rows.id, where, b, a)
	}
}
