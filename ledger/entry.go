package ledger

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxEntryBytes is the greatest length of a control entry: what an entry bundle's uint16 length can say.
const MaxEntryBytes = 65535

// An EntryType is the `type` of a control entry.
type EntryType string

// The entry types of this version. docs/claims.md lists their members.
const (
	EntryPolicy     EntryType = "policy"
	EntryNode       EntryType = "node"
	EntryKey        EntryType = "key"
	EntryBatch      EntryType = "batch"
	EntryQuarantine EntryType = "quarantine"
	EntryAccess     EntryType = "access"
	EntryGap        EntryType = "gap"
	EntryFinding    EntryType = "finding"
	EntryHeartbeat  EntryType = "heartbeat"
)

// entryTypes is the table of entry types: a new one is a row here and a file entry<type>.go.
var entryTypes = []struct {
	name EntryType
	make func() Entry
}{
	{EntryPolicy, func() Entry { return new(PolicyEntry) }},
	{EntryNode, func() Entry { return new(NodeEntry) }},
	{EntryKey, func() Entry { return new(KeyEntry) }},
	{EntryBatch, func() Entry { return new(BatchEntry) }},
	{EntryQuarantine, func() Entry { return new(QuarantineEntry) }},
	{EntryAccess, func() Entry { return new(AccessEntry) }},
	{EntryGap, func() Entry { return new(GapEntry) }},
	{EntryFinding, func() Entry { return new(FindingEntry) }},
	{EntryHeartbeat, func() Entry { return new(HeartbeatEntry) }},
}

// EntryTypes lists the entry types that ParseEntry knows, in the order of docs/claims.md.
func EntryTypes() []EntryType {
	var names []EntryType
	for _, t := range entryTypes {
		names = append(names, t.name)
	}
	return names
}

// An Entry is one entry (leaf) of a control log: a pointer to one of the structs of this package, PolicyEntry,
// NodeEntry and so on.
type Entry interface {
	// Type is the entry's `type`.
	Type() EntryType
	// Common gives the members that every entry has, to read and to fill in.
	Common() *EntryCommon

	code(*entryCoder)
}

// EntryCommon holds the members that every entry has besides `v` (1) and `type`.
type EntryCommon struct {
	Time    int64  // of the emitter's clock, in milliseconds since 1970-01-01T00:00:00Z
	Emitter string // the component's id, as the policy declares it
	Epoch   string // 32 hex digits, random per start of the component
	Seq     uint64 // number of the entry within the epoch, from 0
	Policy  Hash   // of the policy document in force at Time
}

// Common returns c, so that a struct that embeds it is an Entry.
func (c *EntryCommon) Common() *EntryCommon { return c }

// AppendEntry appends the encoding of e to dst: one JSON object without white space, its members in the order of
// docs/claims.md. For an entry that breaks a rule of its type it appends nothing; EncodeEntry says which.
func AppendEntry(dst []byte, e Entry) []byte {
	c := entryCoder{b: dst}
	codeEntry(&c, e)
	if c.err != nil || len(c.b)-len(dst) > MaxEntryBytes {
		return dst
	}
	return c.b
}

// EncodeEntry returns the encoding of e, or an error that names the member that breaks a rule.
func EncodeEntry(e Entry) ([]byte, error) {
	c := entryCoder{}
	codeEntry(&c, e)
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("control entry %s: %w", e.Type(), c.err)
	case len(c.b) > MaxEntryBytes:
		return nil, fmt.Errorf("control entry %s: %d bytes, at most %d", e.Type(), len(c.b), MaxEntryBytes)
	}
	return c.b, nil
}

// ParseEntry reads a control entry. It accepts exactly what AppendEntry writes, byte for byte: an entry is evidence,
// and evidence has one spelling. The entry keeps nothing of raw.
func ParseEntry(raw []byte) (Entry, error) {
	if len(raw) > MaxEntryBytes {
		return nil, fmt.Errorf("control entry: %d bytes, at most %d", len(raw), MaxEntryBytes)
	}
	e, err := entryOfType(raw)
	if err != nil {
		return nil, fmt.Errorf("control entry: %w", err)
	}
	c := entryCoder{reading: true, b: raw}
	codeEntry(&c, e)
	c.end()
	if c.err != nil {
		return nil, fmt.Errorf("control entry %s: %w", e.Type(), c.err)
	}
	// The reader above takes one spelling only; this holds it to that, whatever becomes of it.
	if !bytes.Equal(AppendEntry(nil, e), raw) {
		return nil, fmt.Errorf("control entry %s: not in canonical encoding", e.Type())
	}
	return e, nil
}

// entryOfType makes an empty entry of the type that raw begins with.
func entryOfType(raw []byte) (Entry, error) {
	rest, ok := bytes.CutPrefix(raw, []byte(`{"v":1,"type":"`))
	if !ok {
		return nil, errors.New(`does not begin with {"v":1,"type":"`)
	}
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	for _, t := range entryTypes {
		if string(name) == string(t.name) {
			return t.make(), nil
		}
	}
	return nil, errors.New("unknown type")
}

// codeEntry writes or reads the whole of e. On reading, the type was looked at before.
func codeEntry(c *entryCoder, e Entry) {
	common := e.Common()
	c.object(func() {
		c.literal("v", "1")
		c.literal("type", `"`+string(e.Type())+`"`)
		c.time("time", &common.Time)
		c.text("emitter", &common.Emitter, entryID)
		c.text("epoch", &common.Epoch, entryEpoch)
		c.number("seq", &common.Seq)
		c.hash("policy", &common.Policy)
		e.code(c)
	})
}
