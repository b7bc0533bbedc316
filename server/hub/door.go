package hub

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// door lets clients in the hub's own process in: the same protocol as from outside,
// over a pipe in memory.
type door struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	server *http.Server
	served chan struct{}
}

// localAddr is a local client's remote address.
const localAddr = "local"

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return localAddr }

// pipeConn has an address by which the hub knows it.
type pipeConn struct{ net.Conn }

func (pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }
func (pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }

func openDoor(h *Hub) *door {
	d := &door{conns: make(chan net.Conn), closed: make(chan struct{}), served: make(chan struct{})}
	d.server = &http.Server{Handler: h, ReadHeaderTimeout: h.o.HandshakeTimeout}
	go func() {
		defer close(d.served)
		if err := d.server.Serve(d); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			h.o.Logger.Error("serve local clients", "err", err)
		}
	}()
	return d
}

// DialLocal connects a client in this process, for sdk.Options.Dial.
func (h *Hub) DialLocal(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case h.door.conns <- pipeConn{server}:
		return client, nil
	case <-h.door.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept is net.Listener's.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr is net.Listener's.
func (d *door) Addr() net.Addr { return pipeAddr{} }

func (d *door) close() {
	_ = d.server.Close() // closes the listener, which cannot fail
	<-d.served
}

// local reports whether the client is in this process.
func (c *conn) local() bool { return c.remote == localAddr }
