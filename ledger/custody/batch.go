package custody

import (
	"fmt"

	"domicile.dev/domicile/ledger"
)

// An eventsLog is what the batch entries of one events log have bound so far. Marks are kept for good: a partition or a
// collector's epoch that was left out for a while goes on where it was.
type eventsLog struct {
	last       Batch
	positions  map[partition]uint64
	collectors map[collector]uint64
}

type partition struct {
	cluster, topic string
	number         int
}

type collector struct{ id, epoch string }

// A Batch is the last batch entry of an events log.
type Batch struct {
	Index      uint64 // of the entry
	CommitSeq  uint64
	CommitHash ledger.Hash
	Size       uint64
	Root       ledger.Hash
	Rules      ledger.Hash
}

// judgeBatch holds a batch to what claims C1, C3 and C5 need: ranges, positions and collector numbers of one log follow
// on each other, and the counts are those of the range.
//
// That a batch spans no two sets of rules cannot be seen here: the commits of its range say so.
func (r *Replay) judgeBatch(e *ledger.BatchEntry, document *ledger.PolicyDocument) error {
	if _, listed := document.Log(e.Origin); !listed || e.Origin == r.origin {
		return r.violation(e, C3, RuleUnlistedLog, "an events log that the policy lists", e.Origin)
	}
	log := r.logs[e.Origin]
	if log == nil {
		log = &eventsLog{}
	}
	if err := r.judgeRange(e, C3, e.Origin, log.last.Size, e.First, e.Size); err != nil {
		return err
	}
	if log.positions != nil { // there was a batch
		switch {
		case e.CommitSeq <= log.last.CommitSeq:
			return r.violation(e, C3, RuleOrder, fmt.Sprintf("a commit after %d", log.last.CommitSeq), fmt.Sprint(e.CommitSeq))
		case e.Size == log.last.Size && e.Root != log.last.Root:
			return r.violation(e, C3, RuleRoot, "root "+ledger.FormatHash(log.last.Root), ledger.FormatHash(e.Root))
		}
	}
	var records, regions counter
	for _, class := range e.Classes {
		records.add(class.Records)
	}
	for _, region := range e.LeafRegions {
		regions.add(region.Count)
	}
	leaves := e.Size - e.First
	if !records.is(leaves) {
		return r.violation(e, C3, RuleRecords, fmt.Sprintf("%d records", leaves), records.String())
	}
	if !regions.is(leaves) {
		return r.violation(e, C1, RuleRegions, fmt.Sprintf("%d leaves", leaves), regions.String())
	}
	for _, p := range e.Positions {
		// A partition's first offset depends on how long the topic kept its messages: where it begins is free.
		from, known := log.positions[partition{p.Cluster, p.Topic, p.Partition}]
		if !known {
			from = p.From
		}
		if err := r.judgeRange(e, C5, fmt.Sprintf("%s/%d", p.Topic, p.Partition), from, p.From, p.Next); err != nil {
			return err
		}
	}
	for _, c := range e.Collectors {
		from := log.collectors[collector{c.ID, c.Epoch}] // numbering begins at 0
		if err := r.judgeRange(e, C5, c.ID, from, c.From, c.Next); err != nil {
			return err
		}
	}
	return nil
}

// judgeRange holds a range [first, next) of subject to begin where the last one ended.
func (r *Replay) judgeRange(e ledger.Entry, check Check, subject string, end, first, next uint64) error {
	rule := RuleHole
	switch {
	case first < end:
		rule = RuleOverlap
	case first == end && next < first:
		return r.violation(e, check, RuleOrder, fmt.Sprintf("%s: an end from %d on", subject, first), fmt.Sprint(next))
	case first == end:
		return nil
	}
	return r.violation(e, check, rule, fmt.Sprintf("%s from %d on", subject, end), fmt.Sprint(first))
}

func (r *Replay) takeBatch(e *ledger.BatchEntry, index uint64) {
	log := r.logs[e.Origin]
	if log == nil {
		log = &eventsLog{positions: map[partition]uint64{}, collectors: map[collector]uint64{}}
		r.logs[e.Origin] = log
	}
	log.last = Batch{Index: index, CommitSeq: e.CommitSeq, CommitHash: e.CommitHash, Size: e.Size, Root: e.Root, Rules: e.Rules}
	for _, p := range e.Positions {
		log.positions[partition{p.Cluster, p.Topic, p.Partition}] = p.Next
	}
	for _, c := range e.Collectors {
		log.collectors[collector{c.ID, c.Epoch}] = c.Next
	}
}

// LastBatch returns the last batch entry of an events log, if there is one.
func (r *Replay) LastBatch(origin string) (Batch, bool) {
	log := r.logs[origin]
	if log == nil {
		return Batch{}, false
	}
	return log.last, true
}

// PositionNext returns where the next batch of an events log must go on in a partition; ok is false where it may begin
// anywhere.
func (r *Replay) PositionNext(origin, cluster, topic string, number int) (next uint64, ok bool) {
	if log := r.logs[origin]; log != nil {
		next, ok = log.positions[partition{cluster, topic, number}]
	}
	return next, ok
}

// CollectorNext returns where the next batch of an events log must go on in the numbering of a collector's epoch: 0
// where it has not begun.
func (r *Replay) CollectorNext(origin, id, epoch string) uint64 {
	if log := r.logs[origin]; log != nil {
		return log.collectors[collector{id, epoch}]
	}
	return 0
}

// A counter is a sum of numbers from outside, which may not fit.
type counter struct {
	sum      uint64
	overflow bool
}

func (c *counter) add(n uint64) {
	c.sum += n
	c.overflow = c.overflow || c.sum < n
}

func (c *counter) is(n uint64) bool { return !c.overflow && c.sum == n }

func (c *counter) String() string {
	if c.overflow {
		return "more than 64 bits hold"
	}
	return fmt.Sprint(c.sum)
}
