package main

import (
	"os"
	"path/filepath"

	"golang.org/x/term"
)

// writeFileDurably replaces a file as a whole: under another name first, in the data directory's own place for that.
func writeFileDurably(d *dataDir, path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(d.lock.Temp(), "file-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// relative shortens a path for people, where it lies below the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
