package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
)

const (
	segmentHeaderBytes = 64
	formatVersion      = 1
	segmentSuffix      = ".log"
	nextName           = "next.tmp"
	// indexEvery is how far apart the entries of a segment's sparse index lie: a
	// read scans at most this much before the record that it wants.
	indexEvery = 64 << 10
)

var magic = [8]byte{'G', 'P', 'L', 'O', 'G', 0, 0, formatVersion}

// file is what a segment needs of the disk; tests put faults in its way.
type file interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Sync() error
	Close() error
}

// osFile syncs data only: a segment's size never changes while it is written.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

// indexEntry says where a record begins.
type indexEntry struct {
	first    uint64
	unixNano int64
	offset   int64
}

// segment is one file of the log. The fields above mu never change.
type segment struct {
	path           string
	first          uint64
	epoch          [16]byte
	size           int64
	createdAt      int64 // nanoseconds since 1970
	promisedBefore int64 // of the segment before this one
	headless       bool  // its header is damaged: promisedBefore is not known
	f              file

	mu      sync.Mutex
	scanned bool // index, end, last and damage are known
	index   []indexEntry
	end     int64  // offset after the last readable record
	last    uint64 // last sequence in it, first-1 if none
	lastAt  int64  // time of the last record
	damage  []Damage
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// prepareFile writes a segment's worth of zeros to path and syncs them. A sparse one, for a
// log that never syncs and so gains nothing by writing everything twice, has a hole instead.
func prepareFile(open openFunc, path string, size int64, sparse bool) (file, error) {
	f, err := open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", path, err)
	}
	if sparse {
		if _, err := f.WriteAt([]byte{0}, size-1); err != nil {
			return nil, errors.Join(fmt.Errorf("size segment %s: %w", path, err), f.Close(), os.Remove(path))
		}
		return f, nil
	}
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		n := min(int64(len(zeros)), size-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return nil, errors.Join(fmt.Errorf("fill segment %s: %w", path, err), f.Close(), os.Remove(path))
		}
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(fmt.Errorf("sync segment %s: %w", path, err), f.Close(), os.Remove(path))
	}
	return f, nil
}

// startSegment gives a prepared file its header, its first record, which holds the
// whole table of values, and only then its name.
func startSegment(dir string, f file, size int64, epoch [16]byte, first uint64, unixNano, promised int64, table []byte) (*segment, error) {
	header := make([]byte, segmentHeaderBytes, segmentHeaderBytes+recordHeaderBytes+len(table))
	copy(header, magic[:])
	copy(header[8:], epoch[:])
	binary.LittleEndian.PutUint64(header[24:], first)
	binary.LittleEndian.PutUint64(header[32:], uint64(unixNano))
	binary.LittleEndian.PutUint64(header[40:], uint64(promised))
	binary.LittleEndian.PutUint32(header[48:], crc32.Checksum(header[:48], castagnoli))
	values := record{kind: kindValues, promised: segmentHeaderBytes, first: first, unixNano: unixNano, body: table}
	header = appendRecord(header, &values)
	path := filepath.Join(dir, segmentName(first))
	if _, err := f.WriteAt(header, 0); err != nil {
		return nil, fmt.Errorf("write header of segment %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync header of segment %s: %w", path, err)
	}
	if err := os.Rename(filepath.Join(dir, nextName), path); err != nil {
		return nil, fmt.Errorf("name segment: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	s := &segment{
		path: path, first: first, epoch: epoch, size: size, f: f, createdAt: unixNano, promisedBefore: promised,
		scanned: true, last: first - 1,
	}
	s.noteLocked(&values, segmentHeaderBytes)
	return s, nil
}

// openSegment reads the header of the file at path. A header that is damaged costs
// only what it said: the name tells the first sequence, and recovery the rest. What is
// well written by another program or a newer one is refused.
func openSegment(open openFunc, path string) (*segment, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	f, err := open(path, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	header := make([]byte, segmentHeaderBytes)
	if _, err := f.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read header of segment %s: %w", path, err), f.Close())
	}
	if crc32.Checksum(header[:48], castagnoli) != binary.LittleEndian.Uint32(header[48:]) {
		first, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), segmentSuffix), 10, 64)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("segment %s: name: %w", path, err), f.Close())
		}
		return &segment{path: path, size: info.Size(), f: f, first: first, createdAt: info.ModTime().UnixNano(), headless: true}, nil
	}
	s := &segment{
		path: path, size: info.Size(), f: f,
		first:          binary.LittleEndian.Uint64(header[24:]),
		createdAt:      int64(binary.LittleEndian.Uint64(header[32:])),
		promisedBefore: int64(binary.LittleEndian.Uint64(header[40:])),
	}
	copy(s.epoch[:], header[8:])
	switch {
	case [7]byte(header[:7]) != [7]byte(magic[:7]):
		err = fmt.Errorf("segment %s: not a segment of this log (it begins %q)", path, header[:8])
	case header[7] != formatVersion:
		err = fmt.Errorf("segment %s: format version %d, this program knows %d", path, header[7], formatVersion)
	case segmentName(s.first) != filepath.Base(path):
		err = fmt.Errorf("segment %s: its header says that it begins with sequence %d", path, s.first)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// listSegments names the segment files of dir in the order of their sequences.
func listSegments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var paths []string
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if _, err := strconv.ParseUint(base, 10, 64); ok && err == nil {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(paths)
	return paths, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// noteLocked adds a record at offset to what is known of the segment. The caller holds mu.
func (s *segment) noteLocked(r *record, offset int64) {
	if n := len(s.index); n == 0 || offset-s.index[n-1].offset >= indexEvery {
		s.index = append(s.index, indexEntry{r.first, r.unixNano, offset})
	}
	s.end = offset + r.size()
	s.last = max(s.last, r.last())
	s.lastAt = r.unixNano
}

// findLocked returns the offset of an indexed record at or before the one that holds sequence seq.
func (s *segment) findLocked(seq uint64) int64 {
	i := sort.Search(len(s.index), func(i int) bool { return s.index[i].first > seq })
	if i == 0 {
		return segmentHeaderBytes
	}
	return s.index[i-1].offset
}
