package log

import (
	"context"
	"errors"

	"domicile.dev/domicile/ledger"
)

// ErrLookup is wrapped by a Lookup that cannot answer now: events that need it wait, others go on.
var ErrLookup = errors.New("look-up of older events cannot answer")

// A Lookup finds committed events that the window does not hold, by their uids, over all logs of the cell. It is a table
// of (uid, log, leaf index, content), kept as long as the leaves, with a row for every record as it was committed (an
// event that was renamed to …~2 stands under that uid). Uid and content are what Keys gives: no event data.
type Lookup interface {
	// Find returns every row of these uids. It fails with ErrLookup unless the table holds every commit of the log
	// origin up to and including through; rows of commits after that, and of other logs, are returned where it has
	// them. The writer asks once for all events of a commit, so there may be some more uids than a commit has records.
	Find(ctx context.Context, origin string, through uint64, uids [][16]byte) ([]Found, error)
}

// Found is a committed event.
type Found struct {
	UID     [16]byte
	Origin  string
	Index   uint64
	Content [16]byte
}

// key is what the window knows a uid or a content by: the first 16 bytes of its SHA-256.
type key = [16]byte

// UIDKey is what window and look-up know a uid by: the first 16 bytes of its SHA-256.
func UIDKey(uid string) [16]byte { return keyOf(ledger.UIDHash(uid)) }

// ContentKey is what window and look-up know the content of an event by: the first 16 bytes of ledger.ContentHash.
func ContentKey(fields []ledger.Field) [16]byte { return keyOf(ledger.ContentHash(fields)) }

// Keys returns UIDKey and ContentKey of a record: what a Lookup holds of it.
func Keys(rec *ledger.Record) (uid, content [16]byte, err error) {
	name, _, err := identity(rec)
	if err != nil {
		return uid, content, err
	}
	return UIDKey(name), ContentKey(rec.Fields), nil
}

func keyOf(h ledger.Hash) key { return key(h[:16]) }
