package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/internal/need"
)

// TestAlteredRowIsNamedAndRefused changes a row of the index by plain SQL, as somebody with the engine's password could:
// the audit of the index names it, and the proof route does not hand it out.
func TestAlteredRowIsNamedAndRefused(t *testing.T) {
	for _, variable := range searching(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	g := &global{ctx: ctx, out: &out, err: &out}
	data := dataFlag{Data: filepath.Join(t.TempDir(), "data")}
	must((&initCmd{dataFlag: data, Jurisdiction: []string{"eu"}, Ledger: "local", Shards: 1}).Run(g))
	must(data.with(g, func(d *dataDir) error {
		g := &global{ctx: ctx, out: &out, err: &out, served: d}
		s, err := newServer(ctx, d)
		must(err)
		must((&ingestCmd{dataFlag: data, Paths: []string{filepath.Join(need.Root(t), "examples", "azure")}}).Run(g))
		must(s.search.caughtUp(ctx, func(_, _ uint64) {}))
		client := &http.Client{Transport: inProcess{s.handler}}
		proof := func(uid string) (int, string) {
			answer, err := client.Get("http://localhost/v1/events/" + uid + "/proof")
			must(err)
			body, err := io.ReadAll(answer.Body)
			must(err)
			return answer.StatusCode, string(body)
		}
		uids := new(bytes.Buffer)
		must((&eventsCmd{askFlag: askFlag{dataFlag: data}, filterFlags: filterFlags{Purpose: "operation"}, UIDs: true, Limit: 2}).run(&global{ctx: ctx, out: uids, err: &out}, &asker{client, "http://localhost"}))
		victim, other, _ := strings.Cut(strings.TrimSpace(uids.String()), "\n")
		if status, body := proof(victim); status != http.StatusOK {
			t.Fatalf("before: %d %s", status, body)
		}

		alter, done, err := s.search.engine.Drain()
		must(err)
		defer done()
		must(alter(ctx, "ALTER TABLE domicile_eu.records UPDATE record = replaceOne(record, '\"severity_id\":1', '\"severity_id\":9') WHERE uid = '"+victim+"' SETTINGS mutations_sync = 2"))

		if status, body := proof(victim); status < 500 || !strings.Contains(body, "altered-record") || strings.Contains(body, `"record"`) {
			t.Errorf("the proof of an altered row: %d %s", status, body)
		}
		if status, body := proof(other); status != http.StatusOK {
			t.Errorf("its neighbour: %d %s", status, body)
		}
		out.Reset()
		if err := (&indexAuditCmd{dataFlag: data}).Run(g); err == nil || !strings.Contains(out.String(), victim) {
			t.Errorf("index audit: %v\n%s", err, &out)
		}
		out.Reset()
		must((&indexRebuildCmd{dataFlag: data}).Run(g))
		if err := (&indexAuditCmd{dataFlag: data}).Run(g); err != nil {
			t.Errorf("index audit after a rebuild: %v\n%s", err, &out)
		}
		if status, body := proof(victim); status != http.StatusOK {
			t.Errorf("after a rebuild: %d %s", status, body)
		}
		return nil
	}))
	if _, err := os.Stat(filepath.Join(data.Data, "engine")); err != nil {
		t.Error(err)
	}
}
