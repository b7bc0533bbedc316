package collector

import (
	"context"

	"gpupulse/sdk/telemetry"
)

// Appender is where readings go.
type Appender interface {
	// Append makes readings durable; sequences are their numbers in the log of that
	// epoch. If checkpoint is not 0, everything up to it that the log delivered is
	// stored with this batch. Appending a reading again must change nothing.
	//
	// An error means that nothing is promised, but for one with a method
	// Refused() map[int]error: all are stored but those, which never can be.
	Append(ctx context.Context, epoch string, sequences []uint64, readings []telemetry.Reading, checkpoint uint64) error
	// Checkpoint returns the last checkpoint that was stored.
	Checkpoint() (epoch string, sequence uint64)
}

// refuser is what an Appender's error is, if it stored all but a few readings.
type refuser interface {
	error
	Refused() map[int]error
}
