package log

import (
	"context"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// scanLookup answers a look-up from the log itself: it reads every payload before the window once, remembers the uids,
// and reads the record of one that is asked for again. It is correct and needs no index, but it holds 40 bytes a uid
// and its first answer takes as long as reading those payloads; an index does better.
//
// It knows one log. That is all logs of a cell as long as a uid always goes to the same shard, that is within one
// generation of the topic.
type scanLookup struct {
	reader *Reader
	uids   map[key]uint64 // leaf index
	next   uint64         // commit that was not read yet
	built  bool
}

func newScanLookup(r *Reader) *scanLookup { return &scanLookup{reader: r, uids: make(map[key]uint64)} }

// hand takes uids that the window let go, of commits before s0, so that they need not be read back.
func (s *scanLookup) hand(gone map[key]held, s0 uint64) {
	if !s.built {
		return // it is going to read all of them on the first question
	}
	for uid, h := range gone {
		s.uids[uid] = h.index
	}
	s.next = s0
}

// Find implements Lookup.
func (s *scanLookup) Find(ctx context.Context, uid string, before uint64) (Found, bool, error) {
	for ; s.next < before; s.next++ {
		err := s.reader.records(ctx, s.next, func(index uint64, rec *ledger.Record) error {
			uid, _, err := identity(rec)
			if err == nil {
				s.uids[uidKey(uid)] = index
			}
			return err
		})
		if err != nil {
			return Found{}, false, fmt.Errorf("%w: reading commit %d: %w", ErrLookup, s.next, err)
		}
	}
	s.built = true
	index, ok := s.uids[uidKey(uid)]
	if !ok {
		return Found{}, false, nil
	}
	line, err := s.reader.Record(ctx, index)
	if err != nil {
		return Found{}, false, fmt.Errorf("%w: reading record %d: %w", ErrLookup, index, err)
	}
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return Found{}, false, fmt.Errorf("%w: record %d: %w", ErrLookup, index, err)
	}
	return Found{Origin: s.reader.origin, Index: index, Content: ledger.ContentHash(rec.Fields), Record: line}, true, nil
}
