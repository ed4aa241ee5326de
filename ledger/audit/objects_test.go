package audit_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
)

func TestDir(t *testing.T) {
	root := t.TempDir()
	ctx := context.Background()
	d := audit.Dir(root)
	for _, name := range []string{"a/b/c", "a/d", "e"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("d", filepath.Join(root, "a", "link")); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for o, err := range d.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		found[o.Key] = o.Irregular
	}
	if len(found) != 4 || found["a/link"] == "" || found["a/b/c"] != "" {
		t.Fatalf("listed %q", found)
	}
	for o := range d.List(ctx, "a/b") {
		if o.Key != "a/b/c" {
			t.Fatalf("listed %q", o.Key)
		}
	}
	for o, err := range d.List(ctx, "nothing") {
		t.Fatalf("listed %q, %v", o.Key, err)
	}
	if data, err := d.Read(ctx, "a/b/c", make([]byte, 0, 2), 5); err != nil || string(data) != "a/b/c" {
		t.Fatalf("read %q, %v", data, err)
	}
	if _, err := d.Read(ctx, "a/b/c", nil, 4); err == nil {
		t.Fatal("a file beyond the limit was read")
	}
	if _, err := d.Read(ctx, "nothing", nil, 9); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, bad := range []string{"a/link", "a", "../x", "/e", ""} {
		if data, err := d.Read(ctx, bad, nil, 9); err == nil {
			t.Errorf("%q was read as %q", bad, data)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Read(canceled, "e", nil, 9); err == nil {
		t.Fatal("read after the end")
	}
	for _, err := range d.List(canceled, "") {
		if err == nil {
			t.Fatal("listed after the end")
		}
	}
}

// What is no file is a failure, and nothing waits for it.
func TestAuditOfWhatIsNoFile(t *testing.T) {
	c := newCell(t)
	c.session(300)
	name := "open/test/eu/events/0/tile/0/000"
	data := c.read(name)
	for kind, make := range irregular {
		c.write(name, nil)
		if err := make(filepath.Join(c.path(), name)); err != nil {
			t.Fatal(err)
		}
		if r := c.audit(audit.Options{}); r.Result != ledger.ResultFailed || !names(r, name) {
			t.Errorf("%s: %s %+v", kind, r.Result, r.Findings)
		}
	}
	c.write(name, data)
	requireVerified(t, c.audit(audit.Options{}))
}

func TestAuditEndsWithItsContext(t *testing.T) {
	c := newCell(t)
	c.session(300)
	ctx, cancel := context.WithCancel(context.Background())
	cell := audit.Cell{Locked: audit.Dir(filepath.Join(c.path(), "locked")), Open: audit.Dir(filepath.Join(c.path(), "open"))}
	opts := audit.Options{Policies: []ledger.Policy{c.policy(controlOrigin)}, Progress: func(audit.Progress) { cancel() }}
	if r, err := audit.Audit(ctx, cell, opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", r, err)
	}
}
