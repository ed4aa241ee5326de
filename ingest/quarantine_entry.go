package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// QuarantineAction is what was done with the items of an entry.
type QuarantineAction string

// Actions of a control entry. Purging comes with the retention that does it.
const (
	ActionHeld     QuarantineAction = "held"
	ActionRouted   QuarantineAction = "routed"   // replayed into another cell than the quarantine's
	ActionReleased QuarantineAction = "released" // replayed into the quarantine's own cell
	ActionPurged   QuarantineAction = "purged"
)

// QuarantineEntry is what the control log is told, in its own words: no path, no event data.
type QuarantineEntry struct {
	Source  string // id of the source
	Reason  string
	Foreign string // jurisdiction, for ReasonForeign
	Count   int    // records, repeats of the same bytes included
	// Set commits to the items without telling them: the RFC 6962 root of H(0x13 ‖ salt ‖ SHA-256 of the raw bytes) in
	// the order of the source. The salt stays, sealed, in the group object.
	Set    [32]byte
	Store  string
	Action QuarantineAction
	Dest   string // the cell, for ActionRouted only
}

// Recorder writes control entries. The entry is committed when it returns nil.
type Recorder interface {
	RecordQuarantine(ctx context.Context, entry QuarantineEntry) error
}

// group is the items of one entry to be: a source, a reason, a jurisdiction, an action and a destination.
type group struct {
	groupKey
	items [][32]byte
}

type groupKey struct {
	source, reason, foreign string
	action                  QuarantineAction
	dest                    string
}

// maxGroup bounds the memory of a source in which everything is bad: it gets several entries.
const maxGroup = 4096

// groupHeader is the first line of a group object; the addresses of the items follow, 32 bytes each.
type groupHeader struct {
	V       int              `json:"v"` // 1
	Source  string           `json:"source"`
	Reason  string           `json:"reason"`
	Foreign string           `json:"foreign_jur,omitempty"`
	Action  QuarantineAction `json:"action"`
	Dest    string           `json:"dest,omitempty"`
	Count   int              `json:"count"`
	Salt    string           `json:"salt"` // hex
}

// record has the control log name a group whose items are durable, once: feeding a source again makes the same group,
// and the marker says that its entry is there. A crash before the marker makes the entry twice, with the same set.
func (q *Quarantine) record(ctx context.Context, g *group) error {
	id := g.id()
	done, err := q.store.Head(ctx, "recorded/"+id)
	if err != nil {
		return wrapItem("recorded/"+id, err)
	}
	if done {
		return nil
	}
	salt, err := q.groupSalt(ctx, "group/"+id, g)
	if err != nil {
		return err
	}
	set, err := setRoot(salt, g.items)
	if err != nil {
		return wrapItem("group/"+id, err)
	}
	err = q.recorder.RecordQuarantine(ctx, QuarantineEntry{
		Source: g.source, Reason: g.reason, Foreign: g.foreign, Count: len(g.items), Set: set,
		Store: q.storeID, Action: g.action, Dest: g.dest,
	})
	if err != nil {
		return fmt.Errorf("control entry for %d quarantined records of source %s (%s): %w", len(g.items), g.source, g.reason, err)
	}
	_, err = q.store.Create(ctx, "recorded/"+id, []byte("{}"))
	return wrapItem("recorded/"+id, err)
}

// id is a function of the group alone, so that a second run finds the first run's objects.
func (g *group) id() string {
	h := sha256.New()
	for _, s := range []string{g.source, g.reason, g.foreign, string(g.action), g.dest} {
		fmt.Fprintf(h, "%d:%s\n", len(s), s)
	}
	for _, item := range g.items {
		h.Write(item[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// groupSalt stores the group under a fresh salt, or returns the salt of the group that is there.
func (q *Quarantine) groupSalt(ctx context.Context, key string, g *group) (salt [32]byte, err error) {
	if _, err := io.ReadFull(q.rand, salt[:]); err != nil {
		return salt, wrapItem(key, fmt.Errorf("salt: %w", err))
	}
	plain, err := json.Marshal(groupHeader{
		V: 1, Source: g.source, Reason: g.reason, Foreign: g.foreign, Action: g.action, Dest: g.dest,
		Count: len(g.items), Salt: hex.EncodeToString(salt[:]),
	})
	if err != nil {
		return salt, wrapItem(key, err)
	}
	plain = append(plain, '\n')
	for _, item := range g.items {
		plain = append(plain, item[:]...)
	}
	exists, err := q.store.Head(ctx, key)
	if err != nil {
		return salt, wrapItem(key, err)
	}
	if !exists {
		if exists, err = q.create(ctx, key, plain); err != nil || !exists {
			return salt, err
		}
	}
	if plain, err = q.open(ctx, key); err != nil {
		return salt, err
	}
	var header groupHeader
	line, _, _ := bytes.Cut(plain, []byte{'\n'})
	if err := decodeOwn(line, &header); err != nil {
		return salt, wrapItem(key, err)
	}
	old, err := hex.DecodeString(header.Salt)
	if err != nil || len(old) != len(salt) {
		return salt, wrapItem(key, errors.New("salt is not 32 bytes"))
	}
	return [32]byte(old), nil
}

func setRoot(salt [32]byte, items [][32]byte) (root [32]byte, err error) {
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, item := range items {
		h := sha256.New()
		h.Write([]byte{0x13})
		h.Write(salt[:])
		h.Write(item[:])
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(h.Sum(nil)), nil); err != nil {
			return root, err
		}
	}
	hash, err := r.GetRootHash(nil)
	return [32]byte(hash), err
}
