package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/ledgertest"
	"domicile.dev/domicile/ledger/tile"
)

// BenchmarkAudit audits a log of 500,000 leaves in commits of 8,192, whose payloads are small and checked by their hashes.
func BenchmarkAudit(b *testing.B) {
	const leaves, perCommit = 500_000, 8192
	dir := b.TempDir()
	policy := writeSynthetic(b, dir, leaves, perCommit)
	cell := audit.Cell{Locked: audit.Dir(filepath.Join(dir, "locked")), Open: audit.Dir(filepath.Join(dir, "open"))}
	b.ReportAllocs()
	for b.Loop() {
		r, err := audit.Audit(context.Background(), cell, audit.Options{Policies: []ledger.Policy{policy}})
		if err != nil || r.Result != ledger.ResultVerified {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(leaves)*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// writeSynthetic writes an events log without a control log, unsynced.
func writeSynthetic(b *testing.B, dir string, leaves, perCommit int) ledger.Policy {
	origin := "bench/eu/events/0"
	put := func(store, key string, data []byte) {
		path := filepath.Join(dir, store, origin, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	_, vkey := ledgertest.Key(b, origin)
	rules := hex.EncodeToString(ledger.EmptyHash[:])
	var edge tile.Edge
	h := ledger.Header{V: 1, Prev: ledger.NoPrev, Origin: origin, VKey: vkey, Stream: ledger.StreamRef{Known: true},
		Writer: fmt.Sprintf("%032x", 1), Store: "dir:bench:1", Root: ledger.FormatHash(edge.Root()), Rules: rules}
	emit := func(o tile.Object) error { put("open", o.Path(), o.Data); return nil }
	for n := 0; ; {
		var bundle []byte
		count := int(h.Size - h.First)
		batch := make([][]byte, 0, count)
		for i := range count {
			commit := sha256.Sum256(fmt.Appendf(nil, "%d", n-count+i))
			leaf := ledger.Leaf{Hour: 498750, Region: "aws:eu-central-1", Commitment: commit}.Append(nil)
			batch = append(batch, leaf)
			bundle = ledger.AppendBundle(bundle, leaf)
		}
		if err := edge.Append(batch, nil, emit); err != nil {
			b.Fatal(err)
		}
		h.Root = ledger.FormatHash(edge.Root())
		line, err := h.Line()
		if err != nil {
			b.Fatal(err)
		}
		put("locked", ledger.CommitKey(h.Seq), ledger.AppendCommit(nil, line, bundle))
		if n == leaves {
			break
		}
		next := min(perCommit, leaves-n)
		n += next
		payload := fmt.Appendf(nil, "payload %d", n)
		sum := sha256.Sum256(payload)
		p := ledger.Payload{Class: "default", First: h.Size, Records: uint64(next), SHA256: hex.EncodeToString(sum[:]), Key: ledger.PayloadKey(h.Size, sum), Bytes: uint64(len(payload))}
		put("locked", p.Key, payload)
		h = ledger.Header{V: 1, Seq: h.Seq + 1, Prev: fmt.Sprintf("%x", sha256.Sum256(line)), Origin: origin, Writer: h.Writer, Store: h.Store,
			First: h.Size, Size: h.Size + uint64(next), Rules: rules, Payloads: []ledger.Payload{p}}
	}
	for _, o := range edge.Partials(0) {
		put("open", o.Path(), o.Data)
	}
	signed := ledgertest.Sign(b, ledger.Checkpoint{Origin: origin, Size: edge.Size(), Root: edge.Root()})
	put("open", ledger.CheckpointKey, signed)
	put("locked", ledger.ArchiveKey(edge.Size()), signed)
	return ledgertest.Policy(b, origin)
}
