// Package tile is the arithmetic of a C2SP tlog-tiles log
// (https://c2sp.org/tlog-tiles): which tiles a tree of a given size has, what
// their paths and bytes are, and roots and proofs out of them.
//
// In come leaves and the paths and bytes of tiles; out come objects to store,
// roots and RFC 6962 proofs. Nothing here reads, writes or starts anything:
// tiles are fetched through a function that the caller gives. A tile's bytes are
// a function of its path and the log, so whatever a crash interrupts is simply
// computed again.
//
//	Tile    names one tile or bundle: path, parse, which exist for a size
//	Edge    the right edge of a tree: append leaves, get finished tiles, the root
//	Reader  roots, inclusion and consistency proofs out of stored tiles
package tile

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Hash is a SHA-256 hash of a leaf or node, as RFC 6962 section 2.1 defines it.
type Hash = [32]byte

const (
	// Width is the number of hashes or entries in a full tile.
	Width = 256
	// Height is the number of tree levels that a tile spans.
	Height = 8
	// MaxLevel is the greatest level that a path may name.
	MaxLevel = 63
	// HashSize is the length of a hash in bytes.
	HashSize = 32
	// Entries is the level of entry bundles, which stand beside level 0.
	Entries = -1
)

// ErrPath: the text is not the path of a tile or bundle.
var ErrPath = errors.New("not the path of a tile")

// A Tile names a tile of hashes, or a bundle of entries (Level Entries).
type Tile struct {
	Level int    // Entries, or 0 to MaxLevel
	Index uint64 // of the tile within its level
	Width int    // 1 to 256; below 256 it is a partial tile
}

// Path is "tile/<L>/<N>[.p/<W>]", with "entries" as <L> of bundles.
func (t Tile) Path() string {
	return string(t.AppendPath(make([]byte, 0, 40)))
}

// AppendPath appends the path to b.
func (t Tile) AppendPath(b []byte) []byte {
	b = append(b, "tile/"...)
	if t.Level == Entries {
		b = append(b, "entries"...)
	} else {
		b = strconv.AppendInt(b, int64(t.Level), 10)
	}
	// <N> in groups of three digits; all but the last begin with an x.
	groups := [7]uint64{}
	n := 0
	for rest := t.Index; ; rest /= 1000 {
		groups[n] = rest % 1000
		n++
		if rest < 1000 {
			break
		}
	}
	for n--; n >= 0; n-- {
		b = append(b, '/')
		if n > 0 {
			b = append(b, 'x')
		}
		group := groups[n]
		b = append(b, '0'+byte(group/100), '0'+byte(group/10%10), '0'+byte(group%10))
	}
	if t.Width != Width {
		b = append(b, ".p/"...)
		b = strconv.AppendInt(b, int64(t.Width), 10)
	}
	return b
}

// String is the path.
func (t Tile) String() string { return t.Path() }

// ParsePath is the inverse of Path. It takes nothing that Path does not write;
// the error wraps ErrPath. That a log of some size has the tile is another
// question: see InTree.
func ParsePath(path string) (Tile, error) {
	t, ok := parsePath(path)
	// One spelling for each tile: whatever leniency parsePath may have ends here.
	if !ok || string(t.AppendPath(nil)) != path {
		return Tile{}, fmt.Errorf("%.100q: %w", path, ErrPath)
	}
	return t, nil
}

func parsePath(path string) (t Tile, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return t, false
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return t, false
	}
	if level == "entries" {
		t.Level = Entries
	} else if n, err := strconv.ParseUint(level, 10, 8); err == nil && n <= MaxLevel {
		t.Level = int(n)
	} else {
		return t, false
	}
	index, width, partial := strings.Cut(rest, ".p/")
	t.Width = Width
	if partial {
		w, err := strconv.ParseUint(width, 10, 16)
		if err != nil || w < 1 || w >= Width {
			return t, false
		}
		t.Width = int(w)
	}
	for {
		group, more, found := strings.Cut(index, "/")
		if found {
			if group, ok = strings.CutPrefix(group, "x"); !ok {
				return t, false
			}
		}
		n, err := strconv.ParseUint(group, 10, 16)
		if err != nil || len(group) != 3 || t.Index > (math.MaxUint64-n)/1000 {
			return t, false
		}
		t.Index = t.Index*1000 + n
		if !found {
			return t, true
		}
		index = more
	}
}

// Partial reports whether the tile is narrower than a full one.
func (t Tile) Partial() bool { return t.Width != Width }

// First is the index of the tile's first hash within its level. For levels 0 and
// Entries that is the index of a leaf.
func (t Tile) First() uint64 { return t.Index * Width }

// nodes is the number of hashes that a tree of the given size has at a tile
// level: floor(size / 256**level).
func nodes(level int, size uint64) uint64 {
	if level == Entries {
		level = 0
	}
	if level*Height >= 64 {
		return 0
	}
	return size >> (level * Height)
}

// InTree reports whether a log that grew to size may hold the tile: full tiles
// within it, and partial tiles of any width that it once had.
func (t Tile) InTree(size uint64) bool {
	if t.Width < 1 || t.Width > Width || t.Level < Entries || t.Level > MaxLevel {
		return false
	}
	n := nodes(t.Level, size)
	return t.Index < n/Width || t.Index == n/Width && uint64(t.Width) <= n%Width
}

// Levels is the number of tile levels of a tree: every level from 0 below it has
// a tile, full or partial, and none from it on.
func Levels(size uint64) int {
	level := 0
	for nodes(level, size) > 0 {
		level++
	}
	return level
}

// at returns the tile of a tree of the given size that holds the n-th hash of a
// level, as wide as the tree has it.
func at(level int, n, size uint64) Tile {
	t := Tile{Level: level, Index: n / Width, Width: Width}
	if have := nodes(level, size); t.Index == have/Width {
		t.Width = int(have % Width)
	}
	return t
}

// Between yields the tiles and bundles that publishing size needs when those of
// the smaller or equal size published are there: the full ones that it finished
// and, of the partial ones, those of size itself, on every level where it has
// more hashes. Sizes in between are as if they had never been. Bundles come
// first, then levels upwards, each in ascending order.
func Between(published, size uint64) iter.Seq[Tile] {
	return func(yield func(Tile) bool) {
		for level := Entries; level < Levels(size); level++ {
			before, after := nodes(level, published), nodes(level, size)
			if before >= after {
				continue
			}
			for index := before / Width; index < after/Width; index++ {
				if !yield(Tile{level, index, Width}) {
					return
				}
			}
			if width := after % Width; width > 0 && !yield(Tile{level, after / Width, int(width)}) {
				return
			}
		}
	}
}

// All yields every tile and bundle of a log that was published at size alone:
// what every log of that size must hold.
func All(size uint64) iter.Seq[Tile] { return Between(0, size) }
