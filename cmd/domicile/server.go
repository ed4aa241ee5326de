package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/api"
	"domicile.dev/domicile/query/engine"
)

// server is a data directory with everything in it at work: writers, index, interfaces.
type server struct {
	d        *dataDir
	search   *search
	handler  http.Handler // of the API
	draining atomic.Bool
}

// patience is how long one cell may take, until the others' answer goes out without it.
const patience = 20 * time.Second

// newServer opens all cells and their logs, and begins to index.
func newServer(ctx context.Context, d *dataDir) (*server, error) {
	cells, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		for shard := range c.shards {
			if _, err := c.events(ctx, shard); err != nil {
				return nil, err
			}
		}
	}
	s := &server{d: d, search: d.startSearch(ctx)}
	d.metrics = api.NewMetrics()
	err = errors.Join(d.metrics.WatchEngine(s.search.restarts), d.metrics.WatchWriters(s.sizes))
	if err != nil {
		return nil, err
	}
	federation := &query.Federation{Patience: patience}
	for _, c := range cells {
		q, err := c.query(ctx)
		if err != nil {
			return nil, err
		}
		federation.Cells = append(federation.Cells, q)
	}
	s.handler, err = api.New(api.Config{
		Cells: api.Federated(federation), Ledger: d.config.Ledger, Version: version,
		Quarantine: s.quarantine, Ready: s.ready, Metrics: d.metrics,
	})
	return s, err
}

// public is what listens for HTTP.
func (s *server) public() *http.Server { return api.Server(s.handler) }

// local is what listens on the socket: the same, commands, and the word to stop. Commands take as long as they take.
func (s *server) local(stop func()) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/", s.handler)
	mux.Handle(commandPath, commands{s.d})
	mux.HandleFunc("POST "+stopPath, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		stop()
	})
	local := api.Server(mux)
	local.ReadTimeout, local.WriteTimeout = 0, 0
	return local
}

// part is a part of the server, and why it does not do its work now.
type part struct {
	name string
	why  string // for whoever asks; "" while it works
	err  error  // for the server's log: it may name files
}

// parts lists what the server consists of.
func (s *server) parts() []part {
	list := []part{{name: "server"}, {name: "index"}}
	if s.draining.Load() {
		list[0].why = "it is about to end"
	}
	switch err := s.search.ready(); {
	case err == nil:
	case errors.Is(err, errStarting):
		list[1].why = "it is starting"
	case errors.Is(err, engine.ErrNoEngine):
		list[1].why, list[1].err = engine.ErrNoEngine.Error(), err
	default:
		list[1].why, list[1].err = "the engine does not answer, or an index cannot be opened: the server's log says more", err
	}
	for _, c := range s.d.cells {
		list = append(list, writes(c.controlOrigin(), c.control.Lag()))
		for shard, events := range c.shards {
			list = append(list, writes(c.eventsOrigin(shard), events.Lag()))
		}
	}
	return list
}

// writes says whether a log takes entries and publishes them.
func writes(origin string, lag log.Lag) part {
	name := "log " + origin
	switch {
	case errors.Is(lag.Stopped, log.ErrFenced):
		return part{name, "another writer has taken over", lag.Stopped}
	case lag.Stopped != nil:
		return part{name, "its writer stopped: the server's log says why", lag.Stopped}
	case lag.Err != nil:
		return part{name, "nothing could be published since " + lag.Since.UTC().Format(time.RFC3339), lag.Err}
	case lag.LookupErr != nil:
		return part{name, "events wait for the look-up of older ones since " + lag.LookupSince.UTC().Format(time.RFC3339), lag.LookupErr}
	}
	return part{name: name}
}

// ready is what /readyz says.
func (s *server) ready(context.Context) (list []api.Component) {
	for _, p := range s.parts() {
		list = append(list, api.Component{Name: p.name, Ready: p.why == "", Why: p.why})
	}
	return list
}

// watchEvery is how often the server's log hears of parts that stopped working, or work again.
const watchEvery = 2 * time.Second

// watch tells the server's log what changes, until ctx ends.
func (s *server) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	before := make(map[string]string)
	for {
		for _, p := range s.parts() {
			switch was, known := before[p.name]; {
			case p.why == was && known:
			case p.why != "":
				level := slog.LevelWarn
				if p.err == nil {
					level = slog.LevelInfo // starting, or ending as it was told to
				}
				slog.Log(ctx, level, "not ready", "part", p.name, "why", p.why, "error", p.err)
			default:
				slog.Info("ready", "part", p.name)
			}
			before[p.name] = p.why
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sizes are the sizes of all logs.
func (s *server) sizes() (list []api.LogSizes) {
	for _, c := range s.d.cells {
		list = append(list, api.LogSizes{Origin: c.controlOrigin(), Committed: c.control.Lag().Committed})
		for shard, events := range c.shards {
			lag := events.Lag()
			list = append(list, api.LogSizes{Origin: c.eventsOrigin(shard), Committed: lag.Committed, Bound: lag.Bound})
		}
	}
	return list
}

// quarantine describes what a cell set aside.
func (s *server) quarantine(ctx context.Context, who query.Asker, jurisdiction string, limit int) (*api.Quarantine, error) {
	c, err := s.d.cell(ctx, jurisdiction)
	if err != nil {
		return nil, err
	}
	q, err := c.quarantine(ctx)
	if err != nil {
		return nil, err
	}
	found := &api.Quarantine{Reasons: make(map[string]uint64)}
	if found.Receipt, err = c.openItems(ctx, who); err != nil {
		return nil, err
	}
	for held, err := range q.List(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			found.Unreadable++
			continue
		case held.Released:
			found.Released++
		default:
			found.Held++
			found.Reasons[held.Reason]++
		}
		found.Items = append(found.Items, api.QuarantineItem{
			Item: held.Hash, Reason: held.Reason, Bytes: uint64(held.Bytes), Source: held.Source, Form: held.Form, Offset: uint64(held.Offset),
			Provider: held.Provider, Jurisdiction: held.Foreign, FirstSeen: held.FirstSeen.UnixMilli(), Released: held.Released,
		})
	}
	slices.SortFunc(found.Items, func(a, b api.QuarantineItem) int { return cmp.Compare(b.FirstSeen, a.FirstSeen) })
	found.Items = found.Items[:min(limit, len(found.Items))]
	return found, nil
}
