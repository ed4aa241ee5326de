package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store/storetest"
)

// openControl opens the control log alone.
func (c *cell) openControl() *Control {
	c.t.Helper()
	control, err := OpenControl(context.Background(), c.config(testControl), "test")
	c.must(err)
	c.must(c.init(control))
	return control
}

func heartbeat() *ledger.HeartbeatEntry { return &ledger.HeartbeatEntry{ControlSize: 1} }

// encoded is an entry as a component sends it.
func (m *Component) encoded(t tb, e ledger.Entry) []byte {
	t.Helper()
	raw, err := m.emitter.Encode(e, m.policy(e), m.control.Clock().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestControlTakesTheNextNumber(t *testing.T) {
	c := newMemoryCell(t)
	control := c.openControl()
	m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	first := heartbeat()
	raw := m.encoded(t, first)
	index, err := control.Append(t.Context(), raw)
	c.must(err)
	if index != 2 {
		t.Fatalf("entry %d, want 2: after the policy and the start", index)
	}
	for _, when := range []string{"again", "after a restart"} {
		if got, err := control.Append(t.Context(), raw); err != nil || got != index {
			t.Errorf("the same entry %s: %d, %v; want %d", when, got, err, index)
		}
		c.must(control.Close())
		control = c.openControl()
	}
	m.control = control

	var wrong *custody.WrongSeq
	other := heartbeat()
	other.ControlSize = 2
	if _, err := control.Append(t.Context(), m.encoded(t, other)); !errors.As(err, &wrong) || wrong.Next != 2 || wrong.Taken == nil || *wrong.Taken != index {
		t.Errorf("another entry with a number that is taken: %v", err)
	}
	c.must(m.emitter.Committed(first))
	skipped := heartbeat()
	m.encoded(t, skipped)
	c.must(m.emitter.Committed(skipped))
	if _, err := control.Append(t.Context(), m.encoded(t, heartbeat())); !errors.As(err, &wrong) || wrong.Next != 2 || !strings.Contains(err.Error(), "expected number 2") {
		t.Errorf("a number too far: %v", err)
	}
	for _, bad := range []string{"", "{", `{"v":1,"type":"secret"}`} {
		if _, err := control.Append(t.Context(), []byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if control.err() != nil {
		t.Errorf("the holder stopped: %v", control.err())
	}
	next, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	receipt, err := next.Append(t.Context(), heartbeat())
	c.must(err)
	if receipt.Index != 4 || receipt.Seq != 1 || receipt.Emitter != "ledger" || receipt.Origin != testControl {
		t.Errorf("receipt %+v", receipt)
	}
	c.must(control.Flush(t.Context()))
	c.must(control.Close())
	if h := c.verifyAll(); h.control.hashes[4] != receipt.Hash {
		t.Error("the receipt names another entry")
	}
}

func TestControlRefuses(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	control := c.openControl()
	m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	batch := func(change func(*ledger.BatchEntry)) *ledger.BatchEntry {
		e := &ledger.BatchEntry{
			Origin: testEvents, CommitSeq: 1, Size: 1, Classes: []ledger.BatchClass{{Class: "default", Objects: 1, Records: 1, Lock: ledger.LockNone}},
			LeafRegions: []ledger.RegionCount{{Region: "aws:eu-central-1", Count: 1}},
		}
		change(e)
		return e
	}
	for _, test := range []struct {
		name  string
		entry ledger.Entry
		rule  custody.Rule
	}{
		{"a batch that leaves a hole", batch(func(e *ledger.BatchEntry) { e.First, e.Size = 1, 2 }), custody.RuleHole},
		{"a batch of another log", batch(func(e *ledger.BatchEntry) { e.Origin = "test/eu/events/9" }), custody.RuleUnlistedLog},
		{"a batch that counts wrongly", batch(func(e *ledger.BatchEntry) { e.Classes[0].Records = 2 }), custody.RuleRecords},
		{"a heartbeat that has seen too much", &ledger.HeartbeatEntry{ControlSize: 1000}, custody.RuleSeen},
		{"a second start", &ledger.NodeEntry{Event: ledger.NodeStart, Role: ledger.RoleWriter, Build: "test", Basis: ledger.NodeDeclared}, custody.RuleStart},
	} {
		var violation *custody.Violation
		if _, err := m.Append(t.Context(), test.entry); !errors.As(err, &violation) || violation.Rule != test.rule {
			t.Errorf("%s: %v, want a violation of %s", test.name, err, test.rule)
		}
	}
	// An entry from the future, of a component whose clock is ahead.
	future := heartbeat()
	raw, err := m.emitter.Encode(future, m.policy(future), clock.Now().Add(time.Hour).UnixMilli())
	c.must(err)
	if _, err := control.Append(t.Context(), raw); !strings.Contains(fmt.Sprint(err), "future") {
		t.Errorf("an entry from the future: %v", err)
	}
	// None of it took a number.
	receipt, err := m.Append(t.Context(), heartbeat())
	c.must(err)
	if receipt.Seq != 1 {
		t.Errorf("number %d, want 1", receipt.Seq)
	}
	c.must(control.Close())
	c.verifyAll()
}

// An entry whose answer did not come is in the log, or not, or not yet. Its component goes on in every case.
func TestComponentGoesOnAfterAnUnansweredEntry(t *testing.T) {
	for _, committed := range []bool{true, false} {
		t.Run(fmt.Sprintf("committed %v", committed), func(t *testing.T) {
			c := newMemoryCell(t)
			locked, commit := storetest.NewFaulty(c.locked), newBarrier()
			c.locked = locked
			control := c.openControl()
			m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
			c.must(err)
			ctx, cancel := context.WithCancel(t.Context())
			if committed {
				locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
					if op == storetest.OpCreate && strings.Contains(key, "/commit/") {
						cancel() // the caller gives up while its entry is on its way
						commit.pass()
					}
					return storetest.Pass
				})
			} else {
				cancel()
			}
			if _, err := m.Append(ctx, heartbeat()); !errors.Is(err, context.Canceled) {
				t.Fatalf("append: %v", err)
			}
			locked.SetHook(nil)
			close(commit.open)
			for want := uint64(2); want < 5; want++ {
				receipt, err := m.Append(t.Context(), heartbeat())
				c.must(err)
				if receipt.Seq != want {
					t.Errorf("number %d, want %d", receipt.Seq, want)
				}
			}
			c.must(control.Close())
			if h := c.verifyAll(); len(h.control.leaves) != 6 {
				t.Errorf("%d entries", len(h.control.leaves))
			}
		})
	}
}

// barrier is where goroutines wait until the test lets them go on.
type barrier struct{ open chan struct{} }

func newBarrier() *barrier { return &barrier{make(chan struct{})} }

func (b *barrier) pass() { <-b.open }

// Entries of many callers share commits; every one is answered with its own index.
func TestManyComponentsAppend(t *testing.T) {
	const callers, each = 8, 25
	c := newMemoryCell(t)
	control := c.openControl()
	m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	var mu sync.Mutex
	answered := make(map[uint64]ledger.Hash)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				receipt, err := m.Append(context.Background(), heartbeat())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answered[receipt.Index] = receipt.Hash
				mu.Unlock()
			}
		})
	}
	for range 5 {
		c.must(control.Flush(t.Context()))
	}
	all.Wait()
	c.must(control.Flush(t.Context()))
	c.must(control.Close())
	h := c.verifyAll()
	if len(answered) != callers*each {
		t.Errorf("%d different answers", len(answered))
	}
	for index, hash := range answered {
		if h.control.hashes[index] != hash {
			t.Errorf("the entry that was answered with %d is not there", index)
		}
	}
	if h.control.published != int64(len(h.control.leaves)) {
		t.Errorf("published %d of %d entries", h.control.published, len(h.control.leaves))
	}
}

// A clock that is set back far does not keep entries out: neither commits nor entries go back with it.
func TestControlGoesOnWhenTheClockIsSetBack(t *testing.T) {
	c := newMemoryCell(t)
	clock := c.at(day)
	control := c.openControl()
	m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	clock.add(-24 * time.Hour)
	_, err = m.Append(t.Context(), heartbeat())
	c.must(err)
	c.must(control.Close())
	control = c.openControl()
	if m, err = control.Start(t.Context(), "ledger", ledger.RoleWriter); err == nil {
		_, err = m.Append(t.Context(), heartbeat())
	}
	c.must(err)
	c.must(control.Close())
	c.verifyAll()
}
