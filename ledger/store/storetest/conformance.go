// Package storetest holds what every implementation of store.Store must pass,
// and Faulty, a store that fails where a test wants it to.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"domicile.dev/domicile/ledger/store"
)

// Run holds a store that replaces objects to the contract. open returns a new,
// empty store each time it is called.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	runCommon(t, open)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"replace compares versions", replaceComparesVersions},
		{"replace creates only what is absent", replaceCreates},
		{"one of many replacing the same version wins", replaceRaces},
		{"every replacement counts", replaceCounts},
		{"a reader sees whole replacements", replaceWhole},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// RunLocked is Run for a locked store, which replaces nothing.
func RunLocked(t *testing.T, open func(t *testing.T) store.Store) {
	runCommon(t, open)
	t.Run("nothing is replaced", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		mustCreate(t, s, "o/commit/0", "first")
		for _, version := range []string{"", mustHead(t, s, "o/commit/0").Version} {
			if _, err := s.Replace(ctx, "o/commit/0", []byte("second"), version); err == nil {
				t.Errorf("Replace with version %q succeeded", version)
			}
		}
		if _, err := s.Replace(ctx, "o/commit/1", []byte("second"), ""); err == nil {
			t.Errorf("Replace of an absent object succeeded")
		}
		mustRead(t, s, "o/commit/0", "first")
		if _, err := s.Head(ctx, "o/commit/1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Head after a refused Replace: %v, want ErrNotFound", err)
		}
	})
}

func runCommon(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"what is created is read", created},
		{"what is absent is not found", absent},
		{"a key is created once", createdOnce},
		{"one of many creating a key wins", createRaces},
		{"many keys are created at once", createMany},
		{"ensure tells equal from different", ensures},
		{"create all", createsAll},
		{"keys that name nothing are refused", badKeys},
		{"odd keys are kept as they are", oddKeys},
		{"the caller's bytes are its own", aliases},
		{"list is ascending in keys and not in folders", listOrder},
		{"list begins after a key and within a prefix", listRanges},
		{"list can be left", listStops},
		{"list beside writers", listConcurrent},
		{"delete", deletes},
		{"a cancelled context", cancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func mustCreate(t *testing.T, s store.Store, key, data string) {
	t.Helper()
	if err := s.Create(t.Context(), store.Object{Key: key, Data: []byte(data)}); err != nil {
		t.Fatalf("Create: %v", err)
	}
}

func mustHead(t *testing.T, s store.Store, key string) store.Info {
	t.Helper()
	info, err := s.Head(t.Context(), key)
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return info
}

// create is mustCreate for goroutines other than the test's own.
func create(t *testing.T, s store.Store, key, data string) {
	t.Helper()
	if err := s.Create(t.Context(), store.Object{Key: key, Data: []byte(data)}); err != nil {
		t.Errorf("Create: %v", err)
	}
}

// mustRead reads an object in all three ways.
func mustRead(t *testing.T, s store.Store, key, want string) store.Info {
	t.Helper()
	data, info, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if string(data) != want {
		t.Fatalf("Get %s: %.60q, want %.60q", key, data, want)
	}
	r, opened, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer r.Close()
	if data, err = io.ReadAll(r); err != nil || string(data) != want {
		t.Fatalf("Open %s: %.60q, %v, want %.60q", key, data, err, want)
	}
	for how, got := range map[string]store.Info{"Get": info, "Open": opened, "Head": mustHead(t, s, key)} {
		if got.Key != key || got.Size != int64(len(want)) || got.Versions != 1 {
			t.Errorf("%s %s: %+v, want size %d and one version", how, key, got, len(want))
		}
	}
	return info
}

func list(t *testing.T, s store.Store, prefix, after string) []string {
	t.Helper()
	keys := []string{}
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func created(t *testing.T, s store.Store) {
	for i, size := range []int{0, 1, 4096, 70_000, 3 << 20} {
		data := bytes.Repeat([]byte{byte(i), 0xff, 0, '\n'}, size/4+1)[:size]
		key := fmt.Sprintf("l/eu/control/commit/%020d", i)
		mustCreate(t, s, key, string(data))
		mustRead(t, s, key, string(data))
	}
}

func absent(t *testing.T, s store.Store) {
	ctx := t.Context()
	mustCreate(t, s, "a/b/c", "x")
	for _, key := range []string{"nothing", "a/b/d", "a/b", "a", "a/b/c/d", "z/y/x"} {
		if _, _, err := s.Get(ctx, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%q): %v, want ErrNotFound", key, err)
		}
		if _, _, err := s.Open(ctx, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Open(%q): %v, want ErrNotFound", key, err)
		}
		if _, err := s.Head(ctx, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Head(%q): %v, want ErrNotFound", key, err)
		}
	}
	if got := list(t, s, "nowhere/", ""); len(got) != 0 {
		t.Errorf("List of nothing: %q", got)
	}
}

func createdOnce(t *testing.T, s store.Store) {
	mustCreate(t, s, "o/commit/7", "first")
	for _, data := range []string{"first", "other", ""} {
		err := s.Create(t.Context(), store.Object{Key: "o/commit/7", Data: []byte(data)})
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("Create again with %q: %v, want ErrExists", data, err)
		}
		mustRead(t, s, "o/commit/7", "first")
	}
}

// Racing writers and their keys.
const racers = 32

func createRaces(t *testing.T, s store.Store) {
	for round := range 8 {
		key := fmt.Sprintf("o/commit/%020d", round)
		var group sync.WaitGroup
		var winner atomic.Int64
		winner.Store(-1)
		for i := range racers {
			group.Go(func() {
				err := s.Create(t.Context(), store.Object{Key: key, Data: []byte(fmt.Sprint("writer ", i))})
				switch {
				case err == nil:
					if other := winner.Swap(int64(i)); other != -1 {
						t.Errorf("writers %d and %d both created %s", other, i, key)
					}
				case !errors.Is(err, store.ErrExists):
					t.Errorf("Create: %v", err)
				}
			})
		}
		group.Wait()
		mustRead(t, s, key, fmt.Sprint("writer ", winner.Load()))
	}
}

func createMany(t *testing.T, s store.Store) {
	var group sync.WaitGroup
	want := []string{}
	for i := range racers {
		for j := range 8 {
			key := fmt.Sprintf("o/tile/%d/x%03d/%03d", j, i%3, i)
			want = append(want, key)
			group.Go(func() { create(t, s, key, key) })
		}
	}
	group.Wait()
	slices.Sort(want)
	if got := list(t, s, "", ""); !slices.Equal(got, want) {
		t.Fatalf("List has %d keys, want %d", len(got), len(want))
	}
	for _, key := range want {
		mustRead(t, s, key, key)
	}
}

func ensures(t *testing.T, s store.Store) {
	ctx := t.Context()
	object := store.Object{Key: "o/tile/0/000", Data: []byte("hashes")}
	for range 2 {
		if err := store.Ensure(ctx, s, object); err != nil {
			t.Errorf("Ensure: %v", err)
		}
	}
	object.Data = []byte("hashes!")
	if err := store.Ensure(ctx, s, object); !errors.Is(err, store.ErrDiffers) {
		t.Errorf("Ensure with other bytes: %v, want ErrDiffers", err)
	}
	mustRead(t, s, "o/tile/0/000", "hashes")
}

func createsAll(t *testing.T, s store.Store) {
	ctx := t.Context()
	objects := []store.Object{}
	for i := range 100 {
		key := fmt.Sprintf("o/tile/%d/%03d", i%3, i)
		objects = append(objects, store.Object{Key: key, Data: []byte(key)})
	}
	// Some are there from a publication that was interrupted.
	if err := store.CreateAll(ctx, s, objects[20:40]); err != nil {
		t.Fatalf("CreateAll: %v", err)
	}
	if err := store.CreateAll(ctx, s, objects); err != nil {
		t.Fatalf("CreateAll: %v", err)
	}
	for _, object := range objects {
		mustRead(t, s, object.Key, string(object.Data))
	}
	if err := store.CreateAll(ctx, s, nil); err != nil {
		t.Errorf("CreateAll of nothing: %v", err)
	}
	objects[50].Data = []byte("another tile")
	if err := store.CreateAll(ctx, s, objects); !errors.Is(err, store.ErrDiffers) {
		t.Errorf("CreateAll with one different object: %v, want ErrDiffers", err)
	}
	mustRead(t, s, objects[50].Key, objects[50].Key)
}

func badKeys(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b",
		"a\x00b", "a\nb", "\xff", "a/" + strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x",
	} {
		_, _, getErr := s.Get(ctx, key)
		_, _, openErr := s.Open(ctx, key)
		_, headErr := s.Head(ctx, key)
		for name, err := range map[string]error{
			"Create": s.Create(ctx, store.Object{Key: key, Data: []byte("x")}),
			"Get":    getErr,
			"Open":   openErr,
			"Head":   headErr,
			"Delete": s.Delete(ctx, key),
		} {
			if !errors.Is(err, store.ErrBadKey) {
				t.Errorf("%s(%.40q): %v, want ErrBadKey", name, key, err)
			}
		}
	}
	if got := list(t, s, "", ""); len(got) != 0 {
		t.Errorf("something was stored: %q", got)
	}
	// As prefixes they are only strings that no key begins with.
	mustCreate(t, s, "a/b", "x")
	for _, prefix := range []string{"/", "/a", "../", "a/../a/", "a//", "./", "a/\x00/", "a/" + strings.Repeat("x", 300) + "/"} {
		if got := list(t, s, prefix, ""); len(got) != 0 {
			t.Errorf("List(%.40q): %q", prefix, got)
		}
	}
}

func oddKeys(t *testing.T, s store.Store) {
	keys := []string{
		"tile/0/x001/x234/067", "tile/0/x001/x234/067.p/8", "a b/ c ", "...", ".hidden", "..a", "~", "*?[]", `back\slash`,
		"%2e%2e", "Ünïcode/ключ/鍵", "-rf", "a'b\"c$d", "a.p/1", "a/1", "0", strings.Repeat("n", 255),
	}
	for _, key := range keys {
		mustCreate(t, s, key, "at "+key)
	}
	for _, key := range keys {
		mustRead(t, s, key, "at "+key)
	}
	slices.Sort(keys)
	if got := list(t, s, "", ""); !slices.Equal(got, keys) {
		t.Errorf("List: %q\nwant %q", got, keys)
	}
}

func aliases(t *testing.T, s store.Store) {
	data := []byte("mine")
	if err := s.Create(t.Context(), store.Object{Key: "k", Data: data}); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	got, _, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'Y'
	mustRead(t, s, "k", "mine")
}

// Keys whose order differs from the order of the folders' names: '/' sorts after
// '-' and '.' and before '0'.
var ordered = []string{"a-/x", "a-b", "a.p/1", "a.p/2", "a/b-c", "a/b.d", "a/b/c", "a/b0", "a0", "b/c/d/e", "b/c/d/f", "b/c1", "c"}

func listOrder(t *testing.T, s store.Store) {
	shuffled := slices.Clone(ordered)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, key := range shuffled {
		mustCreate(t, s, key, key)
	}
	if got := list(t, s, "", ""); !slices.Equal(got, ordered) {
		t.Errorf("List: %q\nwant %q", got, ordered)
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Size != int64(len(info.Key)) {
			t.Errorf("List: %+v, %v", info, err)
		}
	}
}

func listRanges(t *testing.T, s store.Store) {
	for _, key := range ordered {
		mustCreate(t, s, key, key)
	}
	bounds := append([]string{"", "a", "a/", "a/b", "a/b/", "a/b/c/d", "a.", "b/c", "b/c/", "b/c/d/", "b/c/d/e0", "c", "d", "zz", "\x00", "\xff"}, ordered...)
	for _, prefix := range bounds {
		for _, after := range bounds {
			want := []string{}
			for _, key := range ordered {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := list(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q): %q, want %q", prefix, after, got, want)
			}
		}
	}
}

func listStops(t *testing.T, s store.Store) {
	for _, key := range ordered {
		mustCreate(t, s, key, key)
	}
	for n := 1; n <= len(ordered); n++ {
		seen := []string{}
		for info, err := range s.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, info.Key); len(seen) == n {
				break
			}
		}
		if !slices.Equal(seen, ordered[:n]) {
			t.Errorf("the first %d keys: %q", n, seen)
		}
	}
}

// What is there all the time is listed exactly once, whatever comes and goes.
func listConcurrent(t *testing.T, s store.Store) {
	steady := []string{}
	for i := range 40 {
		key := fmt.Sprintf("steady/%d/%02d", i%4, i)
		steady = append(steady, key)
		mustCreate(t, s, key, key)
	}
	slices.Sort(steady)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			key := fmt.Sprintf("steady/%d/passing-%d", i%4, i)
			create(t, s, key, "x")
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}
	})
	for range 20 {
		got := slices.DeleteFunc(list(t, s, "steady/", ""), func(key string) bool { return strings.Contains(key, "passing") })
		if !slices.Equal(got, steady) {
			t.Errorf("List beside a writer: %q", got)
		}
	}
	close(done)
	group.Wait()
}

func deletes(t *testing.T, s store.Store) {
	ctx := t.Context()
	mustCreate(t, s, "o/payload/1", "one")
	mustCreate(t, s, "o/payload/2", "two")
	for range 2 { // the second time it is gone already
		if err := s.Delete(ctx, "o/payload/1"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	for _, key := range []string{"never/was", "o/payload", "o/payload/2/3"} {
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	if _, _, err := s.Get(ctx, "o/payload/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	if got := list(t, s, "", ""); !slices.Equal(got, []string{"o/payload/2"}) {
		t.Errorf("List after Delete: %q", got)
	}
}

func cancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Create(ctx, store.Object{Key: "a/b", Data: []byte("x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v, want context.Canceled", err)
	}
	if err := store.CreateAll(ctx, s, []store.Object{{Key: "a/b"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("CreateAll: %v, want context.Canceled", err)
	}
	if _, _, err := s.Get(ctx, "a/b"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	listed := 0
	for _, err := range s.List(ctx, "", "") {
		listed++
		if !errors.Is(err, context.Canceled) {
			t.Errorf("List: %v, want context.Canceled", err)
		}
	}
	if listed != 1 {
		t.Errorf("List yielded %d times, want the error alone", listed)
	}
}
