package ledger_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	. "domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

func TestVerifyInclusion(t *testing.T) {
	var tree ledgertest.Tree
	for i := range 70 {
		tree.Add(t, fmt.Appendf(nil, "leaf %d", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Uint64Range(1, 70).Draw(rt, "size")
		index := rapid.Uint64Range(0, size-1).Draw(rt, "index")
		c := tree.Checkpoint(t, testEvents, size)
		p := tree.Prove(t, index, size)
		p.Checkpoint = []byte("…")
		leaf := LeafHash(fmt.Appendf(nil, "leaf %d", index))
		again, err := ParseProof(p.Append(nil))
		if err != nil || !reflect.DeepEqual(again, p) {
			rt.Fatalf("%+v became %+v, %v", p, again, err)
		}
		if err := again.VerifyInclusion(leaf, c); err != nil {
			rt.Fatal(err)
		}
		other := rapid.Uint64Range(0, 200).Draw(rt, "other index")
		if other != p.Index {
			moved := *p
			moved.Index = other
			if moved.VerifyInclusion(leaf, c) == nil {
				rt.Fatalf("leaf %d verifies as leaf %d of %d", index, other, size)
			}
		}
		if p.VerifyInclusion(LeafHash([]byte("forged")), c) == nil {
			rt.Fatal("a leaf that is not there verifies")
		}
		longer := *p
		longer.Hashes = append(longer.Hashes[:len(p.Hashes):len(p.Hashes)], Hash{})
		if longer.VerifyInclusion(leaf, c) == nil {
			rt.Fatal("a proof with a surplus hash verifies")
		}
		if len(p.Hashes) > 0 {
			shorter := *p
			shorter.Hashes = p.Hashes[1:]
			if shorter.VerifyInclusion(leaf, c) == nil {
				rt.Fatal("a proof that lacks a hash verifies")
			}
		}
	})
}

func TestParseProof(t *testing.T) {
	hash := strings.Repeat("A", 43) + "="
	for name, c := range map[string]struct {
		text string
		want *Proof
	}{
		"no hashes":           {"c2sp.org/tlog-proof@v1\nindex 0\n\nx\n1\n", &Proof{Checkpoint: []byte("x\n1\n")}},
		"one hash":            {"c2sp.org/tlog-proof@v1\nindex 1\n" + hash + "\n\nx\n\ny", &Proof{Index: 1, Hashes: []Hash{{}}, Checkpoint: []byte("x\n\ny")}},
		"extra":               {"c2sp.org/tlog-proof@v1\nextra AQ==\nindex 1\n\nx", &Proof{Index: 1, Extra: []byte{1}, Checkpoint: []byte("x")}},
		"empty extra":         {"c2sp.org/tlog-proof@v1\nextra \nindex 1\n\nx", &Proof{Index: 1, Extra: []byte{}, Checkpoint: []byte("x")}},
		"empty":               {"", nil},
		"other version":       {"c2sp.org/tlog-proof@v2\nindex 1\n\nx", nil},
		"no index":            {"c2sp.org/tlog-proof@v1\n" + hash + "\n\nx", nil},
		"header only":         {"c2sp.org/tlog-proof@v1\n\nx", nil},
		"index with zero":     {"c2sp.org/tlog-proof@v1\nindex 01\n\nx", nil},
		"negative index":      {"c2sp.org/tlog-proof@v1\nindex -1\n\nx", nil},
		"index beyond int64":  {"c2sp.org/tlog-proof@v1\nindex 9223372036854775808\n\nx", nil},
		"extra after index":   {"c2sp.org/tlog-proof@v1\nindex 1\nextra AQ==\n\nx", nil},
		"extra twice":         {"c2sp.org/tlog-proof@v1\nextra AQ==\nextra AQ==\nindex 1\n\nx", nil},
		"extra not base64":    {"c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nx", nil},
		"short hash":          {"c2sp.org/tlog-proof@v1\nindex 1\nAQ==\n\nx", nil},
		"hash in two lines":   {"c2sp.org/tlog-proof@v1\nindex 1\n" + hash[:10] + "\n" + hash[10:] + "\n\nx", nil},
		"carriage return":     {"c2sp.org/tlog-proof@v1\nindex 1\n" + hash + "\r\n\nx", nil},
		"64 hashes":           {"c2sp.org/tlog-proof@v1\nindex 1\n" + strings.Repeat(hash+"\n", 64) + "\nx", nil},
		"no checkpoint":       {"c2sp.org/tlog-proof@v1\nindex 1\n" + hash + "\n", nil},
		"hash with loose end": {"c2sp.org/tlog-proof@v1\nindex 1\n" + hash[:42] + "B=\n\nx", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseProof([]byte(c.text))
			if (err == nil) != (c.want != nil) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err == nil && !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzParseProof(f *testing.F) {
	hash := strings.Repeat("A", 43) + "="
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra AQ==\nindex 0\n" + hash + "\n\nx\n1\n"))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\nx\n1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		if again := p.Append(nil); !bytes.Equal(again, text) {
			t.Fatalf("%q is written again as %q", text, again)
		}
		_ = p.VerifyInclusion(Hash{}, Checkpoint{testEvents, 7, Hash{}})
	})
}
