package custody

import (
	"fmt"

	"domicile.dev/domicile/ledger"
)

// An Emitter fills in the common members of one component's entries. It is pure and not safe for concurrent use.
//
// The component encodes an entry with Encode and hands it to the holder of the control log. When the entry is
// committed, or turns out to have been, it calls Committed; when the holder refuses it, the component puts right what
// the holder named and encodes again, under the same number. An entry whose outcome is unknown is sent again unchanged:
// the holder answers a repeat with the committed entry's index.
type Emitter struct {
	id    string
	epoch string
	next  uint64
	time  int64 // of the last entry
}

// NewEmitter returns an emitter for a new epoch: 32 random hex digits. Its first entry is Start's.
func NewEmitter(id, epoch string) *Emitter { return &Emitter{id: id, epoch: epoch} }

// ContinueEmitter returns an emitter that goes on in the epoch of a state. Only init does so: other components begin a
// new epoch, because what they wrote without an answer may be lost.
func ContinueEmitter(state EmitterState) *Emitter {
	return &Emitter{id: state.Emitter, epoch: state.Epoch, next: state.Last + 1, time: state.Time}
}

// Start links node, the first entry of an epoch, to the component's epoch before: prev is its state in the control log,
// nil if it never wrote. It returns node.
func (m *Emitter) Start(node *ledger.NodeEntry, prev *EmitterState) *ledger.NodeEntry {
	node.Event = ledger.NodeStart
	node.PrevEpoch, node.PrevLast = "", nil
	if prev != nil {
		last := prev.Last
		node.PrevEpoch, node.PrevLast = prev.Epoch, &last
		m.time = max(m.time, prev.Time)
	}
	return node
}

// Encode fills in the common members of e, under the next number, and returns its encoding. now is the component's clock
// in milliseconds since 1970; the entry is never dated before the one before it. policy is the one in force then
// (Replay.PolicyAt, at Time(now)).
func (m *Emitter) Encode(e ledger.Entry, policy ledger.Hash, now int64) ([]byte, error) {
	*e.Common() = ledger.EntryCommon{Time: m.Time(now), Emitter: m.id, Epoch: m.epoch, Seq: m.next, Policy: policy}
	return ledger.EncodeEntry(e)
}

// Time is the time that an entry written now would have.
func (m *Emitter) Time(now int64) int64 { return max(now, m.time) }

// Committed tells that e, encoded last, is in the log: the next entry has the next number.
func (m *Emitter) Committed(e ledger.Entry) error {
	c := e.Common()
	if c.Emitter != m.id || c.Epoch != m.epoch || c.Seq != m.next {
		return fmt.Errorf("emitter %s: number %d of epoch %s was committed where %d of %s was next", m.id, c.Seq, c.Epoch, m.next, m.epoch)
	}
	m.next, m.time = m.next+1, c.Time
	return nil
}

// ID is the component's id, as the policy declares it.
func (m *Emitter) ID() string { return m.id }

// Epoch is the emitter's epoch.
func (m *Emitter) Epoch() string { return m.epoch }

// Next is the number of the next entry.
func (m *Emitter) Next() uint64 { return m.next }
