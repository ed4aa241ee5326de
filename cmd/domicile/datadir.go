package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"domicile.dev/domicile/internal/config"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query/api"
	"domicile.dev/domicile/query/engine"
)

// dataFlag is the flag of every command that works on a data directory.
type dataFlag struct {
	Data string `help:"Data directory." env:"DOMICILE_DATA" default:"domicile-data" type:"path" placeholder:"DIR"`
}

// here is part of commands that run where they were typed, whether or not a server holds the data directory.
type here struct{}

func (here) runsHere() {}

// dataDir is a data directory that this process holds: nobody else writes to it.
type dataDir struct {
	path   string
	config *config.Config
	lock   *store.Lock
	cells  []*cell // opened ones

	program   func() (engine.Program, error) // what searches with: looked for once
	searching sync.Once
	search    *search // nil before startSearch

	metrics *api.Metrics // of a server; else nil
}

func (f dataFlag) open() (*dataDir, error) {
	cfg, err := config.Load(f.Data)
	if err != nil {
		return nil, err
	}
	return lockData(f.Data, cfg)
}

func lockData(path string, cfg *config.Config) (*dataDir, error) {
	lock, err := store.LockDir(path)
	if err != nil {
		return nil, err
	}
	return &dataDir{
		path: path, config: cfg, lock: lock,
		program: sync.OnceValues(func() (engine.Program, error) { return engine.Find(context.Background()) }),
	}, nil
}

func (d *dataDir) cellPath(jurisdiction string) string {
	return filepath.Join(d.path, "cells", jurisdiction)
}

// trustPath is where the policy files for verifiers of a cell's logs lie.
func (d *dataDir) trustPath(jurisdiction string) string {
	return filepath.Join(d.path, "trust", jurisdiction)
}

// cell opens a cell, once.
func (d *dataDir) cell(ctx context.Context, jurisdiction string) (*cell, error) {
	for _, c := range d.cells {
		if c.jurisdiction == jurisdiction {
			return c, nil
		}
	}
	row, ok := d.config.Find(jurisdiction)
	if !ok {
		return nil, fmt.Errorf("there is no cell %q in %s: it holds %q", jurisdiction, d.path, d.config.Names())
	}
	c, err := openCell(ctx, d, row)
	if err != nil {
		return nil, fmt.Errorf("cell %s: %w", jurisdiction, err)
	}
	d.cells = append(d.cells, c)
	return c, nil
}

// all opens every cell.
func (d *dataDir) all(ctx context.Context) ([]*cell, error) {
	for _, name := range d.config.Names() {
		if _, err := d.cell(ctx, name); err != nil {
			return nil, err
		}
	}
	return d.cells, nil
}

// close ends the components' epochs, publishes what is committed and lets the directory go. It runs even if the command
// was interrupted.
func (d *dataDir) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	d.searching.Do(func() { d.search = &search{why: errors.New("the data directory is being closed"), cancel: func() {}} })
	errs = append(errs, d.search.close())
	for _, c := range d.cells {
		if err := c.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("cell %s: %w", c.jurisdiction, err))
		}
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// with opens the data directory, runs a command on it and closes it. In a server, which holds it anyway, what the command
// did is published and bound.
func (f dataFlag) with(g *global, run func(d *dataDir) error) error {
	d := g.served
	if d != nil {
		return errors.Join(run(d), d.flush(g.ctx))
	}
	d, err := f.open()
	if err != nil {
		return err
	}
	err = run(d)
	if closeErr := d.close(g.ctx); err == nil || closeErr != nil && !errors.Is(err, closeErr) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// flush publishes everything that is committed and binds it into the control logs.
func (d *dataDir) flush(ctx context.Context) error {
	for _, c := range d.cells {
		if err := c.flush(ctx); err != nil {
			return fmt.Errorf("cell %s: %w", c.jurisdiction, err)
		}
	}
	return nil
}

// dataPath is the directory of a command, which a server that holds it may run.
func (f dataFlag) dataPath() string { return f.Data }
