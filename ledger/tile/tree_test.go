package tile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// naive is RFC 6962 section 2.1, word for word.
type naive [][]byte

func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func (d naive) root() Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, d[0]...))
	}
	k := split(len(d))
	left, right := d[:k].root(), d[k:].root()
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

func (d naive) path(m int) []Hash {
	if len(d) == 1 {
		return nil
	}
	if k := split(len(d)); m < k {
		return append(d[:k].path(m), d[k:].root())
	} else {
		return append(d[k:].path(m-k), d[:k].root())
	}
}

func (d naive) consistency(m int) []Hash { return d.subproof(m, true) }

func (d naive) subproof(m int, complete bool) []Hash {
	if m == len(d) {
		if complete {
			return nil
		}
		return []Hash{d.root()}
	}
	if k := split(len(d)); m <= k {
		return append(d[:k].subproof(m, complete), d[k:].root())
	} else {
		return append(d[k:].subproof(m-k, false), d[:k].root())
	}
}

func makeLeaves(n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, i%5)
		leaves[i] = binary.BigEndian.AppendUint32(leaves[i], uint32(i))
	}
	leaves[0] = nil // an empty leaf is a leaf
	return leaves
}

// The largest tree of these tests needs three levels of tiles.
var leaves = makeLeaves(66_500)

// tiles is a log's folder: path → bytes.
type tiles map[string][]byte

func (s tiles) read(path string) ([]byte, error) {
	if data, ok := s[path]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s: not there", path)
}

func (s tiles) store(t interface{ Fatalf(string, ...any) }, objects ...Object) {
	for _, o := range objects {
		if there, ok := s[o.Path()]; ok && !bytes.Equal(there, o.Data) {
			t.Fatalf("%s changes", o.Path())
		}
		s[o.Path()] = o.Data
	}
}

// publish grows the log to size and returns what must be stored.
func publish(t interface{ Fatalf(string, ...any) }, e *Edge, size int) (*Edge, []Object) {
	next, objects, err := e.Extend(leaves[e.Size():size], nil)
	if err != nil {
		t.Fatalf("Extend: %v", err)
	}
	return next, append(objects, next.Partials(e.Size())...)
}

func drawSizes(t *rapid.T, greatest int) []int {
	edges := []int{0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792}
	size := rapid.OneOf(rapid.IntRange(0, 1100), rapid.IntRange(0, greatest), rapid.SampledFrom(edges))
	sizes := rapid.SliceOfN(size, 1, 6).Draw(t, "published sizes")
	slices.Sort(sizes)
	sizes = slices.DeleteFunc(sizes, func(n int) bool { return n > greatest })
	return slices.Compact(append(sizes, greatest/2))
}

func TestEdgeWritesTheTilesAndRootOfEverySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		folder := tiles{}
		edge := new(Edge)
		sizes := drawSizes(t, rapid.SampledFrom([]int{10, 700, 3000, 66_500}).Draw(t, "greatest"))
		slices.Sort(sizes)
		for _, size := range sizes {
			before := edge.Size()
			root := edge.Root()
			next, objects := publish(t, edge, size)
			if edge.Size() != before || edge.Root() != root {
				t.Fatalf("Extend changed the edge it came from")
			}
			folder.store(t, objects...)
			got := map[Tile]bool{}
			for _, o := range objects {
				got[o.Tile] = true
			}
			want := maps.Collect(func(yield func(Tile, bool) bool) {
				for tile := range Between(before, uint64(size)) {
					if !yield(tile, true) {
						return
					}
				}
			})
			if len(got) != len(objects) || !maps.Equal(got, want) {
				t.Fatalf("from %d to %d: %d objects, want %v", before, size, len(objects), want)
			}
			edge = next
			if got, want := edge.Root(), naive(leaves[:size]).root(); got != want {
				t.Fatalf("root of %d: %x, want %x", size, got, want)
			}
			loaded, err := LoadEdge(uint64(size), folder.read)
			if err != nil {
				t.Fatalf("LoadEdge: %v", err)
			}
			if loaded.Root() != edge.Root() || !bytes.Equal(loaded.bundle, edge.bundle) || len(loaded.levels) != len(edge.levels) {
				t.Fatalf("the edge of %d is another one after loading", size)
			}
			edge = loaded // what follows stands on it
		}
	})
}

func TestTileBytesAgreeWithSumDB(t *testing.T) {
	// Their tree of stored hashes, built leaf by leaf.
	const size = 66_000
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for i, leaf := range leaves[:size] {
		hashes, err := tlog.StoredHashes(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	edge := new(Edge)
	for _, n := range []int{1, 255, 256, 257, 1000, 65_535, 65_536, 65_537, size} {
		next, objects := publish(t, edge, n)
		for _, o := range objects {
			if o.Level == Entries {
				continue
			}
			want, err := tlog.ReadTileData(tlog.Tile{H: Height, L: o.Level, N: int64(o.Index), W: o.Width}, reader)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(o.Data, want) {
				t.Errorf("%s differs from sumdb's", o.Path())
			}
		}
		theirs, err := tlog.TreeHash(int64(n), reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Root(); got != theirs {
			t.Errorf("root of %d: %x, sumdb has %x", n, got, theirs)
		}
		edge = next
	}
}

// fullLog is a log published at 66,000 and a few sizes before.
func fullLog(t interface{ Fatalf(string, ...any) }) tiles {
	folder := tiles{}
	edge := new(Edge)
	for _, size := range []int{1, 300, 65_537, 66_000} {
		next, objects := publish(t, edge, size)
		folder.store(t, objects...)
		edge = next
	}
	return folder
}

func TestProofsAreTheReferences(t *testing.T) {
	folder := fullLog(t)
	rapid.Check(t, func(t *rapid.T) {
		r := NewReader(66_000, folder.read)
		size := rapid.OneOf(rapid.IntRange(1, 700), rapid.IntRange(1, 66_000), rapid.SampledFrom([]int{256, 65_536, 66_000})).Draw(t, "size")
		index := rapid.IntRange(0, size-1).Draw(t, "index")
		tree := naive(leaves[:size])

		root, err := r.Root(uint64(size))
		if err != nil || root != tree.root() {
			t.Fatalf("Root: %x, %v, want %x", root, err, tree.root())
		}
		path, err := r.Inclusion(uint64(index), uint64(size))
		if err != nil || !slices.Equal(path, tree.path(index)) {
			t.Fatalf("Inclusion(%d, %d): %x, %v, want %x", index, size, path, err, tree.path(index))
		}
		leafHash, err := r.LeafHash(uint64(index))
		if err != nil || leafHash != LeafHash(leaves[index]) {
			t.Fatalf("LeafHash(%d): %x, %v", index, leafHash, err)
		}
		raw := make([][]byte, len(path))
		for i := range path {
			raw[i] = path[i][:]
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leafHash[:], raw, root[:]); err != nil {
			t.Fatalf("Inclusion(%d, %d) does not verify: %v", index, size, err)
		}
		from := index + 1
		consistency, err := r.Consistency(uint64(from), uint64(size))
		if err != nil || !slices.Equal(consistency, tree.consistency(from)) {
			t.Fatalf("Consistency(%d, %d): %x, %v, want %x", from, size, consistency, err, tree.consistency(from))
		}
		theirs := make(tlog.TreeProof, len(consistency))
		for i, h := range consistency {
			theirs[i] = h
		}
		if err := tlog.CheckTree(theirs, int64(size), root, int64(from), naive(leaves[:from]).root()); err != nil {
			t.Fatalf("Consistency(%d, %d): sumdb: %v", from, size, err)
		}
		entry, err := r.Entry(uint64(index))
		if err != nil || !bytes.Equal(entry, leaves[index]) {
			t.Fatalf("Entry(%d): %x, %v, want %x", index, entry, err, leaves[index])
		}
	})
}

func TestReaderRefusesWhatIsNotThere(t *testing.T) {
	r := NewReader(300, fullLog(t).read)
	_, errRoot := r.Root(301)
	_, errPath := r.Inclusion(0, 301)
	_, errBeyond := r.Inclusion(200, 200)
	_, errBack := r.Consistency(200, 100)
	_, errConsistency := r.Consistency(1, 301)
	_, errLeaf := r.LeafHash(300)
	_, errLast := r.LeafHash(math.MaxUint64)
	_, errEntry := r.Entry(300)
	for what, err := range map[string]error{
		"root beyond": errRoot, "proof beyond": errPath, "leaf beyond the size": errBeyond, "sizes reversed": errBack,
		"consistency beyond": errConsistency, "leaf beyond": errLeaf, "the greatest leaf": errLast, "entry beyond": errEntry,
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	anything := NewReader(300, func(string) ([]byte, error) { return make([]byte, Width*HashSize), nil })
	for _, index := range []uint64{300, 1 << 40, math.MaxUint64} {
		if h, err := anything.LeafHash(index); err == nil {
			t.Errorf("leaf %d of 300: %x", index, h)
		}
	}
	if root, err := NewReader(0, nil).Root(0); err != nil || root != sha256.Sum256(nil) {
		t.Errorf("root of nothing: %x, %v", root, err)
	}
	if hashes, err := r.Consistency(0, 300); err != nil || len(hashes) != 0 {
		t.Errorf("Consistency from 0: %d hashes, %v", len(hashes), err)
	}
}

func TestFullTileStandsInForAPartialOne(t *testing.T) {
	folder := fullLog(t)
	for _, path := range []string{"tile/0/001.p/44", "tile/entries/001.p/44"} {
		if _, err := folder.read(path); err != nil {
			t.Fatal(err)
		}
		delete(folder, path)
	}
	r := NewReader(300, folder.read)
	if root, err := r.Root(300); err != nil || root != naive(leaves[:300]).root() {
		t.Errorf("Root: %x, %v", root, err)
	}
	if entry, err := r.Entry(299); err != nil || !bytes.Equal(entry, leaves[299]) {
		t.Errorf("Entry: %x, %v", entry, err)
	}
	if edge, err := LoadEdge(300, folder.read); err != nil || edge.Root() != naive(leaves[:300]).root() || len(edge.bundle) == 0 {
		t.Errorf("LoadEdge: %v", err)
	}
}

func TestTilesOfTheWrongLengthAreRefused(t *testing.T) {
	for _, path := range []string{"tile/0/001.p/44", "tile/entries/001.p/44"} {
		for what, spoil := range map[string]func([]byte) []byte{
			"empty":     func(b []byte) []byte { return nil },
			"truncated": func(b []byte) []byte { return b[:len(b)-1] },
			"surplus":   func(b []byte) []byte { return append(slices.Clone(b), 0) },
			"more":      func(b []byte) []byte { return append(slices.Clone(b), make([]byte, 32)...) },
		} {
			folder := fullLog(t)
			folder[path] = spoil(folder[path])
			if _, err := LoadEdge(300, folder.read); err == nil {
				t.Errorf("LoadEdge takes %s when it is %s", path, what)
			}
		}
	}
}

func TestAppendRefusesWithoutChange(t *testing.T) {
	edge, _ := publish(t, new(Edge), 300)
	root := edge.Root()
	if err := edge.Append([][]byte{{1}, make([]byte, MaxEntry+1)}, nil, nil); err == nil {
		t.Errorf("a leaf that fits no bundle was added")
	}
	if err := edge.Append([][]byte{{1}}, []Hash{}, nil); err == nil {
		t.Errorf("a leaf without its hash was added")
	}
	if edge.Size() != 300 || edge.Root() != root {
		t.Errorf("the edge changed")
	}
	if err := edge.Append([][]byte{make([]byte, MaxEntry)}, nil, nil); err != nil {
		t.Errorf("a leaf of the greatest length: %v", err)
	}
	stop := errors.New("stop")
	if err := edge.Append(leaves[:300], nil, func(Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of emit: %v", err)
	}
}

// A step that fails is taken again from the same edge, perhaps with other leaves.
func TestTwoExtensionsOfOneEdgeShareNothing(t *testing.T) {
	edge, _ := publish(t, new(Edge), 300)
	first, _, err := edge.Extend(leaves[300:400], nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := edge.Extend(leaves[500:900], nil); err != nil {
		t.Fatal(err)
	}
	if first.Root() != naive(leaves[:400]).root() || edge.Root() != naive(leaves[:300]).root() {
		t.Errorf("the second extension changed the first, or the edge")
	}
	for _, o := range first.Partials(300) {
		if o.Level == Entries {
			if entries, err := ParseBundle(o.Data, o.Width); err != nil || !bytes.Equal(entries[143], leaves[399]) {
				t.Errorf("the bundle of the first extension: %v", err)
			}
		}
	}
}

// Whether hashes are given and objects wanted changes nothing in the tree.
func TestAppendInAllItsWays(t *testing.T) {
	hashes := make([]Hash, 66_000)
	for i := range hashes {
		hashes[i] = LeafHash(leaves[i])
	}
	folder := tiles{}
	emit := func(o Object) error { folder.store(t, o); return nil }
	var a, b, c Edge
	for at := 0; at < len(hashes); at += 1000 {
		for _, err := range []error{
			a.Append(leaves[at:at+1000], nil, nil),
			b.Append(leaves[at:at+1000], hashes[at:at+1000], emit),
			c.Append(leaves[at:at+1000], nil, emit),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if a.Root() != b.Root() || b.Root() != c.Root() {
			t.Fatalf("three roots at %d", a.Size())
		}
	}
	folder.store(t, a.Partials(0)...)
	folder.store(t, b.Partials(0)...)
	for tile := range All(uint64(len(hashes))) {
		if _, ok := folder[tile.Path()]; !ok {
			t.Errorf("%s is missing", tile)
		}
	}
}
