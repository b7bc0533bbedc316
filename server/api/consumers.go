package api

import (
	"context"
	"math"
	"net/http"
	"strconv"

	"gpupulse/sdk/wire"
	"gpupulse/server/hub"
)

// Admin is what an operator does with durable consumers. Errors about a consumer are
// *wire.Fault.
type Admin interface {
	Consumer(name string) (hub.ConsumerInfo, error)
	PauseConsumer(name string, paused bool) error
	ResetConsumer(name string, start *wire.Consume) error
	DeleteConsumer(name string) error
	DeadLetters(name string, offset, limit int) (list []hub.DeadLetter, total int, err error)
	ReplayDeadLetters(ctx context.Context, name string, sequences []uint64) (int, error)
	PurgeDeadLetters(name string, sequences []uint64) (int, error)
}

// countAnswer tells how many things were done.
type countAnswer struct {
	Count int `json:"count"`
}

func (s *Server) pauseConsumer(r *request) error  { return s.setPaused(r, true) }
func (s *Server) resumeConsumer(r *request) error { return s.setPaused(r, false) }

func (s *Server) setPaused(r *request, paused bool) error {
	name := r.path("consumer")
	if r.err != nil {
		return r.err
	}
	if err := s.o.Hub.PauseConsumer(name, paused); err != nil {
		return err
	}
	return s.answerConsumer(r, name)
}

func (s *Server) answerConsumer(r *request, name string) error {
	info, err := s.o.Hub.Consumer(name)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, info)
}

// starts are the places where a consumer may begin anew.
var starts = []struct {
	name   string
	policy wire.Start
}{
	{"all", wire.Start_START_ALL}, {"new", wire.Start_START_NEW}, {"last_per_topic", wire.Start_START_LAST_PER_TOPIC},
	{"sequence", wire.Start_START_SEQUENCE}, {"time", wire.Start_START_TIME},
}

func startNames() (names []string) {
	for _, s := range starts {
		names = append(names, s.name)
	}
	return names
}

func (s *Server) resetConsumer(r *request) error {
	name, begin := r.path("consumer"), &wire.Consume{Start: wire.Start_START_ALL}
	if r.query.Has("start") {
		begin.Start = wire.Start_START_UNSPECIFIED
		for _, one := range starts {
			if one.name == r.query.Get("start") {
				begin.Start = one.policy
			}
		}
		if begin.Start == wire.Start_START_UNSPECIFIED {
			r.bad("start", "must be one of %v, not %q", startNames(), r.text("start"))
		}
	}
	if sequences := r.sequences(); len(sequences) == 1 {
		begin.StartSequence = sequences[0]
	}
	begin.StartTimeUnixNano = r.time("time", 0)
	for _, needs := range []struct {
		start wire.Start
		param string
	}{{wire.Start_START_SEQUENCE, "sequence"}, {wire.Start_START_TIME, "time"}} {
		if begin.Start == needs.start && !r.query.Has(needs.param) {
			r.bad(needs.param, "is missing")
		}
	}
	if r.err != nil {
		return r.err
	}
	if err := s.o.Hub.ResetConsumer(name, begin); err != nil {
		return err
	}
	return s.answerConsumer(r, name)
}

func (s *Server) deleteConsumer(r *request) error {
	name := r.path("consumer")
	if r.err != nil {
		return r.err
	}
	if err := s.o.Hub.DeleteConsumer(name); err != nil {
		return err
	}
	return r.answer(http.StatusOK, countAnswer{1})
}

func (s *Server) deadLetters(r *request) error {
	name, page := r.path("consumer"), r.page(maxLimit)
	if r.err != nil {
		return r.err
	}
	list, total, err := s.o.Hub.DeadLetters(name, page.Offset, page.Limit)
	if err != nil {
		return err
	}
	return answerList(r, list, total, page)
}

func (s *Server) replayDeadLetters(r *request) error {
	return s.withDeadLetters(r, func(name string, sequences []uint64) (int, error) {
		return s.o.Hub.ReplayDeadLetters(r.Request().Context(), name, sequences)
	})
}

func (s *Server) purgeDeadLetters(r *request) error {
	return s.withDeadLetters(r, s.o.Hub.PurgeDeadLetters)
}

func (s *Server) withDeadLetters(r *request, do func(string, []uint64) (int, error)) error {
	name, sequences := r.path("consumer"), r.sequences()
	if r.err != nil {
		return r.err
	}
	n, err := do(name, sequences)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, countAnswer{n})
}

// sequences reads the parameter sequence, repeated as often as one likes.
func (r *request) sequences() (list []uint64) {
	for _, text := range r.query["sequence"] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			r.bad("sequence", "must be a whole number from 1 to %d, not %q", uint64(math.MaxUint64), text)
			return nil
		}
		list = append(list, n)
	}
	return list
}
