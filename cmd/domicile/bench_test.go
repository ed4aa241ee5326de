package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestBenchMeasures runs both kinds of measurement on little, and looks only at what is measured, never at how fast.
func TestBenchMeasures(t *testing.T) {
	for _, test := range []struct {
		name    string
		cmd     benchCmd
		figures int
	}{
		{"ingest", benchCmd{Events: 300, Rounds: 2, JSON: true}, 4},
		{"recovery", benchCmd{Events: 1, Rounds: 1, Recovery: 3000, JSON: true}, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cmd.Dir = t.TempDir()
			var out, errs bytes.Buffer
			if err := test.cmd.Run(&global{ctx: t.Context(), out: &out, err: &errs}); err != nil {
				t.Fatalf("%v\n%s", err, &errs)
			}
			var result struct{ Figures figures }
			if err := json.Unmarshal(out.Bytes(), &result); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			if len(result.Figures) != test.figures {
				t.Errorf("%d figures, want %d:\n%s", len(result.Figures), test.figures, &out)
			}
			for _, f := range result.Figures {
				if f.Name == "" || f.Unit == "" || len(f.All) != test.cmd.Rounds || f.Median <= 0 {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}
