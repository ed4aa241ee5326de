package log

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the times of events, the clock and the sizes of windows are, and however often the log is opened again: an
// event is one leaf, no matter how often it is delivered.
func TestWindowAndLookUpDecideRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newMemoryCell(t)
		clock := c.at(day)
		window, records := 1, 1
		c.change = func(cfg *EventsConfig) {
			cfg.Window, cfg.MaxRecords, cfg.CarryMarks, cfg.Skew = window, records, 10_000*time.Hour, time.Hour
		}
		control, events := c.openLogs()
		type known struct {
			message Message
			index   uint64
		}
		var all []known
		byUID := make(map[string]int)
		sources := []Source{sourceA, sourceB}
		next := make(map[Source]uint64)
		epoch, latest := 0, day.UnixMilli()
		var last []Message // the newest submission, which may come again as it was

		hours := rapid.IntRange(-6, 6)
		send := func(t *rapid.T) {
			source := rapid.SampledFrom(sources).Draw(t, "source")
			n := rapid.IntRange(1, 5).Draw(t, "messages")
			var list []Message
			news := 0
			for range n {
				if len(all)+news > 0 && rapid.Bool().Draw(t, "known") {
					if i := rapid.IntRange(0, len(all)+news-1).Draw(t, "which"); i < len(all) {
						list = append(list, all[i].message)
					} else { // new in this very submission
						uid := message(i, day).UID
						for _, m := range list {
							if m.UID == uid {
								list = append(list, m)
								break
							}
						}
					}
					continue
				}
				at := clock.Now().Add(time.Duration(hours.Draw(t, "hours")) * time.Hour)
				list = append(list, message(len(all)+news, at))
				news++
			}
			list = numbered(source, next[source], list...)
			next[source] += uint64(len(list))
			for i, r := range c.append(events, list) {
				m := list[i]
				at, seen := byUID[m.UID]
				switch {
				case !seen && r.Status == Committed && r.Indexed && r.UID == m.UID:
					byUID[m.UID] = len(all)
					all = append(all, known{m, r.Index})
				case seen && r.Status == Duplicate && r.Indexed && r.Index == all[at].index && r.UID == m.UID:
				default:
					t.Fatalf("event %s (seen: %v): %+v", m.UID, seen, r)
				}
			}
			last = list
		}
		t.Repeat(map[string]func(*rapid.T){
			"send":      send,
			"send more": send,
			"send again": func(t *rapid.T) {
				if len(last) == 0 {
					return
				}
				for i, r := range c.append(events, last) {
					if r.Status != Repeat || r.Indexed && r.Index != all[byUID[last[i].UID]].index {
						t.Fatalf("%s again: %+v", last[i].UID, r)
					}
				}
			},
			"move the clock": func(t *rapid.T) {
				// Back by less than a control log bears; nobody's clock is set back further while a log is open.
				now := clock.Now().Add(time.Duration(rapid.IntRange(-4, 180).Draw(t, "minutes")) * time.Minute)
				latest = max(latest, now.UnixMilli())
				if latest-now.UnixMilli() <= (4 * time.Minute).Milliseconds() {
					clock.add(now.Sub(clock.Now()))
				}
			},
			"open again": func(t *rapid.T) {
				// Closing may interrupt a batch entry on its way, which is looked for when the log is opened again.
				for _, err := range []error{events.Close(), control.Close()} {
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
				}
				epoch++
				last = nil
				for i := range sources { // senders that end with the writer begin anew with it
					sources[i].Epoch = fmt.Sprintf("%032x", 2*epoch+i)
				}
				window = rapid.IntRange(1, 8).Draw(t, "window")
				records = rapid.IntRange(1, 4).Draw(t, "records")
				control, events = c.openLogs()
			},
		})
		c.flushLogs(control, events)
		c.closeLogs(control, events)
		h := c.settled()
		if len(h.records) != len(all) || len(h.findings) > 0 {
			t.Fatalf("%d leaves of %d events, findings about %v", len(h.records), len(all), h.findings)
		}
		for _, k := range all {
			if at := h.byUID[k.message.UID]; len(at) != 1 || at[0] != k.index {
				t.Fatalf("%s is at %v, was answered %d", k.message.UID, at, k.index)
			}
		}
	})
}

// The answer that an event was there is an answer too: the sender goes on with the next number, also to the next writer.
func TestNumbersOfDuplicatesOutliveTheWriter(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, message(0, day)))
	c.want(c.append(events, numbered(sourceB, 0, message(0, day))), Duplicate)
	c.closeLogs(control, events)
	control, events = c.openLogs()
	c.want(c.append(events, numbered(sourceB, 1, message(1, day))), Committed)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
