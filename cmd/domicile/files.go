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
func (g *global) relative(path string) string {
	if rel, err := filepath.Rel(g.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// absolute puts the command's folder before paths, if it is not that of this process; otherwise messages name files as
// they were typed.
func (g *global) absolute(paths []string) []string {
	if g.served == nil {
		return paths
	}
	list := make([]string, len(paths))
	for i, path := range paths {
		if list[i] = path; path != "-" && !filepath.IsAbs(path) {
			list[i] = filepath.Join(g.dir, path)
		}
	}
	return list
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// columns is the width of a terminal, 0 for what is none.
func columns(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
