package query

import (
	"context"
	"errors"

	"domicile.dev/domicile/query/index"
)

// An Answer is what one cell says to a search.
type Answer struct {
	Rows    []index.Row // in descending order of position
	State   State       // Rows are within its checkpoints, and within what is indexed
	Receipt Receipt
}

// Search finds events. Page.Within nil means all that is published and indexed now. At most MaxRows are handed over.
func (c *Cell) Search(ctx context.Context, who Asker, f index.Filter, p index.Page) (*Answer, error) {
	return nil, errors.New("not built yet")
}

// Event returns the published events of a uid: one, or none (ErrNotFound).
func (c *Cell) Event(ctx context.Context, who Asker, uid string) (*Answer, error) {
	return nil, errors.New("not built yet")
}

// Counts is what one cell says to an aggregation.
type Counts struct {
	Groups    []index.Group // in ascending order of Start, then descending order of Count
	Truncated bool          // there are more groups than were asked for
	State     State
	Receipt   Receipt
}

// Stats counts events. Grouping.Within nil means all that is published and indexed now.
func (c *Cell) Stats(ctx context.Context, who Asker, f index.Filter, g index.Grouping) (*Counts, error) {
	return nil, errors.New("not built yet")
}
