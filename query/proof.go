package query

import (
	"context"
	"errors"
)

// A Ref names an event: by its UID, or by its log and the index of its leaf there.
type Ref struct {
	UID   string
	Log   string // where UID is ""
	Index uint64
}

// A Format is how a proof is written.
type Format string

// Formats of proofs.
const (
	FormatBundle Format = "bundle"     // record or view, leaf, proofs, anchor: all that a verifier needs besides a policy
	FormatProof  Format = "tlog-proof" // the C2SP proof of the leaf alone, no event data
)

// ProofOptions say how proofs are made.
type ProofOptions struct {
	Format Format // "" means FormatBundle

	// JSON Pointers of fields, for a masked view instead of the record: those alone are shown, or all but those. A
	// trailing /* takes everything below. Both at once cannot be asked for.
	Disclose, Hide []string
}

// A Proof is one event's, or why there is none.
type Proof struct {
	Ref   Ref    // as it was asked for, with Log and Index filled in once the event was found
	Bytes []byte // the bundle's JSON (ledger.ProofBundle) without a final newline, or the text of the tlog-proof
	Err   error  // wraps ErrNotFound, ErrNotProvable, ErrAltered, log.ErrNoRecord, ErrInvalid, or an outage
}

// Proofs is what one cell says when events are to be proven.
type Proofs struct {
	Proofs  []Proof // in the order of the refs
	State   State
	Receipt Receipt
}

// Prove proves events, at most MaxProofs. One that cannot be proven does not keep the others from it.
func (c *Cell) Prove(ctx context.Context, who Asker, refs []Ref, o ProofOptions) (*Proofs, error) {
	return nil, errors.New("not built yet")
}
