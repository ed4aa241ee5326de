package log

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// ErrNoLog is wrapped by the error for a log that has no commit 0.
var ErrNoLog = errors.New("there is no log")

// ErrNoCommit is wrapped by the error for a commit that is not there. Whoever follows a log asks for the one after the
// newest that it knows, and finds out so that there is none yet.
var ErrNoCommit = errors.New("the commit is missing")

// A chain is the commits of one log, as they lie in its locked store.
type chain struct {
	locked store.Store
	origin string
}

// key is the object key of something that belongs to the log.
func (c chain) key(after string) string { return c.origin + "/" + after }

// head finds the sequence number of the newest commit by doubling and bisecting, then makes sure that it is the only
// object at its key and that nothing comes after it: a commit behind a hole is not found by bisecting, and must not be
// overlooked.
func (c chain) head(ctx context.Context) (uint64, error) {
	there := func(seq uint64) (bool, error) {
		_, err := c.locked.Head(ctx, c.key(ledger.CommitKey(seq)))
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	if ok, err := there(0); err != nil {
		return 0, fmt.Errorf("log %s: looking for commit 0: %w", c.origin, err)
	} else if !ok {
		return 0, fmt.Errorf("log %s: %w (commit 0 is missing): run domicile init", c.origin, ErrNoLog)
	}
	low, high := uint64(0), uint64(1) // there, perhaps not there
	for {
		ok, err := there(high)
		if err != nil {
			return 0, fmt.Errorf("log %s: looking for the newest commit: %w", c.origin, err)
		}
		if !ok {
			break
		}
		low, high = high, high*2
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := there(middle)
		if err != nil {
			return 0, fmt.Errorf("log %s: looking for the newest commit: %w", c.origin, err)
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return c.last(ctx, low)
}

// last makes sure that nothing comes after the commit that was found to be the newest. It returns the newest one by now:
// a writer may commit meanwhile.
func (c chain) last(ctx context.Context, seq uint64) (uint64, error) {
	for info, err := range c.locked.List(ctx, c.key(ledger.CommitPrefix), c.key(ledger.CommitKey(seq))) {
		if err != nil {
			return 0, fmt.Errorf("log %s: listing what comes after commit %d: %w", c.origin, seq, err)
		}
		// A listing may miss what is created while it runs, so a hole in it is looked at once more.
		for info.Key > c.key(ledger.CommitKey(seq)) {
			switch _, err := c.locked.Head(ctx, c.key(ledger.CommitKey(seq+1))); {
			case errors.Is(err, store.ErrNotFound):
				return 0, fmt.Errorf("log %s: commit %d is missing but %s exists: refusing to start, restore the missing commits first", c.origin, seq+1, info.Key)
			case err != nil:
				return 0, fmt.Errorf("log %s: looking for commit %d: %w", c.origin, seq+1, err)
			}
			seq++
		}
	}
	newest := c.key(ledger.CommitKey(seq))
	info, err := c.locked.Head(ctx, newest)
	if err != nil {
		return 0, fmt.Errorf("log %s: newest commit: %w", c.origin, err)
	}
	if info.Versions > 1 {
		return 0, fmt.Errorf("log %s: %s has %d versions, something shadows it: refusing to start", c.origin, newest, info.Versions)
	}
	return seq, nil
}

// read returns a commit and checks that it is the one that belongs at its key.
func (c chain) read(ctx context.Context, seq uint64) (*ledger.Commit, error) {
	key := c.key(ledger.CommitKey(seq))
	object, _, err := c.locked.Get(ctx, key)
	if err != nil {
		return nil, unreadable(key, err)
	}
	commit, err := ledger.ParseCommit(object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return commit, c.belongs(&commit.Header, seq)
}

// maxHeaderLine bounds a header line: one with every position, collector and future-dated event that a log can have.
const maxHeaderLine = 16 << 20

// header reads the header line of a commit, not its leaves.
func (c chain) header(ctx context.Context, seq uint64) (*ledger.Header, string, error) {
	key := c.key(ledger.CommitKey(seq))
	object, _, err := c.locked.Open(ctx, key)
	if err != nil {
		return nil, "", unreadable(key, err)
	}
	defer object.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(object, maxHeaderLine), 4096).ReadBytes('\n')
	if err != nil {
		return nil, "", fmt.Errorf("%s: header line does not end: %w", key, err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	header, err := ledger.ParseHeader(line)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", key, err)
	}
	return header, lineHash(line), c.belongs(header, seq)
}

// unreadable is the error for a commit that should be there.
func unreadable(key string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s: %w, restore it if it was ever there: %w", key, ErrNoCommit, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}

func (c chain) belongs(h *ledger.Header, seq uint64) error {
	if h.Origin != c.origin || h.Seq != seq {
		return fmt.Errorf("%s: holds commit %d of %s", c.key(ledger.CommitKey(seq)), h.Seq, h.Origin)
	}
	return nil
}

// lineHash is what the next commit's prev says of a header line.
func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}
