package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/index"
)

// search is the searching side of a data directory: the engine, and for each cell an index that is fed from its logs.
// It comes up beside everything else, and nothing waits for it but searches.
type search struct {
	d      *dataDir
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	why     error // why there is no index now
	engine  *engine.Engine
	indexes map[string]*index.Index // by jurisdiction
}

var errStarting = errors.New("the index is starting: try again in a moment")

// startSearch starts the engine and the indexes, once.
func (d *dataDir) startSearch(ctx context.Context) *search {
	d.searching.Do(func() {
		s := &search{d: d, why: errStarting, indexes: make(map[string]*index.Index)}
		ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
		d.search = s
		s.tasks.Go(func() { s.run(ctx) })
	})
	return d.search
}

// close stops feeding and ends the engine.
func (s *search) close() error {
	s.cancel()
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, x := range s.indexes {
		errs = append(errs, x.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close())
	}
	return errors.Join(errs...)
}

// ready is nil once every cell has its index, else it says why not.
func (s *search) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil && s.engine != nil {
		return s.engine.Ready()
	}
	return s.why
}

// restarts is how often the engine was started again.
func (s *search) restarts() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		return 0
	}
	return uint64(s.engine.Restarts())
}

// of returns the index of a cell, or why there is none now.
func (s *search) of(jurisdiction string) (*index.Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.indexes[jurisdiction]; ok {
		return x, nil
	}
	return nil, fmt.Errorf("%w: %w", index.ErrUnavailable, s.why)
}

// run brings engine and indexes up, however often that takes, and feeds them. Without an engine on this machine it says
// so and ends.
func (s *search) run(ctx context.Context) {
	program, err := s.d.program()
	if err != nil {
		s.say(err)
		return
	}
	e, err := persist(ctx, s, "starting the engine", func() (*engine.Engine, error) {
		return engine.Start(ctx, engine.Config{
			Dir: filepath.Join(s.d.path, "engine"), Program: program, MemoryLimit: s.d.config.Index.Memory, Logger: slog.Default(),
		})
	})
	if err != nil {
		return
	}
	s.mu.Lock()
	s.engine = e
	s.mu.Unlock()
	for _, c := range s.d.cells {
		x, err := persist(ctx, s, "opening the index of cell "+c.jurisdiction, func() (*index.Index, error) { return s.open(ctx, c) })
		if err != nil {
			return
		}
		s.mu.Lock()
		s.indexes[c.jurisdiction] = x
		s.mu.Unlock()
		for shard := range c.shards {
			s.tasks.Go(func() { s.feed(ctx, c, x, shard) })
		}
	}
	s.say(nil)
}

// open opens the index of a cell in the engine.
func (s *search) open(ctx context.Context, c *cell) (*index.Index, error) {
	return index.Open(ctx, index.Config{
		Options: s.engine.Options(), Database: "domicile_" + c.jurisdiction,
		Access: func(ctx context.Context, op ledger.AccessOp) (*log.Access, error) {
			m, err := c.component(ctx, indexerComponent)
			if err != nil {
				return nil, err
			}
			return m.Intend(ctx, log.InternalRead(op, indexerComponent.role, c.jurisdiction))
		},
	})
}

// feed feeds an index from a log until the search ends.
func (s *search) feed(ctx context.Context, c *cell, x *index.Index, shard int) {
	_, _ = persist(ctx, s, "feeding the index", func() (struct{}, error) {
		r, err := c.reader(ctx, c.eventsOrigin(shard))
		if err == nil {
			err = x.Feed(ctx, r, c.committed[shard])
		}
		return struct{}{}, err
	})
}

// say notes why there is no index now.
func (s *search) say(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
}

// persist tries something again, with growing pauses, until it succeeds or the search ends. Meanwhile it is what
// searches are told.
func persist[T any](ctx context.Context, s *search, what string, try func() (T, error)) (T, error) {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 30*time.Second) {
		result, err := try()
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		s.say(fmt.Errorf("%s: %w", what, err))
		slog.Warn("searching is not possible now", "doing", what, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
}

// caughtUp waits until the indexes hold everything that is committed now, and tells how far they are.
func (s *search) caughtUp(ctx context.Context, progress func(done, total uint64)) error {
	heads := make(map[string]uint64)
	var total uint64
	for _, c := range s.d.cells {
		for shard := range c.shards {
			r, err := c.reader(ctx, c.eventsOrigin(shard))
			if err != nil {
				return err
			}
			head, err := r.Head(ctx)
			if err != nil {
				return err
			}
			heads[r.Origin()] = head.Size
			total += head.Size
		}
	}
	for {
		done, err := s.indexed(heads)
		if err != nil && !errors.Is(err, errStarting) {
			return err
		}
		progress(done, total)
		if err == nil && done == total {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// indexed counts the leaves that the indexes hold, as far as the heads that are asked for.
func (s *search) indexed(heads map[string]uint64) (done uint64, err error) {
	for _, c := range s.d.cells {
		x, err := s.of(c.jurisdiction)
		if err != nil {
			return done, err
		}
		for shard := range c.shards {
			origin := c.eventsOrigin(shard)
			state := x.State(origin)
			if state.Err != nil {
				return done, state.Err
			}
			done += min(state.Indexed, heads[origin])
		}
	}
	return done, nil
}

// lookup asks the index of a cell for events that a writer does not hold any more.
type lookup struct{ cell *cell }

// Find implements log.Lookup.
func (l lookup) Find(ctx context.Context, origin string, through uint64, uids [][16]byte) ([]log.Found, error) {
	x, err := l.cell.dir.startSearch(ctx).of(l.cell.jurisdiction)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", log.ErrLookup, err)
	}
	return x.Find(ctx, origin, through, uids)
}
