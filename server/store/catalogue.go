package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"gpupulse/sdk/telemetry"
)

// catalogue names everything that rows refer to by number. Only the writer changes
// it, under mu; the writer itself may read without mu, others take it for reading.
//
// A number is given before the record that says so is on disk. Such a record waits in
// unwritten and goes into every transaction until one succeeds, so that no row is ever
// committed before what it refers to, and no number ever means two things.
type catalogue struct {
	mu          sync.RWMutex
	gpus        map[uint32]*gpu // only those with committed readings
	byUUID      map[string]uint32
	descriptors map[uint32]*telemetry.Descriptor
	schemas     map[uint32]*schema
	order       []uint32 // all GPUs sorted for lists; nil after a change

	// The writer's own.
	epochs        map[string]uint32
	descriptorIDs map[telemetry.Descriptor]uint32
	sharedIDs     map[*telemetry.Descriptor]uint32 // of telemetry's catalogue, which are looked up most
	schemaIDs     map[string]uint32                // by the schema's record
	next          ids
	unwritten     map[string][]byte
}

// ids are the next free numbers.
type ids struct {
	epoch, gpu, descriptor, schema, labels uint32
}

// schema is the list of a row's columns.
type schema struct {
	id          uint32
	descriptors []uint32
	metrics     []*telemetry.Descriptor
	// distinct says that no two columns are of one canonical metric.
	distinct bool
}

func newCatalogue() *catalogue {
	return &catalogue{
		gpus:          make(map[uint32]*gpu),
		byUUID:        make(map[string]uint32),
		descriptors:   make(map[uint32]*telemetry.Descriptor),
		schemas:       make(map[uint32]*schema),
		epochs:        make(map[string]uint32),
		descriptorIDs: make(map[telemetry.Descriptor]uint32),
		sharedIDs:     make(map[*telemetry.Descriptor]uint32),
		schemaIDs:     make(map[string]uint32),
		next:          ids{epoch: 1, gpu: 1, descriptor: 1, schema: 1, labels: 1},
		unwritten:     make(map[string][]byte),
	}
}

func newSchema(id uint32, descriptors []uint32, metric func(uint32) *telemetry.Descriptor) (*schema, error) {
	s := &schema{id: id, descriptors: descriptors, distinct: true}
	names := make(map[string]bool, len(descriptors))
	for _, d := range descriptors {
		m := metric(d)
		if m == nil {
			return nil, fmt.Errorf("schema %d: descriptor %d is missing: %w", id, d, errDamaged)
		}
		s.distinct = s.distinct && !names[m.Name]
		names[m.Name] = true
		s.metrics = append(s.metrics, m)
	}
	return s, nil
}

// appendSchema appends a schema's record: its descriptors' numbers.
func appendSchema(dst []byte, descriptors []uint32) []byte {
	for _, d := range descriptors {
		dst = binary.BigEndian.AppendUint32(dst, d)
	}
	return dst
}

// descriptorRecord is a descriptor on disk. Those of telemetry's catalogue are taken
// from there by their number, which never changes its meaning.
type descriptorRecord struct {
	Number     uint32         `json:"number,omitempty"`
	Name       string         `json:"name"`
	Unit       string         `json:"unit,omitempty"`
	Kind       telemetry.Kind `json:"kind,omitempty"`
	Source     string         `json:"source"`
	SourceUnit string         `json:"source_unit,omitempty"`
	Mul        float64        `json:"mul"`
	Div        float64        `json:"div"`
}

func encodeDescriptor(d *telemetry.Descriptor) ([]byte, error) {
	return json.Marshal(descriptorRecord(*d))
}

func decodeDescriptor(record []byte) (*telemetry.Descriptor, error) {
	var r descriptorRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, err
	}
	if known, ok := telemetry.ByNumber(r.Number); ok {
		return known, nil
	}
	d := telemetry.Descriptor(r)
	return &d, nil
}

// load reads the catalogue from disk.
func (c *catalogue) load(db *badger.DB) error {
	return db.View(func(txn *badger.Txn) error {
		for _, step := range []struct {
			prefix byte
			read   func(txn *badger.Txn, id uint32, record []byte) error
		}{
			{prefixEpoch, c.loadEpoch}, {prefixDescriptor, c.loadDescriptor}, {prefixSchema, c.loadSchema},
			{prefixGPU, c.loadGPU}, {prefixLatest, c.loadLatest},
		} {
			if err := eachRecord(txn, step.prefix, func(id uint32, record []byte) error { return step.read(txn, id, record) }); err != nil {
				return err
			}
		}
		for uuid, id := range c.byUUID {
			g, ok := c.gpus[id]
			if !ok {
				return fmt.Errorf("GPU %q has no latest record: %w", uuid, errDamaged)
			}
			g.uuid = uuid
		}
		last, err := lastID(txn, prefixLabels)
		c.next.labels = last + 1
		return err
	})
}

func (c *catalogue) loadEpoch(_ *badger.Txn, id uint32, record []byte) error {
	c.epochs[string(record)] = id
	c.next.epoch = max(c.next.epoch, id+1)
	return nil
}

func (c *catalogue) loadDescriptor(_ *badger.Txn, id uint32, record []byte) error {
	d, err := decodeDescriptor(record)
	if err != nil {
		return fmt.Errorf("descriptor %d: %w", id, err)
	}
	c.descriptors[id] = d
	c.name(d, id)
	c.next.descriptor = max(c.next.descriptor, id+1)
	return nil
}

// name makes a descriptor's number findable.
func (c *catalogue) name(d *telemetry.Descriptor, id uint32) {
	c.descriptorIDs[*d] = id
	if shared, ok := telemetry.ByNumber(d.Number); ok && shared == d {
		c.sharedIDs[d] = id
	}
}

func (c *catalogue) descriptorID(d *telemetry.Descriptor) (uint32, bool) {
	if id, ok := c.sharedIDs[d]; ok {
		return id, true
	}
	id, ok := c.descriptorIDs[*d]
	return id, ok
}

func (c *catalogue) loadSchema(_ *badger.Txn, id uint32, record []byte) error {
	if len(record)%4 != 0 {
		return fmt.Errorf("schema %d: %w", id, errDamaged)
	}
	descriptors := make([]uint32, 0, len(record)/4)
	for b := record; len(b) > 0; b = b[4:] {
		descriptors = append(descriptors, binary.BigEndian.Uint32(b))
	}
	s, err := newSchema(id, descriptors, c.descriptor)
	if err != nil {
		return err
	}
	c.schemas[id], c.schemaIDs[string(record)] = s, id
	c.next.schema = max(c.next.schema, id+1)
	return nil
}

func (c *catalogue) loadGPU(_ *badger.Txn, id uint32, record []byte) error {
	c.next.gpu = max(c.next.gpu, id+1)
	c.byUUID[string(record)] = id
	return nil
}

func (c *catalogue) loadLatest(txn *badger.Txn, id uint32, record []byte) error {
	g := &gpu{id: id}
	labels, err := decodeLatest(g, record, c.descriptor)
	if err != nil {
		return err
	}
	c.gpus[id] = g
	g.labels, err = readLabels(txn, labels)
	return err
}

func (c *catalogue) descriptor(id uint32) *telemetry.Descriptor { return c.descriptors[id] }

// sorted returns all GPUs by host, index and id.
func (c *catalogue) sorted() []*gpu {
	c.mu.RLock()
	if c.order == nil {
		c.mu.RUnlock()
		c.sort()
		c.mu.RLock()
	}
	defer c.mu.RUnlock()
	all := make([]*gpu, 0, len(c.order))
	for _, id := range c.order {
		all = append(all, c.gpus[id])
	}
	return all
}

func (c *catalogue) sort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = slices.SortedFunc(maps.Keys(c.gpus), func(a, b uint32) int {
		x, y := c.gpus[a], c.gpus[b]
		return cmp.Or(cmp.Compare(x.labels.host, y.labels.host), cmp.Compare(x.index(), y.index()), cmp.Compare(x.uuid, y.uuid))
	})
}

// index is the GPU's index on its host as a number; those without one come last.
func (g *gpu) index() int {
	if i, err := strconv.Atoi(g.labels.labels[telemetry.LabelIndex]); err == nil {
		return i
	}
	return int(^uint(0) >> 1)
}

// find returns the GPU with that id.
func (c *catalogue) find(uuid string) (*gpu, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if g, ok := c.gpus[c.byUUID[uuid]]; ok {
		return g, nil
	}
	return nil, fmt.Errorf("GPU %q %w", uuid, telemetry.ErrUnknown)
}

func (c *catalogue) schema(id uint32) (*schema, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s, ok := c.schemas[id]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("schema %d: %w", id, errDamaged)
}

// eachRecord calls fn for every catalogue record under prefix, in the order of their
// numbers. fn must not keep record.
func eachRecord(txn *badger.Txn, prefix byte, fn func(id uint32, record []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{prefix}, PrefetchValues: true, PrefetchSize: 256})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if len(item.Key()) != idKeyBytes {
			return fmt.Errorf("key %x: %w", item.Key(), errDamaged)
		}
		id := binary.BigEndian.Uint32(item.Key()[1:])
		if err := item.Value(func(record []byte) error { return fn(id, record) }); err != nil {
			return err
		}
	}
	return nil
}

// lastID returns the highest number under prefix, 0 if there is none.
func lastID(txn *badger.Txn, prefix byte) (uint32, error) {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek(idKey(nil, prefix, ^uint32(0)))
	if !it.ValidForPrefix([]byte{prefix}) {
		return 0, nil
	}
	key := it.Item().Key()
	if len(key) != idKeyBytes {
		return 0, fmt.Errorf("key %x: %w", key, errDamaged)
	}
	return binary.BigEndian.Uint32(key[1:]), nil
}
