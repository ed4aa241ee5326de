package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/query"
)

type logVerifyCmd struct {
	dataFlag
	Cell    string `help:"Verify this cell only." placeholder:"ID"`
	Records bool   `help:"Open the payloads and check every record against its leaf. That reads event data, so it is logged first."`
	All     bool   `help:"Go on after the first bad object and list every one."`
	JSON    bool   `name:"json" help:"Print one JSON object per cell."`
}

func (*logVerifyCmd) Help() string {
	return `Example:
  domicile log verify --records

Checks what domicile-verify log checks, with the keys of this data directory. An auditor uses domicile-verify, with a
policy file that was handed over before.`
}

func (cmd *logVerifyCmd) Run(g *global) error {
	failed := 0
	err := cmd.with(g, func(d *dataDir) error {
		names := d.config.Names()
		if cmd.Cell != "" {
			names = []string{cmd.Cell}
		}
		for _, name := range names {
			report, err := cmd.verify(g, d, name)
			if err != nil {
				return fmt.Errorf("cell %s: %w", name, err)
			}
			if report.Result != ledger.ResultVerified {
				failed++
			}
			if err := cmd.print(g, name, report); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d cells did not verify: keep a copy as evidence before anything is repaired", failed)
	}
	return nil
}

func (cmd *logVerifyCmd) print(g *global, name string, report *audit.Report) error {
	if !cmd.JSON {
		return report.Print(g.out, "cell "+name, cmd.All)
	}
	return json.NewEncoder(g.out).Encode(struct {
		Cell string `json:"cell"`
		*audit.Report
	}{name, report})
}

// verify audits one cell. With records it needs the control log open, which must not be audited while it is written: the
// intent is published before, the rest of what was read is said afterwards.
func (cmd *logVerifyCmd) verify(g *global, d *dataDir, name string) (*audit.Report, error) {
	row, ok := d.config.Find(name)
	if !ok {
		return nil, fmt.Errorf("there is no such cell in %s: it holds %q", d.path, d.config.Names())
	}
	c, err := d.readCell(row)
	if err != nil {
		return nil, err
	}
	cfg, err := c.logConfig(g.ctx, c.controlOrigin())
	if err != nil {
		return nil, err
	}
	opts := audit.Options{All: cmd.All, Policies: []ledger.Policy{{Logs: []ledger.TrustedLog{{VKey: cfg.VKey}}, Quorum: "none"}}}
	done := func(uint64) {}
	if cmd.Records {
		opts.Keys = c.stores.Keys
		if done, err = logRecordsRead(g.ctx, d, name); err != nil {
			return nil, err
		}
	}
	folder := d.cellPath(name)
	report, err := audit.Audit(g.ctx, audit.Cell{Locked: audit.Dir(filepath.Join(folder, "locked")), Open: audit.Dir(filepath.Join(folder, "open"))}, opts)
	var records uint64
	defer func() { done(records) }()
	if err != nil {
		return nil, err
	}
	for _, l := range report.Logs {
		records += l.Records
	}
	return report, nil
}

// logRecordsRead logs that the records of a cell are about to be read, and publishes that.
func logRecordsRead(ctx context.Context, d *dataDir, name string) (done func(records uint64), err error) {
	c, err := d.cell(ctx, name)
	if err != nil {
		return nil, err
	}
	access, err := c.intend(ctx, ledger.PurposeAudit, query.Reading{Op: ledger.OpVerify, Content: ledger.ContentNone, Query: "log verify"})
	if err != nil {
		return nil, err
	}
	if err := c.control.Flush(ctx); err != nil {
		return nil, err
	}
	return func(records uint64) { access.Done(query.Handed{Records: records}) }, nil
}
