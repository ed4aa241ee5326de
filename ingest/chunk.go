package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"domicile.dev/domicile/normalize"
)

// chunk is a run of records of one source; workers take it as a whole, which keeps the hand-over cheap.
type chunk struct {
	source Source
	last   bool  // of its source
	err    error // what is wrong with the source as a whole; told in its last chunk
	read   int64 // bytes of all sources that were read when the chunk was cut

	arena   []byte
	records []record
	ready   chan struct{} // closed when normalized
}

// record is one record of a source and what became of it: bad, foreign, or an event with a cell.
type record struct {
	raw       normalize.Raw
	bad       *normalize.RecordError
	event     normalize.Event
	placement Placement
}

// A chunk is full at either of these. Small enough that two cores share a small file, large enough that channels do
// not show in a profile.
const (
	chunkRecords = 256
	chunkBytes   = 256 << 10
)

// errCut is the failure of a source whose last record is incomplete: what there is of it is in quarantine, and whatever
// followed is missing.
var errCut = errors.New("ends in the middle of a record; the rest of the file is missing")

// read cuts a source into chunks and passes them on. It returns an error only when the run is over.
func (r *run) read(ctx context.Context, s Source, pass func(context.Context, *chunk) error) error {
	ch := newChunk(s)
	rc, err := s.Open(ctx)
	if err != nil {
		ch.last, ch.err, ch.read = true, err, r.bytes.Load()
		return pass(ctx, ch)
	}
	defer rc.Close()
	c := cutter{from: normalize.NewReader(&countingReader{r: rc, n: &r.bytes})}
	for more := true; more; {
		more = c.fill(ch)
		ch.read = r.bytes.Load()
		if !more {
			ch.last, ch.err = true, c.fault
		}
		if err := pass(ctx, ch); err != nil {
			return err
		}
		before := ch
		ch = newChunk(s)
		if more { // the next one will be as large
			ch.arena = make([]byte, 0, len(before.arena)+len(before.arena)/8)
			ch.records = make([]record, 0, len(before.records))
		}
	}
	return nil
}

func newChunk(s Source) *chunk { return &chunk{source: s, ready: make(chan struct{})} }

// cutter is a source being read.
type cutter struct {
	from  *normalize.Reader
	fault error // of the source, the latest if there are several
	cut   bool  // the latest bytes were a record that the file does not finish
}

// fill takes records until the chunk is full; false when the source has no more.
func (c *cutter) fill(ch *chunk) (more bool) {
	for len(ch.records) < chunkRecords && len(ch.arena) < chunkBytes {
		raw, err := c.from.Next()
		var bad *normalize.RecordError
		switch {
		case err == nil:
			ch.keep(raw, nil)
			c.cut = false
		case errors.As(err, &bad) && len(bad.Bytes) > 0:
			ch.keep(raw, bad)
			c.cut = bad.Reason == normalize.Truncated
		case bad != nil:
			// Something is wrong with the file and not with a record: there are no bytes to keep.
			c.fault = fmt.Errorf("%s: %s", bad.Reason, bad.Detail)
		case err != io.EOF:
			c.fault = err
			return false
		default:
			if c.cut {
				c.fault = errCut
			}
			return false
		}
	}
	return true
}

// keep copies a record, whose bytes the reader will overwrite. Earlier ones stay where they are when the arena grows.
func (ch *chunk) keep(raw normalize.Raw, bad *normalize.RecordError) {
	if bad == nil {
		raw.Bytes = ch.copy(raw.Bytes)
	} else {
		b := *bad
		b.Bytes = ch.copy(bad.Bytes)
		bad, raw.Form = &b, cmp.Or(raw.Form, bad.Form)
	}
	ch.records = append(ch.records, record{raw: raw, bad: bad})
}

func (ch *chunk) copy(b []byte) []byte {
	from := len(ch.arena)
	ch.arena = append(ch.arena, b...)
	return ch.arena[from:len(ch.arena):len(ch.arena)]
}

// normalize is the work that is shared among cores. It is pure.
func (ch *chunk) normalize(opt normalize.Options, p *Placer) {
	for i := range ch.records {
		if rec := &ch.records[i]; rec.bad == nil {
			rec.normalize(opt, p)
		}
	}
}

func (rec *record) normalize(opt normalize.Options, p *Placer) {
	var err error
	if rec.event, err = normalize.Normalize(rec.raw, opt); err == nil {
		rec.placement = p.Place(&rec.event)
		return
	}
	if !errors.As(err, &rec.bad) {
		// Against the contract; the record is kept all the same, without a text that could hold its data.
		rec.bad = &normalize.RecordError{Reason: normalize.NotAnEvent}
	}
	rec.bad.Bytes, rec.bad.Offset = rec.raw.Bytes, rec.raw.Offset
}

// countingReader counts what a source gave, for progress.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
