package main

import (
	"encoding/json"
	"fmt"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query/index"
)

type indexCmd struct {
	Rebuild indexRebuildCmd `cmd:"" help:"Make the index anew from the ledger; searches go on meanwhile."`
	Audit   indexAuditCmd   `cmd:"" help:"Hold every row of the index against the ledger, and name each that differs."`
}

// inIndexes runs something on the index of each cell that is meant, once it holds what is committed.
func inIndexes(g *global, d *dataDir, only string, run func(c *cell, x *index.Index, logs []*log.Reader) error) error {
	cells, err := d.all(g.ctx)
	if err != nil {
		return err
	}
	if _, ok := d.config.Find(only); only != "" && !ok {
		return fmt.Errorf("there is no cell %q in %s: it holds %q", only, d.path, d.config.Names())
	}
	s := d.startSearch(g.ctx)
	bar := newCountBar(g, "catching up")
	err = s.caughtUp(g.ctx, bar.count)
	bar.done()
	if err != nil {
		return err
	}
	for _, c := range cells {
		if only != "" && c.jurisdiction != only {
			continue
		}
		x, err := s.of(c.jurisdiction)
		if err != nil {
			return err
		}
		var logs []*log.Reader
		for shard := range c.shards {
			r, err := c.reader(g.ctx, c.eventsOrigin(shard))
			if err != nil {
				return err
			}
			logs = append(logs, r)
		}
		if err := run(c, x, logs); err != nil {
			return fmt.Errorf("index of cell %s: %w", c.jurisdiction, err)
		}
	}
	return nil
}

type indexRebuildCmd struct {
	dataFlag
	Cell string `help:"Of this cell only." placeholder:"ID"`
}

func (*indexRebuildCmd) Help() string {
	return `Example:
  domicile index rebuild

Fills new tables from the payloads and puts them in the place of the old ones when they are complete. The reads are
logged in the control logs.`
}

func (cmd *indexRebuildCmd) Run(g *global) error {
	return cmd.with(g, func(d *dataDir) error {
		return inIndexes(g, d, cmd.Cell, func(c *cell, x *index.Index, logs []*log.Reader) error {
			bar := newCountBar(g, "rebuilding "+c.jurisdiction)
			err := x.Rebuild(g.ctx, logs, bar.count)
			bar.done()
			if err != nil {
				return err
			}
			var leaves uint64
			for _, r := range logs {
				leaves += x.State(r.Origin()).Indexed
			}
			_, err = fmt.Fprintf(g.out, "cell %s: %d events indexed anew\n", c.jurisdiction, leaves)
			return err
		})
	})
}

type indexAuditCmd struct {
	dataFlag
	Cell string `help:"Of this cell only." placeholder:"ID"`
	JSON bool   `name:"json" help:"Print a line of JSON for each difference, and one for each cell."`
}

func (*indexAuditCmd) Help() string {
	return `Example:
  domicile index audit

Hashes the record of every row anew, holds it against its leaf in the tree, and derives the row's columns from it once
more. A row that differs is named with its log and index. Exit code 1 if any does: domicile index rebuild mends it.`
}

func (cmd *indexAuditCmd) Run(g *global) error {
	differences := 0
	err := cmd.with(g, func(d *dataDir) error {
		return inIndexes(g, d, cmd.Cell, func(c *cell, x *index.Index, logs []*log.Reader) error {
			bar := newCountBar(g, "auditing "+c.jurisdiction)
			report, err := x.Audit(g.ctx, logs, bar.count, func(diff index.Difference) {
				differences++
				cmd.difference(g, c.jurisdiction, diff)
			})
			bar.done()
			if err != nil {
				return err
			}
			return cmd.report(g, c.jurisdiction, report)
		})
	})
	if err != nil {
		return err
	}
	if differences > 0 {
		return fmt.Errorf("%d rows differ from the ledger: keep what you need as evidence, then run domicile index rebuild", differences)
	}
	return nil
}

// differenceLine is a row that differs, as --json prints it.
type differenceLine struct {
	Cell   string     `json:"cell"`
	Log    string     `json:"log"`
	Index  uint64     `json:"index"`
	UID    string     `json:"uid,omitempty"`
	Kind   index.Kind `json:"kind"`
	Detail string     `json:"detail,omitempty"`
}

func (cmd *indexAuditCmd) difference(g *global, cell string, d index.Difference) {
	if cmd.JSON {
		json.NewEncoder(g.out).Encode(differenceLine{cell, d.Log, d.Index, d.UID, d.Kind, d.Detail})
		return
	}
	fmt.Fprintf(g.out, "%s entry %d: %s: %s\n", d.Log, d.Index, d.Kind, ledger.Printable(d.Detail+" "+d.UID))
}

func (cmd *indexAuditCmd) report(g *global, cell string, r index.AuditReport) error {
	if cmd.JSON {
		return json.NewEncoder(g.out).Encode(struct {
			Cell        string `json:"cell"`
			Leaves      uint64 `json:"leaves"`
			Rows        uint64 `json:"rows"`
			Differences uint64 `json:"differences"`
		}{cell, r.Leaves, r.Rows, r.Differences})
	}
	verdict := "every row is what the ledger says"
	if r.Differences > 0 {
		verdict = fmt.Sprintf("%d differ", r.Differences)
	}
	_, err := fmt.Fprintf(g.out, "cell %s: %d rows in three tables for %d leaves: %s\n", cell, r.Rows, r.Leaves, verdict)
	return err
}
