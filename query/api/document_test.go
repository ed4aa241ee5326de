package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	found "github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

// joined makes one error of what a validator found.
func joined(ok bool, list []*found.ValidationError) error {
	if ok {
		return nil
	}
	var errs []error
	for _, e := range list {
		text := e.Message + ": " + e.Reason
		for _, s := range e.SchemaValidationErrors {
			text += fmt.Sprintf("\n  %s: %s", s.FieldPath, s.Reason)
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// operations of the document, by "GET /path".
func operations(t testing.TB) map[string]*v3.Operation {
	all := make(map[string]*v3.Operation)
	for path, item := range document(t).model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			all[strings.ToUpper(method)+" "+path] = operation
		}
	}
	return all
}

func TestEveryRouteIsDocumentedAndTheOtherWayRound(t *testing.T) {
	s, err := newServer(Config{Cells: &fakeCells{}, Ledger: "local"})
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for name := range operations(t) {
		method, path, _ := strings.Cut(name, " ")
		documented[method+" "+(&route{path: path}).pattern()] = true
	}
	served := make(map[string]bool)
	for _, r := range s.echo.Routes() {
		served[r.Method+" "+r.Path] = true
	}
	for name := range documented {
		if !served[name] {
			t.Errorf("%s is documented and not served", name)
		}
	}
	for name := range served {
		if !documented[name] {
			t.Errorf("%s is served and not documented", name)
		}
	}
	if len(served) < 18 {
		t.Errorf("only %d routes: the walk is broken", len(served))
	}
}

func TestParametersAreThoseDocumented(t *testing.T) {
	all := operations(t)
	for _, r := range routes() {
		var documented, served []string
		for _, p := range all[r.method+" "+r.path].Parameters {
			if p.In == "query" {
				name := p.Name
				if slices.Contains(p.Schema.Schema().Type, "array") {
					name += "*"
				}
				documented = append(documented, name)
			}
		}
		for _, p := range r.query {
			if p.many {
				p.name += "*"
			}
			served = append(served, p.name)
		}
		slices.Sort(documented)
		slices.Sort(served)
		if !slices.Equal(documented, served) {
			t.Errorf("%s %s takes %v, the document says %v", r.method, r.path, served, documented)
		}
	}
}

func TestMediaTypesAreThoseDocumented(t *testing.T) {
	all := operations(t)
	for _, r := range routes() {
		if r.offers == nil {
			continue
		}
		answer := all[r.method+" "+r.path].Responses.Codes.GetOrZero("200")
		documented := slices.Sorted(answer.Content.KeysFromOldest())
		if served := slices.Sorted(slices.Values(r.offers)); !slices.Equal(documented, served) {
			t.Errorf("%s %s offers %v, the document says %v", r.method, r.path, served, documented)
		}
	}
}

// enum are the values that a schema of the document allows.
func enum(t *testing.T, schema string) (list []string) {
	t.Helper()
	for _, node := range document(t).model.Components.Schemas.GetOrZero(schema).Schema().Enum {
		list = append(list, node.Value)
	}
	return list
}

func TestEnumerationsAreThoseOfTheCode(t *testing.T) {
	texts := func(list any) (out []string) {
		raw, _ := json.Marshal(list)
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for schema, want := range map[string][]string{
		"Column": texts(index.Groupable()), "EntryType": texts(ledger.EntryTypes()), "Purpose": texts(ledger.AccessPurposes()),
	} {
		if have := enum(t, schema); !slices.Equal(have, want) {
			t.Errorf("%s is %v in the document, %v in the code", schema, have, want)
		}
	}
	every := parameterOf(t, "GET /v1/stats", "every").Schema.Schema().Enum
	if len(every) != len(spans) {
		t.Errorf("%d spans in the document, %d in the code", len(every), len(spans))
	}
	for _, node := range every {
		if spans[node.Value] == 0 {
			t.Errorf("the code does not know the span %s", node.Value)
		}
	}
	for operation, want := range map[string]float64{"GET /v1/events": query.MaxRows, "GET /v1/stats": query.MaxGroups, "GET /v1/control": query.MaxEntries} {
		if have := *parameterOf(t, operation, "limit").Schema.Schema().Maximum; have != want {
			t.Errorf("%s: limit %v in the document, %v in the code", operation, have, want)
		}
	}
}

func parameterOf(t *testing.T, operation, name string) *v3.Parameter {
	t.Helper()
	for _, p := range operations(t)[operation].Parameters {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("%s has no parameter %s", operation, name)
	return nil
}

func TestProblemTypesAreDocumented(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(need.Root(t), "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for k, row := range kinds {
		types = append(types, problemTypes+string(k))
		if want := fmt.Sprintf("| `%s` | %d |", k, row.status); !bytes.Contains(guide, []byte(want)) {
			t.Errorf("docs/api.md lacks the row %s", want)
		}
	}
	documented := make(map[string]bool)
	for _, node := range document(t).model.Components.Schemas.GetOrZero("Problem").Schema().Properties.GetOrZero("type").Schema().Enum {
		documented[node.Value] = true
	}
	if have := slices.Sorted(maps.Keys(documented)); !slices.Equal(have, slices.Sorted(slices.Values(types))) {
		t.Errorf("the document lists %v, the code has %v", have, types)
	}
}

// TestExamples sends every example of the document through the validator, as if a server had said it.
func TestExamples(t *testing.T) {
	checked := 0
	for name, operation := range operations(t) {
		method, path, _ := strings.Cut(name, " ")
		target := strings.NewReplacer("{uid}", aUID, "{jurisdiction}", "eu", "{shard}", "0", "{tile}", "0/000").Replace(path)
		if strings.HasSuffix(path, "/consistency") {
			target += "?from=1"
		}
		if operation.RequestBody != nil {
			for media, content := range operation.RequestBody.Content.FromOldest() {
				for label, body := range examplesOf(t, content) {
					r := httptest.NewRequest(method, target, bytes.NewReader(body))
					r.Header.Set("Content-Type", media)
					if err := document(t).checkRequest(r); err != nil {
						t.Errorf("%s, example %s: %v", name, label, err)
					}
					checked++
				}
			}
		}
		for code, response := range operation.Responses.Codes.FromOldest() {
			status, err := strconv.Atoi(code)
			if err != nil {
				t.Fatalf("%s: status %s", name, code)
			}
			for media, content := range response.Content.FromOldest() {
				for label, body := range examplesOf(t, content) {
					r := httptest.NewRequest(method, target, nil)
					answer := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(bytes.NewReader(body))}
					fillHeaders(answer.Header, response)
					ok, list := document(t).validator.ValidateHttpResponse(asDocumented(r), answer)
					if err := joined(ok, list); err != nil {
						t.Errorf("%s %s, example %s: %v", name, code, label, err)
					}
					if status >= 400 && !bytes.Contains(body, fmt.Appendf(nil, `"status":%d`, status)) && media == typeProblem {
						t.Errorf("%s %s, example %s has another status: %s", name, code, label, body)
					}
					checked++
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d examples: the walk is broken", checked)
	}
}

func fillHeaders(h http.Header, response *v3.Response) {
	known := map[string]string{"Domicile-Request-Id": strings.Repeat("0", 32), "Domicile-Receipt": "e30", "Retry-After": "1",
		"Domicile-Checkpoint": "local/eu/events/0 1 " + ledger.FormatHash(ledger.Hash{}), "Domicile-Complete": "true"}
	for name := range response.Headers.KeysFromOldest() {
		h.Set(name, known[name])
	}
}

func examplesOf(t *testing.T, content *v3.MediaType) map[string][]byte {
	t.Helper()
	list := make(map[string][]byte)
	add := func(label string, decode func(any) error) {
		var v any
		if err := decode(&v); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		list[label] = body
	}
	if content.Example != nil {
		add("example", content.Example.Decode)
	}
	for label, e := range content.Examples.FromOldest() {
		add(label, e.Value.Decode)
	}
	return list
}
