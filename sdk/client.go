package sdk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"gpupulse/sdk/wire"
)

// Client is a connection to a hub that comes back by itself. Its methods may be called
// concurrently.
type Client struct {
	o     Options
	url   string
	nonce string // makes this client's message ids its own

	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{} // the run loop has ended
	work   sync.WaitGroup

	mu       sync.Mutex
	state    State
	changed  chan struct{} // closed and renewed with each change of state
	final    error         // why the client is closed
	session  *session      // while connected
	requests uint64
	outlets  map[uint64]*outlet // subscriptions and consumers by request
	pongs    map[uint64]chan struct{}
	publisher
}

// New makes a client that connects in the background, and goes on trying until it is
// closed or refused for good. It fails only on bad options.
func New(url string, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &Client{
		o: o, url: url, nonce: strconv.FormatUint(rand.Uint64(), 36), ended: make(chan struct{}),
		changed: make(chan struct{}), outlets: map[uint64]*outlet{}, pongs: map[uint64]chan struct{}{},
	}
	c.publisher.init(&c.mu)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	go c.run()
	return c, nil
}

// Dial is New, and waits for the first connection, a final refusal or ctx.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	c, err := New(url, o)
	if err != nil {
		return nil, err
	}
	if err := c.Wait(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// State tells where the client stands.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Wait returns once the client is connected. A final refusal is a *wire.Fault, a closed
// client ErrClosed; if ctx ends first, the error says what the last try failed with.
func (c *Client) Wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, changed, final, last := c.state, c.changed, c.final, c.lastErr
		c.mu.Unlock()
		switch state {
		case Connected:
			return nil
		case Closed:
			return final
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("connect to %s: %w", c.url, context.Cause(ctx)), last)
		}
	}
}

// run connects, again and again.
func (c *Client) run() {
	defer close(c.ended)
	pause := c.o.MinBackoff
	for {
		c.setState(Connecting, nil)
		s, err := c.connect(c.ctx)
		if err == nil {
			pause = c.o.MinBackoff
			err = c.serve(s)
		}
		if c.ctx.Err() != nil {
			c.finish(context.Cause(c.ctx))
			return
		}
		var fault *wire.Fault
		if errors.As(err, &fault) && !fault.Code.Retry() {
			c.finish(err)
			return
		}
		c.setState(Disconnected, err)
		// Full jitter: clients that lost one hub together do not come back together.
		wait := time.Duration(rand.Int64N(int64(pause))) + 1
		var away *awayError
		if errors.As(err, &away) {
			wait += away.retry
		}
		pause = min(2*pause, c.o.MaxBackoff)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
		}
	}
}

func (c *Client) setState(s State, err error) {
	c.mu.Lock()
	c.state = s
	if err != nil {
		c.lastErr = err
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.o.Logger.Debug("connection", "server", c.url, "state", s.String(), "err", err)
	c.o.OnState(s, err)
}

// finish ends everything that is open.
func (c *Client) finish(err error) {
	if errors.Is(err, context.Canceled) {
		err = ErrClosed
	}
	c.mu.Lock()
	c.final = err
	for _, x := range c.outlets {
		x.closeLocked(err)
	}
	c.mu.Unlock()
	c.failPublishes(err)
	c.setState(Closed, err)
}

// Drain waits until everything published is answered and every answer to a delivery is
// sent, then closes. If ctx ends first it closes all the same and says so.
func (c *Client) Drain(ctx context.Context) error {
	err := c.Flush(ctx)
	if err == nil {
		err = c.flushAnswers(ctx)
	}
	return errors.Join(err, c.Close())
}

// Close ends the connection at once. What is not answered yet fails with ErrClosed. It
// waits for handlers to return, so it must not be called from one; it may be
// called more than once.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	<-c.ended
	c.work.Wait()
	return nil
}

// nextRequestLocked numbers requests; they are unique for the client's life.
func (c *Client) nextRequestLocked() uint64 {
	c.requests++
	return c.requests
}

// wakeLocked has the session look for something to write.
func (c *Client) wakeLocked() {
	if c.session != nil {
		c.session.signal()
	}
}
