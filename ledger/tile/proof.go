package tile

import (
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ReadFunc returns the bytes of the tile or bundle at a path. They are checked
// for their length; whether they are true only a comparison with a signed root
// tells.
type ReadFunc func(path string) ([]byte, error)

// readTile reads a tile or bundle and checks that it has the width it should.
// If a partial one cannot be read, its beginning of the full one does as well:
// a log may drop partial tiles once they are full.
func readTile(t Tile, read ReadFunc) ([]byte, error) {
	data, err := read(t.Path())
	if err != nil {
		if !t.Partial() {
			return nil, err
		}
		full := Tile{t.Level, t.Index, Width}
		data, fullErr := read(full.Path())
		if fullErr != nil {
			return nil, err
		}
		if err := checkWidth(full, data); err != nil {
			return nil, err
		}
		return Prefix(t, data)
	}
	if err := checkWidth(t, data); err != nil {
		return nil, err
	}
	return data, nil
}

func checkWidth(t Tile, data []byte) error {
	if t.Level == Entries {
		if _, err := ParseBundle(data, t.Width); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		return nil
	}
	if len(data) != t.Width*HashSize {
		return fmt.Errorf("%s: %d bytes and not %d", t, len(data), t.Width*HashSize)
	}
	return nil
}

// A Reader makes roots and proofs out of the tiles of a log. It keeps the tiles
// that it used last, and is not safe for concurrent use.
type Reader struct {
	published uint64
	read      ReadFunc
	tiles     map[Tile][]byte
}

// maxCached bounds the tiles that a Reader keeps: 8 KiB each, and bundles.
const maxCached = 64

// NewReader reads a log that has the tiles of the size published. Roots and
// proofs can be had for that and every smaller size.
func NewReader(published uint64, read ReadFunc) *Reader {
	return &Reader{published: published, read: read, tiles: make(map[Tile][]byte)}
}

// Root is the root of the tree when it had the given size.
func (r *Reader) Root(size uint64) (Hash, error) {
	if err := r.checkSize(size); err != nil {
		return Hash{}, err
	}
	if size == 0 {
		return EmptyRoot(), nil
	}
	ids := compact.RangeNodes(0, size, nil)
	var root Hash
	for i := len(ids) - 1; i >= 0; i-- { // from the right edge
		node, err := r.node(ids[i])
		if err != nil {
			return Hash{}, err
		}
		if i == len(ids)-1 {
			root = node
		} else {
			root = NodeHash(node, root)
		}
	}
	return root, nil
}

// Inclusion proves that the tree of the given size has its leaf at index
// (RFC 6962 section 2.1.1).
func (r *Reader) Inclusion(index, size uint64) ([]Hash, error) {
	if err := r.checkSize(size); err != nil {
		return nil, err
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof: %w", err)
	}
	return r.prove(nodes)
}

// Consistency proves that the tree of size to begins with the tree of size from
// (RFC 6962 section 2.1.2). It is empty if from is 0 or equals to.
func (r *Reader) Consistency(from, to uint64) ([]Hash, error) {
	if err := r.checkSize(to); err != nil {
		return nil, err
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	return r.prove(nodes)
}

// LeafHash is the hash of the leaf at index, as the tiles have it.
func (r *Reader) LeafHash(index uint64) (Hash, error) {
	return r.node(compact.NewNodeID(0, index))
}

// Entry is the leaf at index, as the bundles have it. Whether it is the one in
// the tree is seen by comparing its hash with LeafHash.
func (r *Reader) Entry(index uint64) ([]byte, error) {
	if index >= r.published {
		return nil, fmt.Errorf("leaf %d is not in a log of size %d", index, r.published)
	}
	t := at(Entries, index, r.published)
	data, err := r.tile(t)
	if err != nil {
		return nil, err
	}
	entries, err := ParseBundle(data, t.Width)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return entries[index%Width], nil
}

func (r *Reader) checkSize(size uint64) error {
	if size > r.published {
		return fmt.Errorf("size %d is not published yet: the log has %d", size, r.published)
	}
	return nil
}

// prove reads the nodes of a proof and computes the one that no tile holds.
func (r *Reader) prove(nodes proof.Nodes) ([]Hash, error) {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := r.node(id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h[:]
	}
	hashes, err := nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, err
	}
	path := make([]Hash, len(hashes))
	for i, h := range hashes {
		path[i] = Hash(h)
	}
	return path, nil
}

// node is the hash of a perfect subtree: stored in a tile if its level is a
// multiple of Height, else computed from the hashes below it in one tile.
func (r *Reader) node(id compact.NodeID) (Hash, error) {
	below := id.Level % Height
	first, count := id.Index<<below, uint64(1)<<below
	t := at(int(id.Level/Height), first, r.published)
	begin := first % Width
	if have := nodes(t.Level, r.published); first >= have || count > have-first {
		return Hash{}, fmt.Errorf("node %d of level %d is not complete at size %d", id.Index, id.Level, r.published)
	}
	data, err := r.tile(t)
	if err != nil {
		return Hash{}, err
	}
	return perfectRoot(data[begin*HashSize : (begin+count)*HashSize]), nil
}

func (r *Reader) tile(t Tile) ([]byte, error) {
	if data, ok := r.tiles[t]; ok {
		return data, nil
	}
	data, err := readTile(t, r.read)
	if err != nil {
		return nil, err
	}
	if len(r.tiles) >= maxCached {
		clear(r.tiles)
	}
	r.tiles[t] = data
	return data, nil
}
