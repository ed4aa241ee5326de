package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

type statsCmd struct {
	askFlag
	filterFlags
	By    []string `help:"Columns to count by: region, provider, account, service, operation, actor, status, … At most three." placeholder:"COLUMN"`
	Every string   `help:"Count by spans of time, too: 1m, 5m, 15m, 30m, 1h, 3h, 6h, 12h, 1d." placeholder:"SPAN"`
	Limit int      `short:"n" help:"At most so many groups." default:"1000"`
	JSON  bool     `name:"json" help:"Print the answer as JSON."`
}

func (*statsCmd) Help() string {
	return `Examples:
  domicile stats --by region
  domicile stats --by jurisdiction --every 1d --from 30d
  domicile stats --by actor --status Failure -n 10`
}

// statsAnswer are counts.
type statsAnswer struct {
	coverage
	By     []string `json:"by"`
	Every  string   `json:"every"`
	Groups []struct {
		Values []string `json:"values"`
		Start  *int64   `json:"start"`
		Count  uint64   `json:"count"`
	} `json:"groups"`
	Truncated bool `json:"truncated"`
}

func (cmd *statsCmd) Run(g *global) error {
	query, err := cmd.values(time.Now())
	if err != nil {
		return err
	}
	if len(cmd.By) > 0 {
		query["by"] = cmd.By
	}
	if cmd.Every != "" {
		query.Set("every", cmd.Every)
	}
	query.Set("limit", fmt.Sprint(cmd.Limit))
	return cmd.ask(g, func(a *asker) error {
		var raw json.RawMessage
		if err := a.get(g.ctx, "/v1/stats", query, &raw); err != nil {
			return err
		}
		var answer statsAnswer
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		if cmd.JSON {
			_, err = fmt.Fprintf(g.out, "%s\n", raw)
		} else {
			err = answer.print(g)
		}
		if err != nil {
			return err
		}
		if answer.Truncated {
			fmt.Fprintf(g.err, "There are more groups: ask for more with -n, or count by fewer columns.\n")
		}
		return answer.report(g)
	})
}

// print prints the counts as a table, each with a bar that shows its share of the greatest.
func (s *statsAnswer) print(g *global) error {
	if len(s.Groups) == 0 {
		fmt.Fprintln(g.err, "No event fits.")
		return nil
	}
	tab := table{keep: 1, width: g.width}
	if s.Every != "" {
		tab.head = append(tab.head, "FROM (UTC)")
	}
	for _, column := range s.By {
		tab.head = append(tab.head, strings.ToUpper(column))
	}
	tab.head = append(tab.head, "EVENTS", "")
	var most uint64
	for _, group := range s.Groups {
		most = max(most, group.Count)
	}
	const width = 20
	for _, group := range s.Groups {
		var row []string
		if group.Start != nil {
			row = append(row, time.UnixMilli(*group.Start).UTC().Format("2006-01-02 15:04"))
		}
		for _, v := range group.Values {
			if v == "" {
				v = "-"
			}
			row = append(row, v)
		}
		bar := strings.Repeat("█", int(max(1, group.Count*width/most)))
		tab.add(append(row, fmt.Sprint(group.Count), bar)...)
	}
	return tab.print(g.out)
}
