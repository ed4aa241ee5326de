package log

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// openWriter finds out where a log stands and makes a writer that goes on from there. What the commits say is true;
// the open store is only believed where it agrees with them. It publishes nothing yet: the commits that were never
// published are offered to the publisher, as if they had just been made.
//
// It refuses if anything signed is ahead of the commits or disagrees with them, if the log lives in another store, or
// if a commit lies behind a hole: going on would fork the log.
func openWriter(ctx context.Context, cfg Config) (*writer, error) {
	return openIf(ctx, cfg, (*writer).livesHere)
}

// openWriterAnywhere is openWriter without the question whether the log lives in this store.
func openWriterAnywhere(ctx context.Context, cfg Config) (*writer, error) {
	return openIf(ctx, cfg, func(*writer, *ledger.Header) error { return nil })
}

// openIf opens a log unless its head is refused. Another writer may commit and publish while this one looks around; what
// then seems to be ahead of the commits is looked at again.
func openIf(ctx context.Context, cfg Config, may func(*writer, *ledger.Header) error) (*writer, error) {
	cfg.defaults()
	const tries = 100
	for try := 1; ; try++ {
		w, err := lookAround(ctx, cfg, may)
		if err == nil || w == nil || try == tries {
			return w, err
		}
		if seq, headErr := w.chain.head(ctx); headErr != nil || seq == w.head.Seq {
			return nil, err
		}
	}
}

// lookAround makes a writer of what the stores hold now. With an error it returns one only if the head was found.
func lookAround(ctx context.Context, cfg Config, may func(*writer, *ledger.Header) error) (*writer, error) {
	w := &writer{Config: cfg, chain: chain{cfg.Locked, cfg.Origin}}
	w.pub = newPublisher(w)
	var err error
	if w.id, err = newID(cfg.Rand); err != nil {
		return nil, err
	}
	if w.storeID, err = cfg.Locked.ID(ctx); err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(cfg.VKey)
	if err != nil {
		return nil, fmt.Errorf("log %s: its key: %w", w.origin, err)
	}
	w.verifiers = note.VerifierList(verifier)
	if cfg.Signer.Name() != verifier.Name() || cfg.Signer.KeyHash() != verifier.KeyHash() {
		return nil, fmt.Errorf("log %s: the key that signs (%s+%08x) does not belong to %s: restore the log's key", w.origin, cfg.Signer.Name(), cfg.Signer.KeyHash(), cfg.VKey)
	}

	seq, err := w.chain.head(ctx)
	if err != nil {
		return nil, err
	}
	head, hash, err := w.header(ctx, seq)
	if err != nil {
		return nil, err
	}
	first, _, err := w.header(ctx, 0)
	if err != nil {
		return nil, err
	}
	if first.VKey != cfg.VKey {
		return nil, fmt.Errorf("log %s belongs to the key %s, this is %s: restore its key", w.origin, first.VKey, cfg.VKey)
	}
	if err := may(w, head); err != nil { // before anything is written: restoring the tree may complete publications
		return nil, err
	}
	w.head, w.headHash = *head, hash
	published, err := w.readCheckpoint(ctx)
	if err != nil {
		return w, err
	}
	if err := w.nothingSignedAhead(ctx, published.size); err != nil {
		return w, err
	}
	return w, w.restoreTree(ctx, published)
}

// livesHere refuses a log whose head names another store: a copied directory must not fork it.
func (w *writer) livesHere(head *ledger.Header) error {
	switch {
	case head.MovedTo == w.storeID:
		return nil
	case head.MovedTo != "":
		return fmt.Errorf("log %s: %w (%s): write to it there", w.origin, ErrMoved, head.MovedTo)
	case head.Store != w.storeID:
		return fmt.Errorf("log %s was written in store %s, this is %s, a copy: if the original is gone for good (this is a restored backup), run domicile log adopt; never do so while the original may still be written to", w.origin, head.Store, w.storeID)
	}
	return nil
}

// readCheckpoint reads what the open store says is published, and holds it against the commits.
func (w *writer) readCheckpoint(ctx context.Context) (published, error) {
	key := w.key(ledger.CheckpointKey)
	signed, info, err := w.Config.Open.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return published{}, nil
	}
	if err != nil {
		return published{}, fmt.Errorf("%s: %w", key, err)
	}
	cp, err := w.openNote(signed)
	if err != nil {
		return published{}, fmt.Errorf("%s: %w: remove the open folder of this log if it is damaged, everything in it is made again; what another key has signed is for an auditor to see first", key, err)
	}
	if cp.Size > w.head.Size {
		return published{}, fmt.Errorf("%s is signed for %d leaves, the commits hold %d: commits are missing, refusing to start; restore them", key, cp.Size, w.head.Size)
	}
	header, hash, err := w.commitOfSize(ctx, cp.Size, w.head.Seq)
	if err != nil {
		return published{}, err
	}
	if err := w.agrees(ctx, cp, header.Seq); err != nil {
		return published{}, fmt.Errorf("%s: %w", key, err)
	}
	w.pub.version = info.Version
	return published{size: cp.Size, root: cp.Root, seq: header.Seq, hash: hash, note: signed}, nil
}

// nothingSignedAhead looks at the archived checkpoints from the published size on: a publication that was interrupted
// leaves one that `checkpoint` does not say yet, but none is ahead of the commits or disagrees with them.
func (w *writer) nothingSignedAhead(ctx context.Context, size uint64) error {
	prefix := w.key(ledger.CheckpointPrefix)
	for info, err := range w.locked.List(ctx, prefix, w.key(ledger.ArchiveKey(size))) {
		if err != nil {
			return fmt.Errorf("%s: %w", prefix, err)
		}
		signed, _, err := w.locked.Get(ctx, info.Key)
		if err != nil {
			return fmt.Errorf("%s: %w", info.Key, err)
		}
		cp, err := w.openNote(signed)
		if err != nil {
			return fmt.Errorf("%s: %w", info.Key, err)
		}
		if cp.Size > w.head.Size {
			return fmt.Errorf("%s is signed for %d leaves, the commits hold %d: commits are missing, refusing to start; restore them", info.Key, cp.Size, w.head.Size)
		}
		if err := w.agrees(ctx, cp, w.head.Seq); err != nil {
			return fmt.Errorf("%s: %w", info.Key, err)
		}
	}
	return nil
}

// CheckBatch refuses to go on if a `batch` entry of the control log is ahead of the commits or disagrees with them.
func (w *writer) checkBatch(ctx context.Context, b *custody.Batch) error {
	if b.CommitSeq > w.head.Seq || b.Size > w.head.Size {
		return fmt.Errorf("log %s: the control log binds commit %d with %d leaves, the commits end at %d with %d: commits are missing, refusing to start; restore them", w.origin, b.CommitSeq, b.Size, w.head.Seq, w.head.Size)
	}
	header, hash, err := w.header(ctx, b.CommitSeq)
	if err != nil {
		return err
	}
	if hash != fmt.Sprintf("%x", b.CommitHash) || header.Size != b.Size || header.Root != ledger.FormatHash(b.Root) {
		return fmt.Errorf("log %s: commit %d is not the one that the control log binds (%x): the logs disagree, refusing to start", w.origin, b.CommitSeq, b.CommitHash)
	}
	return nil
}

// restoreTree brings the tree to the head: from the published tiles, if they give the published root, else from the
// first commit on; then over the commits that were never published. It checks the chain and every root on the way.
func (w *writer) restoreTree(ctx context.Context, done published) error {
	next := uint64(0)
	if done.size > 0 {
		edge, err := tile.LoadEdge(done.size, func(path string) ([]byte, error) {
			data, _, err := w.Config.Open.Get(ctx, w.key(path))
			return data, err
		})
		if err == nil && edge.Root() == done.root {
			w.edge, next = *edge, done.seq+1
		}
	}
	// Tiles of a published size are made again if they were lost, so what was published is only known from here on.
	w.pub.done = done
	if next == 0 {
		w.pub.done = published{}
	}
	w.pub.doneAt(w.pub.done.size)
	prev := ledger.NoPrev
	if next > 0 {
		prev = done.hash
	}
	known, err := w.knownSize(ctx, done.size)
	if err != nil {
		return err
	}
	var finished []tile.Object
	complete := w.pub.done.size // the last size on the way whose partial tiles are known to be there
	for seq := next; seq <= w.head.Seq; seq++ {
		commit, err := w.read(ctx, seq)
		if err != nil {
			return err
		}
		if commit.Header.Prev != prev {
			return fmt.Errorf("log %s: commit %d does not follow commit %d: its prev is another header's hash", w.origin, seq, seq-1)
		}
		prev = lineHash(commit.Line)
		if commit.Header.First != w.edge.Size() {
			return fmt.Errorf("log %s: commit %d begins at %d, the one before ended at %d", w.origin, seq, commit.Header.First, w.edge.Size())
		}
		grown, err := w.grow(commit.Leaves, nil)
		if err != nil {
			return fmt.Errorf("log %s: commit %d: %w", w.origin, seq, err)
		}
		finished = append(finished, grown.finished...)
		if root := ledger.FormatHash(w.edge.Root()); root != commit.Header.Root {
			return fmt.Errorf("log %s: commit %d says root %s, its leaves give %s", w.origin, seq, commit.Header.Root, root)
		}
		// A log that is made again from its first commit does not fit in memory: what is finished is written on the
		// way. It is committed, so it may be.
		if len(finished) > maxUnpublished {
			if err := w.pub.writeTiles(ctx, finished); err != nil {
				return err
			}
			finished = nil
		}
		if size := w.edge.Size(); size > complete && size < w.head.Size {
			did, err := w.pub.completeAt(ctx, &w.edge, complete, finished, size > known)
			if err != nil {
				return fmt.Errorf("log %s: publication of %d leaves: %w", w.origin, size, err)
			}
			if did {
				complete, finished = size, nil
			}
		}
	}
	if prev != w.headHash {
		return fmt.Errorf("log %s: commit %d changed while it was read", w.origin, w.head.Seq)
	}
	w.pub.offer(finished, &w.edge, w.headHash, &w.head)
	if w.head.Size > 0 && w.pub.done.size != w.head.Size {
		// Like the sizes before, this one is not skipped: some of its partial tiles may be there.
		target := w.pub.target
		w.pub.begun = &target
	}
	return nil
}

// knownSize is the largest size that was published, even if the open store is lost: the archived checkpoints tell.
func (w *writer) knownSize(ctx context.Context, published uint64) (uint64, error) {
	for info, err := range w.locked.List(ctx, w.key(ledger.CheckpointPrefix), w.key(ledger.ArchiveKey(published))) {
		if err != nil {
			return 0, fmt.Errorf("%s: %w", w.key(ledger.CheckpointPrefix), err)
		}
		var size uint64
		if _, err := fmt.Sscanf(info.Key[len(w.key(ledger.CheckpointPrefix)):], "%020d", &size); err == nil {
			published = max(published, size)
		}
	}
	return published, nil
}
