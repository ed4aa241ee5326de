package interop

import (
	"testing"

	"github.com/transparency-dev/tessera/client"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/store"
)

// BenchmarkVerify has what `domicile-verify log` does and Tessera's fsck check the same log in turn. fsck reads the open
// store. The audit reads that and the locked store: commits and their chain, every archived checkpoint, payloads, the
// control log with its entries. With keys it also opens every payload and holds each record against its leaf.
func BenchmarkVerify(b *testing.B) {
	const leaves = 300_000
	c := newCell(b, nil)
	c.grow(leaves)
	c.close()
	cell := audit.Cell{Locked: audit.Dir(c.stores.Locked.Root()), Open: audit.Dir(c.stores.Open.Root())}
	ours := func(keys store.Keys) func() turn {
		opts := audit.Options{Policies: []ledger.Policy{c.policyOf(controlOrigin)}, Keys: keys}
		return func() turn {
			return measure(func() {
				report, err := audit.Audit(b.Context(), cell, opts)
				c.must(err)
				if report.Result != ledger.ResultVerified || len(report.Logs) != 2 || report.Logs[1].Leaves != leaves {
					b.Fatalf("%+v", report)
				}
			})
		}
	}
	alternate(b, 9, leaves, "leaves",
		side{"domicile", ours(nil)},
		side{"with-keys", ours(c.stores.Keys)},
		side{"fsck", func() turn {
			return measure(func() {
				c.must(runFsck(b.Context(), eventsOrigin, c.verifier(eventsOrigin), client.FileFetcher{Root: c.openFolder(eventsOrigin)}))
			})
		}})
}
