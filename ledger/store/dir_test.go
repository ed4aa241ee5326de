package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
)

func newDir(t testing.TB, kind store.Kind) *store.Dir {
	t.Helper()
	root, temp := t.TempDir(), t.TempDir()
	d, err := store.NewDir(root, temp, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(temp)
		if err != nil || len(left) != 0 {
			t.Errorf("%d temporary files are left (%v)", len(left), err)
		}
	})
	return d
}

func TestOpenDirKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return newDir(t, store.KindOpen) })
}

func TestLockedDirKeepsTheContract(t *testing.T) {
	storetest.RunLocked(t, func(t *testing.T) store.Store { return newDir(t, store.KindLocked) })
}

func TestFaultyWithoutHookKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.NewFaulty(newDir(t, store.KindOpen)) })
}

// Two stores on one folder, as two processes have them, with temporary folders
// of their own: the race tests of the contract must hold between them as well.
func TestTwoDirsOnOneFolderKeepTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		first := newDir(t, store.KindOpen)
		second, err := store.NewDir(first.Root(), t.TempDir(), store.KindOpen)
		if err != nil {
			t.Fatal(err)
		}
		return &alternating{Store: first, second: second}
	})
}

func TestFilesHaveTheModesOfTheirStore(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	for kind, want := range map[store.Kind]os.FileMode{store.KindLocked: 0o444, store.KindOpen: 0o644} {
		d := newDir(t, kind)
		if err := d.Create(t.Context(), store.Object{Key: "a/b", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		stat, err := os.Stat(filepath.Join(d.Root(), "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		if got := stat.Mode().Perm(); got != want {
			t.Errorf("kind %v: mode %04o, want %04o", kind, got, want)
		}
		if links := stat.Sys().(*syscall.Stat_t).Nlink; links != 1 {
			t.Errorf("kind %v: %d names, want 1", kind, links)
		}
	}
}

func TestReadOnlyDirReadsAndRefusesToWrite(t *testing.T) {
	d := newDir(t, store.KindOpen)
	if err := d.Create(t.Context(), store.Object{Key: "a/b", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	readOnly, err := store.NewDir(d.Root(), "", store.KindOpen)
	if err != nil {
		t.Fatal(err)
	}
	if data, _, err := readOnly.Get(t.Context(), "a/b"); err != nil || string(data) != "x" {
		t.Errorf("Get: %q, %v", data, err)
	}
	_, replaceErr := readOnly.Replace(t.Context(), "a/b", nil, "")
	for name, err := range map[string]error{
		"Create":  readOnly.Create(t.Context(), store.Object{Key: "a/c"}),
		"Replace": replaceErr,
		"Delete":  readOnly.Delete(t.Context(), "a/b"),
	} {
		if err == nil || !strings.Contains(err.Error(), "reading only") {
			t.Errorf("%s in a store opened for reading only: %v", name, err)
		}
	}
}

// What somebody put into the folder is listed, whatever it is, and reading it
// neither hangs nor leads out of the store.
func TestStrangersAreListedAndNotFollowed(t *testing.T) {
	d := newDir(t, store.KindOpen)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(d.Root(), name) }
	for _, err := range []error{
		os.Symlink(outside, in("link")),
		os.Symlink(filepath.Dir(outside), in("linked-folder")),
		os.Symlink("nowhere", in("dangling")),
		syscall.Mkfifo(in("pipe"), 0o644),
		os.WriteFile(in("new\nline"), []byte("x"), 0o644),
		os.WriteFile(in("plain"), []byte("x"), 0o644),
		os.Mkdir(in("empty"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var listed []string
	for info, err := range d.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, info.Key)
	}
	if got, want := fmt.Sprintf("%q", listed), `["dangling" "link" "linked-folder" "new\nline" "pipe" "plain"]`; got != want {
		t.Errorf("List: %s, want %s", got, want)
	}
	for _, key := range []string{"link", "linked-folder", "dangling", "pipe"} {
		data, _, err := d.Get(t.Context(), key)
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%q): %q, %v, want an error that is not ErrNotFound", key, data, err)
		}
		if _, err := d.Head(t.Context(), key); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Head(%q): %v, want an error that is not ErrNotFound", key, err)
		}
		if err := d.Create(t.Context(), store.Object{Key: key}); err == nil || errors.Is(err, store.ErrExists) {
			t.Errorf("Create(%q): %v, want an error that is not ErrExists", key, err)
		}
	}
	if err := d.Create(t.Context(), store.Object{Key: "empty"}); err == nil || errors.Is(err, store.ErrExists) {
		t.Errorf("Create in the place of a folder: %v, want an error that is not ErrExists", err)
	}
}

func TestHugeFileIsRefusedAndNotRead(t *testing.T) {
	d := newDir(t, store.KindOpen)
	path := filepath.Join(d.Root(), "huge")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip("no sparse files here:", err)
	}
	if _, _, err := d.Get(t.Context(), "huge"); err == nil {
		t.Error("Get of a file of 1 TiB succeeded")
	}
}

// A derived store may be emptied under a running process.
func TestCreateAfterItsFoldersWereRemoved(t *testing.T) {
	d := newDir(t, store.KindOpen)
	for range 2 {
		if err := d.Create(t.Context(), store.Object{Key: "o/tile/0/000", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(d.Root(), "o")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTemporaryFolderOnAnotherFileSystemIsExplained(t *testing.T) {
	const other = "/dev/shm"
	here, err1 := os.Stat(t.TempDir())
	there, err2 := os.Stat(other)
	if err1 != nil || err2 != nil || here.Sys().(*syscall.Stat_t).Dev == there.Sys().(*syscall.Stat_t).Dev {
		t.Skip("no second file system at", other)
	}
	temp, err := os.MkdirTemp(other, "domicile-test-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(temp)
	d, err := store.NewDir(t.TempDir(), temp, store.KindOpen)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Create(t.Context(), store.Object{Key: "a"})
	if err == nil || !strings.Contains(err.Error(), "one file system") {
		t.Errorf("Create: %v", err)
	}
}

func TestFaultyFailsBeforeAndAfter(t *testing.T) {
	creates := func(op storetest.Op, key string) bool { return op == storetest.OpCreate }
	for _, test := range []struct {
		name    string
		outcome storetest.Outcome
		there   bool
	}{
		{"before", storetest.FailBefore, false},
		{"after", storetest.FailAfter, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDir(t, store.KindOpen)
			faulty := storetest.NewFaulty(d)
			faulty.SetHook(storetest.Nth(2, test.outcome, creates))
			for i, key := range []string{"first", "second", "third"} {
				err := faulty.Create(t.Context(), store.Object{Key: key})
				if failed := errors.Is(err, storetest.ErrFault); failed != (i == 1) {
					t.Errorf("%s: %v", key, err)
				}
			}
			_, err := d.Head(t.Context(), "second")
			if there := err == nil; there != test.there {
				t.Errorf("the object is there: %v, want %v (%v)", there, test.there, err)
			}
		})
	}
}
