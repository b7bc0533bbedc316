package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConsumersArePausedResetAndDeletedOverHTTP(t *testing.T) {
	h := newHouse(t)
	h.consumer("work")
	do := func(method, path string, want int) map[string]any {
		t.Helper()
		status, answer, _ := h.call(method, "/api/v1/consumers/"+path, nil)
		assert.Equal(t, want, status, "%s %s: %v", method, path, answer)
		return answer
	}
	assert.Equal(t, true, do(http.MethodPost, "work/pause", 200)["paused"])
	assert.Equal(t, false, do(http.MethodPost, "work/resume", 200)["paused"])
	do(http.MethodPost, "work/reset", 200)
	do(http.MethodPost, "work/reset?start=sequence&sequence=5", 200)
	do(http.MethodPost, "work/reset?start=time&time=2026-01-01T00:00:00Z", 200)
	assert.Equal(t, "start", do(http.MethodPost, "work/reset?start=yesterday", 400)["parameter"])
	assert.Equal(t, "sequence", do(http.MethodPost, "work/reset?start=sequence", 400)["parameter"])
	assert.Equal(t, "time", do(http.MethodPost, "work/reset?start=time", 400)["parameter"])
	assert.Equal(t, "sequence", do(http.MethodPost, "work/dead-letters/replay?sequence=x", 400)["parameter"])
	assert.EqualValues(t, 0, do(http.MethodGet, "work/dead-letters", 200)["total"])
	assert.EqualValues(t, 0, do(http.MethodDelete, "work/dead-letters", 200)["count"])
	assert.EqualValues(t, 1, do(http.MethodDelete, "work", 200)["count"])
	for method, path := range map[string]string{http.MethodPost: "work/pause", http.MethodGet: "work/dead-letters", http.MethodDelete: "work"} {
		do(method, path, 404)
	}
}
