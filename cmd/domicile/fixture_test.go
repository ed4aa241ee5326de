package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/ledger"
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
		switch {
		case head.FileInfo().IsDir():
			err = os.Mkdir(path, head.FileInfo().Mode().Perm())
		case head.Typeflag == tar.TypeSymlink && filepath.IsLocal(filepath.Join(filepath.Dir(head.Name), head.Linkname)):
			err = os.Symlink(head.Linkname, path)
		default:
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

// policiesOf is how many policies a cell of each archive has once this version has read in it.
var policiesOf = map[string]int{"first.tar.gz": 2, "searched.tar.gz": 1}

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
			w.readsThroughGateway("eu", policiesOf[filepath.Base(archive)])
			t.Run("searched", func(t *testing.T) {
				env := searching(t)
				out, err := w.domicile(env, "index", "audit")
				if err != nil || strings.Count(out, "every row is what the ledger says") != 2 {
					t.Errorf("index audit: %v\n%s", err, out)
				}
				if out, err = w.domicile(env, "stats", "--json"); err != nil || !strings.Contains(out, fmt.Sprintf(`"count":%d}`, len(after))) {
					t.Errorf("stats: %v\n%s", err, out)
				}
			})
		})
	}
}

// readsThroughGateway makes sure that the newest access in a cell's control log is the gateway's, intent and report, under
// a policy that declares it, if need be one that superseded that of an earlier version.
func (w *world) readsThroughGateway(jurisdiction string, want int) {
	w.t.Helper()
	ctx := context.Background()
	d, err := dataFlag{Data: w.data}.open()
	if err != nil {
		w.t.Fatal(err)
	}
	defer d.lock.Close()
	row, _ := d.config.Find(jurisdiction)
	c, err := d.readCell(row)
	if err != nil {
		w.t.Fatal(err)
	}
	control, err := c.reader(ctx, c.controlOrigin())
	if err != nil {
		w.t.Fatal(err)
	}
	head, err := control.Head(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var policies int
	var last *ledger.AccessEntry
	for seq := range head.Seq + 1 {
		commit, err := control.Commit(ctx, seq)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, raw := range commit.Leaves {
			entry, err := ledger.ParseEntry(raw)
			if err != nil {
				w.t.Fatal(err)
			}
			switch e := entry.(type) {
			case *ledger.PolicyEntry:
				policies++
			case *ledger.AccessEntry:
				if e.Op == ledger.OpProof {
					last = e
				}
			}
		}
	}
	if policies != want {
		w.t.Errorf("%d policies, want %d: the first, and one where a version added components", policies, want)
	}
	if last == nil || last.Emitter != gatewayComponent.id || last.Phase != ledger.AccessDone || *last.Records != 1 || last.Set == nil {
		w.t.Errorf("the proof was logged as %+v", last)
	}
}
