package index

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// wantSame fails unless the index finds what the model does.
func wantSame(t *testing.T, x *Index, all corpus, f Filter, p Page) {
	t.Helper()
	if p.Limit == 0 {
		p.Limit = MaxLimit
	}
	rows, err := x.Search(t.Context(), f, p)
	if err != nil {
		t.Fatalf("%+v %+v: %v", f, p, err)
	}
	want := all.search(&f, &p)
	if len(rows) != len(want) {
		t.Fatalf("%+v %+v: %d events found, want %d", f, p, len(rows), len(want))
	}
	for i, r := range rows {
		if r.Position != want[i].Position || r.UID != want[i].uid {
			t.Fatalf("%+v %+v: event %d is %s at %v, want %s at %v", f, p, i, r.UID, r.Position, want[i].uid, want[i].Position)
		}
	}
}

// searchable is a cell with made-up calls in two logs, some at one moment, and its index.
func searchable(t *testing.T) (*cell, *Index, corpus) {
	c := newCell(t, 2)
	x := newIndex(t)
	c.append(0, calls(0, 60)...)
	c.append(1, calls(60, 40)...)
	same := calls(100, 30)
	for i := range same { // many events at one moment, in both logs
		same[i].json = []byte(strings.Replace(string(same[i].json), fmt.Sprint(same[i].time), fmt.Sprint(start.UnixMilli()), 1))
		same[i].time = start.UnixMilli()
		c.append(i%2, same[i])
	}
	c.catchUp(x)
	return c, x, c.corpus()
}

func TestFindsByEachColumn(t *testing.T) {
	_, x, all := searchable(t)
	wantSame(t, x, all, Filter{}, Page{})
	for _, column := range Columns() {
		values := map[string]int{}
		for _, m := range all {
			for _, v := range m.of(column) {
				values[v]++
			}
		}
		if len(values) == 0 {
			t.Errorf("no event says anything for %s: the test tests nothing", column)
		}
		for v := range values {
			wantSame(t, x, all, Filter{Equal: map[Column][]string{column: {v}}}, Page{})
			wantSame(t, x, all, Filter{Equal: map[Column][]string{column: {strings.ToUpper(v)}}}, Page{})
			wantSame(t, x, all, Filter{Equal: map[Column][]string{column: {v + "x"}}}, Page{})
		}
		some := slices.Sorted(maps.Keys(values))
		some = some[:min(len(some), 3)]
		wantSame(t, x, all, Filter{Equal: map[Column][]string{column: some}}, Page{})
	}
}

// TestFindsByManyAtOnce asks for random combinations, a page at a time.
func TestFindsByManyAtOnce(t *testing.T) {
	_, x, all := searchable(t)
	random := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 150 {
		f := Filter{Equal: map[Column][]string{}}
		for range random.IntN(3) {
			column := Columns()[random.IntN(len(Columns()))]
			for range 1 + random.IntN(2) {
				if said := all[random.IntN(len(all))].of(column); len(said) > 0 {
					f.Equal[column] = append(f.Equal[column], said[random.IntN(len(said))])
				}
			}
		}
		if random.IntN(2) == 0 {
			f.From = time.UnixMilli(all[random.IntN(len(all))].Time)
		}
		if random.IntN(2) == 0 {
			f.To = time.UnixMilli(all[random.IntN(len(all))].Time + int64(random.IntN(2)))
			if f.To.Before(f.From) {
				f.From = time.Time{}
			}
		}
		if random.IntN(3) == 0 {
			f.Text = fmt.Sprintf("op%d müller", random.IntN(6))
		}
		p := Page{Limit: 1 + random.IntN(20)}
		if random.IntN(2) == 0 {
			p.After = &all[random.IntN(len(all))].Position
		}
		if random.IntN(2) == 0 {
			p.Within = map[string]uint64{origin(0): uint64(random.IntN(80)), "test/eu/events/7": 3}
		}
		hits += len(all.search(&f, &p))
		wantSame(t, x, all, f, p)
	}
	if hits < 100 {
		t.Errorf("only %d events were found in all: the test tests little", hits)
	}
}

func TestPagesAreStable(t *testing.T) {
	c, x, all := searchable(t)
	for _, limit := range []int{1, 7, 64} {
		var found []Row
		page := Page{Limit: limit, Within: map[string]uint64{}}
		for i := range c.shards {
			page.Within[origin(i)] = x.State(origin(i)).Indexed
		}
		for n := 0; ; n++ {
			rows, err := x.Search(t.Context(), Filter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, rows...)
			if len(rows) < limit {
				break
			}
			page.After = &rows[len(rows)-1].Position
			if limit == 64 && n == 0 { // what comes meanwhile is not in it, wherever it would stand
				c.append(0, call(1000))
				late := call(1001)
				late.json = []byte(strings.Replace(string(late.json), fmt.Sprint(late.time), fmt.Sprint(start.UnixMilli()), 1))
				late.time = start.UnixMilli()
				c.append(1, late)
				c.catchUp(x)
			}
		}
		if len(found) != len(all) {
			t.Fatalf("pages of %d hold %d events, want %d", limit, len(found), len(all))
		}
		for i := range found {
			if found[i].Position != all[i].Position {
				t.Fatalf("pages of %d: event %d is %v, want %v", limit, i, found[i].Position, all[i].Position)
			}
		}
	}
}

func TestWithin(t *testing.T) {
	_, x, all := searchable(t)
	for _, within := range []map[string]uint64{
		{}, {origin(0): 0}, {origin(0): 10}, {origin(0): 10, origin(1): 3}, {origin(1): 1 << 63}, {"another/log": 5},
	} {
		wantSame(t, x, all, Filter{}, Page{Within: within})
		var want uint64
		for range all.search(&Filter{}, &Page{Within: within, Limit: MaxLimit}) {
			want++
		}
		groups, _, err := x.Stats(t.Context(), Filter{}, Grouping{Limit: 1, Within: within})
		if err != nil || len(groups) > 1 || want > 0 && groups[0].Count != want || want == 0 && len(groups) > 0 {
			t.Errorf("within %v: counted %v (%v), want %d", within, groups, err, want)
		}
	}
}

func TestFindsByUIDAndLeaf(t *testing.T) {
	_, x, all := searchable(t)
	for _, m := range all {
		rows, err := x.ByUID(t.Context(), m.uid)
		if err != nil || len(rows) != 1 || rows[0].Position != m.Position {
			t.Fatalf("%s: %v, %v", m.uid, rows, err)
		}
		at, ok, err := x.At(t.Context(), m.Log, m.Index)
		if err != nil || !ok || at.UID != m.uid || string(at.Record) != string(rows[0].Record) {
			t.Fatalf("leaf %d of %s: %v, %v, %v", m.Index, m.Log, at, ok, err)
		}
	}
	for _, uid := range []string{"", "aws", "aws:111122223333:00000000x", strings.Repeat("x", 5000)} {
		if rows, err := x.ByUID(t.Context(), uid); err != nil || len(rows) > 0 {
			t.Errorf("uid %.20q: %v, %v", uid, rows, err)
		}
	}
	if _, ok, err := x.At(t.Context(), origin(0), 1<<40); ok || err != nil {
		t.Errorf("a leaf that is not there: %v %v", ok, err)
	}
}

// TestFindsTwins: one uid in two logs is two events.
func TestFindsTwins(t *testing.T) {
	c := newCell(t, 2)
	x := newIndex(t)
	c.append(0, call(1))
	c.append(1, call(1))
	c.catchUp(x)
	rows, err := x.ByUID(t.Context(), call(1).uid)
	if err != nil || len(rows) != 2 || rows[0].Log != origin(1) || rows[1].Log != origin(0) {
		t.Errorf("%v, %v", rows, err)
	}
}

// TestRowsThatContradictEachOther: what cannot be answered is said, not left out.
func TestRowsThatContradictEachOther(t *testing.T) {
	for _, damage := range []string{"DELETE FROM records WHERE leaf_index = 3", "ALTER TABLE records UPDATE time = time + 1 WHERE leaf_index = 3 SETTINGS mutations_sync = 2"} {
		c := newCell(t, 1)
		x := newIndex(t)
		c.append(0, calls(0, 10)...)
		c.catchUp(x)
		x.exec(t, damage)
		if rows, err := x.Search(t.Context(), Filter{}, Page{Limit: 10}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "leaf 3 ") {
			t.Errorf("%s: %d rows, %v", damage, len(rows), err)
		}
	}
}

// valued makes an event that says some text in a field that is searched, in free-form JSON, and as a name there.
func valued(n int, texts ...string) event {
	e := call(n)
	quoted := make([]string, len(texts))
	for i, s := range texts {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	head, tail, _ := strings.Cut(string(e.json), `,"service":`)
	e.json = []byte(head + `,"request":{"data":{"list":[` + strings.Join(quoted, ",") + `]}},"service":` + tail)
	return e
}

func TestFreeText(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	c.append(0,
		valued(0, "AccessDenied", "10.0.0.4"),
		valued(1, "110.0.0.45", "10 0 4"),
		valued(2, "arn:aws:s3:::Reports/2026/Über uns.pdf"),
		valued(3, "one two", "three"),
		valued(4, "12345678-1234-1234-1234-123456789abc", "a.b*c(d"),
		valued(5, `C:\Windows`, `say "hello"`, "tab\there\nand there"),
		valued(6, "snake_case-kebab"),
		valued(7, strings.Repeat("long", 5000)),
		valued(8, "日本語 テキスト"),
		valued(9, "ΣΊΣΥΦΟΣ straße"),
	)
	c.catchUp(x)
	all := c.corpus()
	for text, want := range map[string]int{
		"accessdenied": 1, "ACCESSDENIED": 1, "access": 0, "10.0.0.4": 1, "0.0.4": 2 - 1, "10 4": 10 - 8, "110.0.0.45": 1, "10.0.0": 1,
		"arn:aws:s3:::reports/2026/über": 1, "ARN:AWS:S3:::REPORTS": 1, "ÜBER": 1, "ber": 0, "uns.pdf": 1, "/2026/": 1,
		"three one": 1, "two three": 1, "one accessdenied": 0, "12345678-1234-1234-1234-123456789ABC": 1, "123456789abc": 1, "1234-123": 0,
		"a.b*c(d": 1, "axb*c(d": 0, "*c(": 1, `c:\windows`: 1, `"hello"`: 1, "here and": 1, "snake_case": 1, "case-kebab": 1, "snake": 1,
		"日本語": 1, "テキスト": 1, "テ": 0, "σίσυφοσ": 1, "straße": 1, "STRASSE": 0, "müller": 10, "MÜLLER": 10, "svc1": 5, "frobnicate": 2,
		"raw_data": 0, "word": 0, "bucket": 10, "list": 10, "'; DROP TABLE events": 0, "%": 0, "_": 1, "...": 0, "\\": 1,
	} {
		wantSame(t, x, all, Filter{Text: text}, Page{})
		if got := len(all.search(&Filter{Text: text}, &Page{Limit: MaxLimit})); got != want {
			t.Errorf("text %q: the model finds %d events, want %d", text, got, want)
		}
	}
	long := strings.Repeat("long", 5000)
	if rows, err := x.Search(t.Context(), Filter{Text: "longlonglong"}, Page{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("a part of a long word: %d, %v", len(rows), err)
	}
	if err := (&Filter{Text: long}).Check(); !errors.Is(err, ErrQuestion) {
		t.Errorf("a text of %d bytes: %v", len(long), err)
	}
}

// hostile are values that would do harm where they became part of a query.
var hostile = []string{
	"'", "''", `\`, `\'`, `\\'`, "' OR 1=1 --", "'; DROP TABLE events; --", "{p0:String}", "{p1:Int64}", "`", `"`, "\x00", "a\x00b", "\t", "\n", "\r", "\b", "\\n", "\\N", "NULL",
	"%", "_", "[", "]", "['a','b']", "(1)", "/* */", "--", "#", "?", "$1", ":name", "@p", "\u202e", "\ufeff", "é'", "𝄞'", "0x41", "1 UNION SELECT 1", "lower(uid)", "toString(record)",
	"{", "}", "{p0:Array(String)}", "'||sleep(3)||'", "x'41'", "\\x27", "\\u0027", "' AND sleep(1) AND '", "a','b", "]} FORMAT Null", "; SYSTEM SHUTDOWN",
}

// TestHostileValuesAreValues asks for hostile values and finds them where they are, and nothing else.
func TestHostileValuesAreValues(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	var events []event
	for i, v := range hostile {
		e := call(i)
		quoted := string(appendJSON(nil, v))
		quoted = quoted[1 : len(quoted)-1]
		json := string(e.json)
		for _, old := range []string{fmt.Sprintf("Op%d", i%6), fmt.Sprintf("Müller %d", i%5), fmt.Sprintf("svc%d.amazonaws.com", i%2), fmt.Sprintf("192.0.2.%d", i%9)} {
			json = strings.Replace(json, `"`+old+`"`, `"`+quoted+`"`, 1)
		}
		json = strings.Replace(json, fmt.Sprintf(`"name":"bucket-%d"`, i%8), `"name":"`+quoted+`"`, 1)
		e.json = []byte(json)
		events = append(events, e)
	}
	c.append(0, events...)
	c.catchUp(x)
	c.wantWhole(x)
	all := c.corpus()
	for _, v := range hostile {
		for _, column := range Columns() {
			wantSame(t, x, all, Filter{Equal: map[Column][]string{column: {v}}}, Page{})
		}
		wantSame(t, x, all, Filter{Equal: map[Column][]string{Operation: hostile}}, Page{})
		if strings.TrimSpace(v) != "" {
			wantSame(t, x, all, Filter{Text: v}, Page{})
		}
		wantSame(t, x, all, Filter{}, Page{Within: map[string]uint64{v: 10}})
		wantSame(t, x, all, Filter{}, Page{After: &Position{Time: all[10].Time, Log: v, Index: 3}})
		if rows, err := x.ByUID(t.Context(), v); err != nil || len(rows) > 0 {
			t.Errorf("uid %q: %v %v", v, rows, err)
		}
		if _, ok, err := x.At(t.Context(), v, 0); ok || err != nil {
			t.Errorf("log %q: %v %v", v, ok, err)
		}
		if err := (&Filter{Equal: map[Column][]string{Column(v): {"x"}}}).Check(); !errors.Is(err, ErrQuestion) {
			t.Errorf("column %q: %v", v, err)
		}
		if _, _, err := x.Stats(t.Context(), Filter{}, Grouping{By: []Column{Column(v)}, Limit: 1}); !errors.Is(err, ErrQuestion) {
			t.Errorf("grouped by %q: %v", v, err)
		}
	}
	c.wantWhole(x)
}

func TestWhatCannotBeAsked(t *testing.T) {
	x := newIndex(t)
	many := make([]string, maxValues+1)
	for name, q := range map[string]struct {
		filter Filter
		page   Page
	}{
		"no limit":         {Filter{}, Page{}},
		"negative limit":   {Filter{}, Page{Limit: -1}},
		"too many":         {Filter{}, Page{Limit: MaxLimit + 1}},
		"unknown column":   {Filter{Equal: map[Column][]string{"record": {"x"}}}, Page{Limit: 1}},
		"no value":         {Filter{Equal: map[Column][]string{Actor: {}}}, Page{Limit: 1}},
		"too many values":  {Filter{Equal: map[Column][]string{Actor: many}}, Page{Limit: 1}},
		"too long a value": {Filter{Equal: map[Column][]string{Actor: {strings.Repeat("x", maxValue)}}}, Page{Limit: 1}},
		"no UTF-8":         {Filter{Equal: map[Column][]string{Actor: {"\xff"}}}, Page{Limit: 1}},
		"end before start": {Filter{From: start, To: start.Add(-1)}, Page{Limit: 1}},
		"text of spaces":   {Filter{Text: " \t"}, Page{Limit: 1}},
		"too long a text":  {Filter{Text: strings.Repeat("x", maxText+1)}, Page{Limit: 1}},
		"too many words":   {Filter{Text: strings.Repeat("x ", maxTerms+1)}, Page{Limit: 1}},
		"text of no UTF-8": {Filter{Text: "a\xffb"}, Page{Limit: 1}},
	} {
		if _, err := x.Search(t.Context(), q.filter, q.page); !errors.Is(err, ErrQuestion) || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
