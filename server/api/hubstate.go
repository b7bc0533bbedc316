package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gpupulse/sdk/wire"
	"gpupulse/server/hub"
)

// Hub is the broker whose state is shown and that takes what is published over HTTP.
type Hub interface {
	http.Handler // the WebSocket endpoint
	Topics() []hub.TopicInfo
	Consumers() []hub.ConsumerInfo
	Connections() []hub.ConnectionInfo
	Stats() hub.Stats
	Admin
	// Publish answers when the messages are stored. publisher is the scope of their ids.
	Publish(ctx context.Context, publisher string, messages ...*wire.Message) (*wire.PubAck, error)
}

func (s *Server) topics(r *request) error      { return answerPage(r, s.o.Hub.Topics()) }
func (s *Server) consumers(r *request) error   { return answerPage(r, s.o.Hub.Consumers()) }
func (s *Server) connections(r *request) error { return answerPage(r, s.o.Hub.Connections()) }

// statsAnswer is the hub's numbers and, beside them, those of the other parts.
type statsAnswer struct {
	hub.Stats
	PartStats
}

// PartStats are numbers of the parts that the API knows nothing else of; each is an
// object in JSON.
type PartStats struct {
	Log       any `json:"log,omitempty"`
	Store     any `json:"store,omitempty"`
	Collector any `json:"collector,omitempty"`
}

func (s *Server) stats(r *request) error {
	answer := statsAnswer{Stats: s.o.Hub.Stats()}
	if s.o.PartStats != nil {
		answer.PartStats = s.o.PartStats()
	}
	return r.answer(http.StatusOK, answer)
}

// httpPublisher is the scope of the ids of messages published over HTTP.
const httpPublisher = "http"

type publishAnswer struct {
	Sequence  uint64 `json:"sequence"`
	Duplicate bool   `json:"duplicate"`
}

// publish stores the body as one message.
func (s *Server) publish(r *request) error {
	m := &wire.Message{Topic: r.path("topic"), Id: r.query.Get("id")}
	if key := r.Request().Header.Get("Idempotency-Key"); key != "" {
		if m.Id != "" && m.Id != key {
			r.bad("id", "differs from the header Idempotency-Key")
		}
		m.Id = key
	}
	if r.err != nil {
		return r.err
	}
	body, err := io.ReadAll(http.MaxBytesReader(r.Response(), r.Request().Body, wire.MaxMessageBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			err = &parameterError{"body", "could not be read: " + err.Error()}
		}
		return err
	}
	m.Payload = body
	ack, err := s.o.Hub.Publish(r.Request().Context(), httpPublisher, m)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if exceptions := ack.GetExceptions(); len(exceptions) > 0 {
		e := exceptions[0] // there is one message
		if e.GetCode() != 0 {
			return wire.Faultf(wire.Code(e.GetCode()), "%s", e.GetText())
		}
		return r.answer(http.StatusCreated, publishAnswer{e.GetDuplicateOf(), true})
	}
	return r.answer(http.StatusCreated, publishAnswer{ack.GetFirstSequence(), false})
}
