package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddressesOfHubAndREST(t *testing.T) {
	for server, want := range map[string][2]string{
		"ws://127.0.0.1:8080/ws":      {"ws://127.0.0.1:8080/ws", "http://127.0.0.1:8080"},
		"wss://gpu.example.org/ws":    {"wss://gpu.example.org/ws", "https://gpu.example.org"},
		"wss://example.org/pulse/ws/": {"wss://example.org/pulse/ws", "https://example.org/pulse"},
		"http://[::1]:8080":           {"ws://[::1]:8080/ws", "http://[::1]:8080"},
		"https://example.org/pulse":   {"wss://example.org/pulse/ws", "https://example.org/pulse"},
	} {
		hub, rest, err := (&connection{Server: server}).addresses()
		require.NoError(t, err, server)
		assert.Equal(t, want, [2]string{hub, rest}, server)
	}
	for _, server := range []string{"", "127.0.0.1:8080", "ftp://a/ws", "ws://", "::"} {
		_, _, err := (&connection{Server: server}).addresses()
		assert.ErrorContains(t, err, "--server", server)
	}
}

// serve answers REST requests for a test.
func serve(t *testing.T, handle http.HandlerFunc) *connection {
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &connection{Server: server.URL, Timeout: 5 * time.Second}
}

// numbers serves a list of so many items by pages.
func numbers(t *testing.T, total int) *connection {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		assert.NoError(t, err)
		assert.LessOrEqual(t, limit, 1000)
		offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
		assert.NoError(t, err)
		items := []map[string]any{}
		for i := offset; i < min(offset+limit, total); i++ {
			items = append(items, map[string]any{"n": i})
		}
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]any{"items": items, "total": total, "limit": limit, "offset": offset}))
	})
}

func TestAllPagesOfAList(t *testing.T) {
	for _, c := range []struct{ total, limit, want int }{
		{0, 0, 0}, {1, 0, 1}, {1000, 0, 1000}, {2345, 0, 2345}, {2345, 10, 10}, {2345, 1500, 1500}, {5, 1000, 5},
	} {
		l, err := numbers(t, c.total).all(t.Context(), "/list", url.Values{}, c.limit)
		require.NoError(t, err)
		require.Len(t, l.Items, c.want)
		assert.Equal(t, c.total, l.Total)
		if c.want > 0 {
			assert.JSONEq(t, fmt.Sprintf(`{"n": %d}`, c.want-1), string(l.Items[c.want-1]))
		}
	}
}

func TestRefusalsAreToldInTheServersWords(t *testing.T) {
	for body, want := range map[string]string{
		`{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "GPU \"x\" is unknown"}`: `GPU "x" is unknown`,
		`{"title": "Not Found"}`:     "Not Found",
		`<html>a proxy's own</html>`: "404 Not Found",
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(body))
		})
		assert.ErrorContains(t, c.get(t.Context(), "/x", nil, nil), want)
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	assert.ErrorContains(t, c.get(t.Context(), "/x", nil, &list{}), "not what a gpupulse server says")
}

func TestUnreachableServer(t *testing.T) {
	c := serve(t, nil)
	gone := httptest.NewServer(nil)
	c.Server = gone.URL
	gone.Close()
	var unreachable *unreachableError
	err := c.get(t.Context(), "/x", nil, nil)
	require.ErrorAs(t, err, &unreachable)
	assert.Equal(t, 3, unreachable.ExitCode())
	assert.ErrorContains(t, err, gone.URL)
	assert.ErrorContains(t, err, "--server")
}

func TestTableOfItems(t *testing.T) {
	l := list{Total: 3, Items: []json.RawMessage{
		[]byte(`{"name": "node-01", "gpus": 8, "bytes": 1536, "rate": 0.25, "lag": 1.5}`),
		[]byte(`{"name": "bad\u001b[2J", "gpus": null}`),
	}}
	columns := []column{{"HOST", "name", text}, {"GPUS", "gpus", whole}, {"SIZE", "bytes", size}, {"RATE", "rate", rate}, {"LAG", "lag", seconds}}
	var out bytes.Buffer
	require.NoError(t, printList(&out, output{"table"}, l, columns))
	assert.Equal(t, strings.Join([]string{
		`HOST          GPUS  SIZE     RATE  LAG`,
		`node-01       8     1.5 KiB  0.2   1.5s`,
		`"bad\x1b[2J"  -     -        -     -`,
		`2 of 3; --limit gives more`, ``,
	}, "\n"), out.String())
}

func TestReadingsShowWhatIsAbsentAsAbsent(t *testing.T) {
	l := list{Total: 2, Items: []json.RawMessage{
		[]byte(`{"time": "2026-01-01T00:00:01Z", "metrics": {"gpu.temp": 41}}`),
		[]byte(`{"time": "2026-01-01T00:00:00Z", "metrics": {"gpu.power": 0.5, "gpu.temp": 0}}`),
	}}
	var out bytes.Buffer
	require.NoError(t, printReadings(&out, l))
	assert.Equal(t, "TIME                  gpu.power  gpu.temp\n"+
		"2026-01-01T00:00:01Z  -          41\n"+
		"2026-01-01T00:00:00Z  0.5        0\n", out.String())
}

func TestTimesAreAbsoluteOrAgo(t *testing.T) {
	now := time.Date(2026, 1, 8, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"15m": now.Add(-15 * time.Minute), "7d": now.AddDate(0, 0, -7), "2026-01-01T00:00:00+01:00": time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC),
	} {
		got, err := parseTime(text, now)
		require.NoError(t, err)
		assert.True(t, want.Equal(got), text)
	}
	_, err := parseTime("yesterday", now)
	assert.ErrorContains(t, err, "yesterday")
}
