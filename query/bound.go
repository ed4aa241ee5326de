package query

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// shardView is an events log as the control log binds it.
type shardView struct {
	logView
	flush func(ctx context.Context) error

	flushing sync.Mutex // one flush at a time

	mu    sync.Mutex
	bound *bound // the one used last: it serves every leaf below its size
}

// bound is a size of an events log that a batch entry binds, with what its proofs need.
type bound struct {
	batch      custody.Batch
	checkpoint ledger.Checkpoint // of the events log at that size
	note       []byte
	anchor     *ledger.Anchor // of the entry; nil until one is asked for
}

// prover proves leaves at one size. It is for one goroutine.
type prover struct {
	*bound
	tiles *tiles
	tree  *tile.Reader
	last  bundle
}

// at returns the prover of a bound size.
func (c *Cell) at(ctx context.Context, b *bound) *prover {
	return &prover{bound: b, tiles: c.tiles, tree: c.tiles.at(ctx, b.checkpoint.Origin, b.checkpoint.Size)}
}

// prover returns what proves a leaf of a shard. If no batch entry covers it yet, what waits is published and bound.
func (c *Cell) prover(ctx context.Context, s *shardView, index uint64, anchored bool) (*prover, error) {
	b := s.covering(index)
	if b == nil {
		batch, err := c.batch(ctx, s, index)
		if err != nil {
			return nil, err
		}
		b = &bound{batch: batch}
		if b.checkpoint, b.note, err = s.reader.Archived(ctx, batch.Size); err != nil {
			return nil, err
		}
	}
	if anchored && b.anchor == nil {
		anchor, err := c.anchor(ctx, b.batch.Index)
		if err != nil {
			return nil, err
		}
		again := *b // others may be reading it
		again.anchor = anchor
		b = &again
	}
	s.keep(b)
	return c.at(ctx, b), nil
}

func (s *shardView) covering(index uint64) *bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound != nil && index < s.bound.batch.Size {
		return s.bound
	}
	return nil
}

func (s *shardView) keep(b *bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.bound; old == nil || b.batch.Size > old.batch.Size || b.batch.Size == old.batch.Size && b.anchor != nil {
		s.bound = b
	}
}

// batch returns the last batch entry of a shard, which must cover the index. If it does not, the writer may publish and
// bind what it, or an earlier process, has committed.
func (c *Cell) batch(ctx context.Context, s *shardView, index uint64) (batch custody.Batch, err error) {
	covers := func() (ok bool) {
		c.cfg.Control.State(func(r *custody.Replay) { batch, ok = r.LastBatch(s.reader.Origin()) })
		return ok && index < batch.Size
	}
	if covers() {
		return batch, nil
	}
	head, err := s.reader.Head(ctx)
	if err != nil {
		return batch, err
	}
	if index >= head.Size {
		return batch, fmt.Errorf("log %s holds %d leaves, there is no leaf %d: %w", s.reader.Origin(), head.Size, index, ErrNotFound)
	}
	if s.flush != nil {
		s.flushing.Lock()
		defer s.flushing.Unlock()
		if covers() { // by the flush of another
			return batch, nil
		}
		if err := s.flush(ctx); err != nil {
			return batch, fmt.Errorf("log %s: leaf %d: %w: %w", s.reader.Origin(), index, ErrNotProvable, err)
		}
		if covers() {
			return batch, nil
		}
	}
	return batch, fmt.Errorf("log %s: leaf %d is committed, %d are bound into the control log: %w", s.reader.Origin(), index, batch.Size, ErrNotProvable)
}

// anchor proves an entry of the control log at a checkpoint that covers it.
func (c *Cell) anchor(ctx context.Context, index uint64) (*ledger.Anchor, error) {
	cp, note, err := c.control.checkpoint(ctx)
	if err == nil && cp.Size <= index {
		if err = c.cfg.Control.Flush(ctx); err == nil {
			cp, note, err = c.control.checkpoint(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if cp.Size <= index {
		return nil, fmt.Errorf("log %s has not published entry %d: %w", cp.Origin, index, ErrNotProvable)
	}
	entry, proof, err := c.at(ctx, &bound{checkpoint: cp, note: note}).prove(ctx, index)
	if err != nil {
		return nil, err
	}
	return &ledger.Anchor{Entry: entry, Proof: proof.Append(nil)}, nil
}

// leaf reads a leaf.
func (p *prover) leaf(ctx context.Context, index uint64) (leaf []byte, err error) {
	if !p.last.holds(p.checkpoint.Origin, index) {
		if p.last, err = p.tiles.bundle(ctx, p.checkpoint.Origin, index, p.checkpoint.Size); err != nil {
			return nil, damaged(err)
		}
	}
	return p.last.leaf(index), nil
}

// prove returns a leaf and its inclusion proof.
func (p *prover) prove(ctx context.Context, index uint64) (leaf []byte, proof *ledger.Proof, err error) {
	origin, size := p.checkpoint.Origin, p.checkpoint.Size
	if leaf, err = p.leaf(ctx, index); err != nil {
		return nil, nil, err
	}
	path, err := p.tree.Inclusion(index, size)
	if err != nil {
		return nil, nil, damaged(fmt.Errorf("log %s: proof of leaf %d: %w", origin, index, err))
	}
	proof = &ledger.Proof{Index: index, Hashes: path, Checkpoint: p.note}
	// A proof is checked before it is handed out: one from a damaged tile would only shame the auditor who trusts it.
	if err := proof.VerifyInclusion(ledger.LeafHash(leaf), p.checkpoint); err != nil {
		return nil, nil, fmt.Errorf("log %s: the tiles of leaf %d do not give its root, run domicile log verify: %w", origin, index, err)
	}
	return leaf, proof, nil
}

// damaged keeps a tile that is missing from looking like an event that is not there.
func damaged(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the open store lacks a tile, run domicile log verify: %w", err)
	}
	return err
}
