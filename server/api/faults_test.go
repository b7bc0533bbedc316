package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/api"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
)

// brokenQuerier has a bug in one place and a broken disk in another.
type brokenQuerier struct{ api.Querier }

func (brokenQuerier) Hosts(context.Context, telemetry.Page) ([]telemetry.Host, int, error) {
	panic("index out of range")
}

func (brokenQuerier) GPUs(context.Context, telemetry.GPUQuery) ([]telemetry.GPU, int, error) {
	return nil, 0, errors.New("read /secret/path: input/output error")
}

func (brokenQuerier) Latest(context.Context, telemetry.LatestQuery) ([]telemetry.Value, int, error) {
	return nil, 0, context.DeadlineExceeded
}

// A fault of the server's own costs its request an answer that gives nothing away; the
// log says what happened, and the next request is served.
func TestFaultsOfOurOwn(t *testing.T) {
	messages, err := commitlog.Open(t.TempDir(), commitlog.Options{})
	require.NoError(t, err)
	broker, err := hub.New(messages, hub.Options{})
	require.NoError(t, err)
	var log bytes.Buffer
	server, err := api.New(api.Options{
		Querier: brokenQuerier{}, Hub: broker, Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	h := &house{t: t, url: "http://" + listener.Addr().String()}

	h.refused(http.StatusInternalServerError, "/api/v1/hosts", "", "its log says more")
	h.refused(http.StatusInternalServerError, "/api/v1/gpus", "", "its log says more")
	h.refused(http.StatusServiceUnavailable, "/api/v1/latest", "", "took too long")
	h.refused(http.StatusNotFound, "/", "", "nothing at /")
	assert.Equal(t, "ok", h.get("/healthz")["status"])

	require.NoError(t, server.Shutdown(context.Background()))
	require.NoError(t, <-served)
	require.NoError(t, broker.Close())
	require.NoError(t, messages.Close())
	assert.Contains(t, log.String(), "index out of range")
	assert.Contains(t, log.String(), "brokenQuerier", "the stack is logged")
	assert.Contains(t, log.String(), "input/output error")
}
