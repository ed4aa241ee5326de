package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/internal/config"
	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// sampleFiles are the inputs among the samples: everything that is listed as a source, not what others made of it.
func sampleFiles(t *testing.T) (files []string) {
	root := filepath.Join(need.Samples(t), "samples")
	text, err := os.ReadFile(filepath.Join(root, "SOURCES.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		path := filepath.Join(root, strings.TrimSpace(cells[1]))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	if len(files) < 400 {
		t.Fatalf("only %d of the listed sample files are there", len(files))
	}
	return files
}

// TestEverySampleIsProvable ingests every sample file. Nothing is lost: events in = leaves + duplicates + quarantined.
// And every event's bundle is verified three times: by the library, by the auditor's program and by a script that shares
// no code with them.
func TestEverySampleIsProvable(t *testing.T) {
	files := sampleFiles(t)
	need.Program(t, "python3", "openssl")
	if testing.Short() {
		files = files[:40]
	}
	ctx := t.Context()
	g := &global{ctx: ctx, out: t.Output(), err: t.Output()}
	data := filepath.Join(t.TempDir(), "data")
	// One cell for every jurisdiction that the samples name would leave nothing foreign; four leave some.
	setup := &initCmd{dataFlag: dataFlag{data}, Jurisdiction: []string{"us", "eu", "in", "uk"}, Ledger: "local", Shards: 1}
	if err := setup.Run(g); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	d, err := lockData(data, cfg)
	if err != nil {
		t.Fatal(err)
	}
	summary, leaves := ingestAll(t, d, files)
	if summary.Events != summary.Committed+summary.Duplicates+summary.Quarantined {
		t.Errorf("%d records in, %d committed + %d duplicates + %d quarantined", summary.Events, summary.Committed, summary.Duplicates, summary.Quarantined)
	}
	t.Logf("%d records of %d files: %d committed, %d duplicates, %d quarantined: %v", summary.Events, len(files), summary.Committed, summary.Duplicates, summary.Quarantined, summary.Reasons)

	bundles := proveAll(t, d, leaves)
	if int64(len(bundles)) != summary.Committed {
		t.Errorf("%d leaves in the logs, %d events committed", len(bundles), summary.Committed)
	}
	if err := d.close(ctx); err != nil {
		t.Fatal(err)
	}
	var policies []string
	for _, cell := range cfg.Names() {
		policies = append(policies, "--policy", filepath.Join(data, "trust", cell, "control.policy"))
	}
	runOnAll(t, bundles, policies, build(t, "domicile-verify"), "event")
	runOnAll(t, bundles, policies, "python3", "-B", filepath.Join(need.Root(t), "docs", "verify_event.py"))
}

// ingestAll feeds the files and returns the leaves of each log.
func ingestAll(t *testing.T, d *dataDir, files []string) (ingest.Summary, map[string]uint64) {
	ctx := t.Context()
	p, err := newPipeline(ctx, d, "us")
	if err != nil {
		t.Fatal(err)
	}
	summary, err := p.Run(ctx, ingest.FindSources(files, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	leaves := make(map[string]uint64)
	for _, c := range d.cells {
		for shard, events := range c.shards {
			if err := events.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			head, err := events.Reader().Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			leaves[c.eventsOrigin(shard)] = head.Size
		}
	}
	return summary, leaves
}

// proveAll writes the bundle of every leaf and verifies it with the library.
func proveAll(t *testing.T, d *dataDir, leaves map[string]uint64) (files []string) {
	folder := t.TempDir()
	for _, c := range d.cells {
		file, err := os.ReadFile(filepath.Join(d.trustPath(c.jurisdiction), "control.policy"))
		if err != nil {
			t.Fatal(err)
		}
		policy, err := ledger.ParsePolicy(file)
		if err != nil {
			t.Fatal(err)
		}
		q, err := c.query(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for shard := range c.shards {
			origin := c.eventsOrigin(shard)
			var refs []query.Ref
			for index := range leaves[origin] {
				refs = append(refs, query.Ref{Log: origin, Index: index})
			}
			for some := range slices.Chunk(refs, query.MaxProofs) {
				proofs, err := q.Prove(t.Context(), operator(ledger.PurposeEvaluation), some, query.ProofOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for _, proof := range proofs.Proofs {
					if proof.Err != nil {
						t.Fatal(proof.Err)
					}
					if verdict := ledger.VerifyBundle(proof.Bytes, []ledger.Policy{policy}); verdict.Result != ledger.ResultVerified {
						t.Fatalf("%s#%d: %+v", origin, proof.Ref.Index, verdict)
					}
					name := filepath.Join(folder, fmt.Sprintf("%s-%d-%d.json", c.jurisdiction, shard, proof.Ref.Index))
					if err := os.WriteFile(name, proof.Bytes, 0o600); err != nil {
						t.Fatal(err)
					}
					files = append(files, name)
				}
			}
		}
	}
	return files
}

// runOnAll runs a verifier on the bundles, many at a time.
func runOnAll(t *testing.T, bundles, policies []string, program string, args ...string) {
	for from := 0; from < len(bundles); from += 500 {
		some := bundles[from:min(from+500, len(bundles))]
		all := append(append(append([]string{}, args...), some...), policies...)
		if out, err := exec.Command(program, all...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, lastLines(string(out), 40))
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
