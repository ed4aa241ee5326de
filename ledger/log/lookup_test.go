package log

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store/storetest"
)

// lookupStub answers look-ups as the test says, and counts them.
type lookupStub struct {
	mu     sync.Mutex
	err    error
	found  map[string]Found // by uid
	calls  []key            // uids that were asked for
	asked  int              // how often Find was called
	called chan struct{}
}

func (l *lookupStub) Find(_ context.Context, origin string, through uint64, uids [][16]byte) (list []Found, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.calls = append(l.calls, uids...)
	if l.called != nil {
		close(l.called)
		l.called = nil
	}
	for uid, f := range l.found {
		if f.UID = UIDKey(uid); slices.Contains(uids, f.UID) {
			list = append(list, f)
		}
	}
	return list, l.err
}

func (l *lookupStub) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// awaitCalls returns when Find was called so often.
func (l *lookupStub) awaitCalls(t *testing.T, n int) {
	t.Helper()
	l.await(t, func(calls []key) bool { return len(calls) >= n })
}

// await returns when what was asked for is enough; it asks so after each call.
func (l *lookupStub) await(t *testing.T, enough func(calls []key) bool) {
	t.Helper()
	for {
		l.mu.Lock()
		if enough(l.calls) {
			l.mu.Unlock()
			return
		}
		called := make(chan struct{})
		l.called = called
		l.mu.Unlock()
		select {
		case <-called:
		case <-t.Context().Done():
			return // the test is over
		}
	}
}

func contentKey(t tb, event []byte) key {
	t.Helper()
	fields, err := ledger.CutFields(event, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ContentKey(fields)
}

// While the look-up cannot answer, the events that need it wait and hold their marks; others go on.
func TestLookupThatCannotAnswer(t *testing.T) {
	lookup := &lookupStub{}
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Lookup, cfg.MaxWaiting = lookup, 2 }
	control, events, clock := filled(t, c, 3)
	lookup.set(ErrLookup)
	type answer struct {
		results []Result
		err     error
	}
	send := func(messages []Message) chan answer {
		done := make(chan answer, 1)
		go func() {
			results, err := events.Append(t.Context(), messages, true)
			done <- answer{results, err}
		}()
		return done
	}
	mark := func(s Source) (next uint64) {
		head, err := events.Reader().Head(t.Context())
		c.must(err)
		for _, m := range head.Collectors {
			if (Source{m.ID, m.Epoch}) == s {
				next = m.Next
			}
		}
		return next
	}
	// Newer ones of the same source are committed at once, and the submission waits for the old one.
	mixed := send(numbered(sourceA, 10, message(10, clock.Now()), message(3, day.Add(3*time.Hour)), message(11, clock.Now())))
	lookup.awaitCalls(t, 1)
	other := Source{"other", sourceA.Epoch}
	c.want(c.append(events, numbered(other, 0, message(12, clock.Now()))), Committed)
	if got := mark(sourceA); got != 11 {
		t.Errorf("the mark is %d, message 11 waits", got)
	}
	if len(mixed) != 0 {
		t.Fatal("answered before the old event was decided")
	}
	// Numbers go on behind it.
	c.want(c.append(events, numbered(sourceA, 13, message(13, clock.Now()))), Committed)
	// Beyond MaxWaiting nothing more is read.
	old := send(numbered(sourceB, 0, message(60, day), message(61, day)))
	lookup.await(t, func(calls []key) bool { return slices.Contains(calls, UIDKey(message(61, day).UID)) })
	before := events.Reader()
	late := send(numbered(other, 1, message(14, clock.Now())))
	flush, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		seen := 0
		lookup.await(t, func(calls []key) bool { seen++; return seen > 6 }) // several rounds of trying again, in which the queue was not read
		cancel(enough)
	}()
	if err := events.Flush(flush); !errors.Is(err, enough) {
		t.Errorf("a flush while nothing is read: %v", err)
	}
	if head, err := before.Head(t.Context()); err != nil || head.Size != 14 || len(late) != 0 {
		t.Errorf("committed %d leaves (%v), want 14", head.Size, err)
	}
	lookup.mu.Lock()
	lookup.err, lookup.found = nil, map[string]Found{
		message(3, day.Add(3*time.Hour)).UID: {Origin: testEvents, Index: 3, Content: contentKey(t, message(3, day.Add(3*time.Hour)).Event)},
	}
	lookup.mu.Unlock()
	for _, a := range []struct {
		done chan answer
		want []Status
	}{{mixed, []Status{Committed, Duplicate, Committed}}, {old, []Status{Committed, Committed}}, {late, []Status{Committed}}} {
		got := <-a.done
		c.must(got.err)
		c.want(got.results, a.want...)
	}
	c.flushLogs(control, events)
	if a, b := mark(sourceA), mark(sourceB); a != 14 || b != 2 {
		t.Errorf("marks %d and %d after all is decided", a, b)
	}
	c.closeLogs(control, events)
	if h := c.settled(); len(h.records) != 17 {
		t.Errorf("%d records", len(h.records))
	}
}

// A writer that dies while events wait has answered nobody about them: they come again and are taken once.
func TestCrashWhileEventsWait(t *testing.T) {
	lookup := &lookupStub{}
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Lookup = lookup }
	control, events, clock := filled(t, c, 3)
	lookup.set(ErrLookup)
	sent := numbered(sourceA, 10, message(70, day), message(71, clock.Now()), message(72, day), message(73, clock.Now()))
	failed := make(chan error, 1)
	go func() {
		_, err := events.Append(t.Context(), slices.Clone(sent), true)
		failed <- err
	}()
	lookup.awaitCalls(t, 2)
	c.append(events, numbered(sourceB, 0, message(74, clock.Now())))
	c.must(events.Close())
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("those who wait are told %v", err)
	}
	c.must(control.Close())
	lookup.set(nil)
	control, events = c.openLogs()
	c.want(c.append(events, sent), Committed, Duplicate, Committed, Duplicate)
	c.want(c.append(events, numbered(sourceA, 14, message(75, clock.Now()))), Committed)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	if h := c.settled(); len(h.records) != 16 {
		t.Errorf("%d records", len(h.records))
	}
}

// contentOf is a Renormalize that finds another operation in the old event.
func contentOf(operation string) func([]byte) (ledger.Hash, error) {
	return func(event []byte) (ledger.Hash, error) {
		fields, err := ledger.CutFields([]byte(strings.Replace(string(event), `"Old"`, `"`+operation+`"`, 1)), nil)
		return ledger.ContentHash(fields), err
	}
}

// A stored record that cannot be read for comparison now is no reason to judge, nor to stop.
func TestStoredEventThatCannotBeReadNow(t *testing.T) {
	c := newMemoryCell(t)
	faulty := storetest.NewFaulty(c.locked)
	c.locked = faulty
	var tries atomic.Int32
	c.change = func(cfg *EventsConfig) { cfg.Renormalize = contentOf("New") }
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, messageWith(1, day, "Old")))
	c.append(events, numbered(sourceA, 1, message(2, day)))
	faulty.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpGet && strings.Contains(key, "/payload/") && tries.Add(1) <= 2 {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	c.want(c.append(events, numbered(sourceA, 2, messageWith(1, day, "New"))), Duplicate)
	faulty.SetHook(nil)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	if h := c.settled(); len(h.findings) != 0 || tries.Load() < 3 {
		t.Errorf("findings about %v after %d tries", h.findings, tries.Load())
	}
}
