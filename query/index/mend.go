package index

import (
	"context"
	"fmt"
	"slices"

	"domicile.dev/domicile/ledger"
)

// resume counts what the tables hold, mends it, and returns the commit to go on with.
func (f *feed) resume(ctx context.Context) (seq uint64, err error) {
	if err := f.x.migrate(ctx); err != nil {
		return 0, err
	}
	if f.x.upkeep.TryLock() { // no rebuild is under way in this process, so what there is of one is left over
		err := f.x.dropLeftovers(ctx)
		f.x.upkeep.Unlock()
		if err != nil {
			return 0, err
		}
	}
	if err := f.x.stop(ctx, f.origin); err != nil {
		return 0, err
	}
	if f.since, err = f.x.started(ctx); err != nil {
		return 0, err
	}
	f.x.swap.RLock()
	f.swaps = f.x.swaps
	f.x.swap.RUnlock()
	for range 3 {
		mended, err := f.mend(ctx)
		if err != nil {
			return 0, err
		}
		if mended == 0 {
			return f.start(ctx)
		}
		f.x.setState(f.origin, func(s *FeedState) { s.Mended += mended })
	}
	return 0, fmt.Errorf("log %s: its rows cannot be mended, run domicile index rebuild", f.origin)
}

// start is the first commit that a table lacks.
func (f *feed) start(ctx context.Context) (uint64, error) {
	least := slices.Min(f.have)
	head, err := f.r.Head(ctx)
	if err != nil {
		return 0, err
	}
	seq := head.Seq + 1
	if least < head.Size {
		header, err := commitAt(ctx, f.r, head, least)
		if err != nil {
			return 0, err
		}
		seq = header.Seq
	}
	f.indexed(seq, least)
	return seq, nil
}

// mend counts the rows of every table and repairs what is missing in between, or there twice. It returns of how many
// leaves that was.
func (f *feed) mend(ctx context.Context) (mended uint64, err error) {
	f.have = make([]uint64, len(tables))
	for i, t := range tables {
		c, err := f.x.covered(ctx, t.name, f.origin)
		if err != nil {
			return mended, err
		}
		head, err := f.r.Head(ctx) // after the count: rows never come before their commit
		if err != nil {
			return mended, err
		}
		if c.size > head.Size {
			return mended, fmt.Errorf("log %s: %w: table %s has rows up to leaf %d, the log has %d leaves: was another ledger indexed here, or an older copy of this one restored? domicile index rebuild makes the tables anew",
				f.origin, ErrSchema, t.name, c.size-1, head.Size)
		}
		// What ends inside a commit is broken, too: inserts are of whole commits.
		if c.size < head.Size {
			header, err := commitAt(ctx, f.r, head, c.size)
			if err != nil {
				return mended, err
			}
			if header.First < c.size {
				c.broken = join(c.broken, span{header.First, c.size})
			}
		}
		for _, s := range c.broken {
			leaves, err := f.repair(ctx, t, head, s)
			mended += leaves
			if err != nil {
				return mended, err
			}
		}
		f.have[i] = c.size
	}
	return mended, nil
}

// repair makes the rows of the commits that a span touches anew. Its inserts have tokens of their own: those of the
// first time have been used.
func (f *feed) repair(ctx context.Context, t *table, head *ledger.Header, s span) (rows uint64, err error) {
	first, err := commitAt(ctx, f.r, head, s.first)
	if err != nil {
		return 0, err
	}
	last, err := commitAt(ctx, f.r, head, s.size-1)
	if err != nil {
		return 0, err
	}
	if err := f.x.clear(ctx, t.name, f.origin, span{first.First, last.Size}); err != nil {
		return 0, err
	}
	nonce := f.x.queryID(f.origin)
	d := new(deriver)
	var b *batch
	for seq := first.Seq; seq <= last.Seq; seq++ {
		header, err := f.r.Header(ctx, seq)
		if err != nil {
			return rows, err
		}
		if b == nil {
			b = &batch{origin: f.origin, from: seq, first: header.First}
		}
		if err := f.read(ctx, b, d, header); err != nil {
			return rows, err
		}
		if seq < last.Seq && !b.full() || b.first == b.size {
			continue
		}
		if _, err := f.x.insert(ctx, t, b, b.token(nonce, 0)); err != nil {
			return rows, err
		}
		rows += uint64(b.rows())
		b = nil
	}
	return rows, nil
}
