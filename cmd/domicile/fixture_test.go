package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
)

// unpack restores a data directory from its archive, with the modes of its files.
func unpack(t *testing.T, archive string) (dir string) {
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	files := tar.NewReader(zip)
	for {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, strings.TrimSuffix(filepath.Base(archive), ".tar.gz"))
		}
		if err != nil || !filepath.IsLocal(head.Name) {
			t.Fatalf("%s: %s: %v", archive, head.Name, err)
		}
		path := filepath.Join(dir, head.Name)
		if head.FileInfo().IsDir() {
			err = os.Mkdir(path, head.FileInfo().Mode().Perm())
		} else {
			var data []byte
			if data, err = io.ReadAll(files); err == nil {
				err = os.WriteFile(path, data, head.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEarlierDataDirectories opens what earlier versions stored: it verifies, it is a copy until it is adopted, then it
// goes on, recognizes what it holds, and proves it.
func TestEarlierDataDirectories(t *testing.T) {
	verify := build(t, "domicile-verify")
	program := build(t, "domicile")
	archives, err := filepath.Glob("testdata/fixtures/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	examples := filepath.Join(need.Root(t), "examples")
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			w := &world{t: t, program: program, data: unpack(t, archive)}
			w.verify(verify, w.data)
			before := w.uids(w.data)
			feed := []string{"ingest", filepath.Join(examples, "gcp", "damaged"), filepath.Join(examples, "azure", "eventhubs", "insights-activity-logs", "0_westeurope.json")}
			if out, err := w.domicile(nil, feed...); err == nil || !strings.Contains(out, "domicile log adopt") {
				t.Fatalf("a restored copy was written to before it was adopted: %v\n%s", err, out)
			}
			w.must("log", "adopt", "--yes")
			if out := w.must(feed...); !strings.Contains(out, "0 committed") {
				t.Errorf("events that are there came again as new:\n%s", out)
			}
			w.must("ingest", filepath.Join(examples, "azure"))
			after := w.uids(w.data)
			for uid, place := range before {
				if after[uid] != place {
					t.Errorf("event %s was at %s and is at %q", uid, place, after[uid])
				}
			}
			w.verify(verify, w.data)
			bundle := filepath.Join(t.TempDir(), "proof.json")
			w.must("proof", "--log", "local/eu/events/0", "--index", "3", "-o", bundle)
			policy := filepath.Join(w.data, "trust", "eu", "control.policy")
			if out, err := exec.Command(verify, "event", bundle, "--policy", policy).CombinedOutput(); err != nil {
				t.Errorf("proof: %v\n%s", err, out)
			}
		})
	}
}
