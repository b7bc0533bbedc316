package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/server/web"
)

func TestPages(t *testing.T) {
	h := web.New(fstest.MapFS{
		"index.html":         {Data: []byte("<title>gpupulse</title>")},
		"favicon.svg":        {Data: []byte("<svg/>")},
		"assets/app-1234.js": {Data: []byte("run()")},
	})
	f := func(path string, status int, body, kind, cache string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		assert.Equal(t, status, w.Code, path)
		assert.Contains(t, w.Body.String(), body, path)
		assert.Contains(t, w.Header().Get("Content-Type"), kind, path)
		assert.Equal(t, cache, w.Header().Get("Cache-Control"), path)
	}
	const forever = "public, max-age=31536000, immutable"
	f("/", 200, "gpupulse", "text/html", "no-cache")
	f("/index.html", 200, "gpupulse", "text/html", "no-cache")
	f("/gpus/GPU-1", 200, "gpupulse", "text/html", "no-cache")
	f("/favicon.svg", 200, "<svg/>", "image/svg+xml", "no-cache")
	f("/assets/app-1234.js", 200, "run()", "text/javascript", forever)
	f("/assets/gone.js", 404, "not found", "text/plain", "")
	f("/assets", 200, "gpupulse", "text/html", "no-cache")
	f("/../../etc/passwd", 200, "gpupulse", "text/html", "no-cache")
}

func TestBinaryWithoutUserInterface(t *testing.T) {
	w := httptest.NewRecorder()
	web.New(fstest.MapFS{".gitkeep": {}}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "make ui build")
}

func TestHandlerOfThisBinary(t *testing.T) {
	h, err := web.Handler()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, w.Code)
}
