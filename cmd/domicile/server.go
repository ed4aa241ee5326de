package main

import (
	"cmp"
	"context"
	"errors"
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
	cells    []*query.Cell
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
	metrics := api.NewMetrics()
	for _, c := range cells {
		q, err := c.asked(ctx)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.cells = append(s.cells, q)
	}
	if err := metrics.WatchEngine(s.search.restarts); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.handler, err = api.New(api.Config{
		Cells: api.Federated(&query.Federation{Cells: s.cells}), Ledger: d.config.Ledger, Version: version,
		Quarantine: s.quarantine, Ready: s.ready, Metrics: metrics,
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close ends what newServer began. The data directory is its holder's to close.
func (s *server) close() error {
	var errs []error
	for _, c := range s.cells {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// asked makes what answers questions about a cell, through the gateway.
func (c *cell) asked(ctx context.Context) (*query.Cell, error) {
	gateway, err := c.component(ctx, gatewayComponent)
	if err != nil {
		return nil, err
	}
	cfg := query.Config{
		Jurisdiction: c.jurisdiction, Control: c.control, Gateway: gateway, Keys: c.stores.Keys, Open: c.stores.Open,
		Index: func() (query.Searcher, error) {
			x, err := c.dir.startSearch(ctx).of(c.jurisdiction)
			if err != nil {
				return nil, err
			}
			return x, nil
		},
	}
	for shard := range c.shards {
		r, err := c.reader(ctx, c.eventsOrigin(shard))
		if err != nil {
			return nil, err
		}
		flush := func(ctx context.Context) error {
			events, err := c.events(ctx, shard)
			if err != nil {
				return err
			}
			return events.Flush(ctx)
		}
		cfg.Shards = append(cfg.Shards, query.Shard{Reader: r, Flush: flush})
	}
	return query.NewCell(cfg)
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
