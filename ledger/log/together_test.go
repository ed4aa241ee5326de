package log

import (
	"context"
	"errors"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store/storetest"
)

// Entries that are given together share commits; one that is refused keeps none of the others from the log.
func TestComponentAppendsTogether(t *testing.T) {
	c := newMemoryCell(t)
	control := c.openControl()
	m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	before := control.head.Seq

	const n, bad = 2*maxTogether + 5, maxTogether + 7
	var entries []ledger.Entry
	for i := range n {
		e := heartbeat()
		if i == bad {
			e.ControlSize = 1 << 40
		}
		entries = append(entries, e)
	}
	results := m.AppendAll(t.Context(), entries...)
	seq := uint64(1)
	for i, r := range results {
		var violation *custody.Violation
		if i == bad {
			if !errors.As(r.Err, &violation) || violation.Rule != custody.RuleSeen {
				t.Errorf("entry %d: %v, want a violation of %s", i, r.Err, custody.RuleSeen)
			}
			continue
		}
		if r.Err != nil || r.Receipt.Seq != seq || r.Receipt.Index != seq+1 {
			t.Fatalf("entry %d: %+v, want number %d", i, r, seq)
		}
		seq++
	}
	if commits := control.head.Seq - before; commits != 3 { // 64, those before the bad one, those behind it
		t.Errorf("%d commits for %d entries", commits, n)
	}
	c.must(control.Flush(t.Context()))
	c.must(control.Close())
	h := c.verifyAll()
	for i, r := range results {
		if i != bad && h.control.hashes[r.Receipt.Index] != r.Receipt.Hash {
			t.Errorf("the receipt of entry %d names another entry", i)
		}
	}
}

// When the caller gives up while entries are on their way, the next one finds out what became of all of them.
func TestComponentGoesOnAfterUnansweredEntries(t *testing.T) {
	for _, when := range []string{"before they are submitted", "while they are committed"} {
		t.Run(when, func(t *testing.T) {
			c := newMemoryCell(t)
			locked, commit := storetest.NewFaulty(c.locked), newBarrier()
			c.locked = locked
			control := c.openControl()
			m, err := control.Start(t.Context(), "ledger", ledger.RoleWriter)
			c.must(err)
			ctx, cancel := context.WithCancel(t.Context())
			if strings.HasPrefix(when, "before") {
				cancel()
			} else {
				locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
					if op == storetest.OpCreate && strings.Contains(key, "/commit/") {
						cancel()
						commit.pass()
					}
					return storetest.Pass
				})
			}
			for i, r := range m.AppendAll(ctx, heartbeat(), heartbeat(), heartbeat()) {
				if !errors.Is(r.Err, context.Canceled) {
					t.Fatalf("entry %d: %v", i, r.Err)
				}
			}
			locked.SetHook(nil)
			close(commit.open)
			receipt, err := m.Append(t.Context(), heartbeat())
			c.must(err)
			if receipt.Seq != 4 {
				t.Errorf("number %d, want 4", receipt.Seq)
			}
			c.must(control.Close())
			if h := c.verifyAll(); len(h.control.leaves) != 6 {
				t.Errorf("%d entries", len(h.control.leaves))
			}
		})
	}
}
