package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"domicile.dev/domicile/ledger/store"
)

type logListCmd struct {
	dataFlag
	JSON bool `name:"json" help:"Print a line of JSON for each log."`
}

func (*logListCmd) Help() string {
	return `Example:
  domicile log list`
}

// logLine is a log as log list and log status tell it.
type logLine struct {
	Origin    string  `json:"origin"`
	VKey      string  `json:"vkey"`
	Commits   uint64  `json:"commits"`
	Leaves    uint64  `json:"leaves"`
	Published *uint64 `json:"published"` // leaves that the checkpoint covers; null before the first
	Store     string  `json:"store"`
	MovedTo   string  `json:"moved_to,omitempty"`
}

// line reads how a log stands.
func (c *cell) line(g *global, origin string) (logLine, error) {
	cfg, err := c.logConfig(g.ctx, origin)
	if err != nil {
		return logLine{}, err
	}
	r, err := c.reader(g.ctx, origin)
	if err != nil {
		return logLine{}, err
	}
	head, err := r.Head(g.ctx)
	if err != nil {
		return logLine{}, err
	}
	line := logLine{Origin: origin, VKey: cfg.VKey, Commits: head.Seq + 1, Leaves: head.Size, Store: head.Store, MovedTo: head.MovedTo}
	cp, _, err := r.Checkpoint(g.ctx)
	if err == nil {
		line.Published = &cp.Size
	} else if !errors.Is(err, store.ErrNotFound) {
		return line, err
	}
	return line, nil
}

func (cmd *logListCmd) Run(g *global) error {
	return cmd.with(g, func(d *dataDir) error {
		tab := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
		if !cmd.JSON {
			fmt.Fprintln(tab, "ORIGIN\tCOMMITS\tLEAVES\tPUBLISHED\tVERIFIER KEY")
		}
		err := d.eachLog(g, func(_ *cell, line logLine) error {
			if cmd.JSON {
				return json.NewEncoder(g.out).Encode(line)
			}
			fmt.Fprintf(tab, "%s\t%d\t%d\t%s\t%s\n", line.Origin, line.Commits, line.Leaves, published(line.Published), line.VKey)
			return nil
		})
		return errors.Join(err, tab.Flush())
	})
}

func published(size *uint64) string {
	if size == nil {
		return "-"
	}
	return fmt.Sprint(*size)
}

// eachLog calls show for every log of every cell.
func (d *dataDir) eachLog(g *global, show func(*cell, logLine) error) error {
	for i := range d.config.Cells {
		c, err := d.readCell(&d.config.Cells[i])
		if err != nil {
			return err
		}
		for _, origin := range c.origins() {
			line, err := c.line(g, origin)
			if err != nil {
				return err
			}
			if err := show(c, line); err != nil {
				return err
			}
		}
	}
	return nil
}
