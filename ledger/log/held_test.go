package log

import (
	"slices"
	"testing"
	"time"
)

// filled is a log with one event an hour, of which the window holds only the last ones.
func filled(t *testing.T, c *cell, window int) (*Control, *Events, *handClock) {
	t.Helper()
	clock := c.at(day)
	before := c.change
	c.change = func(cfg *EventsConfig) {
		cfg.Window = window
		if before != nil {
			before(cfg)
		}
	}
	control, events := c.openLogs()
	for i := range 10 {
		c.append(events, numbered(sourceA, uint64(i), message(i, clock.Now())))
		clock.add(time.Hour)
	}
	return control, events, clock
}

func TestEventsBeyondTheWindowAreLookedUp(t *testing.T) {
	for _, test := range []struct {
		name    string
		restart int // window after a restart; 0 means none
	}{
		{"by the same writer", 0},
		{"after a restart", 3},
		{"after a restart with a smaller window", 1},
		{"after a restart with a larger window", 7},
		{"after a restart with a window that holds all", 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			control, events, clock := filled(t, c, 3)
			if events.window.s0 != 8 || len(events.window.uids) != 3 {
				t.Fatalf("the stage is wrong: s0 %d, %d uids", events.window.s0, len(events.window.uids))
			}
			if test.restart != 0 {
				c.closeLogs(control, events)
				c.change = func(cfg *EventsConfig) { cfg.Window = test.restart }
				control, events = c.openLogs()
			}
			var again []Message
			for i := range 10 {
				again = append(again, message(i, day.Add(time.Duration(i)*time.Hour)))
			}
			results := c.append(events, numbered(sourceB, 0, again...))
			for i, r := range results {
				if r != (Result{Duplicate, again[i].UID, uint64(i), true}) {
					t.Errorf("event %d again: %+v", i, r)
				}
			}
			// Events as old that were never there, and others that have an old one's uid.
			results = c.append(events, numbered(sourceB, 10, message(20, day), messageWith(3, day.Add(3*time.Hour), "Other"), message(20, day)))
			c.want(results, Committed, Conflict, Duplicate)
			c.want(c.append(events, numbered(sourceB, 13, messageWith(3, day.Add(3*time.Hour), "Other"))), Duplicate)
			// They leave the window as others do.
			for i := range 4 {
				clock.add(time.Hour)
				c.append(events, numbered(sourceB, uint64(14+i), message(30+i, clock.Now())))
			}
			results = c.append(events, numbered(sourceB, 18, message(20, day), messageWith(3, day.Add(3*time.Hour), "Other"), message(3, day.Add(3*time.Hour))))
			c.want(results, Duplicate, Duplicate, Duplicate)
			if results[0].Index != 10 || results[1].Index != 11 || results[2].Index != 3 {
				t.Errorf("%+v", results)
			}
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			if h := c.settled(); len(h.records) != 16 {
				t.Errorf("%d records", len(h.records))
			}
		})
	}
}

// The window decides only what it can: an event dated within skew of the last commit it let go is looked up.
func TestWhatIsLookedUp(t *testing.T) {
	const skew = 10 * time.Minute
	lookup := &lookupStub{}
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Lookup = lookup }
	control, events, _ := filled(t, c, 3)
	w0 := day.Add(6 * time.Hour) // of commit 7, the last that was let go
	if got := time.UnixMilli(events.window.w0); !got.Equal(w0) {
		t.Fatalf("the stage is wrong: W0 is %v", got.UTC())
	}
	lookup.calls = nil
	inWindow, older, atSkew, beyond := message(9, day.Add(9*time.Hour)), message(50, day), message(51, w0.Add(skew)), message(52, w0.Add(skew+time.Millisecond))
	c.want(c.append(events, numbered(sourceB, 0, inWindow, older, atSkew, beyond)), Duplicate, Committed, Committed, Committed)
	if want := []key{UIDKey(older.UID), UIDKey(atSkew.UID)}; !slices.Equal(lookup.calls, want) {
		t.Errorf("looked up %x, want %x", lookup.calls, want)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// An event dated in the future is held, although its commit has left the window, until the window's past reaches it.
func TestFutureEventsAreHeld(t *testing.T) {
	for _, restart := range []bool{false, true} {
		name := map[bool]string{false: "by one writer", true: "over restarts"}[restart]
		t.Run(name, func(t *testing.T) {
			lookup := &lookupStub{}
			c := newMemoryCell(t)
			clock := c.at(day)
			c.change = func(cfg *EventsConfig) { cfg.Window, cfg.Lookup = 2, lookup }
			control, events := c.openLogs()
			dated := day.Add(5 * time.Hour)
			future, soon := message(100, dated), message(101, day.Add(9*time.Minute))
			c.append(events, numbered(sourceA, 0, future, soon))
			next := uint64(2)
			var held []bool
			for i := range 9 {
				clock.add(time.Hour)
				c.append(events, numbered(sourceA, next, message(i, clock.Now())))
				next++
				if restart {
					c.closeLogs(control, events)
					control, events = c.openLogs()
				}
				head, err := events.Reader().Head(t.Context())
				c.must(err)
				held = append(held, slices.Contains(head.Ahead, 0))
				if slices.Contains(head.Ahead, 1) {
					t.Fatal("an event within skew is listed as ahead")
				}
				lookup.mu.Lock()
				lookup.calls, lookup.found = nil, map[string]Found{}
				if !held[i] {
					lookup.found[future.UID] = Found{Origin: testEvents, Index: 0, Content: contentKey(t, future.Event)}
				}
				lookup.mu.Unlock()
				c.want(c.append(events, numbered(sourceA, next, future)), Duplicate)
				next++
				if asked := len(lookup.calls) > 0; asked == held[i] {
					t.Fatalf("%d hours later: held %v, looked up %v", i+1, held[i], asked)
				}
			}
			// The window holds two events: hour 6's past is hour 4, hour 7's is hour 5, where W0 + skew has reached it.
			if want := []bool{true, true, true, true, true, true, false, false, false}; !slices.Equal(held, want) {
				t.Errorf("held in %v, want %v", held, want)
			}
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			c.settled()
		})
	}
}

func TestTimesOfCommitsNeverFall(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	control, events := c.openLogs()
	for i := range 6 {
		c.append(events, numbered(sourceA, uint64(i), message(i, day)))
		clock.add(-time.Hour)
		if i == 3 {
			c.closeLogs(control, events)
			control, events = c.openLogs()
		}
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled() // which looks at the times
	if last := h.events.headers[len(h.events.headers)-1]; last.Time != day.UnixMilli() {
		t.Errorf("the last commit is of %v", time.UnixMilli(last.Time).UTC())
	}
}
