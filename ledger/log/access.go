package log

import (
	"context"

	"domicile.dev/domicile/ledger"
)

// An Access is one read of event data that was logged before it began.
type Access struct {
	component *Component
	intent    ledger.AccessEntry
	Receipt   Receipt // of the intent: goes to whoever gets the data
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

// InternalRead is the access entry of a read whose bytes stay in the cell's own process.
func InternalRead(op ledger.AccessOp, role ledger.Role, jurisdiction string) ledger.AccessEntry {
	return ledger.AccessEntry{
		Op: op, Role: string(role), Purpose: ledger.PurposeOperation, Decision: ledger.Allow, Rule: "internal",
		Recipient: ledger.Recipient{Jur: jurisdiction, Basis: ledger.RecipientCell}, Content: ledger.ContentNone,
	}
}
