package streamer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/agent/source"
	"gpupulse/agent/streamer"
	"gpupulse/sdk"
)

// get asks a handler and answers status and body.
func get(link *streamer.Link, metrics *prometheus.Registry, path string) (int, string) {
	w := httptest.NewRecorder()
	streamer.Handler(link, metrics).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestReadyWhileConnected(t *testing.T) {
	var link streamer.Link
	check := func(status int, text string) {
		t.Helper()
		code, body := get(&link, prometheus.NewRegistry(), "/readyz")
		assert.Equal(t, status, code)
		assert.Contains(t, body, text)
		code, _ = get(&link, prometheus.NewRegistry(), "/healthz")
		assert.Equal(t, 200, code, "alive in any case")
	}
	check(503, "not connected to the hub yet")
	link.OnState(sdk.Connecting, nil)
	link.OnState(sdk.Disconnected, errors.New("connection refused"))
	check(503, "connection refused")
	link.OnState(sdk.Connecting, nil)
	check(503, "connection refused")
	link.OnState(sdk.Connected, nil)
	check(200, `{"status":"ok"}`)
	assert.Zero(t, link.Reconnects())
	link.OnState(sdk.Disconnected, errors.New("reset by peer"))
	check(503, "reset by peer")
	link.OnState(sdk.Connected, nil)
	check(200, "ok")
	assert.EqualValues(t, 1, link.Reconnects())
}

func TestMetricsTellWhatTheSummaryTells(t *testing.T) {
	rejects := &source.Rejects{}
	rejects.Add("too few fields", 2, 9, "")
	s := newStreamer(t, &rows{gpus: 4, left: 40}, &hub{}, streamer.Options{Rejects: rejects})
	registry := prometheus.NewRegistry()
	link := &streamer.Link{}
	require.NoError(t, s.Register(registry, link))
	link.OnState(sdk.Connected, nil)
	require.NoError(t, s.Run(t.Context()))

	code, body := get(link, registry, "/metrics")
	require.Equal(t, 200, code)
	for _, line := range []string{
		`gpupulse_agent_rows_total{state="read"} 42`, `gpupulse_agent_rows_total{state="acknowledged"} 40`,
		`gpupulse_agent_rows_total{state="rejected"} 2`, `gpupulse_agent_rows_total{state="refused"} 0`,
		`gpupulse_agent_rows_total{state="dropped"} 0`, `gpupulse_agent_rows_total{state="skipped"} 0`,
		`gpupulse_agent_rejects_total{reason="too few fields"} 2`, "gpupulse_agent_readings_total 40",
		"gpupulse_agent_unanswered_rows 0", "gpupulse_agent_connected 1", "gpupulse_agent_reconnects_total 0",
		"gpupulse_agent_ack_seconds_count 1",
	} {
		assert.Contains(t, body, line+"\n")
	}
}

func TestSummaryForPeopleAndPrograms(t *testing.T) {
	sum := streamer.Summary{
		RowsRead: 2480, Readings: 247, RowsAcknowledged: 2470, RowsDuplicate: 10, RowsRejected: 10, Seconds: 2, RowsPerSecond: 1235,
		Rejects: []source.Reject{
			{Reason: "too few fields", Rows: 8, Lines: []int{4, 5}, Detail: "3 of 12"},
			{Reason: "not a number", Rows: 1, Lines: []int{7}}, {Reason: "no time", Rows: 1},
		},
	}
	var text, line bytes.Buffer
	require.NoError(t, sum.WriteText(&text))
	assert.Equal(t, `2480 rows read, 2470 acknowledged in 2.0 s (1235 rows/s), 247 readings sent
  10 of the acknowledged were stored before
  10 rejected:
    8 too few fields (last in lines 4, 5): 3 of 12
    1 not a number (line 7)
    1 no time
`, text.String())

	require.NoError(t, sum.WriteJSON(&line))
	var back streamer.Summary
	require.NoError(t, json.Unmarshal(line.Bytes(), &back))
	assert.Equal(t, sum, back)
	assert.Equal(t, 1, bytes.Count(line.Bytes(), []byte("\n")))
}
