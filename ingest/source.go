package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one delivery of records: a file, or standard input. Whether it is compressed is decided by its content
// when it is read.
type Source struct {
	ID   string // "file:<16 hex digits>" or "stdin": what control entries say. It holds no path
	Name string // what people are shown
	Size int64  // bytes as stored; -1 when nobody knows
	// Open begins to read. The reader may be left behind blocked when ctx ends, as on a terminal.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Skipped is a file that a folder held and that is not read, with the reason in words.
type Skipped struct {
	Name   string
	Reason string
}

// Sources is what a list of paths stands for, in a stable order: arguments as given, folders by name.
type Sources struct {
	Files   []Source
	Skipped []Skipped
	Size    int64 // of the files whose size is known, in bytes: the scale of a progress bar
}

// FindSources lists files and walks folders; "-" is stdin. It does not fail: a path that cannot be read becomes a
// source that says so when it is opened, so that it is named beside the results of all the others.
//
// A file that is named is read. In folders, what cannot be a log is skipped and listed: hidden files and folders,
// links to folders, devices, empty files, and names whose ending says something else (see logEndings).
func FindSources(paths []string, stdin io.Reader) Sources {
	f := finder{seen: map[string]bool{}}
	for _, path := range paths {
		if path == "-" {
			f.stdin(stdin)
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			f.broken(path, err)
		case info.IsDir():
			f.folder(path)
		default:
			f.file(path, info)
		}
	}
	return f.Sources
}

type finder struct {
	Sources
	seen map[string]bool // absolute paths
}

func (f *finder) stdin(r io.Reader) {
	if f.seen["-"] {
		f.skip("-", "named twice")
		return
	}
	f.seen["-"] = true
	f.Files = append(f.Files, Source{ID: "stdin", Name: "-", Size: -1, Open: func(ctx context.Context) (io.ReadCloser, error) {
		if r == nil {
			return nil, errors.New("there is no standard input")
		}
		return newInterruptible(ctx, r), nil
	}})
}

func (f *finder) file(path string, info fs.FileInfo) {
	if !f.first(path) {
		return
	}
	size := info.Size()
	if !info.Mode().IsRegular() { // a pipe that the user named
		size = -1
	}
	f.Size += max(size, 0)
	f.Files = append(f.Files, Source{ID: sourceID(path), Name: path, Size: size, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return os.Open(path)
	}})
}

func (f *finder) broken(path string, err error) {
	if f.first(path) {
		f.Files = append(f.Files, Source{ID: sourceID(path), Name: path, Size: -1, Open: func(ctx context.Context) (io.ReadCloser, error) {
			return nil, err
		}})
	}
}

// first says whether a path is new, and lists it as skipped if not: a file that lies in a folder that is named as
// well must not be counted twice.
func (f *finder) first(path string) bool {
	abs := absolute(path)
	if f.seen[abs] {
		f.skip(path, "named twice")
		return false
	}
	f.seen[abs] = true
	return true
}

func (f *finder) skip(name, reason string) {
	f.Skipped = append(f.Skipped, Skipped{Name: name, Reason: reason})
}

// folder walks in the byte order of names. An unreadable folder is a broken source, not the end of the walk.
func (f *finder) folder(root string) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			f.broken(path, err)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		hidden := path != root && strings.HasPrefix(d.Name(), ".")
		if d.IsDir() {
			if hidden {
				f.skip(path, "hidden folder")
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path) // through a link
		switch {
		case hidden:
			f.skip(path, "hidden")
		case err != nil:
			f.broken(path, err)
		case info.IsDir():
			f.skip(path, "link to a folder")
		case !info.Mode().IsRegular():
			f.skip(path, "not a regular file")
		case !logEnding(d.Name()):
			f.skip(path, "its name does not end like a log's; name the file itself to have it read")
		case info.Size() == 0:
			f.skip(path, "empty")
		default:
			f.file(path, info)
		}
		return nil
	})
	if err != nil {
		f.broken(root, err)
	}
}

// logEndings are the names under which the providers deliver, and people keep, audit logs. A name without an ending is
// read as well (S3 and Pub/Sub exports have such), and so is one that log rotation numbered.
var logEndings = []string{".json", ".jsonl", ".ndjson", ".log", ".txt", ".gz"}

func logEnding(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == "" || slices.Contains(logEndings, ext) || strings.Trim(ext, ".0123456789") == ""
}

// sourceID names a file in control entries: they may be read by others, and a path can hold a name.
func sourceID(path string) string {
	h := sha256.Sum256([]byte(absolute(path)))
	return "file:" + hex.EncodeToString(h[:8])
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// SourceError is what kept a source from being read to its end. What was read before it is ingested.
type SourceError struct {
	Source string // its name
	Err    error
}

func (e *SourceError) Error() string { return fmt.Sprintf("%s: %v", e.Source, e.Err) }
func (e *SourceError) Unwrap() error { return e.Err }
