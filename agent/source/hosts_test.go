package source_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/agent/source"
	"gpupulse/sdk/telemetry"
)

// fixed is a source of given batches.
type fixed []source.Batch

func (f *fixed) Read(context.Context) (source.Batch, error) {
	if len(*f) == 0 {
		return source.Batch{}, io.EOF
	}
	b := (*f)[0]
	*f = (*f)[1:]
	return b, nil
}

func (f *fixed) Close() error { return nil }

func ofHosts(hosts ...string) source.Batch {
	var b source.Batch
	for i, h := range hosts {
		b.Add(telemetry.Reading{Host: h, GPU: h + "-gpu"}, i+1, 10+i)
	}
	return b
}

func TestOnlyHostsPassAndTheRestIsCounted(t *testing.T) {
	f := source.OnlyHosts(&fixed{ofHosts("a", "b", "c"), ofHosts("b", "B"), ofHosts("c")}, []string{"a", "c"})
	b, err := f.Read(t.Context())
	require.NoError(t, err)
	require.Len(t, b.Readings, 2)
	assert.Equal(t, "a", b.Readings[0].Host)
	assert.Equal(t, "c", b.Readings[1].Host)
	assert.Equal(t, []int{1, 3}, b.Rows)
	assert.Equal(t, []int{10, 12}, b.Lines)

	b, err = f.Read(t.Context())
	require.NoError(t, err)
	assert.Len(t, b.Readings, 1, "a batch of which nothing passes is not handed on")
	_, err = f.Read(t.Context())
	require.ErrorIs(t, err, io.EOF)
	assert.EqualValues(t, 5, f.Passed())
	assert.EqualValues(t, 5, f.Skipped())
}

// forever repeats one batch.
type forever struct {
	batch source.Batch
	reads int
}

func (f *forever) Read(context.Context) (source.Batch, error) { f.reads++; return f.batch, nil }
func (f *forever) Close() error                               { return nil }

func TestRepeatedSourceWithoutTheHostsEnds(t *testing.T) {
	loop := &forever{batch: ofHosts("a", "b")}
	f := source.OnlyHosts(loop, []string{"c"})
	_, err := f.Read(t.Context())
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, 2, loop.reads)
	assert.EqualValues(t, 3, f.Skipped(), "a row is counted once")

	f = source.OnlyHosts(&forever{batch: ofHosts("a", "b")}, []string{"b"})
	for range 5 {
		_, err := f.Read(t.Context())
		require.NoError(t, err)
	}
}
