package index

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// A Kind says how rows differ from the ledger.
type Kind string

// Kinds of differences.
const (
	Missing Kind = "missing" // a leaf has no row in a table
	Surplus Kind = "surplus" // a row has no leaf
	Altered Kind = "altered" // a record is not the one of its leaf, or a column does not say what the record says
	Twice   Kind = "twice"   // a leaf has more than one row in a table
)

// A Difference is a row that is not as the ledger says, or a leaf without one.
type Difference struct {
	Log    string
	Index  uint64
	UID    string // as a row says; "" where none does
	Kind   Kind
	Detail string // which table and column, never what they hold
}

// An AuditReport sums an audit up.
type AuditReport struct {
	Leaves      uint64 // that were looked at
	Rows        uint64 // in all tables
	Differences uint64
}

// Audit holds every row against the tree: its record is hashed again and compared with its leaf, and its columns, in all
// tables, are derived from the record again and compared. Leaves come from the commits of the logs, which must be all
// events logs of the cell. It looks at what is indexed when it begins. found is told of every difference, in no order
// between tables; progress, if not nil, of how many leaves are done.
func (x *Index) Audit(ctx context.Context, logs []*log.Reader, progress func(done, total uint64), found func(Difference)) (report AuditReport, err error) {
	if !x.upkeep.TryLock() {
		return report, ErrBusy
	}
	defer x.upkeep.Unlock()
	done, err := x.access(ctx, ledger.OpIndexAudit)
	if err != nil {
		return report, err
	}
	a := &audit{x: x, report: &report, found: found, progress: progress}
	err = a.run(ctx, logs)
	return report, errors.Join(err, done(report.Leaves, a.bytes))
}

// An audit is one pass over the tables.
type audit struct {
	x        *Index
	report   *AuditReport
	found    func(Difference)
	progress func(done, total uint64)
	total    uint64
	bytes    uint64 // of records

	committer ledger.Committer
	deriver   deriver
}

func (a *audit) say(origin string, index uint64, uid string, kind Kind, detail string) {
	a.report.Differences++
	if a.found != nil {
		a.found(Difference{origin, index, uid, kind, detail})
	}
}

func (a *audit) run(ctx context.Context, logs []*log.Reader) error {
	sizes := make([]uint64, len(logs))
	origins := make([]string, len(logs))
	for i, r := range logs {
		head, err := r.Head(ctx)
		if err != nil {
			return err
		}
		origins[i], sizes[i] = r.Origin(), head.Size
		if s := a.x.State(origins[i]); !s.Since.IsZero() {
			sizes[i] = min(sizes[i], s.Indexed) // what the feed has not come to is late, not missing
		}
		a.total += sizes[i]
	}
	for i, r := range logs {
		if err := a.log(ctx, r, sizes[i]); err != nil {
			return fmt.Errorf("audit of %s: %w", origins[i], err)
		}
		head, err := r.Head(ctx) // again: it grew meanwhile
		if err != nil {
			return err
		}
		const beyond = "log = {log:String} AND leaf_index >= {size:UInt64}"
		if err := a.surplus(ctx, beyond, clickhouse.Named("log", origins[i]), clickhouse.Named("size", head.Size)); err != nil {
			return err
		}
	}
	return a.surplus(ctx, "log NOT IN {logs:Array(String)}", clickhouse.Named("logs", origins))
}

// surplus names all rows of a condition: they have no leaf.
func (a *audit) surplus(ctx context.Context, condition string, params ...any) error {
	for _, t := range tables {
		uid := "''"
		if t.name != "uids" {
			uid = "uid"
		}
		rows, err := a.x.conn.Query(ctx, "SELECT log, leaf_index, "+uid+" FROM "+t.name+" WHERE "+condition, params...)
		if err != nil {
			return explain("looking for surplus rows", err)
		}
		for rows.Next() {
			var origin, uid string
			var index uint64
			if err := rows.Scan(&origin, &index, &uid); err != nil {
				rows.Close()
				return explain("looking for surplus rows", err)
			}
			a.report.Rows++
			a.say(origin, index, uid, Surplus, t.name+": the log has no such leaf")
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return explain("looking for surplus rows", err)
		}
	}
	return nil
}

// auditLeaves is how many leaves are looked at together, at least: a chunk ends with a commit.
const auditLeaves = 1 << 16

// An auditLeaf is a leaf and the commit that holds it.
type auditLeaf struct {
	bytes  []byte
	commit uint64
}

// log looks at leaves [0, size) of a log.
func (a *audit) log(ctx context.Context, r *log.Reader, size uint64) error {
	var chunk span
	var leaves []auditLeaf
	for seq := uint64(0); chunk.size < size; seq++ {
		commit, err := r.Commit(ctx, seq)
		if err != nil {
			return err
		}
		for _, leaf := range commit.Leaves {
			if chunk.size == size {
				break
			}
			leaves = append(leaves, auditLeaf{leaf, seq})
			chunk.size++
		}
		if len(leaves) < auditLeaves && chunk.size < size {
			continue
		}
		if err := a.chunk(ctx, r, chunk, leaves); err != nil {
			return err
		}
		a.report.Leaves += uint64(len(leaves))
		if a.progress != nil {
			a.progress(a.report.Leaves, a.total)
		}
		chunk.first, leaves = chunk.size, leaves[:0]
	}
	return nil
}

// chunk looks at the leaves of a span: at their rows in all tables, which are read side by side in the order of the
// leaves.
func (a *audit) chunk(ctx context.Context, r *log.Reader, s span, leaves []auditLeaf) error {
	ctx, cancel := context.WithCancel(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_block_size": 1024, "preferred_block_size_bytes": 4 << 20,
	})))
	defer cancel()
	streams := make([]*rowStream, len(tables))
	for i, t := range tables {
		stream, err := a.x.stream(ctx, t, r.Origin(), s)
		if err != nil {
			return err
		}
		defer stream.rows.Close()
		streams[i] = stream
	}
	for i, leaf := range leaves {
		if err := a.leaf(ctx, r, s.first+uint64(i), leaf, streams); err != nil {
			return err
		}
	}
	return nil
}

// leaf holds the rows of one leaf against it.
func (a *audit) leaf(ctx context.Context, r *log.Reader, index uint64, leaf auditLeaf, streams []*rowStream) error {
	rows := make([][]row, len(streams))
	var uid string
	for i, s := range streams {
		var err error
		if rows[i], err = s.of(index); err != nil {
			return err
		}
		a.report.Rows += uint64(len(rows[i]))
		if len(rows[i]) > 0 {
			uid = or(uid, rows[i][0].uid)
		}
	}
	want, err := a.want(ctx, r, index, leaf.bytes, rows[0])
	if err != nil {
		return err
	}
	want.commit = leaf.commit
	for i, t := range tables {
		switch n := len(rows[i]); {
		case n == 0:
			a.say(r.Origin(), index, uid, Missing, t.name+": the leaf has no row")
		case n > 1:
			a.say(r.Origin(), index, uid, Twice, fmt.Sprintf("%s: the leaf has %d rows", t.name, n))
		}
		for j := range rows[i] {
			for _, c := range t.columns {
				if !reflect.DeepEqual(c.at(&rows[i][j]), c.at(want)) {
					a.say(r.Origin(), index, or(rows[i][j].uid, uid), Altered, t.name+": "+c.name+" is not what the ledger says")
				}
			}
		}
	}
	return nil
}

// want makes the row that a leaf should have: from the record of its row, if that is the leaf's, else from the record in
// the ledger.
func (a *audit) want(ctx context.Context, r *log.Reader, index uint64, leaf []byte, rows []row) (*row, error) {
	want := &row{log: r.Origin(), index: index}
	for i := range rows {
		line := []byte(rows[i].record)
		a.bytes += uint64(len(line))
		if a.proves(line, leaf) {
			return want, a.deriver.derive(want, line)
		}
	}
	line, err := r.Record(ctx, index)
	switch {
	case errors.Is(err, log.ErrNoRecord):
		return want, eraseRow(want, leaf)
	case err != nil:
		return nil, err
	}
	a.bytes += uint64(len(line))
	return want, a.deriver.derive(want, line)
}

// proves reports whether a record line is the one of a leaf.
func (a *audit) proves(line, leaf []byte) bool {
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return false
	}
	l, err := ledger.ParseLeaf(leaf)
	return err == nil && a.committer.Commitment(&rec.Salt, rec.Fields) == l.Commitment
}

// A rowStream reads rows of a table in the order of their leaves.
type rowStream struct {
	table *table
	rows  driver.Rows
	next  *row // read ahead; nil at the end
}

func (x *Index) stream(ctx context.Context, t *table, origin string, s span) (*rowStream, error) {
	const query = "SELECT %s FROM %s WHERE log = {log:String} AND leaf_index >= {first:UInt64} AND leaf_index < {size:UInt64} ORDER BY log, leaf_index"
	rows, err := x.conn.Query(ctx, fmt.Sprintf(query, strings.Join(t.names(), ", "), t.name),
		clickhouse.Named("log", origin), clickhouse.Named("first", s.first), clickhouse.Named("size", s.size))
	if err != nil {
		return nil, explain("reading table "+t.name, err)
	}
	stream := &rowStream{table: t, rows: rows}
	return stream, stream.advance()
}

// advance reads the next row.
func (s *rowStream) advance() error {
	s.next = nil
	if !s.rows.Next() {
		return explain("reading table "+s.table.name, s.rows.Err())
	}
	r := new(row)
	into := make([]any, len(s.table.columns))
	for i, c := range s.table.columns {
		into[i] = c.at(r)
	}
	if err := s.rows.Scan(into...); err != nil {
		return explain("reading table "+s.table.name, err)
	}
	for _, list := range []*[]string{&r.jurisdictions, &r.actors, &r.resources} {
		if len(*list) == 0 {
			*list = nil // as deriving leaves it
		}
	}
	s.next = r
	return nil
}

// of returns the rows of a leaf, which is not before the one asked for last.
func (s *rowStream) of(index uint64) (list []row, err error) {
	for s.next != nil && s.next.index == index {
		list = append(list, *s.next)
		if err := s.advance(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
