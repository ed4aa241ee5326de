package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
)

// world is a data directory of a test, with the programs that work on it.
type world struct {
	t       *testing.T
	program string // domicile, perhaps built with crash points
	data    string
}

// domicile runs the program to its end and returns its output.
func (w *world) domicile(env []string, args ...string) (out string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.program, args...)
	cmd.Env = append(append(os.Environ(), "DOMICILE_DATA="+w.data), env...)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	err = cmd.Run()
	return buf.String(), err
}

// must runs the program and fails the test if it fails.
func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.domicile(nil, args...)
	if err != nil {
		w.t.Fatalf("domicile %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// uids reads every event of every cell, as an auditor with the keys would: one leaf per event is checked on the way.
func (w *world) uids(data string) map[string]string {
	w.t.Helper()
	ctx := context.Background()
	d, err := dataFlag{Data: data}.open()
	if err != nil {
		w.t.Fatal(err)
	}
	defer d.lock.Close()
	where := make(map[string]string)
	for i := range d.config.Cells {
		c, err := d.readCell(&d.config.Cells[i])
		if err != nil {
			w.t.Fatal(err)
		}
		for shard := range c.shards {
			origin := c.eventsOrigin(shard)
			r, err := c.reader(ctx, origin)
			if err != nil {
				w.t.Fatal(err)
			}
			head, err := r.Head(ctx)
			if err != nil {
				w.t.Fatal(err)
			}
			for index := range head.Size {
				line, err := r.Record(ctx, index)
				if err != nil {
					w.t.Fatal(err)
				}
				rec, err := ledger.ParseRecord(line)
				if err != nil {
					w.t.Fatal(err)
				}
				uid, _ := rec.Field("/metadata/uid")
				place := fmt.Sprintf("%s#%d", origin, index)
				if other, ok := where[string(uid)]; ok {
					w.t.Errorf("event %s has two leaves: %s and %s", uid, other, place)
				}
				where[string(uid)] = place
			}
			w.bound(ctx, c, origin, r)
		}
	}
	return where
}

// bound makes sure that everything is published and bound into the control log.
func (w *world) bound(ctx context.Context, c *cell, origin string, r *log.Reader) {
	w.t.Helper()
	control, err := c.reader(ctx, c.controlOrigin())
	if err != nil {
		w.t.Fatal(err)
	}
	head, err := control.Head(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	replay := custody.NewReplay(c.controlOrigin())
	if err := log.ReplayControl(ctx, control, replay, head.Seq); err != nil {
		w.t.Fatal(err)
	}
	events, err := r.Head(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if batch, _ := replay.LastBatch(origin); batch.Size != events.Size {
		w.t.Errorf("log %s holds %d leaves, its last batch entry binds %d", origin, events.Size, batch.Size)
	}
	for _, r := range []*log.Reader{control, r} {
		head, err := r.Head(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		cp, _, err := r.Checkpoint(ctx)
		if err != nil || cp.Size != head.Size {
			w.t.Errorf("log %s: checkpoint at %d (%v), %d leaves committed", r.Origin(), cp.Size, err, head.Size)
		}
	}
}

// verify runs domicile-verify log over every cell, payloads included.
func (w *world) verify(program, data string) {
	w.t.Helper()
	cells, err := filepath.Glob(filepath.Join(data, "cells", "*"))
	if err != nil || len(cells) == 0 {
		w.t.Fatalf("no cells in %s: %v", data, err)
	}
	for _, cell := range cells {
		policy := filepath.Join(data, "trust", filepath.Base(cell), "control.policy")
		out, err := exec.Command(program, "log", cell, "--policy", policy, "--keys", filepath.Join(cell, "keys")).CombinedOutput()
		if err != nil {
			w.t.Errorf("domicile-verify log %s: %v\n%s", cell, err, out)
		}
	}
}
