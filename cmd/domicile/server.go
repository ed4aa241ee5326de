package main

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync/atomic"

	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/api"
)

// server is a data directory with everything in it at work: writers, index, interfaces.
type server struct {
	d        *dataDir
	search   *search
	handler  http.Handler // of the API
	draining atomic.Bool
}

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
	federation := new(query.Federation)
	for _, c := range cells {
		q, err := c.query(ctx)
		if err != nil {
			return nil, err
		}
		federation.Cells = append(federation.Cells, q)
	}
	metrics := api.NewMetrics()
	if err := metrics.WatchEngine(s.search.restarts); err != nil {
		return nil, err
	}
	s.handler, err = api.New(api.Config{
		Cells: api.Federated(federation), Ledger: d.config.Ledger, Version: version,
		Quarantine: s.quarantine, Ready: s.ready, Metrics: metrics,
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

// ready lists what the server consists of.
func (s *server) ready(context.Context) []api.Component {
	server := api.Component{Name: "server", Ready: !s.draining.Load()}
	if !server.Ready {
		server.Why = "it is about to end"
	}
	index := api.Component{Name: "index", Ready: true}
	if err := s.search.ready(); err != nil {
		index.Ready, index.Why = false, err.Error()
	}
	return []api.Component{server, index}
}

// quarantine describes what a cell set aside.
func (s *server) quarantine(ctx context.Context, _ query.Asker, jurisdiction string, limit int) (*api.Quarantine, error) {
	c, err := s.d.cell(ctx, jurisdiction)
	if err != nil {
		return nil, err
	}
	q, err := c.quarantine(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.openItems(ctx); err != nil {
		return nil, err
	}
	found := &api.Quarantine{Reasons: make(map[string]uint64)}
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
