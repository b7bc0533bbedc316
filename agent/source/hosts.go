package source

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
)

// HostFilter lets only the readings of some hosts through.
type HostFilter struct {
	Source
	hosts   []string
	first   int // line of the first reading that did not pass
	passed  atomic.Uint64
	skipped atomic.Uint64
}

// OnlyHosts wraps a source. Names are compared exactly. No hosts at all mean that
// nothing passes.
func OnlyHosts(from Source, hosts []string) *HostFilter {
	return &HostFilter{Source: from, hosts: hosts}
}

// Read reads on until a reading passes. A source that repeats its lines without any
// of them having passed has none to offer: that is its end.
func (f *HostFilter) Read(ctx context.Context) (Batch, error) {
	for {
		all, err := f.Source.Read(ctx)
		if err != nil {
			return Batch{}, err
		}
		var kept Batch
		for i, r := range all.Readings {
			if !slices.Contains(f.hosts, r.Host) {
				if f.passed.Load() == 0 && f.again(all.Line(i)) {
					return Batch{}, io.EOF
				}
				f.skipped.Add(uint64(all.Rows[i]))
				continue
			}
			f.passed.Add(uint64(all.Rows[i]))
			kept.Add(r, all.Rows[i], all.Line(i))
		}
		if len(kept.Readings) > 0 {
			return kept, nil
		}
	}
}

// again notes the first line there is and tells whether it has come a second time.
func (f *HostFilter) again(line int) bool {
	if f.first == 0 {
		f.first = line
		return false
	}
	return line == f.first
}

// Passed and Skipped count rows; both may be called concurrently with Read.
func (f *HostFilter) Passed() uint64 { return f.passed.Load() }

// Skipped is how many rows were of other hosts.
func (f *HostFilter) Skipped() uint64 { return f.skipped.Load() }
