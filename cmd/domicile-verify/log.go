package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/store"
)

type logCmd struct {
	Where  string   `arg:"" name:"dir|url" help:"A cell's folder (with locked/ and open/), a data directory with cells/, or the URL of one log."`
	Policy []string `name:"policy" short:"p" placeholder:"FILE" sep:"none" help:"Trust policy of a log (c2sp.org/tlog-policy). The control log's suffices for all logs of its cell. Repeatable."`
	Keys   string   `name:"keys" placeholder:"DIR" help:"Key store of the cell, to open payloads and check every record against its leaf."`
	All    bool     `name:"all" help:"Go on after the first bad object and list every one."`
	Token  string   `name:"token-file" placeholder:"FILE" help:"File with a bearer token for a URL."`
	JSON   bool     `name:"json" help:"Print one JSON object per cell."`
}

// Help is shown by log --help.
func (*logCmd) Help() string {
	return `Everything that the stores hold is read: commits from the first one on, tiles, checkpoints, payloads, attachments,
control entries. What differs from what it must be is named. Nothing is written.

Example:
  domicile-verify log domicile-data/cells/eu --policy eu-control.policy`
}

func (c *logCmd) run(std streams) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	policies, err := readPolicies(c.Policy)
	if err != nil {
		return 0, err
	}
	opts := audit.Options{Policies: policies, All: c.All}
	if c.Keys != "" {
		if opts.Keys, err = store.OpenKeys(c.Keys, ""); err != nil {
			return 0, fmt.Errorf("--keys: %w", err)
		}
	}
	progress := newProgress(std.err)
	opts.Progress = progress.show
	if strings.HasPrefix(c.Where, "http://") || strings.HasPrefix(c.Where, "https://") {
		client, err := httpClient(c.Token)
		if err != nil {
			return 0, err
		}
		report, err := audit.AuditURL(ctx, client, c.Where, opts)
		progress.end()
		return c.print(std, c.Where, report, err)
	}
	cells, err := cellsIn(c.Where)
	if err != nil {
		return 0, err
	}
	if opts.Keys != nil && len(cells) > 1 {
		return 0, fmt.Errorf("--keys is the key store of one cell, %s holds %d: name one of them (%s)", c.Where, len(cells), cells[0])
	}
	worst := exitVerified
	for i, cell := range cells {
		if i > 0 && !c.JSON {
			fmt.Fprintln(std.out)
		}
		report, err := audit.Audit(ctx, audit.Cell{Locked: audit.Dir(filepath.Join(cell, "locked")), Open: audit.Dir(filepath.Join(cell, "open"))}, opts)
		progress.end()
		code, err := c.print(std, cell, report, err)
		if err != nil {
			return 0, err
		}
		worst = worse(worst, code)
	}
	return worst, nil
}

// cellsIn finds the cells that a folder is or holds.
func cellsIn(dir string) ([]string, error) {
	isDir := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}
	if isDir(filepath.Join(dir, "locked")) {
		return []string{dir}, nil
	}
	var cells []string
	entries, err := os.ReadDir(filepath.Join(dir, "cells"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if cell := filepath.Join(dir, "cells", e.Name()); isDir(filepath.Join(cell, "locked")) {
			cells = append(cells, cell)
		}
	}
	if len(cells) == 0 {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s holds no logs: give a cell's folder (with locked/ and open/), a data directory (with cells/), or a URL", dir)
	}
	return cells, nil
}

// httpClient reads what is at a URL, with the token in a file if one is given.
func httpClient(tokenFile string) (*http.Client, error) {
	client := &http.Client{Timeout: time.Minute}
	if tokenFile == "" {
		return client, nil
	}
	token, err := readFile(tokenFile, 64<<10)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	client.Transport = bearer(strings.TrimSpace(string(token)))
	// A token is for the server it was given for.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

// bearer adds a token to every request.
type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (c *logCmd) print(std streams, where string, report *audit.Report, err error) (int, error) {
	if err != nil {
		// Nothing is known to be wrong with the log: it could not be read.
		fmt.Fprintf(std.err, "domicile-verify: %s: %v\n", where, err)
		return exitInconclusive, nil
	}
	if c.JSON {
		err = printJSON(std.out, struct {
			Where string `json:"where"`
			*audit.Report
		}{where, report})
	} else {
		err = report.Print(std.out, where, c.All)
	}
	return exitCode(report.Result), err
}

// progress shows how far an audit is, on a terminal only.
type progress struct {
	w     io.Writer
	shown time.Time
	wide  int
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return &progress{w: w}
		}
	}
	return &progress{}
}

func (p *progress) show(now audit.Progress) {
	if p.w == nil || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	line := fmt.Sprintf("%s: %d of %d leaves", ledger.Printable(now.Origin), now.Leaves, now.Total)
	fmt.Fprintf(p.w, "\r%-*s", p.wide, line)
	p.wide = max(p.wide, len(line))
}

func (p *progress) end() {
	if p.w != nil && p.wide > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.wide, "")
	}
}
