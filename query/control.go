package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// A ControlFilter says which entries of the control log are meant.
type ControlFilter struct {
	Types      []ledger.EntryType // any of them; none: all
	From, To   uint64             // indexes in [From, To); To 0: to the end
	Limit      int                // 1 to MaxEntries; 0 means 100
	Descending bool               // from the newest on
	Size       uint64             // published size at which they are listed and proven; 0: the newest
}

// A ControlEntry is one entry of a control log.
type ControlEntry struct {
	Index uint64
	Type  ledger.EntryType
	Entry []byte        // exact bytes: JSON
	Proof []ledger.Hash // inclusion proof at the page's checkpoint; nil where none was asked for
}

// A ControlPage is a part of a control log.
type ControlPage struct {
	Checkpoint ledger.Checkpoint
	Note       []byte // signed
	Entries    []ControlEntry

	// Next asks for the rest, at the same checkpoint: nil when all was looked at. A page may hold few entries, or none,
	// and have a rest: so many are looked at for one page, and no more.
	Next *ControlFilter
}

// maxLooked bounds how many entries are looked at for one page.
const maxLooked = 1 << 16

func (f *ControlFilter) check() (err error) {
	for _, t := range f.Types {
		if !slices.Contains(ledger.EntryTypes(), t) {
			return fmt.Errorf("%w: entries of type %q: there are %v", ErrInvalid, string(t), ledger.EntryTypes())
		}
	}
	if f.To != 0 && f.To < f.From {
		return fmt.Errorf("%w: entries from %d to %d", ErrInvalid, f.From, f.To)
	}
	f.Limit, err = limited("entries", f.Limit, defaultRows, MaxEntries)
	return err
}

// Control lists entries of the control log. They hold no event data, so that is not logged.
func (c *Cell) Control(ctx context.Context, f ControlFilter, proofs bool) (*ControlPage, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	cp, note, err := c.checkpointAt(ctx, c.control, f.Size)
	if err != nil {
		return nil, err
	}
	page := &ControlPage{Checkpoint: cp, Note: note}
	listing := listing{prover: c.at(ctx, &bound{checkpoint: cp, note: note}), types: f.Types, proofs: proofs}
	end := cp.Size
	if f.To != 0 {
		end = min(end, f.To)
	}
	from := min(f.From, end)
	for looked := 0; from < end; looked++ {
		if len(page.Entries) == f.Limit || looked == maxLooked {
			next := f
			next.From, next.To, next.Size = from, end, cp.Size
			page.Next = &next
			break
		}
		index := from
		if f.Descending {
			end--
			index = end
		} else {
			from++
		}
		e, ok, err := listing.entry(ctx, index)
		if err != nil {
			return nil, err
		}
		if ok {
			page.Entries = append(page.Entries, e)
		}
	}
	return page, nil
}

// listing reads entries of the control log at one size.
type listing struct {
	*prover
	types  []ledger.EntryType
	proofs bool
}

// entry returns an entry, if it is of a type that is meant.
func (l *listing) entry(ctx context.Context, index uint64) (e ControlEntry, ok bool, err error) {
	e.Index = index
	if e.Entry, err = l.leaf(ctx, index); err != nil {
		return e, false, err
	}
	e.Type = typeOf(e.Entry)
	if len(l.types) > 0 && !slices.Contains(l.types, e.Type) {
		return e, false, nil
	}
	if l.proofs {
		_, proof, err := l.prove(ctx, index)
		if err != nil {
			return e, false, err
		}
		if e.Proof = proof.Hashes; e.Proof == nil {
			e.Proof = []ledger.Hash{} // of the only entry
		}
	}
	return e, true, nil
}

// typeOf is the type that the bytes of an entry begin with. That they are a valid entry, the log has seen to.
func typeOf(entry []byte) ledger.EntryType {
	rest, _ := strings.CutPrefix(string(entry[:min(len(entry), 64)]), `{"v":1,"type":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return ledger.EntryType(name)
}

// checkpointAt returns the checkpoint of a published size of a log; 0 means the newest.
func (c *Cell) checkpointAt(ctx context.Context, view *logView, size uint64) (ledger.Checkpoint, []byte, error) {
	cp, note, err := view.checkpoint(ctx)
	if err != nil || size == 0 || size == cp.Size {
		return cp, note, err
	}
	cp, note, err = view.reader.Archived(ctx, size)
	if errors.Is(err, store.ErrNotFound) {
		return cp, nil, fmt.Errorf("%w: log %s has no checkpoint of size %d", ErrInvalid, view.reader.Origin(), size)
	}
	return cp, note, err
}

// A ConsistencyProof shows that a log only grew.
type ConsistencyProof struct {
	Origin   string
	From, To uint64        // sizes
	Hashes   []ledger.Hash // RFC 6962, section 2.1.2
	Note     []byte        // the signed checkpoint of To; nil where that size was never published
}

// Consistency proves that a log of the cell at size to begins with what it was at size from. to 0 means the newest
// published size. The sizes need not have been published themselves.
func (c *Cell) Consistency(ctx context.Context, origin string, from, to uint64) (*ConsistencyProof, error) {
	view, err := c.view(origin)
	if err != nil {
		return nil, err
	}
	newest, note, err := view.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	to = cmp.Or(to, newest.Size)
	if from > to || to > newest.Size {
		return nil, fmt.Errorf("%w: from size %d to %d of log %s, which has %d", ErrInvalid, from, to, origin, newest.Size)
	}
	p := &ConsistencyProof{Origin: origin, From: from, To: to}
	tree := c.tiles.at(ctx, origin, newest.Size)
	if p.Hashes, err = tree.Consistency(from, to); err != nil {
		return nil, damaged(fmt.Errorf("log %s: %w", origin, err))
	}
	root, err := checkConsistency(tree, from, to, p.Hashes)
	if err != nil {
		return nil, damaged(fmt.Errorf("log %s: %w", origin, err))
	}
	cp := newest
	if to != newest.Size {
		cp, note, err = view.reader.Archived(ctx, to)
		if errors.Is(err, store.ErrNotFound) {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if root != cp.Root {
		return nil, fmt.Errorf("log %s: its tiles do not give the root that its checkpoint of size %d has, run domicile log verify", origin, to)
	}
	p.Note = note
	return p, nil
}

// checkConsistency makes sure that a proof holds between the roots that the tiles have, and returns the second.
func checkConsistency(tree *tile.Reader, from, to uint64, hashes []ledger.Hash) (root ledger.Hash, err error) {
	before, err := tree.Root(from)
	if err == nil {
		root, err = tree.Root(to)
	}
	if err != nil || from == 0 {
		return root, err
	}
	path := make([][]byte, len(hashes))
	for i := range hashes {
		path[i] = hashes[i][:]
	}
	return root, proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, path, before[:], root[:])
}

// Object returns an object of a log's open store as C2SP tlog-tiles names it: "checkpoint", "tile/0/000",
// "tile/entries/x001/234.p/56". Any other path, and a tile that the published tree does not have, is ErrNotFound.
func (c *Cell) Object(ctx context.Context, origin, path string) ([]byte, error) {
	view, err := c.view(origin)
	if err != nil {
		return nil, err
	}
	cp, note, err := view.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	missing := fmt.Errorf("log %s: %w: it has no such object", origin, ErrNotFound)
	if path == ledger.CheckpointKey {
		if note == nil {
			return nil, missing
		}
		return note, nil
	}
	is, err := tile.ParsePath(path)
	if err != nil || !is.InTree(cp.Size) {
		return nil, missing
	}
	data, err := c.tiles.get(ctx, origin, path)
	if errors.Is(err, store.ErrNotFound) && is.Partial() {
		return nil, missing // of a size that was never published
	}
	return data, err
}
