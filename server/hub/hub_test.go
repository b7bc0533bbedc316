package hub_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
)

// modelChecks is how many sequences of operations TestConsumerAgainstItsModel tries, where
// -rapid.checks does not say. A hundred would find little.
const modelChecks = "2000"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", modelChecks); err != nil {
			panic(err)
		}
	}
	// make test-go names a seed and prints it, since go test shows nothing of what passes.
	if seed := os.Getenv("GPUPULSE_TEST_SEED"); seed != "" {
		if err := flag.Set("rapid.seed", seed); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// bench is a hub on a real log behind a real socket.
type bench struct {
	t   testing.TB
	dir string
	o   hub.Options
	log *commitlog.Log
	hub *hub.Hub
	web *httptest.Server
}

func start(t testing.TB, dir string, o hub.Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir, o: o}
	var err error
	b.log, err = commitlog.Open(dir, commitlog.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	b.hub, err = hub.New(b.log, o)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ws", b.hub)
	b.web = httptest.NewServer(mux)
	return b
}

func (b *bench) stop() {
	b.t.Helper()
	require.NoError(b.t, b.hub.Close())
	b.web.Close()
	require.NoError(b.t, b.log.Close())
}

func (b *bench) url() string { return "ws" + strings.TrimPrefix(b.web.URL, "http") + "/ws" }

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (b *bench) dial(o sdk.Options) *sdk.Client {
	b.t.Helper()
	c, err := sdk.Dial(within(b.t), b.url(), o)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, c.Close()) })
	return c
}

func message(topic, payload string) sdk.Message {
	return sdk.Message{Topic: topic, Payload: []byte(payload)}
}

func publish(t testing.TB, c *sdk.Client, messages ...sdk.Message) []sdk.Result {
	t.Helper()
	results, err := c.Publish(within(t), messages...)
	require.NoError(t, err)
	return results
}

func TestPublishIsAcknowledgedAndDeliveredLive(t *testing.T) {
	for _, json := range []bool{false, true} {
		t.Run(fmt.Sprintf("json %v", json), func(t *testing.T) {
			b := start(t, t.TempDir(), hub.Options{})
			defer b.stop()
			subscriber, publisher := b.dial(sdk.Options{JSON: json}), b.dial(sdk.Options{JSON: json})
			defer subscriber.Close()
			defer publisher.Close()
			got := make(chan *sdk.Delivery, 10)
			_, err := subscriber.Subscribe(within(t), "gpu.>", sdk.SubscribeOptions{}, func(d *sdk.Delivery) { got <- d })
			require.NoError(t, err)
			results := publish(t, publisher, message("gpu.a.1", "one"), message("other", "x"),
				sdk.Message{Topic: "gpu.a.2", Payload: []byte{0, 255}, Headers: map[string]string{"k": "v"}, ID: "mine"})
			require.Equal(t, []sdk.Result{{Sequence: 1}, {Sequence: 2}, {Sequence: 3}}, results)
			first, second := <-got, <-got
			require.Equal(t, "gpu.a.1", first.Topic)
			require.Equal(t, "one", string(first.Payload))
			require.Equal(t, uint64(1), first.Sequence)
			require.Equal(t, 1, first.Attempt)
			require.WithinDuration(t, time.Now(), first.Time, time.Minute)
			require.Equal(t, uint64(3), second.Sequence)
			require.Equal(t, map[string]string{"k": "v"}, second.Headers)
			require.Equal(t, "mine", second.ID)
			require.Error(t, first.Ack(), "a live message takes no answer")
		})
	}
}

func TestEachBadMessageIsRefusedByItself(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxMessageBytes: 1000, MaxTopics: 2})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	results, err := c.Publish(within(t), message("a", "1"), message("$dead.x", "2"), message("a", strings.Repeat("x", 2000)),
		message("b", "3"), message("c", "4"))
	require.Error(t, err)
	require.Equal(t, uint64(1), results[0].Sequence)
	require.Equal(t, uint64(2), results[3].Sequence)
	for i, code := range map[int]wire.Code{1: wire.NotAllowed, 2: wire.MessageTooBig, 4: wire.TooMany} {
		var fault *wire.Fault
		require.ErrorAs(t, results[i].Err, &fault)
		require.Equal(t, code, fault.Code)
	}
	require.Equal(t, uint64(3), publish(t, c, message("a", "5"))[0].Sequence, "the connection goes on")
}

func TestDuplicatesAreStoredOnceAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, hub.Options{})
	c := b.dial(sdk.Options{Publisher: "p"})
	m := sdk.Message{Topic: "a", Payload: []byte("x"), ID: "1"}
	require.Equal(t, []sdk.Result{{Sequence: 1}, {Sequence: 1, Duplicate: true}}, publish(t, c, m, m))
	require.Equal(t, []sdk.Result{{Sequence: 1, Duplicate: true}}, publish(t, c, m))
	other := b.dial(sdk.Options{Publisher: "q"})
	require.Equal(t, []sdk.Result{{Sequence: 2}}, publish(t, other, m), "ids are a publisher's own")
	require.NoError(t, c.Close())
	require.NoError(t, other.Close())
	b.stop()

	b = start(t, dir, hub.Options{})
	defer b.stop()
	c = b.dial(sdk.Options{Publisher: "p"})
	defer c.Close()
	require.Equal(t, []sdk.Result{{Sequence: 1, Duplicate: true}}, publish(t, c, m))
	require.Eventually(t, func() bool { return b.hub.Stats().RateIn1s > 0 }, 5*time.Second, time.Millisecond)
	require.Zero(t, b.hub.Topics()[0].Rate1s, "what the log held before is not traffic of now")
}

func TestConflatedSubscriptionKeepsTheNewestAndBeginsWithTheLast(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	publish(t, c, message("gpu.1", "old"), message("gpu.1", "last"), message("gpu.2", "two"))
	var mu sync.Mutex
	latest, count := map[string]string{}, 0
	_, err := c.Subscribe(within(t), "gpu.*", sdk.SubscribeOptions{Conflate: 50 * time.Millisecond, SendLast: true}, func(d *sdk.Delivery) {
		mu.Lock()
		latest[d.Topic] = string(d.Payload)
		count++
		mu.Unlock()
	})
	require.NoError(t, err)
	is := func(one, two string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return latest["gpu.1"] == one && latest["gpu.2"] == two
		}
	}
	require.Eventually(t, is("last", "two"), 5*time.Second, time.Millisecond)
	for i := range 2000 {
		publish(t, c, message("gpu.1", fmt.Sprint(i)))
	}
	require.Eventually(t, is("1999", "two"), 5*time.Second, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Less(t, count, 1000, "most were conflated")
}

func TestConsumerGetsEverythingOnceAcrossMembersAndRestarts(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, hub.Options{})
	publisher := b.dial(sdk.Options{})
	var batch []sdk.Message
	for i := range 1000 {
		batch = append(batch, message(fmt.Sprintf("gpu.h.%d", i%7), fmt.Sprint(i)), message("noise", "x"))
	}
	publish(t, publisher, batch...)

	var mu sync.Mutex
	seen := map[string]int{}
	last := map[string]int{}
	handle := func(limit int) func(*sdk.Delivery) {
		return func(d *sdk.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			if limit > 0 && len(seen) >= limit {
				return // leave the rest unanswered
			}
			var n int
			_, err := fmt.Sscan(string(d.Payload), &n)
			require.NoError(t, err)
			require.Greater(t, n+1, last[d.Topic], "a topic stays in order")
			last[d.Topic] = n + 1
			seen[string(d.Payload)]++
			require.NoError(t, d.Ack())
		}
	}
	o := sdk.ConsumeOptions{Consumer: "c", Filter: "gpu.>", MaxInFlight: 100}
	one, two := b.dial(sdk.Options{}), b.dial(sdk.Options{})
	for _, c := range []*sdk.Client{one, two} {
		_, err := c.Consume(within(t), o, handle(300))
		require.NoError(t, err)
	}
	done := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) >= n }
	}
	require.Eventually(t, done(300), 10*time.Second, time.Millisecond)
	require.NoError(t, one.Drain(within(t)))
	require.NoError(t, two.Drain(within(t)))
	require.NoError(t, publisher.Close())
	b.stop()

	b = start(t, dir, hub.Options{})
	defer b.stop()
	info := b.hub.Consumers()[0]
	require.Equal(t, "c", info.Consumer)
	require.Equal(t, uint64(300), info.Acked)
	again := b.dial(sdk.Options{})
	defer again.Close()
	_, err := again.Consume(within(t), o, handle(0))
	require.NoError(t, err)
	require.Eventually(t, done(1000), 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return b.hub.Consumers()[0].Floor == 2000 }, 5*time.Second, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	for payload, n := range seen {
		require.Equal(t, 1, n, payload)
	}
}

func TestUnansweredMessagesComeAgainAndEndAsDeadLetters(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	dead := make(chan *sdk.Delivery, 10)
	_, err := c.Subscribe(within(t), "$dead.>", sdk.SubscribeOptions{}, func(d *sdk.Delivery) { dead <- d })
	require.NoError(t, err)
	var attempts [4]atomic.Int64
	_, err = c.Consume(within(t), sdk.ConsumeOptions{
		Consumer: "work", Filter: "job.*", AckWait: 60 * time.Millisecond, MaxDeliver: 3, Backoff: []time.Duration{5 * time.Millisecond},
	}, func(d *sdk.Delivery) {
		i := d.Payload[0] - '0'
		require.Equal(t, int(attempts[i].Add(1)), d.Attempt)
		switch i {
		case 0: // silent: its ack wait runs out
		case 1:
			require.NoError(t, d.Nak(time.Millisecond))
		case 2:
			require.NoError(t, d.Term("cannot be done"))
		case 3:
			require.NoError(t, d.Ack())
		}
	})
	require.NoError(t, err)
	publish(t, c, message("job.silent", "0"), message("job.nak", "1"),
		sdk.Message{Topic: "job.term", Payload: []byte("2"), Headers: map[string]string{"own": "kept"}}, message("job.good", "3"))
	reasons := map[string]string{}
	for range 3 {
		select {
		case d := <-dead:
			require.Equal(t, "$dead.work", d.Topic)
			reasons[d.Headers["gpupulse-topic"]] = d.Headers["gpupulse-reason"]
			if string(d.Payload) == "2" {
				require.Equal(t, "kept", d.Headers["own"])
				require.Equal(t, "1", d.Headers["gpupulse-deliveries"])
			} else {
				require.Equal(t, "3", d.Headers["gpupulse-deliveries"])
			}
		case <-within(t).Done():
			require.Fail(t, "dead letters are missing", "have %v", reasons)
		}
	}
	require.Contains(t, reasons["job.silent"], "ack wait")
	require.Contains(t, reasons["job.nak"], "nak")
	require.Equal(t, "cannot be done", reasons["job.term"])
	require.Eventually(t, func() bool {
		info := b.hub.Consumers()[0]
		return info.InFlight == 0 && info.DeadLetters == 3 && info.Acked == 1 && info.Redelivered == 4
	}, 5*time.Second, time.Millisecond, "%+v", b.hub.Consumers())
}

func TestProgressExtendsTheAckWait(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	deliveries := make(chan *sdk.Delivery, 10)
	_, err := c.Consume(within(t), sdk.ConsumeOptions{Consumer: "slow", Filter: "job", AckWait: 150 * time.Millisecond}, func(d *sdk.Delivery) { deliveries <- d })
	require.NoError(t, err)
	publish(t, c, message("job", "x"))
	d := <-deliveries
	for range 8 {
		<-time.After(50 * time.Millisecond)
		require.NoError(t, d.Progress())
	}
	require.NoError(t, d.Ack())
	require.Eventually(t, func() bool { return b.hub.Consumers()[0].Floor == 1 }, 5*time.Second, time.Millisecond)
	require.Empty(t, deliveries)
}

func TestStartPolicies(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	publish(t, c, message("t.1", "a"), message("t.2", "b"), message("t.1", "c"))
	<-time.After(2 * time.Millisecond)
	middle := time.Now()
	publish(t, c, message("t.3", "d"), message("t.2", "e"))
	for name, o := range map[string]sdk.ConsumeOptions{
		"abcdef": {},
		"f":      {Start: wire.Start_START_NEW},
		"cdef":   {Start: wire.Start_START_SEQUENCE, StartSequence: 3},
		"def":    {Start: wire.Start_START_TIME, StartTime: middle},
		"cdf-e":  {Start: wire.Start_START_LAST_PER_TOPIC},
	} {
		t.Run(name, func(t *testing.T) {
			o.Consumer, o.Filter = name, "t.*"
			got := make(chan string, 10)
			_, err := c.Consume(within(t), o, func(d *sdk.Delivery) {
				got <- string(d.Payload)
				require.NoError(t, d.Ack())
			})
			require.NoError(t, err)
			want := map[string]bool{}
			for _, r := range strings.ReplaceAll(strings.ReplaceAll(name, "-", ""), "f", "") {
				want[string(r)] = true
			}
			for len(want) > 0 {
				select {
				case s := <-got:
					require.True(t, want[s], "got %s, want one of %v", s, want)
					delete(want, s)
				case <-within(t).Done():
					require.Fail(t, "missing", "%v", want)
				}
			}
		})
	}
	publish(t, c, message("t.4", "f"))
	require.Eventually(t, func() bool {
		for _, info := range b.hub.Consumers() {
			if info.Floor != 6 {
				return false
			}
		}
		return true
	}, 5*time.Second, time.Millisecond)
}

func TestBadRequestsLeaveTheConnectionAlone(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	_, err := c.Consume(within(t), sdk.ConsumeOptions{Consumer: "x", Filter: "a.*"}, func(*sdk.Delivery) {})
	require.NoError(t, err)
	code := func(err error) wire.Code {
		var fault *wire.Fault
		require.ErrorAs(t, err, &fault)
		return fault.Code
	}
	_, err = c.Consume(within(t), sdk.ConsumeOptions{Consumer: "x", Filter: "b.*"}, func(*sdk.Delivery) {})
	require.Equal(t, wire.Conflict, code(err))
	_, err = c.Consume(within(t), sdk.ConsumeOptions{Consumer: "", Filter: "b.*"}, func(*sdk.Delivery) {})
	require.Equal(t, wire.BadRequest, code(err))
	publish(t, c, message("a.1", "still here"))
}

func TestLostConnectionIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, hub.Options{})
	address := b.web.Listener.Addr().String()
	c := b.dial(sdk.Options{MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond})
	defer c.Close()
	var live, durable atomic.Int64
	_, err := c.Subscribe(within(t), ">", sdk.SubscribeOptions{}, func(*sdk.Delivery) { live.Add(1) })
	require.NoError(t, err)
	_, err = c.Consume(within(t), sdk.ConsumeOptions{Consumer: "d", Filter: ">"}, func(d *sdk.Delivery) {
		durable.Add(1)
		require.NoError(t, d.Ack())
	})
	require.NoError(t, err)
	publish(t, c, message("a", "1"))
	b.stop()

	answered := make(chan error, 1)
	require.NoError(t, c.PublishAsync(within(t), []sdk.Message{message("a", "2")}, func(_ []sdk.Result, err error) { answered <- err }))
	b = restart(t, dir, address)
	defer b.stop()
	require.NoError(t, <-answered)
	require.Eventually(t, func() bool { return live.Load() == 2 && durable.Load() >= 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, uint64(2), b.log.Stats().LastSequence)
}

// restart is start on an address that was in use before.
func restart(t testing.TB, dir, address string) *bench {
	t.Helper()
	b := start(t, dir, hub.Options{})
	b.web.Close()
	mux := http.NewServeMux()
	mux.Handle("/ws", b.hub)
	b.web = httptest.NewUnstartedServer(mux)
	require.NoError(t, b.web.Listener.Close())
	var err error
	b.web.Listener, err = listen(address)
	require.NoError(t, err)
	b.web.Start()
	return b
}

func TestDrainSendsClientsAway(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{})
	defer b.stop()
	lost := make(chan error, 10)
	c := b.dial(sdk.Options{OnState: func(s sdk.State, err error) {
		if s == sdk.Disconnected {
			select {
			case lost <- err:
			default:
			}
		}
	}})
	defer c.Close()
	local, err := sdk.Dial(within(t), "ws://hub.local/ws", sdk.Options{Dial: b.hub.DialLocal})
	require.NoError(t, err)
	defer local.Close()
	publish(t, c, message("a", "1"))
	require.NoError(t, b.hub.Drain(within(t)))
	require.ErrorContains(t, <-lost, "going down")
	publish(t, local, message("a", "2"))
	require.Error(t, b.hub.Ready())
}

func TestFloodOfPublishersLosesNothing(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxUnacked: 256})
	defer b.stop()
	const publishers, each = 8, 3000
	var group sync.WaitGroup
	for p := range publishers {
		group.Go(func() {
			c := b.dial(sdk.Options{MaxUnacked: 500})
			defer c.Close()
			for i := range each {
				require.NoError(t, c.PublishAsync(within(t), []sdk.Message{message(fmt.Sprintf("p.%d", p), fmt.Sprint(i))}, func(_ []sdk.Result, err error) {
					require.NoError(t, err)
				}))
			}
			require.NoError(t, c.Flush(within(t)))
		})
	}
	group.Wait()
	next := map[string]int{}
	reader := b.dial(sdk.Options{})
	defer reader.Close()
	done := make(chan struct{})
	total := 0
	_, err := reader.Consume(within(t), sdk.ConsumeOptions{Consumer: "all", Filter: "p.*"}, func(d *sdk.Delivery) {
		require.Equal(t, fmt.Sprint(next[d.Topic]), string(d.Payload), "in order, none missing")
		next[d.Topic]++
		require.NoError(t, d.Ack())
		if total++; total == publishers*each {
			close(done)
		}
	})
	require.NoError(t, err)
	select {
	case <-done:
	case <-within(t).Done():
		require.Fail(t, "messages are missing", "%d of %d", total, publishers*each)
	}
}

func TestSlowLiveReaderLosesTheOldestAndIsTold(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxQueue: 100})
	defer b.stop()
	slow, publisher := b.dial(sdk.Options{}), b.dial(sdk.Options{})
	defer slow.Close()
	defer publisher.Close()
	release := make(chan struct{})
	var got, missed atomic.Int64
	var last atomic.Pointer[string]
	_, err := slow.Subscribe(within(t), "x", sdk.SubscribeOptions{MaxQueue: 50, OnDropped: func(n uint64) { missed.Add(int64(n)) }}, func(d *sdk.Delivery) {
		<-release
		got.Add(1)
		s := string(d.Payload)
		last.Store(&s)
	})
	require.NoError(t, err)
	const total = 5000
	for i := range total {
		require.NoError(t, publisher.PublishAsync(within(t), []sdk.Message{message("x", fmt.Sprint(i))}, func(_ []sdk.Result, err error) {
			require.NoError(t, err)
		}))
	}
	require.NoError(t, publisher.Flush(within(t)), "a slow reader does not hold a publisher up")
	close(release)
	require.Eventually(t, func() bool { return got.Load()+missed.Load() == total }, 10*time.Second, time.Millisecond,
		"every message is delivered or told as missed")
	require.Equal(t, fmt.Sprint(total-1), *last.Load(), "the newest is kept")
	require.Positive(t, missed.Load())
}

func TestFinalRefusalEndsTheClient(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxFrameBytes: 300})
	defer b.stop()
	c := b.dial(sdk.Options{})
	defer c.Close()
	_, err := c.Publish(within(t), message("a", strings.Repeat("x", 1000)))
	var fault *wire.Fault
	require.True(t, errors.As(err, &fault), "%v", err)
	require.Equal(t, wire.FrameTooBig, fault.Code)
	require.Equal(t, sdk.Closed, c.State())
}

// listen takes an address again that a server has just left.
func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

func TestHandshakesPastTheBoundComeBackLater(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxHandshakes: 2})
	defer b.stop()
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			b.dial(sdk.Options{MinBackoff: 200 * time.Millisecond, MaxBackoff: 400 * time.Millisecond})
		})
	}
	clients.Wait()
	stats := b.hub.Stats()
	require.Equal(t, 6, stats.Connections, "whoever was refused came back")
	require.Positive(t, stats.HandshakesRefused)

	local, err := sdk.Dial(within(t), "ws://hub.local/ws", sdk.Options{Dial: b.hub.DialLocal})
	require.NoError(t, err, "the bound is on the network's connections only")
	require.NoError(t, local.Close())
}

func TestHandshakeIsRefusedWithAHint(t *testing.T) {
	b := start(t, t.TempDir(), hub.Options{MaxHandshakes: 1})
	defer b.stop()
	var answer *http.Response
	for range 2 {
		var err error
		answer, err = http.Get(b.web.URL + "/ws")
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
	}
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Equal(t, "1", answer.Header.Get("Retry-After"))
}
