package custody_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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

// Each row is something that a component of a healthy cell might send or a tampered log might hold; the holder refuses
// it and a verifier names it, by the same check and rule.
func TestViolations(t *testing.T) {
	rows := []struct {
		name  string
		check custody.Check
		rule  custody.Rule
		entry func(c *cell) ledger.Entry
	}{
		{"number skipped", custody.I5, custody.RuleSeq, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Seq++ })
		}},
		{"number used with other content", custody.I5, custody.RuleSeq, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(1), func(m *ledger.EntryCommon) { m.Seq-- })
		}},
		{"time going back", custody.I5, custody.RuleTime, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Time-- })
		}},
		{"first entry is no start", custody.I5, custody.RuleStart, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Epoch, m.Seq = epoch(9), 0 })
		}},
		{"epoch begins in the middle", custody.I5, custody.RuleSeq, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Epoch = epoch(9) })
		}},
		{"second start in an epoch", custody.I5, custody.RuleStart, func(c *cell) ledger.Entry {
			return c.with(c.writer, c.writer.Start(nodeStart(ledger.RoleWriter), nil), nil)
		}},
		{"new epoch without a link", custody.I5, custody.RuleSuccessor, func(c *cell) ledger.Entry {
			m := custody.NewEmitter("writer", epoch(9))
			return c.with(m, m.Start(nodeStart(ledger.RoleWriter), nil), nil)
		}},
		{"epoch cloned: two successors", custody.I5, custody.RuleSuccessor, func(c *cell) ledger.Entry {
			prev, _ := c.replay.Emitter("writer")
			m := custody.NewEmitter("writer", epoch(8))
			c.write(m, m.Start(nodeStart(ledger.RoleWriter), &prev))
			m = custody.NewEmitter("writer", epoch(9))
			return c.with(m, m.Start(nodeStart(ledger.RoleWriter), &prev), nil)
		}},
		{"component with an older state", custody.I5, custody.RulePrevLast, func(c *cell) ledger.Entry {
			prev, _ := c.replay.Emitter("writer")
			c.write(c.writer, heartbeat(0))
			m := custody.NewEmitter("writer", epoch(9))
			return c.with(m, m.Start(nodeStart(ledger.RoleWriter), &prev), nil)
		}},
		{"epoch of another component", custody.I5, custody.RuleEpochUsed, func(c *cell) ledger.Entry {
			prev, _ := c.replay.Emitter("writer")
			m := custody.NewEmitter("writer", epoch(3))
			return c.with(m, m.Start(nodeStart(ledger.RoleWriter), &prev), nil)
		}},
		{"zombie of an epoch that has a successor", custody.I5, custody.RuleEpochUsed, func(c *cell) ledger.Entry {
			prev, _ := c.replay.Emitter("writer")
			m := custody.NewEmitter("writer", epoch(9))
			c.write(m, m.Start(nodeStart(ledger.RoleWriter), &prev))
			return c.with(c.writer, heartbeat(0), nil)
		}},
		{"entry after stop", custody.I5, custody.RuleEpochUsed, func(c *cell) ledger.Entry {
			stop := nodeStart(ledger.RoleWriter)
			stop.Event = ledger.NodeStop
			c.write(c.writer, stop)
			return c.with(c.writer, heartbeat(0), nil)
		}},
		{"init in a second epoch", custody.I5, custody.RuleSeq, func(c *cell) ledger.Entry {
			return c.with(custody.NewEmitter("init", epoch(9)), c.key(controlOrigin), nil)
		}},
		{"init doing other things", custody.I3, custody.RuleInitType, func(c *cell) ledger.Entry { return c.with(c.init, heartbeat(0), nil) }},
		{"emitter that nobody declared", custody.I3, custody.RuleDeclared, func(c *cell) ledger.Entry {
			m := custody.NewEmitter("stranger", epoch(9))
			return c.with(m, m.Start(nodeStart(ledger.RoleWriter), nil), nil)
		}},
		{"another role than declared", custody.I3, custody.RuleRole, func(c *cell) ledger.Entry {
			prev, _ := c.replay.Emitter("writer")
			m := custody.NewEmitter("writer", epoch(9))
			return c.with(m, m.Start(nodeStart(ledger.RoleGateway), &prev), nil)
		}},
		{"policy that is not in force", custody.I6, custody.RulePolicy, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Policy[0]++ })
		}},
		{"policy cited before its time", custody.I6, custody.RulePolicy, func(c *cell) ledger.Entry {
			hash := c.next(c.now+1000, nil)
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Policy = hash })
		}},
		{"old policy after its time", custody.I6, custody.RulePolicy, func(c *cell) ledger.Entry {
			old, _, _ := c.replay.PolicyAt(c.now)
			c.next(c.now+1000, nil)
			c.now += 1000
			return c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Policy = old })
		}},
		{"policy made retroactive", custody.I6, custody.RuleEffective, func(c *cell) ledger.Entry {
			c.now += 10 * skew
			old, _, _ := c.replay.NewestPolicy()
			hash := c.supply(c.document(func(p *ledger.PolicyDocument) { p.SettleMs = 1 }))
			return c.with(c.init, c.policyEntry(hash, &old, c.now-skew-1), nil)
		}},
		{"policy in force before the one it supersedes", custody.I6, custody.RuleEffective, func(c *cell) ledger.Entry {
			old := c.next(c.now+1000, nil)
			hash := c.supply(c.document(func(p *ledger.PolicyDocument) { p.SettleMs = 1 }))
			return c.with(c.init, c.policyEntry(hash, &old, c.now+999), nil)
		}},
		{"policy that supersedes another", custody.I6, custody.RuleSupersedes, func(c *cell) ledger.Entry {
			hash := c.supply(c.document(func(p *ledger.PolicyDocument) { p.SettleMs = 1 }))
			return c.with(c.init, c.policyEntry(hash, &hash, c.now), nil)
		}},
		{"policy that supersedes nothing", custody.I6, custody.RuleSupersedes, func(c *cell) ledger.Entry {
			hash := c.supply(c.document(func(p *ledger.PolicyDocument) { p.SettleMs = 1 }))
			return c.with(c.init, c.policyEntry(hash, nil, c.now), nil)
		}},
		{"policy text missing or swapped", custody.I6, custody.RuleDocument, func(c *cell) ledger.Entry {
			old, _, _ := c.replay.NewestPolicy()
			return c.with(c.init, c.policyEntry(ledger.Hash{7}, &old, c.now), nil)
		}},
		{"object of another hash", custody.I6, custody.RuleDocument, func(c *cell) ledger.Entry {
			old, _, _ := c.replay.NewestPolicy()
			e := c.policyEntry(c.supply(c.document(func(p *ledger.PolicyDocument) { p.SettleMs = 1 })), &old, c.now)
			e.Object = ledger.AttachmentKey(fmt.Sprintf("%064d", 0))
			return c.with(c.init, e, nil)
		}},
		{"policy of another cell", custody.I6, custody.RuleDocument, func(c *cell) ledger.Entry {
			old, _, _ := c.replay.NewestPolicy()
			return c.with(c.init, c.policyEntry(c.supply(c.document(func(p *ledger.PolicyDocument) { p.Jurisdiction = "us" })), &old, c.now), nil)
		}},
		{"policy without the control log", custody.I6, custody.RuleDocument, func(c *cell) ledger.Entry {
			old, _, _ := c.replay.NewestPolicy()
			return c.with(c.init, c.policyEntry(c.supply(c.document(func(p *ledger.PolicyDocument) { p.Logs = p.Logs[1:] })), &old, c.now), nil)
		}},
		{"second key of a log", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry { return c.with(c.init, c.key(eventsOrigin), nil) }},
		{"key of another log", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry {
			e := c.key(controlOrigin)
			e.Origin = eventsOrigin
			return c.with(c.init, e, nil)
		}},
		{"key that the policy does not list", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry {
			c.vkeys[eventsOrigin] = newVKey(c.t, eventsOrigin, 99)
			e := c.key(eventsOrigin)
			e.Event = ledger.KeyRotate
			return c.with(c.init, e, nil)
		}},
		{"key that is none", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry {
			e := c.key(eventsOrigin)
			e.VKey = eventsOrigin + "+00000000+AAAA"
			return c.with(c.init, e, nil)
		}},
		{"key of a log that the policy does not list", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry {
			c.vkeys["local/eu/events/1"] = newVKey(c.t, "local/eu/events/1", 99)
			return c.with(c.init, c.key("local/eu/events/1"), nil)
		}},
		{"kid of another key", custody.I3, custody.RuleKey, func(c *cell) ledger.Entry {
			e := c.key(eventsOrigin)
			e.KID = "00000000"
			return c.with(c.init, e, nil)
		}},
		{"more of the log seen than there is", custody.I2, custody.RuleSeen, func(c *cell) ledger.Entry {
			return c.with(c.writer, heartbeat(c.replay.Size()+1), nil)
		}},
		{"batch left out", custody.C3, custody.RuleHole, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.First, e.Size = e.First+1, e.Size+1 })},
		{"batch overlapping", custody.C3, custody.RuleOverlap, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.First, e.Size = e.First-1, e.Size-1 })},
		{"batch that ends before it begins", custody.C3, custody.RuleOrder, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Size = e.First - 1 })},
		{"commit again", custody.C3, custody.RuleOrder, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.CommitSeq-- })},
		{"same size, another root", custody.C3, custody.RuleRoot, secondBatch(func(c *cell, e *ledger.BatchEntry) {
			*e = *c.batch(0)
			e.Root[0]++
		})},
		{"records of classes", custody.C3, custody.RuleRecords, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Classes[0].Records++ })},
		{"records beyond 64 bits", custody.C3, custody.RuleRecords, secondBatch(func(c *cell, e *ledger.BatchEntry) {
			e.Classes = append(e.Classes, ledger.BatchClass{Class: "z", Records: 1<<64 - 1, Lock: ledger.LockNone}, ledger.BatchClass{Class: "zz", Records: 1, Lock: ledger.LockNone})
		})},
		{"leaves by region", custody.C1, custody.RuleRegions, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.LeafRegions[0].Count-- })},
		{"batch of the control log", custody.C3, custody.RuleUnlistedLog, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Origin = controlOrigin })},
		{"batch of a log that the policy does not list", custody.C3, custody.RuleUnlistedLog, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Origin = "local/eu/events/1" })},
		{"stream offsets left out", custody.C5, custody.RuleHole, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Positions[0].From++ })},
		{"stream read again", custody.C5, custody.RuleOverlap, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Positions[0].From-- })},
		{"stream going back", custody.C5, custody.RuleOrder, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Positions[0].Next = e.Positions[0].From - 1 })},
		{"collector's numbers left out", custody.C5, custody.RuleHole, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Collectors[0].From++ })},
		{"collector's numbers twice", custody.C5, custody.RuleOverlap, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Collectors[0].From-- })},
		{"collector that does not begin at 0", custody.C5, custody.RuleHole, secondBatch(func(c *cell, e *ledger.BatchEntry) { e.Collectors[0].Epoch = epoch(78) })},
		{"done without intent", custody.C8, custody.RuleIntent, func(c *cell) ledger.Entry { return c.with(c.reader, done(3), nil) }},
		{"done twice", custody.C8, custody.RuleIntent, func(c *cell) ledger.Entry {
			index := c.write(c.reader, intent())
			c.write(c.reader, done(index))
			return c.with(c.reader, done(index), nil)
		}},
		{"done of another component", custody.C8, custody.RuleIntent, func(c *cell) ledger.Entry {
			return c.with(c.writer, done(c.write(c.reader, intent())), nil)
		}},
		{"done for another recipient", custody.C8, custody.RuleIntentChanged, func(c *cell) ledger.Entry {
			e := done(c.write(c.reader, intent()))
			e.Recipient.Jur = "us"
			return c.with(c.reader, e, nil)
		}},
		{"done for nobody", custody.C8, custody.RuleIntentChanged, func(c *cell) ledger.Entry {
			e := done(c.write(c.reader, intent()))
			e.Principal = nil
			return c.with(c.reader, e, nil)
		}},
		{"gap closed that nobody opened", custody.C10, custody.RuleFollowsOn, func(c *cell) ledger.Entry {
			e := gap()
			e.State, e.Of = ledger.GapClosed, new(uint64)
			return c.with(c.writer, e, nil)
		}},
		{"finding resolved that is a gap", custody.C8, custody.RuleFollowsOn, func(c *cell) ledger.Entry {
			index := c.write(c.writer, gap())
			return c.with(c.writer, &ledger.FindingEntry{Kind: ledger.FindingUIDConflict, State: ledger.FindingResolved, Of: &index}, nil)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newCell(t)
			e := row.entry(c)
			var refused *custody.Violation
			if err := c.replay.Check(e, c.now); !errors.As(err, &refused) || refused.Check != row.check || refused.Rule != row.rule {
				t.Fatalf("the holder says %v, not %s %s", err, row.check, row.rule)
			}
			if refused.Index != c.replay.Size() || refused.Expected == "" || refused.Got == "" {
				t.Errorf("the refusal says too little: %+v", refused)
			}
			var found *custody.Violation
			size := c.replay.Size()
			if err := c.replay.Apply(size, ledger.AppendEntry(nil, e)); !errors.As(err, &found) || found.Rule != row.rule {
				t.Fatalf("the verifier says %v, not %s", err, row.rule)
			}
			if taken := c.replay.Size() > size; taken == row.check.Integrity() {
				t.Errorf("after a violation of %s the entry was taken in: %v", row.check, taken)
			}
		})
	}
}

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

// secondBatch commits one batch and makes another, which it edits.
func secondBatch(edit func(*cell, *ledger.BatchEntry)) func(*cell) ledger.Entry {
	return func(c *cell) ledger.Entry {
		c.write(c.writer, c.batch(300))
		e := c.batch(200)
		edit(c, e)
		return c.with(c.writer, e, nil)
	}
}

func TestFutureDated(t *testing.T) {
	c := newCell(t)
	e := c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Time = c.now + skew })
	if err := c.replay.Check(e, c.now); err != nil {
		t.Errorf("dated within the skew: %v", err)
	}
	e.Common().Time++
	var v *custody.Violation
	if err := c.replay.Check(e, c.now); !errors.As(err, &v) || v.Check != custody.I4 || v.Rule != custody.RuleFuture {
		t.Errorf("dated beyond the skew: %v", err)
	}
	if err := c.replay.Apply(c.replay.Size(), ledger.AppendEntry(nil, e)); err != nil {
		t.Errorf("a replay knows no time, and says %v", err)
	}
}

func TestFirstEntry(t *testing.T) {
	rows := []struct {
		name  string
		rule  custody.Rule
		entry func(c *cell) ledger.Entry
	}{
		{"a key", custody.RuleFirst, func(c *cell) ledger.Entry { return c.key(controlOrigin) }},
		{"a start", custody.RuleFirst, func(c *cell) ledger.Entry {
			return custody.NewEmitter("writer", epoch(9)).Start(nodeStart(ledger.RoleWriter), nil)
		}},
		{"policy by another than init", custody.RuleFirst, func(c *cell) ledger.Entry {
			c.init = custody.NewEmitter("writer", epoch(1))
			return c.policyEntry(c.supply(c.document(nil)), nil, start)
		}},
		{"policy in force later", custody.RuleEffective, func(c *cell) ledger.Entry {
			return c.policyEntry(c.supply(c.document(nil)), nil, start+1)
		}},
		{"policy in force long before", custody.RuleEffective, func(c *cell) ledger.Entry {
			return c.policyEntry(c.supply(c.document(nil)), nil, start-skew-1)
		}},
		{"policy that supersedes one", custody.RuleSupersedes, func(c *cell) ledger.Entry {
			return c.policyEntry(c.supply(c.document(nil)), &ledger.Hash{}, start)
		}},
		{"policy that cites another", custody.RulePolicy, func(c *cell) ledger.Entry {
			e := c.policyEntry(c.supply(c.document(nil)), nil, start)
			e.Policy = ledger.Hash{9}
			return e
		}},
		{"policy whose text nobody has", custody.RuleDocument, func(c *cell) ledger.Entry {
			return c.policyEntry(ledger.Hash{1}, nil, start)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := &cell{t: t, replay: custody.NewReplay(controlOrigin), now: start, init: custody.NewEmitter("init", epoch(1)),
				vkeys: map[string]string{controlOrigin: newVKey(t, controlOrigin, 0), eventsOrigin: newVKey(t, eventsOrigin, 1)}}
			e := row.entry(c)
			var policy ledger.Hash
			if p, ok := e.(*ledger.PolicyEntry); ok {
				policy = p.Hash
				if p.Policy != (ledger.Hash{}) {
					policy = p.Policy // the row asks for it
				}
			}
			if _, err := c.init.Encode(e, policy, start); err != nil {
				t.Fatal(err)
			}
			var v *custody.Violation
			if err := c.replay.Check(e, start); !errors.As(err, &v) || v.Rule != row.rule {
				t.Fatalf("%v, not %s", err, row.rule)
			}
			if row.name == "policy whose text nobody has" && !errors.Is(v, custody.ErrNoDocument) {
				t.Error("the caller is not told that it owes a document")
			}
		})
	}
}

// A component that got no answer sends again, byte for byte, and learns where its entry is.
func TestRepeat(t *testing.T) {
	c := newCell(t)
	e := heartbeat(0)
	index := c.write(c.writer, e)
	c.write(c.reader, heartbeat(0))
	c.write(c.writer, heartbeat(1))
	c.next(c.now, nil) // the policy that e cites is no longer in force
	c.now += 1000

	var repeat *custody.Repeat
	if err := c.replay.Check(e, c.now); !errors.As(err, &repeat) || repeat.Index != index {
		t.Fatalf("a repeat is answered with %v", err)
	}
	other := *e
	other.Queued++
	var wrong *custody.WrongSeq
	if err := c.replay.Check(&other, c.now); !errors.As(err, &wrong) || wrong.Next != c.writer.Next() || wrong.Epoch != c.writer.Epoch() || wrong.Taken == nil || *wrong.Taken != index {
		t.Fatalf("the number used for something else is answered with %v", err)
	}
	if err := c.replay.Apply(c.replay.Size(), ledger.AppendEntry(nil, e)); !errors.As(err, &repeat) {
		t.Errorf("a log that holds an entry twice is judged %v", err)
	}
	for range 100 {
		c.write(c.writer, heartbeat(0))
	}
	if err := c.replay.Check(e, c.now); !errors.As(err, &wrong) || wrong.Taken != nil {
		t.Errorf("a very old repeat is answered with %v", err)
	}
}

// What a component needs to go on after a restart stands in the log.
func TestRestart(t *testing.T) {
	c := newCell(t)
	open := c.write(c.reader, intent())
	state, ok := c.replay.Emitter("reader")
	if !ok || state.Epoch != epoch(3) || state.Last != 1 || state.Index != open || state.Role != ledger.RoleGateway || state.Stopped || state.Hash != sha256.Sum256(c.log[open]) {
		t.Fatalf("%+v", state)
	}
	c.now -= 5000 // its clock went back
	again := custody.NewEmitter("reader", epoch(4))
	c.write(again, again.Start(nodeStart(ledger.RoleGateway), &state))
	if !slices.Equal(c.replay.OpenIntents(), []uint64{open}) {
		t.Errorf("open intents: %v", c.replay.OpenIntents())
	}
	c.write(again, done(open))
	if len(c.replay.OpenIntents()) != 0 {
		t.Errorf("open intents: %v", c.replay.OpenIntents())
	}

	// An init that was interrupted goes on in its epoch.
	state, _ = c.replay.Emitter("init")
	c.init = custody.ContinueEmitter(state)
	c.next(c.now+10000, nil)

	// What it wrote without an answer is not there: it may say so.
	state, _ = c.replay.Emitter("reader")
	state.Last += 3
	third := custody.NewEmitter("reader", epoch(5))
	c.write(third, third.Start(nodeStart(ledger.RoleGateway), &state))
}

func TestState(t *testing.T) {
	c := newCell(t)
	index := c.write(c.writer, c.batch(300))
	c.write(c.writer, c.batch(0))
	index += 1
	batch, ok := c.replay.LastBatch(eventsOrigin)
	if !ok || batch.Index != index || batch.Size != 300 || batch.CommitSeq != 2 || batch.Rules != ledger.EmptyHash {
		t.Errorf("%+v", batch)
	}
	if next, ok := c.replay.PositionNext(eventsOrigin, "cluster", "topic", 0); !ok || next != 300 {
		t.Error("position", next, ok)
	}
	if next := c.replay.CollectorNext(eventsOrigin, "collector", epoch(77)); next != 300 {
		t.Error("collector", next)
	}
	if keys := c.replay.Keys(eventsOrigin); len(keys) != 1 || keys[0].VKey != c.vkeys[eventsOrigin] || keys[0].Index != 2 {
		t.Errorf("%+v", keys)
	}
	if origins := c.replay.KeyOrigins(); !slices.Equal(origins, []string{controlOrigin, eventsOrigin}) {
		t.Error(origins)
	}
	if n := c.replay.Count(ledger.EntryNode); n != 2 {
		t.Error("node entries:", n)
	}

	opened := c.write(c.writer, gap())
	if !slices.Equal(c.replay.Open(ledger.EntryGap), []uint64{opened}) {
		t.Error(c.replay.Open(ledger.EntryGap))
	}
	explained := gap()
	explained.State, explained.Of = ledger.GapExplained, &opened
	explained.Approvals = []ledger.Approval{{By: ledger.Hash{1}}, {By: ledger.Hash{2}}}
	c.write(c.writer, explained)
	if !slices.Equal(c.replay.Open(ledger.EntryGap), []uint64{opened}) {
		t.Error("an explained gap is no longer listed")
	}
	closed := gap()
	closed.State, closed.Of = ledger.GapClosed, &opened
	c.write(c.writer, closed)
	if len(c.replay.Open(ledger.EntryGap)) != 0 {
		t.Error(c.replay.Open(ledger.EntryGap))
	}

	// A policy that is not in force yet, and then is; an entry dated before that still cites the old one.
	old, _, _ := c.replay.PolicyAt(c.now)
	hash := c.next(c.now+1000, nil)
	if got, _, _ := c.replay.PolicyAt(c.now + 999); got != old {
		t.Error("the new policy is in force too early")
	}
	if got, _, _ := c.replay.PolicyAt(c.now + 1000); got != hash {
		t.Error("the new policy is not in force")
	}
	c.now += 1000
	c.write(c.writer, heartbeat(0))
	late := c.with(c.reader, heartbeat(0), func(m *ledger.EntryCommon) { m.Time, m.Policy = c.now-1, old })
	if _, err := c.commit(late); err != nil {
		t.Error(err)
	}
}

// Whoever replays the log gets the state that its holder had; one entry dropped, repeated or exchanged shows.
func TestReplayOfRecordedLog(t *testing.T) {
	c := newCell(t)
	for i := range 30 {
		c.now += 1000
		switch i % 5 {
		case 0:
			c.write(c.writer, c.batch(uint64(i)))
		case 1:
			c.write(c.reader, done(c.write(c.reader, intent())))
		case 2:
			c.write(c.reader, heartbeat(c.replay.Size()))
		case 3:
			c.next(c.now-int64(i), nil)
		case 4:
			c.write(c.writer, heartbeat(0))
		}
	}
	c.write(c.reader, heartbeat(0))
	c.write(c.init, &ledger.KeyEntry{Event: ledger.KeyObserve, Purpose: ledger.KeyPayload, KID: "kek"})

	replayed := func(log [][]byte) (*custody.Replay, error) {
		r := custody.NewReplay(controlOrigin)
		for _, text := range c.texts {
			if err := r.Supply(text); err != nil {
				t.Fatal(err)
			}
		}
		for i, raw := range log {
			if err := r.Apply(uint64(i), raw); err != nil {
				return nil, err
			}
		}
		return r, nil
	}
	r, err := replayed(c.log)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, c.replay) {
		t.Error("the replayed state differs from the holder's")
	}
	emitterOf := func(raw []byte) string {
		e, err := ledger.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		return e.Common().Emitter
	}
	for i := range c.log {
		if _, err := replayed(slices.Insert(slices.Clone(c.log), i, c.log[i])); err == nil {
			t.Errorf("entry %d twice: not seen", i)
		}
		goesOn := slices.ContainsFunc(c.log[i+1:], func(raw []byte) bool { return emitterOf(raw) == emitterOf(c.log[i]) })
		if _, err := replayed(slices.Delete(slices.Clone(c.log), i, i+1)); err == nil && goesOn {
			t.Errorf("entry %d left out: not seen", i)
		}
		for j := i + 1; j < len(c.log); j++ {
			if emitterOf(c.log[i]) != emitterOf(c.log[j]) {
				continue
			}
			swapped := slices.Clone(c.log)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if _, err := replayed(swapped); err == nil {
				t.Errorf("entries %d and %d exchanged: not seen", i, j)
			}
			break
		}
	}
	if err := c.replay.Apply(0, c.log[0]); err == nil {
		t.Error("an entry was applied out of order")
	}
}

// Bytes from outside reach a replay through Apply and Supply only.
func FuzzReplay(f *testing.F) {
	c := newCell(&testing.T{})
	c.write(c.writer, c.batch(300))
	c.write(c.reader, done(c.write(c.reader, intent())))
	c.write(c.writer, gap())
	c.next(c.now, nil)
	f.Add(bytes.Join(c.texts, []byte("\n")), bytes.Join(c.log, []byte("\n")))
	f.Fuzz(func(t *testing.T, texts, log []byte) {
		r := custody.NewReplay(controlOrigin)
		for text := range bytes.SplitSeq(texts, []byte("\n")) {
			_ = r.Supply(text)
		}
		for raw := range bytes.SplitSeq(log, []byte("\n")) {
			var v *custody.Violation
			var repeat *custody.Repeat
			if err := r.Apply(r.Size(), raw); err != nil && !errors.As(err, &v) && !errors.As(err, &repeat) {
				t.Errorf("an error without a name: %v", err)
			} else if err != nil && err.Error() == "" {
				t.Error("an error that says nothing")
			}
		}
	})
}

// The policy is what lets a log have another key.
func TestKeyRotation(t *testing.T) {
	c := newCell(t)
	c.vkeys[eventsOrigin] = newVKey(t, eventsOrigin, 99)
	c.next(c.now, nil)
	e := c.key(eventsOrigin)
	e.Event = ledger.KeyRotate
	c.write(c.init, e)
	if keys := c.replay.Keys(eventsOrigin); len(keys) != 2 || keys[1].VKey != c.vkeys[eventsOrigin] {
		t.Errorf("%+v", keys)
	}
}

func TestRefusalsAreReadable(t *testing.T) {
	c := newCell(t)
	err := c.replay.Check(c.with(c.writer, heartbeat(0), func(m *ledger.EntryCommon) { m.Seq = 9 }), c.now)
	want := "control entry 5 of writer: I5 seq: expected number 1 of epoch " + epoch(2) + ", got number 9 of epoch " + epoch(2)
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	bad := heartbeat(0)
	bad.Emitter = "not an id"
	var v *custody.Violation
	if err := c.replay.Check(bad, c.now); !errors.As(err, &v) || v.Rule != custody.RuleEncoding {
		t.Errorf("an entry without an encoding: %v", err)
	}
	if err := c.replay.Supply([]byte("{}")); err == nil {
		t.Error("a document that is none was taken")
	}
}

func TestEmitterRefusesWhatItDidNotWrite(t *testing.T) {
	m := custody.NewEmitter("writer", epoch(1))
	e := m.Start(nodeStart(ledger.RoleWriter), nil)
	if _, err := m.Encode(e, ledger.Hash{}, start); err != nil {
		t.Fatal(err)
	}
	if err := m.Committed(e); err != nil {
		t.Fatal(err)
	}
	if err := m.Committed(e); err == nil || m.Next() != 1 {
		t.Errorf("the same entry counted twice: %v, next %d", err, m.Next())
	}
	if m.Time(start-1) != start {
		t.Error("an entry would be dated before the one before it")
	}
}
