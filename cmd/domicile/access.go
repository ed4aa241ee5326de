package main

import (
	"context"
	"errors"
	"os/user"
	"time"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// maxScan bounds how many records a server reads to find one by its uid while it has no index: a few seconds' worth. A
// command that runs alone reads as many as it takes.
const maxScan = 1 << 20

// query is the cell as whoever asks sees it, made on first use. Every read of event data by this process goes through
// it, but for those of the writers and of the index themselves.
func (c *cell) query(ctx context.Context) (*query.Cell, error) {
	gateway, err := c.component(ctx, gatewayComponent)
	if err != nil {
		return nil, errors.Join(query.ErrNotLogged, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != nil {
		return c.asked, nil
	}
	cfg := query.Config{
		Jurisdiction: c.jurisdiction, Control: c.control, Gateway: gateway, Keys: c.stores.Keys, Open: c.stores.Open,
		Index: func() (query.Searcher, error) {
			if c.dir.search == nil {
				return nil, errors.New("this process does not search: start a server with domicile serve")
			}
			return c.dir.search.of(c.jurisdiction)
		},
		Logged: func(took time.Duration) {
			if c.dir.metrics != nil {
				c.dir.metrics.ControlAppended(c.jurisdiction, took)
			}
		},
		ShardOf: func(uid string) int { return ingest.PartitionOf(uid, len(c.shards)) },
	}
	if c.dir.search != nil {
		cfg.MaxScan = maxScan
	}
	for shard := range c.shards {
		r, err := c.reader(ctx, c.eventsOrigin(shard))
		if err != nil {
			return nil, err
		}
		cfg.Shards = append(cfg.Shards, query.Shard{Reader: r, Flush: func(ctx context.Context) error {
			events, err := c.events(ctx, shard) // opening it publishes and binds what an earlier process could not
			if err != nil {
				return err
			}
			return events.Flush(ctx)
		}})
	}
	c.asked, err = query.NewCell(cfg)
	return c.asked, err
}

// operator is somebody who runs a command on this machine. The recipient is taken to be in the cell, which is all that is
// known.
func operator(purpose ledger.AccessPurpose) query.Asker {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return query.Asker{Principal: "os:" + name, Role: "operator", Purpose: purpose}
}

// intend logs that a command is about to read event data. Without the entry, nothing is read.
func (c *cell) intend(ctx context.Context, purpose ledger.AccessPurpose, what query.Reading) (*query.Access, error) {
	q, err := c.query(ctx)
	if err != nil {
		return nil, err
	}
	return q.Intend(ctx, operator(purpose), what)
}
