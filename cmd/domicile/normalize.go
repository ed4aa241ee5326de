package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/normalize"
)

type normalizeCmd struct {
	Paths   []string `arg:"" help:"Files and folders; - reads standard input." placeholder:"PATH"`
	Explain bool     `help:"Show where each attribute of each event came from, instead of the events."`
	Quiet   bool     `help:"Print the summary only."`
	JSON    bool     `name:"json" help:"Print the summary as JSON."`
}

func (*normalizeCmd) Help() string {
	return `Examples:
  domicile normalize examples --quiet
  domicile normalize --explain mylogs/2026-10-01.json.gz | less
  zcat *.json.gz | domicile normalize - > events.ndjson

Events go to standard output, one a line, the summary to standard error. Nothing is stored, no data directory is needed.`
}

// tour counts what a run of normalize has seen.
type tour struct {
	Files       int                         `json:"files"`
	Records     int                         `json:"records"`
	Events      int                         `json:"events"`
	Forms       map[string]int              `json:"forms"`
	Quarantined map[string]int              `json:"quarantined"` // by reason
	Places      map[string]map[string]int   `json:"places"`      // jurisdiction, region
	Rules       map[string]int              `json:"rules"`       // what decided the region
	Examples    map[normalize.Reason]string `json:"examples"`    // file and offset of the first of each reason
	Failed      map[string]string           `json:"failed"`      // files that could not be read to their end
}

func newTour() *tour {
	return &tour{
		Forms: map[string]int{}, Quarantined: map[string]int{}, Places: map[string]map[string]int{}, Rules: map[string]int{},
		Examples: map[normalize.Reason]string{}, Failed: map[string]string{},
	}
}

func (cmd *normalizeCmd) Run(g *global) error {
	sources := ingest.FindSources(cmd.Paths, g.in)
	out := bufio.NewWriterSize(g.out, 1<<16)
	t := newTour()
	bar := newBar(g, sources.Size, "normalizing", cmd.JSON)
	for _, s := range sources.Files {
		if g.ctx.Err() != nil {
			return g.ctx.Err()
		}
		t.Files++
		if err := cmd.source(g, out, s, t); err != nil {
			t.Failed[s.Name] = err.Error()
		}
		bar.add(s.Size)
	}
	bar.done()
	if err := out.Flush(); err != nil {
		return err
	}
	if cmd.JSON {
		if err := json.NewEncoder(g.err).Encode(t); err != nil {
			return err
		}
	} else {
		t.print(g.err)
		for _, s := range sources.Skipped {
			fmt.Fprintf(g.err, "skipped %s: %s\n", s.Name, s.Reason)
		}
	}
	if len(t.Failed) > 0 {
		return errPartial
	}
	return nil
}

func (cmd *normalizeCmd) source(g *global, out *bufio.Writer, s ingest.Source, t *tour) error {
	in, err := s.Open(g.ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	opt := normalize.Options{Now: time.Now, ProductVersion: version}
	reader := normalize.NewReader(in)
	for {
		raw, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		var bad *normalize.RecordError
		if err == nil {
			var event normalize.Event
			if event, err = normalize.Normalize(raw, opt); err == nil {
				t.event(raw.Form, &event)
				if err := cmd.write(out, raw, opt, &event); err != nil {
					return err
				}
				continue
			}
		}
		if !errors.As(err, &bad) {
			return err
		}
		t.bad(s.Name, bad)
	}
}

func (cmd *normalizeCmd) write(out *bufio.Writer, raw normalize.Raw, opt normalize.Options, event *normalize.Event) error {
	if cmd.Quiet {
		return nil
	}
	if !cmd.Explain {
		out.Write(event.JSON)
		return out.WriteByte('\n')
	}
	origins, err := normalize.Explain(raw, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %s\n", event.UID, time.UnixMilli(event.Time).UTC().Format(time.RFC3339))
	values := valuesOf(event.JSON)
	for _, o := range origins {
		from := o.From
		switch {
		case from == "":
			from = "(" + o.Rule + ")"
		case o.Rule != "":
			from += " (" + o.Rule + ")"
		}
		fmt.Fprintf(out, "  %-42s %-44s %s\n", o.Pointer, clip(values[o.Pointer], 44), from)
	}
	return out.WriteByte('\n')
}

// valuesOf maps the fields of an event to their values as written.
func valuesOf(event []byte) map[string]string {
	values := make(map[string]string)
	fields, err := ledger.CutFields(event, nil)
	if err != nil {
		return values
	}
	for _, f := range fields {
		values[f.Pointer] = string(f.Value)
	}
	return values
}

func (t *tour) event(form string, e *normalize.Event) {
	t.Records++
	t.Events++
	t.Forms[form]++
	t.Rules[e.Rule]++
	jurisdiction := jurisdictionOf(e.Jurisdictions)
	if t.Places[jurisdiction] == nil {
		t.Places[jurisdiction] = map[string]int{}
	}
	t.Places[jurisdiction][e.Region]++
}

func jurisdictionOf(ids []string) string {
	if len(ids) == 0 {
		return "unknown"
	}
	return strings.Join(ids, ",")
}

func (t *tour) bad(file string, e *normalize.RecordError) {
	t.Records++
	if t.Quarantined[string(e.Reason)]++; t.Examples[e.Reason] == "" {
		t.Examples[e.Reason] = fmt.Sprintf("%s, byte %d: %s", file, e.Offset, e.Detail)
	}
}

func (t *tour) print(w io.Writer) {
	fmt.Fprintf(w, "%d records in %d files: %d events, %d unusable\n", t.Records, t.Files, t.Events, t.Records-t.Events)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, form := range slices.Sorted(maps.Keys(t.Forms)) {
		fmt.Fprintf(tab, "  form\t%s\t%d\n", form, t.Forms[form])
	}
	for _, j := range slices.Sorted(maps.Keys(t.Places)) {
		for _, region := range slices.Sorted(maps.Keys(t.Places[j])) {
			fmt.Fprintf(tab, "  %s\t%s\t%d\n", j, region, t.Places[j][region])
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(t.Rules)) {
		fmt.Fprintf(tab, "  decided by\t%s\t%d\n", rule, t.Rules[rule])
	}
	for _, reason := range slices.Sorted(maps.Keys(t.Quarantined)) {
		fmt.Fprintf(tab, "  unusable\t%s\t%d\tfirst: %s\n", reason, t.Quarantined[reason], t.Examples[normalize.Reason(reason)])
	}
	tab.Flush()
	for _, file := range slices.Sorted(maps.Keys(t.Failed)) {
		fmt.Fprintf(w, "not read to its end: %s: %s\n", file, t.Failed[file])
	}
}
