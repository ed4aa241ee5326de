package log

import (
	"context"
	"errors"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// scanLookup answers a look-up from the log itself: it reads every payload before the window once and remembers what a
// table would hold. It is correct and needs no index, but it holds 40 bytes a uid and its first answer takes as long as
// reading those payloads; an index does better. A payload that is gone cannot be read: then only an index can answer.
//
// It knows one log. That is all logs of a cell as long as a uid always goes to the same shard, that is within one
// generation of the topic.
type scanLookup struct {
	reader *Reader
	begin  func(context.Context) (*reading, error) // logs that payloads are about to be read
	uids   map[key]held
	next   uint64 // commit that was not read yet
	built  bool
}

func newScanLookup(r *Reader, begin func(context.Context) (*reading, error)) *scanLookup {
	return &scanLookup{reader: r, begin: begin, uids: make(map[key]held)}
}

// hand takes uids that the window let go, of commits before s0, so that they need not be read back.
func (s *scanLookup) hand(gone map[key]held, s0 uint64) {
	if !s.built {
		return // it is going to read all of them on the first question
	}
	for uid, h := range gone {
		s.uids[uid] = h
	}
	s.next = s0
}

// Find implements Lookup.
func (s *scanLookup) Find(ctx context.Context, origin string, through uint64, uids [][16]byte) ([]Found, error) {
	if err := s.readThrough(ctx, through); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLookup, err)
	}
	var found []Found
	for _, uid := range uids {
		if h, ok := s.uids[uid]; ok {
			found = append(found, Found{UID: uid, Origin: origin, Index: h.index, Content: h.content})
		}
	}
	return found, nil
}

// readThrough reads what is not read yet of the commits up to one. The next try goes on where this one ended.
func (s *scanLookup) readThrough(ctx context.Context, through uint64) error {
	if s.next > through {
		s.built = true
		return nil
	}
	reading, err := s.begin(ctx)
	if err != nil {
		return err
	}
	for ; err == nil && s.next <= through; s.next++ {
		if err = s.reader.Records(ctx, s.next, reading.each(s.hold)); err != nil {
			err = fmt.Errorf("reading commit %d: %w", s.next, err)
			break
		}
	}
	s.built = s.next > through
	return errors.Join(err, reading.end(ctx))
}

func (s *scanLookup) hold(index uint64, rec *ledger.Record) error {
	uid, content, err := Keys(rec)
	if err != nil {
		return err
	}
	s.uids[uid] = held{index, content}
	return nil
}
