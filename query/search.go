package query

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// An Answer is what one cell says to a search.
type Answer struct {
	Rows    []index.Row // in descending order of position
	State   State       // rows are within its checkpoints, and within what is indexed
	Receipt Receipt
}

// found is an answer that is not handed over yet: whoever merges it with others may hand over less.
type found struct {
	Answer
	within map[string]uint64 // of a search: the part of every log that was searched
	access *Access
}

// hand reports the rows that were handed over.
func (f *found) hand(rows []index.Row) {
	h := Handed{Records: uint64(len(rows)), Events: make([]index.Position, len(rows))}
	for i := range rows {
		h.Bytes += uint64(len(rows[i].Record))
		h.Events[i] = rows[i].Position
	}
	f.access.Done(h)
}

// Search finds events. Page.Within nil means all that is published and indexed now, Page.Limit 0 means 100; at most
// MaxRows are handed over. Within an answer's State, rows that are not indexed yet are missing: State says how many.
func (c *Cell) Search(ctx context.Context, who Asker, f index.Filter, p index.Page) (*Answer, error) {
	found, err := c.search(ctx, who, f, p)
	if err != nil {
		return nil, err
	}
	found.hand(found.Rows)
	return &found.Answer, nil
}

func (c *Cell) search(ctx context.Context, who Asker, f index.Filter, p index.Page) (*found, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	var err error
	if p.Limit, err = limited("rows", p.Limit, defaultRows, MaxRows); err != nil {
		return nil, err
	}
	searcher, err := c.index()
	if err != nil {
		return nil, err
	}
	what := Reading{Op: ledger.OpSearch, Content: ledger.ContentFull, Query: string(normalized(&f))}
	found, err := c.look(ctx, who, what, searcher, func(s *State) ([]index.Row, error) {
		if p.Within == nil {
			p.Within = s.within()
		}
		rows, err := searcher.Search(ctx, f, p)
		return rows[:min(len(rows), p.Limit)], err
	})
	if err != nil {
		return nil, err
	}
	found.within = p.Within
	return found, nil
}

// look logs an access, reads rows, and leaves it open.
func (c *Cell) look(ctx context.Context, who Asker, what Reading, searcher Searcher, read func(*State) ([]index.Row, error)) (*found, error) {
	access, err := c.Intend(ctx, who, what)
	if err != nil {
		return nil, err
	}
	f := &found{Answer: Answer{Receipt: access.Receipt}, access: access}
	if f.State, err = c.state(ctx, searcher, nil); err == nil {
		f.Rows, err = read(&f.State)
	}
	if err != nil {
		access.Done(Handed{})
		return nil, fmt.Errorf("cell %s: %w", c.cfg.Jurisdiction, err)
	}
	return f, nil
}

// Event returns the published events of a uid: one, or none (ErrNotFound). Like Search it says what the index says;
// Prove says what the ledger does.
func (c *Cell) Event(ctx context.Context, who Asker, uid string) (*Answer, error) {
	found, err := c.event(ctx, who, uid)
	if err != nil {
		return nil, err
	}
	found.hand(found.Rows)
	if len(found.Rows) == 0 {
		return nil, c.noEvent(uid, &found.State)
	}
	return &found.Answer, nil
}

func (c *Cell) event(ctx context.Context, who Asker, uid string) (*found, error) {
	if err := checkUID(uid); err != nil {
		return nil, err
	}
	searcher, err := c.index()
	if err != nil {
		return nil, err
	}
	what := Reading{Op: ledger.OpSearch, Content: ledger.ContentFull, Query: "uid:" + uid}
	return c.look(ctx, who, what, searcher, func(s *State) ([]index.Row, error) {
		rows, err := searcher.ByUID(ctx, uid)
		rows = slices.DeleteFunc(slices.Clone(rows), func(r index.Row) bool { return !s.publishes(r.Position) })
		slices.SortFunc(rows, func(a, b index.Row) int { return descending(a.Position, b.Position) })
		return rows, err
	})
}

// publishes reports whether a leaf is below the log's checkpoint.
func (s *State) publishes(p index.Position) bool {
	return slices.ContainsFunc(s.Logs, func(l LogState) bool { return l.Origin == p.Log && p.Index < l.Checkpoint.Size })
}

// noEvent is the error for a uid that nothing has. It does not claim what the index cannot know.
func (c *Cell) noEvent(uid string, s *State) error {
	if n := s.behind(); n > 0 {
		return fmt.Errorf("event %s: %w in cell %s, whose index lacks the newest %d events", uid, ErrNotFound, c.cfg.Jurisdiction, n)
	}
	return fmt.Errorf("event %s: %w in cell %s", uid, ErrNotFound, c.cfg.Jurisdiction)
}

// maxUIDBytes is more than any uid has.
const maxUIDBytes = 1024

func checkUID(uid string) error {
	if uid == "" || len(uid) > maxUIDBytes {
		return fmt.Errorf("%w: a uid of %d bytes: use 1 to %d", ErrInvalid, len(uid), maxUIDBytes)
	}
	return nil
}

// descending orders positions as answers are ordered.
func descending(a, b index.Position) int { return b.Compare(a) }

// Counts is what one cell says to an aggregation.
type Counts struct {
	Groups    []index.Group // in ascending order of Start, then descending order of Count
	Truncated bool          // there are more groups than were asked for
	State     State
	Receipt   Receipt
}

// Stats counts events. Grouping.Within nil means all that is published and indexed now, Grouping.Limit 0 means 100.
func (c *Cell) Stats(ctx context.Context, who Asker, f index.Filter, g index.Grouping) (*Counts, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	var err error
	if g.Limit, err = limited("groups", g.Limit, defaultRows, MaxGroups); err != nil {
		return nil, err
	}
	searcher, err := c.index()
	if err != nil {
		return nil, err
	}
	access, err := c.Intend(ctx, who, Reading{
		Op: ledger.OpAggregate, Content: ledger.ContentAggregate, Query: string(normalizedGrouping(normalized(&f), &g)),
	})
	if err != nil {
		return nil, err
	}
	var handed Handed
	defer func() { access.Done(handed) }()
	counts := &Counts{Receipt: access.Receipt}
	if counts.State, err = c.state(ctx, searcher, nil); err != nil {
		return nil, err
	}
	if g.Within == nil {
		g.Within = counts.State.within()
	}
	if counts.Groups, counts.Truncated, err = searcher.Stats(ctx, f, g); err != nil {
		return nil, fmt.Errorf("cell %s: %w", c.cfg.Jurisdiction, err)
	}
	sortGroups(counts.Groups)
	for _, group := range counts.Groups {
		handed.Bytes += 16
		for _, v := range group.Values {
			handed.Bytes += uint64(len(v))
		}
	}
	return counts, nil
}

func normalizedGrouping(b []byte, g *index.Grouping) []byte {
	b = binary.AppendVarint(b, int64(g.Every))
	for _, column := range g.By {
		b = appendText(b, string(column))
	}
	return b
}

func sortGroups(groups []index.Group) {
	slices.SortFunc(groups, func(a, b index.Group) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.Count, a.Count), slices.Compare(a.Values, b.Values))
	})
}
