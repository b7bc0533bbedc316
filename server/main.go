// Command gpupulse-server is the hub, the collector with its store, and the API with the
// user interface, in one process on one port.
//
// What a row goes through: an agent publishes it to the hub (server/hub), which appends
// it to the log (server/commitlog) and answers; the collector (server/collector), a
// client of that hub through a door in memory, stores it (server/store) and answers the
// hub; the API (server/api) reads the store.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"gpupulse/sdk/cmdline"
)

// settings are the flags; see sdk/cmdline for their twins.
type settings struct {
	Listen           string        `help:"Address and port of everything: UI, REST, WebSocket. Loopback only." default:"127.0.0.1:8080"`
	DataDir          string        `help:"Directory of the log and the store; made if it is not there." default:"./data" placeholder:"DIR"`
	CollectorWorkers int           `help:"Workers that decode and store readings; 0: one a CPU." default:"0"`
	AckWait          time.Duration `help:"Time for a consumer to answer a message, if it names none, before it is delivered again." default:"30s"`
	MaxDeliver       int           `help:"Deliveries of a message, if the consumer names none, before it is a dead letter." default:"5"`
	MaxHandshakes    int           `help:"Connections that may begin each second; more are told to come back." default:"1000"`
	Fsync            string        `help:"When a publish is answered: always (it is on disk), interval or never (the system has it)." default:"always" enum:"always,interval,never"`
	LogMaxAge        time.Duration `help:"Age at which the hub's log drops messages that every consumer has answered; 0: none." default:"7d"`
	LogMaxBytes      cmdline.Bytes `help:"Size at which the hub's log drops such messages; 0: none." default:"10GiB"`
}

func main() {
	var cfg settings
	cmdline.Main("gpupulse-server", "The hub, the collector and the API of gpupulse.", &cfg,
		func(ctx context.Context, log *slog.Logger) error { return run(ctx, cfg, log, os.Stdout) })
}

// Time for the end: agents are told to go away and requests at work finish, then the
// collector stores what it holds. Closing the files comes after, within the 10 s that
// the whole may take.
const (
	timeToLeave   = 3 * time.Second
	timeToCollect = 4 * time.Second
)

// run starts all parts, serves until ctx ends or a part fails, and ends them in order.
func run(ctx context.Context, cfg settings, log *slog.Logger, out *os.File) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	listener, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() // the server closes it too; this is for a start that fails
	p, err := start(ctx, cfg, log)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- p.api.Serve(listener) }()

	fmt.Fprintf(out, "gpupulse: the dashboard is at http://%s/\n", listener.Addr())
	log.Info("serving", "address", listener.Addr().String(), "data", cfg.DataDir, "version", cmdline.CurrentBuild().Version)
	select {
	case <-ctx.Done():
		log.Info("ending")
	case err = <-served:
		served <- nil
	}
	return errors.Join(err, p.end(), <-served)
}

func (s settings) check() error {
	switch {
	case s.CollectorWorkers < 0 || s.CollectorWorkers > 256:
		return fmt.Errorf("--collector-workers is %d, must be 0 to 256", s.CollectorWorkers)
	case s.AckWait < time.Second || s.AckWait > 24*time.Hour:
		return fmt.Errorf("--ack-wait is %v, must be 1s to 24h", s.AckWait)
	case s.MaxDeliver < 1 || s.MaxDeliver > 1_000_000:
		return fmt.Errorf("--max-deliver is %d, must be 1 to 1000000", s.MaxDeliver)
	case s.MaxHandshakes < 1 || s.MaxHandshakes > 1_000_000:
		return fmt.Errorf("--max-handshakes is %d, must be 1 to 1000000", s.MaxHandshakes)
	case s.LogMaxAge < 0:
		return fmt.Errorf("--log-max-age is %v, must not be negative", s.LogMaxAge)
	}
	return nil
}

// listen opens the port, on loopback only: there are no tokens yet that would keep
// strangers on the network out.
func listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: must be an address and a port such as 127.0.0.1:8080: %w", address, err)
	}
	ips, err := net.LookupIP(host)
	if host == "" {
		ips, err = []net.IP{net.IPv4zero}, nil // all addresses
	}
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return nil, fmt.Errorf("--listen %s: only loopback (127.0.0.1 or [::1]) is served, since anybody who can connect "+
				"may read and write, and this version has no tokens to control access; reach it through a tunnel or a proxy that checks who comes", address)
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	return l, nil
}
