package audit

import (
	"crypto/sha256"
	"math/bits"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// roots is the right edge of a binary tree: the roots of the perfect subtrees that the leaves so far consist of, the
// largest first. Adding a leaf, or a perfect subtree, and giving the root are cheap at any size, which is what checking
// the root of every commit needs, however small the commits are.
type roots struct {
	size  uint64
	stack []ledger.Hash // one for each bit that is set in size, from the highest
}

// push adds a perfect subtree of 2^level leaves, where size is a multiple of that.
func (r *roots) push(level uint, h ledger.Hash) {
	for bit := level; r.size>>bit&1 == 1; bit++ {
		last := len(r.stack) - 1
		h = tile.NodeHash(r.stack[last], h)
		r.stack = r.stack[:last]
	}
	r.stack = append(r.stack, h)
	r.size += 1 << level
}

func (r *roots) root() ledger.Hash {
	if len(r.stack) == 0 {
		return tile.EmptyRoot()
	}
	h := r.stack[len(r.stack)-1]
	for i := len(r.stack) - 2; i >= 0; i-- {
		h = tile.NodeHash(r.stack[i], h)
	}
	return h
}

// perfectRoot is the root over a power of two of hashes that lie side by side. It uses their memory.
func perfectRoot(hashes []byte) ledger.Hash {
	var pair [1 + 2*sha256.Size]byte
	pair[0] = 1
	for n := len(hashes) / sha256.Size; n > 1; n /= 2 {
		for i := range n / 2 {
			copy(pair[1:], hashes[2*i*sha256.Size:])
			h := sha256.Sum256(pair[:])
			copy(hashes[i*sha256.Size:], h[:])
		}
	}
	return ledger.Hash(hashes[:sha256.Size])
}

// nodesAt is how many hashes a tree of that size has at a tile level.
func nodesAt(level int, size uint64) uint64 {
	shift := max(level, 0) * tile.Height
	if shift >= bits.UintSize {
		return 0
	}
	return size >> shift
}
