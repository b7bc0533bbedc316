package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"gpupulse/sdk/telemetry"
	"gpupulse/sdk/wire"
)

// problem is an answer by RFC 9457. This file is the one place that makes them.
type problem struct {
	Type      string `json:"type"` // always about:blank: the title says what the status means
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Parameter string `json:"parameter,omitempty"` // which one is wrong
}

// parameterError says what is wrong with a parameter of a request.
type parameterError struct {
	name, reason string
}

func (e *parameterError) Error() string { return fmt.Sprintf("parameter %s %s", e.name, e.reason) }

// unavailableError says which part of the server cannot answer now.
type unavailableError struct{ reason string }

func (e *unavailableError) Error() string { return e.reason }

// statusClientGone is nginx' code for a client that did not wait; it is only logged.
const statusClientGone = 499

// problemOf turns an error into what the client is told. hidden reports that the error
// itself is for the log only.
func problemOf(err error) (p problem, hidden bool) {
	var (
		parameter   *parameterError
		tooMuch     *telemetry.TooMuchError
		unavailable *unavailableError
		fault       *wire.Fault
		tooLarge    *http.MaxBytesError
		byEcho      *echo.HTTPError
	)
	switch {
	case errors.As(err, &parameter):
		p = problem{Status: http.StatusBadRequest, Detail: err.Error(), Parameter: parameter.name}
	case errors.As(err, &tooMuch):
		p = problem{Status: http.StatusBadRequest, Detail: err.Error() + ": ask for a shorter span, fewer metrics or a longer step"}
	case errors.Is(err, telemetry.ErrUnknown):
		p = problem{Status: http.StatusNotFound, Detail: err.Error()}
	case errors.As(err, &unavailable):
		p = problem{Status: http.StatusServiceUnavailable, Detail: err.Error()}
	case errors.As(err, &fault):
		p = problem{Status: statusOf(fault.Code), Detail: fault.Error()}
	case errors.As(err, &tooLarge):
		p = problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case errors.Is(err, context.DeadlineExceeded):
		p = problem{Status: http.StatusServiceUnavailable, Detail: "the answer took too long"}
	case errors.Is(err, context.Canceled):
		p = problem{Status: statusClientGone, Detail: "the client went away"}
	case errors.As(err, &byEcho):
		p = problem{Status: byEcho.Code, Detail: fmt.Sprint(byEcho.Message)}
	default:
		p, hidden = problem{Status: http.StatusInternalServerError, Detail: "a fault of the server's own; its log says more"}, true
	}
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	return p, hidden
}

// statusOf turns a refusal by the hub into a status.
func statusOf(code wire.Code) int {
	switch code {
	case wire.BadFrame, wire.BadTopic, wire.BadRequest:
		return http.StatusBadRequest
	case wire.MessageTooBig, wire.FrameTooBig:
		return http.StatusRequestEntityTooLarge
	case wire.NotAllowed:
		return http.StatusForbidden
	case wire.Unauthorised:
		return http.StatusUnauthorized
	case wire.TooMany, wire.TooBusy:
		return http.StatusTooManyRequests
	case wire.NotFound:
		return http.StatusNotFound
	case wire.Conflict:
		return http.StatusConflict
	case wire.LogUnavailable, wire.Draining:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// fail answers a request with its error.
func (s *Server) fail(err error, c echo.Context) {
	p, hidden := problemOf(err)
	if hidden {
		s.log.Error("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	if c.Response().Committed {
		return // the answer has begun; cutting it short is all that is left
	}
	body, err := json.Marshal(p)
	if err != nil {
		return
	}
	if p.Status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", "1")
	}
	_ = c.Blob(p.Status, "application/problem+json", append(body, '\n')) // a client that is gone
}
