package main

import (
	"errors"
	"fmt"
	"log/slog"

	"gpupulse/agent/source"
)

// feed is the source that the settings name, with what counts around it.
type feed struct {
	source.Source
	name             string
	rejects          *source.Rejects
	filter           *source.HostFilter // nil: all hosts
	skipped, dropped func() uint64
}

// usageError is a wrong setting, for which a process ends with 2.
type usageError struct{ error }

// ExitCode is for cmdline.
func (usageError) ExitCode() int { return 2 }

// Unwrap answers what is wrong.
func (e usageError) Unwrap() error { return e.error }

// open opens the source, behind a filter if there are --hosts.
func (a *agent) open() (*feed, error) {
	if err := a.checkSource(); err != nil {
		return nil, usageError{err}
	}
	f := &feed{rejects: &source.Rejects{}}
	open := a.openSim
	if a.CSV != "" {
		open = a.openCSV
	}
	if err := open(f); err != nil {
		return nil, err
	}
	if len(a.Hosts) > 0 {
		f.filter = source.OnlyHosts(f.Source, a.Hosts)
		f.Source, f.skipped = f.filter, f.filter.Skipped
	}
	return f, nil
}

// checkSource finds settings that do not go together.
func (a *agent) checkSource() error {
	switch {
	case a.Source == "" && a.CSV == "":
		return errors.New("no source: want --csv FILE or --source sim")
	case a.Source != "" && a.Source != "csv" && a.Source != "sim":
		return fmt.Errorf("--source %q: want csv or sim", a.Source)
	case a.Source == "csv" && a.CSV == "":
		return errors.New("--source csv needs --csv FILE, - for standard input")
	case a.Source == "sim" && a.CSV != "":
		return errors.New("--csv and --source sim exclude each other")
	case a.Source == "sim" && a.Loop:
		return errors.New("--loop is for a CSV: a simulated fleet has no end")
	case a.CSV == "-" && a.Loop:
		return errors.New("--loop needs a file: standard input cannot be read again")
	}
	return nil
}

func (a *agent) openCSV(f *feed) error {
	csv, err := source.NewCSV(source.CSVOptions{Path: a.CSV, Loop: a.Loop, JoinWindow: a.JoinWindow, Host: a.HostName, Rejects: f.rejects})
	if err != nil {
		return err
	}
	f.Source, f.name = csv, a.CSV
	if a.CSV == "-" {
		f.name = "standard input"
	}
	return nil
}

func (a *agent) openSim(f *feed) error {
	sim, err := source.NewSim(source.SimOptions{Hosts: a.SimHosts, GPUs: a.SimGPUs, Interval: a.Interval, Seed: a.SimSeed})
	if err != nil {
		return usageError{err}
	}
	f.Source, f.dropped = sim, sim.Dropped
	f.name = fmt.Sprintf("simulated fleet of %d x %d GPUs", a.SimHosts, a.SimGPUs)
	return nil
}

// warnIfNothingMatched tells that --hosts named none that the source has.
func (f *feed) warnIfNothingMatched(log *slog.Logger, hosts []string) {
	if f.filter != nil && f.filter.Passed() == 0 {
		log.Warn("no row is of these hosts, nothing was sent", "hosts", hosts, "rows", f.filter.Skipped())
	}
}
