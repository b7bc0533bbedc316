package api

import (
	"net/http"
)

// Part is a part of the server that may not be ready.
type Part struct {
	Name  string
	Ready func() error // nil if it is; otherwise why it is not
}

type readyAnswer struct {
	Ready bool                 `json:"ready"`
	Parts map[string]partState `json:"parts"`
}

type partState struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

// healthz tells that the process answers, and nothing more.
func (s *Server) healthz(r *request) error {
	return r.answer(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz tells whether every part does its work, and if not which one and why.
func (s *Server) readyz(r *request) error {
	answer := readyAnswer{Ready: true, Parts: make(map[string]partState)}
	status := http.StatusOK
	for _, p := range s.o.Parts {
		state := partState{Ready: true}
		if err := p.Ready(); err != nil {
			state = partState{Reason: err.Error()}
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
		answer.Parts[p.Name] = state
	}
	return r.answer(status, answer)
}
