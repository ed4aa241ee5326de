package ingest

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/normalize"
)

// Collector reads sources and brings every record to the cell that holds it, or to quarantine. One collector may run
// several times, one run after the other; its streams stay open in between and belong to whoever made them.
type Collector struct {
	Placer     *Placer
	Streams    map[string]Stream // by cell; one for each cell that the placer knows
	Quarantine *Quarantine       // of the collector's own cell
	Normalize  normalize.Options
	Workers    int // cores that normalize; 0 means as many as there are

	// Progress is called for every chunk of records that has left the collector, by one goroutine at a time.
	Progress func(Progress)
	// Receipts is called for every acknowledged event, by one goroutine at a time. Events of one partition come in
	// their order.
	Receipts func(uid string, r Receipt)
}

// Progress is how far a run has come. Bytes are of the sources as stored, compressed or not.
type Progress struct {
	Source string // the one that the latest events come from
	Bytes  int64
	Total  int64 // of the sources whose size is known
	Events int64
}

// Run ingests the sources in their order and returns when everything read is acknowledged by its stream or durable in
// quarantine and named by a control entry.
//
// A source that cannot be read, or not to its end, is listed in Summary.Failed and does not stop the others. What
// stops a run is a quarantine, a control log or a stream that fails, or the end of ctx: then sources are to be fed
// again, and the summary tells only what had happened by then.
func (c *Collector) Run(ctx context.Context, sources Sources) (Summary, error) {
	if err := c.check(); err != nil {
		return Summary{}, err
	}
	r := newRun(c, sources.Size)
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	// The reader cuts chunks, the workers normalize them in any order, and the emitter takes them in the order in
	// which they were read. The length of order bounds what is in memory between reading and sending.
	work := make(chan *chunk)
	order := make(chan *chunk, 2*workers)
	pass := func(ctx context.Context, ch *chunk) error {
		for _, to := range []chan<- *chunk{order, work} {
			select {
			case to <- ch:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(order)
		defer close(work)
		for _, s := range sources.Files {
			if err := r.read(gctx, s, pass); err != nil {
				return err
			}
		}
		return nil
	})
	for range workers {
		g.Go(func() error {
			for ch := range work {
				ch.normalize(c.Normalize, c.Placer)
				close(ch.ready)
			}
			return nil
		})
	}
	g.Go(func() error {
		for ch := range order {
			select {
			case <-ch.ready:
			case <-gctx.Done():
				return context.Cause(gctx)
			}
			if err := r.emit(gctx, ch); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	if err == nil {
		err = r.settle(ctx)
	}
	s := r.summary(sources.Skipped)
	if err != nil {
		return s, fmt.Errorf("ingest stopped: %w", err)
	}
	return s, nil
}

func (c *Collector) check() error {
	for cell := range c.Placer.cells {
		if c.Streams[cell] == nil {
			return fmt.Errorf("cell %s has no stream", cell)
		}
	}
	return nil
}
