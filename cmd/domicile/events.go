package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
)

// filterFlags say which events are meant.
type filterFlags struct {
	Text []string `arg:"" optional:"" help:"Words that all occur in the event." placeholder:"WORD"`

	From string `help:"Events from this time on: 2026-10-01, 2026-10-01T06:00:00Z, or 24h for a day ago." placeholder:"TIME"`
	To   string `help:"Events before this time." placeholder:"TIME"`

	UID          []string `name:"uid" help:"metadata.uid of the event." placeholder:"UID"`
	Cell         []string `help:"Cells to ask; all otherwise." placeholder:"ID"`
	Log          []string `help:"Origin of an events log." placeholder:"ORIGIN"`
	Jurisdiction []string `help:"Jurisdiction that the evidence names." placeholder:"ID"`
	Region       []string `help:"Region: aws:eu-central-1." placeholder:"REGION"`
	Provider     []string `help:"Provider: aws, azure, gcp." placeholder:"NAME"`
	Account      []string `help:"Account, subscription or project." placeholder:"ID"`
	Class        []string `help:"OCSF class, by number or name." placeholder:"CLASS"`
	Activity     []string `help:"OCSF activity, by number or name." placeholder:"ACTIVITY"`
	Service      []string `help:"Service whose API was called." placeholder:"NAME"`
	Operation    []string `help:"Operation that was called." placeholder:"NAME"`
	Actor        []string `help:"Who did it." placeholder:"NAME"`
	SrcIP        []string `name:"src-ip" help:"Address it came from." placeholder:"ADDRESS"`
	Status       []string `help:"Success or Failure." placeholder:"STATUS"`
	Resource     []string `help:"What it was done to." placeholder:"NAME"`

	Purpose string `help:"Why the events are read, for the control log." enum:"${purposes}" default:"operation"`
}

// values are the parameters of the API.
func (f *filterFlags) values(now time.Time) (url.Values, error) {
	v := url.Values{"purpose": {f.Purpose}}
	for name, list := range map[string][]string{
		"uid": f.UID, "cell": f.Cell, "log": f.Log, "jurisdiction": f.Jurisdiction, "region": f.Region, "provider": f.Provider,
		"account": f.Account, "class": f.Class, "activity": f.Activity, "service": f.Service, "operation": f.Operation,
		"actor": f.Actor, "src_ip": f.SrcIP, "status": f.Status, "resource": f.Resource,
	} {
		if len(list) > 0 {
			v[name] = list
		}
	}
	if len(f.Text) > 0 {
		v.Set("text", strings.Join(f.Text, " "))
	}
	for name, text := range map[string]string{"from": f.From, "to": f.To} {
		if text == "" {
			continue
		}
		at, err := parseTime(text, now)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", name, text, err)
		}
		v.Set(name, strconv.FormatInt(at.UnixMilli(), 10))
	}
	return v, nil
}

// parseTime reads a day, a time, or how long ago.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02 15:04:05", time.RFC3339Nano} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, errors.New("give a day (2026-10-01), a time (2026-10-01T06:00:00Z, UTC unless it says otherwise), or how long ago (30m, 24h, 7d)")
}

type eventsCmd struct {
	askFlag
	filterFlags
	Limit  int  `short:"n" help:"At most so many; 0 for all." default:"50"`
	JSON   bool `name:"json" help:"Print a line of JSON for each event: uid, time, log, index, and the record with the whole event."`
	UIDs   bool `name:"uids" help:"Print nothing but the uids."`
	Follow bool `short:"f" help:"Go on with what comes, until Ctrl-C."`
}

func (*eventsCmd) Help() string {
	return `Examples:
  domicile events
  domicile events --account 111122223333 --operation DeleteBucket --from 30d
  domicile events alice --status Failure --json
  domicile events --uids -n 1 --cell eu | xargs domicile proof -o proof.json

Newest first. Every read is logged in the control logs of the cells that are asked.`
}

// eventAnswer is a page of events.
type eventAnswer struct {
	coverage
	Events []json.RawMessage `json:"events"`
	Next   string            `json:"next"`
}

func (cmd *eventsCmd) Run(g *global) error {
	if cmd.JSON && cmd.UIDs {
		return errors.New("--json and --uids exclude each other")
	}
	if cmd.Limit < 0 {
		return errors.New("--limit: give 0 for all, or how many")
	}
	return cmd.ask(g, func(a *asker) error { return cmd.run(g, a) })
}

func (cmd *eventsCmd) run(g *global, a *asker) error {
	query, err := cmd.values(time.Now())
	if err != nil {
		return err
	}
	out := &eventPrinter{cmd: cmd, g: g}
	last, err := cmd.pages(g.ctx, a, query, cmd.Limit, out)
	if err != nil {
		return err
	}
	if out.printed == 0 && !cmd.JSON && !cmd.UIDs && !cmd.Follow {
		fmt.Fprintln(g.err, "No event fits.")
	}
	if err := last.report(g); err != nil || !cmd.Follow {
		return err
	}
	return cmd.follow(g, a, query, last, out)
}

// pages prints pages until there are enough events or no more. It returns the first page without its events: its
// checkpoints are those of all.
func (cmd *eventsCmd) pages(ctx context.Context, a *asker, query url.Values, limit int, out *eventPrinter) (*eventAnswer, error) {
	const most = 1000 // of one page
	var first *eventAnswer
	query.Del("cursor")
	for left := limit; ; {
		n := most
		if limit > 0 {
			n = min(left, most)
		}
		query.Set("limit", strconv.Itoa(n))
		page := new(eventAnswer)
		if err := a.get(ctx, "/v1/events", query, page); err != nil {
			return nil, err
		}
		if err := out.print(page.Events); err != nil {
			return nil, err
		}
		if first == nil {
			first = page
		}
		first.Complete = first.Complete && page.Complete
		left -= len(page.Events)
		if page.Next == "" || limit > 0 && left <= 0 {
			return first, nil
		}
		query.Set("cursor", page.Next)
	}
}

// followEvery is how often a search is repeated that goes on.
const followEvery = time.Second

// follow prints events that come after those of an answer, until the command is to end.
func (cmd *eventsCmd) follow(g *global, a *asker, query url.Values, last *eventAnswer, out *eventPrinter) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		query["since"] = last.heads(query["since"])
		select {
		case <-ticker.C:
		case <-g.ctx.Done():
			return nil
		}
		next, err := cmd.pages(g.ctx, a, query, 0, out)
		if g.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			fmt.Fprintf(g.err, "%v: trying again\n", err)
			continue
		}
		last = next
	}
}

// heads says of each log up to which leaf it was searched: where to go on. A cell that did not answer goes on where it was.
func (e *eventAnswer) heads(before []string) []string {
	at := make(map[string]string)
	for _, s := range before {
		origin, _, _ := strings.Cut(s, "@")
		at[origin] = s
	}
	for _, c := range e.Cells {
		for _, l := range c.Logs {
			if c.Answered && l.Checkpoint != nil {
				at[l.Origin] = fmt.Sprintf("%s@%d", l.Origin, min(l.Checkpoint.Size, l.Indexed))
			}
		}
	}
	var list []string
	for _, s := range at {
		list = append(list, s)
	}
	return list
}

// eventPrinter prints events as they come.
type eventPrinter struct {
	cmd     *eventsCmd
	g       *global
	printed int
}

// shownEvent is what the printer needs to know of an event.
type shownEvent struct {
	UID    string `json:"uid"`
	Time   int64  `json:"time"`
	Log    string `json:"log"`
	Record struct {
		Event json.RawMessage `json:"event"`
	} `json:"record"`
}

func (p *eventPrinter) print(events []json.RawMessage) error {
	if len(events) == 0 {
		return nil
	}
	tab := table{keep: 2, width: p.g.width}
	if p.printed == 0 {
		tab.head = []string{"TIME (UTC)", "CELL", "REGION", "SERVICE", "OPERATION", "ACTOR", "STATUS", "UID"}
	}
	p.printed += len(events)
	for _, raw := range events {
		if p.cmd.JSON {
			if _, err := fmt.Fprintf(p.g.out, "%s\n", raw); err != nil {
				return err
			}
			continue
		}
		var e shownEvent
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		if p.cmd.UIDs {
			if _, err := fmt.Fprintln(p.g.out, e.UID); err != nil {
				return err
			}
			continue
		}
		tab.add(e.row()...)
	}
	if p.cmd.JSON || p.cmd.UIDs {
		return nil
	}
	return tab.print(p.g.out)
}

// row are the columns of an event in a table.
func (e *shownEvent) row() []string {
	cell := ""
	if origin, err := ledger.ParseOrigin(e.Log); err == nil {
		cell = origin.Jurisdiction
	}
	row := []string{time.UnixMilli(e.Time).UTC().Format(time.DateTime), cell}
	fields, _ := ledger.CutFields(e.Record.Event, nil)
	for _, pointers := range [][]string{
		{"/cloud/region"},
		{"/api/service/name"},
		{"/api/operation"},
		{"/actor/user/name", "/actor/user/email_addr", "/actor/user/uid", "/user/name", "/user/uid", "/actor/invoked_by"},
		{"/status"},
	} {
		row = append(row, firstField(fields, pointers))
	}
	return append(row, e.UID)
}

// firstField is the text of the first of some fields that an event has.
func firstField(fields []ledger.Field, pointers []string) string {
	for _, pointer := range pointers {
		for _, f := range fields {
			if f.Pointer == pointer && len(f.Value) > 2 && f.Value[0] == '"' {
				text, _ := rawjson.AppendUnescaped(nil, f.Value[1:len(f.Value)-1])
				return string(text)
			}
		}
	}
	return "-"
}
