package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gpupulse/sdk"
	"gpupulse/sdk/cmdline"
	"gpupulse/server/api"
	"gpupulse/server/collector"
	"gpupulse/server/commitlog"
	"gpupulse/server/hub"
	"gpupulse/server/store"
	"gpupulse/server/web"
)

// parts are the rooms of the house, in the order in which they are opened.
type parts struct {
	messages  *commitlog.Log
	store     *store.Store
	hub       *hub.Hub
	collector *collector.Collector
	api       *api.Server
	log       *slog.Logger
}

// start opens all parts; if one fails, those before it are closed again.
func start(ctx context.Context, cfg settings, log *slog.Logger) (_ *parts, err error) {
	p := &parts{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	policy, err := commitlog.ParsePolicy(cfg.Fsync)
	if err != nil {
		return nil, fmt.Errorf("--fsync: %w", err)
	}
	p.messages, err = commitlog.Open(filepath.Join(cfg.DataDir, "log"), commitlog.Options{
		Fsync: policy, MaxAge: cfg.LogMaxAge, MaxBytes: int64(cfg.LogMaxBytes),
		Logger: log.With("part", "log"), Registerer: registry,
	})
	if err != nil {
		return nil, err
	}
	p.store, err = store.Open(filepath.Join(cfg.DataDir, "store"), store.Options{Logger: log.With("part", "store"), Registerer: registry})
	if err != nil {
		return nil, err
	}
	p.hub, err = hub.New(p.messages, hub.Options{
		Name: "gpupulse", Version: cmdline.CurrentBuild().Version, Fsync: cfg.Fsync,
		AckWait: cfg.AckWait, MaxHandshakes: cfg.MaxHandshakes, MaxDeliver: cfg.MaxDeliver, Logger: log.With("part", "hub"), Registerer: registry,
	})
	if err != nil {
		return nil, err
	}
	if err := p.collect(ctx, cfg, registry); err != nil {
		return nil, err
	}
	return p, p.serve(registry)
}

// collect starts the collector: a client of the hub through its door in memory.
func (p *parts) collect(ctx context.Context, cfg settings, registry prometheus.Registerer) error {
	log := p.log.With("part", "collector")
	p.collector = collector.New(p.store, collector.Options{
		Workers: cfg.CollectorWorkers, AckWait: cfg.AckWait, Logger: log, Registerer: registry,
	})
	client, err := sdk.New("ws://hub.local/ws", sdk.Options{Name: "collector", Dial: p.hub.DialLocal, MaxBackoff: time.Second, Logger: log})
	if err != nil {
		return fmt.Errorf("connect collector: %w", err)
	}
	if err := p.collector.Consume(ctx, client); err != nil {
		return errors.Join(err, client.Close())
	}
	return nil
}

// serve makes the API.
func (p *parts) serve(registry *prometheus.Registry) error {
	pages, err := web.Handler()
	if err != nil {
		return err
	}
	p.api, err = api.New(api.Options{
		Querier: p.store, Hub: p.hub, UI: pages, Gatherer: registry,
		Version: cmdline.CurrentBuild().Version, Logger: p.log.With("part", "api"),
		Parts: []api.Part{{Name: "hub", Ready: p.hub.Ready}, {Name: "collector", Ready: p.collector.Ready}, {Name: "store", Ready: p.store.Ready}},
		PartStats: func() api.PartStats {
			return api.PartStats{Log: p.messages.Stats(), Store: p.store.Stats(), Collector: p.collector.Stats()}
		},
	})
	return err
}

// end lets every part finish what it holds, then closes all.
func (p *parts) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeToLeave)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { p.told(p.api.Shutdown(ctx)) })
	wait.Go(func() { p.told(p.hub.Drain(ctx)) })
	wait.Wait()
	ctx, cancel = context.WithTimeout(context.Background(), timeToCollect)
	defer cancel()
	p.told(p.collector.Drain(ctx))
	return p.close()
}

// told logs what could not be finished in time. It is no failure: nothing that was
// acknowledged is lost by it.
func (p *parts) told(err error) {
	if err != nil {
		p.log.Warn("not finished in time", "error", err)
	}
}

// close closes what is open, the last first.
func (p *parts) close() error {
	var errs []error
	if p.collector != nil {
		errs = append(errs, p.collector.Close())
	}
	if p.hub != nil {
		errs = append(errs, p.hub.Close())
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.messages != nil {
		errs = append(errs, p.messages.Close())
	}
	return errors.Join(errs...)
}
