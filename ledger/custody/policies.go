package custody

import (
	"crypto/sha256"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// policies is the chain of policies that a log has put in force, oldest first. Their effective times do not decrease,
// so at most one is in force at any time. Policies are few; all of them are kept, because an entry may be dated before
// the newest took effect.
type policies struct {
	chain    []policy
	supplied map[ledger.Hash]*ledger.PolicyDocument
}

type policy struct {
	hash      ledger.Hash
	effective int64
	index     uint64
	document  *ledger.PolicyDocument
}

// at returns the policy in force at a time: the last whose effective time has come, else the first.
func (p *policies) at(ms int64) policy {
	for i := len(p.chain) - 1; i > 0; i-- {
		if p.chain[i].effective <= ms {
			return p.chain[i]
		}
	}
	return p.chain[0]
}

func (p *policies) take(e *ledger.PolicyEntry, index uint64) {
	p.chain = append(p.chain, policy{hash: e.Hash, effective: e.Effective, index: index, document: p.supplied[e.Hash]})
}

// Supply hands over the bytes of a policy document, before the entry that names it is checked or applied. They are
// known by their hash, so a document that no entry names does no harm.
func (r *Replay) Supply(document []byte) error {
	parsed, err := ledger.ParsePolicyDocument(document)
	if err != nil {
		return err
	}
	r.policies.supplied[sha256.Sum256(document)] = parsed
	return nil
}

// judgePolicy holds an entry to I6 and returns the policy under which the rest of it is judged: the one in force at the
// entry's time, or for entry 0 the one that it brings.
func (r *Replay) judgePolicy(e ledger.Entry) (policy, error) {
	brought, brings := e.(*ledger.PolicyEntry)
	c := e.Common()
	var inForce policy
	if r.size > 0 {
		inForce = r.policies.at(c.Time)
		if c.Policy != inForce.hash {
			return policy{}, r.violation(e, I6, RulePolicy, fmt.Sprintf("policy %x", inForce.hash), fmt.Sprintf("%x", c.Policy))
		}
	}
	if !brings {
		return inForce, nil
	}
	return r.judgeBrought(brought, inForce)
}

func (r *Replay) judgeBrought(e *ledger.PolicyEntry, inForce policy) (policy, error) {
	document := r.policies.supplied[e.Hash]
	switch {
	case e.Object != ledger.AttachmentKey(fmt.Sprintf("%x", e.Hash)):
		return policy{}, r.violation(e, I6, RuleDocument, "the object of its hash", e.Object)
	case document == nil:
		v := r.violation(e, I6, RuleDocument, fmt.Sprintf("the document %x", e.Hash), "none")
		v.cause = ErrNoDocument
		return policy{}, v
	case document.ControlOrigin() != r.origin:
		return policy{}, r.violation(e, I6, RuleDocument, "a document for "+r.origin, "one for "+document.ControlOrigin())
	}
	if _, ok := document.Log(r.origin); !ok {
		return policy{}, r.violation(e, I6, RuleDocument, "a document that lists "+r.origin, "one that does not")
	}
	if r.size == 0 {
		switch {
		case e.Policy != e.Hash:
			return policy{}, r.violation(e, I6, RulePolicy, fmt.Sprintf("policy %x, its own", e.Hash), fmt.Sprintf("%x", e.Policy))
		case e.Supersedes != nil:
			return policy{}, r.violation(e, I6, RuleSupersedes, "null", fmt.Sprintf("%x", *e.Supersedes))
		case e.Effective > e.Time:
			return policy{}, r.violation(e, I6, RuleEffective, "in force at once", formatTime(e.Effective))
		}
		inForce = policy{hash: e.Hash, document: document}
	} else {
		newest := r.policies.chain[len(r.policies.chain)-1]
		switch {
		case e.Supersedes == nil:
			return policy{}, r.violation(e, I6, RuleSupersedes, fmt.Sprintf("%x", newest.hash), "null")
		case *e.Supersedes != newest.hash:
			return policy{}, r.violation(e, I6, RuleSupersedes, fmt.Sprintf("%x", newest.hash), fmt.Sprintf("%x", *e.Supersedes))
		case e.Effective < newest.effective:
			return policy{}, r.violation(e, I6, RuleEffective, "not before "+formatTime(newest.effective)+", as the policy before it", formatTime(e.Effective))
		}
	}
	if earliest := e.Time - int64(inForce.document.SkewMs); e.Effective < earliest {
		return policy{}, r.violation(e, I6, RuleEffective, "not before "+formatTime(earliest), formatTime(e.Effective))
	}
	return inForce, nil
}

// PolicyAt returns the policy in force at a time (milliseconds since 1970), as far as the log has been replayed. Before
// entry 0 there is none.
func (r *Replay) PolicyAt(ms int64) (ledger.Hash, *ledger.PolicyDocument, bool) {
	if len(r.policies.chain) == 0 {
		return ledger.Hash{}, nil, false
	}
	p := r.policies.at(ms)
	return p.hash, p.document, true
}

// NewestPolicy returns the policy logged last, which the next must supersede; it may not be in force yet.
func (r *Replay) NewestPolicy() (ledger.Hash, *ledger.PolicyDocument, bool) {
	if len(r.policies.chain) == 0 {
		return ledger.Hash{}, nil, false
	}
	p := r.policies.chain[len(r.policies.chain)-1]
	return p.hash, p.document, true
}

// GreatestSkewMs is the greatest skew that a policy of the log has named, in milliseconds.
func (r *Replay) GreatestSkewMs() (ms uint64) {
	for _, p := range r.policies.chain {
		ms = max(ms, p.document.SkewMs)
	}
	return ms
}
