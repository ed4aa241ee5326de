package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"domicile.dev/domicile/ledger"
)

// A judgement finds out which messages on their way into one commit bring new events.
type judgement struct {
	*Events
	here    map[key]*waiting // new in this very commit
	older   older
	now     int64    // the least time that the commit will have
	ahead   int      // events dated in the future that are held, this commit's included
	reading *reading // of stored records that are compared; nil until there is one
}

// decide finds out of every message whether its event is new, and returns those that are, in order. What cannot be
// decided now waits; what is no event of this log is rejected.
func (e *Events) decide(ctx context.Context, list []*waiting) (fresh []*waiting, err error) {
	j := judgement{Events: e, here: make(map[key]*waiting, len(list)), now: e.now(), ahead: len(e.window.ahead)}
	j.lookUp(ctx, list)
	for _, w := range list {
		if w.refused != nil {
			if err = e.reject(ctx, w); err != nil {
				break
			}
			continue
		}
		isNew, decideErr := j.decide(ctx, w)
		if errors.Is(decideErr, ErrLookup) {
			e.waiting = append(e.waiting, w)
			continue
		}
		if err = decideErr; err != nil {
			break
		}
		if isNew {
			j.here[w.uid] = w
			fresh = append(fresh, w)
		}
	}
	if j.reading != nil {
		err = errors.Join(err, j.reading.end(ctx))
	}
	return fresh, err
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

// decide reports whether an event is new. A repeat is settled. An event that shares its uid with another one becomes
// …~2 (or ~3, …), so that both are kept.
func (j *judgement) decide(ctx context.Context, w *waiting) (isNew bool, err error) {
	original := w.UID
names:
	for n := 1; ; n++ {
		uid, id := original, w.uid
		if n > 1 {
			uid = sameUID(original, n)
			id = UIDKey(uid)
		}
		if other, ok := j.here[id]; ok {
			if other.content == w.content {
				// The index is known once the commit is made: it is answered with the other one.
				other.twins = append(append(other.twins, twin{w.sub, w.at, Duplicate}), w.twins...)
				return false, nil
			}
			continue
		}
		found, err := j.find(ctx, id, w.Time)
		if err != nil {
			return false, err
		}
		for i := range found {
			same, err := j.sameContent(ctx, w, &found[i])
			if err != nil {
				return false, err
			}
			if same {
				j.settle(w, Result{Status: Duplicate, UID: uid, Index: found[i].Index, Indexed: found[i].Origin == j.origin})
				return false, nil
			}
		}
		if len(found) > 0 {
			continue names
		}
		if w.refused = j.tooFarAhead(w); w.refused != nil {
			return false, j.reject(ctx, w)
		}
		if n > 1 {
			return j.rename(ctx, w, uid)
		}
		return true, nil
	}
}

// tooFarAhead is why an event is not taken that is dated in the future: it would have to be held, and so many are that
// each commit names that they must not become more.
func (j *judgement) tooFarAhead(w *waiting) error {
	if !j.window.dated(w.Time, j.now) {
		return nil
	}
	if j.ahead >= j.cfg.MaxAhead {
		by := time.Duration(w.Time-j.now) * time.Millisecond
		return fmt.Errorf("the event is dated %v in the future, and the log holds %d such events already: correct the clock of its source, and send it again when its time has come", by, j.ahead)
	}
	j.ahead++
	return nil
}

// rename makes an event one of another uid.
func (j *judgement) rename(ctx context.Context, w *waiting, uid string) (isNew bool, err error) {
	var salt [32]byte
	if _, err := io.ReadFull(j.Rand, salt[:]); err != nil {
		return false, err
	}
	twins, message := w.twins, w.Message
	w.prepared = j.renamer.rename(w.prepared, uid, &salt)
	w.twins = twins
	if w.refused != nil {
		w.Message = message
		return false, j.reject(ctx, w)
	}
	w.conflict = true
	return true, nil
}

// find looks for committed events by a uid: in the window, and beyond it if the window cannot say.
func (j *judgement) find(ctx context.Context, id key, eventTime int64) ([]Found, error) {
	if h, ok := j.window.uids[id]; ok {
		return []Found{{UID: id, Origin: j.origin, Index: h.index, Content: h.content}}, nil
	}
	if j.window.decides(eventTime) {
		return nil, nil
	}
	return j.answer(ctx, id)
}

// sameContent compares an event with a committed one of its uid. If they differ, the stored one is normalized again
// before judging: an upgrade that maps a field anew makes no findings. If it cannot be read now, or the control log does
// not take the entry that says so, the event waits.
func (j *judgement) sameContent(ctx context.Context, w *waiting, found *Found) (bool, error) {
	if found.Content == w.content {
		return true, nil
	}
	if j.cfg.Renormalize == nil {
		return false, nil
	}
	reader := j.reader
	if found.Origin != j.origin {
		if j.cfg.Others == nil {
			return false, nil
		}
		var err error
		if reader, err = j.cfg.Others(ctx, found.Origin); err != nil {
			return false, j.comparisons.note(fmt.Errorf("log %s: %w", found.Origin, err))
		}
	}
	if j.reading == nil { // one entry for all comparisons of a commit
		if err := j.comparisons.putOff(); err != nil {
			return false, err
		}
		reading, err := j.beginReading(ctx)
		if err != nil {
			return false, j.comparisons.note(err)
		}
		j.reading = reading
	}
	line, err := reader.Record(ctx, found.Index)
	if errors.Is(err, ErrNoRecord) {
		return false, nil
	}
	if err != nil {
		return false, j.comparisons.note(err)
	}
	j.comparisons.clear()
	j.reading.read(line)
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		return false, j.comparisons.note(fmt.Errorf("log %s: record %d: %w", found.Origin, found.Index, err))
	}
	again, err := j.cfg.Renormalize(rec.Event)
	if err != nil { // it cannot be normalized any more: what is stored stands
		return false, nil
	}
	return keyOf(again) == w.content, nil
}
