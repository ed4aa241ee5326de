package custody_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// A component that got no answer sends again, byte for byte, and learns where its entry is.
func TestRepeat(t *testing.T) {
	c := newCell(t)
	e := heartbeat(0)
	index := c.write(c.writer, e)
	c.write(c.reader, heartbeat(0))
	c.write(c.writer, heartbeat(1))
	c.next(c.now, nil) // the policy that e cites is no longer in force
	c.now += 1000

	var repeat *custody.Repeat
	if err := c.replay.Check(e, c.now); !errors.As(err, &repeat) || repeat.Index != index {
		t.Fatalf("a repeat is answered with %v", err)
	}
	other := *e
	other.Queued++
	var wrong *custody.WrongSeq
	if err := c.replay.Check(&other, c.now); !errors.As(err, &wrong) || wrong.Next != c.writer.Next() || wrong.Epoch != c.writer.Epoch() || wrong.Taken == nil || *wrong.Taken != index {
		t.Fatalf("the number used for something else is answered with %v", err)
	}
	if err := c.replay.Apply(c.replay.Size(), ledger.AppendEntry(nil, e)); !errors.As(err, &repeat) {
		t.Errorf("a log that holds an entry twice is judged %v", err)
	}
	for range 100 {
		c.write(c.writer, heartbeat(0))
	}
	if err := c.replay.Check(e, c.now); !errors.As(err, &wrong) || wrong.Taken != nil {
		t.Errorf("a very old repeat is answered with %v", err)
	}
}

// What a component needs to go on after a restart stands in the log.
func TestRestart(t *testing.T) {
	c := newCell(t)
	open := c.write(c.reader, intent())
	state, ok := c.replay.Emitter("reader")
	if !ok || state.Epoch != epoch(3) || state.Last != 1 || state.Index != open || state.Role != ledger.RoleGateway || state.Stopped || state.Hash != sha256.Sum256(c.log[open]) {
		t.Fatalf("%+v", state)
	}
	c.now -= 5000 // its clock went back
	again := custody.NewEmitter("reader", epoch(4))
	c.write(again, again.Start(nodeStart(ledger.RoleGateway), &state))
	if !slices.Equal(c.replay.OpenIntents(), []uint64{open}) {
		t.Errorf("open intents: %v", c.replay.OpenIntents())
	}
	c.write(again, done(open))
	if len(c.replay.OpenIntents()) != 0 {
		t.Errorf("open intents: %v", c.replay.OpenIntents())
	}

	// An init that was interrupted goes on in its epoch.
	state, _ = c.replay.Emitter("init")
	c.init = custody.ContinueEmitter(state)
	c.next(c.now+10000, nil)

	// What it wrote without an answer is not there: it may say so.
	state, _ = c.replay.Emitter("reader")
	state.Last += 3
	third := custody.NewEmitter("reader", epoch(5))
	c.write(third, third.Start(nodeStart(ledger.RoleGateway), &state))
}

func TestState(t *testing.T) {
	c := newCell(t)
	index := c.write(c.writer, c.batch(300))
	c.write(c.writer, c.batch(0))
	index += 1
	batch, ok := c.replay.LastBatch(eventsOrigin)
	if !ok || batch.Index != index || batch.Size != 300 || batch.CommitSeq != 2 || batch.Rules != ledger.EmptyHash {
		t.Errorf("%+v", batch)
	}
	if next, ok := c.replay.PositionNext(eventsOrigin, "cluster", "topic", 0); !ok || next != 300 {
		t.Error("position", next, ok)
	}
	if next := c.replay.CollectorNext(eventsOrigin, "collector", epoch(77)); next != 300 {
		t.Error("collector", next)
	}
	if keys := c.replay.Keys(eventsOrigin); len(keys) != 1 || keys[0].VKey != c.vkeys[eventsOrigin] || keys[0].Index != 2 {
		t.Errorf("%+v", keys)
	}
	if origins := c.replay.KeyOrigins(); !slices.Equal(origins, []string{controlOrigin, eventsOrigin}) {
		t.Error(origins)
	}
	if n := c.replay.Count(ledger.EntryNode); n != 2 {
		t.Error("node entries:", n)
	}

	opened := c.write(c.writer, gap())
	if !slices.Equal(c.replay.Open(ledger.EntryGap), []uint64{opened}) {
		t.Error(c.replay.Open(ledger.EntryGap))
	}
	explained := gap()
	explained.State, explained.Of = ledger.GapExplained, &opened
	explained.Approvals = []ledger.Approval{{By: ledger.Hash{1}}, {By: ledger.Hash{2}}}
	c.write(c.writer, explained)
	if !slices.Equal(c.replay.Open(ledger.EntryGap), []uint64{opened}) {
		t.Error("an explained gap is no longer listed")
	}
	closed := gap()
	closed.State, closed.Of = ledger.GapClosed, &opened
	c.write(c.writer, closed)
	if len(c.replay.Open(ledger.EntryGap)) != 0 {
		t.Error(c.replay.Open(ledger.EntryGap))
	}

	// A policy may be dated back by the skew, no more (TestViolations).
	c.now += 2 * skew
	c.next(c.now-skew, nil)

	// A policy that is not in force yet, and then is; an entry dated before that still cites the old one.
	old, _, _ := c.replay.PolicyAt(c.now)
	hash := c.next(c.now+1000, nil)
	if got, _, _ := c.replay.PolicyAt(c.now + 999); got != old {
		t.Error("the new policy is in force too early")
	}
	if got, _, _ := c.replay.PolicyAt(c.now + 1000); got != hash {
		t.Error("the new policy is not in force")
	}
	c.now += 1000
	c.write(c.writer, heartbeat(0))
	late := c.with(c.reader, heartbeat(0), func(m *ledger.EntryCommon) { m.Time, m.Policy = c.now-1, old })
	if _, err := c.commit(late); err != nil {
		t.Error(err)
	}
}

// Whoever replays the log gets the state that its holder had; one entry dropped, repeated or exchanged shows.
func TestReplayOfRecordedLog(t *testing.T) {
	c := newCell(t)
	for i := range 30 {
		c.now += 1000
		switch i % 5 {
		case 0:
			c.write(c.writer, c.batch(uint64(i)))
		case 1:
			c.write(c.reader, done(c.write(c.reader, intent())))
		case 2:
			c.write(c.reader, heartbeat(c.replay.Size()))
		case 3:
			c.next(c.now-int64(i), nil)
		case 4:
			c.write(c.writer, heartbeat(0))
		}
	}
	c.write(c.reader, heartbeat(0))
	c.write(c.init, &ledger.KeyEntry{Event: ledger.KeyObserve, Purpose: ledger.KeyPayload, KID: "kek"})

	replayed := func(log [][]byte) (*custody.Replay, error) {
		r := custody.NewReplay(controlOrigin)
		for _, text := range c.texts {
			if err := r.Supply(text); err != nil {
				t.Fatal(err)
			}
		}
		for i, raw := range log {
			if err := r.Apply(uint64(i), raw); err != nil {
				return nil, err
			}
		}
		return r, nil
	}
	r, err := replayed(c.log)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, c.replay) {
		t.Error("the replayed state differs from the holder's")
	}
	emitterOf := func(raw []byte) string {
		e, err := ledger.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		return e.Common().Emitter
	}
	for i := range c.log {
		if _, err := replayed(slices.Insert(slices.Clone(c.log), i, c.log[i])); err == nil {
			t.Errorf("entry %d twice: not seen", i)
		}
		goesOn := slices.ContainsFunc(c.log[i+1:], func(raw []byte) bool { return emitterOf(raw) == emitterOf(c.log[i]) })
		if _, err := replayed(slices.Delete(slices.Clone(c.log), i, i+1)); err == nil && goesOn {
			t.Errorf("entry %d left out: not seen", i)
		}
		for j := i + 1; j < len(c.log); j++ {
			if emitterOf(c.log[i]) != emitterOf(c.log[j]) {
				continue
			}
			swapped := slices.Clone(c.log)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if _, err := replayed(swapped); err == nil {
				t.Errorf("entries %d and %d exchanged: not seen", i, j)
			}
			break
		}
	}
	if err := c.replay.Apply(0, c.log[0]); err == nil {
		t.Error("an entry was applied out of order")
	}
}

// Bytes from outside reach a replay through Apply and Supply only.
func FuzzReplay(f *testing.F) {
	c := newCell(&testing.T{})
	c.write(c.writer, c.batch(300))
	c.write(c.reader, done(c.write(c.reader, intent())))
	c.write(c.writer, gap())
	c.next(c.now, nil)
	f.Add(bytes.Join(c.texts, []byte("\n")), bytes.Join(c.log, []byte("\n")))
	f.Fuzz(func(t *testing.T, texts, log []byte) {
		r := custody.NewReplay(controlOrigin)
		for text := range bytes.SplitSeq(texts, []byte("\n")) {
			_ = r.Supply(text)
		}
		for raw := range bytes.SplitSeq(log, []byte("\n")) {
			var v *custody.Violation
			var repeat *custody.Repeat
			if err := r.Apply(r.Size(), raw); err != nil && !errors.As(err, &v) && !errors.As(err, &repeat) {
				t.Errorf("an error without a name: %v", err)
			} else if err != nil && err.Error() == "" {
				t.Error("an error that says nothing")
			}
		}
	})
}

// The policy is what lets a log have another key.
func TestKeyRotation(t *testing.T) {
	c := newCell(t)
	c.vkeys[eventsOrigin] = newVKey(t, eventsOrigin, 99)
	c.next(c.now, nil)
	e := c.key(eventsOrigin)
	e.Event = ledger.KeyRotate
	c.write(c.init, e)
	if keys := c.replay.Keys(eventsOrigin); len(keys) != 2 || keys[1].VKey != c.vkeys[eventsOrigin] {
		t.Errorf("%+v", keys)
	}
}

func TestRefusalsAreReadable(t *testing.T) {
	c := newCell(t)
	err := c.replay.Check(c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Seq = 9 }), c.now)
	want := "control entry 5 of writer: I5 seq: expected number 1 of epoch " + epoch(2) + ", got number 9 of epoch " + epoch(2)
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	bad := heartbeat(0)
	bad.Emitter = "not an id"
	var v *custody.Violation
	if err := c.replay.Check(bad, c.now); !errors.As(err, &v) || v.Rule != custody.RuleEncoding {
		t.Errorf("an entry without an encoding: %v", err)
	}
	if err := c.replay.Supply([]byte("{}")); err == nil {
		t.Error("a document that is none was taken")
	}
}

func TestEmitterRefusesWhatItDidNotWrite(t *testing.T) {
	m := custody.NewEmitter("writer", epoch(1))
	e := m.Start(nodeStart(ledger.RoleWriter), nil)
	if _, err := m.Encode(e, ledger.Hash{}, start); err != nil {
		t.Fatal(err)
	}
	if err := m.Committed(e); err != nil {
		t.Fatal(err)
	}
	if err := m.Committed(e); err == nil || m.Next() != 1 {
		t.Errorf("the same entry counted twice: %v, next %d", err, m.Next())
	}
	if m.Time(start-1) != start {
		t.Error("an entry would be dated before the one before it")
	}
}
