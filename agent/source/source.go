// Package source reads GPU telemetry from where it is measured or kept and hands
// it on as readings: rows of a CSV (csv*.go), a simulated fleet (sim*.go).
//
// A source types what it reads and keeps all of it: numbers become samples of a
// descriptor of the catalogue or a custom one, text becomes labels. A row that
// cannot be understood is counted by Rejects and costs nothing but itself. What
// the wrapper OnlyHosts leaves out is counted too, so that rows read always equal
// rows handed on plus rejected plus skipped.
//
// A Source is used by one goroutine at a time; Close may be called from another
// one and ends a Read that waits. The next stop of a row is streamer.Run.
package source

import (
	"context"
	"errors"

	"gpupulse/sdk/telemetry"
)

// MaxBatch is how many readings a source puts into one Batch at most, so that
// what lies between two stages stays small whatever the source holds.
const MaxBatch = 1024

// ErrClosed is answered by Read after Close.
var ErrClosed = errors.New("source is closed")

// Batch is what one Read brings. The slices run in parallel and belong to the
// caller; labels may be shared among readings and must not be changed.
type Batch struct {
	Readings []telemetry.Reading
	// Rows tells how many of the source's rows each reading holds: ten, where ten
	// rows with a metric each were joined. Never below one.
	Rows []int
	// Lines tells on which line of the source each reading begins, from 1. Nil
	// where the source has no lines.
	Lines []int
}

// Add puts one reading at the end. Line 0 stands for none; a source has lines in
// all of its readings or in none.
func (b *Batch) Add(r telemetry.Reading, rows, line int) {
	b.Readings = append(b.Readings, r)
	b.Rows = append(b.Rows, rows)
	if line > 0 {
		b.Lines = append(b.Lines, line)
	}
}

// Line is the line on which reading i begins, or 0.
func (b *Batch) Line(i int) int {
	if i < len(b.Lines) {
		return b.Lines[i]
	}
	return 0
}

// Source brings readings in the order in which they were measured or written.
type Source interface {
	// Read waits for the next readings, at least one and at most MaxBatch. It
	// answers io.EOF when there will be none any more, and the context's error
	// when that ends the wait; in both cases the batch is empty.
	Read(ctx context.Context) (Batch, error)
	// Close frees what the source holds. It may be called twice.
	Close() error
}
