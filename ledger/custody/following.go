package custody

import (
	"fmt"
	"maps"
	"slices"

	"domicile.dev/domicile/ledger"
)

// An intent is an access that was announced and not yet reported done: whose, and what the report must repeat.
type intent struct {
	emitter      string
	op           ledger.AccessOp
	principal    ledger.Hash
	hasPrincipal bool
	role         string
	purpose      ledger.AccessPurpose
	recipient    ledger.Recipient
	decision     ledger.Decision
	rule         string
	query        ledger.Hash
	hasQuery     bool
}

func intentOf(e *ledger.AccessEntry) intent {
	i := intent{emitter: e.Emitter, op: e.Op, role: e.Role, purpose: e.Purpose, recipient: e.Recipient, decision: e.Decision, rule: e.Rule}
	if e.Principal != nil {
		i.principal, i.hasPrincipal = *e.Principal, true
	}
	if e.Query != nil {
		i.query, i.hasQuery = *e.Query, true
	}
	return i
}

// judgeAccess holds a report to its intent: of the same emitter (of a later epoch too: a component that crashed may
// report what it had announced), open, and the same in what was decided. What was handed over may be less than
// announced, or masked where it was to be full.
func (r *Replay) judgeAccess(e *ledger.AccessEntry) error {
	if e.Phase != ledger.AccessDone {
		return nil
	}
	announced, ok := r.intents[*e.Of]
	switch {
	case !ok:
		return r.violation(e, C8, RuleIntent, "of an open intent", fmt.Sprint(*e.Of))
	case announced.emitter != e.Emitter:
		return r.violation(e, C8, RuleIntent, "of an intent of its own", fmt.Sprintf("%d of %s", *e.Of, announced.emitter))
	case announced != intentOf(e):
		return r.violation(e, C8, RuleIntentChanged, fmt.Sprintf("what intent %d says", *e.Of), "something else")
	}
	return nil
}

func (r *Replay) takeAccess(e *ledger.AccessEntry, index uint64) {
	if e.Phase == ledger.AccessIntent {
		r.intents[index] = intentOf(e)
		return
	}
	if announced, ok := r.intents[*e.Of]; ok && announced.emitter == e.Emitter {
		delete(r.intents, *e.Of)
	}
}

// OpenIntents lists the indexes of the intents that no report has followed, in ascending order.
func (r *Replay) OpenIntents() []uint64 { return slices.Sorted(maps.Keys(r.intents)) }

// judgeFollowing holds a gap or finding that changes one to the entry that opened it.
func (r *Replay) judgeFollowing(e ledger.Entry, check Check, of *uint64) error {
	if of != nil && !r.open[e.Type()][*of] {
		return r.violation(e, check, RuleFollowsOn, fmt.Sprintf("of a %s that is open", e.Type()), fmt.Sprint(*of))
	}
	return nil
}

// takeFollowing opens a gap or finding, or ends it. Explained gaps and exceptions stay: they restore nothing.
func (r *Replay) takeFollowing(e ledger.Entry, of *uint64, ends bool, index uint64) {
	if of == nil {
		r.open[e.Type()][index] = true
	} else if ends {
		delete(r.open[e.Type()], *of)
	}
}

// Open lists the indexes of the entries that opened a gap or a finding which has not ended, in ascending order.
func (r *Replay) Open(t ledger.EntryType) []uint64 { return slices.Sorted(maps.Keys(r.open[t])) }
