package log

import (
	"context"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// An Access is one read of event data that was logged before it began.
type Access struct {
	component *Component
	intent    ledger.AccessEntry
	Receipt   ledger.Receipt // of the intent: goes to whoever gets the data
}

// Intend logs that event data is about to be read. Only when it returns without an error may a byte of it be touched.
// The caller fills in what it knows: operation, purpose, recipient, decision, content.
func (m *Component) Intend(ctx context.Context, e ledger.AccessEntry) (*Access, error) {
	e.Phase, e.Of = ledger.AccessIntent, nil
	receipt, err := m.Append(ctx, &e)
	if err != nil {
		return nil, err
	}
	return &Access{component: m, intent: e, Receipt: receipt}, nil
}

// Done logs what was really read, also if that was nothing.
func (a *Access) Done(ctx context.Context, records, bytes uint64, set *ledger.Hash) error {
	done := a.intent
	done.Phase, done.Of = ledger.AccessDone, &a.Receipt.Index
	done.Records, done.Bytes = &records, &bytes
	if set != nil {
		done.Set = set
	}
	_, err := a.component.Append(ctx, &done)
	return err
}

// A reading is one read of event data by the writer itself, logged before it began.
type reading struct {
	access         *Access // nil without a control log
	records, bytes uint64
}

// beginReading logs that the writer is about to read records in order to recognize repeats.
func (e *Events) beginReading(ctx context.Context) (*reading, error) {
	m := e.cfg.Control
	if m == nil {
		return new(reading), nil
	}
	access, err := m.Intend(ctx, InternalRead(ledger.OpDedupe, m.role, e.cfg.Jurisdiction))
	if err != nil {
		return nil, fmt.Errorf("event data is only read once that is logged: %w", err)
	}
	return &reading{access: access}, nil
}

// read counts a line that was read.
func (r *reading) read(line []byte) {
	r.records++
	r.bytes += uint64(len(line))
}

// each is a function for Reader.Records that counts and parses what is left of the records.
func (r *reading) each(next func(index uint64, rec *ledger.Record) error) func(uint64, []byte) error {
	return func(index uint64, line []byte) error {
		if len(line) == 0 {
			return nil // erased
		}
		r.read(line)
		rec, err := ledger.ParseRecord(line)
		if err != nil {
			return err
		}
		return next(index, rec)
	}
}

// end logs what was read, also when the writer is being closed.
func (r *reading) end(ctx context.Context) error {
	if r.access == nil {
		return nil
	}
	return r.access.Done(context.WithoutCancel(ctx), r.records, r.bytes, nil)
}

// InternalRead is the access entry of a read whose bytes stay in the cell's own process.
func InternalRead(op ledger.AccessOp, role ledger.Role, jurisdiction string) ledger.AccessEntry {
	return ledger.AccessEntry{
		Op: op, Role: string(role), Purpose: ledger.PurposeOperation, Decision: ledger.Allow, Rule: "internal",
		Recipient: ledger.Recipient{Jur: jurisdiction, Basis: ledger.RecipientCell}, Content: ledger.ContentNone,
	}
}
