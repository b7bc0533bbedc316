package sdk_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a hub that does what a test says: one function for each connection in turn,
// the last one for all that follow.
type script struct {
	t   *testing.T
	url string
}

// link is one scripted connection, after its handshake.
type link struct {
	t  *testing.T
	ws *websocket.Conn
}

func newScript(t *testing.T, connections ...func(*link)) *script {
	t.Helper()
	next := make(chan int, 1)
	next <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.ProtocolBinary}})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(wire.MaxFrameBytes)
		i := <-next
		next <- min(i+1, len(connections)-1)
		l := &link{t, ws}
		if f := l.read(); f.GetConnect() == nil {
			return
		}
		l.send(&wire.Frame{Kind: &wire.Frame_Welcome{Welcome: &wire.Welcome{Epoch: "e", PingIntervalMs: 20000}}})
		connections[i](l)
	}))
	t.Cleanup(server.Close)
	return &script{t, "ws" + strings.TrimPrefix(server.URL, "http")}
}

// read returns the next frame, an empty one once the client has gone.
func (l *link) read() *wire.Frame {
	_, b, err := l.ws.Read(context.Background())
	if err != nil {
		return new(wire.Frame)
	}
	f, err := wire.Unmarshal(b)
	require.NoError(l.t, err)
	return f
}

func (l *link) send(f *wire.Frame) {
	b, err := wire.Marshal(f)
	require.NoError(l.t, err)
	_ = l.ws.Write(context.Background(), websocket.MessageBinary, b) // the client may have gone
}

func (l *link) ack(p *wire.Publish, first uint64, exceptions ...*wire.PubException) {
	l.send(&wire.Frame{Kind: &wire.Frame_PubAck{PubAck: &wire.PubAck{
		Request: p.GetRequest(), FirstSequence: first, Count: uint32(len(p.GetMessages())), Exceptions: exceptions,
	}}})
}

// ackAll acknowledges everything from a sequence on and reports the ids it sees.
func ackAll(first uint64, ids chan<- string) func(*link) {
	return func(l *link) {
		for {
			f := l.read()
			if f.GetKind() == nil {
				return
			}
			if p := f.GetPublish(); p != nil {
				for _, m := range p.GetMessages() {
					ids <- m.GetId()
				}
				l.ack(p, first)
				first += uint64(len(p.GetMessages()))
			}
		}
	}
}

func (s *script) dial(o sdk.Options) *sdk.Client {
	s.t.Helper()
	if o.MinBackoff == 0 {
		o.MinBackoff, o.MaxBackoff = time.Millisecond, 10*time.Millisecond
	}
	c, err := sdk.Dial(soon(s.t), s.url, o)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, c.Close()) })
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWhatWasNotAnsweredIsSentAgainWithItsIDs(t *testing.T) {
	lost, ids := make(chan string, 10), make(chan string, 10)
	s := newScript(t, func(l *link) {
		for _, m := range l.read().GetPublish().GetMessages() {
			lost <- m.GetId()
		}
	}, ackAll(7, ids))
	c := s.dial(sdk.Options{})
	results, err := c.Publish(soon(t), sdk.Message{Topic: "a"}, sdk.Message{Topic: "b", ID: "own"})
	require.NoError(t, err)
	require.Equal(t, []sdk.Result{{Sequence: 7}, {Sequence: 8}}, results)
	require.Equal(t, <-lost, <-ids)
	require.Equal(t, "own", <-lost)
	require.Equal(t, "own", <-ids)
}

func TestWhatTheLogCannotTakeIsSentAgainInOrder(t *testing.T) {
	ids := make(chan string, 10)
	s := newScript(t, func(l *link) {
		p := l.read().GetPublish()
		var refused []*wire.PubException
		for i := range p.GetMessages() {
			refused = append(refused, &wire.PubException{Index: uint32(i), Code: uint32(wire.LogUnavailable), Text: "disk full"})
		}
		l.ack(p, 0, refused...)
		ackAll(1, ids)(l)
	})
	c := s.dial(sdk.Options{})
	results, err := c.Publish(soon(t), sdk.Message{Topic: "a", ID: "1"}, sdk.Message{Topic: "a", ID: "2"})
	require.NoError(t, err)
	require.Equal(t, []sdk.Result{{Sequence: 1}, {Sequence: 2}}, results)
	require.Equal(t, "1", <-ids)
	require.Equal(t, "2", <-ids)
}

func TestRefusedAndDuplicateMessagesAreTold(t *testing.T) {
	s := newScript(t, func(l *link) {
		l.ack(l.read().GetPublish(), 5,
			&wire.PubException{Index: 1, Code: uint32(wire.TooMany), Text: "no"}, &wire.PubException{Index: 2, DuplicateOf: 3})
		l.read()
	})
	c := s.dial(sdk.Options{})
	results, err := c.Publish(soon(t), sdk.Message{Topic: "a"}, sdk.Message{Topic: "b"}, sdk.Message{Topic: "c"}, sdk.Message{Topic: "d"})
	require.ErrorContains(t, err, "message 2 of 4: too many: no")
	require.Equal(t, uint64(5), results[0].Sequence)
	require.Equal(t, sdk.Result{Sequence: 3, Duplicate: true}, results[2])
	require.Equal(t, uint64(6), results[3].Sequence)
}

func TestBadMessagesAreRefusedBeforeTheyAreSent(t *testing.T) {
	s := newScript(t, func(l *link) { l.read() })
	c := s.dial(sdk.Options{})
	for topic, payload := range map[string]int{"": 1, "a..b": 1, "big": wire.MaxMessageBytes} {
		_, err := c.Publish(soon(t), sdk.Message{Topic: topic, Payload: make([]byte, payload)})
		var fault *wire.Fault
		require.ErrorAs(t, err, &fault, "topic %q", topic)
	}
}

func TestWindowHoldsPublishersBack(t *testing.T) {
	release := make(chan struct{})
	s := newScript(t, func(l *link) {
		p := l.read().GetPublish()
		<-release
		l.ack(p, 1)
		ackAll(3, make(chan string, 10))(l)
	})
	c := s.dial(sdk.Options{MaxUnacked: 2})
	two := []sdk.Message{{Topic: "a"}, {Topic: "b"}}
	ignore := func([]sdk.Result, error) {}
	require.NoError(t, c.PublishAsync(soon(t), two, ignore))
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.PublishAsync(short, two, ignore), context.DeadlineExceeded)
	require.ErrorIs(t, c.Flush(short), context.DeadlineExceeded)
	close(release)
	require.NoError(t, c.PublishAsync(soon(t), two, ignore))
	require.NoError(t, c.Flush(soon(t)))
}

func TestClosingFailsWhatIsOpen(t *testing.T) {
	s := newScript(t, func(l *link) { l.read(); l.read() })
	c := s.dial(sdk.Options{})
	failed := make(chan error, 1)
	require.NoError(t, c.PublishAsync(soon(t), []sdk.Message{{Topic: "a"}}, func(_ []sdk.Result, err error) { failed <- err }))
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-failed, sdk.ErrClosed)
	_, err := c.Publish(soon(t), sdk.Message{Topic: "a"})
	require.ErrorIs(t, err, sdk.ErrClosed)
	_, err = c.Subscribe(soon(t), ">", sdk.SubscribeOptions{}, func(*sdk.Delivery) {})
	require.ErrorIs(t, err, sdk.ErrClosed)
	require.Equal(t, sdk.Closed, c.State())
}

func TestFinalCloseCodesEndTheClientAndOthersDoNot(t *testing.T) {
	for code, final := range map[wire.Code]bool{wire.Unauthorised: true, wire.SlowReader: false} {
		t.Run(code.String(), func(t *testing.T) {
			states := make(chan sdk.State, 100)
			s := newScript(t, func(l *link) { _ = l.ws.Close(websocket.StatusCode(code), "because") }, func(l *link) { l.read() })
			c, err := sdk.New(s.url, sdk.Options{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, OnState: func(s sdk.State, _ error) { states <- s }})
			require.NoError(t, err)
			for _, want := range []sdk.State{sdk.Connecting, sdk.Connected} {
				require.Equal(t, want, <-states)
			}
			if final {
				require.Equal(t, sdk.Closed, <-states)
				var fault *wire.Fault
				require.ErrorAs(t, c.Wait(soon(t)), &fault)
				require.Equal(t, "because", fault.Text)
			} else {
				for _, want := range []sdk.State{sdk.Disconnected, sdk.Connecting, sdk.Connected} {
					require.Equal(t, want, <-states)
				}
			}
			require.NoError(t, c.Close())
		})
	}
}

// TestAnswersBeforeTheHubHasAgreed: a delivery may overtake the answer to Consume, and its ack
// must be sent all the same.
func TestAnswersBeforeTheHubHasAgreed(t *testing.T) {
	acked := make(chan *wire.Ack, 1)
	s := newScript(t, func(l *link) {
		consume := l.read().GetConsume()
		l.send(&wire.Frame{Kind: &wire.Frame_Deliver{Deliver: &wire.Deliver{Subscription: consume.GetRequest(), Deliveries: []*wire.Delivery{
			{Sequence: 1, Attempt: 1, Message: &wire.Message{Topic: "a"}},
		}}}})
		<-time.After(20 * time.Millisecond) // the handler answers meanwhile
		l.send(&wire.Frame{Kind: &wire.Frame_Subscribed{Subscribed: &wire.Subscribed{Request: consume.GetRequest(), Epoch: "e"}}})
		acked <- l.read().GetAck()
		l.read()
	})
	c := s.dial(sdk.Options{})
	_, err := c.Consume(soon(t), sdk.ConsumeOptions{Consumer: "c", Filter: ">"}, func(d *sdk.Delivery) { require.NoError(t, d.Ack()) })
	require.NoError(t, err)
	select {
	case ack := <-acked:
		require.Equal(t, uint64(1), ack.GetRanges()[0].GetFirst())
	case <-soon(t).Done():
		require.Fail(t, "the ack was never sent")
	}
}

func TestUnreachableServerIsNamed(t *testing.T) {
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := sdk.Dial(short, "ws://127.0.0.1:1/ws", sdk.Options{})
	require.ErrorContains(t, err, "127.0.0.1:1")
	for _, bad := range []string{"http://x/ws", "nonsense", "ws://"} {
		_, err := sdk.New(bad, sdk.Options{})
		require.ErrorContains(t, err, "server address", bad)
	}
}

func TestManyPublishersShareFrames(t *testing.T) {
	frames := make(chan int, 10_000)
	s := newScript(t, func(l *link) {
		for first := uint64(1); ; {
			p := l.read().GetPublish()
			if p == nil {
				return
			}
			frames <- len(p.GetMessages())
			l.ack(p, first)
			first += uint64(len(p.GetMessages()))
		}
	})
	c := s.dial(sdk.Options{})
	for i := range 2000 {
		require.NoError(t, c.PublishAsync(soon(t), []sdk.Message{{Topic: "a", Payload: fmt.Append(nil, i)}}, func(_ []sdk.Result, err error) {
			require.NoError(t, err)
		}))
	}
	require.NoError(t, c.Flush(soon(t)))
	require.Less(t, len(frames), 2000, "messages that wait go out together")
}
