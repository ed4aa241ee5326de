package log

import (
	"context"
	"errors"
	"fmt"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// maxTogether bounds how many entries of a component are unanswered at a time. The holder recognizes as many when they
// come again (custody: the last 64 of an emitter).
const maxTogether = 64

// Appended is what became of one entry.
type Appended struct {
	Receipt ledger.Receipt
	Err     error
}

// unanswered is an entry that was submitted and whose outcome is not known.
type unanswered struct {
	entry ledger.Entry
	raw   []byte
}

// AppendAll is Append for several entries, in their order and under consecutive numbers, in one commit if the log takes
// all of them. One that is refused does not keep the others from it.
func (m *Component) AppendAll(ctx context.Context, entries ...ledger.Entry) []Appended {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := make([]Appended, len(entries))
	if err := m.settle(ctx); err != nil {
		for i, e := range entries {
			results[i].Err = fmt.Errorf("writing %s to %s: the entry before it: %w", e.Type(), m.control.origin, err)
		}
		return results
	}
	const tries = 3
	for try := 1; len(entries) > 0; try++ {
		n := m.appendSome(ctx, entries[:min(len(entries), maxTogether)], results[len(results)-len(entries):], try < tries)
		if n > 0 {
			try = 0
		}
		entries = entries[n:]
	}
	return results
}

// appendSome submits entries and returns how many of them have their result. The rest has to be encoded anew: an entry
// before them was refused, or the policy has moved on.
func (m *Component) appendSome(ctx context.Context, entries []ledger.Entry, results []Appended, again bool) (n int) {
	now := m.control.Clock().UnixMilli()
	ahead := *m.emitter // numbers what is not committed yet
	var pending []*pendingEntry
	for i, e := range entries {
		raw, err := ahead.Encode(e, m.policy(e), now)
		if err == nil {
			err = ahead.Committed(e)
		}
		if err != nil && i == 0 {
			results[0].Err = err
			return 1
		}
		if err != nil {
			break
		}
		pending = append(pending, &pendingEntry{raw: raw, done: make(chan error, 1)})
	}
	unknown := m.control.submit(ctx, pending...)
	for i, p := range pending {
		e, err := entries[i], unknown
		var index uint64 // p's own may still be written, where nobody waits for it any more
		if err == nil {
			index, err = m.control.await(ctx, p)
		}
		var violation *custody.Violation
		switch {
		case err == nil:
			err = m.emitter.Committed(e)
		case !errors.As(err, &violation):
			// Whether it is in the log, and what follows it too, is for the next call to find out.
			unknown = err
			m.open = append(m.open, unanswered{e, p.raw})
		case violation.Rule == custody.RulePolicy && again:
			return i
		}
		if err != nil {
			results[i].Err = fmt.Errorf("writing %s to %s: %w", e.Type(), m.control.origin, err)
		} else {
			results[i].Receipt = ledger.ReceiptOf(m.control.origin, index, e, p.raw)
		}
		if violation != nil {
			return i + 1 // those behind it had numbers that were not next, and were refused for that
		}
	}
	return len(pending)
}

// settle finds out what became of entries that were not answered, by sending them again.
func (m *Component) settle(ctx context.Context) error {
	for len(m.open) > 0 {
		first := m.open[0]
		_, err := m.control.Append(ctx, first.raw)
		var violation *custody.Violation
		switch {
		case err == nil:
			err = m.emitter.Committed(first.entry)
		case errors.As(err, &violation):
			err = nil // it was not committed and never will be
		}
		if err != nil {
			return err
		}
		m.open = m.open[1:]
	}
	return nil
}
