// Package store keeps the objects of a cell's logs: write-once truth in the
// locked store, derived tiles and the newest checkpoint in the open one, and
// the wrapped keys of payloads in the key store.
//
// In come keys (slash paths such as "<origin>/commit/00000000000000000042") and
// bytes; out come the same bytes. Store is the contract that the rest of the
// ledger is written against; Dir keeps it in a directory, ledger/store/s3 in a
// bucket, and storetest holds both to it. Keys is the contract of the key store.
//
// A store knows nothing of logs. What it guarantees is what the commit protocol
// stands on: an object is seen whole or not at all; nil from Create, Replace or
// Delete means that a power cut cannot undo it; of several processes that create
// one key, exactly one succeeds; of several that replace one version, exactly
// one succeeds. A process killed anywhere leaves at most a temporary file and
// empty folders behind.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// The errors on which callers branch. Anything else is an unknown outcome: the
// operation may or may not have happened, and the caller asks again.
var (
	// ErrNotFound: there is no object at the key.
	ErrNotFound = errors.New("object not found")

	// ErrExists: the key is taken, whatever its bytes. The object that is
	// there is whole and durable.
	ErrExists = errors.New("object already exists")

	// ErrMismatch: the object is not of the version that was to be replaced.
	ErrMismatch = errors.New("object has another version")

	// ErrDiffers: Ensure found other bytes at the key than those it was given.
	ErrDiffers = errors.New("object exists with other bytes")

	// ErrBadKey: the key can name no object; see ValidateKey.
	ErrBadKey = errors.New("not a valid object key")
)

// An Object is what Create stores.
type Object struct {
	Key  string
	Data []byte

	// Retain is the least that a store with locks must promise before Create
	// returns nil. The zero value asks for nothing.
	Retain Retention
}

// Retention says how long an object may not be deleted, by whatever means the
// store has. A directory has none and ignores it; what a store really holds is
// reported by the store that holds it.
type Retention struct {
	Mode  string    // "", "GOVERNANCE" or "COMPLIANCE"
	Until time.Time // not before this moment; zero with Mode ""
	Hold  bool      // and not while this stands
}

// Info describes a stored object.
type Info struct {
	Key  string
	Size int64 // bytes

	// Version names the content for Replace. It is opaque; Get fills it,
	// Open, Head and List may leave it empty.
	Version string

	// Versions counts the versions that the store holds under the key. More
	// than 1 in a locked store means that something shadows the first; Get
	// and Open give the oldest then. A directory has always 1.
	Versions int
}

// A Store keeps objects by key. Its methods may be called concurrently, and by
// several processes on the same store.
//
// Keys must not nest: no key may be a folder of another ("a" beside "a/b").
type Store interface {
	// ID names the store, so that a log is not continued in a copy of it.
	// It is the same for the locked and the open store of a cell.
	ID(ctx context.Context) (string, error)

	// Create stores a new object. On nil it is durable, together with every
	// folder on the way to it. ErrExists means that the key is taken; the
	// object there is durable as well. After any other error the object may
	// be there, whole, or not at all: send the same bytes again. No reader
	// ever sees a part of it.
	Create(ctx context.Context, object Object) error

	// Replace sets the object's bytes if its version is still version, or
	// creates it if version is "" and there is none. Compare and swap are one
	// step for all processes that use Replace. On nil the bytes are durable
	// and newVersion names them. ErrMismatch means that nothing was changed.
	// After any other error the object has either the old or the new bytes.
	// A locked store replaces nothing and always fails.
	Replace(ctx context.Context, key string, data []byte, version string) (newVersion string, err error)

	// Get returns the object's bytes, or ErrNotFound. What it returns may be
	// younger than what is durable, if its writer has not returned yet.
	Get(ctx context.Context, key string) ([]byte, Info, error)

	// Open is Get for bytes that should not be in memory at once.
	Open(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// Head is Get without the bytes.
	Head(ctx context.Context, key string) (Info, error)

	// List yields every object whose key begins with prefix (any string, not
	// only a folder) and is greater than after, in ascending byte order of
	// keys. Objects that come or go while it runs may be missed; all others
	// are listed exactly once. What does not belong in a store is listed too,
	// even under keys that are not valid. An error is the last thing yielded.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// Delete removes the object. On nil it is gone durably, also if it was
	// not there. Only the retention engine deletes from a locked store, and
	// only payloads; tiles are deleted when they are rebuilt.
	Delete(ctx context.Context, key string) error
}

// Ensure creates an object that may be there already: by a run that was
// interrupted, or because its bytes are a function of its key, as a tile's are.
// Equal bytes are success; other bytes are ErrDiffers.
func Ensure(ctx context.Context, s Store, object Object) error {
	err := s.Create(ctx, object)
	if !errors.Is(err, ErrExists) {
		return err
	}
	return compareWithThere(ctx, s, object)
}

func compareWithThere(ctx context.Context, s Store, object Object) error {
	there, _, err := s.Get(ctx, object.Key)
	if err != nil {
		return fmt.Errorf("comparing with the object that is there: %w", err)
	}
	if !bytes.Equal(there, object.Data) {
		return fmt.Errorf("object %s: %w (%d bytes there, %d given)", object.Key, ErrDiffers, len(there), len(object.Data))
	}
	return nil
}

// creators bounds the objects that CreateAll has in flight: a bucket's latency
// is paid a few times and not eighty, and a disk gets syncs that it can group.
const creators = 32

// CreateAll creates objects concurrently, in no order, and returns when all are
// durable or the first error is known. Objects that are there already with
// equal bytes are success, as with Ensure. After an error any of the objects
// may be there, each whole: call it again with the same objects.
func CreateAll(ctx context.Context, s Store, objects []Object) error {
	if d, ok := s.(*Dir); ok {
		return d.createAll(ctx, objects)
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for _, object := range objects {
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return Ensure(running, s, object) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// Limits of a key, in bytes: what both a bucket and every file system take.
const (
	maxKey       = 1024
	maxComponent = 255
)

// ValidateKey returns an error wrapping ErrBadKey unless key is a relative slash
// path in UTF-8 without control characters, empty components, "." and "..".
func ValidateKey(key string) error {
	reason := ""
	switch {
	case key == "":
		reason = "empty"
	case len(key) > maxKey:
		reason = "longer than 1024 bytes"
	case !utf8.ValidString(key):
		reason = "not UTF-8"
	}
	for i := 0; i < len(key) && reason == ""; i++ {
		if key[i] < 0x20 || key[i] == 0x7f {
			reason = "contains a control character"
		}
	}
	if reason == "" {
		for component := range strings.SplitSeq(key, "/") {
			switch {
			case component == "":
				reason = "has an empty component"
			case component == "." || component == "..":
				reason = "has a component " + component
			case len(component) > maxComponent:
				reason = "has a component longer than 255 bytes"
			}
		}
	}
	if reason != "" {
		return fmt.Errorf("key %.80q: %w: %s", key, ErrBadKey, reason)
	}
	return nil
}
