package query

import (
	"context"
	"errors"
	"time"

	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query/index"
)

// A Searcher is the index of a cell. *index.Index is one.
type Searcher interface {
	Search(ctx context.Context, f index.Filter, p index.Page) ([]index.Row, error)
	ByUID(ctx context.Context, uid string) ([]index.Row, error)
	At(ctx context.Context, log string, index uint64) (row index.Row, ok bool, err error)
	Stats(ctx context.Context, f index.Filter, g index.Grouping) (groups []index.Group, truncated bool, err error)
	State(origin string) index.FeedState
}

// A Shard is one events log of a cell.
type Shard struct {
	Reader *log.Reader

	// Flush commits, publishes and binds what waits. It is called when an event is committed and cannot be proven yet.
	// nil: nobody here writes to the log.
	Flush func(ctx context.Context) error
}

// Config is what a cell is made of.
type Config struct {
	Jurisdiction string
	Control      *log.Control
	Gateway      *log.Component // under whose name accesses are logged
	Keys         store.Keys     // pseudonyms, salts of sets, cursors
	Open         store.Store    // tiles and checkpoints
	Shards       []Shard

	// Index returns the index, or why there is none now and what to do about it. nil: there is none by design, events
	// are looked up in the payloads.
	Index func() (Searcher, error)

	// MaxScan bounds how many leaves a log may hold for a uid to be looked up in its payloads, where there is no index.
	// 0: no bound.
	MaxScan uint64

	Clock func() time.Time // nil means time.Now
}

// A Cell answers questions about one jurisdiction. It is safe for concurrent use.
type Cell struct {
	cfg Config
}

// NewCell makes a cell. It reads nothing yet.
func NewCell(cfg Config) (*Cell, error) {
	return nil, errors.New("not built yet")
}

// Close reports the accesses that are not reported yet and waits for that. Questions are not answered any more. The
// logs stay open: they are not the cell's.
func (c *Cell) Close(ctx context.Context) error { return nil }

// Jurisdiction is the cell's name.
func (c *Cell) Jurisdiction() string { return c.cfg.Jurisdiction }
