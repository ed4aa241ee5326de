package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// federated makes three cells.
func federated(t *testing.T, change ...func(*Config)) (*Federation, []*world) {
	t.Helper()
	var f Federation
	var worlds []*world
	for _, name := range []string{"eu", "in", "us"} {
		w := newWorld(t, name, change...)
		worlds = append(worlds, w)
		f.Cells = append(f.Cells, w.cell)
	}
	return &f, worlds
}

// pages asks for all pages, and calls between before each but the first.
func pages(t *testing.T, f *Federation, q Question, between func()) (rows []index.Row, answers []*FederatedAnswer) {
	for {
		a, err := f.Search(context.Background(), alice, q)
		if err != nil {
			t.Fatal(err)
		}
		rows, answers = append(rows, a.Rows...), append(answers, a)
		if a.Cursor == "" {
			return rows, answers
		}
		if q.Cursor = a.Cursor; between != nil {
			between()
		}
	}
}

func positions(rows []index.Row) (list []index.Position) {
	for _, r := range rows {
		list = append(list, r.Position)
	}
	return list
}

// Pages over three cells, many of whose events have the same time, are in order, and hold every event of the first page's
// state once, although events are added between them.
func TestPagesOverCells(t *testing.T) {
	f, worlds := federated(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		for _, w := range worlds {
			if list := make([]int64, random.IntN(6)); len(list) > 0 {
				for i := range list {
					list[i] = random.Int64N(3)
				}
				w.add(list...)
			}
		}
		var want []index.Position
		for _, w := range worlds {
			want = append(want, positions(w.index.snapshot())...)
		}
		slices.SortFunc(want, descending)
		q := Question{Limit: 1 + random.IntN(1+len(want)/3)}
		got, answers := pages(t, f, q, func() {
			if i := random.IntN(3 * len(worlds)); i < len(worlds) {
				worlds[i].add(random.Int64N(4))
			}
		})
		if !slices.Equal(positions(got), want) {
			t.Fatalf("%d rows in %d pages, want %d: %v, want %v", len(got), len(answers), len(want), positions(got), want)
		}
		for _, a := range answers {
			counts := make(map[string]uint64)
			for _, r := range a.Rows {
				o, err := ledger.ParseOrigin(r.Log)
				if err != nil {
					t.Fatal(err)
				}
				counts[o.Jurisdiction]++
			}
			if !a.Complete || len(a.Cells) != 3 {
				t.Fatalf("complete %v, cells %+v", a.Complete, a.Cells)
			}
			for _, c := range a.Cells {
				if c.Err != nil || c.State == nil || c.Receipt == nil || c.Count != counts[c.Jurisdiction] {
					t.Fatalf("cell %+v, it has %d rows of the answer", c, counts[c.Jurisdiction])
				}
			}
		}
	}
	// Rows that a cell found and that were not in the answer were not handed over.
	for _, w := range worlds {
		w.must(w.cell.Close())
		var handed uint64
		for at, a := range w.accesses() {
			if a.done == nil {
				t.Fatalf("cell %s: intent %d has no report", w.name, at)
			}
			handed += *a.done.Records
		}
		if handed == 0 {
			t.Errorf("cell %s handed over nothing", w.name)
		}
	}
}

// A cell reports what of its rows is in the merged answer, not what it found.
func TestReportsOfMergedAnswers(t *testing.T) {
	f, worlds := federated(t)
	worlds[0].add(9, 5, 4, 3)
	worlds[1].add(8, 7)
	worlds[2].add(1, 2)
	a, err := f.Search(t.Context(), alice, Question{Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{2, 2, 0} {
		w := worlds[i]
		w.must(w.cell.Close())
		done := w.accesses()[a.Cells[i].Receipt.Index].done
		if *done.Records != want || a.Cells[i].Count != want {
			t.Errorf("cell %s: %d records reported, %d counted, want %d", w.name, *done.Records, a.Cells[i].Count, want)
		}
	}
}

func TestLimits(t *testing.T) {
	f, worlds := federated(t)
	times := make([]int64, 130)
	worlds[0].add(times...)
	a, err := f.Search(t.Context(), alice, Question{})
	if err != nil || len(a.Rows) != defaultRows || a.Cursor == "" {
		t.Errorf("without a limit: %v", err)
	}
	a, err = f.Search(t.Context(), alice, Question{Limit: MaxRows})
	if err != nil || len(a.Rows) != 130 || a.Cursor != "" {
		t.Errorf("with the greatest limit: %v", err)
	}
	for _, q := range []Question{{Limit: -1}, {Limit: MaxRows + 1}, {Limit: 1 << 60}} {
		if _, err := f.Search(t.Context(), alice, q); !errors.Is(err, ErrInvalid) {
			t.Errorf("limit %d: %v", q.Limit, err)
		}
	}
	bad := index.Filter{Equal: map[index.Column][]string{"password": {"x"}}}
	for _, err := range []error{
		second(f.Search(t.Context(), alice, Question{Filter: bad})),
		second(f.Stats(t.Context(), alice, bad, index.Grouping{})),
		second(f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{Limit: MaxGroups + 1})),
		second(worlds[0].cell.Search(t.Context(), alice, bad, index.Page{})),
		second(worlds[0].cell.Search(t.Context(), alice, index.Filter{}, index.Page{Limit: MaxRows + 1})),
		second(f.Event(t.Context(), alice, "")),
		second(f.Prove(t.Context(), alice, nil, ProofOptions{})),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%v", err)
		}
	}
	for _, err := range []error{
		second(f.Search(t.Context(), alice, Question{Cells: []string{"eu", "ch"}})),
		second(f.Event(t.Context(), alice, "x", "ch")),
		second(f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{}, "ch")),
		second(f.Prove(t.Context(), alice, []Ref{{UID: "x"}}, ProofOptions{}, "ch")),
		second(f.Cell("ch")),
		second(new(Federation).Search(t.Context(), alice, Question{})),
	} {
		if !errors.Is(err, ErrNoCell) {
			t.Errorf("%v", err)
		}
	}
}

// A cell that is away is named; the others answer, and the answer says that it is not complete, on the pages that follow
// too. When all are away, that is an error.
func TestCellsThatAreAway(t *testing.T) {
	f, worlds := federated(t)
	for _, w := range worlds {
		w.add(0, 1, 2)
	}
	away := func(list ...int) {
		for i, w := range worlds {
			w.index.mu.Lock()
			w.index.before = nil
			if slices.Contains(list, i) {
				w.index.before = func() error { return errAway }
			}
			w.index.mu.Unlock()
		}
	}
	named := func(cells []CellAnswer, complete bool, missing ...string) {
		t.Helper()
		var got []string
		for _, c := range cells {
			if c.Err != nil {
				got = append(got, c.Jurisdiction)
				if c.State != nil || c.Receipt != nil || c.Count != 0 {
					t.Errorf("cell %s did not answer, and has an answer", c.Jurisdiction)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, missing) || complete != (len(missing) == 0) {
			t.Errorf("missing %v, complete %v; want %v", got, complete, missing)
		}
	}
	away(1)
	a, err := f.Search(t.Context(), alice, Question{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	named(a.Cells, a.Complete, "in")
	away() // it is back: but events of it are missing already
	rest, answers := pages(t, f, Question{Limit: 2, Cursor: a.Cursor}, nil)
	for _, a := range answers {
		named(a.Cells, a.Complete, "in")
	}
	if n := len(rest) + len(a.Rows); n != 6 {
		t.Errorf("%d rows of two cells with three each", n)
	}
	whole, answers := pages(t, f, Question{Limit: 2}, nil)
	if named(answers[0].Cells, answers[0].Complete); len(whole) != 9 {
		t.Errorf("%d rows of all cells", len(whole))
	}

	away(0)
	e, err := f.Event(t.Context(), alice, worlds[1].uid(2))
	if err != nil || len(e.Rows) != 1 || e.Cells[1].Count != 1 {
		t.Errorf("event: %+v, %v", e, err)
	}
	named(e.Cells, e.Complete, "eu")
	if e, err = f.Event(t.Context(), alice, worlds[0].uid(2)); err != nil || len(e.Rows) != 0 {
		t.Errorf("an event of the cell that is away: %+v, %v", e, err)
	}
	named(e.Cells, e.Complete, "eu")
	s, err := f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{})
	if err != nil {
		t.Fatal(err)
	}
	named(s.Cells, s.Complete, "eu")

	away(0, 1, 2)
	for _, err := range []error{
		second(f.Search(t.Context(), alice, Question{})), second(f.Event(t.Context(), alice, worlds[0].uid(0))),
		second(f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{})),
	} {
		if !errors.Is(err, errAway) {
			t.Errorf("all are away: %v", err)
		}
	}
	away()
	if _, err := f.Event(t.Context(), alice, "aws:1:nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such event: %v", err)
	}

	// One that takes too long is as good as away.
	f.Patience = 50 * time.Millisecond
	slow := &slowIndex{}
	worlds[2].cell.cfg.Index = func() (Searcher, error) { return slow, nil }
	a, err = f.Search(t.Context(), alice, Question{})
	if err != nil {
		t.Fatal(err)
	}
	if named(a.Cells, a.Complete, "us"); !errors.Is(a.Cells[2].Err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", a.Cells[2].Err)
	}
}

// slowIndex answers when its caller has had enough.
type slowIndex struct{ fakeIndex }

func (*slowIndex) Search(ctx context.Context, _ index.Filter, _ index.Page) ([]index.Row, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestFederatedProofs(t *testing.T) {
	f, worlds := federated(t)
	for _, w := range worlds {
		w.add(0, 1, 2)
	}
	refs := []Ref{
		{UID: worlds[2].uid(1)}, {Log: worlds[0].eventsOrigin(), Index: 2}, {UID: "aws:1:nobody"}, {Log: "test/ch/events/0"},
		{UID: worlds[1].uid(0)}, {Log: worlds[1].eventsOrigin(), Index: 9},
	}
	p, err := f.Prove(t.Context(), alice, refs, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	worlds[2].valid(p.Proofs[0], 1)
	worlds[0].valid(p.Proofs[1], 2)
	worlds[1].valid(p.Proofs[4], 0)
	for i, want := range map[int]error{2: ErrNotFound, 3: ErrNoCell, 5: ErrNotFound} {
		if p.Proofs[i].Err == nil || !errors.Is(p.Proofs[i].Err, want) {
			t.Errorf("%+v: %v, want %v", refs[i], p.Proofs[i].Err, want)
		}
	}
	if !p.Complete {
		t.Error("all answered, and the answer is not complete")
	}
	for i, c := range p.Cells {
		if c.Count != 1 || c.Receipt == nil {
			t.Errorf("cell %d: %+v", i, c)
		}
	}
	// A proof by log asks no cell but the log's.
	before := len(worlds[0].accesses())
	p, err = f.Prove(t.Context(), alice, []Ref{{Log: worlds[1].eventsOrigin(), Index: 0}}, ProofOptions{})
	if err != nil || len(p.Cells) != 1 || p.Cells[0].Jurisdiction != "in" || len(worlds[0].accesses()) != before {
		t.Errorf("%+v, %v", p, err)
	}
	// One refusal of a cell says more than that the others have no such event.
	worlds[0].index.tamper(0, func(r *index.Row) { r.Record = []byte("{}") })
	p, err = f.Prove(t.Context(), alice, []Ref{{UID: worlds[0].uid(0)}}, ProofOptions{})
	if err != nil || !errors.Is(p.Proofs[0].Err, ErrAltered) {
		t.Errorf("%v, %v", p.Proofs[0].Err, err)
	}
	worlds[1].must(worlds[1].cell.Close())
	p, err = f.Prove(t.Context(), alice, []Ref{{UID: worlds[1].uid(0)}, {UID: worlds[2].uid(0)}}, ProofOptions{})
	if err != nil || p.Complete || !errors.Is(p.Proofs[0].Err, ErrClosed) || p.Proofs[1].Err != nil {
		t.Errorf("a cell is closed: %+v, %v", p, err)
	}
}

func TestFederatedStats(t *testing.T) {
	f, worlds := federated(t)
	group := func(start int64, count uint64, values ...string) index.Group {
		return index.Group{Start: start, Count: count, Values: values}
	}
	worlds[0].index.groups = []index.Group{group(0, 5, "a"), group(0, 1, "b"), group(10, 2, "a")}
	worlds[1].index.groups = []index.Group{group(0, 7, "b"), group(10, 2, "c")}
	worlds[2].index.groups = []index.Group{group(0, 1, "a", ""), group(20, 9)}
	s, err := f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{[b] 0 8} {[a] 0 5} {[a ] 0 1} {[a] 10 2} {[c] 10 2} {[] 20 9}]"
	if got := fmt.Sprint(s.Groups); got != want || s.Truncated || !s.Complete {
		t.Errorf("%s, want %s; truncated %v", got, want, s.Truncated)
	}
	if s.Cells[0].Count != 8 || s.Cells[1].Count != 9 || s.Cells[2].Count != 10 {
		t.Errorf("%+v", s.Cells)
	}
	s, err = f.Stats(t.Context(), alice, index.Filter{}, index.Grouping{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(s.Groups), "[{[b] 0 8} {[] 20 9}]"; got != want || !s.Truncated {
		t.Errorf("%s, want %s; truncated %v", got, want, s.Truncated)
	}
}

func TestStates(t *testing.T) {
	f, worlds := federated(t)
	worlds[1].add(0, 1)
	worlds[1].index.err = errAway
	states := f.States(t.Context())
	for i, w := range worlds {
		s := states[i].State
		if states[i].Err != nil || s.Jurisdiction != w.name || s.Control.Origin != w.controlOrigin() || s.Control.Checkpoint.Size == 0 || len(s.Logs) != 1 {
			t.Errorf("cell %s: %+v, %v", w.name, s, states[i].Err)
		}
	}
	if l := states[1].State.Logs[0]; l.Checkpoint.Size != 2 || l.Indexed != 2 || l.IndexError != "away" {
		t.Errorf("%+v", l)
	}
}

func TestCursors(t *testing.T) {
	f, worlds := federated(t)
	for _, w := range worlds {
		w.add(0, 1, 2)
	}
	q := Question{Filter: index.Filter{Text: "operation", Equal: map[index.Column][]string{index.Account: {"b", "a"}}}, Limit: 2}
	worlds[0].index.groups = nil
	a, err := f.Search(t.Context(), alice, q)
	if err != nil || a.Cursor == "" {
		t.Fatalf("%v", err)
	}
	with := func(f *Federation, cursor string, change func(*Question)) error {
		again := q
		again.Cursor = cursor
		if change != nil {
			change(&again)
		}
		_, err := f.Search(t.Context(), alice, again)
		return err
	}
	// The same question, however it is written, with another limit.
	if err := with(f, a.Cursor, func(q *Question) {
		q.Filter.Equal = map[index.Column][]string{index.Account: {"a", "b", "a"}}
		q.Limit = 3
	}); err != nil {
		t.Errorf("the same question: %v", err)
	}
	for name, change := range map[string]func(*Question){
		"another text":   func(q *Question) { q.Filter.Text = "op" },
		"no filter":      func(q *Question) { q.Filter = index.Filter{} },
		"another value":  func(q *Question) { q.Filter.Equal = map[index.Column][]string{index.Account: {"a"}} },
		"another column": func(q *Question) { q.Filter.Equal = map[index.Column][]string{index.Region: {"a", "b"}} },
		"a time":         func(q *Question) { q.Filter.From = testHour },
		"other cells":    func(q *Question) { q.Cells = []string{"eu"} },
	} {
		if err := with(f, a.Cursor, change); !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"x", "AAAA", "=", " ", a.Cursor + "A", a.Cursor[1:], a.Cursor[:len(a.Cursor)-1], a.Cursor + "=", strings.Repeat("A", 1<<17), "\x00\xff"} {
		if err := with(f, bad, nil); !errors.Is(err, ErrCursor) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	for i := range a.Cursor {
		forged := []byte(a.Cursor)
		if forged[i] = 'A'; forged[i] == a.Cursor[i] {
			forged[i] = 'B'
		}
		if err := with(f, string(forged), nil); !errors.Is(err, ErrCursor) {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
	other, _ := federated(t)
	if err := with(other, a.Cursor, nil); !errors.Is(err, ErrCursor) {
		t.Errorf("a cursor of another ledger: %v", err)
	}
	// A restart does not void cursors.
	worlds[0].cell.secrets.known = nil
	if err := with(f, a.Cursor, nil); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// Whatever is sealed is opened as it was; whatever bytes come, even with a right tag, make no panic.
func TestCursorCodec(t *testing.T) {
	key := []byte("key")
	rapid.Check(t, func(t *rapid.T) {
		c := &cursor{
			after:   index.Position{Time: rapid.Int64().Draw(t, "time"), Log: rapid.String().Draw(t, "log"), Index: rapid.Uint64().Draw(t, "index")},
			missing: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "missing"),
		}
		copy(c.question[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "question"))
		for range rapid.IntRange(0, 3).Draw(t, "cells") {
			c.cells = append(c.cells, cursorCell{rapid.String().Draw(t, "name"), rapid.MapOf(rapid.String(), rapid.Uint64()).Draw(t, "within")})
		}
		got, err := openCursor(key, c.seal(key))
		if err != nil || got.question != c.question || got.after != c.after || !slices.Equal(got.missing, c.missing) || len(got.cells) != len(c.cells) {
			t.Fatalf("%+v became %+v: %v", c, got, err)
		}
		for i := range c.cells {
			if got.cells[i].jurisdiction != c.cells[i].jurisdiction || !maps.Equal(got.cells[i].within, c.cells[i].within) {
				t.Fatalf("%+v became %+v", c, got)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	key := []byte("key")
	whole := &cursor{after: index.Position{Time: 1, Log: "test/eu/events/0", Index: 2}, cells: []cursorCell{{"eu", map[string]uint64{"test/eu/events/0": 3}}}, missing: []string{"us"}}
	f.Add([]byte(whole.seal(key)), false)
	f.Add([]byte{1, 0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, inside bool) {
		if !inside {
			if _, err := openCursor(key, string(b)); err != nil && !errors.Is(err, ErrCursor) {
				t.Fatal(err)
			}
			return
		}
		r := cursorReader{b: b}
		c, err := r.cursor()
		if err != nil {
			return
		}
		if again, err := openCursor(key, c.seal(key)); err != nil || again.after != c.after || len(again.cells) != len(c.cells) {
			t.Fatalf("%+v: %v", c, err)
		}
	})
}
