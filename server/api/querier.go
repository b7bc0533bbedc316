package api

import (
	"context"

	"gpupulse/sdk/telemetry"
)

// Querier answers questions about stored telemetry. A GPU that was never seen is
// telemetry.ErrUnknown, a question that costs too much a *telemetry.TooMuchError.
// Lists come with the number of all items that fit.
type Querier interface {
	Hosts(ctx context.Context, page telemetry.Page) ([]telemetry.Host, int, error)
	GPUs(ctx context.Context, q telemetry.GPUQuery) ([]telemetry.GPU, int, error)
	Readings(ctx context.Context, q telemetry.ReadingQuery) ([]telemetry.Reading, int, error)
	Series(ctx context.Context, q telemetry.SeriesQuery) (*telemetry.Series, error)
	Latest(ctx context.Context, q telemetry.LatestQuery) ([]telemetry.Value, int, error)
	// Metrics returns the descriptors of everything stored.
	Metrics(ctx context.Context) ([]*telemetry.Descriptor, error)
}
