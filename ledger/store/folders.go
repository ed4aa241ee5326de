package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// folders makes the folders of a directory store and syncs them.
//
// A name is durable when the folder that holds it was synced after the name was
// made, and that folder's own name in turn, up to the root. Syncs of one folder
// are shared: whoever has made its name before a sync begins is served by it.
type folders struct {
	root  string
	mode  fs.FileMode
	fsync func(folder string) error // syncFolder, except in tests that watch it

	mu      sync.Mutex
	durable map[string]struct{}    // folders whose own names are durable all the way up
	syncing map[string]*folderSync // folders that somebody is syncing or waiting to sync
}

// maxDurable bounds the memory that durable takes. Partial tiles have a folder
// each, so a long-lived process makes many; forgetting costs one sync each.
const maxDurable = 1 << 14

// ensure makes the folder, with those above it up to the root, unless this
// process has made or checked it before. On nil its name is durable: that it is
// there proves nothing, since whoever made it may have been killed before the
// sync of the folder above.
func (f *folders) ensure(folder string) error {
	f.mu.Lock()
	_, known := f.durable[folder]
	f.mu.Unlock()
	if known {
		return nil
	}
	if folder != f.root {
		if err := f.ensure(filepath.Dir(folder)); err != nil {
			return err
		}
		if err := os.Mkdir(folder, f.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if stat, err := os.Stat(folder); err != nil {
		return err
	} else if !stat.IsDir() {
		return fmt.Errorf("%s is not a folder: one key is a folder of another", folder)
	}
	if err := f.sync(filepath.Dir(folder)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.durable == nil || len(f.durable) >= maxDurable {
		f.durable = make(map[string]struct{})
	}
	f.durable[folder] = struct{}{}
	return nil
}

// forget drops what is known about folders: one of them is not there any more.
func (f *folders) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable = nil
}

// A folderSync is the turn-taking of those who want one folder synced.
type folderSync struct {
	turn    sync.Mutex // held by the sync that is running
	next    *syncRound // the one that newcomers join; nil if it has begun
	waiting int        // calls of sync that have not returned; guarded by folders.mu
}

// A syncRound is one fsync and everybody whom it serves.
type syncRound struct {
	run sync.Once
	err error
}

// sync makes durable every name that was made in the folder before the call.
func (f *folders) sync(folder string) error {
	f.mu.Lock()
	s := f.syncing[folder]
	if s == nil {
		s = new(folderSync)
		if f.syncing == nil {
			f.syncing = make(map[string]*folderSync)
		}
		f.syncing[folder] = s
	}
	if s.next == nil {
		s.next = new(syncRound)
	}
	round := s.next
	s.waiting++
	f.mu.Unlock()

	// The first of the round runs it, after the one before; the others wait.
	round.run.Do(func() {
		s.turn.Lock()
		defer s.turn.Unlock()
		f.mu.Lock()
		s.next = nil // whoever comes from now on may be too late for this sync
		f.mu.Unlock()
		round.err = f.fsync(folder)
	})

	f.mu.Lock()
	defer f.mu.Unlock()
	s.waiting--
	if s.waiting == 0 {
		delete(f.syncing, folder)
	}
	return round.err
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		file.Close()
		return fmt.Errorf("syncing the folder %s: %w", folder, err)
	}
	return file.Close()
}
