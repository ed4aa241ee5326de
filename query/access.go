package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// A Reading is what is about to be read.
type Reading struct {
	Op       ledger.AccessOp
	Content  ledger.Content  // what is to be handed over
	Decision ledger.Decision // "" means allow
	Query    string          // the normalized question; it is logged as a keyed hash
}

// An Access is one read of event data that was logged before it began. It ends with Done, whatever comes of it.
type Access struct {
	Receipt Receipt // of the intent: goes to whoever gets the data

	cell  *Cell
	entry ledger.AccessEntry
}

// Handed is what an access handed over.
type Handed struct {
	Records, Bytes uint64

	// The events meant, for the entry's set: by the leaves where they are at hand, else by where they are. Both nil: the
	// entry names no set.
	Leaves [][]byte // in ascending order of (origin, index)
	Events []index.Position
}

// Intend logs that event data is about to be read. Only when it returns without an error may a byte of it be touched.
func (c *Cell) Intend(ctx context.Context, who Asker, what Reading) (*Access, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	access, err := c.intend(ctx, who, what)
	if err != nil {
		c.reading.Done()
		return nil, fmt.Errorf("cell %s: %w: %w", c.cfg.Jurisdiction, ErrNotLogged, err)
	}
	return access, nil
}

func (c *Cell) intend(ctx context.Context, who Asker, what Reading) (*Access, error) {
	e := ledger.AccessEntry{
		Phase: ledger.AccessIntent, Op: what.Op, Role: who.Role, Purpose: who.Purpose, Recipient: who.Recipient,
		Decision: cmp.Or(what.Decision, ledger.Allow), Rule: "default", Content: what.Content,
	}
	if e.Recipient == (ledger.Recipient{}) {
		e.Recipient = ledger.Recipient{Jur: c.cfg.Jurisdiction, Basis: ledger.RecipientCell}
	}
	var err error
	if who.Principal != "" {
		if e.Principal, err = c.pseudonym(ctx, "principal", who.Principal); err != nil {
			return nil, err
		}
	}
	if e.Query, err = c.pseudonym(ctx, "query", string(what.Op)+":"+what.Query); err != nil {
		return nil, err
	}
	intent := e
	receipt, err := c.journal.intend(ctx, &intent)
	if err != nil {
		return nil, err
	}
	return &Access{Receipt: receipt, cell: c, entry: e}, nil
}

// Done says what was handed over, also if that was nothing. It is written behind the answer, together with other
// entries; Close waits for that. Done is called once.
func (a *Access) Done(h Handed) {
	defer a.cell.reading.Done()
	e := a.entry
	e.Phase, e.Of = ledger.AccessDone, &a.Receipt.Index
	e.Records, e.Bytes = &h.Records, &h.Bytes
	a.cell.journal.report(&report{entry: &e, handed: h})
}

// setOf is the commitment to the events that an access handed over.
func (c *Cell) setOf(ctx context.Context, intent uint64, h *Handed) (*ledger.Hash, error) {
	leaves := h.Leaves
	if leaves == nil {
		if h.Events == nil {
			return nil, nil
		}
		var err error
		if leaves, err = c.leavesOf(ctx, h.Events); err != nil {
			return nil, err
		}
	}
	salt, err := c.setSalt(ctx, intent)
	if err != nil {
		return nil, err
	}
	root := ledger.SetRoot(salt, leaves)
	return &root, nil
}

// leavesOf reads the leaves of events, in ascending order of (origin, index).
func (c *Cell) leavesOf(ctx context.Context, events []index.Position) ([][]byte, error) {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b index.Position) int {
		return cmp.Or(strings.Compare(a.Log, b.Log), cmp.Compare(a.Index, b.Index))
	})
	leaves := make([][]byte, 0, len(events))
	var from bundle
	for _, e := range events {
		if !from.holds(e.Log, e.Index) {
			view, err := c.view(e.Log)
			if err != nil {
				return nil, err
			}
			cp, _, err := view.checkpoint(ctx)
			if err != nil {
				return nil, err
			}
			if from, err = c.tiles.bundle(ctx, e.Log, e.Index, cp.Size); err != nil {
				return nil, err
			}
		}
		leaves = append(leaves, from.leaf(e.Index))
	}
	return leaves, nil
}
