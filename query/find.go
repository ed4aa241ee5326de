package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query/index"
)

// sought is where an event may be.
type sought struct {
	candidates []candidate
	err        error // why there is no candidate
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

// find finds the places of events: in the index, and what that cannot be asked for in the payloads.
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
	unasked := make(map[string][]int)
	for i, ref := range refs {
		if errors.Is(list[i].err, index.ErrUnavailable) {
			unasked[ref.UID] = append(unasked[ref.UID], i)
		}
	}
	if len(unasked) > 0 {
		p.scan(ctx, unasked, list)
	}
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

// findUID looks an event up by its uid in the index.
func (p *proving) findUID(ctx context.Context, uid string) ([]candidate, error) {
	if p.searcher == nil {
		return nil, p.without
	}
	rows, err := p.searcher.ByUID(ctx, uid)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", uid, err)
	}
	if len(rows) == 0 {
		state, err := p.cell.state(ctx, p.searcher, nil)
		if err != nil {
			return nil, err
		}
		return nil, p.cell.noEvent(uid, &state)
	}
	var found []candidate
	for _, row := range rows {
		found = append(found, candidate{place{row.Log, row.Index}, row.Record, true})
	}
	slices.SortFunc(found, func(a, b candidate) int { return comparePlaces(a.place, b.place) })
	return found, nil
}

// scan looks events up by reading payloads: it is what is left without an index. uids says which of the list have each.
func (p *proving) scan(ctx context.Context, uids map[string][]int, list []sought) {
	settle := func(uid string, s sought) {
		for _, i := range uids[uid] {
			list[i] = s
		}
		delete(uids, uid)
	}
	err := p.scanShards(ctx, uids, settle)
	for uid := range uids {
		e := err
		if e == nil {
			e = fmt.Errorf("event %s: %w in cell %s", uid, ErrNotFound, p.cell.cfg.Jurisdiction)
		}
		settle(uid, sought{err: e})
	}
}

func (p *proving) scanShards(ctx context.Context, uids map[string][]int, settle func(string, sought)) error {
	c := p.cell
	var shards []*shardView
	var leaves uint64
	for i, s := range c.shards {
		wanted := c.cfg.ShardOf == nil
		for uid := range uids {
			wanted = wanted || c.cfg.ShardOf(uid) == i
		}
		if !wanted {
			continue
		}
		cp, _, err := s.checkpoint(ctx)
		if err != nil {
			return err
		}
		leaves += cp.Size
		shards = append(shards, s)
	}
	if c.cfg.MaxScan > 0 && leaves > c.cfg.MaxScan {
		return fmt.Errorf("looking uids up in %d records takes too long, name the event by its log and leaf index: %w", leaves, cmp.Or(p.without, index.ErrUnavailable))
	}
	for _, s := range shards {
		if err := s.scan(ctx, uids, settle); err != nil {
			return err
		}
	}
	return nil
}

// scan reads the payloads of a log from the newest on, until every uid is found.
func (s *shardView) scan(ctx context.Context, uids map[string][]int, settle func(string, sought)) error {
	head, err := s.reader.Head(ctx)
	if err != nil {
		return err
	}
	for seq := head.Seq; len(uids) > 0; seq-- {
		err := s.reader.Records(ctx, seq, func(at uint64, line []byte) error {
			if len(line) == 0 {
				return nil // erased
			}
			rec, err := ledger.ParseRecord(line)
			if err != nil {
				return err
			}
			if uid := uidOf(rec); len(uids[uid]) > 0 {
				settle(uid, sought{candidates: []candidate{{place: place{s.reader.Origin(), at}}}})
			}
			return nil
		})
		if err != nil && !errors.Is(err, log.ErrNoRecord) {
			return err
		}
		if seq == 0 {
			return nil
		}
	}
	return nil
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

// fits makes sure that a record is the one that a leaf commits to, and has the uid that was asked for, if any. Its
// errors quote nothing of the record.
func fits(line, leaf []byte, uid string) (*ledger.Record, error) {
	l, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return nil, err
	}
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return nil, errors.New("it is no record")
	}
	if rec.Commitment() != l.Commitment {
		return nil, errors.New("its commitment is another")
	}
	if uid != "" && uidOf(rec) != uid {
		return nil, errors.New("it is the event of another uid")
	}
	return rec, nil
}

// uidOf is the uid of a record's event, "" if it has none.
func uidOf(rec *ledger.Record) string {
	value, ok := rec.Field("/metadata/uid")
	if !ok || len(value) < 2 || value[0] != '"' {
		return ""
	}
	uid, _ := rawjson.AppendUnescaped(nil, value[1:len(value)-1])
	return string(uid)
}
