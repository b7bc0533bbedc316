// Package web serves the user interface that was built into the binary.
package web

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"gpupulse/ui"
)

const (
	index = "index.html"
	// assets is where the build puts files whose names change with their content.
	assets = "assets/"
)

// policy lets a page load only what the server itself serves. Charts set styles.
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
	"connect-src 'self' ws: wss:; worker-src 'self' blob:; base-uri 'self'; frame-ancestors 'none'"

// Handler serves the user interface of this binary.
func Handler() (http.Handler, error) {
	built, err := fs.Sub(ui.Dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the user interface: %w", err)
	}
	return New(built), nil
}

// New serves the user interface in files. A path that is no file is a page of the
// application, which index.html finds by itself; a missing asset is a 404.
func New(files fs.FS) http.Handler { return &handler{files} }

type handler struct{ files fs.FS }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	body, err := fs.ReadFile(h.files, name)
	if name == "" || err != nil && !strings.HasPrefix(name, assets) {
		name = index
		body, err = fs.ReadFile(h.files, index)
	}
	switch {
	case err != nil && name == index:
		http.Error(w, "The user interface is not in this binary. Build it with: make ui build\n", http.StatusServiceUnavailable)
		return
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, "The file cannot be read.", http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Content-Security-Policy", policy)
	if strings.HasPrefix(name, assets) {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		head.Set("Cache-Control", "no-cache")
	}
	// The time is that of the build, which nobody knows here: the hash in the name, or
	// asking again, stands for it.
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}
