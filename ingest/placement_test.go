package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/normalize"
)

type inventory map[string]string // uid → jurisdiction

func (i inventory) Locate(ev *normalize.Event) (string, bool) {
	j, ok := i[ev.UID]
	return j, ok
}

// Cells eu, us and in; the collector is the one of eu unless said.
func TestPlacement(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		jurisdictions string // of the evidence
		inventory     string
		home          string
		want          string // cell rule, or "foreign jurisdiction rule"
	}{
		// One known jurisdiction decides alone, whatever inventory and home say.
		{"eu", none, none, "eu region"},
		{"us", none, none, "us region"},
		{"us", "eu", none, "us region"},
		{"us", none, "eu", "us region"},
		{"us", "in", "eu", "us region"},
		{"ch", none, none, "foreign ch region"},
		{"ch", "eu", none, "foreign ch region"},
		{"ch", none, "eu", "foreign ch region"},
		{"ch", "in", "eu", "foreign ch region"},

		// Unknown: the resource's place, else the account's home, else the collector's cell.
		{none, none, none, "eu collector"},
		{none, none, "us", "us home"},
		{none, "in", none, "in inventory"},
		{none, "in", "us", "in inventory"},
		{none, "ch", none, "foreign ch inventory"},
		{none, "ch", "us", "foreign ch inventory"},

		// Several: the same, but neither may point outside of what the evidence allows.
		{"eu,uk", none, none, "eu collector"},
		{"eu,uk", none, "eu", "eu home"},
		{"eu,uk", none, "us", "eu collector"},
		{"eu,uk", "eu", none, "eu inventory"},
		{"eu,uk", "eu", "us", "eu inventory"},
		{"eu,uk", "uk", none, "foreign uk inventory"},
		{"eu,uk", "uk", "eu", "foreign uk inventory"},
		{"eu,uk", "in", none, "eu collector"},
		{"eu,uk", "in", "eu", "eu home"},
		{"hk,in", none, none, "eu collector"},
		{"hk,in", none, "in", "in home"},
		{"ca,us", "us", "us", "us inventory"},
	} {
		t.Run(fmt.Sprintf("evidence %q, inventory %q, home %q", c.jurisdictions, c.inventory, c.home), func(t *testing.T) {
			ev := normalize.Event{Header: normalize.Header{UID: "u", Provider: "aws", Account: "111122223333"}}
			if c.jurisdictions != "" {
				ev.Jurisdictions = strings.Split(c.jurisdictions, ",")
			}
			homes, inv := map[string]string{"aws:444455556666": "us"}, inventory{"other": "us"}
			if c.home != "" {
				homes["aws:111122223333"] = c.home
			}
			if c.inventory != "" {
				inv["u"] = c.inventory
			}
			p, err := ingest.NewPlacer([]string{"eu", "us", "in"}, "eu", homes, inv)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(p.Place(&ev)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func describe(p ingest.Placement) string {
	if p.Foreign != "" {
		return strings.TrimSpace("foreign " + p.Foreign + " " + string(p.Rule) + " " + p.Cell)
	}
	return p.Cell + " " + string(p.Rule)
}

func TestFallbackIsTheCollectorsCell(t *testing.T) {
	for _, collector := range []string{"eu", "us"} {
		p, err := ingest.NewPlacer([]string{"eu", "us"}, collector, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Place(&normalize.Event{}).Cell; got != collector {
			t.Errorf("collected by %s: held by %s", collector, got)
		}
	}
}

func TestPlacerRefusesCellsThatDoNotExist(t *testing.T) {
	if _, err := ingest.NewPlacer([]string{"eu"}, "us", nil, nil); err == nil {
		t.Error("a collector without its cell was accepted")
	}
	if _, err := ingest.NewPlacer([]string{"eu"}, "eu", map[string]string{"aws:1": "us"}, nil); err == nil {
		t.Error("a home without a cell was accepted")
	}
}
