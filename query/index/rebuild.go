package index

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/ledger/log"
)

// ErrBusy is wrapped where a rebuild or an audit is under way already.
var ErrBusy = errors.New("a rebuild or an audit of these tables is under way")

// rebuildSuffix makes the name of the database in which a rebuild fills its tables.
const rebuildSuffix = "__rebuild"

// Rebuild fills new tables from the payloads of the logs, which must be all events logs of the cell, and exchanges them
// for the present ones. Searches and feeds go on meanwhile, on the present tables; they stop for the moment of the
// exchange. progress, if not nil, is told how many leaves are done.
//
// A rebuild that is interrupted leaves the present tables as they are, or, between two exchanges, some new and some old
// ones, of which the old ones may lack what they lacked before. The next feed or rebuild removes what is left over.
func (x *Index) Rebuild(ctx context.Context, logs []*log.Reader, progress func(done, total uint64)) error {
	if !x.upkeep.TryLock() {
		return ErrBusy
	}
	defer x.upkeep.Unlock()
	if err := x.dropLeftovers(ctx); err != nil {
		return err
	}
	cfg := x.cfg
	cfg.Database += rebuildSuffix
	into, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	err = x.rebuildInto(ctx, into, logs, progress)
	if err := closing(nil, into.conn); err != nil {
		return err
	}
	// Of the tables that are exchanged the old ones are here now. If this fails, the next feed does it.
	return errors.Join(err, x.dropLeftovers(context.WithoutCancel(ctx)))
}

func (x *Index) rebuildInto(ctx context.Context, into *Index, logs []*log.Reader, progress func(done, total uint64)) error {
	feeds := make([]*feed, len(logs))
	for i, r := range logs {
		feeds[i] = &feed{x: into, r: r, origin: r.Origin()}
	}
	var done, total atomic.Uint64
	tell := func() {
		if progress != nil {
			progress(done.Load(), max(done.Load(), total.Load()))
		}
	}
	for _, f := range feeds {
		head, err := f.r.Head(ctx)
		if err != nil {
			return err
		}
		total.Add(head.Size)
		f.sent = func(b *batch) { done.Add(b.size - b.first); tell() }
	}
	tell()
	// Once for what is there, and once more for what came meanwhile, so that the exchange has little to wait for.
	for range 2 {
		for _, f := range feeds {
			if err := f.run(ctx, nil); err != nil {
				return err
			}
		}
	}
	x.swap.Lock()
	defer x.swap.Unlock()
	for _, f := range feeds {
		if err := f.run(ctx, nil); err != nil {
			return err
		}
	}
	tell()
	return x.exchange(ctx, into.database)
}

// exchange puts the tables of a database in the place of the index's own. Whoever calls it holds swap.
func (x *Index) exchange(ctx context.Context, from string) error {
	x.swaps++ // also if it fails half-way
	for _, t := range tables {
		var there uint8
		const exists = "SELECT toUInt8(count()) FROM system.tables WHERE database = {database:String} AND name = {name:String}"
		err := x.conn.QueryRow(ctx, exists, clickhouse.Named("database", x.database), clickhouse.Named("name", t.name)).Scan(&there)
		if err != nil {
			return explain("exchanging table "+t.name, err)
		}
		query := fmt.Sprintf("EXCHANGE TABLES %s.%s AND %s.%s", x.database, t.name, from, t.name)
		if there == 0 { // somebody dropped it
			query = fmt.Sprintf("RENAME TABLE %s.%s TO %s.%s", from, t.name, x.database, t.name)
		}
		if err := x.conn.Exec(ctx, query); err != nil {
			return explain("exchanging table "+t.name, err)
		}
	}
	return nil
}

// dropLeftovers removes what an interrupted rebuild left.
func (x *Index) dropLeftovers(ctx context.Context) error {
	err := x.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+x.database+rebuildSuffix+" SYNC")
	return explain("removing what an interrupted rebuild left", err)
}
