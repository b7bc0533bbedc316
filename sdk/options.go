package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/google/uuid"

	"gpupulse/sdk/wire"
)

// Options of a client. The zero value is usable.
type Options struct {
	Name  string // what people see in lists of connections
	Token string
	// Publisher is the scope of message ids: a message that comes twice with one id from
	// one publisher is stored once. Empty: a random one for each client.
	Publisher string
	JSON      bool // speak gpupulse.v1.json instead of gpupulse.v1
	// MaxUnacked bounds the messages that are published and not yet answered; past it
	// publishing waits. 0: 4096. The hub's own bound holds besides.
	MaxUnacked int
	// A lost connection is tried again after a random pause of at most MinBackoff, then
	// twice that and so on up to MaxBackoff. 0: 100 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// Dial replaces the network: a hub in the same process, a proxy, a test.
	Dial    func(ctx context.Context) (net.Conn, error)
	Logger  *slog.Logger       // nil: none
	OnState func(State, error) // told of each change, from one goroutine; must not block
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxUnacked == 0 {
		o.MaxUnacked = 4096
	}
	if o.MinBackoff == 0 {
		o.MinBackoff = 100 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 5 * time.Second
	}
	if o.Publisher == "" {
		o.Publisher = uuid.NewString()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(State, error) {}
	}
	switch {
	case o.MaxUnacked < 0:
		return o, fmt.Errorf("MaxUnacked %d: want a positive number", o.MaxUnacked)
	case o.MinBackoff < 0 || o.MaxBackoff < o.MinBackoff:
		return o, fmt.Errorf("backoff from %s to %s: want it positive and growing", o.MinBackoff, o.MaxBackoff)
	case len(o.Name) > wire.MaxNameBytes || len(o.Publisher) > wire.MaxNameBytes:
		return o, fmt.Errorf("name or publisher is longer than %d bytes", wire.MaxNameBytes)
	}
	return o, nil
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("server address: %w", err)
	}
	if (u.Scheme != "ws" && u.Scheme != "wss") || u.Host == "" {
		return fmt.Errorf("server address %q: want ws://host:port/ws or wss://host:port/ws", raw)
	}
	return nil
}

// State is where a client stands.
type State int

// The states of a client.
const (
	Connecting   State = iota // trying, for the first time or again
	Connected                 // the hub has welcomed it
	Disconnected              // waiting before the next try
	Closed                    // closed, or refused for good
)

// String is the state's name.
func (s State) String() string {
	return [...]string{"connecting", "connected", "disconnected", "closed"}[s]
}

// ErrClosed answers calls on a closed client, and what was open when it was closed.
var ErrClosed = errors.New("client is closed")
