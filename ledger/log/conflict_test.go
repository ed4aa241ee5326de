package log

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store/storetest"
)

// from makes a source of its own for one delivery.
func from(n int) Source {
	return Source{"collector", string(rune('0'+n/16)) + string("0123456789abcdef"[n%16]) + sourceA.Epoch[2:]}
}

// Three events claim one uid. All are kept, the second and third under names of their own and with a finding each;
// whichever is delivered again is recognized, wherever it is looked up.
func TestEventsOfOneUID(t *testing.T) {
	contents := []string{"Op", "Other", "Third"}
	uids := []string{message(1, day).UID, message(1, day).UID + "~2", message(1, day).UID + "~3"}
	for _, test := range []struct {
		name    string
		change  func(*EventsConfig)
		restart bool          // between all deliveries
		fill    bool          // the window lets each event go before the next delivery
		dated   time.Duration // after the first delivery
	}{
		{name: "held"},
		{name: "held by the next writer", restart: true},
		{name: "beyond the window", fill: true, change: func(cfg *EventsConfig) { cfg.Window = 1 }},
		{name: "beyond the window of the next writer", restart: true, fill: true, change: func(cfg *EventsConfig) { cfg.Window = 1 }},
		{name: "dated in the future", fill: true, restart: true, dated: 100 * time.Hour, change: func(cfg *EventsConfig) { cfg.Window = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			c.change = test.change
			clock := c.at(day)
			control, events := c.openLogs()
			deliveries := 0
			deliver := func(content string) Result {
				t.Helper()
				if test.fill {
					clock.add(time.Hour)
					c.append(events, numbered(from(deliveries+100), 0, message(1000+deliveries, clock.Now())))
				}
				if test.restart {
					c.flushLogs(control, events)
					c.closeLogs(control, events)
					control, events = c.openLogs()
				}
				deliveries++
				return c.append(events, numbered(from(deliveries), 0, messageWith(1, day.Add(test.dated), content)))[0]
			}
			index := make([]uint64, len(contents))
			for i, content := range contents {
				want := Conflict
				if i == 0 {
					want = Committed
				}
				r := deliver(content)
				if r.Status != want || r.UID != uids[i] || !r.Indexed {
					t.Fatalf("event %d: %+v", i, r)
				}
				index[i] = r.Index
				for j := range i + 1 {
					if r := deliver(contents[j]); r.Status != Duplicate || r.UID != uids[j] || r.Index != index[j] || !r.Indexed {
						t.Fatalf("event %d again, after %d: %+v", j, i, r)
					}
				}
			}
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			h := c.settled()
			slices.Sort(h.findings)
			if !slices.Equal(slices.Compact(h.findings), index[1:]) { // better twice than never
				t.Fatalf("findings about %v, want %v", h.findings, index[1:])
			}
			for i, uid := range uids {
				if at := h.byUID[uid]; !slices.Equal(at, index[i:i+1]) || h.records[at[0]].operation != contents[i] {
					t.Fatalf("%s is at %v", uid, at)
				}
			}
		})
	}
}

// Within one commit the same holds.
func TestEventsOfOneUIDInOneCommit(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	list := numbered(sourceA, 0, messageWith(1, day, "Op"), messageWith(1, day, "Other"), messageWith(1, day, "Op"),
		messageWith(1, day, "Third"), messageWith(1, day, "Other"), messageWith(1, day, "Third"))
	results := c.append(events, list)
	c.want(results, Committed, Conflict, Duplicate, Conflict, Duplicate, Duplicate)
	for _, pair := range [][2]int{{0, 2}, {1, 4}, {3, 5}} {
		if first, again := results[pair[0]], results[pair[1]]; first.UID != again.UID || first.Index != again.Index {
			t.Errorf("%+v was answered %+v", again, first)
		}
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled()
	if len(h.records) != 3 || !slices.Equal(h.findings, []uint64{results[1].Index, results[3].Index}) {
		t.Fatalf("%d records, findings %v", len(h.records), h.findings)
	}
}

// The events are committed, their finding is not: the next writer makes up for it.
func TestFindingIsMadeUpFor(t *testing.T) {
	for name, outcome := range map[string]storetest.Outcome{"not done": storetest.FailBefore, "done": storetest.FailAfter} {
		t.Run(name, func(t *testing.T) {
			c := newMemoryCell(t)
			control, events := c.openLogs()
			c.append(events, numbered(sourceA, 0, message(1, day)))
			locked := c.locked
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			faulty := storetest.NewFaulty(locked)
			c.locked = faulty
			control, events = c.openLogs()
			c.append(events, numbered(sourceA, 1, message(2, day)))
			c.flushLogs(control, events)
			at := place{storetest.OpCreate, "locked/" + testControl + "/commit/"}
			comparing := place{storetest.OpGet, "locked/" + testControl + "/commit/"}
			faulty.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				switch {
				case at.match("locked/", op, key):
					return outcome
				case comparing.match("locked/", op, key):
					return storetest.FailBefore
				}
				return storetest.Pass
			})
			second := numbered(sourceB, 0, messageWith(1, day, "Other"))
			if _, err := events.Append(t.Context(), slices.Clone(second), true); !errors.Is(err, storetest.ErrFault) {
				t.Fatalf("append: %v", err)
			}
			events.Close()
			control.Close()
			c.locked = locked
			control, events = c.openLogs()
			c.want(c.append(events, second), Repeat)
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			h := c.settled()
			if len(h.records) != 3 || len(h.findings) == 0 || h.findings[0] != 2 {
				t.Fatalf("%d records, findings %v", len(h.records), h.findings)
			}
		})
	}
}

// An upgrade maps a field anew. What is stored is normalized again before anybody speaks of two events.
func TestRenormalizedEventIsNoConflict(t *testing.T) {
	again := func(event []byte) (ledger.Hash, error) {
		var cutter ledger.Cutter
		fields, err := cutter.Cut(bytes.Replace(event, []byte(`"Op"`), []byte(`"NewOp"`), 1), nil)
		return ledger.ContentHash(fields), err
	}
	for _, test := range []struct {
		name     string
		again    func([]byte) (ledger.Hash, error)
		content  string
		status   Status
		findings int
	}{
		{"the same after the upgrade", again, "NewOp", Duplicate, 0},
		{"as it is stored", again, "Op", Duplicate, 0},
		{"another event", again, "Other", Conflict, 1},
		{"no way to tell", nil, "NewOp", Conflict, 1},
		{"it cannot be normalized any more", func([]byte) (ledger.Hash, error) { return ledger.Hash{}, errors.New("no") }, "NewOp", Conflict, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, window := range map[string]int{"held": 0, "beyond the window": 1} {
				t.Run(name, func(t *testing.T) {
					c := newMemoryCell(t)
					clock := c.at(day)
					c.change = func(cfg *EventsConfig) { cfg.Renormalize, cfg.Window = test.again, window }
					control, events := c.openLogs()
					c.append(events, numbered(sourceA, 0, message(1, day)))
					clock.add(time.Hour)
					c.append(events, numbered(sourceA, 1, message(2, clock.Now())))
					clock.add(time.Hour)
					c.append(events, numbered(sourceA, 2, message(3, clock.Now())))
					c.want(c.append(events, numbered(sourceB, 0, messageWith(1, day, test.content))), test.status)
					c.flushLogs(control, events)
					c.closeLogs(control, events)
					if h := c.settled(); len(h.findings) != test.findings || len(h.records) != 3+test.findings {
						t.Fatalf("%d records, findings about %v", len(h.records), h.findings)
					}
				})
			}
		})
	}
}
