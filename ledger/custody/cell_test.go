package custody_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

const (
	controlOrigin = "local/eu/control"
	eventsOrigin  = "local/eu/events/0"
	start         = int64(1795498200000) // when the tests' cell is made
	skew          = int64(300000)
)

// epoch makes 32 hex digits out of a small number.
func epoch(n int) string { return fmt.Sprintf("%032x", n) }

// keyReader is the tests' source of keys: every run has the same.
type keyReader struct{ *rand.ChaCha8 }

func newVKey(t *testing.T, name string, seed byte) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(keyReader{rand.NewChaCha8([32]byte{seed})}, name)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// A cell writes a control log the way components and the holder do together.
type cell struct {
	t      *testing.T
	replay *custody.Replay
	texts  [][]byte // policy documents
	log    [][]byte // committed entries
	vkeys  map[string]string
	now    int64
	init   *custody.Emitter
	writer *custody.Emitter
	reader *custody.Emitter
}

func (c *cell) document(edit func(*ledger.PolicyDocument)) *ledger.PolicyDocument {
	p := &ledger.PolicyDocument{
		Ledger: "local", Jurisdiction: "eu",
		Logs:     []ledger.PolicyLog{{Origin: controlOrigin, VKey: c.vkeys[controlOrigin]}, {Origin: eventsOrigin, VKey: c.vkeys[eventsOrigin]}},
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "reader", Role: ledger.RoleGateway}, {ID: "writer", Role: ledger.RoleWriter}},
		Rules:    ledger.EmptyHash, Quorum: ledger.QuorumNone, SkewMs: uint64(skew),
		Limits: ledger.PolicyLimits{HeartbeatMs: 60000, SilenceMs: 180000, LateMs: 300000},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

// supply hands a document to the replay and returns its hash.
func (c *cell) supply(p *ledger.PolicyDocument) ledger.Hash {
	c.t.Helper()
	raw, err := p.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.replay.Supply(raw); err != nil {
		c.t.Fatal(err)
	}
	c.texts = append(c.texts, raw)
	return sha256.Sum256(raw)
}

func (c *cell) policyEntry(hash ledger.Hash, supersedes *ledger.Hash, effective int64) *ledger.PolicyEntry {
	return &ledger.PolicyEntry{Hash: hash, Object: ledger.AttachmentKey(fmt.Sprintf("%x", hash)), Supersedes: supersedes, Effective: effective}
}

// encode fills e in as m's next entry, citing the policy in force.
func (c *cell) encode(m *custody.Emitter, e ledger.Entry) {
	c.t.Helper()
	policy, _, ok := c.replay.PolicyAt(m.Time(c.now))
	if !ok {
		policy = e.(*ledger.PolicyEntry).Hash
	}
	if _, err := m.Encode(e, policy, c.now); err != nil {
		c.t.Fatal(err)
	}
}

// commit does what the holder does with an entry, and returns its index.
func (c *cell) commit(e ledger.Entry) (uint64, error) {
	c.t.Helper()
	if err := c.replay.Check(e, c.now); err != nil {
		return 0, err
	}
	raw := ledger.AppendEntry(nil, e)
	index := c.replay.Size()
	if err := c.replay.Apply(index, raw); err != nil {
		c.t.Fatalf("an entry that was checked is refused: %v", err)
	}
	c.log = append(c.log, raw)
	return index, nil
}

func (c *cell) write(m *custody.Emitter, e ledger.Entry) uint64 {
	c.t.Helper()
	c.encode(m, e)
	index, err := c.commit(e)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := m.Committed(e); err != nil {
		c.t.Fatal(err)
	}
	return index
}

func (c *cell) key(origin string) *ledger.KeyEntry {
	verifier, err := note.NewVerifier(c.vkeys[origin])
	if err != nil {
		c.t.Fatal(err)
	}
	return &ledger.KeyEntry{Event: ledger.KeyCreate, Purpose: ledger.KeyLog, KID: fmt.Sprintf("%08x", verifier.KeyHash()), VKey: c.vkeys[origin], Origin: origin}
}

func nodeStart(role ledger.Role) *ledger.NodeEntry {
	return &ledger.NodeEntry{Role: role, Build: "v0.1.0", Basis: ledger.NodeDeclared}
}

// newCell makes a cell: policy, keys of both logs, and two started components.
func newCell(t *testing.T) *cell {
	t.Helper()
	c := &cell{t: t, replay: custody.NewReplay(controlOrigin), now: start, vkeys: map[string]string{}}
	for i, origin := range []string{controlOrigin, eventsOrigin} {
		c.vkeys[origin] = newVKey(t, origin, byte(i))
	}
	c.init = custody.NewEmitter("init", epoch(1))
	c.write(c.init, c.policyEntry(c.supply(c.document(nil)), nil, start))
	c.write(c.init, c.key(controlOrigin))
	c.write(c.init, c.key(eventsOrigin))
	c.writer = custody.NewEmitter("writer", epoch(2))
	c.write(c.writer, c.writer.Start(nodeStart(ledger.RoleWriter), nil))
	c.reader = custody.NewEmitter("reader", epoch(3))
	c.write(c.reader, c.reader.Start(nodeStart(ledger.RoleGateway), nil))
	return c
}

// batch makes the batch entry for n more leaves.
func (c *cell) batch(n uint64) *ledger.BatchEntry {
	last, _ := c.replay.LastBatch(eventsOrigin)
	e := &ledger.BatchEntry{Origin: eventsOrigin, CommitSeq: last.CommitSeq + 1, First: last.Size, Size: last.Size + n, Rules: ledger.EmptyHash, Root: last.Root}
	at, _ := c.replay.PositionNext(eventsOrigin, "cluster", "topic", 0)
	e.Positions = []ledger.PositionRange{{Cluster: "cluster", Topic: "topic", From: at, Next: at + n}}
	from := c.replay.CollectorNext(eventsOrigin, "collector", epoch(77))
	e.Collectors = []ledger.CollectorRange{{ID: "collector", Epoch: epoch(77), From: from, Next: from + n}}
	if n > 0 {
		e.Root[0]++
		e.Classes = []ledger.BatchClass{{Class: "default", Objects: 1, Records: n, Lock: ledger.LockNone}}
		e.LeafRegions = []ledger.RegionCount{{Region: "aws:eu-central-1", Count: n}}
	}
	return e
}

func intent() *ledger.AccessEntry {
	principal := ledger.Hash{1}
	return &ledger.AccessEntry{Phase: ledger.AccessIntent, Op: ledger.OpProof, Principal: &principal, Role: "operator", Purpose: ledger.PurposeAudit,
		Recipient: ledger.Recipient{Jur: "eu", Basis: ledger.RecipientCell}, Decision: ledger.Allow, Rule: "default", Content: ledger.ContentFull}
}

func done(of uint64) *ledger.AccessEntry {
	e := intent()
	e.Phase, e.Of, e.Records, e.Bytes = ledger.AccessDone, &of, new(uint64), new(uint64)
	return e
}

func gap() *ledger.GapEntry {
	return &ledger.GapEntry{Subject: "source", From: ledger.GapEnd{Value: uint64(start)}, To: ledger.GapEnd{Value: uint64(start) + 1}, Cause: ledger.GapUnknown, State: ledger.GapOpen}
}

func heartbeat(size uint64) *ledger.HeartbeatEntry { return &ledger.HeartbeatEntry{ControlSize: size} }

// with encodes e as m's next entry and then edits its common members.
func (c *cell) with(m *custody.Emitter, e ledger.Entry, edit func(*ledger.EntryCommon)) ledger.Entry {
	c.encode(m, e)
	if edit != nil {
		edit(e.Common())
	}
	return e
}

// next puts a changed policy in force at a time, and returns its hash.
func (c *cell) next(effective int64, edit func(*ledger.PolicyDocument)) ledger.Hash {
	old, _, _ := c.replay.NewestPolicy()
	hash := c.supply(c.document(func(p *ledger.PolicyDocument) {
		p.SettleMs = c.replay.Size()
		if edit != nil {
			edit(p)
		}
	}))
	c.write(c.init, c.policyEntry(hash, &old, effective))
	return hash
}
