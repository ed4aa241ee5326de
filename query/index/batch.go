package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A batch is the rows of one commit or of several in a row, as columns.
type batch struct {
	origin     string
	from, next uint64 // commits [from, next)
	first      uint64 // leaves [first, size)
	size       uint64
	lastHash   string // of the header line of the last commit: says which history this is
	bytes      int    // of record lines
	lines      []byte // where the next line is kept

	columns columns
}

// columns are the columns of all tables.
type columns struct {
	log       []string
	leafIndex []uint64
	commitSeq []uint64
	time      []int64
	erased    []bool
	class     []uint32
	activity  []uint32

	uid, region, provider, account, className, activityName, service, operation, status, srcIP, text, record []string

	jurisdictions, actors, resources [][]string

	uidKey, content []key
}

// Bounds of a batch while the feed catches up: commits are sent together until they hold so much.
const (
	batchRows  = 32 << 10
	batchBytes = 32 << 20
)

func (b *batch) rows() int  { return len(b.columns.time) }
func (b *batch) full() bool { return b.rows() >= batchRows || b.bytes >= batchBytes }

// linesChunk is how much memory for lines is made at a time.
const linesChunk = 4 << 20

// keep copies a line, whose bytes are valid only while it is read. The columns of its row share the copy.
func (b *batch) keep(line []byte) []byte {
	if len(line) > cap(b.lines)-len(b.lines) {
		b.lines = make([]byte, 0, max(linesChunk, len(line))) // rows hold what they have of the one before
	}
	from := len(b.lines)
	b.lines = append(b.lines, line...)
	return b.lines[from:len(b.lines):len(b.lines)]
}

// add appends a row.
func (b *batch) add(r *row) {
	c := &b.columns
	c.log = append(c.log, b.origin)
	c.leafIndex = append(c.leafIndex, r.index)
	c.commitSeq = append(c.commitSeq, r.commit)
	c.time = append(c.time, r.time)
	c.erased = append(c.erased, r.erased)
	c.class = append(c.class, r.class)
	c.activity = append(c.activity, r.activity)
	c.uid = append(c.uid, r.uid)
	c.region = append(c.region, r.region)
	c.provider = append(c.provider, r.provider)
	c.account = append(c.account, r.account)
	c.className = append(c.className, r.className)
	c.activityName = append(c.activityName, r.activityName)
	c.service = append(c.service, r.service)
	c.operation = append(c.operation, r.operation)
	c.status = append(c.status, r.status)
	c.srcIP = append(c.srcIP, r.srcIP)
	c.text = append(c.text, r.text)
	c.record = append(c.record, r.record)
	c.jurisdictions = append(c.jurisdictions, r.jurisdictions)
	c.actors = append(c.actors, r.actors)
	c.resources = append(c.resources, r.resources)
	c.uidKey = append(c.uidKey, r.uidKey)
	c.content = append(c.content, r.content)
	b.bytes += len(r.record)
}

// token names an insert to ClickHouse, which does not take the same one twice. It says which leaves these are, of which
// history, and how often the same insert was claimed to be done and was not.
func (b *batch) token(table string, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%s\n%d", table, b.origin, b.from, b.lastHash, attempt))
	return hex.EncodeToString(sum[:16])
}

// views are hashes as strings that share their memory.
func views(keys []key) []string {
	list := make([]string, len(keys))
	for i := range keys {
		list[i] = view(keys[i][:])
	}
	return list
}

// insertTimeout bounds one insert: a server that hangs is one that is away.
const insertTimeout = 2 * time.Minute

// insert sends a batch to a table. known says that ClickHouse has seen the token before, and inserted nothing.
func (x *Index) insert(ctx context.Context, t *table, b *batch, token string) (known bool, err error) {
	ctx, release := limited(ctx, insertTimeout)
	defer release()
	ctx = clickhouse.Context(ctx, clickhouse.WithQueryID(x.queryID(b.origin)),
		clickhouse.WithSettings(clickhouse.Settings{
			"insert_deduplication_token": token,
			"insert_deduplicate":         1,
			"async_insert":               0,
			// One part, so all of it or nothing: the server joins the blocks as they come.
			"max_insert_threads":          1,
			"min_insert_block_size_rows":  64 * batchRows,
			"min_insert_block_size_bytes": uint64(64 * batchBytes),
		}),
		clickhouse.WithProfileEvents(func(events []clickhouse.ProfileEvent) {
			for _, e := range events {
				known = known || e.Name == "DuplicatedInsertedBlocks" && e.Value > 0
			}
		}))
	what := fmt.Sprintf("inserting leaves %d to %d of %s into %s", b.first, b.size, b.origin, t.name)
	out, err := x.conn.PrepareBatch(ctx, "INSERT INTO "+t.name+" ("+strings.Join(t.names(), ", ")+")")
	if err != nil {
		return false, explain(what, err)
	}
	values := t.values(b)
	for _, rows := range b.blocks() {
		if err := fill(out, values, rows); err != nil {
			return false, explain(what, errors.Join(err, out.Abort()))
		}
		if err := out.Flush(); err != nil {
			return false, explain(what, errors.Join(err, out.Abort()))
		}
	}
	if err := out.Send(); err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return false, fmt.Errorf("%s: %w: no answer within %v", what, ErrUnavailable, insertTimeout)
		}
		return false, explain(what, err)
	}
	return known, nil
}

// limited is context.WithTimeout, but that release does not cancel: the driver watches the context of a batch for a moment
// longer than the batch takes, and would close the connection, which somebody else may have by then
// (clickhouse-go v2.50, contextWatchdog).
func limited(ctx context.Context, limit time.Duration) (_ context.Context, release func()) {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	timer := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	return inner, func() {
		stop()
		timer.Stop()
	}
}

// blockBytes is about how much of records goes to the server at a time: buffers of that size are used over and over.
const blockBytes = 2 << 20

// blocks cuts the rows of a batch into ranges.
func (b *batch) blocks() (list []span) {
	from, bytes := 0, 0
	for i, record := range b.columns.record {
		if bytes += len(record) + 256; bytes >= blockBytes || i == b.rows()-1 {
			list = append(list, span{uint64(from), uint64(i + 1)})
			from, bytes = i+1, 0
		}
	}
	return list
}

// fill appends rows to a block.
func fill(out driver.Batch, columns []any, rows span) error {
	for column, values := range columns {
		if err := appendRange(out.Column(column), values, int(rows.first), int(rows.size)); err != nil {
			return err
		}
	}
	return nil
}

func appendRange(into driver.BatchColumn, values any, from, to int) error {
	switch v := values.(type) {
	case []string:
		return into.Append(v[from:to])
	case []int64:
		return into.Append(v[from:to])
	case []uint64:
		return into.Append(v[from:to])
	case []uint32:
		return into.Append(v[from:to])
	case []bool:
		return into.Append(v[from:to])
	case [][]string: // row by row: all at once the driver takes them by reflection
		for _, list := range v[from:to] {
			if err := into.AppendRow(list); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a column of %T", values)
}
