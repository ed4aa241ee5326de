package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"domicile.dev/domicile/ledger/store"
)

func mustReplace(t *testing.T, s store.Store, key, data, version string) string {
	t.Helper()
	newVersion, err := s.Replace(t.Context(), key, []byte(data), version)
	if err != nil {
		t.Fatalf("Replace: %v", err)
	}
	if newVersion == "" {
		t.Fatalf("Replace gave no version")
	}
	return newVersion
}

func replaceComparesVersions(t *testing.T, s store.Store) {
	ctx := t.Context()
	first := mustReplace(t, s, "o/checkpoint", "size 1", "")
	if info := mustRead(t, s, "o/checkpoint", "size 1"); info.Version != first {
		t.Errorf("Get gives version %q, Replace gave %q", info.Version, first)
	}
	second := mustReplace(t, s, "o/checkpoint", "size 2", first)
	if second == first {
		t.Errorf("other bytes have the same version")
	}
	for _, stale := range []string{first, "", "no version at all"} {
		if _, err := s.Replace(ctx, "o/checkpoint", []byte("size 0"), stale); !errors.Is(err, store.ErrMismatch) {
			t.Errorf("Replace of version %q: %v, want ErrMismatch", stale, err)
		}
	}
	if info := mustRead(t, s, "o/checkpoint", "size 2"); info.Version != second {
		t.Errorf("version is %q after refused replacements, want %q", info.Version, second)
	}
	mustReplace(t, s, "o/checkpoint", "", second)
	mustRead(t, s, "o/checkpoint", "")
	if got := list(t, s, "", ""); len(got) != 1 {
		t.Errorf("replacing left other keys behind: %q", got)
	}
}

func replaceCreates(t *testing.T, s store.Store) {
	ctx := t.Context()
	if _, err := s.Replace(ctx, "o/checkpoint", []byte("x"), "some version"); !errors.Is(err, store.ErrMismatch) {
		t.Errorf("Replace of a version of nothing: %v, want ErrMismatch", err)
	}
	if _, err := s.Head(ctx, "o/checkpoint"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Head: %v, want ErrNotFound", err)
	}
	mustCreate(t, s, "o/checkpoint", "created")
	if _, err := s.Replace(ctx, "o/checkpoint", []byte("x"), ""); !errors.Is(err, store.ErrMismatch) {
		t.Errorf("Replace of an object that should be absent: %v, want ErrMismatch", err)
	}
	version := mustRead(t, s, "o/checkpoint", "created").Version
	mustReplace(t, s, "o/checkpoint", "replaced", version)
	mustRead(t, s, "o/checkpoint", "replaced")
	if err := s.Create(ctx, store.Object{Key: "o/checkpoint"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create of a replaced object: %v, want ErrExists", err)
	}
}

func replaceRaces(t *testing.T, s store.Store) {
	version := ""
	for round := range 8 {
		var group sync.WaitGroup
		var winner atomic.Pointer[string]
		var winnerVersion atomic.Pointer[string]
		for i := range racers {
			group.Go(func() {
				data := fmt.Sprintf("round %d writer %d", round, i)
				newVersion, err := s.Replace(t.Context(), "o/checkpoint", []byte(data), version)
				switch {
				case err == nil:
					winnerVersion.Store(&newVersion)
					if other := winner.Swap(&data); other != nil {
						t.Errorf("both %q and %q replaced one version", *other, data)
					}
				case !errors.Is(err, store.ErrMismatch):
					t.Errorf("Replace: %v", err)
				}
			})
		}
		group.Wait()
		if winner.Load() == nil {
			t.Fatalf("round %d: nobody won", round)
		}
		version = *winnerVersion.Load()
		if info := mustRead(t, s, "o/checkpoint", *winner.Load()); info.Version != version {
			t.Errorf("round %d: version %q, want %q", round, info.Version, version)
		}
	}
}

// A counter that many raise by reading and replacing loses nothing.
func replaceCounts(t *testing.T, s store.Store) {
	const each = 5
	mustCreate(t, s, "counter", "0")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for raised := 0; raised < each; {
				data, info, err := s.Get(t.Context(), "counter")
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				n, err := strconv.Atoi(string(data))
				if err != nil {
					t.Errorf("counter: %v", err)
					return
				}
				switch _, err := s.Replace(t.Context(), "counter", []byte(strconv.Itoa(n+1)), info.Version); {
				case err == nil:
					raised++
				case !errors.Is(err, store.ErrMismatch):
					t.Errorf("Replace: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	mustRead(t, s, "counter", strconv.Itoa(8*each))
}

func replaceWhole(t *testing.T, s store.Store) {
	long := bytes.Repeat([]byte("long "), 20_000)
	short := []byte("short")
	version := mustReplace(t, s, "o/checkpoint", string(long), "")
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for i := range 50 {
			data := long
			if i%2 == 0 {
				data = short
			}
			var err error
			if version, err = s.Replace(t.Context(), "o/checkpoint", data, version); err != nil {
				t.Errorf("Replace: %v", err)
				return
			}
		}
	})
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		data, _, err := s.Get(t.Context(), "o/checkpoint")
		if err != nil || !bytes.Equal(data, long) && !bytes.Equal(data, short) {
			t.Fatalf("Get while it is replaced: %d bytes, %v", len(data), err)
		}
	}
	group.Wait()
}
