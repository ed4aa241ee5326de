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
	// The payloads are made and stored beside what follows, which changes memory only.
	var payloads []ledger.Payload
	var storing errgroup.Group
	storing.Go(func() (err error) {
		payloads, err = e.storePayloads(ctx, fresh, e.head.Size)
		return err
	})
	grown, err := e.take(fresh)
	if stored := storing.Wait(); stored != nil {
		return e.fail(stored)
	}
	if err != nil {
		return e.fail(err)
	}
	header := ledger.Header{
		Time: grown.time, Payloads: payloads, Duplicates: e.repeats, Collectors: e.marks.header(), Ahead: e.window.aheadIndexes(),
	}
	err = e.commitGrown(ctx, header, grown.growth, func() error {
		if e.cfg.Committed != nil {
			e.cfg.Committed(e.head.Seq)
		}
		// Findings come before the batch entry that binds their events, so a writer that starts knows which may be
		// missing; and the batch entry can come as soon as the publisher hears of the commit.
		if grown.conflicts > 0 {
			if err := e.findings(ctx, fresh); err != nil {
				return err
			}
		}
		e.batches.committed(commitFacts{header: e.head, hash: e.headHash, regions: grown.regions})
		return nil
	})
	if err != nil {
		return err
	}
	e.repeats, e.marks.moved = 0, false
	if e.scan != nil {
		e.scan.hand(grown.gone, e.window.s0)
	}
	return nil
}

// taken is what changes in memory when events are committed.
type taken struct {
	growth
	time      int64 // of the commit
	conflicts int
	regions   map[string]uint64 // leaves of each
	gone      map[key]held      // uids that the window let go
}

// take gives events their indexes, answers and places in the tree. Marks, window and tree are those that hold after the
// commit. If it fails, this writer is done and so are they.
func (e *Events) take(fresh []*waiting) (taken, error) {
	t := taken{time: e.now(), regions: make(map[string]uint64)}
	commit := heldCommit{seq: e.head.Seq + 1, time: t.time, uids: make([]key, 0, len(fresh))}
	leaves := make([][]byte, len(fresh))
	hashes := make([]ledger.Hash, len(fresh))
	for i, w := range fresh {
		w.index = e.head.Size + uint64(i)
		leaves[i], hashes[i] = w.leaf, w.hash
		t.regions[w.Region]++
		e.window.add(&commit, w.uid, held{w.index, w.content}, w.Time)
		status := Committed
		if w.conflict {
			status = Conflict
			t.conflicts++
		}
		e.settle(w, Result{Status: status, UID: w.UID, Index: w.index, Indexed: true})
	}
	t.gone = e.window.close(commit)
	var err error
	t.growth, err = e.grow(leaves, hashes)
	return t, err
}

// storePayloads makes and stores the payloads of a commit whose first leaf has the index given: one for each class.
func (e *Events) storePayloads(ctx context.Context, fresh []*waiting, first uint64) (payloads []ledger.Payload, err error) {
	for from := 0; from < len(fresh); {
		to := from
		for to < len(fresh) && fresh[to].Class == fresh[from].Class {
			to++
		}
		p, err := e.storePayload(ctx, fresh[from:to], first+uint64(from))
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, p)
		from = to
	}
	return payloads, nil
}

// storePayload makes and stores the payload of records of one class, and its wrapped key. Both are durable on return;
// until a commit names them they are orphans, and mean nothing.
func (e *Events) storePayload(ctx context.Context, records []*waiting, first uint64) (ledger.Payload, error) {
	key, err := e.cfg.Keys.NewPayloadKey(ctx)
	if err != nil {
		return ledger.Payload{}, err
	}
	sealed, err := store.Seal(key, e.packer.pack(records), ledger.PayloadAssociatedData(e.origin, first))
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
	_, err := e.cfg.Control.Append(context.WithoutCancel(ctx), &ledger.FindingEntry{
		Kind: ledger.FindingUIDConflict, Ref: &ledger.LeafRef{Origin: e.origin, Index: index}, State: ledger.FindingOpen,
	})
	if err != nil {
		return e.fail(err)
	}
	return nil
}
