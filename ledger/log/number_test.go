package log

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestReopenedLogGoesOn(t *testing.T) {
	c := newCell(t)
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, some(0, 5, day)...))
	c.must(events.Flush(t.Context()))
	c.closeLogs(control, events)
	for round := range 3 {
		c.reopenStores()
		control, events = c.openLogs()
		// The source that wrote before goes on with its numbers, a new one begins.
		first := uint64(5 + round)
		results := c.append(events, numbered(sourceA, first, message(int(first), day)))
		c.want(results, Committed)
		results = c.append(events, numbered(Source{"collector", string(rune('b'+round)) + sourceB.Epoch[1:]}, 0, message(100+round, day)))
		c.want(results, Committed)
		c.must(events.Flush(t.Context()))
		c.closeLogs(control, events)
	}
	h := c.verifyAll()
	if len(h.records) != 11 || h.bound != 11 {
		t.Fatalf("%d records, %d bound", len(h.records), h.bound)
	}
	last := h.events.headers[len(h.events.headers)-1]
	if len(last.Collectors) != 4 || last.Collectors[0].Next != 8 {
		t.Fatalf("marks after three restarts: %+v", last.Collectors)
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		name   string
		sent   []Message // after 0, 1, 2 of source A
		status []Status
		want   *SequenceError
	}{
		{"the next", numbered(sourceA, 3, message(3, day)), []Status{Committed}, nil},
		{"a repeat", numbered(sourceA, 1, some(1, 2, day)...), []Status{Repeat, Repeat}, nil},
		{"a repeat and the next", numbered(sourceA, 2, some(2, 2, day)...), []Status{Repeat, Committed}, nil},
		{"a repeat that says something else", numbered(sourceA, 0, message(77, day)), []Status{Repeat}, nil},
		{"a hole", numbered(sourceA, 4, message(4, day)), nil, &SequenceError{sourceA, 3, 4}},
		{"a hole within", slices.Concat(numbered(sourceA, 3, message(3, day)), numbered(sourceA, 5, message(5, day))), nil, &SequenceError{sourceA, 4, 5}},
		{"a new epoch", numbered(sourceB, 0, message(3, day)), []Status{Committed}, nil},
		{"a new epoch that does not begin at 0", numbered(sourceB, 1, message(3, day)), nil, &SequenceError{sourceB, 0, 1}},
		{"a new epoch with events that are there", numbered(sourceB, 0, some(0, 3, day)...), []Status{Duplicate, Duplicate, Duplicate}, nil},
		{"one number twice", slices.Concat(numbered(sourceA, 3, message(3, day)), numbered(sourceA, 3, message(3, day))), []Status{Committed, Repeat}, nil},
		{"two sources", slices.Concat(numbered(sourceA, 3, message(3, day)), numbered(sourceB, 0, message(4, day)), numbered(sourceA, 4, message(5, day))),
			[]Status{Committed, Committed, Committed}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, restart := range map[string]bool{"same writer": false, "next writer": true} {
				t.Run(name, func(t *testing.T) {
					c := newMemoryCell(t)
					control, events := c.openLogs()
					c.append(events, numbered(sourceA, 0, some(0, 3, day)...))
					if restart {
						c.closeLogs(control, events)
						control, events = c.openLogs()
					}
					results, err := events.Append(t.Context(), test.sent, true)
					var sequence *SequenceError
					switch {
					case test.want == nil:
						c.must(err)
						c.want(results, test.status...)
					case !errors.As(err, &sequence) || *sequence != *test.want:
						t.Fatalf("%v, want %v", err, test.want)
					case events.err() != nil:
						t.Fatalf("the writer stopped: %v", events.err())
					}
					c.flushLogs(control, events)
					c.closeLogs(control, events)
					c.settled()
				})
			}
		})
	}
}

func TestMarksOfEndedEpochsAreNotCarriedForGood(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	old, live := sourceA, sourceB
	marks := func(events *Events) (list []string) {
		head, err := events.Reader().Head(t.Context())
		c.must(err)
		for _, m := range head.Collectors {
			list = append(list, m.Epoch[:1])
		}
		return list
	}
	control, events := c.openLogs()
	c.append(events, numbered(old, 0, some(0, 3, day)...))
	c.append(events, numbered(live, 0, message(3, day)))
	clock.add(3 * time.Hour)
	c.append(events, numbered(live, 1, message(4, day)))
	if got := marks(events); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("a writer that runs lets the marks of a silent source go: %v", got)
	}
	c.flushLogs(control, events) // what no batch entry names is carried on
	c.closeLogs(control, events)

	clock.add(30 * time.Minute)
	control, events = c.openLogs()
	results := c.append(events, numbered(live, 2, message(5, day)))
	c.want(results, Committed)
	if got := marks(events); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("marks after a restart, hours after the last message of a: %v", got)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// The answers to one message sent several times at once: it is committed once, and nobody is answered before it is.
func TestRepeatIsNotAnsweredBeforeTheMessageIsSettled(t *testing.T) {
	c := newMemoryCell(t)
	lookup := &lookupStub{err: ErrLookup}
	c.change = func(cfg *EventsConfig) { cfg.Lookup, cfg.Window = lookup, 1 }
	clock := c.at(day)
	control, events := c.openLogs()
	next := 0
	another := func() { // each an hour later: the window lets the ones before go
		clock.add(time.Hour)
		c.append(events, numbered(sourceB, uint64(next), message(next, clock.Now())))
		next++
	}
	for range 3 {
		another()
	}
	old := numbered(sourceA, 0, message(10, day.Add(-time.Hour)))
	answers := make(chan Result, 3)
	for range 3 {
		go func() {
			results, err := events.Append(t.Context(), slices.Clone(old), true)
			if err != nil {
				t.Error(err)
				results = make([]Result, 1)
			}
			answers <- results[0]
		}()
	}
	lookup.awaitCalls(t, 1)
	// Another source goes on meanwhile: by then all copies had their chance to be answered wrongly.
	for range 3 {
		another()
	}
	select {
	case r := <-answers:
		t.Fatalf("answered with %+v while the look-up cannot say whether it is new", r)
	default:
	}
	lookup.set(nil)
	var got []Status
	for range 3 {
		r := <-answers
		if r.Index != 6 || !r.Indexed {
			t.Errorf("%+v, want leaf 6", r)
		}
		got = append(got, r.Status)
	}
	slices.Sort(got)
	if !slices.Equal(got, []Status{Committed, Repeat, Repeat}) {
		t.Fatalf("statuses %v", got)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// A hole in one sender's numbers is that sender's business.
func TestHoleRefusesOnlyItsSender(t *testing.T) {
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Age = time.Hour } // until somebody is alone
	control, events := c.openLogs()
	good := make(chan error, 1)
	bad := make(chan error, 1)
	go func() {
		_, err := events.Append(t.Context(), numbered(sourceA, 0, message(0, day)), false)
		good <- err
	}()
	go func() {
		_, err := events.Append(t.Context(), numbered(sourceB, 1, message(1, day)), false)
		bad <- err
	}()
	// Both wait in the same commit; a third who is alone brings it about.
	third := Source{"other", sourceA.Epoch}
	for done := uint64(0); ; done++ {
		c.append(events, numbered(third, done, message(int(100+done), day)))
		if len(good) == 1 && len(bad) == 1 {
			break
		}
	}
	var sequence *SequenceError
	if err := <-bad; !errors.As(err, &sequence) || sequence.Source != sourceB {
		t.Errorf("the sender of the hole: %v", err)
	}
	if err := <-good; err != nil {
		t.Errorf("the other sender: %v", err)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
