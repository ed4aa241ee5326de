package ledger

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
)

// MaxPolicyBytes is the greatest length of a policy document.
const MaxPolicyBytes = 1 << 20

// A PolicyDocument says what a cell is meant to be: which logs, components and limits a verifier holds its control log
// against. It is stored as an attachment under its hash and put in force by a PolicyEntry. Version 1 has what this
// version of the program uses; a document with more is another version.
//
// Its encoding is strict as that of entries is: one JSON object, the members in the order of this struct.
type PolicyDocument struct {
	Ledger       string // first part of every origin of the ledger
	Jurisdiction string
	Regions      []string      // regions of the jurisdiction; empty: the shipped tables decide
	Logs         []PolicyLog   // every log of the cell, the control log included
	Emitters     []PolicyActor // every component that may write entries
	Stores       []PolicyStore // every store that holds event data
	Rules        Hash          // movement rules in force; EmptyHash = none
	Quorum       Quorum        // of witnesses, on the control log's checkpoints
	SettleMs     uint64        // how long after a window's end late entries are waited for
	SkewMs       uint64        // how far two clocks of the cell may be apart
	Limits       PolicyLimits
}

// A PolicyLog is a log of the cell and the C2SP verifier key of its checkpoints.
type PolicyLog struct {
	Origin string
	VKey   string
}

// A PolicyActor is a component that may write entries. Each is named: with a pattern nobody could say that one is
// missing.
type PolicyActor struct {
	ID   string
	Role Role
}

// A PolicyStore is a store of the cell.
type PolicyStore struct {
	ID   string
	Kind StoreKind
}

// A StoreKind is what a store is.
type StoreKind string

// Kinds of stores.
const (
	StoreDirectory StoreKind = "directory"
	StoreS3        StoreKind = "s3"
)

var storeKinds = []StoreKind{StoreDirectory, StoreS3}

// A Quorum says which witnesses must cosign.
type Quorum string

// Quorums of version 1.
const QuorumNone Quorum = "none"

var quorums = []Quorum{QuorumNone}

// PolicyLimits are thresholds in milliseconds.
type PolicyLimits struct {
	HeartbeatMs uint64 // how often a live component writes a heartbeat
	SilenceMs   uint64 // how long a live component may write nothing
	LateMs      uint64 // how much earlier than the anchor before it an entry may be dated
}

// EmptyHash is H of nothing: the rules and other texts that do not exist yet.
var EmptyHash = Hash(sha256.Sum256(nil))

// Hash returns the document's hash: SHA-256 of its encoding.
func (p *PolicyDocument) Hash() (Hash, error) {
	raw, err := p.Encode()
	return sha256.Sum256(raw), err
}

// Encode returns the document's bytes, or an error that names the member that breaks a rule.
func (p *PolicyDocument) Encode() ([]byte, error) {
	var c entryCoder
	p.code(&c)
	if c.err != nil {
		return nil, fmt.Errorf("policy document: %w", c.err)
	}
	if len(c.b) > MaxPolicyBytes {
		return nil, fmt.Errorf("policy document: %d bytes, at most %d", len(c.b), MaxPolicyBytes)
	}
	return c.b, nil
}

// ParsePolicyDocument reads a policy document. It accepts exactly what Encode gives.
func ParsePolicyDocument(raw []byte) (*PolicyDocument, error) {
	if len(raw) > MaxPolicyBytes {
		return nil, fmt.Errorf("policy document: %d bytes, at most %d", len(raw), MaxPolicyBytes)
	}
	p := new(PolicyDocument)
	c := entryCoder{reading: true, b: raw}
	p.code(&c)
	c.end()
	if c.err != nil {
		return nil, fmt.Errorf("policy document: %w", c.err)
	}
	if again, err := p.Encode(); err != nil || !bytes.Equal(again, raw) {
		return nil, fmt.Errorf("policy document: not in canonical encoding")
	}
	return p, nil
}

// ControlOrigin is the origin of the control log that the document is for.
func (p *PolicyDocument) ControlOrigin() string { return ControlOrigin(p.Ledger, p.Jurisdiction) }

// Log returns the verifier key of a log of the cell.
func (p *PolicyDocument) Log(origin string) (vkey string, ok bool) {
	for _, l := range p.Logs {
		if l.Origin == origin {
			return l.VKey, true
		}
	}
	return "", false
}

// Emitter returns the role of a component of the cell.
func (p *PolicyDocument) Emitter(id string) (Role, bool) {
	for _, e := range p.Emitters {
		if e.ID == id {
			return e.Role, true
		}
	}
	return "", false
}

func (p *PolicyDocument) code(c *entryCoder) {
	c.object(func() {
		c.literal("v", "1")
		c.text("ledger", &p.Ledger, entryLedger)
		c.text("jurisdiction", &p.Jurisdiction, entryJurisdiction)
		entryList(c, "regions", &p.Regions, func(v *string) { c.textValue(v, entryRegion) },
			func(a, b *string) int { return strings.Compare(*a, *b) })
		entryList(c, "logs", &p.Logs, func(v *PolicyLog) {
			c.object(func() {
				c.text("origin", &v.Origin, entryOrigin)
				c.text("vkey", &v.VKey, entryVKey)
			})
		}, func(a, b *PolicyLog) int { return strings.Compare(a.Origin, b.Origin) })
		entryList(c, "emitters", &p.Emitters, func(v *PolicyActor) {
			c.object(func() {
				c.text("id", &v.ID, entryID)
				entryEnum(c, "role", &v.Role, roles)
			})
		}, func(a, b *PolicyActor) int { return strings.Compare(a.ID, b.ID) })
		entryList(c, "stores", &p.Stores, func(v *PolicyStore) {
			c.object(func() {
				c.text("id", &v.ID, entryStoreID)
				entryEnum(c, "kind", &v.Kind, storeKinds)
			})
		}, func(a, b *PolicyStore) int { return strings.Compare(a.ID, b.ID) })
		c.hash("rules", &p.Rules)
		entryEnum(c, "quorum", &p.Quorum, quorums)
		c.number("settle_ms", &p.SettleMs)
		c.number("skew_ms", &p.SkewMs)
		c.must(c.err != nil || p.SkewMs <= maxSkewMs, "skew_ms beyond a day")
		c.member("limits")
		c.object(func() {
			c.number("heartbeat_ms", &p.Limits.HeartbeatMs)
			c.number("silence_ms", &p.Limits.SilenceMs)
			c.number("late_ms", &p.Limits.LateMs)
		})
	})
}

// maxSkewMs keeps arithmetic with times away from overflow, and a policy from switching I4 and I6 off.
const maxSkewMs = 24 * 60 * 60 * 1000
