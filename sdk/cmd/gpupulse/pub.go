package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
)

type pubCommand struct {
	output
	Topic   string            `arg:"" help:"The topic, such as demo.hello."`
	Payload *string           `arg:"" optional:"" help:"The payload; without it, and without --file, every line of standard input is a message."`
	File    string            `short:"f" help:"Publish this file's content as one message; - is standard input." placeholder:"FILE"`
	ID      string            `name:"id" help:"Message id: a second message with the same id and publisher is not stored again."`
	Scope   string            `name:"publisher" help:"Scope of --id." default:"gpupulse-cli"`
	Header  map[string]string `help:"A header; may be given more than once." placeholder:"NAME=VALUE"`
}

// published sums up what was answered.
type published struct {
	Published     uint64 `json:"published"`
	Duplicates    uint64 `json:"duplicates"`
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
}

func (p *published) add(results []sdk.Result) {
	for _, r := range results {
		if r.Err != nil || r.Sequence == 0 {
			continue
		}
		p.Published++
		if r.Duplicate {
			p.Duplicates++
		}
		if p.FirstSequence == 0 || r.Sequence < p.FirstSequence {
			p.FirstSequence = r.Sequence
		}
		p.LastSequence = max(p.LastSequence, r.Sequence)
	}
}

// Run publishes and prints what the hub has answered.
func (p *pubCommand) Run(ctx context.Context, log *slog.Logger, c *connection, s *streams) error {
	if p.Payload != nil && p.File != "" {
		return errors.New("give a payload or --file, not both")
	}
	lines := p.Payload == nil && p.File == ""
	if lines && p.ID != "" {
		return errors.New("--id names one message: give a payload or --file with it")
	}
	session, err := c.dial(ctx, log, s, sdk.Options{Publisher: p.Scope})
	if err != nil {
		return err
	}
	defer session.Close()
	var sum published
	if lines {
		sum, err = p.publishLines(session, s.in)
	} else {
		sum, err = p.publishOne(session, s.in)
	}
	if sum.Published == 0 && err != nil {
		return err
	}
	return errors.Join(err, p.print(s.out, sum))
}

func (p *pubCommand) publishOne(session *session, in io.Reader) (published, error) {
	var sum published
	payload, err := p.read(in)
	if err != nil {
		return sum, err
	}
	results, err := session.Publish(session.ctx, sdk.Message{Topic: p.Topic, Payload: payload, Headers: p.Header, ID: p.ID})
	sum.add(results)
	return sum, err
}

func (p *pubCommand) read(in io.Reader) ([]byte, error) {
	switch p.File {
	case "":
		return []byte(*p.Payload), nil
	case "-":
	default:
		f, err := os.Open(p.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	payload, err := io.ReadAll(io.LimitReader(in, wire.MaxMessageBytes+1))
	if err == nil && len(payload) > wire.MaxMessageBytes {
		err = fmt.Errorf("%s: over %d bytes, more than one message may hold", p.File, wire.MaxMessageBytes)
	}
	return payload, err
}

// publishLines publishes lines as fast as the hub answers. At the first refusal it
// reads no further.
func (p *pubCommand) publishLines(session *session, in io.Reader) (published, error) {
	var (
		mu     sync.Mutex
		sum    published
		failed error
	)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, wire.MaxMessageBytes)
	for number := 1; scanner.Scan(); number++ {
		message := sdk.Message{Topic: p.Topic, Payload: append([]byte(nil), scanner.Bytes()...), Headers: p.Header}
		err := session.PublishAsync(session.ctx, []sdk.Message{message}, func(results []sdk.Result, err error) {
			mu.Lock()
			defer mu.Unlock()
			sum.add(results)
			if err != nil && failed == nil {
				failed = fmt.Errorf("line %d: %w", number, err)
			}
		})
		mu.Lock()
		if failed == nil && err != nil {
			failed = fmt.Errorf("line %d: %w", number, err)
		}
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
	}
	flushed := session.Flush(session.ctx)
	mu.Lock()
	defer mu.Unlock()
	if scanner.Err() != nil {
		return sum, fmt.Errorf("standard input: %w", scanner.Err())
	}
	if failed == nil {
		failed = flushed
	}
	return sum, failed
}

func (p *pubCommand) print(out io.Writer, sum published) error {
	if p.json() {
		return printJSON(out, sum)
	}
	what := fmt.Sprintf("sequence %d", sum.FirstSequence)
	if sum.LastSequence != sum.FirstSequence {
		what = fmt.Sprintf("sequences %d to %d", sum.FirstSequence, sum.LastSequence)
	}
	if sum.Duplicates > 0 {
		what += fmt.Sprintf(", %d there before", sum.Duplicates)
	}
	if sum.Published == 0 {
		what = "nothing to publish"
	}
	_, err := fmt.Fprintf(out, "published %d to %s: %s\n", sum.Published, p.Topic, what)
	return err
}
