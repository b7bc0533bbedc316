// The agent of gpupulse: it reads GPU telemetry where it is and publishes it to the
// hub, until the source ends or somebody ends it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gpupulse/agent/streamer"
	"gpupulse/sdk"
	"gpupulse/sdk/cmdline"
)

func main() {
	var a agent
	cmdline.Main("gpupulse-agent", "Reads GPU telemetry and publishes it to a gpupulse server.", &a, a.run)
}

// agent is its settings.
type agent struct {
	Server     string        `help:"WebSocket address of the server." default:"ws://127.0.0.1:8080/ws" placeholder:"URL"`
	Source     string        `help:"Where telemetry comes from: csv, or sim for a simulated fleet." placeholder:"KIND"`
	CSV        string        `help:"CSV file to send, - for standard input. Implies --source csv." name:"csv" placeholder:"FILE"`
	Loop       bool          `help:"Begin the CSV again at its end, for ever. With --timestamps keep each round replaces the same samples."`
	Rate       float64       `help:"Rows per second and worker, fractions allowed; 0 is as fast as the server acknowledges." default:"0"`
	Workers    int           `help:"Workers that rows are split among, by GPU." default:"1"`
	Duration   time.Duration `help:"End after this time; 0 is never." default:"0s"`
	Hosts      []string      `help:"Send only these hosts' rows (comma-separated)." env:"HOSTNAME_LIST" placeholder:"HOST"`
	HostName   string        `help:"Host of rows that name none; empty is this machine's name." placeholder:"HOST"`
	Timestamps string        `help:"keep the source's times, or replace them by the time of sending: now." enum:"keep,now" default:"keep"`
	Topic      string        `help:"Template of topics: {host}, {gpu} or the name of a label." default:"gpu.{host}.{gpu}"`
	JoinWindow time.Duration `help:"Join a GPU's long-form CSV rows into one reading if their times differ by no more than this; each sample keeps its own time." default:"0s"`
	SimHosts   int           `help:"Hosts of the simulated fleet." default:"4"`
	SimGPUs    int           `help:"GPUs of each simulated host." default:"8" name:"sim-gpus"`
	SimSeed    uint64        `help:"What happens in the simulated fleet: the same seed, the same fleet." default:"1"`
	Interval   time.Duration `help:"Time between two readings of a GPU, where the source does not say." default:"1s"`
	Listen     string        `help:"Serve /healthz, /readyz and /metrics on this address; empty does not." placeholder:"HOST:PORT"`
	Summary    string        `help:"The summary at the end, on standard output: text or json." enum:"text,json" default:"text"`
}

// run streams until the source ends, --duration is over or ctx ends.
func (a *agent) run(ctx context.Context, log *slog.Logger) (err error) {
	if a.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Duration)
		defer cancel()
	}
	feed, err := a.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, feed.Close()) }()

	link := &streamer.Link{}
	client, err := a.connect(&connectionLog{log: log, server: a.Server}, link)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	s, err := streamer.New(feed, client, streamer.Options{
		Workers: a.Workers, Rate: a.Rate, Topic: a.Topic, Restamp: a.Timestamps == "now",
		Rejects: feed.rejects, Skipped: feed.skipped, Dropped: feed.dropped, Logger: log,
	})
	if err != nil {
		return usageError{err}
	}
	stop, err := a.serveHealth(log, s, link)
	if err != nil {
		return err
	}
	defer stop()

	log.Info("streaming", "source", feed.name, "server", a.Server, "workers", a.Workers)
	ran := s.Run(ctx)
	if errors.Is(ran, streamer.ErrUndrained) {
		log.Warn("ended before the server had acknowledged everything", "err", ran, "rows", s.Summary().RowsUnanswered)
		ran = nil
	}
	feed.warnIfNothingMatched(log, a.Hosts)
	return errors.Join(ran, a.print(s.Summary()))
}

// connect makes the client, which finds the server by itself now or later.
func (a *agent) connect(log *connectionLog, link *streamer.Link) (*sdk.Client, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host" // only people see it
	}
	client, err := sdk.New(a.Server, sdk.Options{
		Name: "gpupulse-agent on " + host, Logger: log.log,
		OnState: func(state sdk.State, err error) {
			link.OnState(state, err)
			log.onState(state, err)
		},
	})
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// repeatAfter is how often a server that stays away is logged again.
const repeatAfter = 30 * time.Second

// connectionLog tells of a connection that comes and goes, not of each try.
type connectionLog struct {
	log    *slog.Logger
	server string
	told   time.Time // when the present absence was logged last
}

// onState is called from one goroutine.
func (l *connectionLog) onState(state sdk.State, err error) {
	switch {
	case state == sdk.Connected:
		l.told = time.Time{}
		l.log.Info("connected", "server", l.server)
	case state == sdk.Disconnected && time.Since(l.told) >= repeatAfter:
		l.told = time.Now()
		l.log.Warn("no connection, trying on", "server", l.server, "err", err)
	}
}

// serveHealth answers on --listen until stop is called.
func (a *agent) serveHealth(log *slog.Logger, s *streamer.Streamer, link *streamer.Link) (stop func(), err error) {
	if a.Listen == "" {
		return func() {}, nil
	}
	metrics := prometheus.NewRegistry()
	err = errors.Join(s.Register(metrics, link), metrics.Register(collectors.NewGoCollector()),
		metrics.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", a.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve health on %s: %w", a.Listen, err)
	}
	server := &http.Server{Handler: streamer.Handler(link, metrics), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health is no longer served", "err", err)
		}
	}()
	log.Info("serving health", "address", listener.Addr().String())
	return func() {
		_ = server.Close() // whoever asks at this moment asks again
		<-done
	}, nil
}

func (a *agent) print(sum streamer.Summary) error {
	if a.Summary == "json" {
		return sum.WriteJSON(os.Stdout)
	}
	return sum.WriteText(os.Stdout)
}
