package query

import (
	"context"
	"errors"

	"domicile.dev/domicile/query/index"
)

// A Federation asks several cells at once. A cell that does not answer does not keep the others from it: it is named,
// with the reason, and the answer says that it is not complete.
type Federation struct {
	Cells []*Cell
}

// A Question is a search over cells.
type Question struct {
	Filter index.Filter
	Limit  int      // rows, 1 to MaxRows; 0 means 100
	Cursor string   // of the answer before; "" begins anew
	Cells  []string // jurisdictions to ask; none: all, or those of the cursor
}

// A CellAnswer is what one cell had to do with an answer.
type CellAnswer struct {
	Jurisdiction string
	Err          error // why it did not answer; the fields below are zero then
	State        *State
	Receipt      *Receipt
	Count        uint64 // of the answer's rows, events or proofs, how many are its
}

// A FederatedAnswer is the merged answer to a search.
type FederatedAnswer struct {
	Rows     []index.Row // in descending order of position
	Cells    []CellAnswer
	Complete bool   // every cell that was to be asked has answered, on this page and those before
	Cursor   string // asks for the rows that follow; "" after the last
}

// FederatedCounts is the merged answer to an aggregation.
type FederatedCounts struct {
	Groups    []index.Group // as in Counts
	Truncated bool          // there are more groups; counts of those that are shown may lack a cell's share
	Cells     []CellAnswer
	Complete  bool
}

// FederatedProofs is the merged answer when events are to be proven.
type FederatedProofs struct {
	Proofs   []Proof // in the order of the refs
	Cells    []CellAnswer
	Complete bool
}

// Cell returns the cell of a jurisdiction, or ErrNoCell.
func (f *Federation) Cell(jurisdiction string) (*Cell, error) {
	return nil, errors.New("not built yet")
}

// Search asks cells for events and merges what they say. Pages that follow by cursor stand on the tree sizes of the
// first: no event comes twice or is left out because others are added meanwhile.
func (f *Federation) Search(ctx context.Context, who Asker, q Question) (*FederatedAnswer, error) {
	return nil, errors.New("not built yet")
}

// Event asks cells for the events of a uid. ErrNotFound if all have answered and none has it.
func (f *Federation) Event(ctx context.Context, who Asker, uid string, cells ...string) (*FederatedAnswer, error) {
	return nil, errors.New("not built yet")
}

// Stats asks cells for counts and adds them up.
func (f *Federation) Stats(ctx context.Context, who Asker, filter index.Filter, g index.Grouping, cells ...string) (*FederatedCounts, error) {
	return nil, errors.New("not built yet")
}

// Prove asks the cells that may hold the events to prove them: for a Ref by log the one that has the log.
func (f *Federation) Prove(ctx context.Context, who Asker, refs []Ref, o ProofOptions, cells ...string) (*FederatedProofs, error) {
	return nil, errors.New("not built yet")
}

// States describes every cell; one that cannot say is named.
func (f *Federation) States(ctx context.Context) []CellAnswer { return nil }
