package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// heartbeatEvery is how often a live component says that it is there, where the configuration says nothing else.
const heartbeatEvery = time.Minute

// beat writes the heartbeats of a component until ctx ends. Most commands are done before the first one. A heartbeat
// that cannot be written is not tried again: silence is what it would have said.
func (c *cell) beat(ctx context.Context, m *log.Component) {
	every := time.Duration(c.dir.config.Heartbeat)
	if every <= 0 {
		every = heartbeatEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		entry, err := c.heartbeat(ctx)
		if err == nil {
			_, err = m.Append(ctx, entry)
		}
		if err != nil {
			return
		}
	}
}

// heartbeat is the cell as its stores show it now.
func (c *cell) heartbeat(ctx context.Context) (*ledger.HeartbeatEntry, error) {
	control, _, err := c.control.Reader().Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	e := &ledger.HeartbeatEntry{ControlSize: control.Size, ControlRoot: control.Root}
	for shard := range c.row.Shards {
		r, err := c.reader(ctx, c.eventsOrigin(shard))
		if err != nil {
			return nil, err
		}
		cp, _, err := r.Checkpoint(ctx)
		if err != nil {
			return nil, err
		}
		e.Logs = append(e.Logs, ledger.LogHead(cp))
	}
	slices.SortFunc(e.Logs, func(a, b ledger.LogHead) int { return strings.Compare(a.Origin, b.Origin) })
	return e, nil
}
