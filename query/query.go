// Package query is a cell as whoever asks sees it: events are searched, counted and proven, logs are described.
//
// In come questions of an Asker; out go rows of the index, proof bundles and entries of the control log, with the
// checkpoints that they stand on, how far the index is behind them, and the receipt of the access entry.
//
// Reads fail closed. An intent stands in the cell's control log, durable, before the first byte of event data is read;
// when the log takes no entry, the answer is ErrNotLogged and nothing is read. What was handed over is reported behind
// the answer; a crash in between leaves an intent without its report, which counts as if all of it was handed over.
//
// What the index says is not believed where it is proven: a record that leaves with a proof is held against its leaf,
// and one that differs is refused (ErrAltered).
package query

import (
	"errors"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// The errors on which a caller branches; index.ErrUnavailable, index.ErrTooMuch and log.ErrNoRecord are three more.
var (
	// ErrInvalid: the question cannot be answered as it is. The error says what is wrong with it.
	ErrInvalid = index.ErrQuestion

	// ErrCursor: the cursor is none of this ledger's, or belongs to another question.
	ErrCursor = errors.New("the cursor does not fit the question")

	// ErrNoCell: no cell of that jurisdiction, or no log of that origin, is here.
	ErrNoCell = errors.New("no such cell")

	// ErrNotFound: no event, or no leaf, of that name is here.
	ErrNotFound = errors.New("not found")

	// ErrNotProvable: the event is committed, and not yet published or bound into the control log.
	ErrNotProvable = errors.New("not provable yet")

	// ErrAltered: the row of the index is not the event that its leaf commits to.
	ErrAltered = errors.New("the row in the index was altered")

	// ErrNotLogged: the control log takes no entry, so nothing was read.
	ErrNotLogged = errors.New("event data is only read once that is logged, and the control log takes no entry")

	// ErrLost: the cell did not answer on an earlier page of the same search.
	ErrLost = errors.New("it did not answer on an earlier page")

	// ErrClosed: the cell was closed.
	ErrClosed = errors.New("the cell is closed")
)

// Limits of one question.
const (
	MaxRows    = index.MaxLimit  // of a search
	MaxProofs  = 1000            // of one call of Prove
	MaxEntries = 1000            // of the control log in one answer
	MaxGroups  = index.MaxGroups // of one aggregation

	defaultRows = 100 // where no limit is given
)

// An Asker is who asks, and why. It goes into the access entry, the principal as a pseudonym.
type Asker struct {
	Principal string // "os:alice", "http:loopback"; "" is the component itself
	Role      string // in which they ask, an id: "operator"
	Purpose   ledger.AccessPurpose
	Recipient ledger.Recipient // where the answer goes; zero: taken to be in the cell
}

// A Receipt says where the intent of an access stands in the control log. Whoever was answered can check later that
// the handing-over was logged.
type Receipt = ledger.Receipt
