// Package custody replays the control log of a cell: the record of how its audit data was handled.
//
// In go the entries of one control log, in order, and the policy documents that they cite; out comes, for every entry,
// whether the log may hold it there, and at any point the state that the entries have led to: policies, components,
// keys, the last batch of every events log, open intents. The holder of the log asks Check before it commits an entry
// and a verifier calls Apply on every entry of a log, so that nothing is committed which a verifier would refuse.
//
// The package is pure: no I/O, no clock, no randomness, no goroutines. A Replay is a value of its caller and not safe
// for concurrent use. It holds no entries, only what rules need; after a crash it is built again from the log.
package custody

import (
	"crypto/sha256"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// A Replay is the state of a control log after some of its entries.
type Replay struct {
	origin   string
	size     uint64 // entries applied
	counts   map[ledger.EntryType]uint64
	policies policies
	emitters map[string]*emitter
	epochs   map[string]string // every epoch ever begun, to its emitter
	logs     map[string]*eventsLog
	keys     map[string][]Key
	intents  map[uint64]intent
	open     map[ledger.EntryType]map[uint64]bool // gaps and findings, by the index of the entry that opened them
}

// NewReplay returns the state of the empty control log of that origin.
func NewReplay(origin string) *Replay {
	return &Replay{
		origin:   origin,
		counts:   map[ledger.EntryType]uint64{},
		policies: policies{supplied: map[ledger.Hash]*ledger.PolicyDocument{}},
		emitters: map[string]*emitter{},
		epochs:   map[string]string{},
		logs:     map[string]*eventsLog{},
		keys:     map[string][]Key{},
		intents:  map[uint64]intent{},
		open:     map[ledger.EntryType]map[uint64]bool{ledger.EntryGap: {}, ledger.EntryFinding: {}},
	}
}

// Check tells whether e may be committed as the next entry, at now (milliseconds since 1970, of the holder's clock). It
// changes nothing. It returns a *Repeat where the log holds the entry already, a *WrongSeq or another *Violation where
// a verifier would object, and an error of ledger.EncodeEntry for values that have no encoding.
//
// What the caller commits must be ledger.AppendEntry's encoding of e; once it is durable, Apply takes it in.
func (r *Replay) Check(e ledger.Entry, now int64) error {
	raw, err := ledger.EncodeEntry(e)
	if err != nil {
		return &Violation{Check: I3, Rule: RuleEncoding, Index: r.size, Expected: "a control entry", Got: err.Error(), cause: err}
	}
	integrity, claim := r.judge(e, sha256.Sum256(raw), &now)
	if integrity != nil {
		return integrity
	}
	return claim
}

// Apply takes in the entry at index, which must be the next. A *Violation of integrity leaves the state unchanged: the
// log is invalid there. A violation of a claim (Check.Integrity false) is returned after the entry was taken in, so
// that a verifier can note it and go on.
//
// Nothing is known of the time when the entry was written, so I4 is for the caller to judge from its anchors.
func (r *Replay) Apply(index uint64, raw []byte) error {
	if index != r.size {
		return fmt.Errorf("control log %s: entry %d was applied where %d is next", r.origin, index, r.size)
	}
	e, err := ledger.ParseEntry(raw)
	if err != nil {
		return &Violation{Check: I3, Rule: RuleEncoding, Index: index, Expected: "a control entry", Got: err.Error(), cause: err}
	}
	hash := sha256.Sum256(raw)
	integrity, claim := r.judge(e, hash, nil)
	if integrity != nil {
		return integrity
	}
	r.take(e, hash)
	return claim
}

// judge makes all checks of an entry. A *Repeat counts as a violation of integrity: a log holds no entry twice.
func (r *Replay) judge(e ledger.Entry, hash ledger.Hash, now *int64) (integrity, claim error) {
	if r.size == 0 {
		if err := r.judgeFirst(e); err != nil {
			return err, nil
		}
	}
	if err := r.judgeSequence(e, hash); err != nil {
		return err, nil
	}
	policy, err := r.judgePolicy(e)
	if err != nil {
		return err, nil
	}
	common := e.Common()
	if skew := int64(policy.document.SkewMs); now != nil && common.Time > *now+skew {
		return r.violation(e, I4, RuleFuture, "a time up to "+formatTime(*now+skew), formatTime(common.Time)), nil
	}
	role, declared := policy.document.Emitter(common.Emitter)
	if !declared {
		return r.violation(e, I3, RuleDeclared, "an emitter that the policy declares", common.Emitter), nil
	}
	if role == ledger.RoleInit && e.Type() != ledger.EntryPolicy && e.Type() != ledger.EntryKey {
		return r.violation(e, I3, RuleInitType, "policy or key", string(e.Type())), nil
	}
	switch e := e.(type) {
	case *ledger.NodeEntry:
		if e.Role != role {
			return r.violation(e, I3, RuleRole, string(role), string(e.Role)), nil
		}
	case *ledger.KeyEntry:
		return r.judgeKey(e, policy.document), nil
	case *ledger.HeartbeatEntry:
		if e.ControlSize > r.size {
			return r.violation(e, I2, RuleSeen, fmt.Sprintf("a control_size up to %d", r.size), fmt.Sprint(e.ControlSize)), nil
		}
	case *ledger.BatchEntry:
		return nil, r.judgeBatch(e, policy.document)
	case *ledger.AccessEntry:
		return nil, r.judgeAccess(e)
	case *ledger.GapEntry:
		return nil, r.judgeFollowing(e, C10, e.Of)
	case *ledger.FindingEntry:
		return nil, r.judgeFollowing(e, C8, e.Of)
	}
	return nil, nil
}

// judgeFirst holds entry 0 to what begins a log: init puts a policy in force, and cites it.
func (r *Replay) judgeFirst(e ledger.Entry) error {
	first, ok := e.(*ledger.PolicyEntry)
	if !ok {
		return r.violation(e, I3, RuleFirst, "a policy", string(e.Type()))
	}
	if document := r.policies.supplied[first.Hash]; document != nil {
		if role, _ := document.Emitter(first.Emitter); role != ledger.RoleInit {
			return r.violation(e, I3, RuleFirst, "an emitter with the role init", first.Emitter)
		}
	}
	return nil
}

// take brings the state up to date with an entry that was judged.
func (r *Replay) take(e ledger.Entry, hash ledger.Hash) {
	index := r.size
	r.size++
	r.counts[e.Type()]++
	r.takeSequence(e, hash, index)
	switch e := e.(type) {
	case *ledger.PolicyEntry:
		r.policies.take(e, index)
	case *ledger.KeyEntry:
		r.takeKey(e, index)
	case *ledger.BatchEntry:
		r.takeBatch(e, index)
	case *ledger.AccessEntry:
		r.takeAccess(e, index)
	case *ledger.GapEntry:
		r.takeFollowing(e, e.Of, e.State == ledger.GapClosed, index)
	case *ledger.FindingEntry:
		r.takeFollowing(e, e.Of, e.State == ledger.FindingResolved, index)
	}
}

func (r *Replay) violation(e ledger.Entry, check Check, rule Rule, expected, got string) *Violation {
	return &Violation{Check: check, Rule: rule, Index: r.size, Emitter: e.Common().Emitter, Expected: expected, Got: got}
}

// Origin is the control log's.
func (r *Replay) Origin() string { return r.origin }

// Size is how many entries were applied, and so the index of the next.
func (r *Replay) Size() uint64 { return r.size }

// Count is how many entries of a type were applied.
func (r *Replay) Count(t ledger.EntryType) uint64 { return r.counts[t] }
