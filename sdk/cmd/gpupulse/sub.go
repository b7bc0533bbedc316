package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"gpupulse/sdk"
	"gpupulse/sdk/telemetry"
)

type subCommand struct {
	Filter   string        `arg:"" help:"The topics: * stands for one token, a last > for one or more. gpu.> is every GPU."`
	Conflate time.Duration `help:"Send the newest message of each topic at most this often; 0: every message." default:"0s"`
	Last     bool          `help:"First print the newest known message of each topic."`
	Count    uint64        `help:"End after this many messages; 0: go on until Ctrl-C." default:"0"`
	Raw      bool          `help:"Print payloads as they are, one a line."`
	Names    string        `help:"canonical, or source: names and values of a reading as its source sent them." default:"canonical" enum:"canonical,source"`
}

// lineQueue bounds the lines that wait for a slow standard output; past it the
// handler waits, then the hub drops and tells how many.
const lineQueue = 1024

// Run prints messages until Ctrl-C, --count or a reader that has gone.
func (c *subCommand) Run(ctx context.Context, log *slog.Logger, where *connection, s *streams) error {
	session, err := where.dial(ctx, log, s, sdk.Options{})
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, cancel := context.WithCancelCause(session.ctx)
	defer cancel(nil)

	lines := make(chan []byte, lineQueue)
	printer := printer{source: c.Names == "source", raw: c.Raw}
	options := sdk.SubscribeOptions{Conflate: c.Conflate, SendLast: c.Last, OnDropped: func(n uint64) {
		fmt.Fprintf(s.err, "gpupulse: missed %d messages\n", n)
	}}
	subscription, err := session.Subscribe(ctx, c.Filter, options, func(d *sdk.Delivery) {
		select {
		case lines <- printer.line(d):
		case <-ctx.Done():
		}
	})
	if err != nil {
		return err
	}
	defer subscription.Close()
	return printLines(ctx, s.out, lines, c.Count)
}

// printLines writes lines until ctx ends or count are written; 0 is no bound. A line
// waits in the buffer only while the next one is already there.
func printLines(ctx context.Context, out io.Writer, lines <-chan []byte, count uint64) error {
	w := bufio.NewWriter(out)
	for written := uint64(0); count == 0 || written < count; written++ {
		select {
		case line := <-lines:
			if _, err := w.Write(line); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.Join(w.Flush(), context.Cause(ctx))
		}
		if len(lines) == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// printer turns deliveries into lines. It is used by one goroutine.
type printer struct {
	source, raw bool
	reading     telemetry.Reading
}

// other is a message that is no reading, as a line of JSON.
type other struct {
	Topic    string            `json:"topic"`
	Sequence uint64            `json:"sequence"`
	Time     time.Time         `json:"time"`
	ID       string            `json:"id,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Text     *string           `json:"text,omitempty"`   // the payload, if it is text
	Base64   []byte            `json:"base64,omitempty"` // otherwise
}

func (p *printer) line(d *sdk.Delivery) []byte {
	if p.raw {
		return append(append(make([]byte, 0, len(d.Payload)+1), d.Payload...), '\n')
	}
	if telemetry.Decode(d.Payload, &p.reading) == nil {
		return append(p.reading.AppendJSON(nil, p.source), '\n')
	}
	o := other{Topic: d.Topic, Sequence: d.Sequence, Time: d.Time.UTC(), ID: d.ID, Headers: d.Headers}
	if utf8.Valid(d.Payload) {
		payload := string(d.Payload)
		o.Text = &payload
	} else {
		o.Base64 = d.Payload
	}
	line, err := json.Marshal(o)
	if err != nil { // strings and bytes always have a JSON form
		panic(fmt.Sprintf("encode %T: %v", o, err))
	}
	return append(line, '\n')
}
