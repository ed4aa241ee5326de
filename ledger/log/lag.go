package log

import (
	"context"
	"time"
)

// Lag is how far a log has come, in leaves, and what holds it up. What is committed is safe; what is not published
// cannot be proven yet.
type Lag struct {
	Committed uint64
	Published uint64
	Bound     uint64 // named by batch entries; in a log that has none, as Published

	// Why the newest publication failed, and when the first one in a row did. Publication is tried again by itself.
	Err   error
	Since time.Time

	// Events that wait because the look-up of older ones cannot answer, why it cannot, and since when.
	Waiting     int
	LookupErr   error
	LookupSince time.Time

	Stopped error // why the writer does nothing more
}

// Lag tells how far the log has come. It never waits for a store.
func (e *Events) Lag() Lag {
	l := e.pub.lag()
	if e.cfg.Control != nil {
		l.Bound = e.batches.boundSize.Load()
	}
	l.Waiting = int(e.waits.Load())
	for _, t := range []*trouble{&e.lookups, &e.comparisons} {
		if l.LookupErr == nil {
			l.LookupSince, l.LookupErr = t.last()
		}
	}
	return l
}

// Lag tells how far the log has come. It never waits for a store.
func (c *Control) Lag() Lag { return c.pub.lag() }

func (p *publisher) lag() Lag {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := Lag{Committed: p.target.size, Published: p.doneSize, Bound: p.doneSize, Stopped: p.err()}
	if p.failing != nil {
		l.Err, l.Since = p.failing, p.since
	}
	return l
}

// note takes note of a publication that succeeded or failed. That a caller gave up is no failure.
func (p *publisher) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.failing == nil {
		p.since = p.Clock()
	}
	p.failing = err
}

// doneAt takes note of the size that is published.
func (p *publisher) doneAt(size uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doneSize = size
}
