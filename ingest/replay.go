package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"domicile.dev/domicile/normalize"
)

// replayBatch bounds the items between two flushes: their marks are written once their events are committed.
const replayBatch = 1024

// Replay tries held items again, after an upgrade of the normalizer or when a cell was added: all that are not released,
// or the ones that are named. What is usable now goes to its cell; when it is committed its item is marked as released
// and a control entry counts it. What is still unusable stays as it is and is counted as quarantined (and held before).
//
// A crash between the commit and the mark replays the item once more: the uid makes that a duplicate.
func (c *Collector) Replay(ctx context.Context, hashes ...string) (Summary, error) {
	if err := c.check(); err != nil {
		return Summary{}, err
	}
	p := replay{run: newRun(c, 0)}
	err := p.all(ctx, hashes)
	if err == nil {
		err = p.finish(ctx)
	}
	s := p.summary(nil)
	if err != nil {
		return s, fmt.Errorf("replay stopped: %w", err)
	}
	return s, nil
}

type replay struct {
	*run
	sent []*tried // since the last finish
}

// tried is an item that became an event.
type tried struct {
	held     Held
	item     [32]byte
	cell     string
	rejected bool // by the log: it stays
}

func (p *replay) all(ctx context.Context, hashes []string) error {
	if len(hashes) > 0 {
		for _, hash := range hashes {
			held, raw, err := p.c.Quarantine.Show(ctx, hash)
			if err != nil {
				return err
			}
			if err := p.try(ctx, held, raw); err != nil {
				return err
			}
		}
		return nil
	}
	for key, err := range p.c.Quarantine.store.List(ctx, "item/") {
		if err != nil {
			return fmt.Errorf("list quarantine: %w", err)
		}
		held, raw, err := p.c.Quarantine.Show(ctx, strings.TrimPrefix(key, "item/"))
		if err != nil && ctx.Err() == nil {
			p.sum.Failed = append(p.sum.Failed, SourceError{Source: key, Err: err})
			continue
		}
		if err := p.try(ctx, held, raw); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *replay) try(ctx context.Context, held Held, raw []byte) error {
	if held.Released {
		return nil
	}
	rec, ok := reread(held, raw)
	if ok {
		rec.normalize(p.c.Normalize, p.c.Placer)
	}
	if !ok || rec.bad != nil || rec.placement.Foreign != "" {
		p.stays(held)
		return nil
	}
	item := &tried{held: held, item: sha256.Sum256(raw), cell: rec.placement.Cell}
	p.sent = append(p.sent, item)
	err := p.send(ctx, &rec, func(m *Message, r Receipt) {
		item.rejected = r.Outcome == Rejected // read after the flush
		p.acknowledged(m, r)
	})
	if err != nil {
		return err
	}
	if len(p.sent) < replayBatch {
		return nil
	}
	return p.finish(ctx)
}

// reread makes a record of an item. One that was cut off before its form was known goes through detection again; it is
// usable only if it is exactly one record.
func reread(held Held, raw []byte) (record, bool) {
	if held.Form != "" && held.Provider != "" {
		return record{raw: normalize.Raw{Bytes: raw, Offset: held.Offset, Form: held.Form, Provider: held.Provider}}, true
	}
	reader := normalize.NewReader(bytes.NewReader(raw))
	first, err := reader.Next()
	if err != nil {
		return record{}, false
	}
	first.Bytes = bytes.Clone(first.Bytes)
	first.Offset = held.Offset
	if _, err := reader.Next(); err == nil {
		return record{}, false
	}
	return record{raw: first}, true
}

func (p *replay) stays(held Held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.Events++
	p.sum.Quarantined++
	p.sum.HeldBefore++
	p.sum.Reasons[held.Reason]++
	p.sum.Forms[held.Form]++
	if held.Foreign != "" {
		p.sum.Foreign[held.Foreign]++
	}
}

// finish waits for the commits, has the control log name what was released, and marks it.
func (p *replay) finish(ctx context.Context) error {
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.sent = slices.DeleteFunc(p.sent, func(s *tried) bool { return s.rejected })
	for _, s := range p.sent {
		key := groupKey{source: s.held.Source, reason: s.held.Reason, foreign: s.held.Foreign, action: ActionReleased}
		if s.cell != p.c.Placer.collector {
			key.action, key.dest = ActionRouted, s.cell
		}
		if err := p.note(ctx, key, s.item); err != nil {
			return err
		}
	}
	if err := p.recordGroups(ctx); err != nil {
		return err
	}
	for _, s := range p.sent {
		if err := p.c.Quarantine.release(ctx, s.held.Hash, s.cell); err != nil {
			return err
		}
	}
	p.sent = p.sent[:0]
	return nil
}
