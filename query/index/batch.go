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

	eventRows eventColumns
	uidRows   uidColumns
}

type eventColumns struct {
	time       []int64
	log        []string
	leafIndex  []uint64
	commitSeq  []uint64
	erased     []bool
	uid        []string
	region     []string
	provider   []string
	account    []string
	class      []uint32
	className  []string
	activity   []uint32
	activities []string
	service    []string
	operation  []string
	status     []string
	srcIP      []string

	jurisdictions, actors, resources [][]string

	text, record []string
}

type uidColumns struct {
	key, content []key
}

func (b *batch) rows() int { return len(b.eventRows.time) }

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
	e := &b.eventRows
	e.time = append(e.time, r.time)
	e.log = append(e.log, b.origin)
	e.leafIndex = append(e.leafIndex, r.index)
	e.commitSeq = append(e.commitSeq, r.commit)
	e.erased = append(e.erased, r.erased)
	e.uid = append(e.uid, r.uid)
	e.region = append(e.region, r.region)
	e.provider = append(e.provider, r.provider)
	e.account = append(e.account, r.account)
	e.class = append(e.class, r.class)
	e.className = append(e.className, r.className)
	e.activity = append(e.activity, r.activity)
	e.activities = append(e.activities, r.activityName)
	e.service = append(e.service, r.service)
	e.operation = append(e.operation, r.operation)
	e.status = append(e.status, r.status)
	e.srcIP = append(e.srcIP, r.srcIP)
	e.jurisdictions = append(e.jurisdictions, r.jurisdictions)
	e.actors = append(e.actors, r.actors)
	e.resources = append(e.resources, r.resources)
	e.text = append(e.text, r.text)
	e.record = append(e.record, r.record)
	b.uidRows.key = append(b.uidRows.key, r.uidKey)
	b.uidRows.content = append(b.uidRows.content, r.content)
	b.bytes += len(r.record)
}

// token names an insert to ClickHouse, which does not take the same one twice. It says which leaves these are, of which
// history, and how often the same insert was claimed to be done and was not.
func (b *batch) token(table string, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%s\n%d", table, b.origin, b.from, b.lastHash, attempt))
	return hex.EncodeToString(sum[:16])
}

// A table is one of the index's, filled with one insert for each batch.
type table struct {
	name    string
	columns []string
	values  func(b *batch) []any // in the order of columns
}

// tables are filled in this order: an event that is found has its record.
var tables = []*table{
	{
		name:    "records",
		columns: []string{"log", "leaf_index", "time", "uid", "record"},
		values: func(b *batch) []any {
			e := &b.eventRows
			return []any{e.log, e.leafIndex, e.time, e.uid, e.record}
		},
	},
	{
		name:    "uids",
		columns: []string{"uid_key", "log", "leaf_index", "content"},
		values: func(b *batch) []any {
			return []any{views(b.uidRows.key), b.eventRows.log, b.eventRows.leafIndex, views(b.uidRows.content)}
		},
	},
	{
		name: "events",
		columns: []string{"time", "log", "leaf_index", "commit_seq", "erased", "uid", "jurisdiction", "region", "provider", "account",
			"class", "class_name", "activity", "activity_name", "service", "operation", "status", "actor", "src_ip", "resource", "text"},
		values: func(b *batch) []any {
			e := &b.eventRows
			return []any{e.time, e.log, e.leafIndex, e.commitSeq, e.erased, e.uid, lists(e.jurisdictions), e.region, e.provider, e.account,
				e.class, e.className, e.activity, e.activities, e.service, e.operation, e.status, lists(e.actors), e.srcIP, lists(e.resources), e.text}
		},
	},
}

// lists marks arrays, which the driver takes row by row only if reflection is to be avoided.
type lists [][]string

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

// insert sends a batch to a table, whose name may be that of a copy of it.
func (x *Index) insert(ctx context.Context, t *table, name string, b *batch, token string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithQueryID(x.queryID(name)), clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": token,
		"insert_deduplicate":         1,
		"async_insert":               0,
		"max_insert_threads":         1, // one block, one part: all of it or nothing
	}))
	what := fmt.Sprintf("inserting leaves %d to %d of %s into %s", b.first, b.size, b.origin, name)
	out, err := x.conn.PrepareBatch(ctx, "INSERT INTO "+name+" ("+strings.Join(t.columns, ", ")+")")
	if err != nil {
		return explain(what, err)
	}
	if err := fill(out, t, b); err != nil {
		return explain(what, errors.Join(err, out.Abort()))
	}
	if err := out.Send(); err != nil {
		if ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded {
			return fmt.Errorf("%s: %w: no answer within %v", what, ErrUnavailable, insertTimeout)
		}
		return explain(what, err)
	}
	return nil
}

func fill(out driver.Batch, t *table, b *batch) error {
	for column, values := range t.values(b) {
		rows, ok := values.(lists)
		if !ok {
			if err := out.Column(column).Append(values); err != nil {
				return err
			}
			continue
		}
		into := out.Column(column)
		for i := range rows {
			if err := into.AppendRow(rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
