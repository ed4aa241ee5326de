package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/ledgertest"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// What is in a commit is the operator's to choose; each of these logs is consistent in itself but for one thing.
func TestAuditOfForgedCommits(t *testing.T) {
	a := ledgertest.Line("a", ledgertest.Event(1))
	b := ledgertest.Line("b", ledgertest.Event(2))
	leafA, leafB := ledgertest.Leaf(t, a), ledgertest.Leaf(t, b)
	for _, tt := range []struct {
		name          string
		leaves, lines [][]byte
		edit          func(h *ledger.Header)
		byHash, keys  ledger.Result
		says          string
	}{
		{"good", [][]byte{leafA, leafB}, [][]byte{a, b}, nil, ledger.ResultVerified, ledger.ResultVerified, ""},
		{"records exchanged", [][]byte{leafA, leafB}, [][]byte{b, a}, nil, ledger.ResultVerified, ledger.ResultFailed, "record 0: has the commitment"},
		{"a record is missing", [][]byte{leafA, leafB}, [][]byte{a}, nil, ledger.ResultVerified, ledger.ResultFailed, "payload holds 1 records"},
		{"a record is empty", [][]byte{leafA, leafB}, [][]byte{a, nil}, nil, ledger.ResultVerified, ledger.ResultFailed, "record 1: is erased"},
		{"a record is none", [][]byte{leafA, leafB}, [][]byte{a, []byte("{}")}, nil, ledger.ResultVerified, ledger.ResultFailed, "record 1: record:"},
		{"the leaf says another region", [][]byte{bytes.Replace(leafA, []byte("central-1"), []byte("central-2"), 1)}, [][]byte{a}, nil,
			ledger.ResultVerified, ledger.ResultFailed, "region"},
		{"a leaf is none", [][]byte{leafA, []byte("{}")}, [][]byte{a, b}, nil, ledger.ResultFailed, ledger.ResultFailed, "leaf 1:"},
		{"another root", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Root = ledger.FormatHash(ledger.Hash{1}) }, ledger.ResultFailed, ledger.ResultFailed, "the leaves give"},
		{"another log's commit", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Origin = "test/eu/events/1" }, ledger.ResultFailed, ledger.ResultFailed, "commit of the log test/eu/events/1"},
		{"begins elsewhere", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) {
			h.First, h.Size, h.Payloads[0].First = 1, 2, 1
			h.Payloads[0].Key = strings.Replace(h.Payloads[0].Key, "0-", "1-", 1)
		}, ledger.ResultFailed, ledger.ResultFailed, "it begins at leaf 1"},
		{"another number", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Seq = 2 }, ledger.ResultFailed, ledger.ResultFailed, "it is commit 2"},
		{"another prev", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Prev = strings.Repeat("1", 64) }, ledger.ResultFailed, ledger.ResultFailed, "its prev is"},
		{"dated back", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Time = 1 }, ledger.ResultFailed, ledger.ResultFailed, "is dated 1"},
		{"another length of the payload", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Payloads[0].Bytes++ }, ledger.ResultFailed, ledger.ResultFailed, "bytes long"},
		{"adopted", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Store = "dir:" + strings.Repeat("f", 32) + ":7" }, ledger.ResultVerified, ledger.ResultVerified, "was adopted there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCell(t)
			c.forge(tt.leaves, tt.lines, tt.edit)
			for _, keys := range []store.Keys{nil, c.stores.Keys} {
				want := tt.byHash
				if keys != nil {
					want = tt.keys
				}
				// The control log of this cell is empty; the events log is audited by its own policy.
				r := c.audit(audit.Options{Policies: []ledger.Policy{c.policy(eventsOrigin)}, Keys: keys, All: true})
				if want == ledger.ResultVerified {
					want = ledger.ResultInconclusive // nothing was said about the control log
				}
				if r.Result != want {
					t.Fatalf("keys %v: %s %+v", keys != nil, r.Result, r.Findings)
				}
				if tt.says != "" && (keys != nil || tt.byHash == ledger.ResultFailed) && !strings.Contains(fmt.Sprint(r.Findings), tt.says) {
					t.Fatalf("does not say %q: %+v", tt.says, r.Findings)
				}
			}
		})
	}
}

// forge appends a commit to the events log as whoever holds the stores can: leaves, a payload of lines, and a header that
// edit may change. It returns the header.
func (c *cell) forge(leaves, lines [][]byte, edit func(h *ledger.Header)) *ledger.Header {
	c.t.Helper()
	ctx := context.Background()
	reader, err := log.NewReader(c.config(eventsOrigin), nil)
	c.must(err)
	before, err := reader.Head(ctx)
	c.must(err)
	line, err := before.Line()
	c.must(err)
	h := ledger.Header{
		V: 1, Seq: before.Seq + 1, Prev: fmt.Sprintf("%x", sha256.Sum256(line)), Origin: eventsOrigin, Writer: strings.Repeat("0", 32),
		Store: before.Store, Time: before.Time, First: before.Size, Size: before.Size + uint64(len(leaves)), Root: before.Root, Rules: before.Rules,
	}
	if len(leaves) > 0 {
		var edge tile.Edge
		for seq := range h.Seq {
			commit, err := reader.Commit(ctx, seq)
			c.must(err)
			c.must(edge.Append(commit.Leaves, nil, nil))
		}
		c.must(edge.Append(leaves, nil, nil))
		h.Root = ledger.FormatHash(edge.Root())

		key, err := c.stores.Keys.NewPayloadKey(ctx)
		c.must(err)
		codec, err := ledger.NewPayloadCodec()
		c.must(err)
		sealed, err := store.Seal(key, codec.AppendCompressed(nil, bytes.Join(lines, []byte("\n"))), ledger.PayloadAssociatedData(eventsOrigin, h.First))
		c.must(err)
		sum := sha256.Sum256(sealed)
		name := ledger.PayloadKey(h.First, sum)
		c.must(c.stores.Keys.Put(ctx, eventsOrigin+"/"+name, key))
		c.write("locked/"+eventsOrigin+"/"+name, sealed)
		h.Payloads = []ledger.Payload{{Class: "default", First: h.First, Records: uint64(len(leaves)), Key: name, SHA256: fmt.Sprintf("%x", sum), Bytes: uint64(len(sealed))}}
	}
	seq := h.Seq
	if edit != nil {
		edit(&h)
	}
	line, err = h.Line()
	c.must(err)
	var bundle []byte
	for _, leaf := range leaves {
		bundle = ledger.AppendBundle(bundle, leaf)
	}
	c.write("locked/"+eventsOrigin+"/"+ledger.CommitKey(seq), ledger.AppendCommit(nil, line, bundle))
	return &h
}

func requireFailed(t *testing.T, r *audit.Report, says string) {
	t.Helper()
	if r.Result != ledger.ResultFailed || !strings.Contains(fmt.Sprint(r.Findings), says) {
		t.Fatalf("%s, does not say %q: %+v", r.Result, says, r.Findings)
	}
}

func TestAuditOfMovedLogs(t *testing.T) {
	here, elsewhere := "dir:"+strings.Repeat("a", 32)+":1", "dir:"+strings.Repeat("b", 32)+":2"
	for _, tt := range []struct {
		name, to string
		failed   bool
	}{{"where it said", here, false}, {"elsewhere", elsewhere, true}} {
		c := newCell(t)
		c.session(3)
		c.forge(nil, nil, func(h *ledger.Header) { h.MovedTo = here })
		c.forge(nil, nil, func(h *ledger.Header) { h.Store = tt.to })
		if r := c.audit(audit.Options{}); tt.failed {
			requireFailed(t, r, "moved the log to "+here)
		} else {
			requireVerified(t, r)
		}
	}
}

// The key holder signs what is not so.
func TestAuditOfWronglySignedCheckpoints(t *testing.T) {
	c := newCell(t)
	c.session(256, 44, 5)
	signer, err := note.NewSigner(c.skeys[eventsOrigin])
	c.must(err)
	sign := func(cp ledger.Checkpoint) []byte {
		signed, err := ledger.SignCheckpoint(cp, signer)
		c.must(err)
		return signed
	}
	checkpoint := "open/" + eventsOrigin + "/checkpoint"
	archive := func(size uint64) string { return "locked/" + eventsOrigin + "/" + ledger.ArchiveKey(size) }
	for _, tt := range []struct {
		name, object, says string
		data               []byte
	}{
		{"another root of an old size", archive(300), "the leaves give", sign(ledger.Checkpoint{Origin: eventsOrigin, Size: 300})},
		{"another size's note", archive(300), "is the checkpoint of size 256", c.read(archive(256))},
		{"a size at which no commit ends", archive(301), "no commit ends at that size", sign(ledger.Checkpoint{Origin: eventsOrigin, Size: 301})},
		{"another log's note", archive(300), "checkpoint is of log", c.read("open/" + controlOrigin + "/checkpoint")},
		{"checkpoint turned back", checkpoint, "says size 300, the log was published at 305", c.read(archive(300))},
		{"checkpoint of a size that was never published", checkpoint, "is missing: open/", sign(ledger.Checkpoint{Origin: eventsOrigin, Size: 301})},
		{"checkpoint beyond the archive", checkpoint, "is missing: open/", sign(ledger.Checkpoint{Origin: eventsOrigin, Size: 999})},
		{"checkpoint with another root", checkpoint, "its archived note says", sign(ledger.Checkpoint{Origin: eventsOrigin, Size: 305})},
		{"archived note that only a batch entry remembers", archive(256), "binds that size", nil},
	} {
		data := []byte(nil)
		if tt.object != archive(301) {
			data = c.read(tt.object)
		}
		c.write(tt.object, tt.data)
		t.Run(tt.name, func(t *testing.T) { requireFailed(t, c.audit(audit.Options{}), tt.says) })
		c.write(tt.object, data)
	}
	requireVerified(t, c.audit(audit.Options{}))
}

func TestAuditOfAnotherKeyInCommit0(t *testing.T) {
	c := newCell(t)
	c.forge(nil, nil, nil)
	_, vkey := ledgertest.Key(t, eventsOrigin)
	trust := ledger.Policy{Logs: []ledger.TrustedLog{{VKey: vkey}}, Quorum: "none"}
	requireFailed(t, c.audit(audit.Options{Policies: []ledger.Policy{trust}}), "not the one that is trusted")
}

func TestAuditOfABatchOverTwoSetsOfRules(t *testing.T) {
	c := newCell(t)
	a := ledgertest.Line("a", ledgertest.Event(1))
	leaf := ledgertest.Leaf(t, a)
	other := fmt.Sprintf("%x", sha256.Sum256([]byte("rules")))
	c.forge([][]byte{leaf}, [][]byte{a}, func(h *ledger.Header) { h.Rules = other })
	h := c.forge([][]byte{leaf}, [][]byte{a}, nil)
	h.Rules = fmt.Sprintf("%x", ledger.EmptyHash)
	line, err := h.Line()
	c.must(err)
	c.write("locked/"+eventsOrigin+"/"+ledger.CommitKey(2), ledger.AppendCommit(nil, line, ledger.AppendBundle(nil, leaf)))

	ctx := context.Background()
	control, err := log.OpenControl(ctx, c.config(controlOrigin), "test")
	c.must(err)
	c.init(ctx, control)
	writer, err := control.Start(ctx, "ledger", ledger.RoleWriter)
	c.must(err)
	root, err := ledger.ParseHash(h.Root)
	c.must(err)
	_, err = writer.Append(ctx, &ledger.BatchEntry{
		Origin: eventsOrigin, CommitSeq: 2, CommitHash: sha256.Sum256(line), Size: 2, Root: root, Rules: ledger.EmptyHash,
		Classes:     []ledger.BatchClass{{Class: "default", Objects: 2, Records: 2, Lock: ledger.LockNone}},
		LeafRegions: []ledger.RegionCount{{Region: "aws:eu-central-1", Count: 2}},
	})
	c.must(err)
	c.must(control.Flush(ctx))
	c.must(control.Close())
	requireFailed(t, c.audit(audit.Options{}), "spans two sets of movement rules")
}
