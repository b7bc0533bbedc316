package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
	"gpupulse/server/api"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
	"gpupulse/server/store"
	"gpupulse/server/web"
)

// house is a server with a real store, hub and log behind it.
type house struct {
	t     *testing.T
	store *store.Store
	hub   *hub.Hub
	url   string
	log   *bytes.Buffer
}

func newHouse(t *testing.T, parts ...api.Part) *house {
	h := &house{t: t, log: &bytes.Buffer{}}
	messages, err := commitlog.Open(t.TempDir(), commitlog.Options{Fsync: commitlog.FsyncNever})
	require.NoError(t, err)
	h.store, err = store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	h.hub, err = hub.New(messages, hub.Options{Name: "test"})
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "gpupulse_test"}))
	server, err := api.New(api.Options{
		Querier: h.store, Hub: h.hub, Parts: parts, Gatherer: registry, Version: "v0.0.0-test",
		UI:        web.New(fstest.MapFS{"index.html": {Data: []byte("<title>page</title>")}}),
		PartStats: func() api.PartStats { return api.PartStats{Store: h.store.Stats()} },
		Logger:    slog.New(slog.NewTextHandler(h.log, nil)),
	})
	require.NoError(t, err)
	listener := httptest.NewUnstartedServer(nil).Listener
	h.url = "http://" + listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.NoError(t, <-served)
		require.NoError(t, h.hub.Close())
		require.NoError(t, h.store.Check())
		require.NoError(t, h.store.Close())
		require.NoError(t, messages.Close())
	})
	return h
}

// consumer makes a durable consumer that has no members.
func (h *house) consumer(name string) {
	c, err := sdk.Dial(h.t.Context(), "ws://hub.local/ws", sdk.Options{Dial: h.hub.DialLocal})
	require.NoError(h.t, err)
	_, err = c.Consume(h.t.Context(), sdk.ConsumeOptions{Consumer: name, Filter: "work.>"}, func(*sdk.Delivery) {})
	require.NoError(h.t, err)
	require.NoError(h.t, c.Close())
	require.Eventually(h.t, func() bool { return h.hub.Consumers()[0].Members == 0 }, 10*time.Second, time.Millisecond)
}

// put stores readings with the sequences from first on.
func (h *house) put(first uint64, readings ...telemetry.Reading) {
	sequences := make([]uint64, len(readings))
	for i := range sequences {
		sequences[i] = first + uint64(i)
	}
	require.NoError(h.t, h.store.Append(h.t.Context(), "e", sequences, readings, 0))
}

// call makes a request and returns the answer, decoded.
func (h *house) call(method, path string, body io.Reader, header ...string) (status int, answer map[string]any, head http.Header) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, body)
	require.NoError(h.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(h.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(h.t, err)
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		require.NoError(h.t, json.Unmarshal(text, &answer), "%s", text)
	} else {
		answer = map[string]any{"text": string(text)}
	}
	return response.StatusCode, answer, response.Header
}

func (h *house) get(path string) map[string]any {
	h.t.Helper()
	status, answer, _ := h.call(http.MethodGet, path, nil)
	require.Equal(h.t, http.StatusOK, status, "%s: %v", path, answer)
	return answer
}

// refused expects a problem.
func (h *house) refused(status int, path, parameter, detail string) {
	h.t.Helper()
	got, answer, head := h.call(http.MethodGet, path, nil)
	assert.Equal(h.t, status, got, path)
	assert.Equal(h.t, "application/problem+json", head.Get("Content-Type"), path)
	assert.Equal(h.t, http.StatusText(status), answer["title"], path)
	assert.EqualValues(h.t, status, answer["status"], path)
	assert.Contains(h.t, answer["detail"], detail, path)
	if parameter != "" {
		assert.Equal(h.t, parameter, answer["parameter"], path)
		assert.Contains(h.t, answer["detail"], parameter, path)
	}
}

func dcgm(t *testing.T, source string) *telemetry.Descriptor {
	d, ok := telemetry.Lookup(source)
	require.True(t, ok)
	return d
}

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func (h *house) reading(gpu, host string, index, second int, percent float64) telemetry.Reading {
	return telemetry.Reading{
		Time: start.Add(time.Duration(second) * time.Second).UnixNano(), Host: host, GPU: gpu,
		Labels: map[string]string{
			telemetry.LabelModel: "H100", telemetry.LabelIndex: fmt.Sprint(index), telemetry.LabelDevice: fmt.Sprint("nvidia", index), "pod": "p",
		},
		Samples: []telemetry.Sample{{Metric: dcgm(h.t, "DCGM_FI_DEV_GPU_UTIL"), Sent: percent}},
	}
}

// lookup digs into a decoded answer: keys and indices.
func lookup(v any, path ...any) any {
	for _, step := range path {
		switch at := step.(type) {
		case string:
			v = v.(map[string]any)[at]
		case int:
			v = v.([]any)[at]
		}
	}
	return v
}

func TestHostsAndGPUs(t *testing.T) {
	h := newHouse(t)
	empty := h.get("/api/v1/hosts")
	assert.Equal(t, map[string]any{"items": []any{}, "total": 0.0, "limit": 100.0, "offset": 0.0}, empty)
	h.put(1, h.reading("GPU-a", "h1", 1, 0, 10), h.reading("GPU-b", "h1", 0, 5, 20), h.reading("GPU-c", "h2", 0, 3, 30))

	hosts := h.get("/api/v1/hosts?limit=1&offset=1")
	assert.Equal(t, map[string]any{
		"items": []any{map[string]any{"name": "h2", "gpus": 1.0, "last_seen": "2026-01-31T12:00:03Z"}},
		"total": 2.0, "limit": 1.0, "offset": 1.0,
	}, hosts)
	gpus := h.get("/api/v1/hosts/h1/gpus")
	assert.Equal(t, "GPU-b", lookup(gpus, "items", 0, "id"))
	assert.Equal(t, "GPU-a", lookup(gpus, "items", 1, "id"))
	assert.EqualValues(t, 3, h.get("/api/v1/gpus?model=H100")["total"])
	assert.EqualValues(t, 1, h.get("/api/v1/gpus?host=h2&limit=100000")["total"])
	assert.EqualValues(t, 0, h.get("/api/v1/gpus?host=nobody")["total"])

	gpu := h.get("/api/v1/gpus/GPU-b")
	assert.Equal(t, map[string]any{
		"id": "GPU-b", "host": "h1", "index": 0.0, "device": "nvidia0", "model": "H100", "last_seen": "2026-01-31T12:00:05Z",
		"labels": map[string]any{"model": "H100", "index": "0", "device": "nvidia0", "pod": "p"},
		"latest": map[string]any{"gpu.util": map[string]any{"value": 0.2, "time": "2026-01-31T12:00:05Z", "unit": "ratio"}},
	}, gpu)
	assert.Equal(t, 20.0, lookup(h.get("/api/v1/gpus/GPU-b?names=source"), "latest", "DCGM_FI_DEV_GPU_UTIL", "value"))

	h.refused(404, "/api/v1/gpus/nobody", "", `GPU "nobody" is not known`)
	h.refused(404, "/api/v1/hosts/nobody/gpus", "", `host "nobody" is not known`)
	h.refused(404, "/api/v1/gpus/nobody/telemetry", "", "is not known")
	h.refused(404, "/api/v1/gpus/nobody/series", "", "is not known")
}

func TestTelemetry(t *testing.T) {
	h := newHouse(t)
	for i := range 5 {
		h.put(uint64(i+1), h.reading("GPU-a", "h1", 0, i, float64(29+i)))
	}
	newest := h.get("/api/v1/gpus/GPU-a/telemetry?limit=2")
	assert.EqualValues(t, 5, newest["total"])
	assert.Equal(t, "2026-01-31T12:00:04Z", lookup(newest, "items", 0, "time"))
	assert.Equal(t, 0.33, lookup(newest, "items", 0, "metrics", "gpu.util"))
	assert.Equal(t, "p", lookup(newest, "items", 0, "labels", "pod"))
	oldest := h.get("/api/v1/gpus/GPU-a/telemetry?order=asc&names=source&offset=1&limit=1")
	assert.Equal(t, "2026-01-31T12:00:01Z", lookup(oldest, "items", 0, "time"))
	assert.Equal(t, 30.0, lookup(oldest, "items", 0, "metrics", "DCGM_FI_DEV_GPU_UTIL"))
	span := "?start_time=2026-01-31T12:00:01Z&end_time=2026-01-31T14:00:02%2B02:00"
	assert.EqualValues(t, 2, h.get("/api/v1/gpus/GPU-a/telemetry" + span)["total"])
	assert.EqualValues(t, 2, h.get("/api/v1/gpus/GPU-a/telemetry" + strings.Replace(span, "%2B", "+", 1))["total"], "a plus sign may stay one")
	assert.EqualValues(t, 5, h.get("/api/v1/gpus/GPU-a/telemetry?metric=DCGM_FI_DEV_GPU_UTIL")["total"])
	assert.EqualValues(t, 0, h.get("/api/v1/gpus/GPU-a/telemetry?metric=other,another&metric=third")["total"])
}

func TestLatest(t *testing.T) {
	h := newHouse(t)
	h.put(1, h.reading("GPU-a", "h1", 0, 0, 10), h.reading("GPU-b", "h2", 0, 5, 29))
	assert.Equal(t, map[string]any{
		"items": []any{map[string]any{"host": "h2", "gpu": "GPU-b", "metric": "gpu.util", "value": 0.29, "unit": "ratio", "time": "2026-01-31T12:00:05Z"}},
		"total": 1.0, "limit": 100.0, "offset": 0.0,
	}, h.get("/api/v1/latest?host=h2&metric=gpu.util"))
	assert.Equal(t, 29.0, lookup(h.get("/api/v1/latest?offset=1&names=source"), "items", 0, "value"))
	assert.EqualValues(t, 2, h.get("/api/v1/latest?limit=100000")["total"])
}

func TestSeries(t *testing.T) {
	h := newHouse(t)
	for _, second := range []int{0, 1, 2, 25} {
		h.put(uint64(second+1), h.reading("GPU-a", "h1", 0, second, float64(10*second)))
	}
	chosen := h.get("/api/v1/gpus/GPU-a/series")
	assert.Equal(t, "5s", chosen["step"], "an hour in at most a thousand steps")
	assert.Equal(t, "2026-01-31T12:00:25Z", chosen["end_time"])
	assert.Equal(t, "2026-01-31T11:00:25Z", chosen["start_time"])
	asked := h.get("/api/v1/gpus/GPU-a/series?step=10&agg=max&start_time=2026-01-31T12:00:00Z&metric=gpu.util&names=source")
	assert.Equal(t, map[string]any{
		"gpu": "GPU-a", "start_time": "2026-01-31T12:00:00Z", "end_time": "2026-01-31T12:00:25Z", "step": "10s", "agg": "max",
		"times":   []any{"2026-01-31T12:00:00Z", "2026-01-31T12:00:10Z", "2026-01-31T12:00:20Z"},
		"columns": map[string]any{"DCGM_FI_DEV_GPU_UTIL": []any{20.0, nil, 250.0}},
	}, asked)
	later := h.get("/api/v1/gpus/GPU-a/series?start_time=2026-01-31T13:00:00Z")
	assert.Empty(t, later["columns"], "nothing there yet")
	h.refused(400, "/api/v1/gpus/GPU-a/series?start_time=1900-01-01T00:00:00Z&step=1s", "", "steps")
}

func TestBadParameters(t *testing.T) {
	h := newHouse(t)
	h.put(1, h.reading("GPU-a", "h1", 0, 0, 10))
	const readings, series = "/api/v1/gpus/GPU-a/telemetry?", "/api/v1/gpus/GPU-a/series?"
	f := func(path, parameter, detail string) { t.Helper(); h.refused(400, path, parameter, detail) }
	f("/api/v1/hosts?limit=0", "limit", "1 to 1000")
	f("/api/v1/hosts?limit=1001", "limit", "1 to 1000")
	f("/api/v1/hosts?limit=", "limit", "whole number")
	f("/api/v1/hosts?limit=ten", "limit", `"ten"`)
	f("/api/v1/hosts?offset=-1", "offset", "whole number")
	f("/api/v1/hosts?limit=1&limit=2", "limit", "more than once")
	f("/api/v1/gpus?limit=100001", "limit", "1 to 100000")
	f("/api/v1/metrics?offset=x", "offset", "whole number")
	f("/api/v1/topics?limit=-3", "limit", "whole number")
	f(readings+"start=2026-01-31T12:00:00Z", "start", "start_time")
	f(readings+"start_time=yesterday", "start_time", "RFC 3339")
	f(readings+"end_time=99999-01-01T00:00:00Z", "end_time", "RFC 3339")
	f(readings+"end_time=1500-01-01T00:00:00Z", "end_time", "1678")
	f(readings+"start_time=2026-01-31T12:00:01Z&end_time=2026-01-31T12:00:00Z", "start_time", "after end_time")
	f(readings+"order=up", "order", "desc or asc")
	f(readings+"names=both", "names", "canonical or source")
	f(readings+"metric=", "metric", "0 bytes")
	f(readings+"metric="+strings.Repeat("x,", 100)+"x", "metric", "101 names")
	f(series+"step=0s", "step", "at least 1ms")
	f(series+"step=-5", "step", "duration")
	f(series+"step=1e300", "step", "duration")
	f(series+"step=NaN", "step", "duration")
	f(series+"agg=median", "agg", "avg or min")
	f("/api/v1/stats?verbose=1", "verbose", "there are none")
	f("/api/v1/hosts?limit=%zz", "", "malformed")
}

// Names from outside are only ever looked up: whatever they hold, the answer is a GPU or
// a problem.
func TestHostileNames(t *testing.T) {
	h := newHouse(t)
	names := map[string]string{
		"../../etc/passwd": "..%2F..%2Fetc%2Fpasswd", "a b/c%d?e#f": "a%20b%2Fc%25d%3Fe%23f", "тест": "%D1%82%D0%B5%D1%81%D1%82",
		"..": "%2E%2E", "a+b": "a+b", ":id": ":id",
	}
	sequence := uint64(1)
	for name, escaped := range names {
		h.put(sequence, h.reading(name, name, 0, 0, 10))
		sequence++
		assert.Equal(t, name, h.get("/api/v1/gpus/" + escaped)["id"], name)
		assert.Equal(t, name, lookup(h.get("/api/v1/hosts/"+escaped+"/gpus"), "items", 0, "id"), name)
		assert.EqualValues(t, 1, h.get("/api/v1/gpus/" + escaped + "/telemetry")["total"], name)
	}
	for _, path := range []string{"/api/v1/gpus/%2e%2e%2f%2e%2e", "/api/v1/gpus//telemetry", "/api/v1/gpus/%00", "/api/v1/hosts/%ff/gpus"} {
		status, _, head := h.call(http.MethodGet, path, nil)
		assert.Equal(t, http.StatusNotFound, status, path)
		assert.Equal(t, "application/problem+json", head.Get("Content-Type"), path)
	}
}

func TestPublish(t *testing.T) {
	h := newHouse(t)
	publish := func(path, body string, header ...string) (int, map[string]any) {
		status, answer, _ := h.call(http.MethodPost, path, strings.NewReader(body), header...)
		return status, answer
	}
	const topic = "/api/v1/topics/gpu.h1.GPU-a/messages"
	status, answer := publish(topic, "hello")
	assert.Equal(t, 201, status, answer)
	assert.Equal(t, map[string]any{"sequence": 1.0, "duplicate": false}, answer)
	_, answer = publish(topic, "one", "Idempotency-Key", "k1")
	assert.Equal(t, map[string]any{"sequence": 2.0, "duplicate": false}, answer)
	status, answer = publish(topic+"?id=k1", "one")
	assert.Equal(t, 201, status)
	assert.Equal(t, map[string]any{"sequence": 2.0, "duplicate": true}, answer)
	status, answer = publish(topic+"?id=k2", "one", "Idempotency-Key", "k1")
	assert.Equal(t, 400, status)
	assert.Equal(t, "id", answer["parameter"])
	status, answer = publish("/api/v1/topics/gpu..x/messages", "x")
	assert.Equal(t, 400, status, answer)
	assert.Contains(t, answer["detail"], "empty token")
	status, answer = publish(topic, strings.Repeat("x", 300<<10))
	assert.Equal(t, 413, status, answer)
	status, _ = publish(topic, "x", "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 403, status)

	require.Eventually(t, func() bool { return h.get("/api/v1/topics")["total"] == 1.0 }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, "gpu.h1.GPU-a", lookup(h.get("/api/v1/topics"), "items", 0, "topic"))
	assert.EqualValues(t, 0, h.get("/api/v1/consumers")["total"])
	assert.EqualValues(t, 0, h.get("/api/v1/connections?limit=5")["total"])
	stats := h.get("/api/v1/stats")
	assert.Equal(t, "test", stats["server"])
	assert.Contains(t, stats["store"], "rows")
}

func TestHealth(t *testing.T) {
	var fault error
	h := newHouse(t, api.Part{Name: "hub", Ready: func() error { return nil }}, api.Part{Name: "store", Ready: func() error { return fault }})
	assert.Equal(t, "ok", h.get("/healthz")["status"])
	assert.Equal(t, true, h.get("/readyz")["ready"])
	fault = errors.New("disk is full")
	status, answer, _ := h.call(http.MethodGet, "/readyz", nil)
	assert.Equal(t, 503, status)
	assert.Equal(t, map[string]any{"ready": false, "parts": map[string]any{
		"hub": map[string]any{"ready": true}, "store": map[string]any{"ready": false, "reason": "disk is full"},
	}}, answer)
	assert.Contains(t, h.get("/metrics")["text"], "gpupulse_test 0")
}

func TestPathsThatAreNotThere(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/api", "/api/", "/api/v1/nothing", "/api/v2/hosts", "/prometheus/api/v1/query", "/docs/x", "/healthz/x"} {
		h.refused(404, path, "", "nothing at "+path)
	}
	assert.Contains(t, h.get("/gpus/GPU-1")["text"], "page", "pages are the user interface's")
	status, answer, head := h.call(http.MethodDelete, "/api/v1/hosts", nil)
	assert.Equal(t, 405, status, answer)
	assert.Contains(t, head.Get("Allow"), "GET")
	status, _, _ = h.call(http.MethodPost, "/api/v1/nothing", nil)
	assert.Equal(t, 404, status)
}

func TestLargeAnswersAreCompressed(t *testing.T) {
	h := newHouse(t)
	for i := range 50 {
		h.put(uint64(i+1), h.reading("GPU-a", "h1", 0, i, 1))
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api/v1/gpus/GPU-a/telemetry", nil)
	require.NoError(t, err)
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Less(t, len(text), 2000)
}

func TestMetrics(t *testing.T) {
	h := newHouse(t)
	r := h.reading("GPU-a", "h1", 0, 0, 1)
	r.Samples = append(r.Samples, telemetry.Sample{Metric: telemetry.Custom("Fan Noise"), Sent: 3})
	h.put(1, r)
	byName := map[string]any{}
	for _, m := range h.get("/api/v1/metrics?limit=1000")["items"].([]any) {
		byName[lookup(m, "name").(string)] = m
	}
	assert.Equal(t, "ratio", lookup(byName["gpu.util"], "unit"))
	assert.Contains(t, lookup(byName["gpu.util"], "sources"), "DCGM_FI_DEV_GPU_UTIL")
	assert.Equal(t, map[string]any{"name": "fan_noise", "unit": "", "kind": "gauge", "description": "", "sources": []any{"Fan Noise"}}, byName["fan_noise"])
	assert.Equal(t, 3.0, lookup(h.get("/api/v1/latest?metric=Fan+Noise"), "items", 0, "value"))
	assert.EqualValues(t, 1, h.get("/api/v1/gpus/GPU-a/telemetry?metric=fan_noise")["total"])
}
