package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"domicile-verify": main})
}

// TestScripts runs testdata/script/*.txtar in a folder with these files:
//
//	record.json      an event's whole record, anchored, its control checkpoint cosigned
//	view.json        a masked view of another
//	no-anchor.json   a record without an anchor
//	changed.json     record.json with another value in its record
//	hostile.json     a bundle whose leaf would write to the terminal
//	control.policy   of the control log, one witness asked for
//	events.policy    of the events log, no witness asked for
//	foreign.policy   of another cell's control log
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// status CODE PROGRAM ARG…: runs a program that must exit with this code.
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				err = ts.Exec(args[1], args[2:]...)
				got, exit := 0, (*exec.ExitError)(nil)
				if errors.As(err, &exit) {
					got = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if got != want {
					ts.Fatalf("exit code %d, want %d", got, want)
				}
			},
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			w := ledgertest.Witness(t, "witness.example/1")
			cell := ledgertest.NewCell(t, "eu", 20)
			write := func(name string, data []byte) {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			policy := func(origin string, witnesses ...*ledger.Cosigner) []byte {
				p := ledgertest.Policy(t, origin, witnesses...)
				return p.Append(nil)
			}
			write("control.policy", policy(cell.Control, w))
			write("events.policy", policy(cell.Origin))
			write("foreign.policy", policy("ledger.example/us/control"))

			b := cell.Bundle(t, 7, w)
			write("record.json", b.Append(nil))
			write("changed.json", bytes.Replace(b.Append(nil), []byte("GetObject"), []byte("PutObject"), 1))
			b.Leaf = []byte("\x1b[2J\u202e")
			write("hostile.json", b.Append(nil))
			b = cell.Bundle(t, 8)
			b.Anchor = nil
			write("no-anchor.json", b.Append(nil))
			b = cell.Bundle(t, 9, w)
			record, err := ledger.ParseRecord(b.Record)
			if err != nil {
				return err
			}
			shown := []string{"/class_uid", "/cloud/provider", "/cloud/region", "/metadata/uid", "/time"}
			b.View, b.Record = ledger.Mask(record, func(p string) bool { return slices.Contains(shown, p) }).Append(nil), nil
			write("view.json", b.Append(nil))
			return nil
		},
	})
}

// The tool that an auditor is asked to trust stays small: these modules and no others are in it.
func TestModules(t *testing.T) {
	allowed := []string{
		"domicile.dev/domicile",
		"github.com/alecthomas/kong",         // command line
		"github.com/klauspost/compress",      // zstd, for payloads
		"github.com/transparency-dev/merkle", // RFC 6962 arithmetic
		"golang.org/x/mod",                   // signed notes
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out)))))
	if !slices.Contains(modules, "golang.org/x/mod") {
		t.Fatalf("go list names no module that must be there: %q", modules)
	}
	for _, m := range modules {
		if !slices.Contains(allowed, m) {
			t.Errorf("module %s is in domicile-verify; is it worth an auditor's trust?", m)
		}
	}
}
