package store

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// Prefixes of keys; see doc.go.
const (
	prefixFormat     = '!'
	prefixEpoch      = 'E'
	prefixGPU        = 'G'
	prefixDescriptor = 'D'
	prefixSchema     = 'S'
	prefixLabels     = 'L'
	prefixLabelsHash = 'l'
	prefixLatest     = 'T'
	prefixRow        = 'r'
	prefixCheckpoint = 'C'
	prefixRows       = 'N'
)

const (
	idKeyBytes  = 1 + 4
	rowKeyBytes = 1 + 4 + 8 + 4
)

var errDamaged = errors.New("record is damaged")

// stamp orders writes: a log's epoch by its number here, then the sequence.
type stamp struct {
	epoch    uint32
	sequence uint64
}

func (s stamp) before(o stamp) bool {
	return s.epoch < o.epoch || s.epoch == o.epoch && s.sequence < o.sequence
}

// idKey appends the key of record id under prefix.
func idKey(dst []byte, prefix byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, prefix), id)
}

// rowKey appends a row's key.
func rowKey(dst []byte, gpu uint32, time int64, schema uint32) []byte {
	dst = idKey(dst, prefixRow, gpu)
	dst = binary.BigEndian.AppendUint64(dst, uint64(time)^1<<63)
	return binary.BigEndian.AppendUint32(dst, schema)
}

// parseRowKey takes apart what rowKey made; key has rowKeyBytes bytes.
func parseRowKey(key []byte) (gpu uint32, time int64, schema uint32) {
	return binary.BigEndian.Uint32(key[1:]),
		int64(binary.BigEndian.Uint64(key[5:]) ^ 1<<63),
		binary.BigEndian.Uint32(key[13:])
}

// A row's value is
//
//	epoch uvarint, sequence uvarint, labels uvarint, one value a column of its schema
//
// and a value is the uvarint of a float64's bytes in reverse order: whole numbers and
// short binary fractions end in zero bytes, which so become the ones left out.

// appendRowHead appends all of a row's value that stands before its columns.
func appendRowHead(dst []byte, s stamp, labels uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.epoch))
	dst = binary.AppendUvarint(dst, s.sequence)
	return binary.AppendUvarint(dst, uint64(labels))
}

func appendValue(dst []byte, v float64) []byte {
	return binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(v)))
}

// reader takes a record apart. The first fault stays in err and everything after it
// reads as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errDamaged
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.b, r.err = nil, errDamaged
	}
	return uint32(v)
}

func (r *reader) value() float64 {
	return math.Float64frombits(bits.ReverseBytes64(r.uvarint()))
}

func (r *reader) stamp() stamp {
	return stamp{epoch: r.uint32(), sequence: r.uvarint()}
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errDamaged
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// end reports the first fault, or that there is more than there should be.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		return errDamaged
	}
	return r.err
}

// row is a row's value as read: columns are left encoded until they are wanted.
type row struct {
	stamp   stamp
	labels  uint32
	columns []byte
}

func decodeRow(value []byte) (row, error) {
	r := reader{b: value}
	out := row{stamp: r.stamp(), labels: r.uint32()}
	out.columns = r.b
	return out, r.err
}

// values appends the row's columns, which number n.
func (w row) values(dst []float64, n int) ([]float64, error) {
	r := reader{b: w.columns}
	for range n {
		dst = append(dst, r.value())
	}
	return dst, r.end()
}
