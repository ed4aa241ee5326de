package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"domicile.dev/domicile/ingest"
)

type ingestCmd struct {
	dataFlag
	Paths    []string `arg:"" help:"Files and folders; - reads standard input." placeholder:"PATH"`
	Cell     string   `help:"Cell of the collector: it holds what no evidence places elsewhere, and the quarantine. Default: the first cell that was made." placeholder:"ID"`
	Receipts string   `help:"Write a line of JSON for every event: uid, log, index, duplicate." placeholder:"FILE" type:"path"`
	JSON     bool     `name:"json" help:"Print the summary as JSON."`
}

func (*ingestCmd) Help() string {
	return `Examples:
  domicile ingest examples
  domicile ingest --receipts receipts.ndjson /var/log/cloudtrail
  zcat *.json.gz | domicile ingest -

Returns when everything that was read is committed, published and bound into the control log of its cell, or lies in
quarantine with the reason (domicile quarantine list). Feeding the same files again adds only what is missing.`
}

func (cmd *ingestCmd) Run(g *global) error {
	var summary ingest.Summary
	err := cmd.with(g, func(d *dataDir) (err error) {
		sources := ingest.FindSources(g.absolute(cmd.Paths), g.in)
		for _, s := range sources.Skipped {
			fmt.Fprintf(g.err, "skipped %s: %s\n", s.Name, s.Reason)
		}
		if len(sources.Files) == 0 {
			return errors.New("there is nothing to read: name files, folders that hold audit logs, or - for standard input")
		}
		summary, err = cmd.ingest(g, d, sources)
		return err
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = json.NewEncoder(g.out).Encode(summary)
	} else {
		printSummary(g.out, &summary)
	}
	if err != nil {
		return err
	}
	for i := range summary.Failed {
		fmt.Fprintf(g.err, "not read to its end: %v\n", &summary.Failed[i])
	}
	if len(summary.Failed) > 0 {
		return errPartial
	}
	return nil
}

// ingest runs the collector. The cells are flushed when the data directory is closed, before anything is reported.
func (cmd *ingestCmd) ingest(g *global, d *dataDir, sources ingest.Sources) (summary ingest.Summary, err error) {
	if cmd.Cell == "" {
		cmd.Cell = d.config.Collector
	}
	p, err := newPipeline(g.ctx, d, cmd.Cell)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if cmd.Receipts != "" {
		finish, err := writeReceipts(p, cmd.Receipts)
		if err != nil {
			return summary, err
		}
		defer func() { err = errors.Join(err, finish()) }()
	}
	progress := newBar(g, sources.Size, "reading", cmd.JSON)
	p.Progress = func(now ingest.Progress) { progress.set(now.Bytes, now.Events) }
	summary, err = p.Run(g.ctx, sources)
	progress.done()
	return summary, err
}

// receipt is a line of the receipts file.
type receipt struct {
	UID       string  `json:"uid"`
	Log       string  `json:"log"`
	Index     *uint64 `json:"index"` // null where the event was rejected, or is an old repeat
	Duplicate bool    `json:"duplicate"`
	Rejected  bool    `json:"rejected,omitempty"` // by the log: it lies in quarantine
}

// writeReceipts writes a line for every answered event.
func writeReceipts(p *pipeline, path string) (finish func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var failed error
	p.Receipts = func(uid string, r ingest.Receipt) {
		line := receipt{UID: uid, Log: r.Log, Duplicate: r.Outcome == ingest.Duplicate, Rejected: r.Outcome == ingest.Rejected}
		if r.UID != "" {
			line.UID = r.UID
		}
		if r.Indexed {
			line.Index = &r.Index
		}
		if err := enc.Encode(line); err != nil && failed == nil {
			failed = err
		}
	}
	return func() error {
		if err := errors.Join(failed, w.Flush(), f.Close()); err != nil {
			return fmt.Errorf("receipts: %w", err)
		}
		return nil
	}, nil
}

func printSummary(w io.Writer, s *ingest.Summary) {
	fmt.Fprintf(w, "%d records in %d files: %d committed, %d duplicates, %d quarantined\n", s.Events, s.Files, s.Committed, s.Duplicates, s.Quarantined)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range s.Places {
		fmt.Fprintf(tab, "  cell %s\t%s\t%s\t%d\tplaced by %s\n", p.Cell, p.Jurisdiction, p.Region, p.Events, p.Rule)
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Reasons)) {
		note := ""
		if reason == ingest.ReasonForeign {
			note = fmt.Sprintf("no cell for %v", slices.Sorted(maps.Keys(s.Foreign)))
		}
		fmt.Fprintf(tab, "  quarantine\t%s\t\t%d\t%s\n", reason, s.Reasons[reason], note)
	}
	tab.Flush()
	if s.Quarantined > 0 {
		fmt.Fprintln(w, "Look at what could not be used with domicile quarantine list.")
	}
}
