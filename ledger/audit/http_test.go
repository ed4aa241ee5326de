package audit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
)

// serve serves a log; keys that begin with one of the forbidden prefixes need a role that nobody has, and change may
// alter what is sent.
func serve(t *testing.T, c *cell, origin string, forbidden []string, change func(key string, data []byte) []byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.URL.Path, "/logs/x/")
		for _, f := range forbidden {
			if strings.HasPrefix(key, f) {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
		}
		for _, s := range []string{"open", "locked"} {
			if data, err := os.ReadFile(filepath.Join(c.path(), s, filepath.FromSlash(origin), filepath.FromSlash(key))); err == nil {
				if change != nil {
					data = change(key, data)
				}
				if data != nil {
					_, _ = w.Write(data)
					return
				}
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/logs/x/"
}

func TestAuditURL(t *testing.T) {
	c := newCell(t)
	c.session(300, 250, 70)
	locked := []string{"commit/", "payload/", "checkpoints/", "attachment/"}
	change := func(prefix string) func(string, []byte) []byte {
		return func(key string, data []byte) []byte {
			if strings.HasPrefix(key, prefix) {
				return flip(data, len(data)/2)
			}
			return data
		}
	}
	gone := func(name string) func(string, []byte) []byte {
		return func(key string, data []byte) []byte {
			if key == name {
				return nil
			}
			return data
		}
	}
	for _, tt := range []struct {
		name, origin string
		forbidden    []string
		change       func(string, []byte) []byte
		want         ledger.Result
	}{
		{"all", eventsOrigin, nil, nil, ledger.ResultVerified},
		{"control log", controlOrigin, nil, nil, ledger.ResultVerified},
		{"payloads forbidden", eventsOrigin, []string{"payload/"}, nil, ledger.ResultInconclusive},
		{"commits forbidden", eventsOrigin, locked, nil, ledger.ResultInconclusive},
		{"control log, commits forbidden", controlOrigin, locked, nil, ledger.ResultInconclusive},
		{"tiles only", eventsOrigin, append(locked, "tile/entries/"), nil, ledger.ResultInconclusive},
		{"checkpoint changed", eventsOrigin, locked, change("checkpoint"), ledger.ResultFailed},
		{"commit changed", eventsOrigin, nil, change("commit/00000000000000000001"), ledger.ResultFailed},
		{"commit gone", eventsOrigin, nil, gone("commit/00000000000000000002"), ledger.ResultFailed},
		{"newest commit gone", eventsOrigin, nil, gone("commit/00000000000000000003"), ledger.ResultFailed},
		{"payload changed", eventsOrigin, nil, change("payload/"), ledger.ResultFailed},
		{"archived note changed", eventsOrigin, nil, change("checkpoints/"), ledger.ResultFailed},
		{"tile changed", eventsOrigin, nil, change("tile/0/000"), ledger.ResultFailed},
		{"tile gone", eventsOrigin, nil, gone("tile/0/001"), ledger.ResultFailed},
		{"bundle changed", eventsOrigin, locked, change("tile/entries/000"), ledger.ResultFailed},
		{"bundle gone", eventsOrigin, locked, gone("tile/entries/001"), ledger.ResultFailed},
		{"level 0 changed, from bundles", eventsOrigin, locked, change("tile/0/000"), ledger.ResultFailed},
		{"level 1 changed, from bundles", eventsOrigin, locked, change("tile/1/"), ledger.ResultFailed},
		{"level 0 changed, from tiles", eventsOrigin, append(locked, "tile/entries/"), change("tile/0/002"), ledger.ResultFailed},
		{"level 1 changed, from tiles", eventsOrigin, append(locked, "tile/entries/"), change("tile/1/"), ledger.ResultFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, c, tt.origin, tt.forbidden, tt.change)
			for _, all := range []bool{false, true} {
				r, err := audit.AuditURL(context.Background(), http.DefaultClient, url, audit.Options{Policies: []ledger.Policy{c.policy(tt.origin)}, All: all})
				if err != nil {
					t.Fatal(err)
				}
				if r.Result != tt.want {
					t.Fatalf("result %s: %+v", r.Result, r.Findings)
				}
				if tt.want != ledger.ResultFailed && (len(r.Logs) != 1 || r.Logs[0].Leaves < 5 || r.Logs[0].Tiles == 0) {
					t.Fatalf("%+v", r.Logs)
				}
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		if _, err := audit.AuditURL(context.Background(), http.DefaultClient, "http://127.0.0.1:1", audit.Options{}); err == nil {
			t.Fatal("an audit of nothing succeeded")
		}
	})
	t.Run("no policy", func(t *testing.T) {
		r, err := audit.AuditURL(context.Background(), http.DefaultClient, serve(t, c, eventsOrigin, nil, nil), audit.Options{})
		if err != nil || r.Result != ledger.ResultInconclusive {
			t.Fatalf("%+v, %v", r, err)
		}
	})
}
