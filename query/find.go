package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// sought is where an event may be.
type sought struct {
	candidates []candidate // not empty, if err is nil
	err        error
}

// candidate is one place of an event, with what the index says about it.
type candidate struct {
	place
	record  []byte // of the index
	indexed bool
}

func (s *sought) first() place {
	if len(s.candidates) == 0 {
		return place{}
	}
	return s.candidates[0].place
}

// lookupsAtOnce bounds the questions to the index that one call has open.
const lookupsAtOnce = 8

// find finds the places of events.
func (p *proving) find(ctx context.Context, refs []Ref) []sought {
	list := make([]sought, len(refs))
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for i, ref := range refs {
		group.Go(func() error {
			if ref.UID != "" {
				list[i].candidates, list[i].err = p.findUID(ctx, ref.UID)
			} else {
				list[i].candidates = []candidate{p.rowAt(ctx, place{ref.Log, ref.Index})}
			}
			return nil
		})
	}
	_ = group.Wait() // every one has its own error
	return list
}

// rowAt looks an event up that is known by its place. The index need not have it.
func (p *proving) rowAt(ctx context.Context, at place) candidate {
	c := candidate{place: at}
	if p.searcher == nil || p.options.Format == FormatProof || p.cell.shard(at.log) == nil {
		return c
	}
	// Without an answer the payload is read: a row that is not there yet, or cannot be had now, keeps nobody from a proof.
	if row, ok, err := p.searcher.At(ctx, at.log, at.index); err == nil && ok {
		c.record, c.indexed = row.Record, true
	}
	return c
}

// findUID looks an event up by its uid.
func (p *proving) findUID(ctx context.Context, uid string) ([]candidate, error) {
	if p.searcher == nil {
		return p.scan(ctx, uid)
	}
	rows, err := p.searcher.ByUID(ctx, uid)
	if errors.Is(err, index.ErrUnavailable) {
		return p.scan(ctx, uid)
	}
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", uid, err)
	}
	var found []candidate
	for _, row := range rows {
		found = append(found, candidate{place{row.Log, row.Index}, row.Record, true})
	}
	slices.SortFunc(found, func(a, b candidate) int { return comparePlaces(a.place, b.place) })
	if found == nil {
		state, err := p.cell.state(ctx, p.searcher, nil)
		if err != nil {
			return nil, err
		}
		return nil, p.cell.noEvent(uid, &state)
	}
	return found, nil
}

// scan looks an event up by reading payloads.
func (p *proving) scan(ctx context.Context, uid string) ([]candidate, error) {
	c := p.cell
	shards := c.shards
	if c.cfg.ShardOf != nil {
		i := c.cfg.ShardOf(uid)
		shards = shards[i : i+1]
	}
	if c.cfg.MaxScan > 0 {
		var leaves uint64
		for _, s := range shards {
			cp, _, err := s.checkpoint(ctx)
			if err != nil {
				return nil, err
			}
			leaves += cp.Size
		}
		if leaves > c.cfg.MaxScan {
			return nil, fmt.Errorf("event %s: reading %d records to find it takes too long, name it by its log and leaf index: %w", uid, leaves, cmp.Or(p.without, index.ErrUnavailable))
		}
	}
	for _, s := range shards {
		at, ok, err := s.reader.FindUID(ctx, uid)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", uid, err)
		}
		if ok {
			return []candidate{{place: place{s.reader.Origin(), at}}}, nil
		}
	}
	return nil, fmt.Errorf("event %s: %w in cell %s", uid, ErrNotFound, c.cfg.Jurisdiction)
}

// record returns an event's payload line: the index's, if it has one, held against the leaf, which is proven.
func (p *proving) record(ctx context.Context, s *shardView, uid string, at *candidate, leaf []byte) ([]byte, *ledger.Record, error) {
	line := at.record
	if !at.indexed {
		var err error
		if line, err = s.reader.Record(ctx, at.index); err != nil {
			return nil, nil, err
		}
	}
	rec, err := fits(line, leaf, uid)
	switch {
	case err == nil:
		return line, rec, nil
	case at.indexed:
		return nil, nil, fmt.Errorf("log %s: row %d: %w, run domicile index audit: %w", at.log, at.index, ErrAltered, err)
	}
	return nil, nil, fmt.Errorf("log %s: record %d does not fit its leaf, run domicile log verify: %w", at.log, at.index, err)
}

// fits makes sure that a record is the one that a leaf commits to, and has the uid that was asked for, if any.
func fits(line, leaf []byte, uid string) (*ledger.Record, error) {
	l, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return nil, err
	}
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return nil, errors.New("it is no record") // what it is instead is not for an error to say
	}
	if rec.Commitment() != l.Commitment {
		return nil, errors.New("its commitment is another")
	}
	if uid != "" {
		value, _ := rec.Field("/metadata/uid")
		if is, err := strconv.Unquote(string(value)); err != nil || is != uid {
			return nil, errors.New("it is the event of another uid")
		}
	}
	return rec, nil
}
