package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/prometheus/client_golang/prometheus"

	"gpupulse/sdk/telemetry"
)

// Options are the settings of a store; the zero value is usable.
type Options struct {
	// MaxGPUs bounds the GPUs that the store takes, since what is known of each is
	// kept in memory; 0: 100,000. Readings of others are refused.
	MaxGPUs int
	// MaxMetrics bounds the descriptors of metrics, for the same reason; 0: 16,384.
	MaxMetrics int
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: not registered
}

// formatName begins the record of the format version; a number follows it.
const (
	formatName    = "gpupulse-store "
	formatVersion = 1
)

// maxWaiting bounds the Appends that wait for the writer; more wait in Append.
const maxWaiting = 64

// ErrClosed is answered by a store that was closed.
var ErrClosed = errors.New("the store is closed")

// Store keeps readings. All methods may be called concurrently.
type Store struct {
	db      *badger.DB
	cat     *catalogue
	labels  labelCache
	max     limits
	log     *slog.Logger
	metrics *metrics

	requests chan *request
	checks   chan func()
	closing  chan struct{} // no more requests
	stopped  chan struct{} // the writer has ended
	closed   sync.Once
	closeErr error

	state atomic.Pointer[state]
}

// state is what is durable besides readings.
type state struct {
	epoch      uint32
	epochName  string
	checkpoint uint64
	rows       uint64
}

// Open opens the store in dir and makes it where there is none. The directory belongs
// to this process until Close.
func Open(dir string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := badger.Open(badgerOptions(dir, o.Logger))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := &Store{
		db: db, cat: newCatalogue(), log: o.Logger,
		max: limits{
			gpus: cmp0(o.MaxGPUs, 100_000), descriptors: cmp0(o.MaxMetrics, 16_384),
			entries: int(db.MaxBatchCount() / 3), bytes: int(db.MaxBatchSize() / 3),
		},
		requests: make(chan *request, maxWaiting),
		checks:   make(chan func()),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), db.Close())
	}
	s.metrics = newMetrics(o.Registerer, s)
	go s.write()
	return s, nil
}

func cmp0(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// badgerOptions are small: what counts in memory is the catalogue, and rows are asked
// for in short ranges. Values stay beside their keys, so the value log is not used.
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // there is one writer
		WithNumVersionsToKeep(1).
		WithMemTableSize(16 << 20).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithBlockCacheSize(32 << 20).
		WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(64 << 20).
		WithCompression(options.ZSTD).WithZSTDCompressionLevel(1).
		WithLogger(badgerLog{log})
}

// load checks the format and reads the catalogue and the state.
func (s *Store) load() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.cat.load(s.db); err != nil {
		return err
	}
	st := &state{}
	err := s.db.View(func(txn *badger.Txn) error {
		if err := readNumbers(txn, prefixRows, &st.rows); err != nil {
			return err
		}
		var epoch uint64
		if err := readNumbers(txn, prefixCheckpoint, &epoch, &st.checkpoint); err != nil {
			return err
		}
		st.epoch = uint32(epoch)
		return nil
	})
	for name, id := range s.cat.epochs {
		if id == st.epoch {
			st.epochName = name
		}
	}
	s.state.Store(st)
	return err
}

// checkFormat refuses a directory that this code did not write or cannot read.
func (s *Store) checkFormat() error {
	return s.db.Update(func(txn *badger.Txn) error {
		key := []byte{prefixFormat}
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			if it.Rewind(); it.Valid() {
				return errors.New("the directory holds a database of another program")
			}
			return txn.Set(key, fmt.Appendf(nil, "%s%d", formatName, formatVersion))
		}
		if err != nil {
			return fmt.Errorf("read format version: %w", err)
		}
		return item.Value(func(v []byte) error {
			var version int
			if n, err := fmt.Sscanf(string(v), formatName+"%d", &version); n != 1 || err != nil {
				return fmt.Errorf("format version %q is not ours", v)
			}
			if version > formatVersion {
				return fmt.Errorf("format version is %d, this program reads up to %d: use a newer one", version, formatVersion)
			}
			return nil
		})
	})
}

// readNumbers reads a record of uvarints under a key that is just prefix; a record that
// is not there leaves the numbers as they are.
func readNumbers(txn *badger.Txn, prefix byte, numbers ...*uint64) error {
	item, err := txn.Get([]byte{prefix})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	if err == nil {
		err = item.Value(func(v []byte) error {
			r := reader{b: v}
			for _, n := range numbers {
				*n = r.uvarint()
			}
			return r.end()
		})
	}
	if err != nil {
		return fmt.Errorf("read record %c: %w", prefix, err)
	}
	return nil
}

func appendNumbers(numbers ...uint64) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// Checkpoint returns the last log sequence whose effect, and that of all before it, is
// in the store, and the epoch of its log; "" and 0 in an empty store.
func (s *Store) Checkpoint() (epoch string, sequence uint64) {
	st := s.state.Load()
	return st.epochName, st.checkpoint
}

// Ready reports why the store does not take readings; nil if it does.
func (s *Store) Ready() error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
		return nil
	}
}

// Stats is what a store can tell about itself.
type Stats struct {
	Rows       uint64 `json:"rows"` // of one GPU, time and set of metrics each
	Hosts      int    `json:"hosts"`
	GPUs       int    `json:"gpus"`
	Metrics    int    `json:"metrics"` // descriptors seen
	Schemas    int    `json:"schemas"` // sets of metrics seen
	Bytes      int64  `json:"bytes"`   // on disk, holes in files of fixed size left out
	Epoch      string `json:"epoch"`
	Checkpoint uint64 `json:"checkpoint"`
}

// Stats returns the store's numbers of now.
func (s *Store) Stats() Stats {
	st := s.state.Load()
	_, hosts, _ := s.Hosts(context.Background(), telemetry.Page{})
	s.cat.mu.RLock()
	defer s.cat.mu.RUnlock()
	return Stats{
		Rows: st.rows, Hosts: hosts, GPUs: len(s.cat.gpus), Metrics: len(s.cat.descriptors), Schemas: len(s.cat.schemas),
		Bytes: diskUsage(s.db.Opts().Dir), Epoch: st.epochName, Checkpoint: st.checkpoint,
	}
}

// Close stores what Append has taken, then ends. It may be called again.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		<-s.stopped
		start := time.Now()
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("close store: %w", err)
		}
		s.metrics.unregister()
		s.log.Debug("store closed", "took", time.Since(start))
	})
	return s.closeErr
}
