package custody

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
)

// A Key is a signing key of a log, as a key entry announced it.
type Key struct {
	VKey  string
	KID   string
	Index uint64 // of the entry
}

// judgeKey holds the keys of logs to the policy: the verifier key is well-formed, is the log's by name, is the one that
// the policy lists, and is created once. Keys of other purposes are facts that claims use.
func (r *Replay) judgeKey(e *ledger.KeyEntry, document *ledger.PolicyDocument) error {
	if e.Purpose != ledger.KeyLog {
		return nil
	}
	verifier, err := note.NewVerifier(e.VKey)
	if err != nil {
		v := r.violation(e, I3, RuleKey, "a verifier key", err.Error())
		v.cause = err
		return v
	}
	switch listed, ok := document.Log(e.Origin); {
	case verifier.Name() != e.Origin:
		return r.violation(e, I3, RuleKey, "a key named "+e.Origin, verifier.Name())
	case e.KID != fmt.Sprintf("%08x", verifier.KeyHash()):
		return r.violation(e, I3, RuleKey, fmt.Sprintf("kid %08x", verifier.KeyHash()), e.KID)
	case !ok:
		return r.violation(e, I3, RuleKey, "a log that the policy lists", e.Origin)
	case listed != e.VKey && (e.Event == ledger.KeyCreate || e.Event == ledger.KeyRotate):
		return r.violation(e, I3, RuleKey, "the policy's key "+listed, e.VKey)
	case e.Event == ledger.KeyCreate && len(r.keys[e.Origin]) > 0:
		return r.violation(e, I3, RuleKey, "a log without a key", e.Origin+" with one")
	}
	return nil
}

func (r *Replay) takeKey(e *ledger.KeyEntry, index uint64) {
	if e.Purpose == ledger.KeyLog && (e.Event == ledger.KeyCreate || e.Event == ledger.KeyRotate) {
		r.keys[e.Origin] = append(r.keys[e.Origin], Key{VKey: e.VKey, KID: e.KID, Index: index})
	}
}

// Keys returns the signing keys of a log in the order in which they were announced; the last is the one in use.
func (r *Replay) Keys(origin string) []Key { return slices.Clone(r.keys[origin]) }

// KeyOrigins lists the logs that have a key, in ascending order.
func (r *Replay) KeyOrigins() []string { return slices.Sorted(maps.Keys(r.keys)) }
