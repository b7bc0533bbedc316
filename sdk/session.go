package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"gpupulse/sdk/wire"
)

const (
	// handshakeTimeout bounds the way from dialling to Welcome.
	handshakeTimeout = 10 * time.Second
	// writeTimeout bounds one frame's write.
	writeTimeout = 30 * time.Second
)

// session is one connection, from Welcome to its end.
type session struct {
	client  *Client
	ws      *websocket.Conn
	welcome *wire.Welcome
	silence time.Duration // how long nothing may be heard
	wake    chan struct{}
	turn    sync.Mutex // held by who writes: the writer, or a publisher for itself
	broken  chan error // takes what a publisher's write failed with

	buf []byte // the reader's

	control [][]byte // guarded by Client.mu: frames to write first
}

// awayError ends a session that the hub has asked to go.
type awayError struct {
	reason string
	retry  time.Duration
}

func (e *awayError) Error() string { return "hub asked to reconnect: " + e.reason }

// connect dials and shakes hands.
func (c *Client) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	protocol := wire.ProtocolBinary
	if c.o.JSON {
		protocol = wire.ProtocolJSON
	}
	options := &websocket.DialOptions{
		Subprotocols: []string{protocol}, CompressionMode: websocket.CompressionDisabled, HTTPClient: c.httpClient(),
	}
	ws, response, err := websocket.Dial(ctx, c.url, options)
	if err != nil {
		return nil, dialError(c.url, response, err)
	}
	ws.SetReadLimit(wire.MaxFrameBytes + 64<<10) // a frame of the largest message and its envelope
	s := &session{client: c, ws: ws, wake: make(chan struct{}, 1), broken: make(chan error, 1)}
	if err := s.handshake(ctx); err != nil {
		_ = ws.CloseNow() // the handshake's error is the one to tell
		return nil, err
	}
	return s, nil
}

func (c *Client) httpClient() *http.Client {
	if c.o.Dial == nil {
		return nil
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.o.Dial(ctx) },
		DisableKeepAlives: true,
	}}
}

// dialError says what the server answered, where it is not a hub.
func dialError(url string, response *http.Response, err error) error {
	if response == nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("connect to %s: %w", url, wire.Faultf(wire.Unauthorised, "the server answered %s", response.Status))
	case http.StatusSwitchingProtocols:
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	return fmt.Errorf("connect to %s: the server answered %s: %w", url, response.Status, err)
}

func (s *session) handshake(ctx context.Context) error {
	o := s.client.o
	if err := s.write(ctx, &wire.Frame{Kind: &wire.Frame_Connect{Connect: &wire.Connect{
		Token: o.Token, Name: o.Name, Publisher: o.Publisher, Agent: "gpupulse-go",
	}}}); err != nil {
		return err
	}
	b, err := s.read(ctx)
	if err != nil {
		return err
	}
	f, err := s.decode(b)
	if err != nil {
		return err
	}
	if s.welcome = f.GetWelcome(); s.welcome == nil {
		return wire.Faultf(wire.ProtocolFault, "the hub's first frame is not Welcome")
	}
	s.silence = 2 * max(time.Second, time.Duration(s.welcome.GetPingIntervalMs())*time.Millisecond)
	return nil
}

// serve runs a session until it ends, and tells why.
func (c *Client) serve(s *session) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.session = s
	for _, x := range c.outlets {
		x.openLocked(s)
	}
	c.resendLocked()
	c.mu.Unlock()
	c.setState(Connected, nil)
	s.signal()
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := s.writeLoop(ctx); err != nil {
			cancel(err)
		}
	})
	err := s.readLoop(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(err)
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	writer.Wait()
	if c.ctx.Err() != nil {
		_ = s.ws.Close(websocket.StatusNormalClosure, "") // best effort: it may be broken already
	}
	_ = s.ws.CloseNow()
	return err
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writeLoop writes what is queued, as much as a frame takes at a time, until ctx ends.
func (s *session) writeLoop(ctx context.Context) error {
	var buf []byte
	for {
		select {
		case <-s.wake:
		case err := <-s.broken:
			return err
		case <-ctx.Done():
			return nil
		}
		s.turn.Lock()
		again, err := s.writeAll(ctx, buf)
		s.turn.Unlock()
		if err != nil {
			return err
		}
		buf = again
	}
}

// writeAll writes until nothing waits. The caller has the turn; buf is used and given back.
func (s *session) writeAll(ctx context.Context, buf []byte) ([]byte, error) {
	for {
		frame := s.next(buf[:0])
		if frame == nil {
			return buf, nil
		}
		if cap(frame) > cap(buf) && cap(frame) <= 4*wire.CoalesceBytes {
			buf = frame
		}
		if err := s.writeBytes(ctx, frame); err != nil {
			return buf, err
		}
	}
}

// writeHere writes what is queued in the caller's goroutine. It reports false, having done
// nothing, if somebody else writes at the moment: they must be signalled.
func (s *session) writeHere() bool {
	if !s.turn.TryLock() {
		return false
	}
	_, err := s.writeAll(context.Background(), nil) // writeBytes has a bound of its own
	s.turn.Unlock()
	if err != nil {
		select {
		case s.broken <- err: // ends the session; what is queued goes to the next one
		default:
		}
	}
	return true
}

// next encodes the next frame: control first, then answers, then messages.
func (s *session) next(buf []byte) []byte {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(s.control) > 0 {
		frame := s.control[0]
		s.control = s.control[1:]
		return frame
	}
	for _, x := range c.outlets {
		if frame := x.nextAnswerLocked(); frame != nil {
			return frame
		}
	}
	return c.nextPublishLocked(buf)
}

// readLoop acts on what the hub sends until the connection ends.
func (s *session) readLoop(ctx context.Context) error {
	for {
		heard, cancel := context.WithTimeoutCause(ctx, s.silence, fmt.Errorf("nothing heard from the hub for %s", s.silence))
		b, err := s.read(heard)
		if err != nil {
			if heard.Err() != nil {
				err = context.Cause(heard)
			}
			cancel()
			return err
		}
		cancel()
		if err := s.handle(b); err != nil {
			return err
		}
	}
}

// handle acts on one frame.
func (s *session) handle(b []byte) error {
	c := s.client
	if !c.o.JSON {
		if content, ok := wire.IsDeliver(b); ok {
			return c.deliver(s, bytes.Clone(content)) // the deliveries keep it
		}
	}
	f, err := s.decode(b)
	var fault *wire.Fault
	if errors.As(err, &fault) && !fault.Code.Closes() {
		return nil // a kind of frame that this version does not know
	}
	if err != nil {
		return err
	}
	switch k := f.GetKind().(type) {
	case *wire.Frame_PubAck:
		c.acknowledge(k.PubAck)
	case *wire.Frame_Deliver:
		b, err := wire.Marshal(f)
		if err != nil {
			return err
		}
		content, _ := wire.IsDeliver(b)
		return c.deliver(s, content)
	case *wire.Frame_Subscribed:
		c.opened(k.Subscribed)
	case *wire.Frame_Dropped:
		c.missed(k.Dropped)
	case *wire.Frame_Error:
		c.refused(k.Error)
	case *wire.Frame_Ping:
		return s.queue(&wire.Frame{Kind: &wire.Frame_Pong{Pong: &wire.Pong{Nonce: k.Ping.GetNonce()}}})
	case *wire.Frame_Pong:
		c.ponged(k.Pong.GetNonce())
	case *wire.Frame_GoAway:
		return &awayError{k.GoAway.GetReason(), time.Duration(k.GoAway.GetRetryAfterMs()) * time.Millisecond}
	}
	return nil
}

// queue has a frame written before anything else.
func (s *session) queue(f *wire.Frame) error {
	b, err := wire.Marshal(f)
	if err != nil {
		return err
	}
	s.client.mu.Lock()
	s.control = append(s.control, b)
	s.client.mu.Unlock()
	s.signal()
	return nil
}

func (s *session) write(ctx context.Context, f *wire.Frame) error {
	b, err := wire.Marshal(f)
	if err != nil {
		return err
	}
	return s.writeBytes(ctx, b)
}

func (s *session) writeBytes(ctx context.Context, b []byte) error {
	kind := websocket.MessageBinary
	if s.client.o.JSON {
		f, err := wire.Unmarshal(b)
		if err != nil {
			return err
		}
		if b, err = wire.MarshalJSON(f); err != nil {
			return err
		}
		kind = websocket.MessageText
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := s.ws.Write(ctx, kind, b); err != nil {
		return closeError(err)
	}
	return nil
}

// read returns the next frame. It is valid until the next call.
func (s *session) read(ctx context.Context) ([]byte, error) {
	_, r, err := s.ws.Reader(ctx)
	if err != nil {
		return nil, closeError(err)
	}
	b := s.buf[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		s.buf = b
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, closeError(err)
		}
	}
}

func (s *session) decode(b []byte) (*wire.Frame, error) {
	if s.client.o.JSON {
		return wire.UnmarshalJSON(b)
	}
	return wire.Unmarshal(b)
}

// closeError turns a close frame of the hub's into the fault that it tells.
func closeError(err error) error {
	var closed websocket.CloseError
	if errors.As(err, &closed) && closed.Code >= 4000 {
		return &wire.Fault{Code: wire.Code(closed.Code), Text: closed.Reason}
	}
	return err
}
