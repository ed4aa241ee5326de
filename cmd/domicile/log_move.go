package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"domicile.dev/domicile/internal/config"
	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
)

type logMoveCmd struct {
	dataFlag
	here
	Dir string `arg:"" help:"The new data directory; it is made." placeholder:"DIR" type:"path"`
}

func (*logMoveCmd) Help() string {
	return `Example:
  domicile log move /mnt/ledger/domicile-data

Copies cells, keys, quarantine and configuration, then ends each log here with a commit that names its new place. From
then on this directory refuses to be written to. If it is interrupted, run it again. To move a directory within one file
system, mv is enough: it stays the same store.`
}

func (cmd *logMoveCmd) Run(g *global) error {
	d, err := cmd.open()
	if err != nil {
		return err
	}
	defer d.lock.Close()
	if err := store.MakeDir(cmd.Dir); err != nil {
		return err
	}
	to, err := lockData(cmd.Dir, d.config)
	if err != nil {
		return err
	}
	defer to.lock.Close()
	if there, err := config.Load(cmd.Dir); err == nil && !slices.Equal(there.Names(), d.config.Names()) {
		return fmt.Errorf("%s holds other cells: %v", cmd.Dir, there.Names())
	}
	for i := range d.config.Cells {
		if err := moveCell(g, d, to, &d.config.Cells[i]); err != nil {
			return fmt.Errorf("moving cell %s: %w", d.config.Cells[i].Jurisdiction, err)
		}
	}
	// The configuration comes last: a directory that has one is whole.
	if err := writeConfig(to); err != nil {
		return err
	}
	fmt.Fprintf(g.out, "The logs go on in %s. Set DOMICILE_DATA, or use --data; this directory is no longer written to.\n", cmd.Dir)
	return nil
}

// moveCell moves the logs of a cell, and before them everything that they need there.
func moveCell(g *global, d, to *dataDir, row *config.Cell) error {
	ctx := g.ctx
	from, target := d.cellPath(row.Jurisdiction), to.cellPath(row.Jurisdiction)
	// Keys first: a new cell would make keys of its own.
	for _, part := range []string{"keys", "quarantine"} {
		if err := copyTree(to, filepath.Join(from, part), filepath.Join(target, part)); err != nil {
			return err
		}
	}
	if err := copyTree(to, d.trustPath(row.Jurisdiction), to.trustPath(row.Jurisdiction)); err != nil {
		return err
	}
	crash.Point("move/after-keys")
	if err := store.InitDir(target, to.lock.Temp(), rand.Reader); err != nil {
		return err
	}
	there, err := store.OpenCell(target, to.lock.Temp())
	if err != nil {
		return err
	}
	if err := announceMove(ctx, d, row, there); err != nil && !errors.Is(err, log.ErrMoved) {
		return err
	}
	c, err := d.readCell(row)
	if err != nil {
		return err
	}
	origins := c.origins()
	slices.Reverse(origins) // the control log last: it binds what the others published
	for _, origin := range origins {
		cfg, err := c.logConfig(ctx, origin)
		if err != nil {
			return err
		}
		progress := newBar(g, -1, "moving "+origin, false)
		err = log.Move(ctx, cfg, log.Destination{Locked: there.Locked, Open: there.Open}, func(_ string, size int64) { progress.add(size) })
		progress.done()
		if err != nil {
			return err
		}
		fmt.Fprintf(g.out, "moved %s\n", origin)
	}
	return nil
}

// announceMove publishes and binds everything here, and puts a policy in force that lists the new store, while the
// control log can still be written here.
func announceMove(ctx context.Context, d *dataDir, row *config.Cell, there *store.Cell) error {
	c, err := openCell(ctx, d, row)
	if err != nil {
		return err
	}
	err = func() error {
		for shard := range c.shards {
			if _, err := c.events(ctx, shard); err != nil {
				return err
			}
		}
		target, err := there.Locked.ID(ctx)
		if err != nil {
			return err
		}
		var hash ledger.Hash
		var doc ledger.PolicyDocument
		c.control.State(func(r *custody.Replay) {
			h, newest, _ := r.NewestPolicy()
			hash, doc = h, *newest
		})
		if slices.ContainsFunc(doc.Stores, func(s ledger.PolicyStore) bool { return s.ID == target }) {
			return nil
		}
		doc.Stores = append(slices.Clone(doc.Stores), ledger.PolicyStore{ID: target, Kind: ledger.StoreDirectory})
		slices.SortFunc(doc.Stores, func(a, b ledger.PolicyStore) int { return strings.Compare(a.ID, b.ID) })
		m, err := c.control.Init(ctx)
		if err != nil {
			return err
		}
		return c.activate(ctx, m, &doc, &hash)
	}()
	return errors.Join(err, c.close(ctx))
}

// copyTree copies a folder's files, with their modes, durably. What is there already stays.
func copyTree(d *dataDir, from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if err := store.MakeDir(target); err != nil {
				return err
			}
			return os.Chmod(target, info.Mode().Perm())
		}
		if _, err := os.Lstat(target); err == nil {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return writeFileDurably(d, target, data, info.Mode().Perm())
	})
}
