package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/index"
)

func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

type eventsAnswer struct {
	Complete bool
	Cells    []cell
	Events   []struct {
		UID    string
		Time   int64
		Log    string
		Index  uint64
		Record json.RawMessage
	}
	Next string
}

func TestEventsCarryWhatTheyStandOn(t *testing.T) {
	a := newClient(t, &fakeCells{}).get("/v1/events").want(t, 200, "")
	got := decode[eventsAnswer](t, a)
	if !got.Complete || got.Next != "next-page_1" || len(got.Events) != 1 || len(got.Cells) != 2 {
		t.Fatalf("answer %s", a.body)
	}
	eu := got.Cells[0]
	if eu.Jurisdiction != "eu" || !eu.Answered || eu.Receipt == nil || eu.Receipt.Index != 17 || *eu.Count != 1 {
		t.Errorf("cell %+v", eu)
	}
	if l := eu.Logs[0]; l.Origin != "local/eu/events/0" || l.Checkpoint.Size != 44 || l.Indexed != 43 || l.Behind != 1 {
		t.Errorf("log %+v", l)
	}
	if !bytes.Contains(a.body, []byte(aRecord)) {
		t.Errorf("the record is not there byte for byte: %s", a.body)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("event data may be cached: %v", a.Header)
	}
}

func TestEventsAsLines(t *testing.T) {
	a := newClient(t, &fakeCells{}).get("/v1/events", "Accept", typeNDJSON).want(t, 200, "")
	lines := strings.Split(string(a.body), "\n")
	if len(lines) != 3 || lines[2] != "" || !strings.Contains(lines[0], aRecord) || !strings.HasPrefix(lines[1], `{"complete":true,`) {
		t.Errorf("lines %q", lines)
	}
	if got := a.Header.Get("Content-Type"); got != typeNDJSON {
		t.Errorf("content type %s", got)
	}
}

func TestFilterReachesTheCells(t *testing.T) {
	var asked query.Question
	var asker query.Asker
	cells := &fakeCells{search: func(who query.Asker, q query.Question) (*query.FederatedAnswer, error) {
		asked, asker = q, who
		return aPage(), nil
	}}
	target := "/v1/events?from=2026-01-01T01:00:00%2B01:00&to=1767312000000&text=red+fox&cell=us&limit=7&cursor=abc&purpose=legal"
	want := query.Question{Limit: 7, Cursor: "abc", Cells: []string{"us"}, Filter: index.Filter{
		From: time.UnixMilli(1767225600000).UTC(), To: time.UnixMilli(1767312000000).UTC(), Text: "red fox",
		Equal: map[index.Column][]string{}}}
	for i, c := range index.Columns() {
		target += fmt.Sprintf("&%s=v%d&%s='%%20OR%%201=1--", c, i, c)
		want.Filter.Equal[c] = []string{fmt.Sprintf("v%d", i), "' OR 1=1--"}
	}
	newClient(t, cells).get(target).want(t, 200, "")
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %+v\nwant  %+v", asked, want)
	}
	if asker.Purpose != ledger.PurposeLegal || asker.Principal != "http:loopback" || asker.Role != "operator" {
		t.Errorf("asker %+v", asker)
	}
}

func TestDefaults(t *testing.T) {
	var limit int
	var purposes []ledger.AccessPurpose
	c := newClient(t, &fakeCells{
		search: func(who query.Asker, q query.Question) (*query.FederatedAnswer, error) {
			limit, purposes = q.Limit, append(purposes, who.Purpose)
			return aPage(), nil
		},
		prove: func(who query.Asker, refs []query.Ref, o query.ProofOptions, _ []string) (*query.FederatedProofs, error) {
			purposes = append(purposes, who.Purpose)
			return &query.FederatedProofs{Proofs: []query.Proof{aProof(o)}, Cells: bothCells(), Complete: true}, nil
		},
	})
	c.get("/v1/events").want(t, 200, "")
	c.get("/v1/events/x/proof").want(t, 200, "")
	if limit != 100 || !slices.Equal(purposes, []ledger.AccessPurpose{ledger.PurposeOperation, ledger.PurposeAudit}) {
		t.Errorf("limit %d, purposes %v", limit, purposes)
	}
}

// TestAnAnswerSaysWhoIsMissing: with one cell of two the answer is 200 and not complete; with none it is a problem that
// says the gravest reason and every cell's.
func TestAnAnswerSaysWhoIsMissing(t *testing.T) {
	for _, test := range []struct {
		err    error
		reason kind
	}{
		{fmt.Errorf("dial tcp 127.0.0.1:41323: %w", index.ErrUnavailable), indexUnavailable},
		{fmt.Errorf("/secret/path: %w", query.ErrNotLogged), notLogged},
		{fmt.Errorf("code: 241, SELECT secret: %w", index.ErrTooMuch), tooMuch},
		{context.DeadlineExceeded, timeout},
		{query.ErrClosed, notReady},
		{errors.New("SELECT secret FROM domicile_eu.events"), internal},
	} {
		t.Run(string(test.reason), func(t *testing.T) {
			page := &query.FederatedAnswer{Rows: []index.Row{aRow()}, Cells: oneCell(test.err)}
			c := newClient(t, &fakeCells{
				search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) { return page, nil },
				event:  func(string, []string) (*query.FederatedAnswer, error) { return page, nil },
				stats: func(index.Filter, index.Grouping, []string) (*query.FederatedCounts, error) {
					return &query.FederatedCounts{Cells: page.Cells}, nil
				},
			})
			for _, target := range []string{"/v1/events", "/v1/events/x", "/v1/stats"} {
				a := c.get(target).want(t, 200, "")
				got := decode[eventsAnswer](t, a)
				if got.Complete || !got.Cells[0].Answered || got.Cells[1].Answered || got.Cells[1].Reason != test.reason {
					t.Errorf("%s: %s", target, a.body)
				}
				noSecrets(t, a)
			}
			page.Rows, page.Cells = nil, page.Cells[1:]
			status := kinds[test.reason].status
			for _, target := range []string{"/v1/events", "/v1/events/x", "/v1/stats"} {
				a := c.get(target).want(t, status, test.reason)
				if !bytes.Contains(a.body, []byte(`"complete":false`)) {
					t.Errorf("%s: %s", target, a.body)
				}
				if wait := a.Header.Get("Retry-After"); (wait != "") != (status == 503) {
					t.Errorf("%s: Retry-After %q with %d", target, wait, status)
				}
				noSecrets(t, a)
			}
		})
	}
}

func noSecrets(t *testing.T, a answer) {
	t.Helper()
	for _, secret := range []string{"secret", "SELECT", "127.0.0.1", "panic", ".go:"} {
		if bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("%q leaves: %s", secret, a.body)
		}
	}
}

func TestWhatToInstallIsSaid(t *testing.T) {
	err := fmt.Errorf("cell eu: %w: looking in /secret: %w", index.ErrUnavailable, engine.ErrNoEngine)
	a := newClient(t, &fakeCells{search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) {
		return &query.FederatedAnswer{Cells: []query.CellAnswer{{Jurisdiction: "eu", Err: err}}}, nil
	}}).get("/v1/events").want(t, 503, indexUnavailable)
	if strings.Count(string(a.body), "install Node") != 2 {
		t.Errorf("answer %s", a.body)
	}
	noSecrets(t, a)
}

// TestAnEventIsMissingOnlyIfEverybodySaysSo: a cell that does not answer may hold it.
func TestAnEventIsMissingOnlyIfEverybodySaysSo(t *testing.T) {
	none := &query.FederatedAnswer{Cells: bothCells(), Complete: true}
	some := &query.FederatedAnswer{Cells: oneCell(index.ErrUnavailable)}
	proofs := func(a *query.FederatedAnswer) *query.FederatedProofs {
		return &query.FederatedProofs{Proofs: []query.Proof{{Err: query.ErrNotFound}}, Cells: a.Cells, Complete: a.Complete}
	}
	for _, test := range []struct {
		name   string
		answer *query.FederatedAnswer
		err    error
		status int
		kind   kind
	}{
		{"an error and no answer", nil, query.ErrNotFound, 404, notFound},
		{"neither", nil, nil, 404, notFound},
		{"an error and an answer", none, query.ErrNotFound, 404, notFound},
		{"an empty answer", none, nil, 404, notFound},
		{"a cell is missing", some, nil, 503, indexUnavailable},
		{"a cell is missing, and an error", some, query.ErrNotFound, 503, indexUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, &fakeCells{
				event: func(string, []string) (*query.FederatedAnswer, error) { return test.answer, test.err },
				prove: func(query.Asker, []query.Ref, query.ProofOptions, []string) (*query.FederatedProofs, error) {
					if test.answer == nil {
						return nil, query.ErrNotFound
					}
					return proofs(test.answer), nil
				},
			})
			a := c.get("/v1/events/x").want(t, test.status, test.kind)
			if test.answer != nil && !bytes.Contains(a.body, []byte(`"receipt"`)) {
				t.Errorf("the cells that were read are not named: %s", a.body)
			}
			c.get("/v1/events/x/proof").want(t, test.status, test.kind)
		})
	}
}

func TestUidsInPaths(t *testing.T) {
	var uid string
	c := newClient(t, &fakeCells{event: func(asked string, _ []string) (*query.FederatedAnswer, error) {
		uid = asked
		return aPage(), nil
	}})
	for target, want := range map[string]string{
		"/v1/events/" + aUID:                     aUID,
		"/v1/events/aws:1:a%2Fb":                 "aws:1:a/b",
		"/v1/events/aws%3A1%3Aa~2":               "aws:1:a~2",
		"/v1/events/%2e%2e":                      "..",
		"/v1/events/%2541":                       "%41",
		"/v1/events/a%2F..%2F%25":                "a/../%",
		"/v1/events/'%20OR%201=1--":              "' OR 1=1--",
		"/v1/events/%C3%A9":                      "é",
		"/v1/events/x%3Fy":                       "x?y",
		"/v1/events/" + strings.Repeat("a", 512): strings.Repeat("a", 512),
	} {
		if uid = ""; c.get(target).StatusCode != 200 || uid != want {
			t.Errorf("%s asks for %q, want %q", target, uid, want)
		}
	}
	for target, want := range map[string]kind{
		"/v1/events/":                            notFound,
		"/v1/events/%00":                         badParameter,
		"/v1/events/%FF":                         badParameter,
		"/v1/events/" + strings.Repeat("a", 513): badParameter,
		"/v1/events/a/b":                         notFound,
		"/v1/events/a/proof/":                    notFound,
		"/v1//events":                            notFound,
		"/v1/events/a/../b":                      notFound,
	} {
		c.get(target).want(t, kinds[want].status, want)
	}
}

func TestProofOfOneEvent(t *testing.T) {
	var options query.ProofOptions
	c := newClient(t, &fakeCells{prove: func(_ query.Asker, refs []query.Ref, o query.ProofOptions, _ []string) (*query.FederatedProofs, error) {
		if options = o; len(refs) != 1 || refs[0] != (query.Ref{UID: aUID}) {
			t.Errorf("refs %+v", refs)
		}
		return &query.FederatedProofs{Proofs: []query.Proof{aProof(o)}, Cells: bothCells(), Complete: true}, nil
	}})
	bundle := c.get("/v1/events/"+aUID+"/proof?hide=/raw_data&hide=/actor/*").want(t, 200, "")
	if b, err := ledger.ParseProofBundle(bundle.body); err != nil || string(b.Record) != aRecord {
		t.Errorf("bundle %s: %v", bundle.body, err)
	}
	if options.Format != query.FormatBundle || !slices.Equal(options.Hide, []string{"/raw_data", "/actor/*"}) {
		t.Errorf("options %+v", options)
	}
	text := c.get("/v1/events/"+aUID+"/proof", "Accept", "text/plain").want(t, 200, "")
	if options.Format != query.FormatProof || !bytes.HasPrefix(text.body, []byte("c2sp.org/tlog-proof@v1\n")) {
		t.Errorf("options %+v, text %s", options, text.body)
	}
	for _, a := range []answer{bundle, text} {
		raw, err := base64.RawURLEncoding.DecodeString(a.Header.Get("Domicile-Receipt"))
		var r ledger.Receipt
		if err != nil || json.Unmarshal(raw, &r) != nil || r.Origin != "local/eu/control" || r.Index != 17 {
			t.Errorf("receipt %s: %v", raw, err)
		}
		if got := a.Header.Get("Domicile-Checkpoint"); got != "local/eu/events/0 44 "+ledger.FormatHash(ledger.Hash{}) {
			t.Errorf("checkpoint %s", got)
		}
		if a.Header.Get("Domicile-Complete") != "true" {
			t.Error("not said to be complete")
		}
	}
}

func TestWhyThereIsNoProof(t *testing.T) {
	for _, test := range []struct {
		err  error
		kind kind
	}{
		{fmt.Errorf("secret row: %w", query.ErrAltered), alteredRecord},
		{fmt.Errorf("secret: %w", query.ErrNotProvable), notReady},
		{fmt.Errorf("/secret/keys: %w", log.ErrNoRecord), recordGone},
		{query.ErrNotFound, notFound},
		{query.ErrNotLogged, notLogged},
		{errors.New("secret"), internal},
		{fmt.Errorf("%w: the event has no field /x", query.ErrInvalid), badParameter},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			c := newClient(t, &fakeCells{prove: func(_ query.Asker, refs []query.Ref, o query.ProofOptions, _ []string) (*query.FederatedProofs, error) {
				out := &query.FederatedProofs{Cells: bothCells(), Complete: true}
				for range refs {
					out.Proofs = append(out.Proofs, query.Proof{Ref: query.Ref{UID: aUID, Log: "local/eu/events/0", Index: 41}, Err: test.err})
				}
				if len(refs) > 1 {
					out.Proofs[1] = aProof(o)
				}
				return out, nil
			}})
			one := c.get("/v1/events/x/proof").want(t, kinds[test.kind].status, test.kind)
			many := c.post("/v1/proofs", `{"refs":[{"uid":"x"},{"log":"local/eu/events/0","index":41}]}`).want(t, 200, test.kind)
			got := decode[struct {
				Proofs []struct {
					Ref     map[string]any
					Bundle  json.RawMessage
					Problem *problemView
				}
			}](t, many)
			if p := got.Proofs; len(p) != 2 || p[0].Ref["uid"] != "x" || p[0].Problem == nil || p[1].Ref["index"] != 41.0 || p[1].Bundle == nil {
				t.Errorf("proofs %s", many.body)
			}
			for _, a := range []answer{one, many} {
				noSecrets(t, a)
				if test.kind == alteredRecord && !bytes.Contains(a.body, []byte(`"log":"local/eu/events/0","index":41`)) {
					t.Errorf("the altered record is not named: %s", a.body)
				}
			}
		})
	}
}

func TestManyProofs(t *testing.T) {
	var got []query.Ref
	var options query.ProofOptions
	var cells []string
	c := newClient(t, &fakeCells{prove: func(_ query.Asker, refs []query.Ref, o query.ProofOptions, in []string) (*query.FederatedProofs, error) {
		got, options, cells = refs, o, in
		out := &query.FederatedProofs{Cells: bothCells(), Complete: true}
		for range refs {
			out.Proofs = append(out.Proofs, aProof(o))
		}
		return out, nil
	}})
	a := c.post("/v1/proofs", ` { "refs" : [{"uid":"a\u0062"}, {"index":0,"log":"local/eu/events/0"}], "format":"tlog-proof", "cells":["us","eu"], "purpose":"legal" } `).want(t, 200, "")
	if !slices.Equal(got, []query.Ref{{UID: "ab"}, {Log: "local/eu/events/0"}}) || options.Format != query.FormatProof || !slices.Equal(cells, []string{"us", "eu"}) {
		t.Errorf("refs %+v, options %+v, cells %v", got, options, cells)
	}
	if strings.Count(string(a.body), `"tlog_proof":"c2sp.org`) != 2 {
		t.Errorf("answer %s", a.body)
	}
	most := `{"refs":[` + strings.Repeat(`{"uid":"a"},`, 999) + `{"uid":"b"}]}`
	c.post("/v1/proofs", most).want(t, 200, "")
	if len(got) != 1000 {
		t.Errorf("%d refs", len(got))
	}
}

func TestStats(t *testing.T) {
	var got index.Grouping
	c := newClient(t, &fakeCells{stats: func(_ index.Filter, g index.Grouping, _ []string) (*query.FederatedCounts, error) {
		got = g
		return &query.FederatedCounts{Groups: []index.Group{{Values: []string{"aws:eu-central-1", "<&>"}, Start: 86400000, Count: 1<<53 - 1}},
			Truncated: true, Cells: bothCells(), Complete: true}, nil
	}})
	a := c.get("/v1/stats?by=region&by=actor&every=1d&limit=10000&status=Failure").want(t, 200, "")
	if want := (index.Grouping{By: []index.Column{"region", "actor"}, Every: 24 * time.Hour, Limit: 10000}); !reflect.DeepEqual(got, want) {
		t.Errorf("grouping %+v, want %+v", got, want)
	}
	if want := `"by":["region","actor"],"every":"1d","groups":[{"values":["aws:eu-central-1","<&>"],"start":86400000,"count":9007199254740991}],"truncated":true}`; !bytes.HasSuffix(a.body, []byte(want+"\n")) {
		t.Errorf("answer %s", a.body)
	}
	a = newClient(t, &fakeCells{}).get("/v1/stats").want(t, 200, "")
	if !bytes.Contains(a.body, []byte(`"by":[],"groups":[{"values":[],"count":3}],"truncated":false`)) {
		t.Errorf("answer %s", a.body)
	}
}

func TestLogs(t *testing.T) {
	fresh := aCell("eu")
	fresh.State.Logs[0].Note, fresh.State.IndexError, fresh.State.Logs[0].IndexError = nil, "secret", "secret"
	c := newClient(t, &fakeCells{states: func() []query.CellAnswer {
		return []query.CellAnswer{fresh, aCell("us"), {Jurisdiction: "ch", Err: errors.New("secret")}}
	}, names: []string{"eu", "us", "ch"}})
	a := c.get("/v1/logs").want(t, 200, "")
	for _, want := range []string{`{"complete":false,`, `"searchable":false,"logs":[{"origin":"local/eu/events/0","checkpoint":null,"indexed":43,"behind":1,"stalled":true}]`,
		`"control":{"origin":"local/us/control","checkpoint":{"size":18,`, `{"jurisdiction":"ch","answered":false,"reason":"internal"`} {
		if !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("lacks %s: %s", want, a.body)
		}
	}
	noSecrets(t, a)
	if a = c.get("/v1/logs?cell=us").want(t, 200, ""); bytes.Contains(a.body, []byte("local/eu")) || !bytes.Contains(a.body, []byte(`"complete":true`)) {
		t.Errorf("answer %s", a.body)
	}
}

func TestConsistency(t *testing.T) {
	type asked struct {
		origin   string
		from, to uint64
	}
	var got asked
	c := newClient(t, &fakeCells{consistency: func(origin string, from, to uint64) (*query.ConsistencyProof, error) {
		got = asked{origin, from, to}
		if from == 99 {
			return nil, fmt.Errorf("%w: the log has 44 leaves", query.ErrInvalid)
		}
		return &query.ConsistencyProof{Origin: origin, From: from, To: 44, Hashes: []ledger.Hash{{1}, {2}}, Note: []byte("note")}, nil
	}})
	for target, want := range map[string]asked{
		"/v1/logs/eu/events/0/consistency?from=3":        {"local/eu/events/0", 3, 0},
		"/v1/logs/us/events/12/consistency?from=3&to=44": {"local/us/events/12", 3, 44},
		"/v1/logs/eu/control/consistency?from=1&to=1":    {"local/eu/control", 1, 1},
	} {
		if c.get(target).want(t, 200, ""); got != want {
			t.Errorf("%s asks for %+v, want %+v", target, got, want)
		}
	}
	for target, want := range map[string]kind{
		"/v1/logs/eu/events/0/consistency":                  badParameter,
		"/v1/logs/eu/events/0/consistency?from=0":           badParameter,
		"/v1/logs/eu/events/0/consistency?from=99":          badParameter,
		"/v1/logs/eu/events/0/consistency?from=-1":          badParameter,
		"/v1/logs/eu/events/0/consistency?from=5&to=4":      badParameter,
		"/v1/logs/eu/events/00/consistency?from=5":          notFound,
		"/v1/logs/eu/events/x/consistency?from=5":           notFound,
		"/v1/logs/xx/events/0/consistency?from=5":           notFound,
		"/v1/logs/xx/control/consistency?from=5":            notFound,
		"/v1/logs/eu/events/99999999999/consistency?from=5": notFound,
	} {
		c.get(target).want(t, kinds[want].status, want)
	}
}

func TestControl(t *testing.T) {
	var got query.ControlFilter
	var proofs bool
	cells := &fakeCells{control: func(j string, f query.ControlFilter, p bool) (*query.ControlPage, error) {
		got, proofs = f, p
		if j == "us" {
			return nil, errors.New("secret")
		}
		return (&fakeCells{}).Control(context.Background(), j, f, p)
	}}
	c := newClient(t, cells)
	a := c.get("/v1/control?type=access&type=batch&from=3&to=17&size=18&limit=1000&descending=true&proof=true").want(t, 200, "")
	want := query.ControlFilter{Types: []ledger.EntryType{ledger.EntryAccess, ledger.EntryBatch}, From: 3, To: 17, Limit: 1000, Descending: true, Size: 18}
	if !reflect.DeepEqual(got, want) || !proofs {
		t.Errorf("filter %+v, want %+v; proofs %v", got, want, proofs)
	}
	for _, want := range []string{`{"complete":false,`, `"entries":[{"index":17,"entry":` + string(anEntry()) + `,"proof":["AQAA`,
		`"next":{"from":0,"to":17,"size":18}`, `{"jurisdiction":"us","answered":false,"reason":"internal"`} {
		if !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("lacks %s: %s", want, a.body)
		}
	}
	noSecrets(t, a)
	if a = c.get("/v1/control?cell=eu").want(t, 200, ""); bytes.Contains(a.body, []byte(`"proof":[`)) {
		t.Errorf("proofs that nobody asked for: %s", a.body)
	}
	noSecrets(t, c.get("/v1/control?cell=us").want(t, 500, internal))
}

func TestQuarantine(t *testing.T) {
	receipt := aCell("eu").Receipt
	c := newClient(t, &fakeCells{}, func(cfg *Config) {
		cfg.Quarantine = func(_ context.Context, who query.Asker, j string, limit int) (*Quarantine, error) {
			if j == "us" {
				return nil, query.ErrNotLogged
			}
			item := QuarantineItem{Item: strings.Repeat("0", 64), Reason: "invalid_json", Bytes: 12, Source: "s"}
			return &Quarantine{Held: 2, Reasons: map[string]uint64{"invalid_json": 2}, Items: []QuarantineItem{item, item}, Receipt: receipt}, nil
		}
	})
	a := c.get("/v1/quarantine?limit=1").want(t, 200, "")
	if !bytes.Contains(a.body, []byte(`"held":2`)) || strings.Count(string(a.body), `"item":`) != 1 || !bytes.Contains(a.body, []byte(`"reason":"not-logged"`)) {
		t.Errorf("answer %s", a.body)
	}
	c.get("/v1/quarantine?cell=us").want(t, 503, notLogged)
	newClient(t, &fakeCells{}).get("/v1/quarantine").want(t, 200, "")
}

func TestReadyNamesWhatIsNot(t *testing.T) {
	components := []Component{{Name: "cell eu", Ready: true}, {Name: "engine", Ready: true}}
	c := newClient(t, &fakeCells{}, func(cfg *Config) { cfg.Ready = func(context.Context) []Component { return components } })
	c.get("/readyz").want(t, 200, "")
	components[1] = Component{Name: "engine", Why: "it is starting"}
	a := c.get("/readyz").want(t, 503, "")
	if !bytes.Contains(a.body, []byte(`{"name":"engine","ready":false,"why":"it is starting"}`)) {
		t.Errorf("answer %s", a.body)
	}
	c.get("/livez").want(t, 200, "")
	newClient(t, &fakeCells{}).get("/readyz").want(t, 200, "")
	if a := c.get("/openapi.yaml").want(t, 200, ""); !bytes.HasPrefix(a.body, []byte("openapi: 3.1")) {
		t.Errorf("answer %.80s", a.body)
	}
}

func TestMetricsNameRoutesAndNothingElse(t *testing.T) {
	m := NewMetrics()
	m.ControlAppended("eu", time.Millisecond)
	for _, err := range []error{m.WatchEngine(func() uint64 { return 3 }), m.WatchWriters(func() []LogSizes {
		return []LogSizes{{Origin: "local/eu/events/0", Committed: 45, Bound: 40}}
	})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := newClient(t, &fakeCells{}, func(cfg *Config) { cfg.Metrics = m })
	newClient(t, &fakeCells{}, func(cfg *Config) { cfg.Metrics = m }) // a second handler shares them
	c.get("/v1/events/" + aUID)
	c.get("/v1/events?actor=alice")
	c.get("/nothing/alice")
	r := c.request(http.MethodGet, "/v1/logs", "")
	r.Method = "ALICE"
	c.send(r)
	a := c.get("/metrics").want(t, 200, "")
	text := string(a.body)
	for _, want := range []string{
		`domicile_http_requests_total{method="GET",route="/v1/events/{uid}",status="200"} 1`,
		`domicile_http_requests_total{method="GET",route="none",status="404"} 1`,
		`domicile_http_requests_total{method="other",route="none",status="405"} 1`,
		`domicile_http_request_duration_seconds_count{method="GET",route="/v1/events"} 1`,
		`domicile_http_requests_in_flight{class="search"} 0`,
		`domicile_index_lag_leaves{log="local/eu/events/0"} 1`,
		`domicile_log_published_leaves{log="local/us/control"} 18`,
		`domicile_log_committed_leaves{log="local/eu/events/0"} 45`,
		`domicile_log_bound_leaves{log="local/eu/events/0"} 40`,
		`domicile_engine_restarts_total 3`,
		`domicile_control_append_duration_seconds_count{jurisdiction="eu"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	for _, personal := range []string{"alice", "ALICE", "111122223333"} {
		if strings.Contains(text, personal) || strings.Contains(c.log.String(), personal) {
			t.Errorf("%s is in metrics or log:\n%s", personal, c.log)
		}
	}
}

func TestMetricsOfACellThatIsDown(t *testing.T) {
	c := newClient(t, &fakeCells{states: func() []query.CellAnswer { return oneCell(errors.New("down")) }})
	text := string(c.get("/metrics").want(t, 200, "").body)
	if !strings.Contains(text, `domicile_cell_up{jurisdiction="us"} 0`) || !strings.Contains(text, `domicile_cell_up{jurisdiction="eu"} 1`) {
		t.Error(text)
	}
}
