package ingest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/ingest"
)

// tree writes files below a fresh folder, which has a space in its name.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "audit logs")
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func names(root string, s ingest.Sources) (files []string, skipped map[string]string) {
	skipped = map[string]string{}
	for _, f := range s.Files {
		rel, _ := filepath.Rel(root, f.Name)
		files = append(files, filepath.ToSlash(rel))
	}
	for _, f := range s.Skipped {
		rel, _ := filepath.Rel(root, f.Name)
		skipped[filepath.ToSlash(rel)] = f.Reason
	}
	return files, skipped
}

func TestFolderIsWalkedInAStableOrder(t *testing.T) {
	root := tree(t, map[string]string{
		"b/2.json": "x", "b/10.json.gz": "xy", "a/z.ndjson": "x", "a.log": "xyz", "plain": "x", "messages.1": "x", "UPPER.JSON": "x",
		"README.md": "no", "run.sh": "no", ".git/config": "no", "b/.hidden.json": "no", "b/empty.json": "",
	})
	if err := os.Symlink(filepath.Join(root, "b"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "nowhere"), filepath.Join(root, "dangling.json")); err != nil {
		t.Fatal(err)
	}
	s := ingest.FindSources([]string{root}, nil)
	files, skipped := names(root, s)
	want := []string{"UPPER.JSON", "a/z.ndjson", "a.log", "b/10.json.gz", "b/2.json", "dangling.json", "messages.1", "plain"}
	if !slices.Equal(files, want) {
		t.Errorf("got  %q\nwant %q", files, want)
	}
	for name, reason := range map[string]string{
		"README.md": "does not end like a log", "run.sh": "does not end like a log", ".git": "hidden folder",
		"b/.hidden.json": "hidden", "b/empty.json": "empty", "link": "link to a folder",
	} {
		if !strings.Contains(skipped[name], reason) {
			t.Errorf("%s: skipped because %q, want %q", name, skipped[name], reason)
		}
	}
	if len(skipped) != 6 {
		t.Errorf("skipped %q", skipped)
	}
	if s.Size != 10 {
		t.Errorf("got a size of %d bytes, want 10", s.Size)
	}
}

func TestNamedFileIsReadWhateverItIsCalled(t *testing.T) {
	root := tree(t, map[string]string{".hidden": "x", "notes.md": "x"})
	s := ingest.FindSources([]string{filepath.Join(root, "notes.md"), filepath.Join(root, ".hidden")}, nil)
	if files, _ := names(root, s); !slices.Equal(files, []string{"notes.md", ".hidden"}) {
		t.Errorf("got %q", files)
	}
}

func TestFileNamedTwiceIsReadOnce(t *testing.T) {
	root := tree(t, map[string]string{"a.json": "x"})
	s := ingest.FindSources([]string{root, filepath.Join(root, "a.json"), filepath.Join(root, "..", filepath.Base(root)), "-", "-"}, strings.NewReader(""))
	if len(s.Files) != 2 || len(s.Skipped) != 3 {
		t.Errorf("got %d files and %d skipped, want a.json and standard input once, three named twice", len(s.Files), len(s.Skipped))
	}
}

func TestMissingPathIsASourceThatSaysSo(t *testing.T) {
	s := ingest.FindSources([]string{filepath.Join(t.TempDir(), "missing.json")}, nil)
	if len(s.Files) != 1 {
		t.Fatalf("got %d sources, want 1", len(s.Files))
	}
	if _, err := s.Files[0].Open(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}

func TestSourceIDHoldsNoPath(t *testing.T) {
	root := tree(t, map[string]string{"jane.doe.json": "x", "other.json": "x"})
	t.Chdir(root)
	absolute := ingest.FindSources([]string{root}, nil)
	relative := ingest.FindSources([]string{"jane.doe.json", "-"}, strings.NewReader(""))
	if !regexp.MustCompile(`^file:[0-9a-f]{16}$`).MatchString(absolute.Files[0].ID) {
		t.Errorf("got id %q", absolute.Files[0].ID)
	}
	if absolute.Files[0].ID == absolute.Files[1].ID {
		t.Error("two files have one id")
	}
	if absolute.Files[0].ID != relative.Files[0].ID {
		t.Error("the id of a file depends on how its path is written")
	}
	if relative.Files[1].ID != "stdin" {
		t.Errorf("got id %q for standard input", relative.Files[1].ID)
	}
}

func TestStandardInputIsReadToItsEnd(t *testing.T) {
	want := strings.Repeat("0123456789", 20_000)
	s := ingest.FindSources([]string{"-"}, strings.NewReader(want))
	r, err := s.Files[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestBlockedStandardInputEndsWithItsContext(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := ingest.FindSources([]string{"-"}, in).Files[0].Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = w.Write([]byte("one")) }()
	first := make([]byte, 10)
	if n, err := r.Read(first); err != nil || string(first[:n]) != "one" {
		t.Fatalf("got %q, %v", first[:n], err)
	}
	cancel() // nothing more is coming
	if _, err := r.Read(first); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
