package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// exec changes tables behind the index's back.
func (x *Index) exec(t testing.TB, query string) {
	t.Helper()
	if err := x.conn.Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// wantWhole fails unless every leaf of the cell has exactly one row in every table, and each says what it should.
func (c *cell) wantWhole(x *Index) {
	c.t.Helper()
	var readers []*log.Reader
	var leaves uint64
	for i := range c.shards {
		readers = append(readers, c.reader(i))
		head, err := c.reader(i).Head(c.t.Context())
		c.must(err)
		leaves += head.Size
		if s := x.State(origin(i)); s.Indexed != head.Size || s.Commits != head.Seq+1 || s.Err != nil {
			c.t.Errorf("%s: %d leaves and %d commits are indexed, the log has %d and %d (%v)", origin(i), s.Indexed, s.Commits, head.Size, head.Seq+1, s.Err)
		}
	}
	report, err := x.Audit(c.t.Context(), readers, nil, func(d Difference) { c.t.Errorf("%+v", d) })
	c.must(err)
	if report.Leaves != leaves || report.Rows != leaves*uint64(len(tables)) {
		c.t.Errorf("%d leaves and %d rows were looked at, want %d and %d", report.Leaves, report.Rows, leaves, leaves*uint64(len(tables)))
	}
}

func TestFeedFollows(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 10)...)
	wake := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- x.Feed(ctx, c.reader(0), wake) }()
	await(t, "10 leaves", func() bool { return x.State(origin(0)).Indexed == 10 })
	c.append(0, calls(10, 5)...)
	wake <- struct{}{}
	await(t, "15 leaves", func() bool { return x.State(origin(0)).Indexed == 15 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the feed ended with %v", err)
	}
	c.wantWhole(x)
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for give := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("no %s after two minutes", what)
		}
	}
}

// TestFeedMends takes rows out, puts rows in twice, and starts anew, as after a crash that lost or doubled some.
func TestFeedMends(t *testing.T) {
	for name, damage := range map[string][]string{
		"nothing":                  nil,
		"all rows are gone":        {"TRUNCATE TABLE events", "TRUNCATE TABLE records", "TRUNCATE TABLE uids"},
		"all rows were deleted":    {"DELETE FROM events WHERE 1", "DELETE FROM records WHERE 1", "DELETE FROM uids WHERE 1"},
		"a table is empty":         {"TRUNCATE TABLE uids"},
		"the end of a table":       {"DELETE FROM events WHERE leaf_index >= 20"},
		"the end, inside a commit": {"DELETE FROM records WHERE leaf_index >= 17"},
		"the beginning":            {"DELETE FROM events WHERE leaf_index < 10"},
		"one row":                  {"DELETE FROM events WHERE leaf_index = 13"},
		"one row of each table":    {"DELETE FROM events WHERE leaf_index = 3", "DELETE FROM records WHERE leaf_index = 13", "DELETE FROM uids WHERE leaf_index = 23"},
		"a row is there twice":     {"INSERT INTO events SELECT * FROM events WHERE leaf_index = 13"},
		"a commit is there twice":  {"INSERT INTO uids SELECT * FROM uids WHERE leaf_index >= 10 AND leaf_index < 20"},
		"one for the other":        {"INSERT INTO events SELECT * FROM events WHERE leaf_index = 13", "DELETE FROM events WHERE leaf_index = 12"},
		"the last row twice":       {"INSERT INTO records SELECT * FROM records WHERE leaf_index = 29"},
		"everything twice":         {"INSERT INTO records SELECT * FROM records", "INSERT INTO uids SELECT * FROM uids", "INSERT INTO events SELECT * FROM events"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, 1)
			x := newIndex(t)
			for i := range 3 {
				c.append(0, calls(10*i, 10)...)
				c.catchUp(x)
			}
			for _, query := range damage {
				x.exec(t, query)
			}
			c.append(0, calls(30, 10)...)
			c.catchUp(x)
			c.wantWhole(x)
		})
	}
}

// TestFeedResends sends a batch again whose answer was lost.
func TestFeedResends(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 10)...)
	c.append(0, calls(10, 10)...)
	f := &feed{x: x, r: c.reader(0), origin: origin(0)}
	seq, err := f.resume(t.Context())
	c.must(err)
	for range 2 {
		f.have = make([]uint64, len(tables)) // as one that does not know what became of its inserts
		c.must(f.follow(t.Context(), seq, nil))
	}
	c.wantWhole(x)
	// Another process sends what is there and more under one token.
	c.append(0, calls(20, 10)...)
	c.catchUp(x)
	c.wantWhole(x)
}

// TestTokenOutlivesRows: a server that noted a token and lost the rows gets them again.
func TestTokenOutlivesRows(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	for i := range 4 {
		c.append(0, calls(10*i, 10)...)
		c.catchUp(x)
	}
	for range 3 { // each round uses up the tokens of one attempt more
		for _, table := range tables {
			x.exec(t, "DELETE FROM "+table.name+" WHERE leaf_index >= 10")
		}
		c.catchUp(x)
		c.wantWhole(x)
	}
}

func TestFeedRefusesAnotherHistory(t *testing.T) {
	long, short := newCell(t, 1), newCell(t, 1)
	x := newIndex(t)
	long.append(0, calls(0, 10)...)
	long.catchUp(x)
	short.append(0, calls(0, 5)...)
	f := &feed{x: x, r: short.reader(0), origin: origin(0)}
	if err := f.run(t.Context(), nil); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "leaf 9") {
		t.Errorf("error %v, want one that names leaf 9", err)
	}
}

func TestFeedLogsItsReads(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 10)...)
	refused := errors.New("the control log is away")
	var ops []ledger.AccessOp
	x.cfg.Access = func(_ context.Context, op ledger.AccessOp) (*log.Access, error) {
		ops = append(ops, op)
		return nil, refused
	}
	f := &feed{x: x, r: c.reader(0), origin: origin(0)}
	if err := f.run(t.Context(), nil); !errors.Is(err, refused) {
		t.Errorf("error %v, want that the read was not logged", err)
	}
	if _, err := x.Audit(t.Context(), []*log.Reader{c.reader(0)}, nil, nil); !errors.Is(err, refused) {
		t.Errorf("error %v, want that the audit was not logged", err)
	}
	if want := []ledger.AccessOp{ledger.OpIndexRebuild, ledger.OpIndexAudit}; !slices.Equal(ops, want) {
		t.Errorf("logged %v, want %v", ops, want)
	}
	if rows, err := x.Search(t.Context(), Filter{}, Page{Limit: 10}); err != nil || len(rows) > 0 {
		t.Errorf("%d rows of records that nobody may have read, %v", len(rows), err)
	}
}

func TestOpenKnowsItsTables(t *testing.T) {
	x := newIndex(t)
	again := func() error {
		y, err := Open(t.Context(), x.cfg)
		if err == nil {
			return y.Close()
		}
		return err
	}
	if err := again(); err != nil {
		t.Errorf("opened again: %v", err)
	}
	x.exec(t, "INSERT INTO migrations SELECT 999, 'later', 'x', now64(3)")
	if err := again(); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("tables of a newer program: %v", err)
	}
	x.exec(t, "DELETE FROM migrations WHERE version = 999")
	x.exec(t, "ALTER TABLE migrations UPDATE sha256 = 'x' WHERE version = 1 SETTINGS mutations_sync = 2")
	if err := again(); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "0001_") {
		t.Errorf("another form of a migration: %v", err)
	}
}

func TestInterruptedMigrationIsCompleted(t *testing.T) {
	x := newIndex(t)
	x.exec(t, "DROP TABLE uids SYNC")
	x.exec(t, "DELETE FROM migrations WHERE version >= 2") // records is there, and not noted
	if err := x.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.exec(t, "SELECT uid_key FROM uids")
}

func TestErasedRecordLeavesAnEmptyRow(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 3)...)
	c.append(0, calls(3, 3)...)
	c.append(0, calls(6, 3)...)
	header, err := c.reader(0).Header(t.Context(), 2)
	c.must(err)
	c.must(c.stores.Keys.Delete(t.Context(), origin(0)+"/"+header.Payloads[0].Key))
	c.catchUp(x)
	c.wantWhole(x)
	rows, err := x.Search(t.Context(), Filter{}, Page{Limit: 10})
	c.must(err)
	if len(rows) != 6 {
		t.Errorf("%d events are found, want the 6 that are left", len(rows))
	}
	if _, ok, err := x.At(t.Context(), origin(0), 4); ok || err != nil {
		t.Errorf("an erased event is found by its leaf: %v %v", ok, err)
	}
	if rows, err := x.ByUID(t.Context(), call(4).uid); len(rows) > 0 || err != nil {
		t.Errorf("an erased event is found by its uid: %v %v", rows, err)
	}
	groups, _, err := x.Stats(t.Context(), Filter{}, Grouping{Limit: 1})
	if want := fmt.Sprint([]Group{{[]string{}, 0, 6}}); err != nil || fmt.Sprint(groups) != want {
		t.Errorf("counted %v, %v; want %s", groups, err, want)
	}
}

// TestInsertsLeftBehindEnd: what an earlier process began to insert does not come after the rows were counted.
func TestInsertsLeftBehindEnd(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 10)...)
	conn, err := clickhouse.Open(x.cfg.Options)
	c.must(err)
	defer conn.Close()
	ctx := clickhouse.Context(t.Context(), clickhouse.WithQueryID(x.queryID(origin(0))))
	insert, err := conn.PrepareBatch(ctx, "INSERT INTO "+x.database+".events (log, leaf_index)")
	c.must(err)
	c.must(insert.Append(origin(0), uint64(3)))
	c.must(insert.Flush())
	c.catchUp(x)
	if err := insert.Send(); err == nil {
		t.Error("the insert that was left behind went through")
	}
	c.wantWhole(x)
}

// TestOneInsertIsOnePart: what is there as a whole or not at all is a part, so an insert has to be one.
func TestOneInsertIsOnePart(t *testing.T) {
	x := newIndex(t)
	b := new(traffic).batch(t, 0, 3000)
	if len(b.blocks()) < 4 {
		t.Fatalf("the batch has %d blocks: the test tests nothing", len(b.blocks()))
	}
	for _, table := range tables {
		x.exec(t, "SYSTEM STOP MERGES "+table.name)
		if _, err := x.insert(t.Context(), table, b, "a"); err != nil {
			t.Fatal(err)
		}
		var parts, rows uint64
		query := "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = '" + x.database + "' AND table = '" + table.name + "'"
		if err := x.conn.QueryRow(t.Context(), query).Scan(&parts, &rows); err != nil || parts != 1 || rows != 3000 {
			t.Errorf("%s: %d parts of %d rows (%v), want one of 3000", table.name, parts, rows, err)
		}
		if known, err := x.insert(t.Context(), table, b, "a"); err != nil || !known {
			t.Errorf("%s: a token that is known: %v, %v", table.name, known, err)
		}
		x.exec(t, "SYSTEM START MERGES "+table.name)
	}
}
