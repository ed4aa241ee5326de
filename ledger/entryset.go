package ledger

import (
	"crypto/sha256"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// SetRoot is the commitment to a set of events that control entries carry in `set`: the RFC 6962 root of a tree whose
// i-th leaf (the data that RFC 6962 hashes with its 0x00 prefix) is the 32 bytes
//
//	H(0x13 ‖ salt ‖ leaf_i)
//
// where leaf_i is the exact leaf of an event in its events log, in the order (origin, index). The salt is random, one
// per entry, and stays in the jurisdiction: without it nobody can test whether a known leaf is in the set.
func SetRoot(salt [32]byte, leaves [][]byte) Hash {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	var b []byte
	for _, leaf := range leaves {
		b = append(append(append(b[:0], domainSet), salt[:]...), leaf...)
		value := sha256.Sum256(b)
		leafHash := LeafHash(value[:])
		// Append and GetRootHash fail only for ranges that do not start at 0.
		_ = tree.Append(leafHash[:], nil)
	}
	if tree.End() == 0 {
		return Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, _ := tree.GetRootHash(nil)
	return Hash(root)
}
