package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
)

// connection is where the server is and how long to wait for it.
type connection struct {
	Server  string        `help:"Address of the hub; the REST interface is at the same host and port." default:"ws://127.0.0.1:8080/ws"`
	Timeout time.Duration `help:"Time to connect, and for each answer." default:"10s"`
}

// unreachableError says which server could not be reached, why, and what to do.
type unreachableError struct {
	address string
	err     error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no gpupulse server at %s: %v\nStart one with gpupulse-server, or name another with --server ws://HOST:PORT/ws.", e.address, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// ExitCode tells scripts to try again later.
func (e *unreachableError) ExitCode() int { return 3 }

// addresses are the hub's and the REST interface's. An http address is taken too.
func (c *connection) addresses() (hub, rest string, err error) {
	u, err := url.Parse(c.Server)
	if err != nil || u.Host == "" {
		return "", "", fmt.Errorf("--server %q: must be an address such as ws://127.0.0.1:8080/ws", c.Server)
	}
	twin := map[string]string{"ws": "http", "wss": "https", "http": "ws", "https": "wss"}[u.Scheme]
	if twin == "" {
		return "", "", fmt.Errorf("--server %q: must begin with ws://, wss://, http:// or https://", c.Server)
	}
	base, other := *u, *u
	base.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/ws")
	other.Path = base.Path + "/ws"
	if strings.HasPrefix(u.Scheme, "ws") {
		base.Scheme = twin
	} else {
		other.Scheme = twin
	}
	return other.String(), base.String(), nil
}

// session is a client of the hub. Its context ends when the hub has refused the
// client for good.
type session struct {
	*sdk.Client
	ctx context.Context
}

// dial connects. A first try that fails is final; later losses are reported and
// mended by the client.
func (c *connection) dial(ctx context.Context, log *slog.Logger, s *streams, o sdk.Options) (*session, error) {
	address, _, err := c.addresses()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	connected := false // touched by OnState only, which one goroutine calls
	o.Name, o.Logger = "gpupulse", log
	o.OnState = func(state sdk.State, err error) {
		switch {
		case state == sdk.Connected && connected:
			fmt.Fprintln(s.err, "gpupulse: connected again")
		case state == sdk.Connected:
			connected = true
		case state == sdk.Disconnected && connected:
			fmt.Fprintf(s.err, "gpupulse: connection lost, trying again: %v\n", err)
		case err != nil && (state == sdk.Closed || state == sdk.Disconnected):
			cancel(err)
		}
	}
	client, err := sdk.New(address, o)
	if err != nil {
		return nil, err
	}
	waiting, stop := context.WithTimeout(ctx, c.Timeout)
	defer stop()
	if err := client.Wait(waiting); err != nil {
		_ = client.Close() // it never was connected
		return nil, c.whyNot(ctx, address, err)
	}
	return &session{client, ctx}, nil
}

// whyNot turns a failed dial into what people are told.
func (c *connection) whyNot(ctx context.Context, address string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var fault *wire.Fault
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &fault) && !fault.Code.Retry():
		return fmt.Errorf("the server at %s refused: %w", address, fault)
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v", c.Timeout)
	case errors.As(err, &network):
		err = network // what stands around it repeats the address
	}
	return &unreachableError{address, err}
}
