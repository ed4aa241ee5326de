package tile

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBundleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 20).Draw(t, "entries")
		var bundle []byte
		for _, entry := range want {
			bundle = AppendEntry(bundle, entry)
		}
		got, err := ParseBundle(bundle, len(want))
		if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%x → %x, %v", want, got, err)
		}
		for _, width := range []int{len(want) - 1, len(want) + 1} {
			if _, err := ParseBundle(bundle, width); !errors.Is(err, ErrBundle) {
				t.Fatalf("%d entries are taken for %d: %v", len(want), width, err)
			}
		}
		width := rapid.IntRange(0, len(want)).Draw(t, "width")
		prefix, err := Prefix(Tile{Entries, 0, width}, bundle)
		if err != nil {
			t.Fatalf("Prefix: %v", err)
		}
		if got, err := ParseBundle(prefix, width); err != nil || !slices.EqualFunc(got, want[:width], bytes.Equal) {
			t.Fatalf("the first %d of %x: %x, %v", width, want, got, err)
		}
		if _, err := Prefix(Tile{Entries, 0, len(want) + 1}, bundle); !errors.Is(err, ErrBundle) {
			t.Fatalf("Prefix longer than the bundle: %v", err)
		}
	})
}

func TestPrefixOfATile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 2*5)
	if got, err := Prefix(Tile{0, 0, 3}, data); err != nil || !bytes.Equal(got, data[:96]) {
		t.Errorf("Prefix: %d bytes, %v", len(got), err)
	}
	if _, err := Prefix(Tile{0, 0, 6}, data); err == nil {
		t.Errorf("a tile of 5 hashes has a prefix of 6")
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add([]byte{0, 0, 0, 1, 'x'}, 2)
	f.Add([]byte{0, 5, 'x'}, 1)
	f.Add([]byte{0}, 1)
	f.Fuzz(func(t *testing.T, bundle []byte, width int) {
		entries, err := ParseBundle(bundle, width)
		if err != nil {
			return
		}
		var again []byte
		for _, entry := range entries {
			again = AppendEntry(again, entry)
		}
		if len(entries) != width || !bytes.Equal(again, bundle) {
			t.Errorf("%x of width %d is taken for %x", bundle, width, entries)
		}
	})
}
