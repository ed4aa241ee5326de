package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"domicile.dev/domicile/ledger"
)

type logStatusCmd struct {
	dataFlag
	JSON bool `name:"json" help:"Print the status as JSON."`
}

func (*logStatusCmd) Help() string {
	return `Example:
  domicile log status

Counts leaves, not events: it reads no event data.`
}

// status is what a data directory holds.
type status struct {
	Cells []cellStatus `json:"cells"`
}

type cellStatus struct {
	Jurisdiction string                  `json:"jurisdiction"`
	Regions      map[string]regionStatus `json:"regions"`
	Logs         []logLine               `json:"logs"`
	Quarantined  int                     `json:"quarantined"` // items, released ones not counted
}

// regionStatus counts the leaves of a region and the hours that they name.
type regionStatus struct {
	Events   uint64 `json:"events"`
	FromHour int64  `json:"from_hour"` // hours since 1970
	ToHour   int64  `json:"to_hour"`
}

func (cmd *logStatusCmd) Run(g *global) error {
	var all status
	err := cmd.with(g, func(d *dataDir) error {
		for i := range d.config.Cells {
			s, err := d.status(g, i)
			if err != nil {
				return err
			}
			all.Cells = append(all.Cells, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return json.NewEncoder(g.out).Encode(all)
	}
	return all.print(g.out)
}

func (d *dataDir) status(g *global, i int) (cellStatus, error) {
	c, err := d.readCell(&d.config.Cells[i])
	if err != nil {
		return cellStatus{}, err
	}
	s := cellStatus{Jurisdiction: c.jurisdiction, Regions: make(map[string]regionStatus)}
	for _, origin := range c.origins() {
		line, err := c.line(g, origin)
		if err != nil {
			return s, err
		}
		s.Logs = append(s.Logs, line)
		if origin == c.controlOrigin() {
			continue
		}
		if err := c.countLeaves(g, origin, line.Commits, s.Regions); err != nil {
			return s, err
		}
	}
	s.Quarantined, err = c.heldItems(g.ctx)
	return s, err
}

// heldItems counts the items in quarantine that were not released, without opening one.
func (c *cell) heldItems(ctx context.Context) (n int, err error) {
	for key, err := range (items{c.stores.Quarantine}).List(ctx, "") {
		switch {
		case err != nil:
			return n, err
		case strings.HasPrefix(key, "item/"):
			n++
		case strings.HasPrefix(key, "released/"):
			n--
		}
	}
	return n, nil
}

// countLeaves counts what the leaves of a log say: they are in its commits.
func (c *cell) countLeaves(g *global, origin string, commits uint64, regions map[string]regionStatus) error {
	r, err := c.reader(g.ctx, origin)
	if err != nil {
		return err
	}
	for seq := range commits {
		commit, err := r.Commit(g.ctx, seq)
		if err != nil {
			return err
		}
		for _, leaf := range commit.Leaves {
			l, err := ledger.ParseLeaf(leaf)
			if err != nil {
				return fmt.Errorf("log %s: %w", origin, err)
			}
			region, known := regions[l.Region]
			if !known {
				region.FromHour, region.ToHour = l.Hour, l.Hour
			}
			region.Events++
			region.FromHour, region.ToHour = min(region.FromHour, l.Hour), max(region.ToHour, l.Hour)
			regions[l.Region] = region
		}
	}
	return nil
}

func (s *status) print(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "CELL\tREGION\tEVENTS\tFROM (UTC)\tTO (UTC)")
	for _, c := range s.Cells {
		all := regionStatus{FromHour: math.MaxInt64, ToHour: math.MinInt64}
		for _, region := range slices.Sorted(maps.Keys(c.Regions)) {
			r := c.Regions[region]
			r.print(tab, c.Jurisdiction, region)
			all.Events += r.Events
			all.FromHour, all.ToHour = min(all.FromHour, r.FromHour), max(all.ToHour, r.ToHour)
		}
		all.print(tab, c.Jurisdiction, "all")
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tab, "LOG\tCOMMITS\tLEAVES\tPUBLISHED\tSTATE")
	for _, c := range s.Cells {
		for _, l := range c.Logs {
			state := "ok"
			switch {
			case l.MovedTo != "":
				state = "moved to " + l.MovedTo
			case l.Published == nil || *l.Published < l.Leaves:
				state = "not published to its end: the next command that writes does it"
			}
			fmt.Fprintf(tab, "%s\t%d\t%d\t%s\t%s\n", l.Origin, l.Commits, l.Leaves, published(l.Published), state)
		}
	}
	err := tab.Flush()
	for _, c := range s.Cells {
		if c.Quarantined > 0 {
			fmt.Fprintf(w, "\n%d records in quarantine of cell %s: domicile quarantine list\n", c.Quarantined, c.Jurisdiction)
		}
	}
	return err
}

func (r *regionStatus) print(w io.Writer, cell, region string) {
	from, to := "-", "-"
	if r.Events > 0 {
		from, to = hour(r.FromHour), hour(r.ToHour+1)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", cell, region, r.Events, from, to)
}

func hour(h int64) string {
	return time.UnixMilli(h * ledger.MillisPerHour).UTC().Format("2006-01-02 15:04")
}
