package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

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
		{"another number", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Seq = 2 }, ledger.ResultFailed, ledger.ResultFailed, "it is commit 2"},
		{"another prev", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Prev = strings.Repeat("1", 64) }, ledger.ResultFailed, ledger.ResultFailed, "its prev is"},
		{"dated back", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Time = 1 }, ledger.ResultFailed, ledger.ResultFailed, "is dated 1"},
		{"another length of the payload", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Payloads[0].Bytes++ }, ledger.ResultFailed, ledger.ResultFailed, "bytes long"},
		{"adopted", [][]byte{leafA}, [][]byte{a}, func(h *ledger.Header) { h.Store = "dir:" + strings.Repeat("f", 32) + ":7" }, ledger.ResultVerified, ledger.ResultVerified, "was adopted there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCell(t)
			ctx := context.Background()
			reader, err := log.NewReader(c.config(eventsOrigin), nil)
			c.must(err)
			zero, err := reader.Commit(ctx, 0)
			c.must(err)

			key, err := c.stores.Keys.NewPayloadKey(ctx)
			c.must(err)
			codec, err := ledger.NewPayloadCodec()
			c.must(err)
			sealed, err := store.Seal(key, codec.Compress(bytes.Join(tt.lines, []byte("\n"))), ledger.PayloadAssociatedData(eventsOrigin, 0))
			c.must(err)
			sum := sha256.Sum256(sealed)
			name := ledger.PayloadKey(0, sum)
			c.must(c.stores.Keys.Put(ctx, eventsOrigin+"/"+name, key))
			c.write("locked/"+eventsOrigin+"/"+name, sealed)

			var edge tile.Edge
			c.must(edge.Append(tt.leaves, nil, nil))
			h := ledger.Header{
				V: 1, Seq: 1, Prev: fmt.Sprintf("%x", sha256.Sum256(zero.Line)), Origin: eventsOrigin, Writer: strings.Repeat("0", 32),
				Store: zero.Header.Store, Time: zero.Header.Time, Size: uint64(len(tt.leaves)), Root: ledger.FormatHash(edge.Root()), Rules: zero.Header.Rules,
				Payloads: []ledger.Payload{{Class: "default", Records: uint64(len(tt.leaves)), Key: name, SHA256: fmt.Sprintf("%x", sum), Bytes: uint64(len(sealed))}},
			}
			if tt.edit != nil {
				tt.edit(&h)
			}
			line, err := h.Line()
			c.must(err)
			var bundle []byte
			for _, leaf := range tt.leaves {
				bundle = ledger.AppendBundle(bundle, leaf)
			}
			c.write("locked/"+eventsOrigin+"/"+ledger.CommitKey(1), ledger.AppendCommit(nil, line, bundle))

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
