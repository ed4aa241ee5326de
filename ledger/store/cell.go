package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The layout of a cell's folder. store-id stands beside locked/ and not in it,
// so that a listing of the locked store shows objects only.
const (
	lockedFolder     = "locked"
	openFolder       = "open"
	quarantineFolder = "quarantine"
	keysFolder       = "keys"
	idFile           = "store-id"
)

// A Cell is the four stores of one jurisdiction in a directory.
type Cell struct {
	Locked     *Dir // what is true, written once
	Open       *Dir // what is derived: checkpoint and tiles
	Quarantine *Dir // inputs that no log holds, written once, encrypted like payloads
	Keys       *LocalKeys
}

// InitDir makes the folder of a cell with its stores, its store id and its
// key-encryption key. It never overwrites: what is there stays, and what an
// interrupted run left out is added. On nil all of it is durable. Temporary
// files go to temp; random gives the 16 bytes of the store id.
func InitDir(cell, temp string, random io.Reader) error {
	for _, folder := range []string{lockedFolder, openFolder, quarantineFolder} {
		if err := makeDir(filepath.Join(cell, folder), kinds[KindLocked].folder); err != nil {
			return fmt.Errorf("making the cell's store: %w", err)
		}
	}
	keys := filepath.Join(cell, keysFolder)
	if err := makeDir(keys, kinds[kindKeys].folder); err != nil {
		return fmt.Errorf("making the cell's key store: %w", err)
	}
	if err := initKeys(keys, temp); err != nil {
		return err
	}
	// The id comes last: a cell that has one is complete.
	home, err := NewDir(cell, temp, KindLocked)
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(random, id); err != nil {
		return fmt.Errorf("making a store id: %w", err)
	}
	err = home.Create(context.Background(), Object{Key: idFile, Data: []byte(hex.EncodeToString(id) + "\n")})
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("making the store id: %w", err)
	}
	return nil
}

// OpenCell opens the stores that InitDir made. With temp "" they can only be
// read. It writes nothing.
func OpenCell(cell, temp string) (*Cell, error) {
	if _, err := os.Stat(filepath.Join(cell, idFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not the folder of a cell, or its init was interrupted (no %s): %w", cell, idFile, err)
		}
		return nil, err
	}
	c := new(Cell)
	for _, part := range []struct {
		dir    **Dir
		folder string
		kind   Kind
	}{
		{&c.Locked, lockedFolder, KindLocked},
		{&c.Open, openFolder, KindOpen},
		{&c.Quarantine, quarantineFolder, KindLocked},
	} {
		dir, err := NewDir(filepath.Join(cell, part.folder), temp, part.kind)
		if err != nil {
			return nil, err
		}
		dir.home = cell
		*part.dir = dir
	}
	keys, err := OpenKeys(filepath.Join(cell, keysFolder), temp)
	if err != nil {
		return nil, err
	}
	c.Keys = keys
	return c, nil
}

// ID implements Store: "dir:<32 hex>:<inode of locked/>". A folder that was
// moved within its file system keeps its inode and so its id; a copy has
// another, although it brings the random part along.
func (d *Dir) ID(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if d.home == "" {
		return "", fmt.Errorf("the folder %s is not part of a cell and has no store id", d.root)
	}
	text, err := os.ReadFile(filepath.Join(d.home, idFile))
	if err != nil {
		return "", fmt.Errorf("reading the store id: %w", err)
	}
	random := strings.TrimSuffix(string(text), "\n")
	if raw, err := hex.DecodeString(random); err != nil || len(raw) != 16 || random != hex.EncodeToString(raw) {
		return "", fmt.Errorf("reading the store id: %s does not hold 32 lower-case hex digits", filepath.Join(d.home, idFile))
	}
	stat, err := os.Stat(filepath.Join(d.home, lockedFolder))
	if err != nil {
		return "", fmt.Errorf("reading the store id: %w", err)
	}
	system, ok := stat.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("reading the store id: this system has no inodes")
	}
	return fmt.Sprintf("dir:%s:%d", random, system.Ino), nil
}

// MakeDir makes a folder and the missing ones above it, durably.
func MakeDir(path string) error { return makeDir(path, kinds[KindLocked].folder) }

func makeDir(path string, mode fs.FileMode) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// Only what is missing is synced, up to the first folder that is there:
	// the ones above it may be closed to us.
	there := path
	for {
		_, err := os.Stat(there)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || there == filepath.Dir(there) {
			return err
		}
		there = filepath.Dir(there)
	}
	made := folders{root: there, mode: mode, fsync: syncFolder}
	return made.ensure(path)
}
