package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"gpupulse/sdk/telemetry"
)

// maxSchemas bounds the schemas, which are kept in memory. A source has a few; one
// whose metrics come and go at random would have thousands. Past the bound a reading
// becomes one row a metric, so that no more than the descriptors are needed.
const maxSchemas = 4096

// maxGPUMetrics bounds the metrics that one GPU may have over time: all of them are in
// its latest record, which every transaction that touches it writes anew.
const maxGPUMetrics = 2 * telemetry.MaxSamples

// note keeps a record that must be on disk before rows that refer to it.
func (t *transaction) note(key, record []byte) error {
	t.cat.unwritten[string(key)] = record
	return t.set(key, record)
}

// epoch returns the number of a log's epoch.
func (t *transaction) epoch(name string) (uint32, error) {
	if id, ok := t.cat.epochs[name]; ok {
		return id, nil
	}
	id := t.cat.next.epoch
	t.cat.next.epoch++
	t.cat.epochs[name] = id
	return id, t.note(idKey(nil, prefixEpoch, id), []byte(name))
}

// gpu returns the GPU as this transaction would leave it, to be changed by the caller.
func (t *transaction) gpu(uuid string) (*gpu, error) {
	id, ok := t.cat.byUUID[uuid]
	if !ok {
		id = t.cat.next.gpu
		t.cat.next.gpu++
		t.cat.mu.Lock()
		t.cat.byUUID[uuid] = id
		t.cat.mu.Unlock()
		if err := t.note(idKey(nil, prefixGPU, id), []byte(uuid)); err != nil {
			return nil, err
		}
	}
	if g, ok := t.touched[id]; ok {
		return g, nil
	}
	g := &gpu{id: id, uuid: uuid}
	if old, ok := t.cat.gpus[id]; ok {
		g = old.clone()
	}
	t.touched[id] = g
	t.entries++ // its latest record, at the end
	t.bytes += latestBytes * (1 + len(g.latest))
	return g, nil
}

// descriptor returns a descriptor's number.
func (t *transaction) descriptor(d *telemetry.Descriptor) (uint32, error) {
	if id, ok := t.cat.descriptorID(d); ok {
		return id, nil
	}
	record, err := encodeDescriptor(d)
	if err != nil {
		return 0, fmt.Errorf("descriptor of %s: %w", d.Name, err)
	}
	id := t.cat.next.descriptor
	t.cat.next.descriptor++
	kept, ok := telemetry.ByNumber(d.Number)
	if !ok || *kept != *d {
		c := *d // a reading's own: the next one may be decoded over it
		kept = &c
	}
	t.cat.mu.Lock()
	t.cat.descriptors[id] = kept
	t.cat.mu.Unlock()
	t.cat.name(kept, id)
	return id, t.note(idKey(nil, prefixDescriptor, id), record)
}

// schema returns the schema with these columns; nil if there are too many already. A
// single column is always possible.
func (t *transaction) schema(descriptors []uint32) (*schema, error) {
	t.scratch = appendSchema(t.scratch[:0], descriptors)
	if id, ok := t.cat.schemaIDs[string(t.scratch)]; ok {
		return t.cat.schemas[id], nil
	}
	if len(t.cat.schemas) >= maxSchemas && len(descriptors) > 1 {
		return nil, nil
	}
	id := t.cat.next.schema
	s, err := newSchema(id, append([]uint32(nil), descriptors...), t.cat.descriptor)
	if err != nil {
		return nil, err
	}
	t.cat.next.schema++
	record := append([]byte(nil), t.scratch...)
	t.cat.mu.Lock()
	t.cat.schemas[id] = s
	t.cat.mu.Unlock()
	t.cat.schemaIDs[string(record)] = id
	return s, t.note(idKey(nil, prefixSchema, id), record)
}

// labels returns the label set of a reading of g.
func (t *transaction) labels(g *gpu, host string, labels map[string]string) (*labelSet, error) {
	if g.labels.equal(host, labels) {
		return g.labels, nil
	}
	record := appendLabels(nil, host, labels)
	hashKey := labelsHashKey(record)
	item, err := t.txn.Get(hashKey)
	if err == nil {
		var id uint32
		err = item.Value(func(v []byte) error {
			r := reader{b: v}
			id = r.uint32()
			return r.end()
		})
		if err != nil {
			return nil, fmt.Errorf("find labels: %w", err)
		}
		return decodeLabels(id, record)
	}
	if !errors.Is(err, badger.ErrKeyNotFound) {
		return nil, fmt.Errorf("find labels: %w", err)
	}
	id := t.cat.next.labels
	t.cat.next.labels++
	if err := t.note(hashKey, binary.AppendUvarint(nil, uint64(id))); err != nil {
		return nil, err
	}
	if err := t.note(idKey(nil, prefixLabels, id), record); err != nil {
		return nil, err
	}
	return decodeLabels(id, record)
}
