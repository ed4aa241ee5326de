package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

type proofCmd struct {
	dataFlag
	UID      string   `arg:"" optional:"" help:"The event's metadata.uid, as ingest --receipts lists it." placeholder:"UID"`
	Log      string   `help:"Name the event by its log instead, together with --index." placeholder:"ORIGIN"`
	Index    *uint64  `help:"Index of the event's leaf in --log." placeholder:"N"`
	Cell     string   `help:"Look for the UID in this cell only." placeholder:"ID"`
	Output   string   `short:"o" help:"File to write; standard output otherwise." placeholder:"FILE" type:"path"`
	Format   string   `help:"bundle: everything that a verifier needs. tlog-proof: the C2SP proof of the leaf alone, no event data." enum:"bundle,tlog-proof" default:"bundle"`
	Disclose []string `help:"Write a masked view that shows these fields only (JSON Pointers; a trailing /* takes everything below)." placeholder:"POINTER"`
	Hide     []string `help:"Write a masked view that shows everything but these fields." placeholder:"POINTER"`
	Purpose  string   `help:"Why the event is read, for the control log." enum:"${purposes}" default:"audit"`
}

func (*proofCmd) Help() string {
	return `Examples:
  domicile proof aws:111122223333:2f3f… -o proof.json
  domicile proof aws:111122223333:2f3f… --hide '/raw_data' --hide '/actor/*' -o masked.json
  domicile proof --log local/eu/events/0 --index 41 --format tlog-proof

Check the result with domicile-verify event proof.json --policy domicile-data/trust/eu/control.policy.
The read is logged in the cell's control log before a byte of the event is touched.`
}

func (cmd *proofCmd) Run(g *global) error {
	if err := cmd.check(); err != nil {
		return err
	}
	var result []byte
	err := cmd.with(g, func(d *dataDir) (err error) {
		result, err = cmd.prove(g.ctx, d)
		return err
	})
	if err != nil {
		return err
	}
	if cmd.Output == "" {
		_, err = g.out.Write(result)
		return err
	}
	if err := os.WriteFile(cmd.Output, result, 0o600); err != nil { // it may hold event data
		return err
	}
	fmt.Fprintf(g.err, "Wrote %s (%d bytes).\n", g.relative(cmd.Output), len(result))
	return nil
}

func (cmd *proofCmd) check() error {
	switch {
	case (cmd.UID == "") == (cmd.Log == ""):
		return errors.New("name an event by its UID, or by --log ORIGIN --index N")
	case (cmd.Log == "") != (cmd.Index == nil):
		return errors.New("--log and --index go together")
	case cmd.Disclose != nil && cmd.Hide != nil:
		return errors.New("--disclose and --hide exclude each other")
	case cmd.Format != string(query.FormatBundle) && (cmd.Disclose != nil || cmd.Hide != nil):
		return errors.New("a tlog-proof holds no fields: --disclose and --hide are for bundles")
	}
	return nil
}

// candidates are the cells that may hold the event.
func (cmd *proofCmd) candidates(d *dataDir) ([]string, error) {
	if cmd.Log == "" {
		if cmd.Cell != "" {
			return []string{cmd.Cell}, nil
		}
		return d.config.Names(), nil
	}
	origin, err := ledger.ParseOrigin(cmd.Log)
	if err != nil {
		return nil, err
	}
	row, ok := d.config.Find(origin.Jurisdiction)
	if !ok || origin.Ledger != d.config.Ledger || !origin.Control && origin.Shard >= row.Shards {
		return nil, fmt.Errorf("there is no log %s in %s: domicile log list names those that are there", cmd.Log, d.path)
	}
	if origin.Control {
		return nil, fmt.Errorf("%s is a control log, it holds no events", cmd.Log)
	}
	return []string{origin.Jurisdiction}, nil
}

// prove asks the cells one after the other: each that is asked logs it.
func (cmd *proofCmd) prove(ctx context.Context, d *dataDir) ([]byte, error) {
	names, err := cmd.candidates(d)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := d.cell(ctx, name)
		if err != nil {
			return nil, err
		}
		result, err := cmd.proveIn(ctx, c)
		if cmd.Log != "" || !errors.Is(err, query.ErrNotFound) {
			return result, err
		}
	}
	return nil, fmt.Errorf("no event %s in the cells %v", cmd.UID, names)
}

// proveIn makes the proof from one cell.
func (cmd *proofCmd) proveIn(ctx context.Context, c *cell) ([]byte, error) {
	q, err := c.query(ctx)
	if err != nil {
		return nil, err
	}
	ref := query.Ref{UID: cmd.UID, Log: cmd.Log}
	if cmd.Index != nil {
		ref.Index = *cmd.Index
	}
	options := query.ProofOptions{Format: query.Format(cmd.Format), Disclose: cmd.Disclose, Hide: cmd.Hide}
	proofs, err := q.Prove(ctx, operator(ledger.AccessPurpose(cmd.Purpose)), []query.Ref{ref}, options)
	if err != nil {
		return nil, err
	}
	proof := proofs.Proofs[0]
	if proof.Err == nil && options.Format == query.FormatBundle {
		proof.Bytes = append(proof.Bytes, '\n')
	}
	return proof.Bytes, proof.Err
}
