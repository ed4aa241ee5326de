package custody

import (
	"fmt"
	"time"

	"domicile.dev/domicile/ledger"
)

// repeatWindow is how many of an emitter's last entries are recognized when they come again. A component has few
// unanswered entries; an older repeat is refused as a wrong number.
const repeatWindow = 64

// An emitter is the state of one component's numbering.
type emitter struct {
	epoch   string
	role    ledger.Role
	last    uint64 // number of its last entry
	time    int64  // of its last entry
	stopped bool
	recent  []taken // its last entries in this epoch, oldest first
}

type taken struct {
	seq   uint64
	index uint64
	hash  ledger.Hash
}

// judgeSequence holds an entry to I5: per emitter, numbers from 0 without holes, times that do not decrease, epochs that
// begin with node start and follow on each other.
//
// The emitter init is the exception. Its one epoch begins with entry 0 of the log and never ends: what it must know to
// go on stands in the log itself, and the log's fence admits one writer, so a later run continues the numbering.
func (r *Replay) judgeSequence(e ledger.Entry, hash ledger.Hash) error {
	c := e.Common()
	node, _ := e.(*ledger.NodeEntry)
	start := node != nil && node.Event == ledger.NodeStart
	known := r.emitters[c.Emitter]
	switch {
	case known == nil && r.size == 0:
		if c.Seq != 0 {
			return r.wrongSeq(e, "", 0, nil)
		}
		return nil
	case known != nil && known.epoch == c.Epoch:
		if err := r.judgeNumber(e, known, hash); err != nil {
			return err
		}
		if known.stopped {
			return r.violation(e, I5, RuleEpochUsed, "a new epoch: this one has stopped", c.Epoch)
		}
		if start {
			return r.violation(e, I5, RuleStart, "node start at number 0 only", fmt.Sprintf("number %d", c.Seq))
		}
	case known != nil && known.role == ledger.RoleInit:
		return r.wrongSeq(e, known.epoch, known.last+1, nil)
	default:
		if err := r.judgeStart(e, known, node, start); err != nil {
			return err
		}
	}
	if known != nil && c.Time < known.time {
		return r.violation(e, I5, RuleTime, "a time from "+formatTime(known.time)+" on", formatTime(c.Time))
	}
	return nil
}

// judgeNumber looks at an entry of the emitter's current epoch.
func (r *Replay) judgeNumber(e ledger.Entry, known *emitter, hash ledger.Hash) error {
	c := e.Common()
	if c.Seq == known.last+1 {
		return nil
	}
	for _, t := range known.recent {
		if t.seq != c.Seq {
			continue
		}
		if t.hash == hash {
			return &Repeat{Index: t.index}
		}
		return r.wrongSeq(e, known.epoch, known.last+1, &t.index)
	}
	return r.wrongSeq(e, known.epoch, known.last+1, nil)
}

// judgeStart looks at the first entry of an epoch.
func (r *Replay) judgeStart(e ledger.Entry, known *emitter, node *ledger.NodeEntry, start bool) error {
	c := e.Common()
	if owner, used := r.epochs[c.Epoch]; used {
		return r.violation(e, I5, RuleEpochUsed, "an epoch that no component had", "one that "+owner+" had")
	}
	if c.Seq != 0 {
		return r.wrongSeq(e, "", 0, nil)
	}
	if !start {
		return r.violation(e, I5, RuleStart, "node start, as a new epoch begins", string(e.Type()))
	}
	if known == nil {
		if node.PrevEpoch != "" {
			return r.violation(e, I5, RuleSuccessor, "prev_epoch null", node.PrevEpoch)
		}
		return nil
	}
	if node.PrevEpoch != known.epoch {
		got := node.PrevEpoch
		if got == "" {
			got = "null"
		}
		return r.violation(e, I5, RuleSuccessor, "prev_epoch "+known.epoch, got)
	}
	// More than what is logged may have been written: an unlinked tail, which is for claim C8 to judge.
	if *node.PrevLast < known.last {
		return r.violation(e, I5, RulePrevLast, fmt.Sprintf("at least %d", known.last), fmt.Sprint(*node.PrevLast))
	}
	return nil
}

func (r *Replay) takeSequence(e ledger.Entry, hash ledger.Hash, index uint64) {
	c := e.Common()
	known := r.emitters[c.Emitter]
	if known == nil || known.epoch != c.Epoch {
		known = &emitter{epoch: c.Epoch}
		r.emitters[c.Emitter] = known
		r.epochs[c.Epoch] = c.Emitter
		if index == 0 {
			known.role = ledger.RoleInit
		}
	}
	known.last, known.time = c.Seq, c.Time
	if node, ok := e.(*ledger.NodeEntry); ok {
		known.role = node.Role
		known.stopped = node.Event == ledger.NodeStop
	}
	if len(known.recent) == repeatWindow {
		copy(known.recent, known.recent[1:])
		known.recent = known.recent[:repeatWindow-1]
	}
	known.recent = append(known.recent, taken{seq: c.Seq, index: index, hash: hash})
}

func (r *Replay) wrongSeq(e ledger.Entry, epoch string, next uint64, takenBy *uint64) error {
	c := e.Common()
	expected := fmt.Sprintf("number %d of epoch %s", next, epoch)
	if epoch == "" {
		expected = "number 0 of a new epoch"
	}
	return &WrongSeq{
		Violation: *r.violation(e, I5, RuleSeq, expected, fmt.Sprintf("number %d of epoch %s", c.Seq, c.Epoch)),
		Epoch:     epoch, Next: next, Taken: takenBy,
	}
}

// An EmitterState is how far a component's entries have come in the log.
type EmitterState struct {
	Emitter string
	Role    ledger.Role
	Epoch   string      // its last
	Last    uint64      // number of its last entry in that epoch
	Time    int64       // of that entry, in milliseconds since 1970
	Index   uint64      // of that entry
	Hash    ledger.Hash // SHA-256 of that entry
	Stopped bool        // it said that it stops
}

// Emitter returns a component's state, if it ever wrote an entry.
func (r *Replay) Emitter(id string) (EmitterState, bool) {
	known := r.emitters[id]
	if known == nil {
		return EmitterState{}, false
	}
	last := known.recent[len(known.recent)-1]
	return EmitterState{Emitter: id, Role: known.role, Epoch: known.epoch, Last: known.last, Time: known.time,
		Index: last.index, Hash: last.hash, Stopped: known.stopped}, true
}

func formatTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
