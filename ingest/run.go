package ingest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Summary is what a run did. After a run without an error Events = Committed + Duplicates + Quarantined.
type Summary struct {
	Files int   `json:"files"` // read to their end
	Bytes int64 `json:"bytes"` // of the sources as stored

	Events      int64 `json:"events"` // records read, usable or not
	Committed   int64 `json:"committed"`
	Duplicates  int64 `json:"duplicates"` // repeats of an event that the log has, or of this run
	Quarantined int64 `json:"quarantined"`
	HeldBefore  int64 `json:"held_before"` // of Quarantined: the same bytes were held already

	Reasons map[string]int64 `json:"reasons"` // of Quarantined
	Foreign map[string]int64 `json:"foreign"` // of those with ReasonForeign, by jurisdiction
	Forms   map[string]int64 `json:"forms"`
	Places  []Place          `json:"places"` // of what was sent to a cell, ordered by cell, jurisdiction, region, rule

	Failed  []SourceError `json:"-"` // sources not read to their end
	Skipped []Skipped     `json:"-"`
}

// Place counts the events of one region and where they are held. Jurisdiction is "unknown", or several ids joined by
// commas, where the evidence says no more.
type Place struct {
	Cell         string        `json:"cell"`
	Jurisdiction string        `json:"jurisdiction"`
	Region       string        `json:"region"`
	Rule         PlacementRule `json:"rule"`
	Events       int64         `json:"events"`
}

// run is the books of one Run or Replay. Emitting and acknowledging happen on different goroutines.
type run struct {
	c     *Collector
	total int64
	bytes atomic.Int64

	groups map[groupKey]*group // of the source being emitted; the emitter's own

	mu     sync.Mutex
	sum    Summary
	places map[Place]int64 // Events is 0 in the keys
}

func newRun(c *Collector, total int64) *run {
	return &run{
		c: c, total: total,
		groups: map[groupKey]*group{},
		places: map[Place]int64{},
		sum:    Summary{Reasons: map[string]int64{}, Foreign: map[string]int64{}, Forms: map[string]int64{}},
	}
}

// emit lets a chunk leave: first what cannot go on is made durable, then events are sent in their order. The last
// chunk of a source closes its groups.
func (r *run) emit(ctx context.Context, ch *chunk) error {
	if err := r.hold(ctx, ch); err != nil {
		return err
	}
	for i := range ch.records {
		rec := &ch.records[i]
		if rec.bad != nil || rec.placement.Foreign != "" {
			continue
		}
		if err := r.send(ctx, rec, r.acknowledged); err != nil {
			return err
		}
	}
	if ch.last {
		if err := r.recordGroups(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		if ch.err != nil {
			r.sum.Failed = append(r.sum.Failed, SourceError{Source: ch.source.Name, Err: ch.err})
		} else {
			r.sum.Files++
		}
		r.mu.Unlock()
	}
	r.progress(ch)
	return nil
}

func (r *run) send(ctx context.Context, rec *record, done func(*Message, Receipt)) error {
	ev := &rec.event
	// Counted before it is sent, because the answer may be there before Send returns.
	r.mu.Lock()
	r.sum.Events++
	r.sum.Forms[rec.raw.Form]++
	r.places[Place{Cell: rec.placement.Cell, Jurisdiction: jurisdictionName(ev.Jurisdictions), Region: ev.Region, Rule: rec.placement.Rule}]++
	r.mu.Unlock()
	err := r.c.Streams[rec.placement.Cell].Send(ctx, Message{
		UID: ev.UID, Time: ev.Time, Provider: ev.Provider, Region: ev.Region, Account: ev.Account,
		Class: ClassDefault, Event: ev.JSON,
	}, done)
	if err != nil {
		return fmt.Errorf("stream of cell %s: %w", rec.placement.Cell, err)
	}
	return nil
}

func jurisdictionName(ids []string) string {
	if len(ids) == 0 {
		return "unknown"
	}
	return strings.Join(ids, ",")
}

func (r *run) acknowledged(m *Message, receipt Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch receipt.Outcome {
	case Duplicate:
		r.sum.Duplicates++
	case Rejected:
		r.sum.Quarantined++
		r.sum.Reasons[ReasonRejected]++
	default:
		r.sum.Committed++
	}
	if r.c.Receipts != nil {
		r.c.Receipts(m.UID, receipt)
	}
}

// holders write quarantine items at a time: each waits for a disk, not for a core.
const holders = 8

// hold makes the chunk's unusable and foreign records durable and only then counts them.
func (r *run) hold(ctx context.Context, ch *chunk) error {
	type outcome struct {
		rec   *record
		hash  [32]byte
		again bool
	}
	var held []*outcome
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(holders)
	for i := range ch.records {
		rec := &ch.records[i]
		if rec.bad == nil && rec.placement.Foreign == "" {
			continue
		}
		o := &outcome{rec: rec}
		held = append(held, o)
		g.Go(func() (err error) {
			o.hash, o.again, err = r.c.Quarantine.Hold(gctx, rec.item(ch.source.ID))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, o := range held {
		reason := o.rec.reason()
		r.mu.Lock()
		r.sum.Events++
		r.sum.Quarantined++
		r.sum.Reasons[reason]++
		r.sum.Forms[o.rec.raw.Form]++
		if o.rec.bad == nil {
			r.sum.Foreign[o.rec.placement.Foreign]++
		}
		if o.again {
			r.sum.HeldBefore++
		}
		r.mu.Unlock()
		key := groupKey{source: ch.source.ID, reason: reason, foreign: o.rec.placement.Foreign, action: ActionHeld}
		if err := r.note(ctx, key, o.hash); err != nil {
			return err
		}
	}
	return nil
}

func (rec *record) reason() string {
	if rec.bad != nil {
		return string(rec.bad.Reason)
	}
	return ReasonForeign
}

func (rec *record) item(source string) Item {
	h := ItemHeader{
		Reason: rec.reason(), Source: source, Form: rec.raw.Form, Provider: rec.raw.Provider,
		Offset: rec.raw.Offset, Foreign: rec.placement.Foreign,
	}
	if rec.bad != nil {
		h.Detail, h.Offset = rec.bad.Detail, rec.bad.Offset
		return Item{Header: h, Raw: rec.bad.Bytes}
	}
	return Item{Header: h, Raw: rec.raw.Bytes}
}

// note adds an item to its group, whose entry is written when the group is large or its source at its end.
func (r *run) note(ctx context.Context, key groupKey, item [32]byte) error {
	g := r.groups[key]
	if g == nil {
		g = &group{groupKey: key}
		r.groups[key] = g
	}
	g.items = append(g.items, item)
	if len(g.items) < maxGroup {
		return nil
	}
	delete(r.groups, key)
	return r.c.Quarantine.record(ctx, g)
}

func (r *run) recordGroups(ctx context.Context) error {
	keys := slices.SortedFunc(maps.Keys(r.groups), func(a, b groupKey) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.reason, b.reason), cmp.Compare(a.foreign, b.foreign), cmp.Compare(a.dest, b.dest))
	})
	for _, key := range keys {
		if err := r.c.Quarantine.record(ctx, r.groups[key]); err != nil {
			return err
		}
		delete(r.groups, key)
	}
	return nil
}

func (r *run) progress(ch *chunk) {
	if r.c.Progress == nil {
		return
	}
	r.mu.Lock()
	events := r.sum.Events
	r.mu.Unlock()
	r.c.Progress(Progress{Source: ch.source.Name, Bytes: ch.read, Total: r.total, Events: events})
}

// settle waits until every stream has answered for all that was sent, and balances the books.
func (r *run) settle(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for cell, s := range r.c.Streams {
		g.Go(func() error {
			if err := s.Flush(gctx); err != nil {
				return fmt.Errorf("stream of cell %s: %w", cell, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sum; s.Events != s.Committed+s.Duplicates+s.Quarantined {
		return fmt.Errorf("the books do not balance: %d events in, %d committed, %d duplicates, %d quarantined", s.Events, s.Committed, s.Duplicates, s.Quarantined)
	}
	return nil
}

// summary is a copy: a stream may still answer after a run that was stopped.
func (r *run) summary(skipped []Skipped) Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sum
	s.Bytes = r.bytes.Load()
	s.Reasons, s.Foreign, s.Forms = maps.Clone(s.Reasons), maps.Clone(s.Foreign), maps.Clone(s.Forms)
	s.Failed, s.Skipped = slices.Clone(s.Failed), skipped
	for p, n := range r.places {
		p.Events = n
		s.Places = append(s.Places, p)
	}
	slices.SortFunc(s.Places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Cell, b.Cell), cmp.Compare(a.Jurisdiction, b.Jurisdiction), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Rule, b.Rule))
	})
	return s
}
