package ledger

import (
	"cmp"
	"strings"
)

// A BatchEntry binds the leaves [First, Size) of an events log, which are published, into the control log.
type BatchEntry struct {
	EntryCommon
	Origin      string
	CommitSeq   uint64 // of the last commit in the range
	CommitHash  Hash   // of that commit's header line
	First, Size uint64
	Root        Hash         // of the events log at Size
	Classes     []BatchClass // the payloads of the range by retention class
	Positions   []PositionRange
	Collectors  []CollectorRange
	Duplicates  uint64        // repeats dropped
	LeafRegions []RegionCount // leaves by the region that they name
	Rules       Hash          // movement rules that tagged the events: one set per batch
	Hits        uint64        // hits of those rules
}

// A BatchClass sums up the payloads of one retention class.
type BatchClass struct {
	Class          string
	Objects        uint64
	Records        uint64
	Lock           LockMode
	MinRetainUntil *int64 // least retain-until among the objects, in milliseconds since 1970; nil = none has one
}

// A LockMode is how a store holds an object against deletion.
type LockMode string

// Lock modes.
const (
	LockNone       LockMode = "none"
	LockGovernance LockMode = "governance"
	LockCompliance LockMode = "compliance"
)

var lockModes = []LockMode{LockNone, LockGovernance, LockCompliance}

// A PositionRange is the part of a stream partition that a batch covers: offsets [From, Next).
type PositionRange struct {
	Cluster   string // Kafka cluster id
	Topic     string
	Partition int
	From      uint64
	Next      uint64
}

// A CollectorRange is the part of a collector epoch's numbering that a batch covers: numbers [From, Next).
type CollectorRange struct {
	ID    string
	Epoch string
	From  uint64
	Next  uint64
}

// A RegionCount is how many leaves of a batch name a region.
type RegionCount struct {
	Region string
	Count  uint64
}

// Type returns EntryBatch.
func (*BatchEntry) Type() EntryType { return EntryBatch }

func (e *BatchEntry) code(c *entryCoder) {
	c.text("origin", &e.Origin, entryOrigin)
	c.number("commit_seq", &e.CommitSeq)
	c.hash("commit_hash", &e.CommitHash)
	c.number("first", &e.First)
	c.number("size", &e.Size)
	c.root("root", &e.Root)
	entryList(c, "classes", &e.Classes, func(v *BatchClass) {
		c.object(func() {
			c.text("class", &v.Class, entryCode)
			c.number("objects", &v.Objects)
			c.number("records", &v.Records)
			entryEnum(c, "lock", &v.Lock, lockModes)
			entryOptional(c, "min_retain_until", &v.MinRetainUntil, c.timeValue)
		})
	}, func(a, b *BatchClass) int { return strings.Compare(a.Class, b.Class) })
	entryList(c, "positions", &e.Positions, func(v *PositionRange) {
		c.object(func() {
			c.text("cluster", &v.Cluster, entryKafkaName)
			c.text("topic", &v.Topic, entryKafkaName)
			c.partition("partition", &v.Partition)
			c.number("from", &v.From)
			c.number("next", &v.Next)
		})
	}, func(a, b *PositionRange) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	entryList(c, "collectors", &e.Collectors, func(v *CollectorRange) {
		c.object(func() {
			c.text("id", &v.ID, entryID)
			c.text("epoch", &v.Epoch, entryEpoch)
			c.number("from", &v.From)
			c.number("next", &v.Next)
		})
	}, func(a, b *CollectorRange) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Epoch, b.Epoch))
	})
	c.number("duplicates", &e.Duplicates)
	entryMap(c, "leaf_regions", &e.LeafRegions, func(v *RegionCount) *string { return &v.Region }, entryRegion,
		func(v *RegionCount) { c.numberValue(&v.Count) },
		func(a, b *RegionCount) int { return strings.Compare(a.Region, b.Region) })
	c.hash("rules", &e.Rules)
	c.number("hits", &e.Hits)
}
