package query

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// manyEntries makes a control log that is longer than a bundle.
func manyEntries(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "eu")
	w.add(0, 1, 2)
	var list []ledger.Entry
	for range 600 {
		list = append(list, &ledger.HeartbeatEntry{ControlSize: 1})
	}
	for _, a := range w.gateway.AppendAll(t.Context(), list...) {
		w.must(a.Err)
	}
	_, err := w.cell.Search(t.Context(), alice, index.Filter{}, index.Page{})
	w.must(err)
	w.must(w.cell.Close()) // so that the log stands still
	w.flush()
	return w
}

func paths(hashes []ledger.Hash) (list [][]byte) {
	for i := range hashes {
		list = append(list, hashes[i][:])
	}
	return list
}

func TestControlListing(t *testing.T) {
	w := manyEntries(t)
	all := w.entries()
	for _, test := range []struct {
		name string
		f    ControlFilter
		want func(i uint64, e ledger.EntryType) bool
	}{
		{"all", ControlFilter{}, func(uint64, ledger.EntryType) bool { return true }},
		{"a type", ControlFilter{Types: []ledger.EntryType{ledger.EntryBatch}}, func(_ uint64, e ledger.EntryType) bool { return e == ledger.EntryBatch }},
		{"two types", ControlFilter{Types: []ledger.EntryType{ledger.EntryAccess, ledger.EntryPolicy}}, func(_ uint64, e ledger.EntryType) bool {
			return e == ledger.EntryAccess || e == ledger.EntryPolicy
		}},
		{"a range", ControlFilter{From: 250, To: 520}, func(i uint64, _ ledger.EntryType) bool { return i >= 250 && i < 520 }},
		{"a type in a range", ControlFilter{From: 3, Types: []ledger.EntryType{ledger.EntryAccess}}, func(i uint64, e ledger.EntryType) bool { return i >= 3 && e == ledger.EntryAccess }},
		{"beyond the end", ControlFilter{From: 5000, To: math.MaxUint64}, func(uint64, ledger.EntryType) bool { return false }},
	} {
		for _, descending := range []bool{false, true} {
			for _, limit := range []int{1, 7, 0, MaxEntries} {
				f := test.f
				f.Descending, f.Limit = descending, limit
				var want, got []uint64
				for i, raw := range all {
					if test.want(uint64(i), typeOf(raw)) {
						want = append(want, uint64(i))
					}
				}
				if descending {
					slices.Reverse(want)
				}
				for next := &f; next != nil; {
					page, err := w.cell.Control(t.Context(), *next, limit != 1)
					w.must(err)
					for _, e := range page.Entries {
						got = append(got, e.Index)
						if !bytes.Equal(e.Entry, all[e.Index]) || e.Type != typeOf(all[e.Index]) {
							t.Fatalf("%s: entry %d is another", test.name, e.Index)
						}
						if (e.Proof == nil) != (limit == 1) {
							t.Fatalf("%s: proof %v", test.name, e.Proof)
						}
						if e.Proof == nil {
							continue
						}
						hash := rfc6962.DefaultHasher.HashLeaf(e.Entry)
						if err := proof.VerifyInclusion(rfc6962.DefaultHasher, e.Index, page.Checkpoint.Size, hash, paths(e.Proof), page.Checkpoint.Root[:]); err != nil {
							t.Fatalf("%s: entry %d: %v", test.name, e.Index, err)
						}
					}
					if next = page.Next; next != nil && next.Size != page.Checkpoint.Size {
						t.Fatalf("%s: the next page stands on another checkpoint", test.name)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %d at a time, descending %v: %d entries, want %d", test.name, limit, descending, len(got), len(want))
				}
			}
		}
	}
}

func TestControlListingAtAnOlderSize(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0)
	old, err := w.cell.State(t.Context())
	w.must(err)
	w.add(1)
	size := old.Control.Checkpoint.Size
	page, err := w.cell.Control(t.Context(), ControlFilter{Size: size, Limit: MaxEntries}, true)
	w.must(err)
	if page.Checkpoint != old.Control.Checkpoint || !bytes.Equal(page.Note, old.Control.Note) || len(page.Entries) != int(size) {
		t.Errorf("%d entries at %+v, want %+v", len(page.Entries), page.Checkpoint, old.Control.Checkpoint)
	}
	for _, f := range []ControlFilter{{Size: 100_000}, {Limit: MaxEntries + 1}, {Limit: -1}, {From: 2, To: 1}, {Types: []ledger.EntryType{"secret"}}} {
		if _, err := w.cell.Control(t.Context(), f, false); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestConsistencyProofs(t *testing.T) {
	w := manyEntries(t)
	leaves := w.entries()
	root := func(size uint64) []byte {
		var tree ledger.Hash
		p, err := w.cell.tiles.at(t.Context(), w.controlOrigin(), uint64(len(leaves))).Root(size)
		w.must(err)
		tree = p
		return tree[:]
	}
	newest := uint64(len(leaves))
	for _, test := range []struct{ from, to uint64 }{{1, 2}, {1, newest}, {255, 256}, {256, 257}, {300, newest}, {newest, newest}, {3, 0}} {
		p, err := w.cell.Consistency(t.Context(), w.controlOrigin(), test.from, test.to)
		w.must(err)
		to := test.to
		if to == 0 {
			to = newest
		}
		if p.From != test.from || p.To != to || (to == newest) != (p.Note != nil) && to == newest {
			t.Errorf("%+v: %d to %d, note %q", test, p.From, p.To, p.Note)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, p.From, p.To, paths(p.Hashes), root(p.From), root(p.To)); err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for _, test := range []struct{ from, to uint64 }{{2, 1}, {1, newest + 1}, {newest + 1, 0}, {0, math.MaxUint64}} {
		if _, err := w.cell.Consistency(t.Context(), w.controlOrigin(), test.from, test.to); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if _, err := w.cell.Consistency(t.Context(), "test/us/control", 1, 2); !errors.Is(err, ErrNoCell) {
		t.Errorf("a log of another cell: %v", err)
	}
}

// Objects are those of the C2SP layout, and nothing else of the store can be had.
func TestObjects(t *testing.T) {
	w := manyEntries(t)
	state, err := w.cell.State(t.Context())
	w.must(err)
	for origin, note := range map[string][]byte{w.controlOrigin(): state.Control.Note, w.eventsOrigin(): state.Logs[0].Note} {
		if data, err := w.cell.Object(t.Context(), origin, "checkpoint"); err != nil || !bytes.Equal(data, note) {
			t.Errorf("%s: checkpoint: %v", origin, err)
		}
	}
	for _, path := range []string{"tile/0/000", "tile/entries/000", "tile/0/001", "tile/0/000"} {
		data, err := w.cell.Object(t.Context(), w.controlOrigin(), path)
		want, _, getErr := w.open.Get(t.Context(), w.controlOrigin()+"/"+path)
		if err != nil || getErr != nil || !bytes.Equal(data, want) {
			t.Errorf("%s: %v, %v", path, err, getErr)
		}
	}
	for _, path := range []string{
		"", "/", "checkpoint/", "Checkpoint", "../events/0/checkpoint", "tile/0/../../checkpoint", "tile/0/999", "tile/0/000.p/0",
		"tile/0/000.p/256", "tile/9/000", "tile/entries/x000/000", "commit/00000000000000000000", "checkpoints/00000000000000000001",
		"tile/0/000\x00", "tile//000", "tile/0/000.p/254",
	} {
		if data, err := w.cell.Object(context.Background(), w.controlOrigin(), path); !errors.Is(err, ErrNotFound) || data != nil {
			t.Errorf("%q: %d bytes, %v", path, len(data), err)
		}
	}
	if _, err := w.cell.Object(t.Context(), "test/eu/events/0/tile", "checkpoint"); !errors.Is(err, ErrNoCell) {
		t.Errorf("no log: %v", err)
	}
}

// The checkpoint that is answered never goes back, whatever the store shows.
func TestCheckpointsDoNotGoBack(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0)
	old, err := w.cell.State(t.Context())
	w.must(err)
	w.add(1)
	now, err := w.cell.State(t.Context())
	w.must(err)
	key := w.eventsOrigin() + "/checkpoint"
	_, info, err := w.open.Get(t.Context(), key)
	w.must(err)
	_, err = w.open.Replace(t.Context(), key, old.Logs[0].Note, info.Version)
	w.must(err)
	again, err := w.cell.State(t.Context())
	w.must(err)
	if again.Logs[0].Checkpoint != now.Logs[0].Checkpoint || now.Logs[0].Checkpoint.Size != 2 {
		t.Errorf("size %d, then %d", now.Logs[0].Checkpoint.Size, again.Logs[0].Checkpoint.Size)
	}
	_, info, err = w.open.Get(t.Context(), key)
	w.must(err)
	_, err = w.open.Replace(t.Context(), key, []byte("not a note"), info.Version)
	w.must(err)
	if _, err := w.cell.State(t.Context()); err == nil {
		t.Error("a checkpoint that nobody signed was taken")
	}
}

func TestTilesAreKeptWithinBounds(t *testing.T) {
	tiles := newTiles(nil)
	big := make([]byte, 1<<20)
	for i := range 100 {
		tiles.keep(string(rune('a'+i)), big)
		tiles.recall("a")
	}
	if tiles.bytes > maxTileBytes || tiles.used.Len() != len(tiles.known) || tiles.used.Len() != maxTileBytes>>20 {
		t.Errorf("%d bytes in %d tiles, %d known", tiles.bytes, tiles.used.Len(), len(tiles.known))
	}
	if tiles.recall("a") == nil || tiles.recall("b") != nil {
		t.Error("the tile that is used most went, or the oldest stayed")
	}
}
