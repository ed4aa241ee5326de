package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"domicile.dev/domicile/query/api"
	"domicile.dev/domicile/query/engine"
)

// askFlag is part of commands that ask the API: of a server that is named, of the one that holds the data directory, or,
// where none runs, of this process itself.
type askFlag struct {
	dataFlag
	here
	Wait   time.Duration `help:"How long the index may take to hold what the logs hold now. After that it is asked as it is, and the answer says what is missing." default:"10s"`
	Server string        `help:"Ask the server at this address instead of the data directory's." env:"DOMICILE_SERVER" placeholder:"URL"`
}

// asker sends requests to the API.
type asker struct {
	client *http.Client
	base   string
}

// ask runs a command with something to ask.
func (f askFlag) ask(g *global, run func(a *asker) error) error {
	if f.Server != "" {
		base, err := url.Parse(f.Server)
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
			return fmt.Errorf("--server %s: give an address such as http://127.0.0.1:8480", f.Server)
		}
		return f.current(g, &asker{http.DefaultClient, strings.TrimSuffix(f.Server, "/")}, run)
	}
	if servedElsewhere(g.ctx, f.Data) {
		return f.current(g, &asker{socketClient(f.Data), "http://localhost"}, run)
	}
	return f.with(g, func(d *dataDir) error {
		s, err := newServer(g.ctx, d)
		if err != nil {
			return err
		}
		bar := newCountBar(g, "indexing")
		err = s.search.caughtUp(g.ctx, bar.count)
		bar.done()
		if err != nil {
			return err
		}
		return run(&asker{&http.Client{Transport: inProcess{s.handler}}, "http://localhost"})
	})
}

// current waits until the server's indexes hold what is published, within limits, and runs the command.
func (f askFlag) current(g *global, a *asker, run func(a *asker) error) error {
	for end := time.Now().Add(f.Wait); time.Now().Before(end); {
		var now struct {
			coverage
			Cells []cellAnswer `json:"cells"`
		}
		if err := a.get(g.ctx, "/v1/logs", nil, &now); err != nil {
			return err
		}
		behind := false
		for i := range now.Cells {
			behind = behind || now.Cells[i].behind()
		}
		if !behind || a.hopeless(g.ctx) {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-g.ctx.Done():
			return context.Cause(g.ctx)
		}
	}
	return run(a)
}

// hopeless reports whether the server has nothing to search with, so that waiting for it would be in vain.
func (a *asker) hopeless(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/readyz", nil)
	if err != nil {
		return true
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return true
	}
	defer answer.Body.Close()
	var said struct {
		Components []api.Component `json:"components"`
	}
	if json.NewDecoder(answer.Body).Decode(&said) != nil {
		return true
	}
	return slices.ContainsFunc(said.Components, func(c api.Component) bool { return c.Why == engine.ErrNoEngine.Error() })
}

// inProcess answers requests by a handler, without a connection.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// problem is what the API says when it does not answer (RFC 9457).
type problem struct {
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Cells  []cellAnswer `json:"cells"`
}

func (p *problem) Error() string {
	said := p.Title
	if p.Detail != "" {
		said = p.Detail
	}
	for _, c := range p.Cells {
		if !c.Answered {
			said += fmt.Sprintf("\n  cell %s: %s", c.Jurisdiction, c.why())
		}
	}
	return said
}

// cellAnswer is what a cell had to do with an answer.
type cellAnswer struct {
	Jurisdiction string `json:"jurisdiction"`
	Answered     bool   `json:"answered"`
	Reason       string `json:"reason"`
	Detail       string `json:"detail"`
	Logs         []struct {
		Origin     string `json:"origin"`
		Checkpoint *struct {
			Size uint64 `json:"size"`
		} `json:"checkpoint"`
		Indexed    uint64 `json:"indexed"`
		Behind     uint64 `json:"behind"`
		IndexError string `json:"index_error"`
	} `json:"logs"`
}

func (c *cellAnswer) why() string {
	if c.Detail != "" {
		return c.Detail
	}
	return c.Reason
}

// behind reports whether the index of a cell lacks something that it is about to get.
func (c *cellAnswer) behind() bool {
	for _, l := range c.Logs {
		if l.Behind > 0 && l.IndexError == "" {
			return true
		}
	}
	return false
}

// coverage is what every answer says of its own completeness.
type coverage struct {
	Complete bool         `json:"complete"`
	Cells    []cellAnswer `json:"cells"`
}

// report says on stderr what an answer lacks.
func (c *coverage) report(g *global) error {
	for i := range c.Cells {
		cell := &c.Cells[i]
		if !cell.Answered {
			fmt.Fprintf(g.err, "cell %s did not answer: %s\n", cell.Jurisdiction, cell.why())
		}
		for _, l := range cell.Logs {
			if l.Behind > 0 {
				fmt.Fprintf(g.err, "the index of %s is %d events behind the log %s\n", l.Origin, l.Behind, l.IndexError)
			}
		}
	}
	if !c.Complete {
		return errPartial
	}
	return nil
}

// maxAnswer bounds what is read of one answer: a page of the largest events.
const maxAnswer = 1 << 30

// get asks for something and decodes the JSON of the answer.
func (a *asker) get(ctx context.Context, path string, query url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := a.client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the address may hold what was searched for
		}
		return fmt.Errorf("asking %s: %w", a.base, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking %s: %w", a.base, err)
	}
	if answer.StatusCode != http.StatusOK {
		var p problem
		if json.Unmarshal(body, &p) != nil || p.Title == "" {
			return fmt.Errorf("%s answered %s: is it a server of domicile's?", a.base, answer.Status)
		}
		return &p
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		return fmt.Errorf("%s answered what is no JSON: %w", a.base, err)
	}
	return nil
}
