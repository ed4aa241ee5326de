package ingest

import (
	"fmt"
	"slices"

	"domicile.dev/domicile/normalize"
)

// PlacementRule names what decided where an event is held.
type PlacementRule string

// The rules, in the order in which they are tried.
const (
	PlacedByRegion    PlacementRule = "region"    // the evidence names one jurisdiction, and it has a cell
	PlacedByInventory PlacementRule = "inventory" // the resource is known to lie in a jurisdiction
	PlacedByHome      PlacementRule = "home"      // the account's home is configured
	PlacedByCollector PlacementRule = "collector" // nothing else is known: the cell that collected it
)

// Placement is the decision about one event: a cell that holds it, or the jurisdiction that would have to.
type Placement struct {
	Cell    string // empty when no cell may hold the event
	Rule    PlacementRule
	Foreign string // the jurisdiction without a cell; empty when Cell is set
}

// Inventory knows where resources lie. Locate returns the one jurisdiction of the resource that an event is about, or
// false. It must be a function of the event and of what it held when the run began.
type Inventory interface {
	Locate(ev *normalize.Event) (jurisdiction string, known bool)
}

// Placer decides which cell holds an event. Jurisdiction is what the evidence says of the event and is not touched
// here; placement only answers whose store it goes to. An event of unknown jurisdiction, or one that spans several,
// is held by the cell that the later rules name: holding it there says nothing about where it belongs.
type Placer struct {
	cells     map[string]bool // a cell is named by its jurisdiction
	collector string
	homes     map[string]string
	inventory Inventory
}

// NewPlacer takes the configured cells, the cell of the collector, the homes of accounts ("aws:111122223333" → cell)
// and an inventory, or nil. A home without a cell is an error of the configuration, not a reason to quarantine.
func NewPlacer(cells []string, collector string, homes map[string]string, inventory Inventory) (*Placer, error) {
	p := &Placer{cells: map[string]bool{}, collector: collector, homes: homes, inventory: inventory}
	for _, c := range cells {
		p.cells[c] = true
	}
	if !p.cells[collector] {
		return nil, fmt.Errorf("the collector's cell %q is none of the cells here %q", collector, cells)
	}
	for account, cell := range homes {
		if !p.cells[cell] {
			return nil, fmt.Errorf("home of account %s: %q is none of the cells here %q", account, cell, cells)
		}
	}
	return p, nil
}

// Place is pure. A single known jurisdiction decides alone: an event that is known to belong to a place without a cell
// is never held elsewhere for convenience. Inventory and home serve the events whose evidence leaves the question
// open; where the evidence is a set, neither may point outside of it.
func (p *Placer) Place(ev *normalize.Event) Placement {
	if len(ev.Jurisdictions) == 1 {
		return p.known(ev.Jurisdictions[0], PlacedByRegion)
	}
	possible := func(jurisdiction string) bool {
		return len(ev.Jurisdictions) == 0 || slices.Contains(ev.Jurisdictions, jurisdiction)
	}
	if p.inventory != nil {
		if j, ok := p.inventory.Locate(ev); ok && possible(j) {
			return p.known(j, PlacedByInventory)
		}
	}
	if home, ok := p.homes[ev.Provider+":"+ev.Account]; ok && possible(home) {
		return Placement{Cell: home, Rule: PlacedByHome}
	}
	return Placement{Cell: p.collector, Rule: PlacedByCollector}
}

func (p *Placer) known(jurisdiction string, rule PlacementRule) Placement {
	if p.cells[jurisdiction] {
		return Placement{Cell: jurisdiction, Rule: rule}
	}
	return Placement{Rule: rule, Foreign: jurisdiction}
}
