package audit

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// Roots are those of ledger/tile, however leaves and whole bundles follow on each other.
func TestRootsAreThoseOfTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r roots
		var edge tile.Edge
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			n := rapid.IntRange(0, 300).Draw(t, "leaves")
			if rapid.Bool().Draw(t, "whole bundle") && r.size%tile.Width == 0 {
				n = tile.Width
			}
			var hashes []byte
			for range n {
				leaf := fmt.Appendf(nil, "leaf %d", edge.Size())
				if err := edge.Append([][]byte{leaf}, nil, nil); err != nil {
					t.Fatal(err)
				}
				h := ledger.LeafHash(leaf)
				hashes = append(hashes, h[:]...)
			}
			if n == tile.Width && r.size%tile.Width == 0 {
				r.push(tile.Height, perfectRoot(hashes))
			} else {
				for ; len(hashes) > 0; hashes = hashes[tile.HashSize:] {
					r.push(0, ledger.Hash(hashes[:tile.HashSize]))
				}
			}
			if r.size != edge.Size() || r.root() != edge.Root() {
				t.Fatalf("size %d: root %x, want %x", r.size, r.root(), edge.Root())
			}
		}
	})
}

func TestLeafReaderAgreesWithParseLeaf(t *testing.T) {
	good := ledger.Leaf{Hour: 12, Region: "aws:eu-central-1", Commitment: ledger.Hash{1}}.Append(nil)
	var r leafReader
	for range 2 { // the second time from memory
		if region, err := r.region(good); err != nil || region != "aws:eu-central-1" {
			t.Fatalf("%q, %v", region, err)
		}
	}
	for i := range good {
		for bit := range 8 {
			bad := append([]byte{}, good...)
			bad[i] ^= 1 << bit
			want, wantErr := ledger.ParseLeaf(bad)
			region, err := r.region(bad)
			if (err == nil) != (wantErr == nil) || err == nil && region != want.Region {
				t.Fatalf("%q: %q, %v; ParseLeaf: %+v, %v", bad, region, err, want, wantErr)
			}
		}
	}
	for _, bad := range []string{"", "x", `"}`, string(good[:len(good)-1]), string(good) + "}", string(good[:20])} {
		if _, err := r.region([]byte(bad)); err == nil {
			t.Fatalf("%q accepted", bad)
		}
	}
}
