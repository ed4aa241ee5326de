package tile

import (
	"fmt"
	"slices"
)

// An Object is a tile or bundle with its bytes.
type Object struct {
	Tile
	Data []byte
}

// An Edge is what a growing tree needs to remember: on every level the hashes
// that do not fill a tile yet, and the entries of the unfinished bundle. At most
// 8 KiB a level, and 16 MiB of entries. The zero Edge is the empty tree.
//
// An Edge is not safe for concurrent use.
type Edge struct {
	size   uint64
	levels [][]byte // by level: fewer than Width hashes, side by side
	bundle []byte   // the size % Width entries after the last full bundle

	scratch []byte // what leaves are hashed in
}

// Size is the number of leaves.
func (e *Edge) Size() uint64 { return e.size }

// Root is the root of the tree.
func (e *Edge) Root() Hash {
	var root *Hash
	for _, hashes := range e.levels {
		root = fold(hashes, root)
	}
	if root == nil {
		return EmptyRoot()
	}
	return *root
}

// Clone returns an edge that shares nothing with e.
func (e *Edge) Clone() *Edge {
	c := &Edge{size: e.size, bundle: slices.Clone(e.bundle), levels: make([][]byte, len(e.levels))}
	for i, hashes := range e.levels {
		c.levels[i] = append(make([]byte, 0, Width*HashSize), hashes...)
	}
	return c
}

// Append adds leaves and gives each tile and bundle that they fill to emit, which
// may keep the bytes; nil skips that and spares the memory. hashes are the
// leaves' hashes if the caller has them already, else nil.
//
// If a leaf is longer than MaxEntry, or hashes has another length than leaves,
// nothing is added. An error of emit is returned at once, and then e is of no
// more use.
func (e *Edge) Append(leaves [][]byte, hashes []Hash, emit func(Object) error) error {
	if hashes != nil && len(hashes) != len(leaves) {
		return fmt.Errorf("%d hashes for %d leaves", len(hashes), len(leaves))
	}
	for i, leaf := range leaves {
		if len(leaf) > MaxEntry {
			return fmt.Errorf("leaf %d has %d bytes; a bundle takes %d", e.size+uint64(i), len(leaf), MaxEntry)
		}
	}
	for i, leaf := range leaves {
		var hash Hash
		if hashes != nil {
			hash = hashes[i]
		} else {
			hash, e.scratch = appendLeafHash(e.scratch, leaf)
		}
		e.bundle = AppendEntry(e.bundle, leaf)
		e.size++
		if e.size%Width == 0 {
			bundle := e.bundle
			if emit == nil {
				e.bundle = bundle[:0]
			} else {
				// The next bundle is likely as long as this one.
				e.bundle = make([]byte, 0, len(bundle)+len(bundle)/8)
				if err := emit(Object{Tile{Entries, e.size/Width - 1, Width}, bundle}); err != nil {
					return err
				}
			}
		}
		if err := e.push(0, hash, emit); err != nil {
			return err
		}
	}
	return nil
}

// push adds a hash to a level and, if it fills the tile, the tile's root to the
// level above.
func (e *Edge) push(level int, hash Hash, emit func(Object) error) error {
	if level == len(e.levels) {
		e.levels = append(e.levels, make([]byte, 0, Width*HashSize))
	}
	hashes := append(e.levels[level], hash[:]...)
	if len(hashes) < Width*HashSize {
		e.levels[level] = hashes
		return nil
	}
	root := perfectRoot(hashes)
	if emit == nil {
		e.levels[level] = hashes[:0]
	} else {
		e.levels[level] = make([]byte, 0, Width*HashSize)
		if err := emit(Object{Tile{level, nodes(level, e.size)/Width - 1, Width}, hashes}); err != nil {
			return err
		}
	}
	return e.push(level+1, root, emit)
}

// Extend is Append on a copy: it returns the edge after the leaves and the full
// tiles and bundles that they finished. e stays as it is, so that a step that
// fails can be taken again.
func (e *Edge) Extend(leaves [][]byte, hashes []Hash) (*Edge, []Object, error) {
	next := e.Clone()
	var full []Object
	err := next.Append(leaves, hashes, func(o Object) error {
		full = append(full, o)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return next, full, nil
}

// Partials returns the partial tiles and bundle of this size that were not there
// at the smaller size published. With the full ones that appending gave since
// then they are what publishing this size must store: exactly those of
// Between(published, e.Size()).
func (e *Edge) Partials(published uint64) []Object {
	var partials []Object
	add := func(level int, data []byte) {
		n := nodes(level, e.size)
		if n%Width != 0 && nodes(level, published) < n {
			partials = append(partials, Object{Tile{level, n / Width, int(n % Width)}, slices.Clone(data)})
		}
	}
	add(Entries, e.bundle)
	for level, hashes := range e.levels {
		add(level, hashes)
	}
	return partials
}

// LoadEdge reads the edge of a tree of the given size from the partial tiles and
// bundle of that size, or wider ones. The tree may have grown since. Whether the
// tiles are true is seen by comparing the root with a signed one.
func LoadEdge(size uint64, read ReadFunc) (*Edge, error) {
	e := &Edge{size: size}
	for level := range Levels(size) {
		hashes := make([]byte, 0, Width*HashSize)
		if n := nodes(level, size); n%Width != 0 {
			data, err := readTile(Tile{level, n / Width, int(n % Width)}, read)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, data...)
		}
		e.levels = append(e.levels, hashes)
	}
	if size%Width != 0 {
		bundle, err := readTile(Tile{Entries, size / Width, int(size % Width)}, read)
		if err != nil {
			return nil, err
		}
		e.bundle = slices.Clone(bundle)
	}
	return e, nil
}
