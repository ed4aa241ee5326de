package log

import (
	"context"
	"errors"
	"fmt"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// Destination is where a log moves to.
type Destination struct {
	Locked store.Store
	Open   store.Store
}

// Move takes a log to another store. Everything is copied first; then the log's last commit here names the store there
// and is copied behind it. From that commit on, opening the log here is refused (ErrMoved) and opening it there is not:
// at no moment do two stores accept it. An interrupted move is completed by calling it again.
//
// Payload keys belong to the key store, whose move is the caller's. So is publishing everything before, or the first
// writer there does it. progress, if not nil, is told of every object that was copied.
func Move(ctx context.Context, cfg Config, to Destination, progress func(key string, size int64)) error {
	target, err := to.Locked.ID(ctx)
	if err != nil {
		return err
	}
	m := mover{chain: chain{cfg.Locked, cfg.Origin}, from: cfg, to: to, progress: progress}
	if m.progress == nil {
		m.progress = func(string, int64) {}
	}
	seq, err := m.head(ctx)
	if err != nil {
		return err
	}
	head, _, err := m.header(ctx, seq)
	if err != nil {
		return err
	}
	if head.MovedTo != "" && head.MovedTo != target {
		return fmt.Errorf("log %s: %w (%s), not to %s", cfg.Origin, ErrMoved, head.MovedTo, target)
	}
	if head.MovedTo == "" {
		if head.Store == target {
			return fmt.Errorf("log %s lives in %s: it cannot move to where it is", cfg.Origin, target)
		}
		crash.Point("move/before-copy")
		if err := m.copyAll(ctx); err != nil {
			return err
		}
		crash.Point("move/after-copy")
		w, err := openWriter(ctx, cfg)
		if err != nil {
			return err
		}
		// The log here ends with this commit, whoever else may think to write to it.
		if err := w.commit(ctx, ledger.Header{MovedTo: target, Collectors: w.head.Collectors, Ahead: w.head.Ahead, Positions: w.head.Positions}, nil, nil); err != nil {
			return err
		}
		crash.Point("move/after-last-commit")
	}
	// What came since the first copy, the last commit last: it opens the log there.
	return m.copyAll(ctx)
}

// mover copies the objects of one log.
type mover struct {
	chain
	from     Config
	to       Destination
	progress func(string, int64)
}

// copyAll copies what is not there yet. Commits come last and in order, so that a half copied log has no head that
// could be mistaken for the whole.
func (m *mover) copyAll(ctx context.Context) error {
	for _, prefix := range []string{ledger.PayloadPrefix, ledger.CheckpointPrefix, ledger.AttachmentPrefix} {
		if err := m.copy(ctx, m.from.Locked, m.to.Locked, prefix); err != nil {
			return err
		}
	}
	if err := m.copy(ctx, m.from.Open, m.to.Open, "tile/"); err != nil {
		return err
	}
	if err := m.copyCheckpoint(ctx); err != nil {
		return err
	}
	return m.copy(ctx, m.from.Locked, m.to.Locked, ledger.CommitPrefix)
}

func (m *mover) copy(ctx context.Context, from, to store.Store, prefix string) error {
	for info, err := range from.List(ctx, m.key(prefix), "") {
		if err != nil {
			return fmt.Errorf("moving %s: %w", m.key(prefix), err)
		}
		if there, err := to.Head(ctx, info.Key); err == nil && there.Size == info.Size {
			continue // write-once, or a function of its key: the same
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("moving %s: %w", info.Key, err)
		}
		data, _, err := from.Get(ctx, info.Key)
		if err != nil {
			return fmt.Errorf("moving %s: %w", info.Key, err)
		}
		if err := store.Ensure(ctx, to, store.Object{Key: info.Key, Data: data}); err != nil {
			return fmt.Errorf("moving %s: %w", info.Key, err)
		}
		m.progress(info.Key, info.Size)
	}
	return nil
}

// copyCheckpoint replaces the checkpoint there by the one here.
func (m *mover) copyCheckpoint(ctx context.Context) error {
	key := m.key(ledger.CheckpointKey)
	signed, _, err := m.from.Open.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil // the first writer there publishes
	}
	if err != nil {
		return fmt.Errorf("moving %s: %w", key, err)
	}
	_, info, err := m.to.Open.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("moving %s: %w", key, err)
	}
	if _, err := m.to.Open.Replace(ctx, key, signed, info.Version); err != nil {
		return fmt.Errorf("moving %s: %w", key, err)
	}
	return nil
}

// Adopt makes a log whose head names another store go on in this one, after the directory was restored from a backup.
// It is the operator's word that the original is gone: a log that goes on in both forks.
func Adopt(ctx context.Context, cfg Config) (adopted bool, err error) {
	w, err := openWriterAnywhere(ctx, cfg)
	if err != nil {
		return false, err
	}
	if w.head.MovedTo == w.storeID || w.head.MovedTo == "" && w.head.Store == w.storeID {
		return false, nil
	}
	if w.head.MovedTo != "" {
		return false, w.livesHere(&w.head)
	}
	h := ledger.Header{Collectors: w.head.Collectors, Ahead: w.head.Ahead, Positions: w.head.Positions}
	return true, w.commit(ctx, h, nil, nil)
}

// An Orphan is a payload that no commit names.
type Orphan struct {
	Key     string // of the object
	Size    int64
	Pending bool // the log has not grown past its first index: a commit that is being made may still name it
}

// Orphans lists the payloads that no commit names: of writers that died between payload and commit. They mean nothing
// and are the retention engine's to remove, together with their keys.
func (r *Reader) Orphans(ctx context.Context) ([]Orphan, error) {
	last, err := r.head(ctx)
	if err != nil {
		return nil, err
	}
	var orphans []Orphan
	var named []string // of the commit that stands where the list of objects is
	var size uint64
	next := uint64(0)
	for info, err := range r.locked.List(ctx, r.key(ledger.PayloadPrefix), "") {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.key(ledger.PayloadPrefix), err)
		}
		// Both lists ascend by first index, so one pass over each is enough.
		for (len(named) == 0 || named[len(named)-1] < info.Key) && next <= last {
			header, _, err := r.header(ctx, next)
			if err != nil {
				return nil, err
			}
			for _, p := range header.Payloads {
				named = append(named, r.key(p.Key))
			}
			size = header.Size
			next++
		}
		for len(named) > 0 && named[0] < info.Key {
			named = named[1:]
		}
		if len(named) > 0 && named[0] == info.Key {
			continue
		}
		orphans = append(orphans, Orphan{Key: info.Key, Size: info.Size, Pending: next > last && r.firstOf(info.Key) >= size})
	}
	return orphans, nil
}

// firstOf reads the first index out of a payload's key; what is no payload has none.
func (r *Reader) firstOf(key string) (first uint64) {
	fmt.Sscanf(key[len(r.key(ledger.PayloadPrefix)):], "%020d", &first)
	return first
}
