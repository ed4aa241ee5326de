package log

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger/custody"
)

// More sources than one batch entry can name are named by several: no number is left out, and the log goes on.
func TestMoreSourcesThanABatchEntryCanName(t *testing.T) {
	const sources = 1500
	for _, test := range []struct {
		name    string
		restart bool
	}{{"by one writer", false}, {"over restarts", true}} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			clock := c.at(day)
			c.change = func(cfg *EventsConfig) { cfg.BatchEvery = time.Hour }
			control, events := c.openLogs()
			id := strings.Repeat("c", 100)
			source := func(i int) Source { return Source{id, fmt.Sprintf("%032x", i)} }
			var all []Message
			for i := range sources {
				m := message(i, day)
				m.Source = source(i)
				all = append(all, m)
			}
			c.append(events, all)
			c.flushLogs(control, events)
			named := func() (n int) {
				control.State(func(r *custody.Replay) {
					for i := range sources {
						if next := r.CollectorNext(testEvents, id, source(i).Epoch); next == 1 {
							n++
						} else if next != 0 {
							t.Fatalf("source %d stands at %d", i, next)
						}
					}
				})
				return n
			}
			first := named()
			if first == 0 || first == sources {
				t.Fatalf("the first entry names %d sources", first)
			}
			for round := 1; named() < sources; round++ {
				if round > 10 {
					t.Fatalf("after %d more entries %d sources are named", round, named())
				}
				if test.restart { // long after the marks of those sources are carried no more
					c.closeLogs(control, events)
					clock.add(3 * time.Hour)
					control, events = c.openLogs()
				}
				before := named()
				c.append(events, numbered(Source{"x", fmt.Sprintf("%032x", round)}, 0, message(sources+round, clock.Now())))
				c.flushLogs(control, events)
				if round == 1 && !test.restart {
					// Those that waited come before others, however their names sort.
					c.want(c.append(events, numbered(source(0), 1, message(0, day))), Duplicate)
				}
				if named() <= before {
					t.Fatal("an entry names nobody who waited")
				}
				if round == 1 && !test.restart {
					break
				}
			}
			c.append(events, numbered(sourceB, 0, message(5000, clock.Now())))
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			if h := c.settled(); len(h.records) < sources {
				t.Errorf("%d records", len(h.records))
			}
		})
	}
}

// Events dated in the future are held, and named in each commit, until their time comes: only so many are taken.
func TestTooManyEventsAhead(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	var reasons []string
	c.change = func(cfg *EventsConfig) {
		cfg.MaxAhead, cfg.Window = 3, 1
		cfg.Reject = func(_ context.Context, m *Message, reason error) error {
			reasons = append(reasons, fmt.Sprintf("%s: %v", m.UID, reason))
			return nil
		}
	}
	control, events := c.openLogs()
	ahead := func(n int) Message { return message(n, day.Add(5*time.Hour)) }
	c.want(c.append(events, numbered(sourceA, 0, ahead(0), ahead(1))), Committed, Committed)
	// Repeats and events within skew are none too many.
	c.want(c.append(events, numbered(sourceA, 2, ahead(2), ahead(3), ahead(0), message(9, day.Add(10*time.Minute)), ahead(4))),
		Committed, Rejected, Duplicate, Committed, Rejected)
	if len(reasons) != 2 || !strings.Contains(reasons[0], "00000003") || !strings.Contains(reasons[1], "holds 3 such events") {
		t.Errorf("rejected with %q", reasons)
	}
	c.closeLogs(control, events)
	control, events = c.openLogs()
	c.want(c.append(events, numbered(sourceB, 0, ahead(3), ahead(2))), Rejected, Duplicate)
	for i := range 3 { // their time comes, and leaves the window
		clock.add(3 * time.Hour)
		c.append(events, numbered(sourceB, uint64(2+i), message(10+i, clock.Now())))
	}
	c.want(c.append(events, numbered(sourceB, 5, message(3, clock.Now().Add(time.Hour)))), Committed)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled()
	for _, header := range h.events.headers {
		if len(header.Ahead) > 3 {
			t.Errorf("commit %d names %d events ahead", header.Seq, len(header.Ahead))
		}
	}
}

// A writer with less skew than the log was made with could take repeats for new events: it is refused, and told what to
// do. One with more, and one with less again after it, are fine (TestOneLeafForEachEvent).
func TestLessSkewThanTheLogWasMadeWith(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	c.closeLogs(control, events)
	c.change = func(cfg *EventsConfig) { cfg.Skew = 10*time.Minute - time.Millisecond }
	_, _, err := c.tryOpen()
	if err == nil || !strings.Contains(err.Error(), "set skew to 10m0s or more") {
		t.Fatalf("opened with less skew: %v", err)
	}
	c.change = func(cfg *EventsConfig) { cfg.Skew = 10 * time.Minute }
	control, events = c.openLogs()
	c.append(events, numbered(sourceA, 0, message(1, day)))
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// After a writer with much skew, one with the least still holds what it may not take for new.
func TestLessSkewThanTheLastWriter(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	lookup := &lookupStub{}
	skew := 5 * time.Hour
	c.change = func(cfg *EventsConfig) { cfg.Skew, cfg.Window, cfg.Lookup = skew, 1, lookup }
	control, events := c.openLogs()
	early := message(0, day.Add(4*time.Hour)) // ahead by 10 minutes, not by 5 hours
	c.append(events, numbered(sourceA, 0, early))
	for i := range 3 {
		clock.add(time.Minute)
		c.append(events, numbered(sourceA, uint64(1+i), message(1+i, clock.Now())))
	}
	c.closeLogs(control, events)
	skew = 10 * time.Minute
	control, events = c.openLogs()
	lookup.err = ErrLookup // it would have to be asked otherwise
	c.want(c.append(events, numbered(sourceB, 0, early)), Duplicate)
	lookup.set(nil)
	head, err := events.Reader().Head(t.Context())
	c.must(err)
	if !slices.Contains(head.Ahead, 0) {
		t.Errorf("held ahead are %v", head.Ahead)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
