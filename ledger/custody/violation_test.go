package custody_test

import (
	"errors"
	"fmt"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

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
