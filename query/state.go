package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
)

// A State is what a cell's answer stands on.
type State struct {
	Jurisdiction string
	Control      LogState
	Logs         []LogState // events logs, by shard
	IndexError   string     // why nothing can be searched now, and what to do; "" when it can
}

// A LogState is a log at its newest published checkpoint. It is never older than one that was answered before.
type LogState struct {
	Origin     string
	Checkpoint ledger.Checkpoint
	Note       []byte // the signed note; nil before the first publication

	// Of events logs: how many leaves the index holds, from the first on, and how many of the checkpoint's it lacks.
	Indexed, Behind uint64
	IndexError      string // why the index does not go on; "" when it does
}

// within is the part of every log that can be searched.
func (s *State) within() map[string]uint64 {
	within := make(map[string]uint64, len(s.Logs))
	for _, l := range s.Logs {
		within[l.Origin] = l.Checkpoint.Size - l.Behind
	}
	return within
}

// behind is how many published leaves of all logs the index lacks.
func (s *State) behind() (n uint64) {
	for _, l := range s.Logs {
		n += l.Behind
	}
	return n
}

// State describes the cell's logs. It reads no event data.
func (c *Cell) State(ctx context.Context) (State, error) {
	searcher, err := c.index()
	return c.state(ctx, searcher, err)
}

// state describes the cell's logs, with its index or why there is none.
func (c *Cell) state(ctx context.Context, searcher Searcher, without error) (State, error) {
	s := State{Jurisdiction: c.cfg.Jurisdiction}
	var err error
	if s.Control, err = c.control.state(ctx); err != nil {
		return s, err
	}
	for _, view := range c.shards {
		// What is indexed is asked first: an answer that says less of the index than it holds is right, the reverse is not.
		var indexed uint64
		var why error
		if searcher != nil {
			feed := searcher.State(view.reader.Origin())
			indexed, why = feed.Indexed, feed.Err
		}
		l, err := view.state(ctx)
		if err != nil {
			return s, err
		}
		l.Indexed = indexed
		l.Behind = l.Checkpoint.Size - min(indexed, l.Checkpoint.Size)
		if why != nil {
			l.IndexError = why.Error()
		}
		s.Logs = append(s.Logs, l)
	}
	if without != nil {
		s.IndexError = without.Error()
	}
	return s, nil
}

// logView is a log as it is published.
type logView struct {
	reader *log.Reader
	open   store.Store

	mu     sync.Mutex
	newest ledger.Checkpoint
	note   []byte // of the newest
}

// checkpoint returns the newest published checkpoint, and its note. The store is asked every time, but what it gives is
// only looked into when it has changed, and a smaller size than before is not believed.
func (l *logView) checkpoint(ctx context.Context) (ledger.Checkpoint, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	origin := l.reader.Origin()
	there, _, err := l.open.Get(ctx, origin+"/"+ledger.CheckpointKey)
	switch {
	case errors.Is(err, store.ErrNotFound) && l.note == nil:
		return ledger.Checkpoint{Origin: origin, Root: ledger.EmptyHash}, nil, nil
	case err != nil:
		return ledger.Checkpoint{}, nil, fmt.Errorf("log %s: its checkpoint: %w", origin, err)
	case bytes.Equal(there, l.note):
		return l.newest, l.note, nil
	}
	cp, note, err := l.reader.Checkpoint(ctx)
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("log %s: its checkpoint: %w", origin, err)
	}
	if l.note == nil || cp.Size >= l.newest.Size {
		l.newest, l.note = cp, note
	}
	return l.newest, l.note, nil
}

func (l *logView) state(ctx context.Context) (LogState, error) {
	cp, note, err := l.checkpoint(ctx)
	return LogState{Origin: l.reader.Origin(), Checkpoint: cp, Note: note}, err
}
