package log

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger/store/storetest"
)

// Whoever looks after a log sees that it is not published, why, and since when; and that it is over when it is.
func TestLag(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	faulty := storetest.NewFaulty(c.open)
	c.open = faulty
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, message(0, day)))
	c.flushLogs(control, events)
	if l := events.Lag(); l.Committed != 1 || l.Published != 1 || l.Bound != 1 || l.Err != nil || !l.Since.IsZero() || l.Stopped != nil {
		t.Errorf("after a flush: %+v", l)
	}
	before := control.Lag()
	if before.Committed == 0 || before.Published != before.Committed || before.Bound != before.Published {
		t.Errorf("the control log: %+v", before)
	}
	faulty.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpReplace && strings.HasSuffix(key, "/checkpoint") {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	failed := clock.Now()
	c.append(events, numbered(sourceA, 1, message(1, day)))
	for range 2 {
		if err := events.Flush(t.Context()); err == nil {
			t.Error("a flush succeeded without its checkpoint")
		}
		l := events.Lag()
		if l.Committed != 2 || l.Published != 1 || l.Bound != 1 || l.Err == nil || !l.Since.Equal(failed) || l.Stopped != nil {
			t.Errorf("while the checkpoint cannot be replaced: %+v", l)
		}
		clock.add(time.Minute)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	faulty.SetHook(nil)
	c.flushLogs(control, events)
	if err := events.Flush(gone); err == nil {
		t.Error("a flush that nobody waits for succeeded")
	}
	if l := events.Lag(); l.Committed != 2 || l.Published != 2 || l.Bound != 2 || l.Err != nil {
		t.Errorf("afterwards: %+v", l)
	}
	c.closeLogs(control, events)
	control, events = c.openLogs()
	if l := events.Lag(); l.Committed != 2 || l.Published != 2 || l.Bound != 2 {
		t.Errorf("opened again: %+v", l)
	}
	fenced := errors.New("fenced")
	_ = events.fail(fenced)
	if l := events.Lag(); !errors.Is(l.Stopped, fenced) {
		t.Errorf("stopped: %+v", l)
	}
	_, _ = events.Close(), control.Close()
}

// Events that wait for a look-up are counted, and it says why.
func TestLagOfLookUps(t *testing.T) {
	lookup := &lookupStub{}
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Lookup = lookup }
	control, events, _ := filled(t, c, 3)
	away := errors.New("the index is away")
	lookup.set(away)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = events.Append(ctx, numbered(sourceB, 0, message(50, day), message(51, day)), true)
	}()
	for events.Lag().Waiting != 2 {
		lookup.awaitCalls(t, 1)
	}
	if l := events.Lag(); !errors.Is(l.LookupErr, away) || !errors.Is(l.LookupErr, ErrLookup) || l.LookupSince.IsZero() {
		t.Errorf("%+v", l)
	}
	lookup.set(nil)
	for events.Lag().Waiting != 0 {
	}
	if l := events.Lag(); l.LookupErr != nil {
		t.Errorf("afterwards: %+v", l)
	}
	cancel()
	<-done
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
