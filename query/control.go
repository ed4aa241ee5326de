package query

import (
	"context"
	"errors"

	"domicile.dev/domicile/ledger"
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

	// Next is the filter of the rest: nil when all was looked at. A page may hold few entries, or none, and have a rest:
	// so much is looked at for one page, and no more.
	Next *ControlFilter
}

// Control lists entries of the control log. They hold no event data, so that is not logged.
func (c *Cell) Control(ctx context.Context, f ControlFilter, proofs bool) (*ControlPage, error) {
	return nil, errors.New("not built yet")
}

// A ConsistencyProof shows that a log only grew.
type ConsistencyProof struct {
	Origin   string
	From, To uint64        // sizes
	Hashes   []ledger.Hash // RFC 6962, section 2.1.2
	Note     []byte        // the signed checkpoint of To; nil where that size was never published
}

// Consistency proves that a log of the cell at size to begins with what it was at size from. to 0 means the newest
// published size.
func (c *Cell) Consistency(ctx context.Context, origin string, from, to uint64) (*ConsistencyProof, error) {
	return nil, errors.New("not built yet")
}

// Object returns an object of a log's open store as C2SP tlog-tiles names it: "checkpoint", "tile/0/000",
// "tile/entries/x001/234.p/56". Any other path is ErrNotFound.
func (c *Cell) Object(ctx context.Context, origin, path string) ([]byte, error) {
	return nil, errors.New("not built yet")
}
