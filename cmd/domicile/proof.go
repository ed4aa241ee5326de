package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
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
	Purpose  string   `help:"Why the event is read, for the control log." enum:"audit,compliance,investigation,legal,subject_request,operation,evaluation" default:"audit"`
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
	case cmd.Format != "bundle" && (cmd.Disclose != nil || cmd.Hide != nil):
		return errors.New("a tlog-proof holds no fields: --disclose and --hide are for bundles")
	}
	return nil
}

// candidates are the cells that may hold the event, and the shard of each.
func (cmd *proofCmd) candidates(d *dataDir) (names []string, shard func(*cell) int, err error) {
	if cmd.Log == "" {
		names = d.config.Names()
		if cmd.Cell != "" {
			names = []string{cmd.Cell}
		}
		return names, func(c *cell) int { return ingest.PartitionOf(cmd.UID, len(c.shards)) }, nil
	}
	origin, err := ledger.ParseOrigin(cmd.Log)
	if err != nil {
		return nil, nil, err
	}
	row, ok := d.config.Find(origin.Jurisdiction)
	if !ok || origin.Ledger != d.config.Ledger || !origin.Control && origin.Shard >= row.Shards {
		return nil, nil, fmt.Errorf("there is no log %s in %s: domicile log list names those that are there", cmd.Log, d.path)
	}
	if origin.Control {
		return nil, nil, fmt.Errorf("%s is a control log, it holds no events", cmd.Log)
	}
	return []string{origin.Jurisdiction}, func(*cell) int { return origin.Shard }, nil
}

func (cmd *proofCmd) prove(ctx context.Context, d *dataDir) ([]byte, error) {
	names, shard, err := cmd.candidates(d)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := d.cell(ctx, name)
		if err != nil {
			return nil, err
		}
		result, err := cmd.proveIn(ctx, c, shard(c))
		if !errors.Is(err, errNotHere) {
			return result, err
		}
	}
	return nil, fmt.Errorf("no event %s in the cells %v", cmd.UID, names)
}

var errNotHere = errors.New("not in this cell")

// proveIn makes the proof from one cell. The access is logged before the first byte of event data is read, and logged
// as done with what was handed over.
func (cmd *proofCmd) proveIn(ctx context.Context, c *cell, shard int) ([]byte, error) {
	reader, err := c.reader(ctx, c.eventsOrigin(shard))
	if err != nil {
		return nil, err
	}
	entry, err := c.accessByCommand(ctx, ledger.OpProof, cmd.Purpose, cmd.UID+cmd.Log)
	if err != nil {
		return nil, err
	}
	if cmd.Format == "bundle" {
		entry.Content = ledger.ContentFull
		if cmd.Disclose != nil || cmd.Hide != nil {
			entry.Content, entry.Decision = ledger.ContentMasked, ledger.AllowMasked
		}
	}
	access, err := c.intend(ctx, entry)
	if err != nil {
		return nil, err
	}
	result, leaf, err := cmd.read(ctx, c, shard, reader)
	if err != nil {
		return nil, errors.Join(err, access.Done(ctx, 0, 0, nil))
	}
	set, err := c.setOf(ctx, access, [][]byte{leaf})
	if err != nil {
		return nil, err
	}
	if entry.Content == ledger.ContentNone {
		return result, access.Done(ctx, 0, 0, set)
	}
	return result, access.Done(ctx, 1, uint64(len(result)), set)
}

func (cmd *proofCmd) read(ctx context.Context, c *cell, shard int, reader *log.Reader) (result, leaf []byte, err error) {
	var index uint64
	if cmd.Index != nil {
		index = *cmd.Index
	} else {
		found := false
		if index, found, err = reader.FindUID(ctx, cmd.UID); err != nil {
			return nil, nil, err
		} else if !found {
			return nil, nil, errNotHere
		}
	}
	batch, err := c.boundAt(ctx, shard, index)
	if err != nil {
		return nil, nil, err
	}
	leaf, proof, err := reader.Proof(ctx, index, batch.Size)
	if err != nil {
		return nil, nil, err
	}
	if cmd.Format == "tlog-proof" {
		return proof.Append(nil), leaf, nil
	}
	b := ledger.ProofBundle{Origin: reader.Origin(), Index: index, Leaf: leaf, Proof: proof.Append(nil)}
	if b.Record, err = reader.Record(ctx, index); err != nil {
		return nil, nil, err
	}
	if err := cmd.mask(&b); err != nil {
		return nil, nil, err
	}
	if b.Anchor, err = c.anchor(ctx, batch.Index); err != nil {
		return nil, nil, err
	}
	return append(b.Append(nil), '\n'), leaf, nil
}

// mask replaces the record by a view, if that was asked for.
func (cmd *proofCmd) mask(b *ledger.ProofBundle) error {
	if cmd.Disclose == nil && cmd.Hide == nil {
		return nil
	}
	rec, err := ledger.ParseRecord(b.Record)
	if err != nil {
		return err
	}
	show := func(pointer string) bool { return matches(cmd.Disclose, pointer) }
	if cmd.Hide != nil {
		show = func(pointer string) bool { return !matches(cmd.Hide, pointer) }
	}
	for _, pattern := range append(cmd.Disclose, cmd.Hide...) {
		if !slices.ContainsFunc(rec.Fields, func(f ledger.Field) bool { return matches([]string{pattern}, f.Pointer) }) {
			return fmt.Errorf("the event has no field %s", pattern)
		}
	}
	b.View, b.Record = ledger.Mask(rec, show).Append(nil), nil
	return nil
}

// matches reports whether a pointer is one of the patterns, or lies below one that ends in /*.
func matches(patterns []string, pointer string) bool {
	for _, p := range patterns {
		if n := len(p) - 1; p == pointer || n > 0 && p[n] == '*' && len(pointer) > n && pointer[:n] == p[:n] {
			return true
		}
	}
	return false
}

// boundAt returns the last batch entry of a shard, which must cover the index. If it does not, the writer is opened:
// it publishes and binds what an earlier process was kept from.
func (c *cell) boundAt(ctx context.Context, shard int, index uint64) (batch custody.Batch, err error) {
	origin := c.eventsOrigin(shard)
	last := func() (ok bool) {
		c.control.State(func(r *custody.Replay) { batch, ok = r.LastBatch(origin) })
		return ok && index < batch.Size
	}
	if last() {
		return batch, nil
	}
	events, err := c.events(ctx, shard)
	if err != nil {
		return batch, err
	}
	if err := events.Flush(ctx); err != nil {
		return batch, err
	}
	if !last() {
		return batch, fmt.Errorf("log %s holds %d leaves: there is no leaf %d", origin, batch.Size, index)
	}
	return batch, nil
}

// anchor proves an entry of the control log at its newest checkpoint.
func (c *cell) anchor(ctx context.Context, index uint64) (*ledger.Anchor, error) {
	if err := c.control.Flush(ctx); err != nil {
		return nil, err
	}
	r := c.control.Reader()
	cp, _, err := r.Checkpoint(ctx)
	if errors.Is(err, store.ErrNotFound) || err == nil && cp.Size <= index {
		return nil, fmt.Errorf("log %s has not published entry %d yet", r.Origin(), index)
	}
	if err != nil {
		return nil, err
	}
	entry, proof, err := r.Proof(ctx, index, cp.Size)
	if err != nil {
		return nil, err
	}
	return &ledger.Anchor{Entry: entry, Proof: proof.Append(nil)}, nil
}
