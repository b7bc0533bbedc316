package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	recordHeaderBytes = 32
	// maxBodyBytes bounds one record: a frame and its envelope fit many times over.
	maxBodyBytes = 16 << 20
	// maxCount is what three bytes hold.
	maxCount = 1<<24 - 1
)

type kind byte

const (
	kindMessages kind = 1
	kindValues   kind = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one record as it lies in a segment.
type record struct {
	kind     kind
	count    int
	promised uint32
	first    uint64
	unixNano int64
	body     []byte
}

func (r *record) size() int64 { return recordHeaderBytes + int64(len(r.body)) }

// last is the sequence of the record's last message, or of the message before it
// if it holds none.
func (r *record) last() uint64 { return r.first + uint64(r.count) - 1 }

// appendRecord adds r to dst as doc.go describes.
func appendRecord(dst []byte, r *record) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.body)))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.kind)|uint32(r.count)<<8)
	dst = binary.LittleEndian.AppendUint32(dst, r.promised)
	dst = binary.LittleEndian.AppendUint64(dst, r.first)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.unixNano))
	dst = append(dst, r.body...)
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

var (
	errEnd   = errors.New("end of records")
	errShort = errors.New("record is longer than what is left of the segment")
	errCRC   = errors.New("checksum does not match")
	errKind  = errors.New("kind or count is not one of this format")
)

// parseRecord reads the record at the start of b, which must reach to the end of
// the segment or at least of the record. The body aliases b. errEnd means that
// there is none.
func parseRecord(b []byte) (record, error) {
	r, length, err := parseHeader(b)
	if err != nil {
		return record{}, err
	}
	end := recordHeaderBytes + length
	if end > len(b) {
		return record{}, errShort
	}
	if crc32.Checksum(b[8:end], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return record{}, errCRC
	}
	r.body = b[recordHeaderBytes:end]
	return r, nil
}

// parseHeader reads a record's header and the length of its body.
func parseHeader(b []byte) (r record, length int, err error) {
	if len(b) < recordHeaderBytes {
		return record{}, 0, errEnd
	}
	n := binary.LittleEndian.Uint32(b)
	meta := binary.LittleEndian.Uint32(b[8:])
	if n == 0 && meta == 0 {
		return record{}, 0, errEnd
	}
	r = record{
		kind:     kind(meta),
		count:    int(meta >> 8),
		promised: binary.LittleEndian.Uint32(b[12:]),
		first:    binary.LittleEndian.Uint64(b[16:]),
		unixNano: int64(binary.LittleEndian.Uint64(b[24:])),
	}
	plain := r.kind == kindMessages && r.count > 0 || r.kind == kindValues && r.count == 0
	if !plain || n > maxBodyBytes {
		return record{}, 0, errKind
	}
	return r, int(n), nil
}

// appendValue adds one entry of a values record; a nil value means deleted.
func appendValue(dst []byte, key string, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	if value == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// applyValues carries the entries of a values record into table.
func applyValues(table map[string][]byte, body []byte) error {
	for len(body) > 0 {
		key, rest, err := cutBytes(body)
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		if len(rest) == 0 {
			return fmt.Errorf("value of %q: %w", key, errShort)
		}
		present := rest[0] == 1
		body = rest[1:]
		if !present {
			delete(table, string(key))
			continue
		}
		value, rest, err := cutBytes(body)
		if err != nil {
			return fmt.Errorf("value of %q: %w", key, err)
		}
		table[string(key)] = append([]byte{}, value...)
		body = rest
	}
	return nil
}

func cutBytes(b []byte) (head, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errShort
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}
