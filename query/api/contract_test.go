package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
	"domicile.dev/domicile/schemas"
)

// contract is schemas/openapi.yaml, and what holds requests and answers against it.
type contract struct {
	model     *v3.Document
	validator validator.Validator
}

var theContract = sync.OnceValues(func() (*contract, error) {
	document, err := libopenapi.NewDocument(schemas.OpenAPI)
	if err != nil {
		return nil, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if ok, found := v.ValidateDocument(); !ok {
		return nil, fmt.Errorf("openapi.yaml is no OpenAPI: %v %+v", found[0], found[0].SchemaValidationErrors)
	}
	return &contract{&model.Model, v}, nil
})

func document(t testing.TB) *contract {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asDocumented is the request as OpenAPI can describe it: a path template takes no slashes, so those of a tile's path
// are escaped, and so is what a careless client left as it is.
func asDocumented(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	raw := r.URL.RawPath
	if raw == "" {
		raw = r.URL.EscapedPath()
	}
	segments := strings.Split(raw, "/")
	for i, segment := range segments {
		if plain, err := url.PathUnescape(segment); err == nil {
			segments[i] = url.PathEscape(plain)
		}
	}
	raw = strings.Join(segments, "/")
	if before, tile, ok := strings.Cut(raw, "/tile/"); ok {
		raw = before + "/tile/" + strings.ReplaceAll(tile, "/", "%2F")
	}
	out.URL.RawPath = raw
	return out
}

func (c *contract) checkRequest(r *http.Request) error {
	ok, found := c.validator.ValidateHttpRequestSync(asDocumented(r))
	return joined(ok, found)
}

// checkAnswer holds an answer against the operation of its request. Where there is no operation the answer has to be a
// problem, such as the default answer of any.
func (c *contract) checkAnswer(r *http.Request, answer *http.Response, body []byte) error {
	r = asDocumented(r)
	if r.Method == http.MethodHead {
		return nil // no body to hold against anything
	}
	if !c.has(r.Method, echo.GetPath(r)) {
		if answer.StatusCode < 400 {
			return fmt.Errorf("%s %s answers %d and is not in the document", r.Method, r.URL.Path, answer.StatusCode)
		}
		r = httptest.NewRequest(http.MethodGet, "/livez", nil)
	}
	if media := answer.Header.Get("Content-Type"); strings.HasPrefix(media, typeNDJSON) {
		joinedLines, err := pageOfLines(body)
		if err != nil {
			return err
		}
		body = joinedLines
		answer.Header.Set("Content-Type", typeJSON)
		defer answer.Header.Set("Content-Type", media)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	ok, found := c.validator.ValidateHttpResponse(r, answer)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return joined(ok, found)
}

// has reports whether the document has an operation for a path.
func (c *contract) has(method, path string) bool {
	for _, r := range routes() {
		if r.method == method && matches(r.path, path) {
			return true
		}
	}
	return false
}

func matches(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i, segment := range want {
		switch {
		case i >= len(have) || segment != have[i] && (!strings.HasPrefix(segment, "{") || have[i] == ""):
			return false
		}
	}
	return len(want) == len(have)
}

// pageOfLines makes of an NDJSON answer what the same answer is as JSON.
func pageOfLines(body []byte) ([]byte, error) {
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	last := lines[len(lines)-1]
	if !bytes.HasPrefix(last, []byte(`{"complete":`)) {
		return nil, fmt.Errorf("the last line is no envelope: %.80s", last)
	}
	events := bytes.Join(lines[:len(lines)-1], []byte(","))
	return fmt.Appendf(nil, `{"events":[%s],%s`, events, last[1:]), nil
}

// client asks the API in this process and holds what goes in and out against the contract.
type client struct {
	t       testing.TB
	handler http.Handler
	log     *bytes.Buffer
}

type answer struct {
	*http.Response
	body []byte
}

// newClient makes an API over cells.
func newClient(t testing.TB, cells *fakeCells, change ...func(*Config)) *client {
	t.Helper()
	log := new(bytes.Buffer)
	cfg := Config{Cells: cells, Ledger: "local", Version: "test", Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&cfg)
	}
	handler, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, handler, log}
}

func (c *client) get(target string, header ...string) answer {
	c.t.Helper()
	return c.send(c.request(http.MethodGet, target, "", header...))
}

func (c *client) post(target, body string, header ...string) answer {
	c.t.Helper()
	return c.send(c.request(http.MethodPost, target, body, header...))
}

func (c *client) request(method, target, body string, header ...string) *http.Request {
	c.t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		c.t.Fatalf("%s is no target: %v", target, err)
	}
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", typeJSON)
	}
	r.URL, r.RequestURI = u, target
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// send sends a request. What the document forbids has to be refused, and what is answered has to be in it.
func (c *client) send(r *http.Request) answer {
	c.t.Helper()
	contract := document(c.t)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	again := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	again()
	wrong := contract.checkRequest(r)
	again()
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, r)
	a := answer{recorder.Result(), recorder.Body.Bytes()}
	if wrong != nil && a.StatusCode < 400 {
		c.t.Errorf("%s %s: answered %d, but the document forbids it: %v", r.Method, r.RequestURI, a.StatusCode, wrong)
	}
	if wrong == nil && a.StatusCode == http.StatusBadRequest {
		c.t.Logf("%s %s: 400 although the document allows it: %s", r.Method, r.RequestURI, a.body)
	}
	if err := contract.checkAnswer(r, a.Response, a.body); err != nil {
		c.t.Errorf("%s %s: the answer %d is not as documented: %v\n%s", r.Method, r.RequestURI, a.StatusCode, err, a.body)
	}
	return a
}

// want fails unless the answer has the status and the type of problem, "" for none.
func (a answer) want(t testing.TB, status int, want kind) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	if want != "" && !bytes.Contains(a.body, []byte(`"type":"`+problemTypes+string(want)+`"`)) {
		t.Errorf("problem %s, want %s", a.body, want)
	}
	return a
}

// fakeCells answer as the test says; the zero value as two cells that have one event.
type fakeCells struct {
	names       []string
	search      func(who query.Asker, q query.Question) (*query.FederatedAnswer, error)
	event       func(uid string, cells []string) (*query.FederatedAnswer, error)
	stats       func(f index.Filter, g index.Grouping, cells []string) (*query.FederatedCounts, error)
	prove       func(who query.Asker, refs []query.Ref, o query.ProofOptions, cells []string) (*query.FederatedProofs, error)
	states      func() []query.CellAnswer
	control     func(jurisdiction string, f query.ControlFilter, proofs bool) (*query.ControlPage, error)
	consistency func(origin string, from, to uint64) (*query.ConsistencyProof, error)
	object      func(ctx context.Context, origin, path string) ([]byte, error)
}

func (f *fakeCells) Jurisdictions() []string {
	if f.names != nil {
		return f.names
	}
	return []string{"eu", "us"}
}

func (f *fakeCells) Search(_ context.Context, who query.Asker, q query.Question) (*query.FederatedAnswer, error) {
	if f.search != nil {
		return f.search(who, q)
	}
	return aPage(), nil
}

func (f *fakeCells) Event(_ context.Context, _ query.Asker, uid string, cells ...string) (*query.FederatedAnswer, error) {
	if f.event != nil {
		return f.event(uid, cells)
	}
	a := aPage()
	a.Cursor = ""
	return a, nil
}

func (f *fakeCells) Stats(_ context.Context, _ query.Asker, filter index.Filter, g index.Grouping, cells ...string) (*query.FederatedCounts, error) {
	if f.stats != nil {
		return f.stats(filter, g, cells)
	}
	values := make([]string, len(g.By))
	for i := range values {
		values[i] = "x"
	}
	return &query.FederatedCounts{Groups: []index.Group{{Values: values, Start: 1, Count: 3}}, Cells: bothCells(), Complete: true}, nil
}

func (f *fakeCells) Prove(_ context.Context, who query.Asker, refs []query.Ref, o query.ProofOptions, cells ...string) (*query.FederatedProofs, error) {
	if f.prove != nil {
		return f.prove(who, refs, o, cells)
	}
	out := &query.FederatedProofs{Cells: bothCells(), Complete: true}
	for range refs {
		out.Proofs = append(out.Proofs, aProof(o))
	}
	return out, nil
}

func (f *fakeCells) States(context.Context) []query.CellAnswer {
	if f.states != nil {
		return f.states()
	}
	return bothCells()
}

func (f *fakeCells) Control(_ context.Context, jurisdiction string, filter query.ControlFilter, proofs bool) (*query.ControlPage, error) {
	if f.control != nil {
		return f.control(jurisdiction, filter, proofs)
	}
	cp := ledger.Checkpoint{Origin: "local/" + jurisdiction + "/control", Size: 18}
	return &query.ControlPage{Checkpoint: cp, Note: aNote(cp), Entries: []query.ControlEntry{{Index: 17, Type: ledger.EntryHeartbeat,
		Entry: anEntry(), Proof: []ledger.Hash{{1}}}}, Next: &query.ControlFilter{To: 17, Size: 18}}, nil
}

func (f *fakeCells) Consistency(_ context.Context, jurisdiction, origin string, from, to uint64) (*query.ConsistencyProof, error) {
	if f.consistency != nil {
		return f.consistency(origin, from, to)
	}
	return &query.ConsistencyProof{Origin: origin, From: from, To: max(from, to), Hashes: []ledger.Hash{{2}}}, nil
}

func (f *fakeCells) Object(ctx context.Context, jurisdiction, origin, path string) ([]byte, error) {
	if f.object != nil {
		return f.object(ctx, origin, path)
	}
	return []byte("bytes of " + origin + "/" + path), nil
}

const aUID = "aws:111122223333:6f1e0c2a-6a0f-4d7e-9d64-6a1b4b7c0d11"

// aRecord has what encoding/json would spell anew: <, U+2028, a long number, an escape.
const aRecord = `{"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","event":{"big":12345678901234567890.0,"html":"<a&b>","sep":"` + "\u2028" + `","u":"\u00e9"}}`

func aNote(c ledger.Checkpoint) []byte {
	return []byte(string(c.Append(nil)) + "\n— " + c.Origin + " AAAAAAAA\n")
}

func anEntry() []byte {
	return []byte(`{"v":1,"type":"heartbeat","time":1,"emitter":"ledger","epoch":"00000000000000000000000000000000","seq":3,"policy":"0000000000000000000000000000000000000000000000000000000000000000","control_size":17}`)
}

func aCell(jurisdiction string) query.CellAnswer {
	events := ledger.Checkpoint{Origin: "local/" + jurisdiction + "/events/0", Size: 44}
	control := ledger.Checkpoint{Origin: "local/" + jurisdiction + "/control", Size: 18}
	return query.CellAnswer{Jurisdiction: jurisdiction, Count: 1,
		State: &query.State{Jurisdiction: jurisdiction, Control: query.LogState{Origin: control.Origin, Checkpoint: control, Note: aNote(control)},
			Logs: []query.LogState{{Origin: events.Origin, Checkpoint: events, Note: aNote(events), Indexed: 43, Behind: 1}}},
		Receipt: &query.Receipt{Origin: control.Origin, Emitter: "gateway", Epoch: strings.Repeat("0", 32), Seq: 7, Index: 17}}
}

func bothCells() []query.CellAnswer { return []query.CellAnswer{aCell("eu"), aCell("us")} }

// oneCell is what cells say when only one of them answers.
func oneCell(err error) []query.CellAnswer {
	return []query.CellAnswer{aCell("eu"), {Jurisdiction: "us", Err: err}}
}

func aRow() index.Row {
	return index.Row{Position: index.Position{Time: 1767225600000, Log: "local/eu/events/0", Index: 41}, UID: aUID, Record: []byte(aRecord)}
}

func aPage() *query.FederatedAnswer {
	return &query.FederatedAnswer{Rows: []index.Row{aRow()}, Cells: bothCells(), Complete: true, Cursor: "next-page_1"}
}

func aProof(o query.ProofOptions) query.Proof {
	text := "c2sp.org/tlog-proof@v1\nindex 41\n\n" + string(aNote(ledger.Checkpoint{Origin: "local/eu/events/0", Size: 44}))
	p := query.Proof{Ref: query.Ref{UID: aUID, Log: "local/eu/events/0", Index: 41}, Bytes: []byte(text)}
	if o.Format != query.FormatProof {
		b := ledger.ProofBundle{Origin: p.Ref.Log, Index: 41, Leaf: []byte("{}"), Record: []byte(aRecord), Proof: []byte(text)}
		p.Bytes = b.Append(nil)
	}
	return p
}
