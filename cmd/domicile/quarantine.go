package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

type quarantineCmd struct {
	List   quarantineListCmd   `cmd:"" help:"List what lies in quarantine, and why."`
	Show   quarantineShowCmd   `cmd:"" help:"Print one item's bytes, as the provider wrote them."`
	Replay quarantineReplayCmd `cmd:"" help:"Try items again: after an upgrade, or when a cell was added."`
}

// inCells runs something on the quarantine of each cell that is meant.
func inCells(ctx context.Context, d *dataDir, only string, run func(c *cell, q *ingest.Quarantine) error) error {
	names := d.config.Names()
	if only != "" {
		names = []string{only}
	}
	for _, name := range names {
		c, err := d.cell(ctx, name)
		if err != nil {
			return err
		}
		q, err := c.quarantine(ctx)
		if err != nil {
			return err
		}
		if err := run(c, q); err != nil {
			return fmt.Errorf("quarantine of cell %s: %w", name, err)
		}
	}
	return nil
}

type quarantineListCmd struct {
	dataFlag
	Cell string `help:"Of this cell only." placeholder:"ID"`
	JSON bool   `name:"json" help:"Print a line of JSON for each item."`
}

func (*quarantineListCmd) Help() string {
	return `Example:
  domicile quarantine list

Shows where each item came from and why it could not be used, not its bytes: those are event data.`
}

// heldLine is an item as --json prints it.
type heldLine struct {
	Cell  string `json:"cell"`
	Hash  string `json:"hash"`
	Bytes int    `json:"bytes"`
	ingest.ItemHeader
	Released bool `json:"released"`
}

func (cmd *quarantineListCmd) Run(g *global) error {
	tab := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
	count, unreadable := 0, 0
	err := cmd.with(g, func(d *dataDir) error {
		return inCells(g.ctx, d, cmd.Cell, func(c *cell, q *ingest.Quarantine) error {
			if _, err := c.openItems(g.ctx, operator(ledger.PurposeOperation)); err != nil {
				return err
			}
			for held, err := range q.List(g.ctx) {
				if err != nil {
					fmt.Fprintf(g.err, "cell %s: %v\n", c.jurisdiction, err)
					unreadable++
					continue
				}
				count++
				if cmd.JSON {
					line := heldLine{c.jurisdiction, held.Hash, held.Bytes, held.ItemHeader, held.Released}
					if err := json.NewEncoder(g.out).Encode(line); err != nil {
						return err
					}
					continue
				}
				if count == 1 {
					fmt.Fprintln(tab, "CELL\tITEM\tREASON\tBYTES\tSOURCE\tOFFSET\tFIRST SEEN\tSTATE")
				}
				printHeld(tab, c.jurisdiction, &held)
			}
			return nil
		})
	})
	if err := errors.Join(err, tab.Flush()); err != nil {
		return err
	}
	if count == 0 && !cmd.JSON {
		fmt.Fprintln(g.out, "Nothing lies in quarantine.")
	}
	if unreadable > 0 {
		return errPartial
	}
	return nil
}

// openItems logs that somebody opens the items of a cell to read what is known of them; their bytes go nowhere. Where
// there are none, that is nothing to log, and there is no receipt.
func (c *cell) openItems(ctx context.Context, who query.Asker) (*query.Receipt, error) {
	n, err := c.heldItems(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	q, err := c.query(ctx)
	if err != nil {
		return nil, err
	}
	access, err := q.Intend(ctx, who, query.Reading{Op: ledger.OpQuarantineRead, Content: ledger.ContentNone, Query: "list"})
	if err != nil {
		return nil, err
	}
	access.Done(query.Handed{})
	return &access.Receipt, nil
}

func printHeld(w io.Writer, cell string, held *ingest.Held) {
	reason, state := held.Reason, "held"
	if held.Foreign != "" {
		reason += " (" + held.Foreign + ")"
	}
	if held.Released {
		state = "released"
	}
	fmt.Fprintf(w, "%s\t%.12s\t%s\t%d\t%s\t%d\t%s\t%s\n", cell, held.Hash, reason, held.Bytes, held.Source, held.Offset,
		held.FirstSeen.UTC().Format(time.RFC3339), state)
}

type quarantineShowCmd struct {
	dataFlag
	Item    string `arg:"" help:"Hash of the item, as quarantine list prints it; its beginning suffices if it is the only one." placeholder:"HASH"`
	Cell    string `help:"Of this cell only." placeholder:"ID"`
	Purpose string `help:"Why the item is read, for the control log." enum:"${purposes}" default:"operation"`
}

func (*quarantineShowCmd) Help() string {
	return `Example:
  domicile quarantine show 3f2a | less

The item's bytes go to standard output, what is known of it to standard error. The read is logged before.`
}

func (cmd *quarantineShowCmd) Run(g *global) error {
	var held ingest.Held
	var raw []byte
	found := false
	err := cmd.with(g, func(d *dataDir) error {
		return inCells(g.ctx, d, cmd.Cell, func(c *cell, q *ingest.Quarantine) error {
			if found {
				return nil
			}
			hash, err := findItem(g.ctx, q, cmd.Item)
			if hash == "" || err != nil {
				return err
			}
			found = true
			held, raw, err = cmd.read(g.ctx, c, q, hash)
			return err
		})
	})
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no item in quarantine begins with %s: domicile quarantine list names them", cmd.Item)
	}
	fmt.Fprintf(g.err, "%s: %s, %d bytes at offset %d of %s. %s\n", held.Hash, held.Reason, held.Bytes, held.Offset, held.Source, held.Detail)
	_, err = g.out.Write(raw)
	return err
}

func (cmd *quarantineShowCmd) read(ctx context.Context, c *cell, q *ingest.Quarantine, hash string) (ingest.Held, []byte, error) {
	access, err := c.intend(ctx, ledger.AccessPurpose(cmd.Purpose), query.Reading{Op: ledger.OpQuarantineRead, Content: ledger.ContentFull, Query: hash})
	if err != nil {
		return ingest.Held{}, nil, err
	}
	held, raw, err := q.Show(ctx, hash)
	if err != nil {
		access.Done(query.Handed{})
		return held, nil, err
	}
	access.Done(query.Handed{Records: 1, Bytes: uint64(len(raw))})
	return held, raw, nil
}

// findItem completes the beginning of a hash.
func findItem(ctx context.Context, q *ingest.Quarantine, beginning string) (hash string, err error) {
	for held, err := range q.List(ctx) {
		if err != nil || !strings.HasPrefix(held.Hash, strings.ToLower(beginning)) {
			continue
		}
		if hash != "" {
			return "", fmt.Errorf("%s is the beginning of %s and of %s: give more of it", beginning, hash, held.Hash)
		}
		hash = held.Hash
	}
	return hash, nil
}

type quarantineReplayCmd struct {
	dataFlag
	Items []string `arg:"" optional:"" help:"Hashes of items; all that are held otherwise." placeholder:"HASH"`
	Cell  string   `help:"The cell whose quarantine it is. Default: the first cell that was made." placeholder:"ID"`
	JSON  bool     `name:"json" help:"Print the summary as JSON."`
}

func (*quarantineReplayCmd) Help() string {
	return `Example:
  domicile init --jurisdiction uk && domicile quarantine replay

What is usable now becomes an event of the cell where it belongs, and its item is marked as released. The item stays.`
}

func (cmd *quarantineReplayCmd) Run(g *global) error {
	var summary ingest.Summary
	err := cmd.with(g, func(d *dataDir) (err error) {
		if cmd.Cell == "" {
			cmd.Cell = d.config.Collector
		}
		summary, err = cmd.replay(g.ctx, d)
		return err
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return json.NewEncoder(g.out).Encode(summary)
	}
	printSummary(g.out, &summary)
	return nil
}

func (cmd *quarantineReplayCmd) replay(ctx context.Context, d *dataDir) (summary ingest.Summary, err error) {
	p, err := newPipeline(ctx, d, cmd.Cell)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	c, err := d.cell(ctx, cmd.Cell)
	if err != nil {
		return summary, err
	}
	var hashes []string
	for _, beginning := range cmd.Items {
		hash, err := findItem(ctx, p.Quarantine, beginning)
		if err != nil {
			return summary, err
		}
		if hash == "" {
			return summary, fmt.Errorf("no item in the quarantine of cell %s begins with %s", cmd.Cell, beginning)
		}
		hashes = append(hashes, hash)
	}
	access, err := c.intend(ctx, ledger.PurposeOperation, query.Reading{Op: ledger.OpQuarantineReplay, Content: ledger.ContentNone})
	if err != nil {
		return summary, err
	}
	summary, err = p.Replay(ctx, hashes...)
	access.Done(query.Handed{Records: uint64(summary.Events)})
	return summary, err
}
