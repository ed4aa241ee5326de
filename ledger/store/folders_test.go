package store

import (
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A sync that began before the call may have missed the caller's name; one that
// has not ended has promised nothing.
func TestSharedSyncsBeginAfterTheCallAndEndBeforeTheReturn(t *testing.T) {
	var clock atomic.Int64
	type span struct{ begin, end int64 }
	var mu sync.Mutex
	var syncs, calls []span
	running := false
	f := folders{fsync: func(string) error {
		mu.Lock()
		if running {
			t.Error("two syncs of one folder at once")
		}
		running = true
		mu.Unlock()
		s := span{begin: clock.Add(1)}
		runtime.Gosched() // others should come while this one runs
		s.end = clock.Add(1)
		mu.Lock()
		running = false
		syncs = append(syncs, s)
		mu.Unlock()
		return nil
	}}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for range 50 {
				call := span{begin: clock.Add(1)}
				if err := f.sync("folder"); err != nil {
					t.Error(err)
				}
				call.end = clock.Add(1)
				mu.Lock()
				calls = append(calls, call)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, call := range calls {
		served := slices.ContainsFunc(syncs, func(s span) bool { return s.begin > call.begin && s.end < call.end })
		if !served {
			t.Fatalf("a call from %d to %d was served by no sync", call.begin, call.end)
		}
	}
	if len(f.syncing) != 0 {
		t.Errorf("%d folders are remembered after the last call", len(f.syncing))
	}
}

func TestAllWhoComeDuringASyncShareTheNext(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	syncs := 0
	f := folders{fsync: func(string) error {
		if syncs++; syncs == 1 {
			close(started)
			<-release
		}
		return nil
	}}
	var group sync.WaitGroup
	join := func() {
		group.Go(func() {
			if err := f.sync("folder"); err != nil {
				t.Error(err)
			}
		})
	}
	join()
	<-started
	const late = 40
	for range late {
		join()
	}
	for waiting := 0; waiting < 1+late; {
		runtime.Gosched()
		f.mu.Lock()
		waiting = f.syncing["folder"].waiting
		f.mu.Unlock()
	}
	close(release)
	group.Wait()
	if syncs != 2 {
		t.Errorf("%d syncs, want the running one and one for all who came meanwhile", syncs)
	}
}

func TestAFailedSyncFailsAllWhomItServes(t *testing.T) {
	broken := errors.New("medium broken")
	f := folders{fsync: func(string) error { return broken }}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if err := f.sync("folder"); !errors.Is(err, broken) {
				t.Errorf("sync: %v", err)
			}
		})
	}
	group.Wait()
}

// watched is a store that tells which of its folders were synced.
func watched(t *testing.T) (d *Dir, synced func() []string) {
	t.Helper()
	d, err := NewDir(t.TempDir(), t.TempDir(), KindOpen)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var folders []string
	d.folders.fsync = func(folder string) error {
		mu.Lock()
		defer mu.Unlock()
		name, err := filepath.Rel(d.root, folder)
		folders = append(folders, name)
		return err
	}
	return d, func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := slices.Clone(folders)
		folders = nil
		return got
	}
}

func TestWhatIsSyncedBeforeAnAnswer(t *testing.T) {
	d, synced := watched(t)
	ctx := t.Context()
	expect := func(what string, err, wantErr error, want ...string) {
		t.Helper()
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, want %v", what, err, wantErr)
		}
		if got := synced(); !slices.Equal(got, want) {
			t.Errorf("%s syncs %q, want %q", what, got, want)
		}
	}
	object := func(key string) Object { return Object{Key: key, Data: []byte("x")} }

	expect("the first object", d.Create(ctx, object("o/commit/0")), nil, "..", ".", "o", "o/commit")
	expect("the second object", d.Create(ctx, object("o/commit/1")), nil, "o/commit")
	expect("an object that is there", d.Create(ctx, object("o/commit/1")), ErrExists, "o/commit")
	version, err := d.Replace(ctx, "o/checkpoint", []byte("1"), "")
	expect("a first checkpoint", err, nil, "o")
	_, err = d.Replace(ctx, "o/checkpoint", []byte("2"), version)
	expect("a replacement", err, nil, "o")
	_, err = d.Replace(ctx, "o/checkpoint", []byte("3"), version)
	expect("a refused replacement", err, ErrMismatch)
	expect("a deletion", d.Delete(ctx, "o/commit/1"), nil, "o/commit")
	expect("a deletion of nothing", d.Delete(ctx, "o/commit/1"), nil, "o/commit")
	expect("a group", CreateAll(ctx, d, []Object{object("o/commit/2"), object("o/commit/3"), object("o/commit/4")}), nil, "o/commit")
	expect("a group that is there", CreateAll(ctx, d, []Object{object("o/commit/2")}), nil, "o/commit")

	// Another process does not trust the folders it finds.
	later, err := NewDir(d.root, d.temp, KindOpen)
	if err != nil {
		t.Fatal(err)
	}
	later.folders.fsync = d.folders.fsync
	expect("an object that a killed process left", later.Create(ctx, object("o/commit/2")), ErrExists, "..", ".", "o", "o/commit")

	d.folders.fsync = func(string) error { return errors.New("medium broken") }
	for what, err := range map[string]error{
		"Create":           d.Create(ctx, object("o/commit/7")),
		"Create of a twin": d.Create(ctx, object("o/commit/0")),
		"CreateAll":        CreateAll(ctx, d, []Object{object("o/commit/8")}),
		"Delete":           d.Delete(ctx, "o/commit/0"),
	} {
		if err == nil || errors.Is(err, ErrExists) {
			t.Errorf("%s with a broken medium: %v", what, err)
		}
	}
}

func TestFoldersThatAreKnownAreBounded(t *testing.T) {
	d, _ := watched(t)
	d.folders.durable = make(map[string]struct{})
	for i := range maxDurable {
		d.folders.durable[string(rune(i))] = struct{}{}
	}
	if err := d.Create(t.Context(), Object{Key: "o/x"}); err != nil {
		t.Fatal(err)
	}
	if n := len(d.folders.durable); n > 2 {
		t.Errorf("%d folders are known, want those of the last object", n)
	}
}
