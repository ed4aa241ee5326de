package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

type controlCmd struct {
	List controlListCmd `cmd:"" help:"List entries of the control logs: what was done with the data."`
}

type controlListCmd struct {
	askFlag
	Cell      []string `help:"Cells to ask; all otherwise." placeholder:"ID"`
	Type      []string `help:"Entries of these types only: policy, key, node, heartbeat, batch, access, quarantine, finding, gap." placeholder:"TYPE"`
	From      *uint64  `help:"Entries from this index on." placeholder:"N"`
	To        *uint64  `help:"Entries below this index." placeholder:"N"`
	Limit     int      `short:"n" help:"At most so many of each cell; 0 for all." default:"50"`
	Ascending bool     `help:"The oldest first; otherwise the newest."`
	Proof     bool     `help:"With the inclusion proof of each entry, and before them a line with the checkpoint that they lead to; for --json."`
	JSON      bool     `name:"json" help:"Print a line of JSON for each entry."`
}

func (*controlListCmd) Help() string {
	return `Examples:
  domicile control list
  domicile control list --cell eu --type access -n 10
  domicile control list --cell eu --from 0 --ascending -n 0 --json --proof`
}

// controlAnswer is a page of entries.
type controlAnswer struct {
	coverage
	Cells []struct {
		cellAnswer
		Control struct {
			Checkpoint json.RawMessage `json:"checkpoint"`
		} `json:"control"`
		Entries []json.RawMessage `json:"entries"`
		Next    *controlNext      `json:"next"`
	} `json:"cells"`
}

// controlNext asks for what follows a page.
type controlNext struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	Size uint64 `json:"size"`
}

func (cmd *controlListCmd) Run(g *global) error {
	if cmd.Limit < 0 {
		return errors.New("--limit: give 0 for all, or how many")
	}
	if cmd.Proof && !cmd.JSON {
		return errors.New("--proof is for --json")
	}
	query := url.Values{"descending": {strconv.FormatBool(!cmd.Ascending)}, "proof": {strconv.FormatBool(cmd.Proof)}}
	if len(cmd.Cell) > 0 {
		query["cell"] = cmd.Cell
	}
	if len(cmd.Type) > 0 {
		query["type"] = cmd.Type
	}
	for name, at := range map[string]*uint64{"from": cmd.From, "to": cmd.To} {
		if at != nil {
			query.Set(name, strconv.FormatUint(*at, 10))
		}
	}
	return cmd.ask(g, func(a *asker) error {
		cells, all, err := cmd.first(g, a, query)
		if err != nil {
			return err
		}
		tab := table{head: []string{"CELL", "INDEX", "TIME", "TYPE", "BY", "WHAT"}, keep: 4, width: g.width}
		for i := range cells.Cells {
			if cmd.Proof && cells.Cells[i].Answered {
				fmt.Fprintf(g.out, `{"cell":%q,"checkpoint":%s}`+"\n", cells.Cells[i].Jurisdiction, cells.Cells[i].Control.Checkpoint)
			}
			if err := cmd.rest(g, a, query, &cells.Cells[i].cellAnswer, cells.Cells[i].Entries, cells.Cells[i].Next, &tab); err != nil {
				return err
			}
		}
		if !cmd.JSON {
			if err := tab.print(g.out); err != nil {
				return err
			}
		}
		return all.report(g)
	})
}

const controlPage = 1000 // entries of a cell in one answer

// page is how many entries to ask for when so many were printed.
func (cmd *controlListCmd) page(printed int) int {
	if cmd.Limit == 0 {
		return controlPage
	}
	return min(controlPage, cmd.Limit-printed)
}

// first asks all cells for their first page.
func (cmd *controlListCmd) first(g *global, a *asker, query url.Values) (*controlAnswer, *coverage, error) {
	query.Set("limit", strconv.Itoa(cmd.page(0)))
	answer := new(controlAnswer)
	if err := a.get(g.ctx, "/v1/control", query, answer); err != nil {
		return nil, nil, err
	}
	all := &coverage{Complete: answer.Complete}
	for _, c := range answer.Cells {
		all.Cells = append(all.Cells, c.cellAnswer)
	}
	return answer, all, nil
}

// rest prints a cell's first page, and what follows.
func (cmd *controlListCmd) rest(g *global, a *asker, query url.Values, cell *cellAnswer, entries []json.RawMessage, next *controlNext, tab *table) error {
	for printed := 0; ; {
		for _, raw := range entries {
			if err := cmd.show(g, cell.Jurisdiction, raw, tab); err != nil {
				return err
			}
		}
		printed += len(entries)
		if next == nil || cmd.Limit > 0 && printed >= cmd.Limit {
			return nil
		}
		query["cell"] = []string{cell.Jurisdiction}
		query.Set("limit", strconv.Itoa(cmd.page(printed)))
		for name, at := range map[string]uint64{"from": next.From, "to": next.To, "size": next.Size} {
			query.Set(name, strconv.FormatUint(at, 10))
		}
		answer := new(controlAnswer)
		if err := a.get(g.ctx, "/v1/control", query, answer); err != nil {
			return err
		}
		if len(answer.Cells) != 1 || !answer.Cells[0].Answered {
			return fmt.Errorf("cell %s stopped answering", cell.Jurisdiction)
		}
		entries, next = answer.Cells[0].Entries, answer.Cells[0].Next
	}
}

// show prints an entry, or adds it to the table.
func (cmd *controlListCmd) show(g *global, cell string, raw json.RawMessage, tab *table) error {
	if cmd.JSON {
		_, err := fmt.Fprintf(g.out, `{"cell":%q,%s`+"\n", cell, strings.TrimPrefix(string(raw), "{"))
		return err
	}
	var line struct {
		Index uint64                     `json:"index"`
		Entry map[string]json.RawMessage `json:"entry"`
	}
	if err := json.Unmarshal(raw, &line); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	text := func(name string) string {
		var s string
		if json.Unmarshal(line.Entry[name], &s) != nil {
			return string(line.Entry[name])
		}
		return s
	}
	var what []string
	for _, name := range whatEntriesSay[text("type")] {
		if said := text(name); said != "" && said != "null" {
			what = append(what, name+" "+said)
		}
	}
	tab.add(cell, strconv.FormatUint(line.Index, 10), text("time"), text("type"), text("emitter"), strings.Join(what, ", "))
	return nil
}

// whatEntriesSay are the members of each type of entry that a table shows (docs/claims.md has all of them).
var whatEntriesSay = map[string][]string{
	"policy":     {"hash", "effective"},
	"key":        {"event", "purpose", "origin", "kid"},
	"node":       {"event", "role", "build"},
	"heartbeat":  {"control_size"},
	"batch":      {"origin", "first", "size", "commit_seq"},
	"access":     {"phase", "op", "content", "decision", "records", "of"},
	"quarantine": {"action", "reason", "count"},
	"finding":    {"kind", "state", "ref"},
	"gap":        {"subject", "cause", "state"},
}
