package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/internal/config"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query"
)

// cell is one jurisdiction's stores and logs, wired together. The control log is open from the beginning; events logs,
// and the components that write about them, open on first use.
type cell struct {
	jurisdiction string
	row          *config.Cell
	dir          *dataDir
	stores       *store.Cell
	control      *log.Control

	shards    []*log.Events   // by shard; nil while closed
	committed []chan struct{} // of each shard: wakes whoever follows its commits

	mu         sync.Mutex // of the components, which ingest and the writers start too, and of asked
	components map[string]*log.Component
	asked      *query.Cell // nil before the first question
	beats      sync.WaitGroup
	stopBeats  []context.CancelFunc
}

// component is one that the policy of a cell declares.
type component struct {
	id   string
	role ledger.Role
}

// The components of an embedded cell.
var (
	writerComponent    = component{"ledger", ledger.RoleWriter}       // batch entries, findings
	collectorComponent = component{"collector", ledger.RoleCollector} // quarantine
	gatewayComponent   = component{"gateway", ledger.RoleGateway}     // access by whoever asks, commands too
	indexerComponent   = component{"indexer", ledger.RoleIndexer}     // reads of the index's own
)

// declared are the components that a policy of an embedded cell lists, in ascending order.
var declared = []component{collectorComponent, gatewayComponent, indexerComponent, {log.InitEmitter, ledger.RoleInit}, writerComponent}

// readCell opens the stores of a cell and no log: what it is asked to read, it reads beside whoever writes.
func (d *dataDir) readCell(row *config.Cell) (*cell, error) {
	stores, err := store.OpenCell(d.cellPath(row.Jurisdiction), d.lock.Temp())
	if err != nil {
		return nil, fmt.Errorf("cell %s: %w", row.Jurisdiction, err)
	}
	c := &cell{
		jurisdiction: row.Jurisdiction, row: row, dir: d, stores: stores,
		shards: make([]*log.Events, row.Shards), components: make(map[string]*log.Component),
	}
	for range c.shards {
		c.committed = append(c.committed, make(chan struct{}, 1))
	}
	return c, nil
}

func openCell(ctx context.Context, d *dataDir, row *config.Cell) (*cell, error) {
	c, err := d.readCell(row)
	if err != nil {
		return nil, err
	}
	cfg, err := c.logConfig(ctx, c.controlOrigin())
	if err != nil {
		return nil, err
	}
	if c.control, err = log.OpenControl(ctx, cfg, version); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cell) controlOrigin() string {
	return ledger.ControlOrigin(c.dir.config.Ledger, c.jurisdiction)
}

func (c *cell) eventsOrigin(shard int) string {
	return ledger.EventsOrigin(c.dir.config.Ledger, c.jurisdiction, shard)
}

// origins are those of all logs of the cell, the control log first.
func (c *cell) origins() []string {
	list := []string{c.controlOrigin()}
	for shard := range c.shards {
		list = append(list, c.eventsOrigin(shard))
	}
	return list
}

// logConfig is what opens a log of the cell. The key is read from the key store and never leaves this process.
func (c *cell) logConfig(ctx context.Context, origin string) (log.Config, error) {
	skey, err := c.stores.Keys.GetSecret(ctx, logKeyName(origin))
	if errors.Is(err, store.ErrNotFound) {
		return log.Config{}, fmt.Errorf("log %s has no key: complete the cell with domicile init, or restore its keys folder", origin)
	}
	if err != nil {
		return log.Config{}, err
	}
	signer, err := note.NewSigner(string(skey))
	if err != nil {
		return log.Config{}, fmt.Errorf("log %s: its key is damaged: %w", origin, err)
	}
	vkey, err := ledger.VKeyOf(string(skey))
	if err != nil {
		return log.Config{}, fmt.Errorf("log %s: its key is damaged: %w", origin, err)
	}
	return log.Config{
		Origin: origin, Locked: c.stores.Locked, Open: c.stores.Open, Signer: signer, VKey: vkey,
		PublishEvery: time.Duration(c.dir.config.Publish),
	}, nil
}

// logKeyName is the name of a log's signing key among the secrets of the key store.
func logKeyName(origin string) string { return "log/" + origin }

// component starts a component of this process, once. It lives, and says so, until the cell is closed.
func (c *cell) component(ctx context.Context, of component) (*log.Component, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := c.components[of.id]; ok {
		return m, nil
	}
	if err := c.declareNew(ctx); err != nil {
		return nil, err
	}
	m, err := c.control.Start(ctx, of.id, of.role)
	if err != nil {
		return nil, err
	}
	c.components[of.id] = m
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stopBeats = append(c.stopBeats, stop)
	c.beats.Go(func() { c.beat(live, m) })
	return m, nil
}

// events opens the writer of a shard, once: it publishes and binds what an earlier process could not.
func (c *cell) events(ctx context.Context, shard int) (*log.Events, error) {
	if c.shards[shard] != nil {
		return c.shards[shard], nil
	}
	cfg, err := c.logConfig(ctx, c.eventsOrigin(shard))
	if err != nil {
		return nil, err
	}
	writer, err := c.component(ctx, writerComponent)
	if err != nil {
		return nil, err
	}
	conf := c.dir.config
	events := log.EventsConfig{
		Config: cfg, Keys: c.stores.Keys, Control: writer, Jurisdiction: c.jurisdiction,
		MaxRecords: conf.Commit.Records, MaxBytes: conf.Commit.Bytes, Age: time.Duration(conf.Commit.Age),
		Skew: time.Duration(conf.Skew), Window: conf.Window, BatchEvery: time.Duration(conf.Batch),
		Renormalize: renormalize, Reject: c.reject, Others: c.reader,
		Committed: func(uint64) {
			select {
			case c.committed[shard] <- struct{}{}:
			default: // it is awake
			}
		},
	}
	if _, err := c.dir.program(); err == nil {
		events.Lookup = lookup{c} // else the log is read itself
	}
	c.control.State(func(r *custody.Replay) {
		if last, ok := r.LastBatch(cfg.Origin); ok {
			events.LastBatch = &last
		}
	})
	if c.shards[shard], err = log.OpenEvents(ctx, events); err != nil {
		return nil, err
	}
	return c.shards[shard], nil
}

// reader reads a log of the cell without opening its writer.
func (c *cell) reader(ctx context.Context, origin string) (*log.Reader, error) {
	cfg, err := c.logConfig(ctx, origin)
	if err != nil {
		return nil, err
	}
	return log.NewReader(cfg, c.stores.Keys)
}

// flush publishes everything that is committed and binds it into the control log.
func (c *cell) flush(ctx context.Context) error {
	for _, events := range c.shards {
		if events == nil {
			continue
		}
		if err := events.Flush(ctx); err != nil {
			return err
		}
	}
	return c.control.Flush(ctx)
}

// close publishes and binds everything, ends the components' epochs and closes the logs.
func (c *cell) close(ctx context.Context) error {
	var errs []error
	if c.asked != nil {
		if err := c.asked.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, events := range c.shards {
		if events == nil {
			continue
		}
		if err := events.Flush(ctx); err != nil {
			errs = append(errs, err)
		}
		if err := events.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, stop := range c.stopBeats {
		stop()
	}
	c.beats.Wait()
	for _, m := range c.components {
		if err := m.Stop(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if err := c.control.Flush(ctx); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.control.Close())...)
}
