package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// writer is what both kinds of log have: the chain of commits, the tree over its leaves, and the publisher behind it.
// One goroutine at a time commits; the publisher runs beside it.
type writer struct {
	Config
	chain
	id        string // this process as a writer: 32 hex digits
	storeID   string
	verifiers note.Verifiers // the log's own key

	// Of the goroutine that commits.
	head     ledger.Header // of the newest commit
	headHash string        // what the next commit's prev will be
	edge     tile.Edge     // the tree at head.Size

	broken atomic.Pointer[error] // why this writer can do nothing more
	pub    *publisher
}

// fail stops the writer for good; the first reason stays.
func (w *writer) fail(err error) error {
	w.broken.CompareAndSwap(nil, &err)
	return *w.broken.Load()
}

// err is why the writer stopped, nil while it works.
func (w *writer) err() error {
	if p := w.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// ErrClosed is wrapped by the error for a log that was closed.
var ErrClosed = errors.New("the log is closed")

// whyStopped is the error for those who come after the goroutine that commits has ended.
func (w *writer) whyStopped() error {
	if err := w.err(); err != nil {
		return err
	}
	return fmt.Errorf("log %s: %w", w.origin, ErrClosed)
}

// How often, and with which pauses, a write whose outcome is unknown is sent again. A store that stays away longer
// stops the writer; opening the log again finds out what happened.
var retryAfter = []time.Duration{
	20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
}

// retry calls write until it succeeds, ctx ends, or it has failed too often. ErrExists is an answer, not a failure.
func retry(ctx context.Context, write func() error) error {
	for i := 0; ; i++ {
		err := write()
		if err == nil || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrMismatch) || errors.Is(err, store.ErrBadKey) ||
			errors.Is(err, store.ErrDiffers) || i == len(retryAfter) {
			return err
		}
		select {
		case <-time.After(retryAfter[i]):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// now is the time of the next commit: never less than the one before.
func (w *writer) now() int64 { return max(w.Clock().UnixMilli(), w.head.Time) }

// commit makes leaves durable in the next commit. The caller has filled what it knows of the header; payloads and
// their keys are durable already. On nil the leaves are in the log; on an error the writer is stopped, and whether they
// are is for the next one to find out. then, if not nil, is called once they are in the log, before the publisher hears
// of them.
func (w *writer) commit(ctx context.Context, h ledger.Header, leaves [][]byte, then func() error) error {
	if err := w.err(); err != nil {
		return err
	}
	g, err := w.grow(leaves, nil)
	if err != nil {
		return w.fail(err)
	}
	return w.commitGrown(ctx, h, g, then)
}

// commitGrown is commit for leaves that are in the tree already.
func (w *writer) commitGrown(ctx context.Context, h ledger.Header, g growth, then func() error) error {
	if err := w.err(); err != nil {
		return err
	}
	h.V, h.Seq, h.Prev, h.Origin = 1, w.head.Seq+1, w.headHash, w.origin
	h.Writer, h.Store = w.id, w.storeID
	if h.Time == 0 {
		h.Time = w.now()
	}
	h.First, h.Size = w.head.Size, w.edge.Size()
	h.Root = ledger.FormatHash(w.edge.Root())
	if h.Rules == "" {
		h.Rules = w.head.Rules
	}
	line, err := h.Line()
	if err != nil {
		return w.fail(err)
	}
	// What could not be read back would end the log: nobody could open it again.
	if _, err := ledger.ParseHeader(line); err != nil {
		return w.fail(fmt.Errorf("log %s: not committing: %w", w.origin, err))
	}
	if len(line) >= maxHeaderLine {
		return w.fail(fmt.Errorf("log %s: not committing: commit header %d would have %d bytes, at most %d can be read back", w.origin, h.Seq, len(line), maxHeaderLine))
	}
	data := ledger.AppendCommit(make([]byte, 0, len(line)+1+len(g.bundle)), line, g.bundle)
	crash.Point("commit/before-commit")
	if err := w.createCommit(ctx, store.Object{Key: w.key(ledger.CommitKey(h.Seq)), Data: data}); err != nil {
		return w.fail(err)
	}
	crash.Point("commit/after-commit")
	// The leaves are in the log now. Whatever follows is derived from them.
	w.head, w.headHash = h, lineHash(line)
	if then != nil {
		if err := then(); err != nil {
			return w.fail(err)
		}
	}
	w.pub.offer(g.finished, &w.edge, w.headHash, &w.head)
	return nil
}

// growth is what leaves add to a log: their bundle, as a commit holds it, and the tiles and bundles that they fill.
type growth struct {
	bundle   []byte
	finished []tile.Object
}

// grow adds leaves to the tree. hashes are theirs, or nil.
func (w *writer) grow(leaves [][]byte, hashes []ledger.Hash) (g growth, err error) {
	size := 0
	for _, leaf := range leaves {
		size += 2 + len(leaf)
	}
	g.bundle = make([]byte, 0, size)
	for _, leaf := range leaves {
		g.bundle = ledger.AppendBundle(g.bundle, leaf)
	}
	err = w.edge.Append(leaves, hashes, func(o tile.Object) error {
		g.finished = append(g.finished, o)
		return nil
	})
	return g, err
}

// createCommit is the fence. Every outcome but success means "unknown": the same bytes are sent again until the key is
// taken, and what is there then tells whose commit it is.
func (w *writer) createCommit(ctx context.Context, object store.Object) error {
	err := retry(ctx, func() error { return w.locked.Create(ctx, object) })
	if err == nil {
		return nil
	}
	if !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("%s: its outcome is unknown, open the log again: %w", object.Key, err)
	}
	var there []byte
	if err := retry(ctx, func() (err error) { there, _, err = w.locked.Get(ctx, object.Key); return err }); err != nil {
		return fmt.Errorf("%s: comparing with what is there: %w", object.Key, err)
	}
	if !bytes.Equal(there, object.Data) {
		return fmt.Errorf("%s: %w", object.Key, ErrFenced)
	}
	return nil
}
