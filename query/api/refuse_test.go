package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

func TestParametersThatAreRefused(t *testing.T) {
	asked := 0
	c := newClient(t, &fakeCells{
		search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) { asked++; return aPage(), nil },
		stats: func(index.Filter, index.Grouping, []string) (*query.FederatedCounts, error) {
			asked++
			return &query.FederatedCounts{}, nil
		},
		prove: func(query.Asker, []query.Ref, query.ProofOptions, []string) (*query.FederatedProofs, error) {
			asked++
			return &query.FederatedProofs{}, nil
		},
	})
	long := strings.Repeat("a", 1025)
	for _, test := range []struct{ target, parameter string }{
		{"/v1/events?nope=1", "nope"},
		{"/v1/events?Actor=alice", "Actor"},
		{"/v1/events?actor[]=alice", "actor[]"},
		{"/v1/events?limit%00=1", "limit�"},
		{"/v1/events?%FF=1", "�"},
		{"/v1/events?" + long + "=1", strings.Repeat("a", 64) + "…"},
		{"/v1/events?from=yesterday", "from"},
		{"/v1/events?from=2026-01-01", "from"},
		{"/v1/events?from=2026-13-01T00:00:00Z", "from"},
		{"/v1/events?from=2026-01-01T00:00:00+01:00", "from"}, // the + is a space
		{"/v1/events?from=-1", "from"},
		{"/v1/events?to=253402300800000", "to"},
		{"/v1/events?to=99999999999999999999", "to"},
		{"/v1/events?to=1969-12-31T23:59:59Z", "to"},
		{"/v1/events?from=2&to=1", "to"},
		{"/v1/events?from=1&from=2", "from"},
		{"/v1/events?from=", "from"},
		{"/v1/events?actor=", "actor"},
		{"/v1/events?actor=%00", "actor"},
		{"/v1/events?actor=%FF", "actor"},
		{"/v1/events?actor=" + long, "actor"},
		{"/v1/events?" + strings.Repeat("actor=a&", 101), "actor"},
		{"/v1/events?text=a&text=b", "text"},
		{"/v1/events?limit=0", "limit"},
		{"/v1/events?limit=1001", "limit"},
		{"/v1/events?limit=-1", "limit"},
		{"/v1/events?limit=1e3", "limit"},
		{"/v1/events?limit=007", "limit"},
		{"/v1/events?limit=18446744073709551616", "limit"},
		{"/v1/events?limit=1&limit=2", "limit"},
		{"/v1/events?cell=xx", "cell"},
		{"/v1/events?cell=eu&cell=eu", "cell"},
		{"/v1/events?cell=..%2Feu", "cell"},
		{"/v1/events?purpose=fun", "purpose"},
		{"/v1/events/x?limit=1", "limit"},
		{"/v1/events/x/proof?disclose=/a&hide=/b", "disclose"},
		{"/v1/events/x/proof?disclose=actor", "disclose"},
		{"/v1/events/x/proof?hide=/a/../b", "hide"},
		{"/v1/events/x/proof?hide=/a/b/c/d/e", "hide"},
		{"/v1/events/x/proof?hide=/A", "hide"},
		{"/v1/stats?by=region&by=region", "by"},
		{"/v1/stats?by=a%3Bdrop%20table", "by"},
		{"/v1/stats?by=region&by=uid&by=log&by=actor", "by"},
		{"/v1/stats?every=2m", "every"},
		{"/v1/stats?every=1s", "every"},
		{"/v1/stats?limit=10001", "limit"},
		{"/v1/control?type=egress", "type"},
		{"/v1/control?type=access&type=access", "type"},
		{"/v1/control?from=x", "from"},
		{"/v1/control?from=9007199254740992", "from"},
		{"/v1/control?to=0", "to"},
		{"/v1/control?from=3&to=2", "to"},
		{"/v1/control?proof=yes", "proof"},
		{"/v1/control?descending=1", "descending"},
		{"/v1/quarantine?limit=1001", "limit"},
		{"/v1/logs?cell=xx", "cell"},
		{"/livez?x=1", "x"},
		{"/metrics?name[]=x", "name[]"},
		{"/logs/eu/control/checkpoint?x=1", "x"},
	} {
		a := c.get(test.target).want(t, 400, badParameter)
		if got := decode[problemView](t, a); len(got.Parameters) != 1 || got.Parameters[0] != test.parameter {
			t.Errorf("%.80s names %q, want %q", test.target, got.Parameters, test.parameter)
		}
	}
	for _, target := range []string{"/v1/events?a;b", "/v1/events?%zz=1", "/v1/events?actor=%"} {
		c.get(target).want(t, 400, badParameter)
	}
	if a := c.get("/v1/events?b=1&a=1").want(t, 400, badParameter); !bytes.Contains(a.body, []byte(`"parameters":["a","b"]`)) {
		t.Errorf("answer %s", a.body)
	}
	tlog := c.get("/v1/events/x/proof?hide=/a", "Accept", "text/plain")
	tlog.want(t, 400, badParameter)
	if asked > 0 {
		t.Errorf("cells were asked %d times", asked)
	}
}

func TestEveryTimeThatIsTaken(t *testing.T) {
	var got index.Filter
	c := newClient(t, &fakeCells{search: func(_ query.Asker, q query.Question) (*query.FederatedAnswer, error) {
		got = q.Filter
		return aPage(), nil
	}})
	for text, want := range map[string]int64{
		"0": 0, "1767225600000": 1767225600000, "2026-01-01T00:00:00Z": 1767225600000, "2026-01-01t01:00:00.5%2B01:00": 1767225600500,
		"9999-12-31T23:59:59.999Z": maxTime,
	} {
		if c.get("/v1/events?from="+text).want(t, 200, ""); got.From.UnixMilli() != want || got.From.IsZero() {
			t.Errorf("%s is %v, want %d", text, got.From, want)
		}
	}
}

func TestInjectionStaysAValue(t *testing.T) {
	attempts := []string{`'; DROP TABLE events; --`, `\' OR 1=1 --`, "x' UNION SELECT * FROM system.users --", `{x:String}`, `%`, `_`, `*`,
		"a\nb", `"`, `) OR (1=1`, `${jndi:ldap://x}`, "<script>", `../../etc/passwd`, `\`, "a\u2028b", "\U0001F600"}
	var got query.Question
	var grouped index.Filter
	c := newClient(t, &fakeCells{
		search: func(_ query.Asker, q query.Question) (*query.FederatedAnswer, error) { got = q; return aPage(), nil },
		stats: func(f index.Filter, _ index.Grouping, _ []string) (*query.FederatedCounts, error) {
			grouped = f
			return &query.FederatedCounts{Cells: bothCells(), Complete: true}, nil
		},
	})
	for _, attempt := range attempts {
		for _, p := range filterParameters {
			target := "?" + p.name + "=" + url.QueryEscape(attempt)
			switch p.name {
			case "from", "to", "since":
				c.get("/v1/events"+target).want(t, 400, badParameter)
				continue
			case "text":
				c.get("/v1/events"+target).want(t, 200, "")
				if got.Filter.Text != attempt {
					t.Errorf("text is %q", got.Filter.Text)
				}
				continue
			}
			c.get("/v1/events"+target).want(t, 200, "")
			c.get("/v1/stats"+target).want(t, 200, "")
			for _, f := range []index.Filter{got.Filter, grouped} {
				if v := f.Equal[index.Column(p.name)]; len(v) != 1 || v[0] != attempt {
					t.Errorf("%s is %q, want %q", p.name, v, attempt)
				}
			}
		}
		for _, name := range []string{"limit", "purpose", "cell", "cursor"} {
			a := c.get("/v1/events?" + name + "=" + url.QueryEscape(attempt))
			if a.StatusCode != 400 && !(name == "cursor" && attempt == "_") {
				t.Errorf("%s=%q answers %d", name, attempt, a.StatusCode)
			}
		}
	}
}

func TestCursors(t *testing.T) {
	asked := 0
	c := newClient(t, &fakeCells{search: func(_ query.Asker, q query.Question) (*query.FederatedAnswer, error) {
		asked++
		return nil, fmt.Errorf("hmac secret: %w", query.ErrCursor)
	}})
	for _, cursor := range []string{"abc", "%2B", "a=b", "a%20b", "'", "%C3%A9", strings.Repeat("A", 4096)} {
		a := c.get("/v1/events?cursor="+cursor).want(t, 400, badCursor)
		noSecrets(t, a)
		if !bytes.Contains(a.body, []byte(`"parameters":["cursor"]`)) {
			t.Errorf("answer %s", a.body)
		}
	}
	if asked != 2 {
		t.Errorf("cells were asked %d times, want 2: only about what can be a cursor", asked)
	}
	c.get("/v1/events?cursor="+strings.Repeat("A", 4097)).want(t, 400, badParameter)
}

func TestBodiesThatAreRefused(t *testing.T) {
	asked := false
	c := newClient(t, &fakeCells{prove: func(query.Asker, []query.Ref, query.ProofOptions, []string) (*query.FederatedProofs, error) {
		asked = true
		return &query.FederatedProofs{}, nil
	}})
	for _, body := range []string{
		` `, `{`, `null`, `[]`, `"x"`, `1`, `{}`, `{"refs":null}`, `{"refs":[]}`, `{"refs":{}}`, `{"refs":[null]}`, `{"refs":[[]]}`, `{"refs":[{}]}`,
		`{"refs":[{"uid":"a"}]} x`, `{"refs":[{"uid":"a"}],"refs":[{"uid":"b"}]}`, `{"Refs":[{"uid":"a"}]}`, `{"refs":[{"uid":"a","uid":"b"}]}`,
		`{"refs":[{"uid":"a","log":"l","index":1}]}`, `{"refs":[{"log":"l"}]}`, `{"refs":[{"index":1}]}`, `{"refs":[{"uid":""}]}`, `{"refs":[{"uid":1}]}`,
		`{"refs":[{"uid":"\u0000"}]}`, `{"refs":[{"uid":"\ud800"}]}`, "{\"refs\":[{\"uid\":\"\xff\"}]}", `{"refs":[{"uid":"` + strings.Repeat("a", 513) + `"}]}`,
		`{"refs":[{"log":"l","index":-1}]}`, `{"refs":[{"log":"l","index":1.0}]}`, `{"refs":[{"log":"l","index":1e3}]}`, `{"refs":[{"log":"l","index":"1"}]}`,
		`{"refs":[{"log":"l","index":9007199254740992}]}`, `{"refs":[{"uid":"a"}],"nope":1}`, `{"refs":[{"uid":"a"}],"format":"zip"}`, `{"refs":[{"uid":"a"}],"format":null}`,
		`{"refs":[{"uid":"a"}],"purpose":"fun"}`, `{"refs":[{"uid":"a"}],"cells":["xx"]}`, `{"refs":[{"uid":"a"}],"cells":[]}`, `{"refs":[{"uid":"a"}],"cells":["eu","eu"]}`,
		`{"refs":[{"uid":"a"}],"disclose":["/a"],"hide":["/b"]}`, `{"refs":[{"uid":"a"}],"disclose":["a"]}`, `{"refs":[{"uid":"a"}],"hide":[]}`,
		`{"refs":[{"uid":"a"}],"hide":["/a"],"format":"tlog-proof"}`,
		`{"refs":[` + strings.Repeat(`{"uid":"a"},`, 1000) + `{"uid":"a"}]}`, strings.Repeat("[", 100000),
	} {
		c.post("/v1/proofs", body).want(t, 400, badBody)
	}
	c.send(c.request(http.MethodPost, "/v1/proofs", "")).want(t, 415, unsupportedMediaType)
	c.post("/v1/proofs", `{"refs":[{"uid":"a"}]}`, "Content-Type", "text/plain").want(t, 415, unsupportedMediaType)
	c.post("/v1/proofs?x=1", `{"refs":[{"uid":"a"}]}`).want(t, 400, badParameter)
	if asked {
		t.Error("cells were asked")
	}
}

// endless is a body that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for name, length := range map[string]int64{"announced": maxBody + 1, "not announced": -1, "announced wrongly": 10} {
		r := c.request(http.MethodPost, "/v1/proofs", "x")
		r.Body, r.ContentLength = io.NopCloser(endless{}), length
		recorder := httptest.NewRecorder()
		c.handler.ServeHTTP(recorder, r)
		a := answer{recorder.Result(), recorder.Body.Bytes()}
		t.Log(name)
		a.want(t, 413, tooLarge)
	}
}

func TestMediaTypes(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for _, test := range []struct {
		target, accept string
		want           string // "": none
	}{
		{"/v1/events", "", typeJSON},
		{"/v1/events", "*/*", typeJSON},
		{"/v1/events", "text/html,application/xhtml+xml,*/*;q=0.8", typeJSON},
		{"/v1/events", "application/x-ndjson", typeNDJSON},
		{"/v1/events", "application/json;q=0.5, application/x-ndjson", typeNDJSON},
		{"/v1/events", "APPLICATION/*", typeJSON},
		{"/v1/events", "application/json;q=0", ""},
		{"/v1/events", "application/json;q=2", ""},
		{"/v1/events", "text/html", ""},
		{"/v1/events", ";;;", ""},
		{"/v1/events/x/proof", "text/plain", typeText},
		{"/v1/events/x/proof", "text/*, application/json;q=0.9", typeText},
		{"/v1/events/x/proof", "application/*;q=0.1, text/plain;q=0.01", typeJSON},
		{"/v1/events/x/proof", "application/x-ndjson", ""},
		{"/v1/stats", "application/x-ndjson", ""},
	} {
		var header []string
		if test.accept != "" {
			header = []string{"Accept", test.accept}
		}
		a := c.get(test.target, header...)
		if test.want == "" {
			a.want(t, 406, notAcceptableKind)
			continue
		}
		if media, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); a.StatusCode != 200 || media != test.want {
			t.Errorf("%s for %q: %d, %s, want %s", test.target, test.accept, a.StatusCode, media, test.want)
		}
	}
}

func TestMethods(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for _, r := range routes() {
		target := strings.NewReplacer("{uid}", "x", "{jurisdiction}", "eu", "{shard}", "0", "{tile}", "0/000").Replace(r.path)
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
			if method == r.method || method == http.MethodHead && !r.events {
				continue
			}
			request := c.request(http.MethodGet, target, "")
			request.Method = method
			a := c.send(request).want(t, 405, methodNotAllowed)
			want := r.method
			if !r.events {
				want += ", HEAD"
			}
			if a.Header.Get("Allow") != want {
				t.Errorf("%s %s: Allow %q", method, target, a.Header.Get("Allow"))
			}
			if a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: CORS", method, target)
			}
		}
	}
}

func TestHeadReadsNoEvents(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for _, r := range routes() {
		target := strings.NewReplacer("{uid}", "x", "{jurisdiction}", "eu", "{shard}", "0", "{tile}", "0/000").Replace(r.path)
		if strings.HasSuffix(target, "/consistency") {
			target += "?from=1"
		}
		request := c.request(http.MethodGet, target, "")
		request.Method = http.MethodHead
		recorder := httptest.NewRecorder()
		c.handler.ServeHTTP(recorder, request)
		want := 200
		if r.events {
			want = 405
		}
		if recorder.Code != want {
			t.Errorf("HEAD %s: %d, want %d", target, recorder.Code, want)
		}
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for _, site := range []string{"cross-site", "same-site", "nonsense"} {
		c.get("/v1/events", "Sec-Fetch-Site", site).want(t, 403, crossSiteRefused)
	}
	for _, site := range []string{"same-origin", "none"} {
		c.get("/v1/events", "Sec-Fetch-Site", site).want(t, 200, "")
	}
	body := `{"refs":[{"uid":"a"}]}`
	c.post("/v1/proofs", body, "Origin", "https://evil.example").want(t, 403, crossSiteRefused)
	c.post("/v1/proofs", body, "Origin", "http://example.com").want(t, 200, "") // httptest's own host
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	c := newClient(t, &fakeCells{})
	ids := make(map[string]bool)
	for _, target := range []string{"/v1/events", "/nothing", "/livez", "/logs/eu/control/checkpoint", "/v1/events?x=1"} {
		a := c.get(target)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": "", "Server": ""} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		id := a.Header.Get("Domicile-Request-Id")
		if ids[id] || !strings.Contains(c.log.String(), `"request":"`+id+`"`) {
			t.Errorf("%s: the id %s is not new, or not in the log", target, id)
		}
		ids[id] = true
		if a.StatusCode >= 400 && !bytes.Contains(a.body, []byte(id)) {
			t.Errorf("%s: the problem lacks the id", target)
		}
	}
}

func TestTheLogHoldsNoValues(t *testing.T) {
	c := newClient(t, &fakeCells{search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) {
		return nil, fmt.Errorf("%w: alice", query.ErrInvalid)
	}})
	c.get("/v1/events?actor=alice").want(t, 400, badParameter)
	c.get("/v1/events/alice?alice=alice").want(t, 400, badParameter)
	c.get("/alice").want(t, 404, notFound)
	if strings.Contains(c.log.String(), "alice") {
		t.Errorf("log %s", c.log)
	}
	c = newClient(t, &fakeCells{search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) {
		return nil, errors.New("the disk is on fire")
	}})
	c.get("/v1/events").want(t, 500, internal)
	if !strings.Contains(c.log.String(), "the disk is on fire") {
		t.Errorf("log %s", c.log)
	}
}

func TestPanicsBecomeProblems(t *testing.T) {
	c := newClient(t, &fakeCells{search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) { panic("secret") }})
	noSecrets(t, c.get("/v1/events").want(t, 500, internal))
	if !strings.Contains(c.log.String(), "secret") {
		t.Errorf("log %s", c.log)
	}
	c.get("/v1/events/x").want(t, 200, "")
}

// TestAnAlteredRowCannotForgeAnAnswer: a row is bytes from a database that somebody else may write to.
func TestAnAlteredRowCannotForgeAnAnswer(t *testing.T) {
	for _, record := range []string{"", `{}}],"complete":true,"x":[{"y":{`, `"text"`, "{\"a\":1}\n{\"complete\":true}", `{"a":"` + "\xff" + `"}`} {
		page := aPage()
		page.Rows[0].Record = []byte(record)
		c := newClient(t, &fakeCells{
			search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) { return page, nil },
			event:  func(string, []string) (*query.FederatedAnswer, error) { return page, nil },
		})
		for _, target := range []string{"/v1/events", "/v1/events/x"} {
			a := c.get(target).want(t, 500, alteredRecord)
			if !bytes.Contains(a.body, []byte(`"log":"local/eu/events/0","index":41`)) {
				t.Errorf("answer %s", a.body)
			}
		}
	}
}

func TestTooManyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := newClient(t, &fakeCells{search: func(query.Asker, query.Question) (*query.FederatedAnswer, error) {
			<-hold
			return aPage(), nil
		}}, func(cfg *Config) { cfg.Limits.Searches = 2 })
		done := make(chan int)
		ask := func() {
			recorder := httptest.NewRecorder()
			c.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/events", nil))
			done <- recorder.Code
		}
		go ask()
		go ask()
		synctest.Wait() // both are held
		c.get("/v1/events").want(t, 503, overloaded)
		c.get("/v1/stats").want(t, 503, overloaded) // of the same class
		c.get("/v1/events/x/proof").want(t, 200, "")
		c.get("/livez").want(t, 200, "")
		go ask() // waits, and gets a place in time
		synctest.Wait()
		close(hold)
		for range 3 {
			if code := <-done; code != 200 {
				t.Errorf("status %d", code)
			}
		}
		c.get("/v1/events").want(t, 200, "")
	})
}

func TestATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fakeCells{object: func(ctx context.Context, _, _ string) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		began := time.Now()
		c.get("/logs/eu/control/checkpoint").want(t, 503, timeout)
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestCompression(t *testing.T) {
	c := newClient(t, &fakeCells{})
	a := c.sendRaw(c.request(http.MethodGet, "/v1/events", "", "Accept-Encoding", "gzip"))
	if a.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(a.Header.Get("Vary"), "Accept-Encoding") {
		t.Fatalf("headers %v", a.Header)
	}
	zip, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil || !bytes.Contains(plain, []byte(aRecord)) {
		t.Errorf("%v: %s", err, plain)
	}
	for _, target := range []string{"/livez", "/logs/eu/control/tile/0/000"} {
		if a := c.sendRaw(c.request(http.MethodGet, target, "", "Accept-Encoding", "gzip")); a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed", target)
		}
	}
	// A compressed body is not opened: it could be a bomb.
	c.post("/v1/proofs", "\x1f\x8b", "Content-Encoding", "gzip").want(t, 400, badBody)
}

// sendRaw sends without the contract.
func (c *client) sendRaw(r *http.Request) answer {
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, r)
	return answer{recorder.Result(), recorder.Body.Bytes()}
}
