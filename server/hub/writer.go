package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"gpupulse/sdk/wire"
)

// write is the connection's writer. It writes everything that is queued and then waits,
// with no timer: while one write runs the next frame's content gathers, so load makes
// frames bigger by itself and an idle connection is answered at once. An error is a
// failed write, or a *wire.Fault where the connection is to be closed.
func (c *conn) write(ctx context.Context) error {
	var buf []byte
	for {
		select {
		case <-c.out.wake:
		case <-ctx.Done():
			return nil
		}
		c.out.turn.Lock()
		again, err := c.writeAll(ctx, buf[:0])
		c.out.turn.Unlock()
		if err != nil {
			return err
		}
		buf = again
		if c.out.finished() {
			return wire.Faultf(wire.Draining, "the hub is going down")
		}
	}
}

// writeAll writes until nothing waits. The caller has the turn; buf is used and given back.
func (c *conn) writeAll(ctx context.Context, buf []byte) ([]byte, error) {
	for {
		wrote, err := c.writeControl(ctx)
		if err != nil {
			return buf, err
		}
		live, ok := c.out.takeLive(buf[:0])
		buf = live.frame
		if !ok && !wrote {
			return buf, nil
		}
		if ok {
			if err := c.writeLive(ctx, live); err != nil {
				return buf, err
			}
		}
	}
}

func (c *conn) writeControl(ctx context.Context) (wrote bool, err error) {
	for _, frame := range c.out.takeControl() {
		if err := c.writeFrame(ctx, frame); err != nil {
			return true, err
		}
		wrote = true
	}
	return wrote, nil
}

// writeHere writes answers in the reader's goroutine, or leaves it to the writer if that is
// at it.
func (c *conn) writeHere() error {
	if !c.out.turn.TryLock() {
		c.out.signal()
		return nil
	}
	defer c.out.turn.Unlock()
	_, err := c.writeControl(context.Background()) // writeFrame has a bound of its own
	c.out.signalIfReady()
	return err
}

func (c *conn) writeLive(ctx context.Context, l liveFrame) error {
	if l.dropped > 0 {
		c.dropped.Add(l.dropped)
		b, err := wire.Marshal(&wire.Frame{Kind: &wire.Frame_Dropped{Dropped: &wire.Dropped{Subscription: l.subscription, Count: l.dropped}}})
		if err != nil {
			return err
		}
		if err := c.writeFrame(ctx, b); err != nil {
			return err
		}
	}
	if len(l.frame) == 0 {
		return nil
	}
	c.delivered.Add(uint64(l.messages))
	c.hub.stats.messagesOut.Add(uint64(l.messages))
	return c.writeFrame(ctx, l.frame)
}

// writeFrame writes one encoded frame as one WebSocket message. A client that takes nothing
// for too long ends.
func (c *conn) writeFrame(ctx context.Context, frame []byte) error {
	kind := websocket.MessageBinary
	if c.json {
		f, err := wire.Unmarshal(frame)
		if err != nil {
			return fmt.Errorf("turn frame into JSON: %w", err)
		}
		if frame, err = wire.MarshalJSON(f); err != nil {
			return err
		}
		kind = websocket.MessageText
	}
	bounded, cancel := context.WithTimeout(ctx, c.hub.o.WriteTimeout)
	defer cancel()
	if err := c.ws.Write(bounded, kind, frame); err != nil {
		if bounded.Err() != nil && ctx.Err() == nil {
			return wire.Faultf(wire.SlowReader, "took nothing for %s", c.hub.o.WriteTimeout)
		}
		return fmt.Errorf("write to connection %d: %w", c.id, err)
	}
	c.hub.stats.bytesOut.Add(uint64(len(frame)))
	return nil
}

// ping asks a client that has been silent for an answer, and ends one that gives none.
func (c *conn) ping(now time.Time) {
	silent := now.Sub(time.Unix(0, c.heard.Load()))
	if silent > 2*c.hub.o.PingInterval {
		c.end(wire.Faultf(wire.IdleTimeout, "nothing heard for %s", silent.Round(time.Second)))
		return
	}
	c.send(&wire.Frame{Kind: &wire.Frame_Ping{Ping: &wire.Ping{Nonce: uint64(now.UnixNano())}}})
}
