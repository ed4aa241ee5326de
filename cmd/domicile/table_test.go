package main

import (
	"strings"
	"testing"

	"github.com/rivo/uniseg"
)

func TestTableFitsTheTerminal(t *testing.T) {
	rows := [][]string{
		{"2026-10-01 06:00:00", "eu", "s3.amazonaws.com", "GetObject", "anna.berg@example.com"},
		{"2026-10-01 06:00:01", "in", "Microsoft.KeyVault", "Microsoft.KeyVault/vaults/secrets/read", "日本語の名前がここに"},
		{"2026-10-01 06:00:02", "us", "x", "\x1b[31mred", "a\nb"},
	}
	for _, width := range []int{0, 40, 60, 80, 200} {
		tab := table{head: []string{"TIME", "CELL", "SERVICE", "OPERATION", "ACTOR"}, keep: 2, width: width}
		for _, row := range rows {
			tab.add(row...)
		}
		var out strings.Builder
		if err := tab.print(&out); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b") || strings.Count(out.String(), "\n") != 4 {
			t.Fatalf("something steers the terminal: %q", out.String())
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := uniseg.StringWidth(line); width >= 60 && n > width {
				t.Errorf("width %d: a line has %d: %s", width, n, line)
			}
			if !strings.HasPrefix(line, "2026-10-01 06:00:0") && !strings.HasPrefix(line, "TIME") {
				t.Errorf("width %d: the time was cut: %s", width, line)
			}
		}
		if width == 0 && !strings.Contains(out.String(), "Microsoft.KeyVault/vaults/secrets/read") {
			t.Errorf("cut without a terminal:\n%s", out.String())
		}
	}
}
