package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
)

// eventMessage is a message whose event is given, with its uid and time read out of it.
func eventMessage(t tb, event string) Message {
	t.Helper()
	rec := &ledger.Record{Event: []byte(event)}
	var err error
	if rec.Fields, err = ledger.CutFields(rec.Event, nil); err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	uid, at, err := identity(rec)
	if err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	return Message{UID: uid, Time: at, Region: "aws:eu-central-1", Class: "default", Event: rec.Event}
}

func TestSameUID(t *testing.T) {
	const (
		cloud = `"cloud":{"provider":"AWS","region":"eu-central-1"}`
		first = `{"api":{"operation":"Op"},` + cloud + `,"metadata":{"uid":"aws:1:a"},"raw_data":"{}","time":1000}`
	)
	for _, test := range []struct {
		name, second string
		same         bool
	}{
		{"byte for byte", first, true},
		{"other raw data", strings.Replace(first, `"{}"`, `"{ }"`, 1), true},
		{"size and hash of raw data", strings.Replace(first, `"raw_data":"{}"`, `"raw_data":"{ }","raw_data_hash":{"algorithm_id":3,"value":"00"},"raw_data_size":3`, 1), true},
		{"enrichments", strings.Replace(first, `"metadata"`, `"enrichments":[{"name":"x"}],"metadata"`, 1), true},
		{"observables", strings.Replace(first, `"raw_data"`, `"observables":[{"type_id":2}],"raw_data"`, 1), true},
		{"processing time", strings.Replace(first, `{"uid"`, `{"logged_time":2,"loggers":[],"processed_time":3,"uid"`, 1), true},
		{"another operation", strings.Replace(first, `"Op"`, `"Other"`, 1), false},
		{"another region", strings.Replace(first, `eu-central-1`, `eu-west-1`, 1), false},
		{"another time", strings.Replace(first, `1000`, `1001`, 1), false},
		{"one field more", strings.Replace(first, `"metadata"`, `"message":"x","metadata"`, 1), false},
		{"an unmapped member", strings.Replace(first, `1000}`, `1000,"unmapped":{"b":1,"a":2}}`, 1), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, way := range []string{"in the next commit", "in one commit", "after a restart"} {
				t.Run(way, func(t *testing.T) {
					c := newMemoryCell(t)
					control, events := c.openLogs()
					a, b := eventMessage(t, first), eventMessage(t, test.second)
					if strings.Contains(test.second, "eu-west-1") {
						b.Region = "aws:eu-west-1"
					}
					var results []Result
					if way == "in one commit" {
						results = c.append(events, numbered(sourceA, 0, a, b))
					} else {
						results = c.append(events, numbered(sourceA, 0, a))
						if way == "after a restart" {
							c.closeLogs(control, events)
							control, events = c.openLogs()
						}
						results = append(results, c.append(events, numbered(sourceB, 0, b))...)
					}
					want := Result{Duplicate, "aws:1:a", 0, true}
					if !test.same {
						want = Result{Conflict, "aws:1:a~2", 1, true}
					}
					if results[0].Status != Committed || results[1] != want {
						t.Fatalf("%+v, want the second to be %+v", results, want)
					}
					c.flushLogs(control, events)
					c.closeLogs(control, events)
					h := c.settled()
					switch {
					case test.same && (len(h.records) != 1 || h.repeats != 1 || len(h.findings) != 0):
						t.Errorf("%d records, %d repeats, findings about %v", len(h.records), h.repeats, h.findings)
					case !test.same && (len(h.records) != 2 || h.repeats != 0 || !slices.Equal(h.findings, []uint64{1})):
						t.Errorf("%d records, %d repeats, findings about %v", len(h.records), h.repeats, h.findings)
					}
				})
			}
		})
	}
}

func TestManyEventsOfOneUID(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	send := func(s Source, from uint64, operations ...string) (list []string) {
		var messages []Message
		for _, op := range operations {
			messages = append(messages, messageWith(1, day, op))
		}
		for _, r := range c.append(events, numbered(s, from, messages...)) {
			list = append(list, fmt.Sprint(r.Status, r.UID[len("aws:111122223333:00000001"):], "@", r.Index))
		}
		return list
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	check(send(sourceA, 0, "A", "B", "A", "C", "B"), "1@0", "4~2@1", "2@0", "4~3@2", "2~2@1")
	check(send(sourceA, 5, "C", "D", "A"), "2~3@2", "4~4@3", "2@0")
	// The stream repeats what it sent: the answer names the leaf of that very event.
	check(send(sourceA, 0, "A", "B", "A", "C"), "3@0", "3~2@1", "3@0", "3~3@2")
	c.closeLogs(control, events)
	control, events = c.openLogs()
	check(send(sourceA, 1, "B"), "3~2@1")
	check(send(sourceB, 0, "D", "E", "B"), "2~4@3", "4~5@4", "2~2@1")
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled()
	slices.Sort(h.findings)
	if f := slices.Compact(h.findings); !slices.Equal(f, []uint64{1, 2, 3, 4}) {
		t.Errorf("findings about %v", f)
	}
	for index, r := range h.records {
		if r.operation != string(rune('A'+index)) {
			t.Errorf("record %d is %+v", index, r)
		}
	}
}

// Whatever happens between the commit of a second event of a uid and its finding, the finding is written.
func TestFindingSurvivesACrash(t *testing.T) {
	for _, test := range []struct {
		name   string
		window int
		reopen func(c *cell)
	}{
		{"and the next writer appends", 0, func(c *cell) {
			control, events := c.openLogs()
			c.append(events, numbered(sourceB, 0, message(9, day)))
			c.flushLogs(control, events)
			c.closeLogs(control, events)
		}},
		{"and the next writer binds it and dies", 0, func(c *cell) {
			control, events := c.openLogs()
			c.awaitBound(control, 4)
			c.closeLogs(control, events)
			control, events = c.openLogs()
			c.flushLogs(control, events)
			c.closeLogs(control, events)
		}},
		{"and the window does not reach back", 1, func(c *cell) {
			control, events := c.openLogs()
			c.flushLogs(control, events)
			c.closeLogs(control, events)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			control, events := c.openLogs()
			c.append(events, numbered(sourceA, 0, message(1, day)))
			c.flushLogs(control, events)
			// The control log goes away, as for a writer that is killed right after its commit.
			c.must(control.Close())
			_, err := events.Append(context.Background(), numbered(sourceA, 1, messageWith(1, day, "Other"), message(2, day), message(3, day)), true)
			if err == nil {
				t.Fatal("answered without the finding")
			}
			events.Close()
			if h := c.verifyAll(); len(h.records) != 4 || len(h.findings) != 0 || h.bound != 1 {
				t.Fatalf("the stage is wrong: %d records, findings about %v, %d bound", len(h.records), h.findings, h.bound)
			}
			c.change = func(cfg *EventsConfig) { cfg.Window = test.window }
			test.reopen(c)
			h := c.settled()
			if !slices.Equal(slices.Compact(h.findings), []uint64{1}) {
				t.Errorf("findings about %v", h.findings)
			}
		})
	}
}

func TestRejected(t *testing.T) {
	good := message(1, day)
	for _, test := range []struct {
		name string
		bad  func(m *Message)
	}{
		{"no JSON", func(m *Message) { m.Event = []byte("{") }},
		{"white space", func(m *Message) { m.Event = append([]byte(" "), m.Event...) }},
		{"another uid", func(m *Message) { m.UID = "aws:1:other" }},
		{"another time", func(m *Message) { m.Time++ }},
		{"another region", func(m *Message) { m.Region = "aws:eu-west-1" }},
		{"another provider", func(m *Message) { m.Region = "gcp:unknown" }},
		{"a region no leaf can say", func(m *Message) {
			m.Region = `aws:x"y`
			m.Event = []byte(strings.Replace(string(m.Event), "eu-central-1", `x\"y`, 1))
		}},
		{"a region no batch entry can say", func(m *Message) {
			m.Region = "aws:x_y"
			m.Event = []byte(strings.Replace(string(m.Event), "eu-central-1", "x_y", 1))
		}},
		{"no class", func(m *Message) { m.Class = "" }},
		{"a class no commit can say", func(m *Message) { m.Class = "häufig" }},
		{"a class no batch entry can say", func(m *Message) { m.Class = "Default" }},
		{"no uid", func(m *Message) {
			m.Event = []byte(strings.Replace(string(m.Event), `"uid"`, `"id"`, 1))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			var kept []string
			c.change = func(cfg *EventsConfig) {
				cfg.Reject = func(_ context.Context, m *Message, reason error) error {
					kept = append(kept, fmt.Sprintf("%d: %v", m.Seq, reason))
					return nil
				}
			}
			control, events := c.openLogs()
			bad := good
			test.bad(&bad)
			results := c.append(events, numbered(sourceA, 0, message(0, day), bad, message(2, day)))
			c.want(results, Committed, Rejected, Committed)
			// A commit may follow for the mark alone, so that the stream need not send a rejected message again.
			c.want(c.append(events, numbered(sourceA, 3, bad)), Rejected)
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			h := c.settled()
			last := h.events.headers[len(h.events.headers)-1]
			if len(kept) != 2 || len(h.records) != 2 || last.Collectors[0].Next != 4 {
				t.Errorf("kept %q, %d records, marks %+v", kept, len(h.records), last.Collectors)
			}
			control, events = c.openLogs()
			c.want(c.append(events, numbered(sourceA, 3, bad, message(4, day))), Repeat, Committed)
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			c.settled()
		})
	}
}

func TestRejectedAndNotKept(t *testing.T) {
	c := newMemoryCell(t)
	full := errors.New("the quarantine is full")
	c.change = func(cfg *EventsConfig) {
		cfg.Reject = func(context.Context, *Message, error) error { return full }
	}
	control, events := c.openLogs()
	bad := message(1, day)
	bad.Class = ""
	if _, err := events.Append(t.Context(), numbered(sourceA, 0, message(0, day), bad), true); !errors.Is(err, full) {
		t.Fatalf("%v, want that nobody kept the event", err)
	}
	if err := events.Close(); !errors.Is(err, full) {
		t.Errorf("closing says %v", err)
	}
	c.must(control.Close())
	if h := c.verifyAll(); len(h.records) != 0 {
		t.Errorf("%d records", len(h.records))
	}
}

func TestSourcesThatNoCommitCanName(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	for _, s := range []Source{{"", sourceA.Epoch}, {"collector", ""}, {"collector", "short"}, {"a collector", sourceA.Epoch}, {"<x>", sourceA.Epoch}} {
		if _, err := events.Append(t.Context(), numbered(s, 0, message(1, day)), true); err == nil || events.err() != nil {
			t.Errorf("source %+v: %v; the writer: %v", s, err, events.err())
		}
	}
	c.want(c.append(events, numbered(sourceA, 0, message(1, day))), Committed)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
