package ledgertest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
)

// Start is the time of event 0 in milliseconds since 1970; event i is i minutes later.
const Start = 1772366400000 // 2026-03-01T12:00:00Z

// A Cell is one jurisdiction with one events log and its control log. Control entries 0 and 1 give the keys of the two
// logs, entry 2 is the batch entry over all events.
type Cell struct {
	Origin, Control string // of the events log and of the control log
	Lines           [][]byte
	Events, Entries Tree
}

// NewCell makes the cell of a jurisdiction with some events.
func NewCell(t testing.TB, jurisdiction string, events int) *Cell {
	t.Helper()
	c := &Cell{
		Origin:  ledger.EventsOrigin("ledger.example", jurisdiction, 0),
		Control: ledger.ControlOrigin("ledger.example", jurisdiction),
	}
	for i := range events {
		line := Line(fmt.Sprintf("%s/%d", c.Origin, i), Event(i))
		c.Lines = append(c.Lines, line)
		c.Events.Add(t, Leaf(t, line))
	}
	for i, origin := range []string{c.Control, c.Origin} {
		_, vkey := Key(t, origin)
		c.AddEntry(t, &ledger.KeyEntry{
			EntryCommon: Common("init", uint64(i)), Event: ledger.KeyCreate, Purpose: ledger.KeyLog,
			KID: strings.Split(vkey, "+")[1], VKey: vkey, Origin: origin,
		})
	}
	c.AddEntry(t, c.Batch(t, 0, uint64(events), 0))
	return c
}

// Event is the event number i: a small OCSF event, encoded as the record format asks.
func Event(i int) []byte {
	time := Start + int64(i)*60_000
	return fmt.Appendf(nil, `{"actor":{"user":{"name":"user%d@example.com","uid":"AIDA%04d"}},`+
		`"api":{"operation":"GetObject","request":{"data":{"Key":"a b","Bucket":"eu\/data"},"uid":"req-%d"}},"class_uid":6003,`+
		`"cloud":{"account":{"uid":"111122223333"},"provider":"AWS","region":"eu-central-1"},`+
		`"metadata":{"uid":"aws:111122223333:%08d","version":"1.8.0"},"observables":[],"raw_data":"{\"größe\":\"\\u00e9\", \"n\":%d}",`+
		`"src_endpoint":{"ip":"192.0.2.%d"},"time":%d}`, i%7, i%7, i, i, i, i%256, time)
}

// Line is the record line of an event, its salt the hash of a name.
func Line(name string, event []byte) []byte {
	salt := sha256.Sum256([]byte("salt of " + name))
	return ledger.AppendRecord(nil, &salt, event)
}

// Leaf is the leaf of a record line made of an Event.
func Leaf(t testing.TB, line []byte) []byte {
	t.Helper()
	record, err := ledger.ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := record.Field("/time")
	var millis int64
	if _, err := fmt.Sscan(string(text), &millis); err != nil {
		t.Fatal(err)
	}
	return ledger.Leaf{Hour: ledger.HourOf(millis), Region: "aws:eu-central-1", Commitment: record.Commitment()}.Append(nil)
}

// Common is what every control entry has.
func Common(emitter string, seq uint64) ledger.EntryCommon {
	epoch := sha256.Sum256([]byte(emitter))
	return ledger.EntryCommon{
		Time: Start + 3_600_000 + int64(seq), Emitter: emitter, Epoch: fmt.Sprintf("%x", epoch[:16]), Seq: seq,
		Policy: sha256.Sum256([]byte("policy")),
	}
}

// Batch is a batch entry over the events [first, size).
func (c *Cell) Batch(t testing.TB, first, size, seq uint64) *ledger.BatchEntry {
	t.Helper()
	b := &ledger.BatchEntry{
		EntryCommon: Common("cell", seq), Origin: c.Origin, CommitSeq: 1, CommitHash: sha256.Sum256([]byte("header")),
		First: first, Size: size, Root: c.Events.Root(t, size), Rules: sha256.Sum256(nil),
	}
	if n := size - first; n > 0 {
		b.Classes = []ledger.BatchClass{{Class: "default", Objects: 1, Records: n, Lock: ledger.LockNone}}
		b.LeafRegions = []ledger.RegionCount{{Region: "aws:eu-central-1", Count: n}}
	}
	return b
}

// AddEntry appends an entry to the control log and returns its bytes.
func (c *Cell) AddEntry(t testing.TB, e ledger.Entry) []byte {
	t.Helper()
	raw, err := ledger.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	c.Entries.Add(t, raw)
	return raw
}

// EventProof is the tlog-proof of an event at a size of the events log.
func (c *Cell) EventProof(t testing.TB, index, size uint64, witnesses ...note.Signer) []byte {
	t.Helper()
	p := c.Events.Prove(t, index, size)
	p.Checkpoint = Sign(t, c.Events.Checkpoint(t, c.Origin, size), witnesses...)
	return p.Append(nil)
}

// EntryProof is the tlog-proof of a control entry at the present size of the control log.
func (c *Cell) EntryProof(t testing.TB, index uint64, witnesses ...note.Signer) []byte {
	t.Helper()
	size := uint64(len(c.Entries.Leaves))
	p := c.Entries.Prove(t, index, size)
	p.Checkpoint = Sign(t, c.Entries.Checkpoint(t, c.Control, size), witnesses...)
	return p.Append(nil)
}

// Bundle is the proof bundle of an event with an anchor, whose control checkpoint is cosigned by the witnesses.
func (c *Cell) Bundle(t testing.TB, index uint64, witnesses ...note.Signer) *ledger.ProofBundle {
	t.Helper()
	return &ledger.ProofBundle{
		Origin: c.Origin, Index: index, Leaf: c.Events.Leaves[index], Record: c.Lines[index],
		Proof:  c.EventProof(t, index, uint64(len(c.Lines))),
		Anchor: &ledger.Anchor{Entry: c.Entries.Leaves[2], Proof: c.EntryProof(t, 2, witnesses...)},
	}
}

// Policy is the trust policy of one log: any of the witnesses must have cosigned, none if there are none.
func Policy(t testing.TB, origin string, witnesses ...*ledger.Cosigner) ledger.Policy {
	t.Helper()
	_, vkey := Key(t, origin)
	p := ledger.Policy{Logs: []ledger.TrustedLog{{VKey: vkey}}, Quorum: "none"}
	if len(witnesses) == 0 {
		return p
	}
	group := ledger.PolicyGroup{Name: "any-witness", Threshold: 1}
	for i, w := range witnesses {
		name := fmt.Sprintf("w%d", i+1)
		p.Witnesses = append(p.Witnesses, ledger.PolicyWitness{Name: name, VKey: w.VKey()})
		group.Members = append(group.Members, name)
	}
	p.Groups, p.Quorum = []ledger.PolicyGroup{group}, group.Name
	return p
}
