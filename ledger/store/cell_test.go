package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"domicile.dev/domicile/ledger/store"
)

// initCell makes a cell below a new data directory.
func initCell(t *testing.T) (cell, temp string) {
	t.Helper()
	data := t.TempDir()
	cell, temp = filepath.Join(data, "cells", "eu"), filepath.Join(data, "run", "tmp")
	if err := store.MakeDir(temp); err != nil {
		t.Fatal(err)
	}
	if err := store.InitDir(cell, temp, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return cell, temp
}

func openCell(t *testing.T, cell, temp string) *store.Cell {
	t.Helper()
	c, err := store.OpenCell(cell, temp)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func storeID(t *testing.T, s store.Store) string {
	t.Helper()
	id, err := s.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// snapshot is every path of a tree with mode and content.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", strings.TrimPrefix(path, root), info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", content)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInitMakesACellOnce(t *testing.T) {
	cell, temp := initCell(t)
	before := snapshot(t, cell)
	if err := store.InitDir(cell, temp, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, cell); after != before {
		t.Errorf("a second init changed the cell:\n%s\nbefore:\n%s", after, before)
	}
	c := openCell(t, cell, temp)
	id := storeID(t, c.Locked)
	if !regexp.MustCompile(`^dir:[0-9a-f]{32}:[0-9]+$`).MatchString(id) {
		t.Errorf("store id %q", id)
	}
	if other := storeID(t, c.Open); other != id {
		t.Errorf("the open store has the id %q, the locked one %q", other, id)
	}
	for name, want := range map[string]fs.FileMode{"keys": 0o700, "keys/kek.json": 0o600} {
		stat, err := os.Stat(filepath.Join(cell, name))
		if err != nil || stat.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %04o", name, stat.Mode(), err, want)
		}
	}
}

func TestInitCompletesAnInterruptedOne(t *testing.T) {
	for _, missing := range []string{"locked", "open", "quarantine", "keys", "store-id"} {
		t.Run(missing, func(t *testing.T) {
			cell, temp := initCell(t)
			kept := snapshot(t, filepath.Join(cell, "keys"))
			if err := os.RemoveAll(filepath.Join(cell, missing)); err != nil {
				t.Fatal(err)
			}
			if missing == "store-id" {
				if _, err := store.OpenCell(cell, temp); err == nil || !strings.Contains(err.Error(), "init") {
					t.Errorf("opening a cell whose init was interrupted: %v", err)
				}
			}
			if err := store.InitDir(cell, temp, rand.Reader); err != nil {
				t.Fatal(err)
			}
			openCell(t, cell, temp)
			if missing != "keys" && snapshot(t, filepath.Join(cell, "keys")) != kept {
				t.Errorf("the key store changed")
			}
		})
	}
	t.Run("no randomness", func(t *testing.T) {
		data := t.TempDir()
		if err := store.InitDir(filepath.Join(data, "eu"), data, iotest.ErrReader(errors.New("dry"))); err == nil {
			t.Error("a store id was made of nothing")
		}
	})
}

func TestInitDoesNotReplaceALostKey(t *testing.T) {
	cell, temp := initCell(t)
	if _, err := openCell(t, cell, temp).Keys.Secret(t.Context(), "pseudonyms", 32); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cell, "keys", "kek.json")); err != nil {
		t.Fatal(err)
	}
	err := store.InitDir(cell, temp, rand.Reader)
	if err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("init with wrapped keys and without the key that wrapped them: %v", err)
	}
}

func TestAMovedStoreKeepsItsIDAndACopyDoesNot(t *testing.T) {
	cell, temp := initCell(t)
	id := storeID(t, openCell(t, cell, temp).Locked)

	moved := filepath.Join(filepath.Dir(cell), "moved")
	if err := os.Rename(cell, moved); err != nil {
		t.Fatal(err)
	}
	if got := storeID(t, openCell(t, moved, temp).Locked); got != id {
		t.Errorf("moved: %s, was %s", got, id)
	}
	copied := filepath.Join(filepath.Dir(cell), "copied")
	if err := os.CopyFS(copied, os.DirFS(moved)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(copied, "keys", "kek.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := storeID(t, openCell(t, copied, temp).Locked)
	if got == id {
		t.Errorf("the copy has the same id: %s", got)
	}
	if random := strings.Split(id, ":")[1]; !strings.Contains(got, random) {
		t.Errorf("the copy %s does not show where it comes from: %s", got, id)
	}
}

func TestADamagedStoreIDIsRefused(t *testing.T) {
	cell, temp := initCell(t)
	path := filepath.Join(cell, "store-id")
	for _, text := range []string{"", "\n", "00", strings.Repeat("0", 31), strings.Repeat("A", 32), strings.Repeat("g", 32), strings.Repeat("0", 32) + "\n\n", strings.Repeat("0", 33)} {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(text), 0o444)); err != nil {
			t.Fatal(err)
		}
		if id, err := openCell(t, cell, temp).Locked.ID(t.Context()); err == nil {
			t.Errorf("store-id %q gives %s", text, id)
		}
	}
}

func TestOpenCellForReadingWritesNothing(t *testing.T) {
	cell, temp := initCell(t)
	c := openCell(t, cell, temp)
	if err := c.Locked.Create(t.Context(), store.Object{Key: "o/commit/0", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, cell)
	readOnly := openCell(t, cell, "")
	if data, _, err := readOnly.Locked.Get(t.Context(), "o/commit/0"); err != nil || !bytes.Equal(data, []byte("x")) {
		t.Errorf("Get: %q, %v", data, err)
	}
	if _, err := readOnly.Keys.Secret(t.Context(), "new", 16); err == nil {
		t.Errorf("a secret was made in a store opened for reading only")
	}
	if after := snapshot(t, cell); after != before {
		t.Errorf("reading changed the cell")
	}
}

func TestTheDataDirectoryHasOneHolder(t *testing.T) {
	data := t.TempDir()
	lock, err := store.LockDir(data)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.LockDir(data)
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("second holder: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err = store.LockDir(data)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	lock.Close()
	if _, err := store.LockDir(filepath.Join(data, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("locking what is not there: %v", err)
	}
}

func TestAKilledHolderFreesTheDataDirectory(t *testing.T) {
	data := t.TempDir()
	child, out := startChild(t, "lock", data)
	awaitLine(t, out, "locked")
	_, err := store.LockDir(data)
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", child.Process.Pid)) {
		t.Errorf("while the child holds it: %v", err)
	}
	killChild(t, child)
	left := filepath.Join(data, "run", "tmp", "domicile-new-0123456789abcdef-1")
	other := filepath.Join(data, "run", "tmp", "somebody's")
	if err := errors.Join(os.WriteFile(left, nil, 0o444), os.WriteFile(other, nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	lock, err := store.LockDir(data)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	defer lock.Close()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file of the killed process is left: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is not the store's was removed: %v", err)
	}
}

// A writer stopped in the middle of a replacement blocks others only until
// their context ends, and nothing is swapped behind its back.
func TestReplaceWaitsForAnotherProcessAndForItsContext(t *testing.T) {
	d := newDir(t, store.KindOpen)
	version, err := d.Replace(t.Context(), "o/checkpoint", []byte("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(filepath.Join(d.Root(), "o"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() {
		_, err := d.Replace(ctx, "o/checkpoint", []byte("2"), version)
		result <- err
	}()
	tired := errors.New("tired of waiting")
	cancel(tired)
	if err := <-result; !errors.Is(err, tired) && !errors.Is(err, context.Canceled) {
		t.Errorf("Replace while the folder is locked: %v", err)
	}
	if data, _, _ := d.Get(t.Context(), "o/checkpoint"); string(data) != "1" {
		t.Errorf("the checkpoint was replaced under another's lock: %q", data)
	}
	folder.Close()
	if _, err := d.Replace(t.Context(), "o/checkpoint", []byte("2"), version); err != nil {
		t.Errorf("Replace after the lock is free: %v", err)
	}
}

func killChild(t *testing.T, child *exec.Cmd) {
	t.Helper()
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	child.Wait()
}
