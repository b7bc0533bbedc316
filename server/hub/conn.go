package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"gpupulse/sdk/wire"
)

// conn is one client's connection. Its reader is the goroutine that serves the HTTP
// request, its writer a second one; both end before serve returns.
type conn struct {
	hub      *Hub
	ws       *websocket.Conn
	id       uint64
	json     bool
	remote   string
	protocol string
	since    time.Time
	out      *outbox

	kicked atomic.Pointer[kick]

	// Set by Connect, before anybody else sees the connection.
	name, publisher, client string

	// Owned by the reader.
	subscriptions map[uint64]*subscription
	members       map[uint64]*member

	unacked   window
	heard     atomic.Int64 // when the client last sent anything, nanoseconds since 1970
	published atomic.Uint64
	delivered atomic.Uint64
	dropped   atomic.Uint64
	opened    atomic.Int64 // len(subscriptions)
	joined    atomic.Int64 // len(members)
}

// window counts messages that are published and not yet answered.
type window struct {
	mu   sync.Mutex
	room sync.Cond
	open int
	max  int
	done bool
}

// take waits until n messages fit; more than max fit when nothing else is open, which is
// told.
func (w *window) take(n int) (alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.open > 0 && w.open+n > w.max && !w.done {
		w.room.Wait()
	}
	w.open += n
	return w.open == n
}

func (w *window) give(n int) {
	w.mu.Lock()
	w.open -= n
	w.room.Broadcast()
	w.mu.Unlock()
}

func (w *window) close() {
	w.mu.Lock()
	w.done = true
	w.room.Broadcast()
	w.mu.Unlock()
}

// ServeHTTP is the hub's WebSocket endpoint. It returns when the connection has ended.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.admit(r.RemoteAddr == localAddr); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.leave()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:    []string{wire.ProtocolBinary, wire.ProtocolJSON},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	switch ws.Subprotocol() {
	case wire.ProtocolBinary, wire.ProtocolJSON:
	default:
		_ = ws.Close(websocket.StatusCode(wire.WrongVersion), "want subprotocol "+wire.ProtocolBinary+" or "+wire.ProtocolJSON)
		return
	}
	ws.SetReadLimit(-1) // readFrame has the bound, with a code that clients know
	c := &conn{
		hub: h, ws: ws, json: ws.Subprotocol() == wire.ProtocolJSON, protocol: ws.Subprotocol(),
		remote: r.RemoteAddr, since: time.Now(), out: newOutbox(),
		subscriptions: map[uint64]*subscription{}, members: map[uint64]*member{},
	}
	c.unacked.room.L, c.unacked.max = &c.unacked.mu, h.o.MaxUnacked
	c.serve(r.Context())
}

// serve runs the connection from Connect to its end.
func (c *conn) serve(ctx context.Context) {
	c.heard.Store(time.Now().UnixNano())
	if err := c.handshake(ctx); err != nil {
		c.close(err)
		return
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var writer sync.WaitGroup
	c.hub.enter(c)
	defer c.hub.exit(c)
	writer.Go(func() {
		if err := c.write(writing); err != nil {
			c.end(err)
		}
	})
	err := c.read(ctx)
	for _, s := range c.subscriptions {
		s.end()
	}
	for _, m := range c.members {
		m.consumer.leave(m)
	}
	stop()
	c.out.close()
	writer.Wait()
	c.close(err)
}

// kick is why a connection was ended from outside its reader.
type kick struct {
	fault *wire.Fault // nil: it had ended by itself before
	said  chan struct{}
}

// end ends the connection from outside its reader. The first reason counts.
func (c *conn) end(err error) {
	var fault *wire.Fault
	if !errors.As(err, &fault) {
		_ = c.ws.CloseNow() // its writer has failed: nothing can be said any more
		return
	}
	k := &kick{fault, make(chan struct{})}
	if !c.kicked.CompareAndSwap(nil, k) {
		return
	}
	c.unacked.close()
	c.out.close()
	// Closing waits for the client's answer, some seconds at most; serve waits for this.
	go func() {
		defer close(k.said)
		c.say(fault)
	}()
}

// handshake reads Connect and answers Welcome.
func (c *conn) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.hub.o.HandshakeTimeout, wire.Faultf(wire.IdleTimeout, "no Connect in time"))
	defer cancel()
	b, err := c.readFrame(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	f, err := c.decode(b)
	if err != nil {
		return err
	}
	connect := f.GetConnect()
	if connect == nil {
		return wire.Faultf(wire.ProtocolFault, "the first frame must be Connect")
	}
	for what, text := range map[string]string{"name": connect.GetName(), "publisher": connect.GetPublisher(), "agent": connect.GetAgent()} {
		if len(text) > wire.MaxNameBytes {
			return wire.Faultf(wire.ProtocolFault, "%s of %d bytes, %d are allowed", what, len(text), wire.MaxNameBytes)
		}
	}
	c.id = c.hub.nextConn.Add(1)
	c.name, c.publisher, c.client = connect.GetName(), connect.GetPublisher(), connect.GetAgent()
	c.send(&wire.Frame{Kind: &wire.Frame_Welcome{Welcome: c.hub.welcome(c.id)}})
	return nil
}

// read takes frames until the connection ends, which it always tells as an error.
func (c *conn) read(ctx context.Context) error {
	for {
		buf := buffers.Get().(*[]byte)
		b, err := c.readFrame(ctx, buf)
		if err != nil {
			buffers.Put(buf)
			return err
		}
		c.heard.Store(time.Now().UnixNano())
		c.hub.stats.bytesIn.Add(uint64(len(b)))
		err = c.dispatch(b)
		buffers.Put(buf)
		if err != nil {
			return err
		}
		c.out.waitForRoom()
	}
}

// buffers holds what frames are read into. A connection takes one only once a frame
// has begun to arrive, so that idle ones hold none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// readFrame reads one WebSocket message into *buf, or into new memory if buf is nil.
func (c *conn) readFrame(ctx context.Context, buf *[]byte) ([]byte, error) {
	kind, r, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	if (kind == websocket.MessageText) != c.json {
		return nil, wire.Faultf(wire.ProtocolFault, "%s takes %s messages", c.protocol, map[bool]string{true: "text", false: "binary"}[c.json])
	}
	if buf == nil {
		buf = new([]byte)
	}
	b := (*buf)[:0]
	for {
		if len(b) > c.hub.o.MaxFrameBytes {
			return nil, wire.Faultf(wire.FrameTooBig, "frame over %d bytes", c.hub.o.MaxFrameBytes)
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buf = b
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *conn) decode(b []byte) (*wire.Frame, error) {
	if c.json {
		return wire.UnmarshalJSON(b)
	}
	return wire.Unmarshal(b)
}

// send queues a frame.
func (c *conn) send(f *wire.Frame) {
	b, err := wire.Marshal(f)
	if err != nil {
		c.hub.o.Logger.Error("encode frame", "conn", c.id, "err", err)
		return
	}
	c.out.put(b)
}

// close ends the connection after its reader has, telling the client why if it still
// listens.
func (c *conn) close(err error) {
	c.out.close()
	c.unacked.close()
	var fault *wire.Fault
	switch {
	case !c.kicked.CompareAndSwap(nil, new(kick)):
		k := c.kicked.Load()
		<-k.said
		fault = k.fault
	case errors.As(err, &fault) && fault.Code.Closes():
		c.say(fault)
	case errors.As(err, &fault):
		fault = &wire.Fault{Code: wire.ProtocolFault, Text: fault.Error()}
		c.say(fault)
	}
	_ = c.ws.CloseNow() // nothing more can be done about an error
	if fault == nil {
		c.hub.o.Logger.Debug("connection ended", "conn", c.id, "name", c.name, "err", err)
		return
	}
	c.hub.o.Logger.Info("connection closed", "conn", c.id, "name", c.name, "remote", c.remote,
		"code", uint32(fault.Code), "reason", fault.Text)
}

// maxCloseReason is what RFC 6455 leaves for a close frame's text: 125 less the code.
const maxCloseReason = 123

// say sends the close frame, as far as the client takes it.
func (c *conn) say(fault *wire.Fault) {
	text := fault.Text
	if len(text) > maxCloseReason {
		text = text[:maxCloseReason]
	}
	_ = c.ws.Close(websocket.StatusCode(fault.Code), text)
}
