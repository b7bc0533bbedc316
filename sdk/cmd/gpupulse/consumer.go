package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

type consumerCommand struct {
	Pause  pauseCommand  `cmd:"" help:"Stop its deliveries; answers are still taken."`
	Resume resumeCommand `cmd:"" help:"Go on with its deliveries."`
	Reset  resetCommand  `cmd:"" help:"Let it begin anew."`
	Delete deleteCommand `cmd:"" help:"Forget it; its members must have left."`
}

// consumerName is the argument that all of them have.
type consumerName struct {
	Name string `arg:"" help:"The consumer's name." placeholder:"CONSUMER"`
}

func (n consumerName) path(more string) string {
	return "/api/v1/consumers/" + url.PathEscape(n.Name) + more
}

type pauseCommand struct{ consumerName }

// Run pauses a consumer.
func (p *pauseCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return act(ctx, c, s, http.MethodPost, p.path("/pause"), nil, p.Name+" is paused")
}

type resumeCommand struct{ consumerName }

// Run resumes a consumer.
func (r *resumeCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return act(ctx, c, s, http.MethodPost, r.path("/resume"), nil, r.Name+" goes on")
}

type resetCommand struct {
	consumerName
	Start    string `help:"Where: all, new, last_per_topic, sequence or time." enum:"all,new,last_per_topic,sequence,time" default:"all"`
	Sequence uint64 `help:"The sequence, with --start sequence."`
	Time     string `help:"The time by RFC 3339, with --start time." placeholder:"TIME"`
}

// Run resets a consumer.
func (r *resetCommand) Run(ctx context.Context, c *connection, s *streams) error {
	query := url.Values{"start": {r.Start}}
	if r.Sequence > 0 {
		query.Set("sequence", strconv.FormatUint(r.Sequence, 10))
	}
	if r.Time != "" {
		query.Set("time", r.Time)
	}
	return act(ctx, c, s, http.MethodPost, r.path("/reset"), query, r.Name+" begins anew")
}

type deleteCommand struct{ consumerName }

// Run deletes a consumer.
func (d *deleteCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return act(ctx, c, s, http.MethodDelete, d.path(""), nil, d.Name+" is forgotten")
}

// act does something over REST and says that it is done.
func act(ctx context.Context, c *connection, s *streams, method, path string, query url.Values, done string) error {
	var answer json.RawMessage
	if err := c.call(ctx, method, path, query, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, done)
	return err
}

type deadLettersCommand struct {
	List   listDeadCommand   `cmd:"" help:"List them, newest first."`
	Replay replayDeadCommand `cmd:"" help:"Publish them again where they came from."`
	Purge  purgeDeadCommand  `cmd:"" help:"Take them off the list."`
}

type listDeadCommand struct {
	output
	consumerName
}

// Run lists dead letters.
func (l *listDeadCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return show(ctx, c, s, l.output, l.path("/dead-letters"), url.Values{}, []column{
		{"SEQUENCE", "sequence", text}, {"TIME", "time", text}, {"TOPIC", "topic", text}, {"DELIVERIES", "deliveries", whole}, {"REASON", "reason", text},
	})
}

// deadSequences chooses dead letters.
type deadSequences struct {
	Sequence []uint64 `help:"Only those with these sequences of their own; all if left out."`
}

func (d deadSequences) query() url.Values {
	query := url.Values{}
	for _, n := range d.Sequence {
		query.Add("sequence", strconv.FormatUint(n, 10))
	}
	return query
}

type replayDeadCommand struct {
	consumerName
	deadSequences
}

// Run replays dead letters.
func (r *replayDeadCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return counted(ctx, c, s, http.MethodPost, r.path("/dead-letters/replay"), r.query(), "%d replayed\n")
}

type purgeDeadCommand struct {
	consumerName
	deadSequences
}

// Run purges dead letters.
func (p *purgeDeadCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return counted(ctx, c, s, http.MethodDelete, p.path("/dead-letters"), p.query(), "%d purged\n")
}

// counted does something over REST and says how often it was done.
func counted(ctx context.Context, c *connection, s *streams, method, path string, query url.Values, format string) error {
	var answer struct {
		Count int `json:"count"`
	}
	if err := c.call(ctx, method, path, query, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, format, answer.Count)
	return err
}
