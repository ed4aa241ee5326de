package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"domicile.dev/domicile/ledger"
)

// decide finds out of every message whether its event is new, and returns those that are, in order. What cannot be
// decided now waits; what is no event of this log is rejected.
func (e *Events) decide(ctx context.Context, list []*waiting) (fresh []*waiting, err error) {
	here := make(map[key]*waiting, len(list)) // new in this very commit
	for _, w := range list {
		if w.refused != nil {
			if err := e.reject(ctx, w); err != nil {
				return nil, err
			}
			continue
		}
		isNew, err := e.decideOne(ctx, w, here)
		if errors.Is(err, ErrLookup) {
			e.waiting = append(e.waiting, w)
			continue
		}
		if err != nil {
			return nil, err
		}
		if isNew {
			here[w.uid] = w
			fresh = append(fresh, w)
		}
	}
	return fresh, nil
}

func (e *Events) reject(ctx context.Context, w *waiting) error {
	if e.cfg.Reject == nil {
		return fmt.Errorf("log %s: event %s: %w", e.origin, w.UID, w.refused)
	}
	// Kept somewhere else before the mark moves over it: nothing is lost.
	if err := e.cfg.Reject(context.WithoutCancel(ctx), w.Message, w.refused); err != nil {
		return fmt.Errorf("log %s: keeping a rejected event: %w", e.origin, err)
	}
	e.settle(w, Result{Status: Rejected, UID: w.UID})
	return nil
}

// decideOne reports whether an event is new. A repeat is settled. An event that shares its uid with another one becomes
// …~2 (or ~3, …), so that both are kept.
func (e *Events) decideOne(ctx context.Context, w *waiting, here map[key]*waiting) (isNew bool, err error) {
	original := w.UID
	for n := 1; ; n++ {
		uid, id := original, w.uid
		if n > 1 {
			uid = sameUID(original, n)
			id = uidKey(uid)
		}
		if other, ok := here[id]; ok {
			if other.content == w.content {
				// The index is known once the commit is made: it is answered with the other one.
				other.twins = append(append(other.twins, twin{w.sub, w.at, Duplicate}), w.twins...)
				return false, nil
			}
			continue
		}
		found, ok, err := e.find(ctx, uid, id, w.Time)
		if err != nil {
			return false, err
		}
		if !ok {
			if n > 1 {
				var salt [32]byte
				if _, err := io.ReadFull(e.Rand, salt[:]); err != nil {
					return false, err
				}
				twins, message := w.twins, w.Message
				w.prepared = e.renamer.rename(w.prepared, uid, &salt)
				w.twins = twins
				if w.refused != nil {
					w.Message = message
					return false, e.reject(ctx, w)
				}
				w.conflict = true
			}
			return true, nil
		}
		same, err := e.sameContent(ctx, w, found)
		if err != nil {
			return false, err
		}
		if same {
			e.settle(w, Result{Status: Duplicate, UID: uid, Index: found.Index, Indexed: found.Origin == e.origin})
			return false, nil
		}
	}
}

// find looks for a committed event by its uid: in the window, and beyond it if the window cannot say.
func (e *Events) find(ctx context.Context, uid string, id key, eventTime int64) (Found, bool, error) {
	if h, ok := e.window.uids[id]; ok {
		f := Found{Origin: e.origin, Index: h.index}
		copy(f.Content[:], h.content[:])
		return f, true, nil
	}
	if e.window.decides(eventTime) {
		return Found{}, false, nil
	}
	return e.lookup.Find(ctx, uid, e.window.s0)
}

// sameContent compares an event with a committed one of its uid. If they differ, the stored one is normalized again
// before judging: an upgrade that maps a field anew makes no findings. If it cannot be read now, the event waits.
func (e *Events) sameContent(ctx context.Context, w *waiting, found Found) (bool, error) {
	if keyOf(found.Content) == w.content {
		return true, nil
	}
	if e.cfg.Renormalize == nil {
		return false, nil
	}
	line := found.Record
	if line == nil && found.Origin == e.origin {
		var err error
		line, err = e.reader.Record(ctx, found.Index)
		if errors.Is(err, ErrNoRecord) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrLookup, err)
		}
	}
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return false, fmt.Errorf("%w: log %s: record %d: %w", ErrLookup, found.Origin, found.Index, err)
	}
	again, err := e.cfg.Renormalize(rec.Event)
	if err != nil { // it cannot be normalized any more: what is stored stands
		return false, nil
	}
	return keyOf(again) == w.content, nil
}

// readWindow reads the uids back that the window of a new writer holds: those of the newest commits, up to the limit,
// and of older events that are dated in the future.
//
// Which commit comes first is free, as long as the events that were listed as ahead just before it are held too: an
// event that was struck off the list later may still be in this window's future.
func readWindow(ctx context.Context, e *Events) (*window, error) {
	w := newWindow(e.cfg.Skew, e.cfg.Window)
	first, leaves := e.head.Seq, uint64(0)
	for ; first > 0; first-- {
		header, _, err := e.header(ctx, first)
		if err != nil {
			return nil, err
		}
		if leaves += header.Size - header.First; leaves > uint64(e.cfg.Window) && first < e.head.Seq {
			first++
			break
		}
	}
	if first > 0 {
		before, _, err := e.header(ctx, first-1)
		if err != nil {
			return nil, err
		}
		w.startAt(first, before.Time)
		for _, index := range before.Ahead {
			line, err := e.reader.Record(ctx, index)
			if errors.Is(err, ErrNoRecord) {
				continue // erased: its uid is refused by the key store
			}
			if err != nil {
				return nil, err
			}
			rec, err := ledger.ParseRecord(line)
			if err != nil {
				return nil, err
			}
			uid, time, err := identity(rec)
			if err != nil {
				return nil, err
			}
			w.addAhead(uidKey(uid), held{index, keyOf(ledger.ContentHash(rec.Fields))}, time)
		}
	}
	unbound, err := e.unbound(ctx, first)
	if err != nil {
		return nil, err
	}
	for seq := first; seq <= e.head.Seq; seq++ {
		header, _, err := e.header(ctx, seq)
		if err != nil {
			return nil, err
		}
		commit := heldCommit{seq: seq, time: header.Time}
		err = e.reader.records(ctx, seq, func(index uint64, rec *ledger.Record) error {
			uid, time, err := identity(rec)
			if err == nil {
				if seq >= e.batches.first && renamed.MatchString(uid) {
					unbound = append(unbound, index)
				}
				w.add(&commit, uidKey(uid), held{index, keyOf(ledger.ContentHash(rec.Fields))}, time)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		w.close(commit)
	}
	// A crash may have come between the commit of a second event of one uid and its finding: better twice than never.
	// Batch entries are held until this is done, so the commits to look at are those that none binds.
	for _, index := range unbound {
		if err := e.finding(ctx, index); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// unbound returns the leaves of second events of a uid in the commits before the window that no batch entry binds.
func (e *Events) unbound(ctx context.Context, before uint64) (indexes []uint64, err error) {
	if e.cfg.Control == nil {
		return nil, nil
	}
	for seq := e.batches.first; seq < before; seq++ {
		err := e.reader.records(ctx, seq, func(index uint64, rec *ledger.Record) error {
			uid, _, err := identity(rec)
			if renamed.MatchString(uid) {
				indexes = append(indexes, index)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return indexes, nil
}

// renamed matches the uids that sameUID makes.
var renamed = regexp.MustCompile(`~[0-9]+$`)
