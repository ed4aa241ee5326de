package tile

import (
	"crypto/sha256"
	"math/bits"
)

// The prefixes that keep leaves and nodes apart (RFC 6962 section 2.1).
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// EmptyRoot is the root of a tree without leaves: the hash of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// LeafHash is SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) Hash {
	h, _ := appendLeafHash(nil, leaf)
	return h
}

// appendLeafHash is LeafHash with memory to work in, which it returns, perhaps
// grown.
func appendLeafHash(scratch, leaf []byte) (Hash, []byte) {
	scratch = append(append(scratch[:0], leafPrefix), leaf...)
	return sha256.Sum256(scratch), scratch
}

// NodeHash is SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

// pairHash is the parent of two hashes that lie side by side.
func pairHash(pair []byte) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = nodePrefix
	copy(b[1:], pair[:2*HashSize])
	return sha256.Sum256(b[:])
}

// perfectRoot is the root over a power of two of hashes, at most a tile of them.
func perfectRoot(hashes []byte) Hash {
	if len(hashes) == HashSize {
		return Hash(hashes)
	}
	var layer [Width / 2 * HashSize]byte
	for from := hashes; ; from = layer[:len(from)/2] {
		if len(from) == 2*HashSize {
			return pairHash(from)
		}
		// In place after the first layer: a parent is written where its
		// children or their elder siblings have been read.
		for i := 0; i < len(from); i += 2 * HashSize {
			h := pairHash(from[i:])
			copy(layer[i/2:], h[:])
		}
	}
}

// fold is the root over the hashes of a partial tile with, to their right, what
// remains of the tree below (nil if nothing does).
func fold(hashes []byte, right *Hash) *Hash {
	end := len(hashes)
	for n := uint(len(hashes) / HashSize); n > 0; n &= n - 1 {
		// The lowest bit of n is the rightmost perfect subtree.
		begin := end - HashSize<<bits.TrailingZeros(n)
		root := perfectRoot(hashes[begin:end])
		if right != nil {
			root = NodeHash(root, *right)
		}
		right, end = &root, begin
	}
	return right
}
