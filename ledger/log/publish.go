package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// publisher writes the open store behind the commits: tiles and bundles from committed leaves, then the signed
// checkpoint, archived first and then put in place of the old one. It may skip sizes that came and went while it was
// busy. Recovery offers it the commits that were never published; nothing else differs.
type publisher struct {
	*writer

	// What is committed and not published yet.
	mu      sync.Mutex
	waiting []tile.Object // full tiles and bundles, in the order they were finished
	target  published     // the newest commit
	wake    chan struct{} // holds a token while there is something to publish

	// For Lag, under mu as well.
	doneSize uint64    // of done
	failing  error     // why the newest publication failed
	since    time.Time // of the first failure in a row

	// Of the one publication that runs at a time.
	running sync.Mutex
	done    published  // what the checkpoint in the open store says
	begun   *published // a state whose partial tiles may be there without its archived checkpoint
	version string     // of the checkpoint object, for its replacement
	last    time.Time
}

// published is a state of the log that has been, or is to be, published.
type published struct {
	size uint64
	root ledger.Hash
	edge *tile.Edge // the tree at that size; only until it is published
	seq  uint64     // of the newest commit of that size
	hash string     // of that commit's header line
	note []byte
}

func newPublisher(w *writer) *publisher {
	return &publisher{writer: w, wake: make(chan struct{}, 1)}
}

// offer hands a committed state over: the full tiles and bundles that were finished on the way to it, and its edge,
// from which the partial ones are taken when it is published.
func (p *publisher) offer(finished []tile.Object, edge *tile.Edge, hash string, head *ledger.Header) {
	target := published{size: edge.Size(), root: edge.Root(), edge: edge.Clone(), seq: head.Seq, hash: hash}
	p.mu.Lock()
	p.waiting = append(p.waiting, finished...)
	p.target = target
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// maxUnpublished bounds what may wait for publication, in full tiles and bundles: about a million leaves.
const maxUnpublished = 2 * 4096

// crowded reports whether so much waits for publication that appending should wait too.
func (p *publisher) crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > maxUnpublished
}

// run publishes whenever there is something to: at once if the log was idle, else every PublishEvery. After each
// publication it calls after. It returns when ctx ends or the writer stops.
func (p *publisher) run(ctx context.Context, after func()) error {
	failed := 0
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
		pause := p.PublishEvery - time.Since(p.lastTime())
		if failed > 0 {
			pause = max(pause, retryAfter[min(failed, len(retryAfter))-1])
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
		// A publication that has begun is finished, also when the log is being closed.
		if err := p.publish(context.WithoutCancel(ctx)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, ErrFenced) {
				return err
			}
			failed++
			select {
			case p.wake <- struct{}{}:
			default:
			}
			continue
		}
		failed = 0
		after()
	}
}

func (p *publisher) lastTime() time.Time {
	p.running.Lock()
	defer p.running.Unlock()
	return p.last
}

// published returns what the checkpoint says.
func (p *publisher) published() published {
	p.running.Lock()
	defer p.running.Unlock()
	return p.done
}

// publish publishes the newest committed state, if it is not published yet.
func (p *publisher) publish(ctx context.Context) error {
	p.running.Lock()
	defer p.running.Unlock()
	err := p.publishNewest(ctx)
	p.note(ctx, err)
	return err
}

func (p *publisher) publishNewest(ctx context.Context) error {
	if err := p.err(); err != nil {
		return err
	}
	// A size whose publication was interrupted is published first: its partial tiles are there, and a verifier would
	// take a missing checkpoint for a removed one.
	if p.begun != nil {
		if err := p.publishState(ctx, *p.begun); err != nil {
			return err
		}
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if target.size == p.done.size && p.done.note != nil {
		p.done.seq, p.done.hash = target.seq, target.hash // a commit without leaves changes nothing here
		return nil
	}
	return p.publishState(ctx, target)
}

// publishState publishes one state, with all full tiles that wait: they are committed, whichever state they belong to.
func (p *publisher) publishState(ctx context.Context, target published) error {
	p.mu.Lock()
	objects := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	p.begun = &target
	if err := p.write(ctx, target, objects); err != nil {
		p.mu.Lock()
		p.waiting = append(objects, p.waiting...)
		p.mu.Unlock()
		if errors.Is(err, ErrFenced) {
			return p.fail(err)
		}
		return fmt.Errorf("publishing %s at %d: %w", p.origin, target.size, err)
	}
	p.begun = nil
	p.last = time.Now()
	return nil
}

func (p *publisher) write(ctx context.Context, target published, finished []tile.Object) error {
	crash.Point("publish/before-tiles")
	if err := p.writeTiles(ctx, append(finished[:len(finished):len(finished)], target.edge.Partials(p.done.size)...)); err != nil {
		return err
	}
	crash.Point("publish/after-tiles")
	// Tiles are durable: only now may a checkpoint promise them.
	var err error
	if target.note, err = p.archive(ctx, target); err != nil {
		return err
	}
	crash.Point("publish/after-archive")
	version, err := p.replace(ctx, target)
	if err != nil {
		return err
	}
	crash.Point("publish/after-checkpoint")
	target.edge = nil
	p.done, p.version = target, version
	p.doneAt(target.size)
	return nil
}

// writeTiles creates objects of the open store. One that is there with equal bytes is fine: a publication that was
// interrupted, or a tile that did not change.
func (p *publisher) writeTiles(ctx context.Context, objects []tile.Object) error {
	list := make([]store.Object, len(objects))
	for i, o := range objects {
		list[i] = store.Object{Key: p.key(o.Path()), Data: o.Data}
	}
	err := store.CreateAll(ctx, p.Config.Open, list)
	if errors.Is(err, store.ErrDiffers) {
		return fmt.Errorf("%w: the open store is damaged; it holds nothing that cannot be made again: stop, remove the open folder of this log, start again", err)
	}
	return err
}

// archive signs the checkpoint of a size and stores it in the locked store, once. One that is there (of a publication that was
// interrupted, perhaps with cosignatures) is taken, if it says the same.
func (p *publisher) archive(ctx context.Context, target published) ([]byte, error) {
	signed, err := ledger.SignCheckpoint(ledger.Checkpoint{Origin: p.origin, Size: target.size, Root: target.root}, p.Signer)
	if err != nil {
		return nil, err
	}
	key := p.key(ledger.ArchiveKey(target.size))
	err = retry(ctx, func() error { return p.locked.Create(ctx, store.Object{Key: key, Data: signed}) })
	if !errors.Is(err, store.ErrExists) {
		return signed, err
	}
	there, _, err := p.locked.Get(ctx, key)
	if err != nil || bytes.Equal(there, signed) {
		return there, err
	}
	cp, err := p.openNote(there)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if cp.Size != target.size || cp.Root != target.root {
		return nil, fmt.Errorf("%s: an archived checkpoint says root %s at %d, the commits say %s: %w", key, ledger.FormatHash(cp.Root), cp.Size, ledger.FormatHash(target.root), ErrFenced)
	}
	return there, nil
}

// replace puts the checkpoint of a larger size in place of the one this writer knows. If another one is there by now,
// it is an older writer's that woke up between its commit and its publication, and may be replaced as well; if it is
// larger, this writer is the old one: it stops, and `checkpoint` never goes back.
func (p *publisher) replace(ctx context.Context, target published) (string, error) {
	key := p.key(ledger.CheckpointKey)
	known := p.version
	for range len(retryAfter) {
		var version string
		err := retry(ctx, func() (err error) {
			version, err = p.Config.Open.Replace(ctx, key, target.note, known)
			return err
		})
		if !errors.Is(err, store.ErrMismatch) {
			return version, err
		}
		there, info, err := p.Config.Open.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			known = ""
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		if bytes.Equal(there, target.note) { // ours after all: the answer was lost
			return info.Version, nil
		}
		cp, err := p.openNote(there)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		if cp.Size > target.size {
			return "", fmt.Errorf("%s says %d, this writer has %d: %w", key, cp.Size, target.size, ErrFenced)
		}
		if err := p.agrees(ctx, cp, target.seq); err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		if cp.Size == target.size { // an older writer was quicker; it may hold more cosignatures
			return info.Version, nil
		}
		known = info.Version
	}
	return "", fmt.Errorf("%s keeps changing", key)
}

// completeAt gives a size that recovery passes what publishing it gives: partial tiles and an archived checkpoint. Those
// may be lost with the open store, and a publication that was interrupted may have left one without the other. always
// says that the size was never published: then a writer that was overtaken may still be about to write its tiles, and
// may die before its checkpoint. finished are full tiles that must stand before.
func (p *publisher) completeAt(ctx context.Context, edge *tile.Edge, before uint64, finished []tile.Object, always bool) (bool, error) {
	size := edge.Size()
	if !always {
		begun, err := exists(ctx, p.locked, p.key(ledger.ArchiveKey(size)))
		if err != nil {
			return false, err
		}
		if !begun && size%tile.Width != 0 {
			partial := tile.Tile{Level: tile.Entries, Index: size / tile.Width, Width: int(size % tile.Width)}
			if begun, err = exists(ctx, p.Config.Open, p.key(partial.Path())); err != nil {
				return false, err
			}
		}
		if !begun {
			return false, nil
		}
	}
	if err := p.writeTiles(ctx, append(finished, edge.Partials(before)...)); err != nil {
		return false, err
	}
	_, err := p.archive(ctx, published{size: size, root: edge.Root()})
	return true, err
}

func exists(ctx context.Context, s store.Store, key string) (bool, error) {
	_, err := s.Head(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// agrees makes sure that a checkpoint found in a store says what the commits up to seq say of its size.
func (c chain) agrees(ctx context.Context, cp ledger.Checkpoint, seq uint64) error {
	header, _, err := c.commitOfSize(ctx, cp.Size, seq)
	if err != nil {
		return err
	}
	if header.Root != ledger.FormatHash(cp.Root) {
		return fmt.Errorf("the signed checkpoint of size %d has root %s, commit %d has %s: the log and its signature disagree, refusing to go on", cp.Size, ledger.FormatHash(cp.Root), header.Seq, header.Root)
	}
	return nil
}

// commitOfSize finds the newest commit up to seq whose size is the one given.
func (c chain) commitOfSize(ctx context.Context, size, seq uint64) (*ledger.Header, string, error) {
	low, high := uint64(0), seq // sizes never fall along the chain
	for low < high {
		middle := low + (high-low+1)/2
		header, _, err := c.header(ctx, middle)
		if err != nil {
			return nil, "", err
		}
		if header.Size <= size {
			low = middle
		} else {
			high = middle - 1
		}
	}
	header, hash, err := c.header(ctx, low)
	if err != nil {
		return nil, "", err
	}
	if header.Size != size {
		return nil, "", fmt.Errorf("log %s: no commit reaches the published size %d", c.origin, size)
	}
	return header, hash, nil
}

// openNote reads a checkpoint that this log's key has signed.
func (w *writer) openNote(signed []byte) (ledger.Checkpoint, error) {
	cp, _, err := ledger.OpenCheckpoint(signed, w.origin, w.verifiers)
	return cp, err
}
