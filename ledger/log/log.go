// Package log is the writer of the ledger's logs: it takes events (Events) or control entries (Control), makes them
// durable in one write-once commit, and publishes what is committed as a C2SP tile log.
//
// The life of an event: number and duplicates are checked; record, commitment and leaf are made; payload and wrapped
// key are stored; then `commit/<seq>` is created, if absent. That one write is the moment of truth and the fence
// against a second writer: whoever loses it stops. Only then is the sender answered. Behind the commits, tiles are
// written, the checkpoint is signed, archived and replaced, and a `batch` entry binds the range into the control log.
//
// A crash at any point loses nothing that was answered: before the commit, the event was never there (a payload
// nobody names is an orphan); after it, opening the log again publishes what is missing, by the same code as always.
// Several processes on one log cannot fork it: the commit key decides, and a writer that lost is fenced for good.
package log

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// ErrFenced is wrapped by every error of a writer that found another writer's work where its own should be. The log is
// fine; this writer is not its writer any more, and says so for good.
var ErrFenced = errors.New("another writer has taken over this log: this one stops")

// ErrMoved is wrapped by the error for a log that goes on in another store.
var ErrMoved = errors.New("the log has moved to another store")

// Config is what both kinds of log need.
type Config struct {
	Origin string
	Locked store.Store
	Open   store.Store
	Signer note.Signer // Ed25519, named like the origin
	VKey   string      // the signer's public side, as a note verifier key

	// PublishEvery bounds how often a busy log publishes; an idle one does so at once. 0 means a second.
	PublishEvery time.Duration

	Clock func() time.Time // nil means time.Now
	Rand  io.Reader        // nil means crypto/rand.Reader
}

func (c *Config) defaults() {
	if c.PublishEvery == 0 {
		c.PublishEvery = time.Second
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
}

// newID draws 32 hex digits: a writer's id, or a component's epoch.
func newID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("drawing an id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Create writes commit 0 of a log, which only `domicile init` does. If the log exists with the same key in the same
// store, that is fine: an interrupted init is completed by running it again. commit 0 stands before anything else.
func Create(ctx context.Context, cfg Config, stream ledger.StreamRef) error {
	cfg.defaults()
	id, err := newID(cfg.Rand)
	if err != nil {
		return err
	}
	storeID, err := cfg.Locked.ID(ctx)
	if err != nil {
		return err
	}
	stream.Known = true
	header := ledger.Header{
		V: 1, Prev: ledger.NoPrev, Origin: cfg.Origin, VKey: cfg.VKey, Stream: stream,
		Writer: id, Store: storeID, Time: cfg.Clock().UnixMilli(),
		Root: ledger.FormatHash(ledger.EmptyHash), Rules: hex.EncodeToString(ledger.EmptyHash[:]),
	}
	line, err := header.Line()
	if err != nil {
		return err
	}
	c := chain{cfg.Locked, cfg.Origin}
	crash.Point("init/before-commit-0")
	err = cfg.Locked.Create(ctx, store.Object{Key: c.key(ledger.CommitKey(0)), Data: ledger.AppendCommit(nil, line, nil)})
	crash.Point("init/after-commit-0")
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	first, err := c.read(ctx, 0)
	if err != nil {
		return err
	}
	if first.Header.VKey != cfg.VKey {
		return fmt.Errorf("log %s exists and was made for another key (%s): restore its key, or init into another data directory", cfg.Origin, first.Header.VKey)
	}
	return nil
}
