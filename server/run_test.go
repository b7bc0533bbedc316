package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
)

func testSettings(t *testing.T) settings {
	return settings{Listen: "127.0.0.1:0", DataDir: t.TempDir(), AckWait: 30 * time.Second, MaxDeliver: 5, MaxHandshakes: 1000, Fsync: "always"}
}

// running is a server in this process.
type running struct {
	t       *testing.T
	address string // host:port
	stop    context.CancelFunc
	ended   chan error
}

func startServer(t *testing.T, cfg settings) *running {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s := &running{t: t, stop: cancel, ended: make(chan error, 1)}
	go func() {
		s.ended <- run(ctx, cfg, slog.New(slog.DiscardHandler), w)
		_ = w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		require.NoError(t, <-s.ended)
	}
	_, s.address, _ = strings.Cut(strings.TrimSpace(line), "http://")
	s.address = strings.TrimSuffix(s.address, "/")
	return s
}

func (s *running) end() {
	s.stop()
	select {
	case err := <-s.ended:
		require.NoError(s.t, err)
	case <-time.After(10 * time.Second):
		s.t.Fatal("the server does not end")
	}
}

func (s *running) get(path string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, nil)
	require.NoError(s.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(body)
}

func TestServerStartsServesAndEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer http.DefaultClient.CloseIdleConnections()
	cfg := testSettings(t)
	payload, err := telemetry.Append(nil, &telemetry.Reading{Time: 1, Host: "h", GPU: "GPU-1"})
	require.NoError(t, err)
	for range 2 {
		s := startServer(t, cfg)
		status, body := s.get("/readyz")
		require.Equal(t, http.StatusOK, status, body)
		c, err := sdk.Dial(t.Context(), "ws://"+s.address+"/ws", sdk.Options{Name: "test"})
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), sdk.Message{Topic: "gpu.h.GPU-1", Payload: payload})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			status, _ := s.get("/api/v1/gpus/GPU-1")
			return status == http.StatusOK
		}, 5*time.Second, 10*time.Millisecond)
		_, body = s.get("/api/v1/gpus/GPU-1/telemetry")
		assert.Contains(t, body, `"total":1`)
		_, body = s.get("/metrics")
		for _, want := range []string{"gpupulse_hub_connections 2", "gpupulse_store_rows 1", "gpupulse_collector_stored_readings_total", "gpupulse_log_", "go_goroutines"} {
			assert.Contains(t, body, want)
		}
		s.end() // with a client still connected
		require.NoError(t, c.Close())
	}
}

func TestDataDirectoryIsOfOneServer(t *testing.T) {
	cfg := testSettings(t)
	s := startServer(t, cfg)
	err := run(t.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	assert.ErrorContains(t, err, cfg.DataDir)
	s.end()
	again := startServer(t, cfg)
	again.end()
}

func TestPortInUse(t *testing.T) {
	s := startServer(t, testSettings(t))
	cfg := testSettings(t)
	cfg.Listen = s.address
	assert.ErrorContains(t, run(t.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr), "address already in use")
	s.end()
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		_, err := listen(address)
		assert.ErrorContains(t, err, "only loopback", address)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:http:1", "127.0.0.1:99999"} {
		_, err := listen(address)
		assert.ErrorContains(t, err, "--listen "+address)
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := listen(address)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

func TestSettingsOutOfRange(t *testing.T) {
	f := func(want string, change func(*settings)) {
		cfg := testSettings(t)
		change(&cfg)
		assert.ErrorContains(t, run(t.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr), want)
	}
	f("--collector-workers is -1", func(s *settings) { s.CollectorWorkers = -1 })
	f("--ack-wait is 1ms", func(s *settings) { s.AckWait = time.Millisecond })
	f("--max-deliver is 0", func(s *settings) { s.MaxDeliver = 0 })
	f("--log-max-age is -1s", func(s *settings) { s.LogMaxAge = -time.Second })
}
