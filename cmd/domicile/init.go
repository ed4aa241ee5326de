package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile.dev/domicile/internal/config"
	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/normalize"
)

type initCmd struct {
	dataFlag
	here
	Jurisdiction []string `help:"Jurisdiction of a cell to make: eu, us, in, … Repeat it for several; the first is the collector's, where --cell says nothing else." placeholder:"ID" required:""`
	Ledger       string   `help:"Name of the ledger, first part of every log's origin." default:"local"`
	Shards       int      `help:"Events logs of each new cell. Fixed once the cell is made." default:"1"`
	JSON         bool     `name:"json" help:"Print the result as JSON."`
}

func (*initCmd) Help() string {
	return `Example:
  domicile init --jurisdiction eu --jurisdiction us

Makes the data directory if there is none, and in it one cell for each jurisdiction: signing keys, key store, logs with
their first commit, and for every log a policy file that verifiers need (give them those, not the data directory).
It never overwrites anything. Running it again completes what was interrupted and adds cells that are new.`
}

// made is what init did for one log.
type made struct {
	Jurisdiction string `json:"jurisdiction"`
	Origin       string `json:"origin"`
	VKey         string `json:"vkey"`
	Policy       string `json:"policy"` // file for verifiers
}

func (cmd *initCmd) Run(g *global) error {
	cfg, err := cmd.plan()
	if err != nil {
		return err
	}
	if err := store.MakeDir(cmd.Data); err != nil {
		return err
	}
	d, err := lockData(cmd.Data, cfg)
	if err != nil {
		return err
	}
	list, err := cmd.make(g.ctx, d)
	if err = errors.Join(err, d.close(g.ctx)); err != nil {
		return err
	}
	return cmd.report(g, list)
}

// plan is the configuration after this run: what is there, and the cells that are new.
func (cmd *initCmd) plan() (*config.Config, error) {
	if !ledger.ValidOriginWord(cmd.Ledger) {
		return nil, fmt.Errorf("--ledger %q: use lower-case letters, digits, dots and dashes", cmd.Ledger)
	}
	if cmd.Shards < 1 || cmd.Shards > 1024 {
		return nil, fmt.Errorf("--shards %d: use 1 to 1024", cmd.Shards)
	}
	known := make(map[string]bool)
	for _, id := range normalize.DefaultPlaces().Jurisdictions() {
		known[id] = true
	}
	for _, id := range cmd.Jurisdiction {
		if !known[id] {
			return nil, fmt.Errorf("--jurisdiction %q is not one that the region tables know; they know: %v", id, normalize.DefaultPlaces().Jurisdictions())
		}
	}
	cfg, err := config.Load(cmd.Data)
	if errors.Is(err, config.ErrMissing) {
		cfg = &config.Config{Ledger: cmd.Ledger, Collector: cmd.Jurisdiction[0]}
	} else if err != nil {
		return nil, err
	}
	if cfg.Ledger != cmd.Ledger {
		return nil, fmt.Errorf("%s belongs to the ledger %q, not %q: name another --data directory, or --ledger %s", cmd.Data, cfg.Ledger, cmd.Ledger, cfg.Ledger)
	}
	for _, id := range cmd.Jurisdiction {
		if _, ok := cfg.Find(id); !ok {
			cfg.Cells = append(cfg.Cells, config.Cell{Jurisdiction: id, Shards: cmd.Shards})
		}
	}
	return cfg, nil
}

func (cmd *initCmd) make(ctx context.Context, d *dataDir) ([]made, error) {
	// The configuration comes first: it says which cells an interrupted run was to make.
	if err := writeConfig(d); err != nil {
		return nil, err
	}
	var list []made
	for i := range d.config.Cells {
		row := &d.config.Cells[i]
		logs, err := d.makeCell(ctx, row)
		if err != nil {
			return nil, fmt.Errorf("cell %s: %w", row.Jurisdiction, err)
		}
		list = append(list, logs...)
	}
	return list, nil
}

// writeConfig stores the configuration, if it says something new.
func writeConfig(d *dataDir) error {
	text, err := d.config.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, config.File)
	if there, err := config.Load(d.path); err == nil {
		if old, err := there.Encode(); err == nil && bytes.Equal(old, text) {
			return nil // and the operator's comments stay
		}
	} else if !errors.Is(err, config.ErrMissing) {
		return err
	}
	crash.Point("init/before-config")
	return writeFileDurably(d, path, text, 0o644)
}

// makeCell makes a cell or completes it. Every step is found done by the next run, and none is undone by it.
func (d *dataDir) makeCell(ctx context.Context, row *config.Cell) ([]made, error) {
	folder := d.cellPath(row.Jurisdiction)
	if err := store.InitDir(folder, d.lock.Temp(), rand.Reader); err != nil {
		return nil, err
	}
	crash.Point("init/after-stores")
	c, err := d.readCell(row)
	if err != nil {
		return nil, err
	}
	for _, origin := range c.origins() {
		if err := c.makeKey(ctx, origin); err != nil {
			return nil, err
		}
	}
	crash.Point("init/after-keys")
	var list []made
	for _, origin := range c.origins() {
		cfg, err := c.logConfig(ctx, origin)
		if err != nil {
			return nil, err
		}
		if err := log.Create(ctx, cfg, ledger.StreamRef{}); err != nil {
			return nil, err
		}
		file, err := c.writePolicyFile(origin, cfg.VKey)
		if err != nil {
			return nil, err
		}
		list = append(list, made{row.Jurisdiction, origin, cfg.VKey, file})
	}
	crash.Point("init/after-logs")
	opened, err := d.cell(ctx, row.Jurisdiction)
	if err != nil {
		return nil, err
	}
	return list, opened.declare(ctx, list)
}

// makeKey makes the signing key of a log, unless there is one.
func (c *cell) makeKey(ctx context.Context, origin string) error {
	_, err := c.stores.Keys.GetSecret(ctx, logKeyName(origin))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	skey, _, err := ledger.GenerateLogKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	if err := c.stores.Keys.PutSecret(ctx, logKeyName(origin), []byte(skey)); err != nil {
		return fmt.Errorf("storing the key of log %s: %w", origin, err)
	}
	return nil
}

// writePolicyFile writes what a verifier needs to believe a log (C2SP tlog-policy), unless it is there. The file may be
// edited, to add witnesses for instance, so another text is left alone.
func (c *cell) writePolicyFile(origin, vkey string) (string, error) {
	o, err := ledger.ParseOrigin(origin)
	if err != nil {
		return "", err
	}
	name := "control.policy"
	if !o.Control {
		name = fmt.Sprintf("events-%d.policy", o.Shard)
	}
	path := filepath.Join(c.dir.trustPath(c.jurisdiction), name)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	policy := ledger.Policy{Logs: []ledger.TrustedLog{{VKey: vkey}}, Quorum: "none"}
	if err := store.MakeDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	return path, writeFileDurably(c.dir, path, policy.Append(nil), 0o644)
}

// policyDocument is the first policy of a cell: what exists, and the least strict limits.
func (c *cell) policyDocument(ctx context.Context, logs []made) (*ledger.PolicyDocument, error) {
	storeID, err := c.stores.Locked.ID(ctx)
	if err != nil {
		return nil, err
	}
	skew := time.Duration(c.dir.config.Skew)
	if skew == 0 {
		skew = 10 * time.Minute
	}
	doc := &ledger.PolicyDocument{
		Ledger: c.dir.config.Ledger, Jurisdiction: c.jurisdiction, Rules: ledger.EmptyHash, Quorum: ledger.QuorumNone,
		SkewMs: uint64(skew.Milliseconds()), Stores: []ledger.PolicyStore{{ID: storeID, Kind: ledger.StoreDirectory}},
		Emitters: addDeclared(nil),
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	for _, l := range logs {
		if l.Jurisdiction == c.jurisdiction {
			doc.Logs = append(doc.Logs, ledger.PolicyLog{Origin: l.Origin, VKey: l.VKey})
		}
	}
	return doc, nil
}

// declare writes the first entries of a control log: the policy, then the keys. What is there is not written again.
func (c *cell) declare(ctx context.Context, logs []made) error {
	var size uint64
	keyed := make(map[string]bool)
	c.control.State(func(r *custody.Replay) {
		size = r.Size()
		for _, origin := range r.KeyOrigins() {
			keyed[origin] = true
		}
	})
	m, err := c.control.Init(ctx)
	if err != nil {
		return err
	}
	if size == 0 {
		doc, err := c.policyDocument(ctx, logs)
		if err != nil {
			return err
		}
		if err := c.activate(ctx, m, doc, nil); err != nil {
			return err
		}
	}
	multiRegion := false
	for _, l := range logs {
		if keyed[l.Origin] {
			continue
		}
		kid, err := ledger.KeyIDOf(l.VKey)
		if err != nil {
			return err
		}
		crash.Point("init/before-key-entry")
		_, err = m.Append(ctx, &ledger.KeyEntry{
			Event: ledger.KeyCreate, Purpose: ledger.KeyLog, KID: kid, VKey: l.VKey, MultiRegion: &multiRegion, Origin: l.Origin,
		})
		if err != nil {
			return err
		}
		crash.Point("init/after-key-entry")
	}
	return c.publishFirst(ctx)
}

// addDeclared completes emitters of a policy by those of this version's components that it lacks, in ascending order.
func addDeclared(emitters []ledger.PolicyActor) []ledger.PolicyActor {
	list := slices.Clone(emitters)
	for _, of := range declared {
		if !slices.ContainsFunc(list, func(a ledger.PolicyActor) bool { return a.ID == of.id }) {
			list = append(list, ledger.PolicyActor{ID: of.id, Role: of.role})
		}
	}
	slices.SortFunc(list, func(a, b ledger.PolicyActor) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// declareNew puts a policy in force that lists the components of this version, where the one in force does not: it was
// made by an earlier version. Only a cell that was never completed has none, and its components come with its first.
func (c *cell) declareNew(ctx context.Context) error {
	var doc ledger.PolicyDocument
	var hash ledger.Hash
	made := false
	c.control.State(func(r *custody.Replay) {
		if h, newest, ok := r.NewestPolicy(); ok {
			hash, doc, made = h, *newest, true
		}
	})
	emitters := addDeclared(doc.Emitters)
	if !made || len(emitters) == len(doc.Emitters) {
		return nil
	}
	doc.Emitters = emitters
	m, err := c.control.Init(ctx)
	if err != nil {
		return err
	}
	return c.activate(ctx, m, &doc, &hash)
}

// activate stores a policy document and puts it in force.
func (c *cell) activate(ctx context.Context, m *log.Component, doc *ledger.PolicyDocument, supersedes *ledger.Hash) error {
	text, err := doc.Encode()
	if err != nil {
		return err
	}
	hash, err := doc.Hash()
	if err != nil {
		return err
	}
	object := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	if err := store.Ensure(ctx, c.stores.Locked, store.Object{Key: c.controlOrigin() + "/" + object, Data: text}); err != nil {
		return err
	}
	crash.Point("init/after-policy-document")
	_, err = m.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: object, Supersedes: supersedes, Effective: c.control.Clock().UnixMilli()})
	return err
}

// publishFirst gives every log a checkpoint, so that it can be read before its first event.
func (c *cell) publishFirst(ctx context.Context) error {
	for shard := range c.shards {
		origin := c.eventsOrigin(shard)
		r, err := c.reader(ctx, origin)
		if err != nil {
			return err
		}
		if _, _, err := r.Checkpoint(ctx); errors.Is(err, store.ErrNotFound) {
			_, err = c.events(ctx, shard) // closing it publishes
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return c.control.Flush(ctx)
}

func (cmd *initCmd) report(g *global, list []made) error {
	if cmd.JSON {
		return json.NewEncoder(g.out).Encode(list)
	}
	fmt.Fprintf(g.out, "Data directory %s\n", g.relative(cmd.Data))
	for _, m := range list {
		fmt.Fprintf(g.out, "  %-28s policy for verifiers: %s\n", m.Origin, g.relative(m.Policy))
	}
	fmt.Fprintln(g.out, "Keep the keys folders private and backed up; give auditors the policy files.")
	return nil
}
