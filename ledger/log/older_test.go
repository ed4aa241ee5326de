package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
)

// table is a Lookup as an index makes one: it follows the log and holds what Keys gives.
type table struct {
	t      tb
	reader *Reader
	stuck  bool // it does not follow any more

	mu    sync.Mutex
	rows  map[key][]Found
	next  uint64 // commit that it does not hold yet
	asked [][]key
}

func (c *cell) newTable() *table {
	reader, err := NewReader(c.config(testEvents), c.payloadKeys)
	c.must(err)
	return &table{t: c.t, reader: reader, rows: make(map[key][]Found)}
}

func (x *table) follow(ctx context.Context) {
	x.t.Helper()
	for ; !x.stuck; x.next++ {
		err := x.reader.Records(ctx, x.next, func(index uint64, line []byte) error {
			rec, err := ledger.ParseRecord(line)
			if err != nil {
				return err
			}
			uid, content, err := Keys(rec)
			x.rows[uid] = append(x.rows[uid], Found{uid, x.reader.Origin(), index, content})
			return err
		})
		if errors.Is(err, ErrNoCommit) {
			return
		}
		if err != nil {
			x.t.Fatalf("following the log: %v", err)
		}
	}
}

func (x *table) Find(ctx context.Context, origin string, through uint64, uids [][16]byte) (found []Found, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.follow(ctx)
	x.asked = append(x.asked, slices.Clone(uids))
	if x.next <= through || origin != x.reader.Origin() {
		return nil, fmt.Errorf("%w: the table ends before commit %d", ErrLookup, x.next)
	}
	for _, uid := range uids {
		found = append(found, x.rows[uid]...)
	}
	return found, nil
}

// However many events a commit has that the window cannot decide about: one question, and few more for those that share
// their uid with others.
func TestOneQuestionForACommit(t *testing.T) {
	c := newMemoryCell(t)
	x := c.newTable()
	c.change = func(cfg *EventsConfig) { cfg.Lookup = x }
	control, events, clock := filled(t, c, 3)
	old := func(n int, operation string) Message { return messageWith(n, day.Add(-time.Hour), operation) }
	next := uint64(0)
	send := func(asked int, messages []Message, want ...Status) {
		t.Helper()
		x.asked = nil
		c.want(c.append(events, numbered(sourceB, next, messages...)), want...)
		next += uint64(len(messages))
		for _, uids := range x.asked {
			names := keysOf(uids)
			if slices.Sort(names); len(slices.Compact(names)) != len(uids) {
				t.Errorf("a uid was asked for twice in %x", uids)
			}
		}
		if len(x.asked) != asked {
			t.Errorf("%d questions for %d messages, want %d", len(x.asked), len(messages), asked)
		}
	}
	many := func(operation string, status Status) (list []Message, want []Status) {
		for i := range 50 {
			list, want = append(list, old(100+i, operation)), append(want, status)
		}
		return list, want
	}
	fillers := uint64(10)
	push := func() { // out of the window
		for range 4 {
			clock.add(time.Hour)
			c.append(events, numbered(sourceA, fillers, message(1000+int(fillers), clock.Now())))
			fillers++
		}
	}
	messages, want := many("A", Committed)
	send(1, messages, want...)
	push()
	messages, want = many("A", Duplicate)
	send(1, messages, want...)
	messages, want = many("B", Conflict)
	send(2, messages, want...)
	push()
	// Every kind at once: repeats of first and second events, third ones, new ones twice and in two versions.
	send(2, []Message{old(100, "B"), old(101, "A"), old(102, "C"), old(103, "C"), old(103, "D"), old(103, "C"), old(200, "A"), old(200, "A"), old(200, "B"), message(2000, clock.Now())},
		Duplicate, Duplicate, Conflict, Conflict, Conflict, Duplicate, Committed, Duplicate, Conflict, Committed)
	push()
	send(3, []Message{old(103, "D"), old(200, "B"), old(102, "C")}, Duplicate, Duplicate, Duplicate)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

func keysOf(uids []key) (list []string) {
	for _, uid := range uids {
		list = append(list, string(uid[:]))
	}
	return list
}

// A table that does not hold all commits before the window cannot say that an event is new.
func TestTableBehindTheWindow(t *testing.T) {
	c := newMemoryCell(t)
	x := c.newTable()
	c.change = func(cfg *EventsConfig) { cfg.Lookup = x }
	control, events, clock := filled(t, c, 3)
	x.stuck = true
	for i := range 4 {
		clock.add(time.Hour)
		c.append(events, numbered(sourceA, uint64(10+i), message(10+i, clock.Now())))
	}
	done := make(chan []Result, 1)
	go func() {
		results, err := events.Append(t.Context(), numbered(sourceB, 0, message(50, day)), true)
		if err != nil {
			t.Error(err)
		}
		done <- results
	}()
	for tries := 0; tries < 3 && len(done) == 0; {
		x.mu.Lock()
		tries = len(x.asked)
		x.mu.Unlock()
	}
	c.append(events, numbered(sourceA, 14, message(14, clock.Now())))
	if len(done) != 0 {
		t.Fatal("answered by a table that ends before the window")
	}
	if since, err := events.lookups.last(); !errors.Is(err, ErrLookup) || since.IsZero() {
		t.Errorf("the trouble is %v since %v", err, since)
	}
	x.mu.Lock()
	x.stuck = false
	x.mu.Unlock()
	c.want(<-done, Committed)
	if _, err := events.lookups.last(); err != nil {
		t.Errorf("over, but the trouble is %v", err)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// An event of another log of the cell is a repeat too; what has other content is read from there before judging.
func TestEventsOfOtherLogs(t *testing.T) {
	const there = "test/eu/events/7"
	elsewhere := newMemoryCell(t)
	control2, events2 := elsewhere.openLogs()
	elsewhere.append(events2, numbered(sourceA, 0, messageWith(1, day, "Old"), messageWith(2, day, "Old")))
	elsewhere.closeLogs(control2, events2)

	var opened []string
	for _, test := range []struct {
		name   string
		others func(context.Context, string) (*Reader, error)
		want   Status
	}{
		{"is read and normalized again", func(_ context.Context, origin string) (*Reader, error) {
			opened = append(opened, origin)
			return events2.Reader(), nil
		}, Duplicate},
		{"stands as it is without a way to read it", nil, Conflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			lookup := &lookupStub{found: make(map[string]Found)}
			c.change = func(cfg *EventsConfig) {
				cfg.Lookup, cfg.Renormalize, cfg.Others = lookup, contentOf("New"), test.others
			}
			control, events, _ := filled(t, c, 3)
			for i := range 2 {
				m := messageWith(i+1, day, "Old")
				m.UID = fmt.Sprintf("aws:111122223333:%08d", 500+i)
				m.Event = []byte(strings.Replace(string(m.Event), fmt.Sprintf("%08d", i+1), fmt.Sprintf("%08d", 500+i), 1))
				lookup.found[m.UID] = Found{Origin: there, Index: uint64(i), Content: contentKey(t, m.Event)}
			}
			results := c.append(events, numbered(sourceB, 0, messageWith(500, day, "Old"), messageWith(501, day, "New")))
			c.want(results, Duplicate, test.want)
			if results[0].Indexed {
				t.Errorf("%+v names a leaf of this log", results[0])
			}
			if want := test.others != nil; want != slices.Equal(opened, []string{there}) {
				t.Errorf("opened %q", opened)
			}
			opened = nil
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			c.settled()
		})
	}
}

// accesses are the entries about the writer's own reads: intents, and those of them that are done, with their records.
func (c *cell) accesses(locked store.Store) (intents, done int, records uint64) {
	c.t.Helper()
	for info, err := range locked.List(context.Background(), testControl+"/commit/", "") {
		c.must(err)
		object, _, err := locked.Get(context.Background(), info.Key)
		c.must(err)
		commit, err := ledger.ParseCommit(object)
		c.must(err)
		for _, leaf := range commit.Leaves {
			entry, err := ledger.ParseEntry(leaf)
			c.must(err)
			access, ok := entry.(*ledger.AccessEntry)
			switch {
			case !ok:
			case access.Op != ledger.OpDedupe:
				c.t.Errorf("the writer reads to %s", access.Op)
			case access.Phase == ledger.AccessIntent:
				intents++
			default:
				done++
				records += *access.Records
			}
		}
	}
	return intents, done, records
}

// No record is read by the writer but between an access entry and its end: one for each window, scan, and commit with
// comparisons.
func TestReadsOfTheWriterAreLogged(t *testing.T) {
	for _, index := range []bool{false, true} {
		name := map[bool]string{false: "without an index", true: "with an index"}[index]
		t.Run(name, func(t *testing.T) {
			c := newMemoryCell(t)
			plain := c.locked
			faulty := storetest.NewFaulty(plain)
			c.locked = faulty
			var x *table
			if index {
				x = c.newTable()
				x.reader.locked = plain
			}
			c.change = func(cfg *EventsConfig) {
				cfg.Renormalize = contentOf("New")
				if index {
					cfg.Lookup = x
				}
			}
			control, events, _ := filled(t, c, 3)
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			if intents, done, _ := c.accesses(plain); intents != 0 || done != 0 {
				t.Fatalf("%d intents, %d done in a log that was never read", intents, done)
			}
			reads := 0
			faulty.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				if op == storetest.OpGet && strings.Contains(key, "/payload/") {
					reads++
					if intents, done, _ := c.accesses(plain); intents != done+1 {
						t.Errorf("%s is read after %d intents, %d of them done", key, intents, done)
					}
				}
				return storetest.Pass
			})
			control, events = c.openLogs()
			check := func(what string, intents int, records uint64) {
				t.Helper()
				i, d, r := c.accesses(plain)
				if i != intents || d != intents || r != records {
					t.Errorf("%s: %d intents, %d done, %d records; want %d of %d records", what, i, d, r, intents, records)
				}
			}
			c.append(events, numbered(sourceB, 0, message(20, day.Add(11*time.Hour))))
			check("the window", 1, 3)
			before := reads
			c.append(events, numbered(sourceB, 1, messageWith(30, day, "Old"), messageWith(31, day, "Old")))
			scan, records := 2, uint64(10+1) // all commits but the newest two: one of the window was let go
			if index {
				scan, records = 1, 3
			} else if got := uint64(reads - before); got+3 != records {
				t.Errorf("the scan read %d payloads", got)
			}
			check("the scan", scan, records)
			c.want(c.append(events, numbered(sourceB, 3, messageWith(30, day, "New"), messageWith(31, day, "New"), messageWith(30, day, "New"))), Duplicate, Duplicate, Duplicate)
			check("comparisons", scan+1, records+3)
			c.want(c.append(events, numbered(sourceB, 6, messageWith(30, day, "Old"), message(20, day.Add(11*time.Hour)))), Duplicate, Duplicate)
			check("nothing to compare", scan+1, records+3)
			faulty.SetHook(nil)
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			c.settled()
		})
	}
}

// If the control log takes no entry, nothing is read.
func TestNothingIsReadWithoutAnEntry(t *testing.T) {
	for _, test := range []struct {
		name   string
		lookup bool
		event  Message
	}{
		{"by a scan", false, message(50, day)},
		{"to compare", true, messageWith(51, day, "New")},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			faulty := storetest.NewFaulty(c.locked)
			c.locked = faulty
			lookup := &lookupStub{}
			c.change = func(cfg *EventsConfig) {
				cfg.Renormalize, cfg.BatchEvery = contentOf("New"), time.Hour
				if test.lookup {
					cfg.Lookup = lookup
				}
			}
			control, events, _ := filled(t, c, 3)
			lookup.mu.Lock()
			lookup.found = map[string]Found{message(51, day).UID: {Origin: testEvents, Index: 0, Content: contentKey(t, message(0, day).Event)}}
			lookup.mu.Unlock()
			reads := 0
			faulty.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				switch {
				case op == storetest.OpCreate && strings.HasPrefix(key, testControl+"/commit/"):
					return storetest.FailBefore
				case op == storetest.OpGet && strings.Contains(key, "/payload/"):
					reads++
				}
				return storetest.Pass
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := events.Append(ctx, numbered(sourceB, 0, test.event), true)
				done <- err
			}()
			var trouble error
			for trouble == nil && len(done) == 0 {
				if _, trouble = events.lookups.last(); test.lookup {
					_, trouble = events.comparisons.last()
				}
			}
			if !errors.Is(trouble, ErrLookup) || !strings.Contains(trouble.Error(), "only read once that is logged") {
				t.Errorf("the event waits because of %v", trouble)
			}
			cancel()
			if err := <-done; err == nil {
				t.Error("the event was answered")
			}
			_, _ = events.Close(), control.Close()
			if reads != 0 {
				t.Errorf("%d payloads were read", reads)
			}
		})
	}
}
