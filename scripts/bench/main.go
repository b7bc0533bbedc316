// Command bench measures gpupulse beside its peers on one machine, in turn, with the same
// payloads, and prints a table of medians and ratios. Servers run as processes of their
// own; the load comes from this one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// row is one line of the table: the same load on both.
type row struct {
	name   string
	unit   string
	target float64 // what ours is to be of the peer's; under 1 where less is better
	less   bool    // less is better
	ours   func(ctx context.Context, e *environment) (float64, error)
	peer   func(ctx context.Context, e *environment) (float64, error)
	bound  float64 // an absolute bound on ours instead of a ratio; 0: none
	label  string  // the peer's name and setting
}

func main() {
	rounds := flag.Int("rounds", 3, "runs of each load; the table has medians")
	seconds := flag.Float64("seconds", 3, "length of one run")
	only := flag.String("only", "", "only loads whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, time.Duration(*seconds*float64(time.Second)), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, length time.Duration, only string) error {
	e, err := newEnvironment(length)
	if err != nil {
		return err
	}
	defer e.close()
	fmt.Printf("| load | gpupulse | peer | ratio | target | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range hubRows() {
		if !strings.Contains(r.name, only) {
			continue
		}
		var ours, peers []float64
		for range rounds {
			// Each round measures both, so that a noisy minute hits both.
			v, err := r.ours(ctx, e)
			if err != nil {
				return fmt.Errorf("%s, gpupulse: %w", r.name, err)
			}
			ours = append(ours, v)
			if r.peer == nil {
				continue
			}
			if v, err = r.peer(ctx, e); err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, r.label, err)
			}
			peers = append(peers, v)
		}
		fmt.Println(r.line(median(ours), median(peers)))
	}
	return nil
}

func (r *row) line(ours, peer float64) string {
	if r.peer == nil {
		return fmt.Sprintf("| %s | %s | | | <= %s | %s |", r.name, quantity(ours, r.unit), quantity(r.bound, r.unit), verdict(ours <= r.bound))
	}
	ratio := ours / peer
	sign, met := ">=", ratio >= r.target
	if r.less {
		sign, met = "<=", ratio <= r.target
	}
	return fmt.Sprintf("| %s | %s | %s (%s) | %.2f | %s %.2f | %s |", r.name, quantity(ours, r.unit), quantity(peer, r.unit), r.label, ratio, sign, r.target, verdict(met))
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

func quantity(v float64, unit string) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2f M%s", v/1e6, unit)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k%s", v/1e3, unit)
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
