package log

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/store/storetest"
)

// audited lets the auditor, who trusts the control log's key only, look at a cell in a directory.
func (c *cell) audited() {
	c.t.Helper()
	report, err := audit.Audit(context.Background(), audit.Cell{
		Locked: audit.Dir(filepath.Join(c.path(), "locked")), Open: audit.Dir(filepath.Join(c.path(), "open")),
	}, audit.Options{
		Policies: []ledger.Policy{{Logs: []ledger.TrustedLog{{VKey: c.keys[testControl][1]}}, Quorum: "none"}}, Keys: c.payloadKeys,
	})
	c.must(err)
	if report.Result != ledger.ResultVerified {
		c.t.Fatalf("the audit says %s: %+v", report.Result, report.Findings)
	}
}

// place is a kind of operation that can fail, as hooks see it: the name of the store before the key.
type place struct {
	op     storetest.Op
	prefix string
}

func (p place) match(store string, op storetest.Op, key string) bool {
	return p.op == op && strings.HasPrefix(store+key, p.prefix)
}

// faults makes the stores of a cell fail where hook says so, once it is armed.
type faults struct {
	armed atomic.Bool
	hook  func(store string, op storetest.Op, key string) storetest.Outcome
}

func (f *faults) of(name string) storetest.Hook {
	return func(op storetest.Op, key string) storetest.Outcome {
		if !f.armed.Load() {
			return storetest.Pass
		}
		return f.hook(name, op, key)
	}
}

// wrap puts the faults around the stores that the cell has now.
func (f *faults) wrap(c *cell) {
	locked, open := storetest.NewFaulty(c.locked), storetest.NewFaulty(c.open)
	locked.SetHook(f.of("locked/"))
	open.SetHook(f.of("open/"))
	c.locked, c.open, c.payloadKeys = locked, open, &faultyKeys{c.payloadKeys, f.of("keys/")}
}

// Every step that makes something durable fails, without or after having been done, once or for as long as this writer
// lives. Whoever was answered finds the event in the log, under the index of the answer; whoever was not sends it again,
// and it is there once.
func TestEveryStepFails(t *testing.T) {
	const create, replace = storetest.OpCreate, storetest.OpReplace
	type moment int
	const (
		early moment = 1 << iota // the first append of a writer, which reads its window and logs that
		late                     // a later one
	)
	for _, step := range []struct {
		name  string
		at    place
		stops moment // when an append cannot succeed while the step never does
		when  moment
	}{
		{"payload", place{create, "locked/" + testEvents + "/payload/"}, early | late, early | late},
		{"wrapped key", place{create, "keys/" + testEvents + "/payload/"}, early | late, early | late},
		{"commit", place{create, "locked/" + testEvents + "/commit/"}, early | late, early | late},
		{"bundle", place{create, "open/" + testEvents + "/tile/entries/"}, 0, early | late},
		{"tile", place{create, "open/" + testEvents + "/tile/0/"}, 0, early | late},
		{"tile of the second level", place{create, "open/" + testEvents + "/tile/1/"}, 0, early | late},
		{"archived checkpoint", place{create, "locked/" + testEvents + "/checkpoints/"}, 0, early | late},
		{"checkpoint", place{replace, "open/" + testEvents + "/checkpoint"}, 0, early | late},
		{"access entry", place{create, "locked/" + testControl + "/commit/"}, early, early},
		{"batch entry", place{create, "locked/" + testControl + "/commit/"}, 0, late},
		{"control bundle", place{create, "open/" + testControl + "/tile/entries/"}, 0, early | late},
		{"archived control checkpoint", place{create, "locked/" + testControl + "/checkpoints/"}, 0, early | late},
		{"control checkpoint", place{replace, "open/" + testControl + "/checkpoint"}, 0, early | late},
	} {
		for name, outcome := range map[string]storetest.Outcome{"not done": storetest.FailBefore, "done": storetest.FailAfter} {
			for often, persistent := range map[string]bool{"once": false, "always": true} {
				for which, when := range map[string]moment{"first append": early, "later append": late} {
					if when&step.when == 0 {
						continue
					}
					t.Run(step.name+"/"+name+"/"+often+"/"+which, func(t *testing.T) {
						t.Parallel()
						f := newFailing(t, when == late)
						var failed atomic.Int32
						f.hook = func(store string, op storetest.Op, key string) storetest.Outcome {
							if step.at.match(store, op, key) && (failed.Add(1) == 1 || persistent) {
								return outcome
							}
							return storetest.Pass
						}
						// What fails without being done stops the append if it comes before the commit, and its publication
						// if it comes after. What is done is found done.
						// A wrapped key is stored again as if for the first time, so its answer can be lost for ever.
						hopeless := persistent && (outcome == storetest.FailBefore || strings.HasPrefix(step.at.prefix, "keys/"))
						f.session(hopeless && step.stops&when != 0, hopeless)
						if failed.Load() == 0 {
							t.Fatal("nothing failed: the step was not reached")
						}
						f.afterwards()
					})
				}
			}
		}
	}
}

// The commit was made, its answer is lost, and what is there cannot be read: the writer stops, nobody knows, the next
// one finds it.
func TestOutcomeOfCommitStaysUnknown(t *testing.T) {
	for name, origin := range map[string]string{"events": testEvents, "control": testControl} {
		t.Run(name, func(t *testing.T) {
			f := newFailing(t, true)
			commit := "locked/" + origin + "/commit/"
			f.hook = func(store string, op storetest.Op, key string) storetest.Outcome {
				switch {
				case place{storetest.OpCreate, commit}.match(store, op, key):
					return storetest.FailAfter
				case place{storetest.OpGet, commit}.match(store, op, key):
					return storetest.FailBefore
				}
				return storetest.Pass
			}
			f.session(origin == testEvents, true)
			f.afterwards()
		})
	}
}

// failing is a cell whose stores fail during one session.
type failing struct {
	*cell
	faults
	later   bool // another append succeeds before the faults begin
	sent    []Message
	answers []Result // for what was answered
}

// newFailing makes a cell that holds 250 events, all settled; those that come next fill a tile.
func newFailing(t *testing.T, later bool) *failing {
	f := &failing{cell: newCell(t), later: later}
	control, events := f.openLogs()
	f.sendTo(events, 250)
	f.flushLogs(control, events)
	f.closeLogs(control, events)
	return f
}

func (f *failing) sendTo(events *Events, n int) {
	f.t.Helper()
	list := numbered(sourceA, uint64(len(f.sent)), some(len(f.sent), n, day)...)
	f.sent = append(f.sent, slices.Clone(list)...)
	f.answers = append(f.answers, f.append(events, list)...)
}

// session opens the logs, appends and publishes while stores fail. stops and unpublished say what must fail.
func (f *failing) session(stops, unpublished bool) {
	f.t.Helper()
	f.reopenStores()
	f.wrap(f.cell)
	control, events := f.openLogs()
	if f.later {
		f.sendTo(events, 1)
		f.flushLogs(control, events)
	}
	f.armed.Store(true)
	list := numbered(sourceA, uint64(len(f.sent)), some(len(f.sent), 20, day)...)
	f.sent = append(f.sent, slices.Clone(list)...)
	results, err := events.Append(context.Background(), list, true)
	switch {
	case stops && !errors.Is(err, storetest.ErrFault):
		f.t.Fatalf("append: %v, want the fault", err)
	case !stops && err != nil:
		f.t.Fatalf("append: %v", err)
	}
	f.answers = append(f.answers, results...)
	for try := 0; ; try++ { // a publication that failed is tried again
		err = errors.Join(events.Flush(context.Background()), control.Flush(context.Background()))
		if err == nil || try == 3 {
			break
		}
	}
	switch {
	case unpublished && !errors.Is(err, storetest.ErrFault):
		f.t.Fatalf("flush: %v, want the fault", err)
	case !unpublished && err != nil:
		f.t.Fatalf("flush: %v", err)
	}
	// A writer that stopped says why once more.
	for _, err := range []error{events.Close(), control.Close()} {
		if err != nil && !errors.Is(err, storetest.ErrFault) {
			f.t.Fatalf("close: %v", err)
		}
	}
	f.armed.Store(false)
	f.reopenStores()
	f.verifyAll()
}

// afterwards opens the logs on stores that work and sends everything again.
func (f *failing) afterwards() {
	f.t.Helper()
	control, events := f.openLogs()
	for round := range 2 {
		for i, r := range f.append(events, slices.Clone(f.sent)) {
			switch {
			case r.Status != Repeat && (round > 0 || i < len(f.answers) || r.Status != Committed):
				f.t.Fatalf("round %d, message %d of %d answered: %+v", round, i, len(f.answers), r)
			case i < len(f.answers) && (!r.Indexed || r.Index != f.answers[i].Index):
				f.t.Fatalf("message %d: %+v, was answered %+v", i, r, f.answers[i])
			}
		}
	}
	f.flushLogs(control, events)
	f.closeLogs(control, events)
	h := f.settled()
	if len(h.records) != len(f.sent) || len(h.byUID) != len(f.sent) {
		f.t.Fatalf("%d leaves of %d events, sent were %d", len(h.records), len(h.byUID), len(f.sent))
	}
	for i, r := range f.answers {
		if got := h.byUID[f.sent[i].UID]; !slices.Equal(got, []uint64{r.Index}) {
			f.t.Fatalf("message %d was answered with leaf %d, it is at %v", i, r.Index, got)
		}
	}
	f.audited()
}
