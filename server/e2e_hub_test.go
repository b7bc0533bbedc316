package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
)

// The hub as a process, under what breaks it.

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func (s *server) dial(o sdk.Options) *sdk.Client {
	s.t.Helper()
	c, err := sdk.Dial(within(s.t, startTime), s.ws(), o)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, c.Close()) })
	return c
}

// publisher publishes numbered messages to a topic of its own until it is stopped.
type publisher struct {
	topic  string
	client *sdk.Client
	sent   int
	acked  atomic.Int64
	failed atomic.Pointer[error]
}

func (p *publisher) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		batch := []sdk.Message{{Topic: p.topic, Payload: strconv.AppendInt(nil, int64(p.sent), 10)}}
		p.sent++
		if err := p.client.PublishAsync(context.Background(), batch, func(_ []sdk.Result, err error) {
			if err != nil {
				p.failed.Store(&err)
				return
			}
			p.acked.Add(1)
		}); err != nil {
			p.failed.Store(&err)
			return
		}
	}
}

// TestFiftyKillsLoseNothing kills the server fifty times while four clients publish. Every
// message that was acknowledged must be in the log, in its publisher's order and once.
func TestFiftyKillsLoseNothing(t *testing.T) {
	const rounds = 50
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := startServer(t, t.TempDir(), "")
	stop := make(chan struct{})
	var group sync.WaitGroup
	var publishers []*publisher
	for i := range 4 {
		c, err := sdk.New(s.ws(), sdk.Options{MaxUnacked: 300, MinBackoff: 10 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
		require.NoError(t, err)
		defer c.Close()
		p := &publisher{topic: fmt.Sprintf("load.%d", i), client: c}
		publishers = append(publishers, p)
		group.Go(func() { p.run(stop) })
	}
	for range rounds {
		before := publishers[0].acked.Load()
		require.Eventually(t, func() bool { return publishers[0].acked.Load() > before }, startTime, time.Millisecond)
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond)
		s.kill()
		s = s.again()
	}
	close(stop)
	group.Wait()
	for _, p := range publishers {
		require.NoError(t, p.client.Flush(within(t, startTime)))
		require.Nil(t, p.failed.Load())
		require.Equal(t, int64(p.sent), p.acked.Load())
	}
	next := readNumbers(t, s)
	for _, p := range publishers {
		require.Equal(t, p.sent, next[p.topic], "messages of %s", p.topic)
	}
}

// readNumbers consumes load.> from its beginning and expects each topic's numbers in order,
// none missing and none twice. It answers how many each has.
func readNumbers(t *testing.T, s *server) map[string]int {
	var stats struct {
		Log struct {
			Last uint64 `json:"last_sequence"`
		} `json:"log"`
	}
	s.fetch("/api/v1/stats", nil, &stats)
	next := map[string]int{}
	var faults []string
	done := make(chan struct{})
	reader := s.dial(sdk.Options{})
	_, err := reader.ConsumeBatches(within(t, startTime), sdk.ConsumeOptions{Consumer: "reader", Filter: "load.>", MaxInFlight: 8192}, func(batch []*sdk.Delivery) {
		for _, d := range batch {
			if n := next[d.Topic]; string(d.Payload) != strconv.Itoa(n) && len(faults) < 10 {
				faults = append(faults, fmt.Sprintf("%s: %s where %d should be", d.Topic, d.Payload, n))
			}
			next[d.Topic]++
			_ = d.Ack() // a closed client ends the test
			if d.Sequence == stats.Log.Last {
				close(done)
			}
		}
	})
	require.NoError(t, err)
	select {
	case <-done:
	case <-within(t, startTime).Done():
		require.Fail(t, "the log's end was not reached", "%v", next)
	}
	require.NoError(t, reader.Close())
	require.Empty(t, faults)
	return next
}

// TestFullDiskStopsAcksUntilThereIsRoom puts the log on a small file system.
func TestFullDiskStopsAcksUntilThereIsRoom(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "log")
	require.NoError(t, os.Mkdir(dir, 0o755))
	mount := func(options string) error {
		out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("mount: %w: %s", err, out)
		}
		return nil
	}
	if err := mount("size=100m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	s := startServer(t, data, "")
	defer s.kill() // before the file system goes
	c := s.dial(sdk.Options{})
	payload := strings.Repeat("x", 60<<10)
	var acked atomic.Int64
	const total = 1500 // 90 MB: one segment of 64 MiB fits, two do not
	published := make(chan error, 1)
	go func() {
		for i := range total {
			err := c.PublishAsync(context.Background(), []sdk.Message{{Topic: "load.0", Payload: []byte(strconv.Itoa(i)), Headers: map[string]string{"pad": payload}}},
				func(_ []sdk.Result, err error) {
					if err == nil {
						acked.Add(1)
					}
				})
			if err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	require.Eventually(t, func() bool { return page(s.address, "/readyz") == "" && page(s.address, "/healthz") != "" }, startTime, pollTime,
		"a server whose log is full is alive and not ready")
	p := launch(t, "gpupulse", "--server", s.ws(), "hosts")
	p.wait(0, startTime)
	full := acked.Load()
	require.Less(t, full, int64(total))
	require.NoError(t, mount("remount,size=400m"))
	require.NoError(t, <-published)
	require.NoError(t, c.Flush(within(t, startTime)))
	require.Equal(t, int64(total), acked.Load(), "everything is acknowledged once there is room")
	require.Eventually(t, func() bool { return page(s.address, "/readyz") != "" }, startTime, pollTime)
	s.kill()
	s = s.again()
	defer s.kill()
	require.Equal(t, map[string]int{"load.0": total}, readNumbers(t, s))
}

// TestReaderThatStopsReadingHarmsNobody floods a million messages past a subscriber that takes
// none of them.
func TestReaderThatStopsReadingHarmsNobody(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	stuck := stuckReader(t, s)
	defer stuck.CloseNow()
	healthy := s.dial(sdk.Options{})
	var got, missed atomic.Int64
	_, err := healthy.Subscribe(within(t, startTime), "flood.>", sdk.SubscribeOptions{OnDropped: func(n uint64) { missed.Add(int64(n)) }},
		func(*sdk.Delivery) { got.Add(1) })
	require.NoError(t, err)
	const total = 1_000_000
	flood := launch(t, "gpupulse", "--server", s.ws(), "bench", "--topic", "flood", "--messages", strconv.Itoa(total), "--size", "512", "-o", "json")
	most := 0.0
	for flood.running() {
		most = max(most, residentMiB(t, s))
		<-time.After(pollTime)
	}
	flood.wait(0, endTime)
	require.Less(t, most, 600.0, "MiB of memory: bounded by configuration, not by the flood")
	require.Eventually(t, func() bool { return got.Load()+missed.Load() == total }, startTime, pollTime,
		"a reader that reads gets every message or is told how many it missed")
	var stats struct {
		Dropped uint64 `json:"dropped"`
	}
	s.fetch("/api/v1/stats", nil, &stats)
	require.Positive(t, stats.Dropped, "what the stuck reader missed is counted")
	t.Logf("%.0f MiB at most; the reader got %d and was told of %d missed; %d dropped in all", most, got.Load(), missed.Load(), stats.Dropped)
}

// stuckReader subscribes and then takes nothing from its socket.
func stuckReader(t *testing.T, s *server) *websocket.Conn {
	ctx := within(t, startTime)
	ws, _, err := websocket.Dial(ctx, s.ws(), &websocket.DialOptions{Subprotocols: []string{wire.ProtocolBinary}})
	require.NoError(t, err)
	for _, f := range []*wire.Frame{
		{Kind: &wire.Frame_Connect{Connect: &wire.Connect{Name: "stuck"}}},
		{Kind: &wire.Frame_Subscribe{Subscribe: &wire.Subscribe{Request: 1, Filter: "flood.>"}}},
	} {
		b, err := wire.Marshal(f)
		require.NoError(t, err)
		require.NoError(t, ws.Write(ctx, websocket.MessageBinary, b))
	}
	for range 2 { // Welcome and Subscribed
		_, _, err := ws.Read(ctx)
		require.NoError(t, err)
	}
	return ws
}

// residentMiB is the process' memory; 0 once it has ended.
func residentMiB(t *testing.T, s *server) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			require.NoError(t, err)
			return kib / 1024
		}
	}
	return 0
}

// TestThousandsReconnectAtOnce kills a server with 5,000 connections; all of them come back.
func TestThousandsReconnectAtOnce(t *testing.T) {
	const clients = 5000
	s := startServer(t, t.TempDir(), "")
	var all []*sdk.Client
	for range clients {
		c, err := sdk.New(s.ws(), sdk.Options{})
		require.NoError(t, err)
		all = append(all, c)
	}
	defer func() {
		var group sync.WaitGroup
		for _, c := range all {
			group.Go(func() { _ = c.Close() }) // Close has nothing to fail with
		}
		group.Wait()
	}()
	connected := func() bool {
		var stats struct {
			Connections int `json:"connections"`
		}
		body := page(s.address, "/api/v1/stats")
		return json.Unmarshal([]byte(body), &stats) == nil && stats.Connections >= clients
	}
	require.Eventually(t, connected, 2*startTime, pollTime)
	s.kill()
	s = s.again()
	require.Eventually(t, connected, 2*startTime, pollTime, "all are back")
	_, err := all[clients-1].Publish(within(t, startTime), sdk.Message{Topic: "load.0", Payload: []byte("0")})
	require.NoError(t, err)
}

// TestDeadLettersByTheOperatorsTool: a message that its handler always fails ends in the dead
// letters with its payload, and comes again when it is replayed.
func TestDeadLettersByTheOperatorsTool(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	c := s.dial(sdk.Options{})
	var fail atomic.Bool
	fail.Store(true)
	handled := make(chan string, 1)
	_, err := c.Consume(within(t, startTime), sdk.ConsumeOptions{Consumer: "work", Filter: "job.*", MaxDeliver: 2}, func(d *sdk.Delivery) {
		if fail.Load() {
			_ = d.Nak(time.Millisecond)
			return
		}
		_ = d.Ack()
		handled <- string(d.Payload)
	})
	require.NoError(t, err)
	_, err = c.Publish(within(t, startTime), sdk.Message{Topic: "job.x", Payload: []byte("the work")})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return strings.Contains(s.cli("dead-letters", "list", "work"), "delivered 2 times")
	}, startTime, pollTime)
	require.Contains(t, s.cli("dead-letters", "list", "work", "-o", "json"), `"dGhlIHdvcms="`)
	fail.Store(false)
	require.Equal(t, "1 replayed\n", s.cli("dead-letters", "replay", "work"))
	select {
	case payload := <-handled:
		require.Equal(t, "the work", payload)
	case <-within(t, startTime).Done():
		require.Fail(t, "the replayed message did not come")
	}
	require.Equal(t, "0 purged\n", s.cli("dead-letters", "purge", "work"))
	require.Contains(t, s.cli("consumer", "pause", "work"), "paused")
	require.Contains(t, s.cli("consumer", "resume", "work"), "goes on")
	require.Contains(t, s.cli("consumer", "reset", "work", "--start", "new"), "anew")
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return strings.Contains(page(s.address, "/api/v1/consumers"), `"members":0`) }, startTime, pollTime)
	require.Contains(t, s.cli("consumer", "delete", "work"), "forgotten")
}
