package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"domicile.dev/domicile/ledger"
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
	Err   error  // wraps ErrNotFound, ErrNotProvable, ErrAltered, log.ErrNoRecord, ErrInvalid, or says what failed
}

// Proofs is what one cell says when events are to be proven.
type Proofs struct {
	Proofs  []Proof // in the order of the refs
	State   State
	Receipt Receipt
}

// check says what cannot be asked.
func (o *ProofOptions) check() error {
	o.Format = cmp.Or(o.Format, FormatBundle)
	switch {
	case o.Format != FormatBundle && o.Format != FormatProof:
		return fmt.Errorf("%w: format %q: use %s or %s", ErrInvalid, string(o.Format), FormatBundle, FormatProof)
	case o.Disclose != nil && o.Hide != nil:
		return fmt.Errorf("%w: disclose and hide exclude each other", ErrInvalid)
	case o.Format != FormatBundle && o.masked():
		return fmt.Errorf("%w: a tlog-proof holds no fields: disclose and hide are for bundles", ErrInvalid)
	}
	return nil
}

func checkRefs(refs []Ref) error {
	if len(refs) == 0 || len(refs) > MaxProofs {
		return fmt.Errorf("%w: %d proofs in one call: ask for 1 to %d", ErrInvalid, len(refs), MaxProofs)
	}
	for _, ref := range refs {
		if (ref.UID == "") == (ref.Log == "") {
			return fmt.Errorf("%w: name an event by its uid, or by its log and index", ErrInvalid)
		}
		if ref.Log == "" {
			if err := checkUID(ref.UID); err != nil {
				return err
			}
		}
	}
	return nil
}

// normalizedRefs is what is asked for, in one spelling.
func normalizedRefs(refs []Ref, o *ProofOptions) string {
	var list []string
	for _, r := range refs {
		list = append(list, fmt.Sprintf("%q %q %d", r.UID, r.Log, r.Index))
	}
	slices.Sort(list)
	return fmt.Sprintf("%s %q %q %q", o.Format, o.Disclose, o.Hide, slices.Compact(list))
}

// Prove proves events, at most MaxProofs. One that cannot be proven does not keep the others from it: its Proof says
// why. An error of Prove itself means that nothing was handed over.
func (c *Cell) Prove(ctx context.Context, who Asker, refs []Ref, o ProofOptions) (*Proofs, error) {
	if err := errors.Join(o.check(), checkRefs(refs)); err != nil {
		return nil, err
	}
	what := Reading{Op: ledger.OpProof, Content: ledger.ContentNone, Query: normalizedRefs(refs, &o)}
	if o.Format == FormatBundle {
		what.Content = ledger.ContentFull
	}
	if o.masked() {
		what.Content, what.Decision = ledger.ContentMasked, ledger.AllowMasked
	}
	access, err := c.Intend(ctx, who, what)
	if err != nil {
		return nil, err
	}
	p := &proving{cell: c, options: &o, provers: make(map[string]*prover)}
	defer func() { access.Done(p.handed()) }()
	result := &Proofs{Receipt: access.Receipt, Proofs: p.prove(ctx, refs)}
	if result.State, err = c.state(ctx, p.searcher, p.without); err != nil {
		p.given = nil
		return nil, err
	}
	return result, nil
}

// proving is one call of Prove.
type proving struct {
	cell     *Cell
	options  *ProofOptions
	searcher Searcher
	without  error // why there is no index

	provers map[string]*prover // by log; for the call, as tile readers are
	given   map[place]given
}

type place struct {
	log   string
	index uint64
}

// given is what was handed over of an event.
type given struct {
	leaf  []byte
	bytes int
}

func (p *proving) prove(ctx context.Context, refs []Ref) []Proof {
	p.searcher, p.without = p.cell.index()
	p.given = make(map[place]given)
	proofs := make([]Proof, len(refs))
	sought := p.find(ctx, refs)
	// Neighbours share bundles, tiles and payloads.
	order := make([]int, len(refs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return comparePlaces(sought[i].first(), sought[j].first()) })
	for _, i := range order {
		proofs[i] = p.proveOne(ctx, refs[i], &sought[i])
	}
	return proofs
}

func comparePlaces(a, b place) int {
	return cmp.Or(strings.Compare(a.log, b.log), cmp.Compare(a.index, b.index))
}

// proveOne proves an event at the first of the places where it was found that holds.
func (p *proving) proveOne(ctx context.Context, ref Ref, s *sought) Proof {
	if s.err != nil {
		return Proof{Ref: ref, Err: s.err}
	}
	var first *Proof
	for i := range s.candidates {
		at := &s.candidates[i]
		proof := Proof{Ref: Ref{UID: ref.UID, Log: at.log, Index: at.index}}
		var leaf []byte
		proof.Bytes, leaf, proof.Err = p.bytes(ctx, ref.UID, at)
		if proof.Err == nil {
			g := p.given[at.place]
			p.given[at.place] = given{leaf, g.bytes + len(proof.Bytes)}
			return proof
		}
		if first == nil {
			first = &proof
		}
	}
	return *first
}

// bytes makes one proof.
func (p *proving) bytes(ctx context.Context, uid string, at *candidate) (result, leaf []byte, err error) {
	s := p.cell.shard(at.log)
	if s == nil {
		return nil, nil, fmt.Errorf("log %s: %w", at.log, ErrNoCell)
	}
	prover := p.provers[at.log]
	if prover == nil || at.index >= prover.batch.Size {
		if prover, err = p.cell.prover(ctx, s, at.index, p.options.Format == FormatBundle); err != nil {
			return nil, nil, err
		}
		p.provers[at.log] = prover
	}
	leaf, proof, err := prover.prove(ctx, at.index)
	if err != nil {
		return nil, nil, err
	}
	if p.options.Format == FormatProof {
		return proof.Append(nil), leaf, nil
	}
	line, rec, err := p.record(ctx, s, uid, at, leaf)
	if err != nil {
		return nil, nil, err
	}
	b := ledger.ProofBundle{Origin: at.log, Index: at.index, Leaf: leaf, Proof: proof.Append(nil), Anchor: prover.anchor, Record: line}
	if p.options.masked() {
		b.Record = nil
		if b.View, err = p.options.mask(rec); err != nil {
			return nil, nil, err
		}
	}
	return b.Append(nil), leaf, nil
}

// handed is what was handed over, in the order that the entry's set asks for.
func (p *proving) handed() Handed {
	h := Handed{Leaves: [][]byte{}}
	places := make([]place, 0, len(p.given))
	for at := range p.given {
		places = append(places, at)
	}
	slices.SortFunc(places, comparePlaces)
	for _, at := range places {
		g := p.given[at]
		h.Leaves = append(h.Leaves, g.leaf)
		if p.options.Format == FormatBundle {
			h.Records++
			h.Bytes += uint64(g.bytes)
		}
	}
	if len(h.Leaves) == 0 {
		h.Leaves = nil
	}
	return h
}
