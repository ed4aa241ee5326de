package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger/log"
)

func (c *cell) readers() (list []*log.Reader) {
	for i := range c.shards {
		list = append(list, c.reader(i))
	}
	return list
}

// hashes is a hash over all rows of each table.
func (x *Index) hashes(t *testing.T) (list []string) {
	t.Helper()
	for _, table := range tables {
		var rows, sum uint64
		query := "SELECT count(), groupBitXor(sipHash64(*)) FROM " + table.name
		if err := x.conn.QueryRow(t.Context(), query).Scan(&rows, &sum); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d %x", table.name, rows, sum))
	}
	return list
}

func TestRebuildEqualsWhatWasThere(t *testing.T) {
	c, x, all := searchable(t)
	before := x.hashes(t)
	var done, total uint64
	c.must(x.Rebuild(t.Context(), c.readers(), func(d, n uint64) { done, total = d, n }))
	if done != uint64(len(all)) || total != done {
		t.Errorf("progress ended at %d of %d, want %d", done, total, len(all))
	}
	if after := x.hashes(t); !slices.Equal(before, after) {
		t.Errorf("rebuilt\n%v\nwas\n%v", after, before)
	}
	c.append(0, calls(600, 5)...)
	c.catchUp(x)
	c.wantWhole(x)
	x.wantNoLeftovers(t)
}

func (x *Index) wantNoLeftovers(t *testing.T) {
	t.Helper()
	var n uint64
	if err := x.conn.QueryRow(t.Context(), "SELECT count() FROM system.databases WHERE name = '"+x.database+rebuildSuffix+"'").Scan(&n); err != nil || n > 0 {
		t.Errorf("something of a rebuild is left over: %d, %v", n, err)
	}
}

func TestRebuildMendsEverything(t *testing.T) {
	for name, damage := range map[string][]string{
		"rows of another ledger": {"INSERT INTO events (log, leaf_index) SELECT 'other/eu/events/0', number FROM numbers(10)", "INSERT INTO records (log, leaf_index) SELECT 'test/eu/events/0', 1000000"},
		"altered rows":           {"ALTER TABLE events UPDATE operation = 'Nothing' WHERE 1 SETTINGS mutations_sync = 2"},
		"no table":               {"DROP TABLE records SYNC"},
		"another table":          {"DROP TABLE uids SYNC", "CREATE TABLE uids (x UInt8) ENGINE = MergeTree ORDER BY x"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, 1)
			x := newIndex(t)
			c.append(0, calls(0, 20)...)
			c.catchUp(x)
			before := x.hashes(t)
			for _, query := range damage {
				x.exec(t, query)
			}
			c.must(x.Rebuild(t.Context(), c.readers(), nil))
			if after := x.hashes(t); !slices.Equal(before, after) {
				t.Errorf("rebuilt\n%v\nwas\n%v", after, before)
			}
			c.catchUp(x)
			c.wantWhole(x)
		})
	}
}

// TestRebuildBesideAFeed rebuilds while events come in and are searched.
func TestRebuildBesideAFeed(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 200)...)
	wake := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- x.Feed(ctx, c.reader(0), wake) }()
	await(t, "200 leaves", func() bool { return x.State(origin(0)).Indexed == 200 })
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
			}
			c.append(0, calls(200+5*n, 5)...)
			select {
			case wake <- struct{}{}:
			default:
			}
			rows, err := x.Search(t.Context(), Filter{}, Page{Limit: 1000, Within: map[string]uint64{origin(0): 200}})
			if err != nil || len(rows) != 200 {
				t.Errorf("%d of 200 events are found meanwhile: %v", len(rows), err)
			}
		}
	}()
	for range 3 {
		c.must(x.Rebuild(t.Context(), c.readers(), nil))
	}
	close(stop)
	n := <-stopped
	if n == 0 {
		t.Error("no event came meanwhile: the test tests little")
	}
	c.append(0, call(100_000))
	wake <- struct{}{}
	await(t, "all leaves", func() bool { return x.State(origin(0)).Indexed == uint64(200+5*n+1) })
	cancel()
	c.must(<-ended)
	c.wantWhole(x)
}

func TestInterruptedRebuild(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 20)...)
	c.catchUp(x)
	before := x.hashes(t)
	// Before the exchange: what was filled is there, and is dropped by the next feed.
	ctx, cancel := context.WithCancel(t.Context())
	err := x.Rebuild(ctx, c.readers(), func(done, _ uint64) {
		if done > 0 {
			cancel()
		}
	})
	if err == nil {
		t.Error("a cancelled rebuild says that it is done")
	}
	if after := x.hashes(t); !slices.Equal(before, after) {
		t.Errorf("after a cancelled rebuild\n%v\nwas\n%v", after, before)
	}
	// Killed while it filled, and between two exchanges: the old tables lack what they lacked.
	cfg := x.cfg
	cfg.Database += rebuildSuffix
	into, err := Open(t.Context(), cfg)
	c.must(err)
	c.must((&feed{x: into, r: c.reader(0), origin: origin(0)}).run(t.Context(), nil))
	c.must(into.Close())
	x.exec(t, "DELETE FROM uids WHERE leaf_index = 3")
	x.exec(t, fmt.Sprintf("EXCHANGE TABLES %s.records AND %s.records", x.database, cfg.Database))
	c.append(0, calls(20, 5)...)
	c.catchUp(x)
	c.wantWhole(x)
	x.wantNoLeftovers(t)
}

func TestOneUpkeepAtATime(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 5)...)
	c.catchUp(x)
	c.must(x.Rebuild(t.Context(), c.readers(), func(_, _ uint64) {
		if err := x.Rebuild(t.Context(), c.readers(), nil); !errors.Is(err, ErrBusy) {
			t.Errorf("a second rebuild: %v", err)
		}
		if _, err := x.Audit(t.Context(), c.readers(), nil, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("an audit: %v", err)
		}
	}))
}

// TestAuditNamesDifferences makes each kind of difference with plain SQL.
func TestAuditNamesDifferences(t *testing.T) {
	const now = " SETTINGS mutations_sync = 2"
	for name, test := range map[string]struct {
		damage []string
		want   []string
	}{
		"nothing":       {nil, nil},
		"a record":      {[]string{`ALTER TABLE records UPDATE record = replace(record, 'Op1', 'Op2') WHERE leaf_index = 1` + now}, []string{"1 altered records: record"}},
		"a salt":        {[]string{`ALTER TABLE records UPDATE record = concat('{"salt":"AAAA', substring(record, 14)) WHERE leaf_index = 1` + now}, []string{"1 altered records: record"}},
		"no record":     {[]string{`ALTER TABLE records UPDATE record = '' WHERE leaf_index = 1` + now}, []string{"1 altered records: record"}},
		"raw data":      {[]string{`ALTER TABLE records UPDATE record = replace(record, 'Wort', 'WORT') WHERE leaf_index = 4` + now}, []string{"4 altered records: record"}},
		"an operation":  {[]string{`ALTER TABLE events UPDATE operation = 'Other' WHERE leaf_index = 2` + now}, []string{"2 altered events: operation"}},
		"text":          {[]string{`ALTER TABLE events UPDATE text = '' WHERE leaf_index = 2` + now}, []string{"2 altered events: text"}},
		"jurisdictions": {[]string{`ALTER TABLE events UPDATE jurisdiction = ['eu'] WHERE leaf_index = 2` + now}, []string{"2 altered events: jurisdiction"}},
		"erased":        {[]string{`ALTER TABLE events UPDATE erased = true WHERE leaf_index = 2` + now}, []string{"2 altered events: erased"}},
		"a commit":      {[]string{`ALTER TABLE events UPDATE commit_seq = 7 WHERE leaf_index = 2` + now}, []string{"2 altered events: commit_seq"}},
		"a uid":         {[]string{`ALTER TABLE records UPDATE uid = 'x' WHERE leaf_index = 2` + now, `ALTER TABLE events UPDATE uid = 'x' WHERE leaf_index = 2` + now}, []string{"2 altered events: uid", "2 altered records: uid"}},
		"a content":     {[]string{`ALTER TABLE uids UPDATE content = toFixedString('x', 16) WHERE leaf_index = 2` + now}, []string{"2 altered uids: content"}},
		"missing":       {[]string{`DELETE FROM events WHERE leaf_index = 3`, `DELETE FROM uids WHERE leaf_index = 19`}, []string{"19 missing uids:", "3 missing events:"}},
		"twice":         {[]string{`INSERT INTO uids SELECT * FROM uids WHERE leaf_index = 0`, `INSERT INTO records SELECT * FROM records WHERE leaf_index = 19`}, []string{"0 twice uids:", "19 twice records:"}},
		"surplus":       {[]string{`INSERT INTO events (log, leaf_index, uid) SELECT 'test/eu/events/0', 20, 'x'`}, []string{"20 surplus events:"}},
		"another log":   {[]string{`INSERT INTO records (log, leaf_index) SELECT 'test/eu/events/9', 2`}, []string{"2 surplus records:"}},
		"another index": {[]string{`INSERT INTO uids SELECT uid_key, log, 7, content FROM uids WHERE leaf_index = 8`, `DELETE FROM uids WHERE leaf_index = 8`}, []string{"7 altered uids: content", "7 altered uids: uid_key", "7 twice uids:", "8 missing uids:"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, 1)
			x := newIndex(t)
			c.append(0, calls(0, 10)...)
			c.append(0, calls(10, 10)...)
			c.catchUp(x)
			for _, query := range test.damage {
				x.exec(t, query)
			}
			var found []string
			report, err := x.Audit(t.Context(), c.readers(), nil, func(d Difference) {
				found = append(found, fmt.Sprintf("%d %s %s", d.Index, d.Kind, d.Detail))
				if d.Kind != Surplus && d.UID != call(int(d.Index)).uid && d.UID != "x" {
					t.Errorf("%+v does not name the event", d)
				}
			})
			c.must(err)
			slices.Sort(found)
			if len(found) != len(test.want) || report.Differences != uint64(len(found)) || report.Leaves != 20 {
				t.Fatalf("%+v: found\n%s\nwant\n%s", report, strings.Join(found, "\n"), strings.Join(test.want, "\n"))
			}
			for i := range found {
				if !strings.HasPrefix(found[i], test.want[i]) {
					t.Errorf("found %s, want %s", found[i], test.want[i])
				}
			}
			// A rebuild makes it good.
			c.must(x.Rebuild(t.Context(), c.readers(), nil))
			c.catchUp(x)
			c.wantWhole(x)
		})
	}
}

// TestAuditIsNotAheadOfTheFeed: what the feed has not come to is late, not missing.
func TestAuditIsNotAheadOfTheFeed(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0, calls(0, 10)...)
	c.catchUp(x)
	c.append(0, calls(10, 10)...)
	report, err := x.Audit(t.Context(), c.readers(), nil, func(d Difference) { t.Errorf("%+v", d) })
	if err != nil || report.Leaves != 10 || report.Rows != 30 {
		t.Errorf("%+v, %v", report, err)
	}
}
