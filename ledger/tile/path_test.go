package tile

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func TestPathIsTheSpecifications(t *testing.T) {
	for path, want := range map[string]Tile{
		"tile/0/000":                               {0, 0, 256},
		"tile/0/255":                               {0, 255, 256},
		"tile/0/999.p/1":                           {0, 999, 1},
		"tile/0/x001/000":                          {0, 1000, 256},
		"tile/0/x001/x234/067":                     {0, 1234067, 256},
		"tile/63/x001/x234/067.p/255":              {63, 1234067, 255},
		"tile/entries/x273/112.p/9":                {Entries, 273112, 9},
		"tile/entries/000":                         {Entries, 0, 256},
		"tile/1/x999/999":                          {1, 999999, 256},
		"tile/2/x001/x000/000":                     {2, 1000000, 256},
		"tile/9/x018/x446/x744/x073/x709/x551/615": {9, math.MaxUint64, 256},
	} {
		if got := want.Path(); got != path {
			t.Errorf("Path of %+v: %s, want %s", want, got, path)
		}
		if got, err := ParsePath(path); err != nil || got != want {
			t.Errorf("ParsePath(%s): %+v, %v, want %+v", path, got, err, want)
		}
	}
}

func TestParsePathTakesOnlyOneSpelling(t *testing.T) {
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tiles/0/000",
		"tile/00/000", "tile/+0/000", "tile/-1/000", "tile/64/000", "tile/256/000", "tile/x/000", "tile/Entries/000",
		"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000", "tile/0/x000/000", "tile/0/001/000", "tile/0/x001/x000",
		"tile/0/x01/000", "tile/0/xx01/000", "tile/0/-01", "tile/0/+01", "tile/0/ 01", "tile/0/x001//000",
		"tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000.p", "tile/0/000.p/1/",
		"tile/0/000.p/1.p/1", "tile/0/000.p/+1", "tile/0/000.p/-1", "tile/0/.p/1", "tile/0/000.P/1", "tile/0/x001.p/1/000",
		"tile/9/x018/x446/x744/x073/x709/x551/616", "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
		"tile/8/0/000", "tile/0/000\n", "tile/0/٠٠٠",
	} {
		if got, err := ParsePath(path); !errors.Is(err, ErrPath) {
			t.Errorf("ParsePath(%q): %+v, %v, want ErrPath", path, got, err)
		}
	}
}

func drawTile(t *rapid.T) Tile {
	return Tile{
		Level: rapid.IntRange(Entries, MaxLevel).Draw(t, "level"),
		Index: rapid.Uint64().Draw(t, "index"),
		Width: rapid.IntRange(1, Width).Draw(t, "width"),
	}
}

func TestPathRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTile(t)
		if got, err := ParsePath(want.Path()); err != nil || got != want {
			t.Fatalf("%+v → %s → %+v, %v", want, want.Path(), got, err)
		}
	})
}

// The checksum database writes paths of its own shape with the height in them;
// the rest of the path is the same.
func TestPathAgreesWithSumDB(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mine := drawTile(t)
		mine.Level = max(mine.Level, 0)
		mine.Index >>= 1
		theirs := tlog.Tile{H: Height, L: mine.Level, N: int64(mine.Index), W: mine.Width}.Path()
		if got := "tile/8/" + strings.TrimPrefix(mine.Path(), "tile/"); got != theirs {
			t.Fatalf("%s, sumdb has %s", got, theirs)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/0/x001/x234/067.p/8", "tile/entries/999.p/255", "tile/63/x018/x446/x744/x073/x709/x551/615"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := ParsePath(path)
		if err != nil {
			return
		}
		if got.Path() != path {
			t.Errorf("%q is taken for %+v, whose path is %q", path, got, got.Path())
		}
		if got.Width < 1 || got.Width > Width || got.Level < Entries || got.Level > MaxLevel {
			t.Errorf("%q gives %+v", path, got)
		}
	})
}

func TestAllTilesOfASize(t *testing.T) {
	for _, test := range []struct {
		size uint64
		want string
	}{
		{0, ""},
		{1, "tile/entries/000.p/1 tile/0/000.p/1"},
		{255, "tile/entries/000.p/255 tile/0/000.p/255"},
		{256, "tile/entries/000 tile/0/000 tile/1/000.p/1"},
		{257, "tile/entries/000 tile/entries/001.p/1 tile/0/000 tile/0/001.p/1 tile/1/000.p/1"},
		{512, "tile/entries/000 tile/entries/001 tile/0/000 tile/0/001 tile/1/000.p/2"},
	} {
		var paths []string
		for tile := range All(test.size) {
			paths = append(paths, tile.Path())
		}
		if got := strings.Join(paths, " "); got != test.want {
			t.Errorf("size %d:\n%s\nwant\n%s", test.size, got, test.want)
		}
	}
	// The specification's own example.
	counts := map[int]int{}
	partial := map[int]int{}
	for tile := range All(70_000) {
		if tile.Partial() {
			partial[tile.Level] = tile.Width
		} else {
			counts[tile.Level]++
		}
	}
	if counts[Entries] != 273 || counts[0] != 273 || counts[1] != 1 || counts[2] != 0 {
		t.Errorf("full tiles by level: %v", counts)
	}
	if partial[Entries] != 112 || partial[0] != 112 || partial[1] != 17 || partial[2] != 1 || len(partial) != 4 {
		t.Errorf("partial tiles by level: %v", partial)
	}
}

func TestBetweenAgreesWithSumDB(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		published := rapid.Uint64Range(0, 300_000).Draw(t, "published")
		size := published + rapid.Uint64Range(0, 70_000).Draw(t, "more")
		var mine, bundles []tlog.Tile
		for tile := range Between(published, size) {
			if tile.Level == Entries {
				bundles = append(bundles, tlog.Tile{H: Height, N: int64(tile.Index), W: tile.Width})
			} else {
				mine = append(mine, tlog.Tile{H: Height, L: tile.Level, N: int64(tile.Index), W: tile.Width})
			}
		}
		theirs := tlog.NewTiles(Height, int64(published), int64(size))
		if !slices.Equal(mine, theirs) {
			t.Fatalf("from %d to %d:\n%v\nsumdb has\n%v", published, size, mine, theirs)
		}
		level0 := slices.DeleteFunc(theirs, func(tile tlog.Tile) bool { return tile.L != 0 })
		if !slices.Equal(bundles, level0) {
			t.Fatalf("from %d to %d: bundles %v, tiles %v", published, size, bundles, level0)
		}
	})
}

func TestInTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, 200_000).Draw(t, "size")
		earlier := rapid.Uint64Range(0, size).Draw(t, "earlier size")
		for tile := range All(earlier) {
			if !tile.InTree(size) {
				t.Fatalf("%s of size %d is not in the tree of %d", tile, earlier, size)
			}
			if tile.Partial() && tile.InTree(tile.First()<<(max(tile.Level, 0)*Height)) {
				t.Fatalf("%s is in a tree that ends before it", tile)
			}
		}
		for _, tile := range []Tile{
			{0, size / Width, int(size%Width) + 1}, {Entries, size/Width + 1, 1}, {Levels(size), 0, 1},
			{0, 0, 0}, {0, 0, 257}, {-2, 0, 1}, {64, 0, 1}, {63, 0, 1}, {0, math.MaxUint64, 256},
		} {
			if tile.InTree(size) {
				t.Fatalf("%+v is in the tree of %d", tile, size)
			}
		}
	})
}

func TestHugeSizesDoNotOverflow(t *testing.T) {
	if got := Levels(math.MaxUint64); got != 8 {
		t.Errorf("Levels of the greatest size: %d, want 8", got)
	}
	n := 0
	for tile := range Between(math.MaxUint64-1, math.MaxUint64) {
		if !tile.InTree(math.MaxUint64) {
			t.Errorf("%s is not in the tree", tile)
		}
		n++
	}
	if n != 2 { // one more leaf: its bundle and its level-0 tile
		t.Errorf("%d tiles for one more leaf", n)
	}
}
