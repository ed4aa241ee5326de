package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files in the repository are the ones that the program writes. Compressed ones are compared by their content,
// because another release of Go may compress in another way.
func TestCommittedExamplesAreWhatTheProgramWrites(t *testing.T) {
	want := map[string][]byte{}
	for _, f := range files() {
		if _, twice := want[f.path]; twice {
			t.Errorf("%s is written twice", f.path)
		}
		want[f.path] = plain(t, f.bytes)
	}
	total := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		if name == "README.md" || strings.HasPrefix(name, "generate/") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		total += len(b)
		switch w, ok := want[name]; {
		case !ok:
			t.Errorf("%s is not written by the program", name)
		case !bytes.Equal(plain(t, b), w):
			t.Errorf("%s differs: run go run ./examples/generate and look at the difference", name)
		}
		delete(want, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	if total > 1<<20 {
		t.Errorf("the examples take %d bytes, want less than a MiB", total)
	}
}

func plain(t *testing.T, b []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
