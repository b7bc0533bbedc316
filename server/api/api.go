// Package api is all HTTP of the server: what leaves the house. It serves REST, the
// hub's WebSocket endpoint, health, metrics, documents and the user interface.
//
// Every route stands in one table (routes.go), from which both the router and the
// OpenAPI document are made. Handlers return errors, and one place (problem.go) turns
// them into answers. Handlers run concurrently and share nothing but the parts that
// Options name.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options name the parts that the API shows. All but Logger, PartStats and UI are needed.
type Options struct {
	Querier  Querier
	Hub      Hub
	Parts    []Part
	Gatherer prometheus.Gatherer // for /metrics
	// PartStats returns numbers of other parts, to stand beside the hub's in /stats.
	PartStats func() PartStats
	UI        http.Handler // every path that is not one of ours; nil: none
	Version   string
	Logger    *slog.Logger // nil: silent
}

// Time limits of a request. A WebSocket, once it is one, is under the hub's own.
const (
	headerTimeout = 10 * time.Second // for the header to come
	readTimeout   = 30 * time.Second // for header and body
	queryTimeout  = 30 * time.Second // for the answer to be made
	writeTimeout  = 90 * time.Second // for header, body and answer
	idleTimeout   = 2 * time.Minute  // between requests
	maxHeader     = 32 << 10         // bytes
)

// minGzip is the least answer that is worth compressing: less fits in one packet anyway.
const minGzip = 1400

// Server serves HTTP.
type Server struct {
	o    Options
	log  *slog.Logger
	echo *echo.Echo
	http *http.Server
}

// New makes a server; Serve starts it.
func New(o Options) (*Server, error) {
	s := &Server{o: o, log: o.Logger, echo: echo.New()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		if errors.Is(err, echo.ErrNotFound) { // the router's own: no route fits
			err = s.notFound(c)
		}
		if err != nil {
			s.fail(err, c)
		}
	}
	s.route()
	handler, err := s.handler()
	if err != nil {
		return nil, fmt.Errorf("make API: %w", err)
	}
	s.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// route puts the table and what is not in it into the router.
func (s *Server) route() {
	for _, rt := range s.routes() {
		s.echo.Add(rt.method, echoPath(rt.path), s.handle(rt))
	}
	s.echo.GET("/openapi.json", s.openAPI)
	s.echo.GET("/docs", s.docs)
	s.echo.GET("/ws", echo.WrapHandler(s.o.Hub))
	s.echo.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.o.Gatherer, promhttp.HandlerOpts{})))
}

// handle makes a route's handler an echo one.
func (s *Server) handle(rt route) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), queryTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		r, err := newRequest(c, rt.query)
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return rt.handle(r)
	}
}

// notFound answers what no route fits: pages are the user interface's to find.
func (s *Server) notFound(c echo.Context) error {
	r := c.Request()
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if s.o.UI == nil || !reads || ours(r.URL.Path) {
		return echo.NewHTTPError(http.StatusNotFound, fmt.Sprintf("there is nothing at %s", r.URL.Path))
	}
	s.o.UI.ServeHTTP(c.Response(), r)
	return nil
}

// ours reports whether a path is never a page of the user interface.
func ours(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api", "ws", "prometheus", "docs", "openapi.json", "metrics", "healthz", "readyz":
		return true
	}
	return false
}

// handler wraps the router: faults of our own, requests from other sites, compression.
func (s *Server) handler() (http.Handler, error) {
	gzip, err := gzhttp.NewWrapper(gzhttp.MinSize(minGzip))
	if err != nil {
		return nil, err
	}
	compressed := gzip(s.echo)
	sorted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" { // has a compression of its own, and takes the connection over
			s.echo.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	})
	// A page of another site must not publish through its visitor's browser.
	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(echo.NewHTTPError(http.StatusForbidden, "the request comes from a page of another site"), s.echo.NewContext(r, w))
	}))
	return s.recoverer(sameSite.Handler(sorted)), nil
}

// recoverer answers a panic, which is a fault of our own, with a problem.
func (s *Server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.log.Error("panic", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				s.fail(errors.New("panic"), s.echo.NewContext(r, w))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Serve answers on l until Shutdown or Close; it closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown takes no more requests and waits for those at work. It does not wait for
// WebSockets: they are the hub's to drain.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("wait for requests: %w", err), s.http.Close())
	}
	return nil
}
