// Package ledgertest makes small ledgers for tests: keys, witnesses, trees, and a cell with an events log and a control
// log. Everything is a function of names and numbers, so two runs make the same bytes. Trees are computed by
// golang.org/x/mod/sumdb/tlog, an implementation that shares nothing with the one under test.
//
// Nothing here is secret and nothing of it belongs into a real ledger.
package ledgertest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"domicile.dev/domicile/ledger"
)

// CosignTime is the time of every cosignature.
var CosignTime = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

// Key returns the key of a log. Its seed is the hash of the origin.
func Key(t testing.TB, origin string) (signer note.Signer, vkey string) {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	skey, vkey, err := ledger.GenerateLogKey(bytes.NewReader(seed[:]), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err = note.NewSigner(skey)
	if err != nil {
		t.Fatalf("note does not read the key of %s: %v", origin, err)
	}
	return signer, vkey
}

// Witness returns a witness. Its seed is the hash of its name.
func Witness(t testing.TB, name string) *ledger.Cosigner {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	c, err := ledger.NewCosigner(name, ed25519.NewKeyFromSeed(seed[:]), func() time.Time { return CosignTime })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Sign signs a checkpoint with the key of its log and the witnesses given.
func Sign(t testing.TB, c ledger.Checkpoint, witnesses ...note.Signer) []byte {
	t.Helper()
	signer, _ := Key(t, c.Origin)
	signed, err := ledger.SignCheckpoint(c, signer, witnesses...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Tree is a Merkle tree. The zero Tree is empty.
type Tree struct {
	Leaves [][]byte
	hashes []tlog.Hash
}

// Add appends a leaf.
func (tr *Tree) Add(t testing.TB, leaf []byte) {
	t.Helper()
	hashes, err := tlog.StoredHashes(int64(len(tr.Leaves)), leaf, tr)
	if err != nil {
		t.Fatal(err)
	}
	tr.hashes = append(tr.hashes, hashes...)
	tr.Leaves = append(tr.Leaves, leaf)
}

// ReadHashes implements tlog.HashReader.
func (tr *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(indexes))
	for _, i := range indexes {
		hashes = append(hashes, tr.hashes[i])
	}
	return hashes, nil
}

// Root returns the root of the first size leaves.
func (tr *Tree) Root(t testing.TB, size uint64) ledger.Hash {
	t.Helper()
	if size == 0 {
		return sha256.Sum256(nil)
	}
	root, err := tlog.TreeHash(int64(size), tr)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Hash(root)
}

// Prove returns the inclusion proof of a leaf in the tree of the first size leaves, without a checkpoint.
func (tr *Tree) Prove(t testing.TB, index, size uint64) *ledger.Proof {
	t.Helper()
	hashes, err := tlog.ProveRecord(int64(size), int64(index), tr)
	if err != nil {
		t.Fatal(err)
	}
	p := &ledger.Proof{Index: index}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, ledger.Hash(h))
	}
	return p
}

// Checkpoint returns the head of the first size leaves.
func (tr *Tree) Checkpoint(t testing.TB, origin string, size uint64) ledger.Checkpoint {
	t.Helper()
	return ledger.Checkpoint{Origin: origin, Size: size, Root: tr.Root(t, size)}
}
