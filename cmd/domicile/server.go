package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"domicile.dev/domicile/ledger/log"
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
