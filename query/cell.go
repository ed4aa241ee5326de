package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

	// Flush commits, publishes and binds what waits. It is called, by one at a time, when an event cannot be proven yet.
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

	// Index returns the index, or why there is none now and what to do about it; its error need not wrap
	// index.ErrUnavailable. nil: there is none by design. Without an index, uids are looked up in the payloads.
	Index func() (Searcher, error)

	// ShardOf says which shard an event of that uid goes to, for looking it up without an index. nil: look in all.
	ShardOf func(uid string) int

	// MaxScan bounds how many leaves the logs may hold for a uid to be looked up in the payloads. 0: no bound.
	MaxScan uint64

	// Logged is told how long it took to commit entries of accesses, which those who ask wait for. It may be nil.
	Logged func(took time.Duration)

	Clock func() time.Time // nil means time.Now
}

// A Cell answers questions about one jurisdiction. It is safe for concurrent use. It owns the goroutines that write the
// access entries, until Close.
type Cell struct {
	cfg     Config
	control *logView
	shards  []*shardView
	tiles   *tiles
	secrets secrets
	journal *journal

	mu      sync.Mutex // of closed, and of what begins beside it
	closed  bool
	reading sync.WaitGroup // accesses that were announced and not handed to the journal for their report
}

// NewCell makes a cell. It reads nothing yet.
func NewCell(cfg Config) (*Cell, error) {
	if cfg.Jurisdiction == "" || cfg.Control == nil || cfg.Gateway == nil || cfg.Keys == nil || cfg.Open == nil {
		return nil, fmt.Errorf("cell %q: it needs a jurisdiction, a control log, a gateway, a key store and an open store", cfg.Jurisdiction)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	c := &Cell{
		cfg: cfg, secrets: secrets{keys: cfg.Keys}, tiles: newTiles(cfg.Open),
		control: &logView{reader: cfg.Control.Reader(), open: cfg.Open},
	}
	for _, s := range cfg.Shards {
		c.shards = append(c.shards, &shardView{logView: logView{reader: s.Reader, open: cfg.Open}, flush: s.Flush})
	}
	if cfg.Logged == nil {
		cfg.Logged = func(time.Duration) {}
	}
	c.journal = startJournal(cfg.Gateway, cfg.Logged, c.setOf)
	return c, nil
}

// Close waits for the questions that are being answered, reports all accesses, and waits for that too. The logs stay
// open: they are not the cell's. The error is of reports that could not be written.
func (c *Cell) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if was {
		return nil
	}
	c.reading.Wait()
	return c.journal.close()
}

// Jurisdiction is the cell's name.
func (c *Cell) Jurisdiction() string { return c.cfg.Jurisdiction }

// begin counts a reading in, unless the cell is closed.
func (c *Cell) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("cell %s: %w", c.cfg.Jurisdiction, ErrClosed)
	}
	c.reading.Add(1)
	return nil
}

// view returns the log of an origin.
func (c *Cell) view(origin string) (*logView, error) {
	if origin == c.control.reader.Origin() {
		return c.control, nil
	}
	if s := c.shard(origin); s != nil {
		return &s.logView, nil
	}
	return nil, fmt.Errorf("log %s: %w", origin, ErrNoCell)
}

// shard returns the events log of an origin, nil if the cell has none.
func (c *Cell) shard(origin string) *shardView {
	for _, s := range c.shards {
		if s.reader.Origin() == origin {
			return s
		}
	}
	return nil
}

// index returns the cell's index, or nil and why there is none.
func (c *Cell) index() (Searcher, error) {
	if c.cfg.Index == nil {
		return nil, fmt.Errorf("cell %s has no index (%w)", c.cfg.Jurisdiction, index.ErrUnavailable)
	}
	s, err := c.cfg.Index()
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, index.ErrUnavailable):
		return nil, fmt.Errorf("cell %s: %w", c.cfg.Jurisdiction, err)
	}
	return nil, fmt.Errorf("cell %s: %w: %w", c.cfg.Jurisdiction, index.ErrUnavailable, err)
}
