package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
//	data/            a data directory with the cell eu: 300 events, written by the real writer
//	eu.policy        of its control log; eu-events.policy of its events log
//
//	receipt.json     of an access that its control log records; answer.json is an answer with it, later.json one of an
//	                 entry that is not there yet, renumbered.json and other-hash.json ones that were changed
//
// URL is where the open store of its events log is served, with a role where the request has the token "secret";
// CONTROL_URL the same for its control log, SERVER_URL a server with that log below /logs.
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

			eu, euEvents, receipt := writeCell(t, env.WorkDir)
			write("eu.policy", eu.Append(nil))
			write("eu-events.policy", euEvents.Append(nil))
			write("token", []byte("secret\n"))
			write("receipt.json", receipt.Append(nil))
			write("answer.json", fmt.Appendf(nil, `{"events":[],"cells":[{"jurisdiction":"eu","receipt":%s},{"jurisdiction":"us","receipt":null}]}`, receipt.Append(nil)))
			receipt.Seq++
			write("renumbered.json", receipt.Append(nil))
			receipt.Seq--
			receipt.Hash[0] ^= 1
			write("other-hash.json", receipt.Append(nil))
			receipt.Hash[0] ^= 1
			receipt.Index += 1000
			write("later.json", receipt.Append(nil))
			home := filepath.Join(env.WorkDir, "data", "cells", "eu")
			server := httptest.NewServer(serveLog(home, "test/eu/events/0"))
			env.Defer(server.Close)
			env.Setenv("URL", server.URL)
			control := serveLog(home, "test/eu/control")
			mux := http.NewServeMux()
			mux.Handle("/logs/eu/control/", http.StripPrefix("/logs/eu/control", control))
			for name, handler := range map[string]http.Handler{"CONTROL_URL": control, "SERVER_URL": mux} {
				server := httptest.NewServer(handler)
				env.Defer(server.Close)
				env.Setenv(name, server.URL)
			}
			return nil
		},
	})
}

// serveLog serves one log: checkpoint and tiles of hashes to everybody, the rest to whoever has the token.
func serveLog(cell, origin string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := r.URL.Path == "/checkpoint" || strings.HasPrefix(r.URL.Path, "/tile/") && !strings.HasPrefix(r.URL.Path, "/tile/entries/")
		if !public && r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "a role is needed", http.StatusForbidden)
			return
		}
		for _, s := range []string{"open", "locked"} {
			if data, err := os.ReadFile(filepath.Join(cell, s, filepath.FromSlash(origin), filepath.FromSlash(r.URL.Path))); err == nil {
				_, _ = w.Write(data)
				return
			}
		}
		http.NotFound(w, r)
	})
}
