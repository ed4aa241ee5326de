package log

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"domicile.dev/domicile/ledger"
)

// errNoWindow wraps why appending cannot begin.
var errNoWindow = errors.New("the window of recent uids cannot be read back, so repeats could not be recognized: appending waits")

// loadWindow reads the duplicate window back. It reads event data, so that is logged before.
func (e *Events) loadWindow(ctx context.Context) error {
	reading := new(reading)
	if e.head.Size > 0 {
		var err error
		if reading, err = e.beginReading(ctx); err != nil {
			return err
		}
	}
	w, err := readWindow(ctx, e, reading)
	if err != nil {
		err = fmt.Errorf("log %s: %w: %w", e.origin, errNoWindow, err)
		return errors.Join(err, reading.end(ctx))
	}
	e.window = w
	e.batches.release()
	return reading.end(ctx)
}

// readWindow reads the uids back that the window of a new writer holds: those of the newest commits, up to the limit,
// and of older events that are dated in the future.
//
// Which commit comes first is free, as long as the events that were listed as ahead just before it are held too: an
// event that was struck off the list later may still be in this window's future.
func readWindow(ctx context.Context, e *Events, reading *reading) (*window, error) {
	w := newWindow(e.cfg.Skew, e.leastSkew, e.cfg.Window)
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
			reading.read(line)
			rec, err := ledger.ParseRecord(line)
			if err != nil {
				return nil, err
			}
			uid, time, err := identity(rec)
			if err != nil {
				return nil, err
			}
			w.addAhead(UIDKey(uid), held{index, ContentKey(rec.Fields)}, time)
		}
	}
	unbound, err := e.unbound(ctx, first, reading)
	if err != nil {
		return nil, err
	}
	for seq := first; seq <= e.head.Seq; seq++ {
		header, _, err := e.header(ctx, seq)
		if err != nil {
			return nil, err
		}
		commit := heldCommit{seq: seq, time: header.Time}
		err = e.reader.Records(ctx, seq, reading.each(func(index uint64, rec *ledger.Record) error {
			uid, time, err := identity(rec)
			if err == nil {
				if seq >= e.batches.first && renamed.MatchString(uid) {
					unbound = append(unbound, index)
				}
				w.add(&commit, UIDKey(uid), held{index, ContentKey(rec.Fields)}, time)
			}
			return err
		}))
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
func (e *Events) unbound(ctx context.Context, before uint64, reading *reading) (indexes []uint64, err error) {
	if e.cfg.Control == nil {
		return nil, nil
	}
	for seq := e.batches.first; seq < before; seq++ {
		err := e.reader.Records(ctx, seq, reading.each(func(index uint64, rec *ledger.Record) error {
			uid, _, err := identity(rec)
			if renamed.MatchString(uid) {
				indexes = append(indexes, index)
			}
			return err
		}))
		if err != nil {
			return nil, err
		}
	}
	return indexes, nil
}

// renamed matches the uids that sameUID makes.
var renamed = regexp.MustCompile(`~[0-9]+$`)
