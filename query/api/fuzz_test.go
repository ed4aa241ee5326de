package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger/tile"
)

// Each target feeds one route with what strangers send. Whatever it is, the answer is 200 or a problem of the 400s, and
// as the document says.

// tame fails on an answer that bad input must not cause.
func (c *client) tame(a answer) {
	c.t.Helper()
	if a.StatusCode >= 500 {
		c.t.Errorf("status %d: %s", a.StatusCode, a.body)
	}
	if a.StatusCode >= 400 {
		var p problemView
		if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.StatusCode || !strings.HasPrefix(p.Type, problemTypes) {
			c.t.Errorf("no problem: %v: %s", err, a.body)
		}
	}
}

// query sends a raw query, if it can be a part of a request at all.
func (c *client) query(path, raw string) {
	c.t.Helper()
	if _, err := url.ParseRequestURI(path + "?" + raw); err != nil || strings.ContainsAny(raw, "# \r\n") {
		return // net/http refuses it
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.URL.RawQuery, r.RequestURI = raw, path+"?"+raw
	c.tame(c.sendLax(r))
}

// sendLax is send without the request's side of the contract: that holds parameters only, and is slow.
func (c *client) sendLax(r *http.Request) answer {
	c.t.Helper()
	a := c.sendRaw(r)
	if err := document(c.t).checkAnswer(r, a.Response, a.body); err != nil {
		c.t.Errorf("%s: %v\n%s", r.RequestURI, err, a.body)
	}
	return a
}

func fuzzQuery(f *testing.F, path string, seeds ...string) {
	for _, seed := range append(seeds, "", "a=b", "%00=%ff", "limit=1&limit=2", "cell=eu&cell=us", ";", "&&&", "=", "purpose=audit") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) { newClient(t, &fakeCells{}).query(path, raw) })
}

func FuzzEvents(f *testing.F) {
	fuzzQuery(f, "/v1/events", "from=2026-01-01T00:00:00Z&to=1767312000000&actor=a&actor=b&text=x%20y&cursor=abc&limit=10", "class=3002&src_ip=::1")
}

func FuzzEvent(f *testing.F) { fuzzQuery(f, "/v1/events/x", "cell=eu") }

func FuzzProof(f *testing.F) {
	fuzzQuery(f, "/v1/events/x/proof", "hide=/raw_data&hide=/actor/*", "disclose=/*")
}

func FuzzStats(f *testing.F) {
	fuzzQuery(f, "/v1/stats", "by=region&by=actor&every=1d&limit=3", "by=region&by=region")
}

func FuzzLogs(f *testing.F) { fuzzQuery(f, "/v1/logs") }

func FuzzConsistency(f *testing.F) {
	fuzzQuery(f, "/v1/logs/eu/events/0/consistency", "from=1&to=2", "from=9007199254740991")
}

func FuzzControl(f *testing.F) {
	fuzzQuery(f, "/v1/control", "type=access&from=1&to=2&size=3&descending=true&proof=true")
}

func FuzzQuarantine(f *testing.F) { fuzzQuery(f, "/v1/quarantine", "limit=3") }

func FuzzProofsBody(f *testing.F) {
	for _, seed := range []string{`{"refs":[{"uid":"a"},{"log":"local/eu/events/0","index":1}],"format":"bundle","hide":["/a"],"cells":["eu"],"purpose":"audit"}`,
		`{"refs":[]}`, `[]`, `{"refs":[{"uid":"\ud83d\ude00"}],"format":"tlog-proof"}`, `{"refs":[{"uid":"a"}],"disclose":["/a/b","/c/*"]}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newClient(t, &fakeCells{})
		r := httptest.NewRequest(http.MethodPost, "/v1/proofs", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", typeJSON)
		a := c.sendLax(r)
		c.tame(a)
		// What is taken is what the document allows.
		if a.StatusCode == 200 {
			again := httptest.NewRequest(http.MethodPost, "/v1/proofs", strings.NewReader(string(body)))
			again.Header.Set("Content-Type", typeJSON)
			if err := document(t).checkRequest(again); err != nil {
				t.Errorf("taken, and the document forbids it: %v", err)
			}
		}
	})
}

func fuzzPath(f *testing.F, prefix string, seeds []string, check func(t *testing.T, c *client, path string, a answer)) {
	for _, seed := range seeds {
		if rest, ok := strings.CutPrefix(seed, prefix); ok {
			f.Add(rest)
		}
	}
	f.Fuzz(func(t *testing.T, rest string) {
		u, err := url.ParseRequestURI(prefix + rest)
		if err != nil || strings.ContainsAny(rest, "?# \r\n") {
			return
		}
		c := newClient(t, &fakeCells{})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL, r.RequestURI = u, prefix+rest
		a := c.sendLax(r)
		c.tame(a)
		check(t, c, prefix+rest, a)
	})
}

func FuzzLogPath(f *testing.F) {
	seeds := append([]string{"/logs/eu/events/0/checkpoint", "/logs/us/control/tile/0/x001/234.p/5", "/logs/eu/events/1/tile/entries/000"}, strayPaths...)
	fuzzPath(f, "/logs/", seeds, func(t *testing.T, _ *client, path string, a answer) {
		if a.StatusCode != 200 {
			return
		}
		// Only the one spelling of a tile or checkpoint is found, and it is the one that is read.
		_, rest, isTile := strings.Cut(path, "/tile/")
		if _, err := tile.ParsePath("tile/" + rest); isTile && err != nil || !isTile && !strings.HasSuffix(path, "/checkpoint") {
			t.Errorf("%s is found", path)
		}
		if want := "bytes of local" + strings.TrimPrefix(path, "/logs"); string(a.body) != want {
			t.Errorf("%s reads %q", path, a.body)
		}
	})
}

func FuzzEventPath(f *testing.F) {
	seeds := []string{"/v1/events/" + aUID, "/v1/events/%2e%2e", "/v1/events/a%2Fb/proof", "/v1/events/%ff", "/v1/events/%25", `/v1/events/a%2Fb"c`}
	fuzzPath(f, "/v1/events/", seeds, func(*testing.T, *client, string, answer) {})
}
