package log

import (
	"context"
	"sync"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// A Component writes entries to the control log under its own name: it numbers them from 0 in an epoch of its own,
// which begins with a `node` start that links to the epoch before.
type Component struct {
	control *Control
	role    ledger.Role

	mu      sync.Mutex
	emitter *custody.Emitter
	open    []unanswered // given to the holder, who did not answer: they have the next numbers, if they were committed
}

// A Receipt says where an entry stands, so that whoever was answered can check later that it was logged.
type Receipt struct {
	Origin  string
	Emitter string
	Epoch   string
	Seq     uint64
	Index   uint64
	Hash    ledger.Hash // RFC 6962 leaf hash of the entry
}

// Start begins an epoch of a component that the policy declares, with a `node` start entry.
func (c *Control) Start(ctx context.Context, id string, role ledger.Role) (*Component, error) {
	epoch, err := newID(c.Rand)
	if err != nil {
		return nil, err
	}
	var before *custody.EmitterState
	c.State(func(r *custody.Replay) {
		if state, ok := r.Emitter(id); ok {
			before = &state
		}
	})
	m := &Component{control: c, role: role, emitter: custody.NewEmitter(id, epoch)}
	start := m.emitter.Start(&ledger.NodeEntry{Role: role, Build: c.build, Basis: ledger.NodeDeclared}, before)
	if _, err := m.Append(ctx, start); err != nil {
		return nil, err
	}
	return m, nil
}

// Init is the emitter that writes the first entries of a log, or goes on writing them after an interruption.
func (c *Control) Init(ctx context.Context) (*Component, error) {
	m := &Component{control: c, role: ledger.RoleInit}
	c.State(func(r *custody.Replay) {
		if state, ok := r.Emitter(InitEmitter); ok {
			m.emitter = custody.ContinueEmitter(state)
		}
	})
	if m.emitter == nil {
		epoch, err := newID(c.Rand)
		if err != nil {
			return nil, err
		}
		m.emitter = custody.NewEmitter(InitEmitter, epoch)
	}
	return m, nil
}

// InitEmitter is the id under which init writes.
const InitEmitter = "init"

// Stop ends the epoch with a `node` stop entry.
func (m *Component) Stop(ctx context.Context) error {
	_, err := m.Append(ctx, &ledger.NodeEntry{Event: ledger.NodeStop, Role: m.role, Build: m.control.build, Basis: ledger.NodeDeclared})
	return err
}

// Append writes an entry and returns when it is committed. The component fills in the members that every entry has. A
// refusal that only says that the policy has moved on is answered by encoding again. After another error the entry may
// be committed all the same, or be committed when the next one is written.
func (m *Component) Append(ctx context.Context, e ledger.Entry) (Receipt, error) {
	result := m.AppendAll(ctx, e)[0]
	return result.Receipt, result.Err
}

// policy is the one that an entry written now has to cite; the first policy cites itself.
func (m *Component) policy(e ledger.Entry) (hash ledger.Hash) {
	if first, ok := e.(*ledger.PolicyEntry); ok {
		hash = first.Hash
	}
	m.control.State(func(r *custody.Replay) {
		if h, _, ok := r.PolicyAt(m.emitter.Time(m.control.Clock().UnixMilli())); ok {
			hash = h
		}
	})
	return hash
}
