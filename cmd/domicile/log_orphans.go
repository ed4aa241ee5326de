package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
)

type logOrphansCmd struct {
	dataFlag
	JSON bool `name:"json" help:"Print a line of JSON for each orphan."`
}

func (*logOrphansCmd) Help() string {
	return `Example:
  domicile log orphans

A process that died between storing a payload and committing it leaves an orphan. Nothing refers to it; its events were
never answered and came again. Retention removes orphans together with their keys.`
}

// orphanLine is an orphan as --json prints it.
type orphanLine struct {
	Origin  string `json:"origin"`
	Key     string `json:"key"`
	Bytes   int64  `json:"bytes"`
	Pending bool   `json:"pending"` // a commit that is being made may still name it
}

func (cmd *logOrphansCmd) Run(g *global) error {
	count := 0
	tab := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
	err := cmd.with(g, func(d *dataDir) error {
		return d.eachLog(g, func(c *cell, line logLine) error {
			r, err := c.reader(g.ctx, line.Origin)
			if err != nil {
				return err
			}
			orphans, err := r.Orphans(g.ctx)
			if err != nil {
				return err
			}
			for _, o := range orphans {
				count++
				if cmd.JSON {
					err = errors.Join(err, json.NewEncoder(g.out).Encode(orphanLine{line.Origin, o.Key, o.Size, o.Pending}))
					continue
				}
				state := "orphan"
				if o.Pending {
					state = "not committed (yet)"
				}
				fmt.Fprintf(tab, "%s\t%d bytes\t%s\n", o.Key, o.Size, state)
			}
			return err
		})
	})
	if err := errors.Join(err, tab.Flush()); err != nil {
		return err
	}
	if count == 0 && !cmd.JSON {
		fmt.Fprintln(g.out, "Every payload is named by a commit.")
	}
	return nil
}
