package index

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"domicile.dev/domicile/ledger/log"
)

// A Position is where an event stands among all of a cell. Answers are in descending order of it.
type Position struct {
	Time  int64  // milliseconds since 1970
	Log   string // origin
	Index uint64 // of the leaf
}

// Compare orders positions, the first of an answer last.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Time, q.Time), cmp.Compare(p.Log, q.Log), cmp.Compare(p.Index, q.Index))
}

// A Page says which part of an answer is meant.
type Page struct {
	After  *Position         // what comes after it; nil: from the newest event on
	Limit  int               // from 1 to MaxLimit
	Within map[string]uint64 // log to tree size: only leaves below it, and no log that is not named; nil: all that are indexed
}

// MaxLimit is the most rows of a page.
const MaxLimit = 1000

// A Row is an event.
type Row struct {
	Position
	UID    string
	Record []byte // exact payload line, {"salt":…,"event":…}
}

// How much a question may make ClickHouse do before it is refused.
const (
	maxSeconds = 30
	maxBytes   = 64 << 30 // uncompressed, of the columns that are read
)

// bounded puts limits on a query. Reaching one is an error, never a short answer.
func (x *Index) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, (maxSeconds+5)*time.Second) // the server's own limit comes first
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time":     maxSeconds,
		"timeout_overflow_mode":  "throw",
		"max_bytes_to_read":      uint64(maxBytes),
		"read_overflow_mode":     "throw",
		"max_result_rows":        0,
		"readonly":               2,
		"optimize_read_in_order": 1,
	})), cancel
}

// Search returns the events of a page that match a filter, newest first.
func (x *Index) Search(ctx context.Context, f Filter, page Page) ([]Row, error) {
	rows, err := x.search(ctx, &f, &page)
	if errors.Is(err, ErrDamaged) && ctx.Err() == nil {
		// Or it was caught between two steps of a repair or a rebuild, which the next one is not.
		return x.search(ctx, &f, &page)
	}
	return rows, err
}

func (x *Index) search(ctx context.Context, f *Filter, page *Page) ([]Row, error) {
	c, err := f.conditions()
	if err != nil {
		return nil, err
	}
	if page.Limit < 1 || page.Limit > MaxLimit {
		return nil, fmt.Errorf("%w: a page of %d events, from 1 to %d", ErrQuestion, page.Limit, MaxLimit)
	}
	c.where = append(c.where, "NOT erased")
	c.within(page.Within)
	c.after(page.After)
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	found, err := x.read(ctx, "SELECT time, log, leaf_index, uid, '' FROM events WHERE "+c.sql()+
		" ORDER BY time DESC, log DESC, leaf_index DESC LIMIT "+c.bind("UInt64", uint64(page.Limit)), c.params)
	if err != nil {
		return nil, err
	}
	return x.withRecords(ctx, found)
}

// within restricts to the leaves of a state of the logs.
func (c *conditions) within(sizes map[string]uint64) {
	if sizes == nil {
		return
	}
	if len(sizes) == 0 {
		c.where = append(c.where, "0")
		return
	}
	var any []string
	for _, origin := range slices.Sorted(maps.Keys(sizes)) {
		any = append(any, "log = "+c.bind("String", origin)+" AND leaf_index < "+c.bind("UInt64", sizes[origin]))
	}
	c.where = append(c.where, "("+strings.Join(any, " OR ")+")")
}

// after restricts to what comes after a position.
func (c *conditions) after(p *Position) {
	if p == nil {
		return
	}
	// The first half is what the primary key can tell.
	t, origin, index := c.bind("Int64", p.Time), c.bind("String", p.Log), c.bind("UInt64", p.Index)
	c.where = append(c.where, "time <= "+t, "(time < "+t+" OR log < "+origin+" OR log = "+origin+" AND leaf_index < "+index+")")
}

// withRecords reads the records of rows by their leaves.
func (x *Index) withRecords(ctx context.Context, found []Row) ([]Row, error) {
	if len(found) == 0 {
		return nil, nil
	}
	rows, err := x.atLeaves(ctx, found)
	if err != nil {
		return nil, err
	}
	records := make(map[Position][]byte, len(rows))
	for _, r := range rows {
		records[r.Position] = r.Record
	}
	for i := range found {
		record, ok := records[found[i].Position]
		if !ok {
			return nil, fmt.Errorf("leaf %d of %s: %w: it has a row in events, and none like it in records: run domicile index audit",
				found[i].Index, found[i].Log, ErrDamaged)
		}
		found[i].Record = record
	}
	return found, nil
}

// ByUID returns all events of a uid, newest first, whatever log of the cell they are in. It is none where the cell has
// no such event, or the event was erased.
func (x *Index) ByUID(ctx context.Context, uid string) ([]Row, error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	k := log.UIDKey(uid)
	const places = "SELECT toInt64(0), log, leaf_index, '', '' FROM uids WHERE uid_key = toFixedString(unhex({key:String}), 16)"
	found, err := x.read(ctx, places, []any{clickhouse.Named("key", hex.EncodeToString(k[:]))})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	rows, err := x.atLeaves(ctx, found)
	if err != nil {
		return nil, err
	}
	// Half a hash is enough to find a uid by, not to answer for it.
	rows = slices.DeleteFunc(rows, func(r Row) bool { return r.UID != clipValue(uid) })
	slices.SortFunc(rows, func(a, b Row) int { return b.Compare(a.Position) })
	return rows, nil
}

// At returns the event of a leaf, false if the index does not have it.
func (x *Index) At(ctx context.Context, origin string, index uint64) (Row, bool, error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	rows, err := x.atLeaves(ctx, []Row{{Position: Position{Log: origin, Index: index}}})
	if err != nil || len(rows) == 0 {
		return Row{}, false, err
	}
	return rows[0], true, nil
}

// atLeaves reads the rows of leaves, in no order, those that are there.
func (x *Index) atLeaves(ctx context.Context, leaves []Row) ([]Row, error) {
	byLog := make(map[string][]uint64)
	for _, r := range leaves {
		byLog[r.Log] = append(byLog[r.Log], r.Index)
	}
	c := new(conditions)
	var any []string
	for _, origin := range slices.Sorted(maps.Keys(byLog)) {
		any = append(any, "log = "+c.bind("String", origin)+" AND leaf_index IN "+c.bind("Array(UInt64)", byLog[origin]))
	}
	return x.read(ctx, "SELECT time, log, leaf_index, uid, record FROM records WHERE ("+strings.Join(any, " OR ")+") AND record != ''", c.params)
}

// read runs a query that gives time, log, leaf_index, uid and record.
func (x *Index) read(ctx context.Context, query string, params []any) (list []Row, err error) {
	const what = "searching"
	rows, err := x.conn.Query(ctx, query, params...)
	if err != nil {
		return nil, explain(what, err)
	}
	defer func(rows driver.Rows) { rows.Close() }(rows)
	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.Time, &r.Log, &r.Index, &r.UID, &r.Record); err != nil {
			return nil, explain(what, err)
		}
		list = append(list, r)
	}
	return list, explain(what, rows.Err())
}
