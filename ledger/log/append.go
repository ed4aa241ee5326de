package log

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// commitNew commits events that are known to be new: payloads and their wrapped keys first, then the commit. Without
// events it commits what else moved: numbers and the count of repeats.
func (e *Events) commitNew(ctx context.Context, fresh []*waiting) error {
	// One payload holds the records of one class, and the payloads tile the commit: leaves of a class lie together.
	slices.SortStableFunc(fresh, func(a, b *waiting) int { return cmp.Compare(a.Class, b.Class) })
	var payloads []ledger.Payload
	for from := 0; from < len(fresh); {
		to := from
		for to < len(fresh) && fresh[to].Class == fresh[from].Class {
			to++
		}
		p, err := e.storePayload(ctx, fresh[from:to], e.head.Size+uint64(from))
		if err != nil {
			return e.fail(err)
		}
		payloads = append(payloads, p)
		from = to
	}

	// Marks and window are those that hold after the commit. If it fails, this writer is done and so are they.
	now := e.now()
	commit := heldCommit{seq: e.head.Seq + 1, time: now}
	leaves := make([][]byte, len(fresh))
	conflicts := 0
	for i, w := range fresh {
		w.index = e.head.Size + uint64(i)
		leaves[i] = w.leaf
		e.window.add(&commit, w.uid, held{w.index, w.content}, w.Time)
		status := Committed
		if w.conflict {
			status = Conflict
			conflicts++
		}
		e.settle(w, Result{Status: status, UID: w.UID, Index: w.index, Indexed: true})
		for _, t := range w.twins {
			t.sub.results[t.at] = Result{Status: Duplicate, UID: w.UID, Index: w.index, Indexed: true}
		}
	}
	gone := e.window.close(commit)
	header := ledger.Header{
		Time: now, Payloads: payloads, Duplicates: e.repeats, Collectors: e.marks.header(), Ahead: e.window.aheadIndexes(),
	}
	err := e.commit(ctx, header, leaves, func() error {
		// Findings come before the batch entry that binds their events, so a writer that starts knows which may be
		// missing; and the batch entry can come as soon as the publisher hears of the commit.
		if conflicts > 0 {
			if err := e.findings(ctx, fresh); err != nil {
				return err
			}
		}
		return e.batches.committed(&e.head, e.headHash, leaves)
	})
	if err != nil {
		return err
	}
	e.repeats = 0
	if e.scan != nil {
		e.scan.hand(gone, e.window.s0)
	}
	return nil
}

// storePayload makes and stores the payload of records of one class, and its wrapped key. Both are durable on return;
// until a commit names them they are orphans, and mean nothing.
func (e *Events) storePayload(ctx context.Context, records []*waiting, first uint64) (ledger.Payload, error) {
	size := 0
	for _, w := range records {
		size += len(w.line) + 1
	}
	joined := make([]byte, 0, size)
	for i, w := range records {
		if i > 0 {
			joined = append(joined, '\n')
		}
		joined = append(joined, w.line...)
	}
	key, err := e.cfg.Keys.NewPayloadKey(ctx)
	if err != nil {
		return ledger.Payload{}, err
	}
	sealed, err := store.Seal(key, e.codec.Compress(joined), ledger.PayloadAssociatedData(e.origin, first))
	if err != nil {
		return ledger.Payload{}, err
	}
	sum := sha256.Sum256(sealed)
	p := ledger.Payload{
		Class: records[0].Class, First: first, Records: uint64(len(records)),
		Key: ledger.PayloadKey(first, sum), SHA256: hex.EncodeToString(sum[:]), Bytes: uint64(len(sealed)),
	}
	name := e.key(p.Key)
	crash.Point("commit/before-payload")
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return retry(groupCtx, func() error { return e.cfg.Keys.Put(groupCtx, name, key) })
	})
	group.Go(func() error {
		return retry(groupCtx, func() error { return store.Ensure(groupCtx, e.locked, store.Object{Key: name, Data: sealed}) })
	})
	err = group.Wait()
	crash.Point("commit/after-payload")
	return p, err
}

// findings reports events that share a uid with another one, after both are committed.
func (e *Events) findings(ctx context.Context, fresh []*waiting) error {
	for _, w := range fresh {
		if !w.conflict {
			continue
		}
		if err := e.finding(ctx, w.index); err != nil {
			return err
		}
	}
	return nil
}

func (e *Events) finding(ctx context.Context, index uint64) error {
	if e.cfg.Control == nil {
		return nil
	}
	_, err := e.cfg.Control.Append(ctx, &ledger.FindingEntry{
		Kind: ledger.FindingUIDConflict, Ref: &ledger.LeafRef{Origin: e.origin, Index: index}, State: ledger.FindingOpen,
	})
	if err != nil {
		return e.fail(err)
	}
	return nil
}
