package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"domicile.dev/domicile/query/index"
)

// A Federation asks several cells at once. Where a method fails after it asked them, the answer beside the error holds
// what each of them said. A cell that does not answer does not keep the others from it: it is named,
// with the reason, and the answer says that it is not complete. If none answers, that is an error.
type Federation struct {
	Cells []*Cell

	// Patience is how long one cell may take. 0: as long as the context of the question allows.
	Patience time.Duration
}

// A Question is a search over cells.
type Question struct {
	Filter index.Filter
	Limit  int      // rows, 1 to MaxRows; 0 means 100
	Cursor string   // of the answer before; "" begins anew
	Cells  []string // jurisdictions to ask; none: all. The same on every page
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
	for _, c := range f.Cells {
		if c.cfg.Jurisdiction == jurisdiction {
			return c, nil
		}
	}
	return nil, fmt.Errorf("cell %q: %w", jurisdiction, ErrNoCell)
}

// choose returns the cells of jurisdictions, in the federation's order; all, if none is named.
func (f *Federation) choose(jurisdictions []string) ([]*Cell, error) {
	for _, jurisdiction := range jurisdictions {
		if _, err := f.Cell(jurisdiction); err != nil {
			return nil, err
		}
	}
	var cells []*Cell
	for _, c := range f.Cells {
		if len(jurisdictions) == 0 || slices.Contains(jurisdictions, c.cfg.Jurisdiction) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return nil, ErrNoCell
	}
	return cells, nil
}

// ask asks cells at once and waits for all of them.
func (f *Federation) ask(ctx context.Context, cells []*Cell, ask func(ctx context.Context, i int, c *Cell) error) []CellAnswer {
	answers := make([]CellAnswer, len(cells))
	var all sync.WaitGroup
	for i, c := range cells {
		answers[i].Jurisdiction = c.cfg.Jurisdiction
		all.Go(func() {
			ctx := ctx
			if f.Patience > 0 {
				var stop context.CancelFunc
				ctx, stop = context.WithTimeoutCause(ctx, f.Patience, fmt.Errorf("cell %s took longer than %v: %w", c.cfg.Jurisdiction, f.Patience, context.DeadlineExceeded))
				defer stop()
			}
			answers[i].Err = ask(ctx, i, c)
		})
	}
	all.Wait()
	return answers
}

// outcome tells whether all cells answered, and fails if none did.
func outcome(answers []CellAnswer) (complete bool, err error) {
	var errs []error
	for _, a := range answers {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	if len(errs) == len(answers) {
		return false, errors.Join(errs...)
	}
	return len(errs) == 0, nil
}

// page is how one page of a question is asked: which cells, from where on, within what.
type page struct {
	question [16]byte
	limit    int
	cells    []*Cell
	within   []map[string]uint64 // of each cell; nil on the first page
	after    *index.Position
	lost     []CellAnswer // cells that are not asked any more
}

// Search asks cells for events and merges what they say. Pages that follow by cursor stand on the tree sizes of the
// first: no event comes twice or is left out because others are added meanwhile. A cell that does not answer on one page
// is left out of those that follow, whose answers are incomplete too; whoever asks with the older cursor again, gets it.
func (f *Federation) Search(ctx context.Context, who Asker, q Question) (*FederatedAnswer, error) {
	if err := q.Filter.Check(); err != nil {
		return nil, err
	}
	p, err := f.page(ctx, &q)
	if err != nil {
		return nil, err
	}
	founds := make([]*found, len(p.cells))
	cells := f.ask(ctx, p.cells, func(ctx context.Context, i int, c *Cell) (err error) {
		founds[i], err = c.search(ctx, who, q.Filter, index.Page{After: p.after, Limit: p.limit, Within: p.within[i]})
		return err
	})
	a := &FederatedAnswer{Cells: cells}
	more := a.gather(founds, p.limit)
	if a.Complete, err = outcome(cells); err != nil {
		return a, err
	}
	if more {
		key, err := f.cursorKey(ctx)
		if err != nil {
			return nil, err
		}
		a.Cursor = p.next(a, founds).seal(key)
	}
	a.Cells = append(a.Cells, p.lost...)
	a.Complete = a.Complete && len(p.lost) == 0
	return a, nil
}

// gather merges what cells found, and reports to each what of it was handed over. more tells whether rows may follow.
func (a *FederatedAnswer) gather(founds []*found, limit int) (more bool) {
	lists := make([][]index.Row, len(founds))
	for i, f := range founds {
		if f != nil {
			lists[i] = f.Rows
		}
	}
	rows, taken := merge(lists, limit)
	a.Rows = rows
	for i, f := range founds {
		if f == nil {
			continue
		}
		f.hand(f.Rows[:taken[i]])
		a.Cells[i].State, a.Cells[i].Receipt, a.Cells[i].Count = &f.State, &f.Receipt, uint64(taken[i])
		more = more || taken[i] < len(f.Rows) || len(f.Rows) >= limit
	}
	return more
}

// page prepares a page: the first, or the one that a cursor asks for.
func (f *Federation) page(ctx context.Context, q *Question) (*page, error) {
	limit, err := limited("rows", q.Limit, defaultRows, MaxRows)
	if err != nil {
		return nil, err
	}
	p := &page{question: q.digest(), limit: limit}
	if q.Cursor == "" {
		if p.cells, err = f.choose(q.Cells); err != nil {
			return nil, err
		}
		p.within = make([]map[string]uint64, len(p.cells))
		return p, nil
	}
	key, err := f.cursorKey(ctx)
	if err != nil {
		return nil, err
	}
	cur, err := openCursor(key, q.Cursor)
	if err != nil {
		return nil, err
	}
	if cur.question != p.question {
		return nil, fmt.Errorf("%w: it belongs to another one; repeat all parameters, or begin without it", ErrCursor)
	}
	p.after = &cur.after
	for _, jurisdiction := range cur.missing {
		p.lost = append(p.lost, CellAnswer{Jurisdiction: jurisdiction, Err: fmt.Errorf("cell %s: %w", jurisdiction, ErrLost)})
	}
	for _, cell := range cur.cells {
		c, err := f.Cell(cell.jurisdiction)
		if err != nil {
			p.lost = append(p.lost, CellAnswer{Jurisdiction: cell.jurisdiction, Err: err})
			continue
		}
		p.cells = append(p.cells, c)
		p.within = append(p.within, cell.within)
	}
	if len(p.cells) == 0 {
		return nil, fmt.Errorf("none of the cells that the cursor names is here: %w", ErrNoCell)
	}
	return p, nil
}

// next is the cursor of the page that follows an answer.
func (p *page) next(a *FederatedAnswer, founds []*found) *cursor {
	next := &cursor{question: p.question, after: a.Rows[len(a.Rows)-1].Position}
	for _, lost := range p.lost {
		next.missing = append(next.missing, lost.Jurisdiction)
	}
	for i, c := range p.cells {
		if founds[i] == nil {
			next.missing = append(next.missing, c.cfg.Jurisdiction)
			continue
		}
		next.cells = append(next.cells, cursorCell{c.cfg.Jurisdiction, founds[i].within})
	}
	return next
}

// Event asks cells for the events of a uid. ErrNotFound, beside what the cells said, if all have answered and none has it; if one that did not answer
// may have it, the answer is empty and incomplete.
func (f *Federation) Event(ctx context.Context, who Asker, uid string, jurisdictions ...string) (*FederatedAnswer, error) {
	if err := checkUID(uid); err != nil {
		return nil, err
	}
	chosen, err := f.choose(jurisdictions)
	if err != nil {
		return nil, err
	}
	founds := make([]*found, len(chosen))
	a := &FederatedAnswer{}
	a.Cells = f.ask(ctx, chosen, func(ctx context.Context, i int, c *Cell) (err error) {
		founds[i], err = c.event(ctx, who, uid)
		return err
	})
	a.gather(founds, MaxRows)
	if a.Complete, err = outcome(a.Cells); err != nil {
		return a, err
	}
	if len(a.Rows) == 0 && a.Complete {
		var errs []error
		for i, c := range chosen {
			errs = append(errs, c.noEvent(uid, &founds[i].State))
		}
		return a, errors.Join(errs...)
	}
	return a, nil
}

// Stats asks cells for counts and adds them up.
func (f *Federation) Stats(ctx context.Context, who Asker, filter index.Filter, g index.Grouping, jurisdictions ...string) (*FederatedCounts, error) {
	if err := filter.Check(); err != nil {
		return nil, err
	}
	limit, err := limited("groups", g.Limit, defaultRows, MaxGroups)
	if err != nil {
		return nil, err
	}
	chosen, err := f.choose(jurisdictions)
	if err != nil {
		return nil, err
	}
	if len(chosen) > 1 {
		g.Limit = MaxGroups // a group that is small in one cell may be great in all of them
	}
	lists := make([][]index.Group, len(chosen))
	states := make([]*Counts, len(chosen))
	r := new(FederatedCounts)
	r.Cells = f.ask(ctx, chosen, func(ctx context.Context, i int, c *Cell) error {
		counts, err := c.Stats(ctx, who, filter, g)
		if err == nil {
			states[i], lists[i] = counts, counts.Groups
		}
		return err
	})
	if r.Complete, err = outcome(r.Cells); err != nil {
		return r, err
	}
	r.Groups, r.Truncated = addUp(lists, limit)
	for i, counts := range states {
		if counts == nil {
			continue
		}
		r.Truncated = r.Truncated || counts.Truncated
		r.Cells[i].State, r.Cells[i].Receipt = &counts.State, &counts.Receipt
		for _, group := range counts.Groups {
			r.Cells[i].Count += group.Count
		}
	}
	return r, nil
}

// Prove asks the cells that may hold the events to prove them: for a Ref by log the one that has the log, for a Ref by
// uid all.
func (f *Federation) Prove(ctx context.Context, who Asker, refs []Ref, o ProofOptions, jurisdictions ...string) (*FederatedProofs, error) {
	if err := errors.Join(o.check(), checkRefs(refs)); err != nil {
		return nil, err
	}
	chosen, err := f.choose(jurisdictions)
	if err != nil {
		return nil, err
	}
	asked, shares := share(chosen, refs)
	r := &FederatedProofs{Proofs: make([]Proof, len(refs)), Complete: true}
	results := make([]*Proofs, len(asked))
	r.Cells = f.ask(ctx, asked, func(ctx context.Context, i int, c *Cell) error {
		mine := make([]Ref, len(shares[i]))
		for k, at := range shares[i] {
			mine[k] = refs[at]
		}
		proofs, err := c.Prove(ctx, who, mine, o)
		results[i] = proofs
		return err
	})
	if len(asked) > 0 {
		if r.Complete, err = outcome(r.Cells); err != nil {
			return r, err
		}
	}
	for at, ref := range refs {
		r.Proofs[at] = Proof{Ref: ref, Err: fmt.Errorf("log %s: %w", ref.Log, ErrNoCell)}
	}
	answered := make([]bool, len(refs))
	for i, proofs := range results {
		if proofs != nil {
			r.Cells[i].State, r.Cells[i].Receipt = &proofs.State, &proofs.Receipt
		}
		for k, at := range shares[i] {
			proof := Proof{Ref: refs[at], Err: r.Cells[i].Err}
			if proofs != nil {
				proof = proofs.Proofs[k]
			}
			if proof.Err == nil {
				r.Cells[i].Count++
			}
			if !answered[at] || better(&proof, &r.Proofs[at]) {
				r.Proofs[at], answered[at] = proof, true
			}
		}
	}
	return r, nil
}

// better tells whether what one cell says of an event is better than what another one did: a proof is best, and what is
// wrong says more than that it is not there.
func better(p, than *Proof) bool {
	if p.Err == nil || than.Err == nil {
		return than.Err != nil
	}
	return errors.Is(than.Err, ErrNotFound) && !errors.Is(p.Err, ErrNotFound)
}

// share says which cells are asked for which refs.
func share(cells []*Cell, refs []Ref) (asked []*Cell, shares [][]int) {
	for _, c := range cells {
		var mine []int
		for at, ref := range refs {
			if ref.UID != "" || c.shard(ref.Log) != nil {
				mine = append(mine, at)
			}
		}
		if mine != nil {
			asked, shares = append(asked, c), append(shares, mine)
		}
	}
	return asked, shares
}

// States describes every cell; one that cannot say is named.
func (f *Federation) States(ctx context.Context) []CellAnswer {
	states := make([]*State, len(f.Cells))
	answers := f.ask(ctx, f.Cells, func(ctx context.Context, i int, c *Cell) error {
		state, err := c.State(ctx)
		states[i] = &state
		return err
	})
	for i := range answers {
		if answers[i].Err == nil {
			answers[i].State = states[i]
		}
	}
	return answers
}
