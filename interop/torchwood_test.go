package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"domicile.dev/domicile/ledger"
)

// policyOf is the policy file of one log as init writes it for verifiers: its key and no witnesses.
func (c *cell) policyOf(origin string) ledger.Policy {
	return ledger.Policy{Logs: []ledger.TrustedLog{{VKey: c.keys[origin].public}}, Quorum: "none"}
}

// parsePolicy has torchwood read a policy file of ours.
func parsePolicy(t testing.TB, p ledger.Policy) torchwood.Policy {
	t.Helper()
	file := p.Append(nil)
	policy, err := torchwood.ParsePolicy(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	return policy
}

// newWitness is a witness of torchwood's.
func newWitness(t testing.TB, name string) *torchwood.CosignatureSigner {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := torchwood.NewCosignatureSigner(name, private)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// cosign adds witnesses to a checkpoint of ours.
func (c *cell) cosign(origin string, signed []byte, witnesses ...note.Signer) []byte {
	c.t.Helper()
	opened, err := note.Open(signed, note.VerifierList(c.verifier(origin)))
	c.must(err)
	cosigned, err := note.Sign(opened, witnesses...)
	c.must(err)
	return cosigned
}

// TestTorchwoodVerifiesProofs: proofs of both logs, as text, against our policy files.
func TestTorchwoodVerifiesProofs(t *testing.T) {
	c := newCell(t, nil)
	for _, size := range []int{1, 257, 1000} {
		c.grow(size)
		for _, origin := range []string{eventsOrigin, controlOrigin} {
			policy := parsePolicy(t, c.policyOf(origin))
			cp, _, err := c.reader(origin).Checkpoint(t.Context())
			c.must(err)
			for index := range cp.Size {
				if size == 1000 && index%97 != 0 && index != cp.Size-1 {
					continue
				}
				leaf, p, err := c.reader(origin).Proof(t.Context(), index, cp.Size)
				c.must(err)
				text := p.Append(nil)
				if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), text); err != nil {
					t.Fatalf("%s, leaf %d of %d: %v", origin, index, cp.Size, err)
				}
				// What it accepts, it accepts for this leaf and this log alone.
				if err := torchwood.VerifyProof(policy, tlog.RecordHash(append(leaf, ' ')), text); err == nil {
					t.Fatalf("%s, leaf %d of %d: another leaf is accepted", origin, index, cp.Size)
				}
				other := map[string]string{eventsOrigin: controlOrigin, controlOrigin: eventsOrigin}[origin]
				if err := torchwood.VerifyProof(parsePolicy(t, c.policyOf(other)), tlog.RecordHash(leaf), text); err == nil {
					t.Fatalf("%s, leaf %d of %d: the policy of %s accepts it", origin, index, cp.Size, other)
				}
			}
		}
	}
}

// TestWitnessQuorum: checkpoints of ours, cosigned by torchwood's witnesses and by ours, and policies that ask for them.
// Both sides must agree about every case.
func TestWitnessQuorum(t *testing.T) {
	c := newCell(t, nil)
	c.grow(300)
	ctx := t.Context()
	theirs := []*torchwood.CosignatureSigner{newWitness(t, "witness.example/one"), newWitness(t, "witness.example/two")}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	c.must(err)
	ours, err := ledger.NewCosigner("witness.example/three", private, time.Now)
	c.must(err)
	witnesses := []ledger.PolicyWitness{
		{Name: "one", VKey: theirs[0].Verifier().String(), URL: "https://witness.example/one"},
		{Name: "two", VKey: theirs[1].Verifier().String()},
		{Name: "three", VKey: ours.VKey()},
	}
	two := ledger.PolicyGroup{Name: "two-of-three", Threshold: 2, Members: []string{"one", "two", "three"}}
	pair := ledger.PolicyGroup{Name: "pair", Threshold: 1, Members: []string{"one", "two"}}
	both := ledger.PolicyGroup{Name: "both", Threshold: 2, Members: []string{"pair", "three"}}
	for _, origin := range []string{eventsOrigin, controlOrigin} {
		cp, signed, err := c.reader(origin).Checkpoint(ctx)
		c.must(err)
		leaf, p, err := c.reader(origin).Proof(ctx, 0, cp.Size)
		c.must(err)
		for _, test := range []struct {
			name      string
			groups    []ledger.PolicyGroup
			quorum    string
			cosigners []note.Signer
			met       bool
		}{
			{"none asked, none there", nil, "none", nil, true},
			{"none asked, one there", nil, "none", []note.Signer{theirs[0]}, true},
			{"one asked, none there", nil, "one", nil, false},
			{"one asked, another there", nil, "one", []note.Signer{theirs[1]}, false},
			{"one asked and there", nil, "one", []note.Signer{theirs[0]}, true},
			{"two of three, one there", []ledger.PolicyGroup{two}, two.Name, []note.Signer{theirs[1]}, false},
			{"two of three, both theirs", []ledger.PolicyGroup{two}, two.Name, []note.Signer{theirs[0], theirs[1]}, true},
			{"two of three, one of each", []ledger.PolicyGroup{two}, two.Name, []note.Signer{ours, theirs[1]}, true},
			{"nested, one part there", []ledger.PolicyGroup{pair, both}, both.Name, []note.Signer{theirs[0], theirs[1]}, false},
			{"nested, both parts there", []ledger.PolicyGroup{pair, both}, both.Name, []note.Signer{theirs[0], ours}, true},
			{"a stranger counts for nothing", nil, "one", []note.Signer{newWitness(t, "witness.example/one")}, false},
		} {
			t.Run(fmt.Sprintf("%s: %s", origin, test.name), func(t *testing.T) {
				policy := c.policyOf(origin)
				policy.Witnesses, policy.Groups, policy.Quorum = witnesses, test.groups, test.quorum
				cosigned := *p
				cosigned.Checkpoint = c.cosign(origin, signed, test.cosigners...)
				text := cosigned.Append(nil)
				if err := torchwood.VerifyProof(parsePolicy(t, policy), tlog.RecordHash(leaf), text); (err == nil) != test.met {
					t.Errorf("torchwood: %v", err)
				}
				read, err := ledger.ParseProof(text)
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = policy.Verify(read.Checkpoint, origin)
				if (err == nil) != test.met || err != nil && !errors.Is(err, ledger.ErrQuorum) {
					t.Errorf("ours: %v", err)
				}
				if again, err := ledger.ParsePolicy(policy.Append(nil)); err != nil || !bytes.Equal(again.Append(nil), policy.Append(nil)) {
					t.Errorf("the policy file does not read back: %v", err)
				}
			})
		}
	}
}

// TestOurParserReadsTorchwoodsProofs: text that torchwood formats, with the path that the checksum database's code
// computes, is what we write, and is read and verified.
func TestOurParserReadsTorchwoodsProofs(t *testing.T) {
	c := newCell(t, nil)
	c.grow(300)
	files, err := torchwood.NewTileFS(os.DirFS(c.openFolder(eventsOrigin)))
	c.must(err)
	cp, signed, err := c.events.Reader().Checkpoint(t.Context())
	c.must(err)
	tree := tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Root)}
	client, err := torchwood.NewClient(files)
	c.must(err)
	for _, index := range []int64{0, 1, 255, 256, 299} {
		leaf, path, err := client.Entry(t.Context(), tree, index)
		c.must(err)
		for _, extra := range [][]byte{nil, {}, []byte("anything at all")} {
			text := torchwood.FormatProof(index, path, signed)
			if extra != nil {
				text = torchwood.FormatProofWithExtraData(index, extra, path, signed)
			}
			p, err := ledger.ParseProof(text)
			if err != nil {
				t.Fatalf("leaf %d: %v\n%s", index, err, text)
			}
			if got := p.Append(nil); !bytes.Equal(got, text) {
				t.Errorf("leaf %d: we write\n%s\ntorchwood writes\n%s", index, got, text)
			}
			if !bytes.Equal(p.Extra, extra) || (p.Extra == nil) != (extra == nil) {
				t.Errorf("leaf %d: extra data %q, want %q", index, p.Extra, extra)
			}
			if err := p.VerifyInclusion(ledger.LeafHash(leaf), cp); err != nil {
				t.Errorf("leaf %d: %v", index, err)
			}
		}
	}
}

// TestTorchwoodReadsEveryEntry: its client fetches a log over HTTP and authenticates every entry on the way.
func TestTorchwoodReadsEveryEntry(t *testing.T) {
	c := newCell(t, nil)
	c.grow(1000)
	for _, origin := range []string{eventsOrigin, controlOrigin} {
		fetcher, err := torchwood.NewTileFetcher(serve(t, c.openFolder(origin)))
		c.must(err)
		signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
		c.must(err)
		cp, _, err := torchwood.VerifyCheckpoint(signed, parsePolicy(t, c.policyOf(origin)))
		c.must(err)
		client, err := torchwood.NewClient(fetcher)
		c.must(err)
		next := int64(0)
		for index, entry := range client.AllEntries(t.Context(), cp.Tree, 0) {
			if index != next {
				t.Fatalf("%s: entry %d comes after %d", origin, index, next-1)
			}
			if origin == eventsOrigin {
				if _, err := ledger.ParseLeaf(entry); err != nil {
					t.Fatalf("%s: entry %d: %v", origin, index, err)
				}
			}
			next++
		}
		if err := client.Err(); err != nil {
			t.Errorf("%s after entry %d: %v", origin, next-1, err)
		}
		if next != cp.N {
			t.Errorf("%s: %d entries of %d", origin, next, cp.N)
		}
	}
}
