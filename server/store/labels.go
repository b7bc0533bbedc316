package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// labelSet is all that a reading says besides time and samples, but for the GPU's id.
// It is never changed.
type labelSet struct {
	id     uint32
	host   string
	labels map[string]string
}

func (l *labelSet) equal(host string, labels map[string]string) bool {
	return l != nil && l.host == host && maps.Equal(l.labels, labels)
}

// appendLabels appends the record of a label set: host, then names and values in the
// order of names, each text with its length as a uvarint before it. Equal sets have
// equal records.
func appendLabels(dst []byte, host string, labels map[string]string) []byte {
	dst = appendText(dst, host)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		dst = appendText(dst, name)
		dst = appendText(dst, labels[name])
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func decodeLabels(id uint32, record []byte) (*labelSet, error) {
	r := reader{b: record}
	l := &labelSet{id: id, host: r.text()}
	for r.err == nil && len(r.b) > 0 {
		if l.labels == nil {
			l.labels = make(map[string]string)
		}
		name := r.text()
		l.labels[name] = r.text()
	}
	if r.err != nil {
		return nil, fmt.Errorf("labels %d: %w", id, r.err)
	}
	return l, nil
}

// labelsHashKey is the key under which a label set's number is found by its record.
func labelsHashKey(record []byte) []byte {
	sum := sha256.Sum256(record)
	return append([]byte{prefixLabelsHash}, sum[:16]...)
}

// maxCachedLabels bounds the label sets that queries keep in memory. A fleet has a
// few for each GPU; with more, some are read from disk again.
const maxCachedLabels = 16384

// labelCache remembers label sets that queries met. Those of the newest readings
// need no cache: their GPUs hold them.
type labelCache struct {
	mu   sync.Mutex
	sets map[uint32]*labelSet
}

// get returns the label set id as txn sees it.
func (c *labelCache) get(txn *badger.Txn, id uint32) (*labelSet, error) {
	c.mu.Lock()
	l, ok := c.sets[id]
	c.mu.Unlock()
	if ok {
		return l, nil
	}
	l, err := readLabels(txn, id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets == nil || len(c.sets) >= maxCachedLabels {
		c.sets = make(map[uint32]*labelSet)
	}
	c.sets[id] = l
	return l, nil
}

func readLabels(txn *badger.Txn, id uint32) (*labelSet, error) {
	item, err := txn.Get(idKey(nil, prefixLabels, id))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, fmt.Errorf("labels %d: %w", id, errDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("read labels %d: %w", id, err)
	}
	var l *labelSet
	err = item.Value(func(record []byte) (err error) {
		l, err = decodeLabels(id, record)
		return err
	})
	return l, err
}
