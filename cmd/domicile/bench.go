package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query/engine"
)

type benchCmd struct {
	Dir      string `help:"Folder on the file system to measure. What is made there is removed again." type:"existingdir" placeholder:"DIR"`
	Events   int    `help:"Events of one round." default:"200000"`
	Rounds   int    `help:"Rounds; the median counts." default:"5"`
	Recovery int    `help:"Measure something else: opening a log of so many events. 10000000 take about five minutes and 3 GB." placeholder:"N"`
	Search   int    `help:"Measure something else: questions to a log of so many events. 10000000 take about fifteen minutes and 10 GB." placeholder:"N"`
	JSON     bool   `name:"json" help:"Print the figures as JSON."`
}

func (*benchCmd) Help() string {
	return `Examples:
  domicile bench
  domicile bench --dir /mnt/disk --rounds 9
  domicile bench --recovery 10000000
  domicile bench --search 1000000

Makes a cell of its own each round, feeds it generated CloudTrail files as domicile ingest does, and audits what came of
them as domicile-verify log does. docs/performance.md says what the figures mean.`
}

// A figure is one thing that was measured.
type figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Median float64   `json:"median"`
	All    []float64 `json:"all"` // ascending
}

// figures are in the order in which they came first.
type figures []*figure

func (f *figures) add(name, unit string, value float64) {
	i := slices.IndexFunc(*f, func(have *figure) bool { return have.Name == name })
	if i < 0 {
		i = len(*f)
		*f = append(*f, &figure{Name: name, Unit: unit})
	}
	have := (*f)[i]
	have.All = append(have.All, value)
	slices.Sort(have.All)
	have.Median = have.All[len(have.All)/2]
}

func (cmd *benchCmd) Run(g *global) (err error) {
	if cmd.Events < 1 || cmd.Rounds < 1 || cmd.Recovery < 0 || cmd.Search < 0 {
		return errors.New("--events and --rounds begin at 1, --recovery and --search at 0")
	}
	dir, err := os.MkdirTemp(cmp.Or(cmd.Dir, os.TempDir()), "domicile-bench-")
	if err != nil {
		return err
	}
	// The folders of a locked store may be written to by their owner: only its files are read-only.
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var result figures
	switch {
	case cmd.Recovery > 0:
		err = cmd.recover(g, dir, &result)
	case cmd.Search > 0:
		err = cmd.large(g, dir, &result)
	default:
		err = cmd.ingest(g, dir, &result)
		if _, missing := engine.Find(g.ctx); missing != nil {
			fmt.Fprintf(g.err, "not measured: searching. %v\n", missing)
		} else if err == nil {
			err = cmd.searchable(g, dir, &result)
		}
	}
	if err != nil {
		return err
	}
	return cmd.report(g.out, result)
}

func (cmd *benchCmd) report(out io.Writer, result figures) error {
	if cmd.JSON {
		return json.NewEncoder(out).Encode(struct {
			Version    string  `json:"version"`
			Go         string  `json:"go"`
			Processors int     `json:"processors"`
			Figures    figures `json:"figures"`
		}{version, runtime.Version(), runtime.GOMAXPROCS(0), result})
	}
	fmt.Fprintf(out, "domicile %s, %s, %s/%s, %d processors\n\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range result {
		fmt.Fprintf(w, "%s\t%s %s", f.Name, number(f.Median), f.Unit)
		if n := len(f.All); n > 1 {
			fmt.Fprintf(w, "\t%s to %s in %d rounds", number(f.All[0]), number(f.All[n-1]), n)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func number(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// quiet is g for commands that run inside this one.
func (g *global) quiet() *global {
	return &global{ctx: g.ctx, in: g.in, out: io.Discard, err: io.Discard}
}

// newData makes a data directory with one cell, and returns its path.
func (cmd *benchCmd) newData(g *global, dir, name string) (string, error) {
	data := filepath.Join(dir, name)
	made := initCmd{dataFlag: dataFlag{Data: data}, Jurisdiction: []string{"eu"}, Ledger: "bench", Shards: 1}
	return data, made.Run(g.quiet())
}

// ingest measures the way of events from a provider's files until they are provable, and the audit of the result.
func (cmd *benchCmd) ingest(g *global, dir string, result *figures) error {
	for round := range cmd.Rounds {
		fmt.Fprintf(g.err, "round %d of %d\n", round+1, cmd.Rounds)
		files := filepath.Join(dir, fmt.Sprintf("files-%d", round))
		size, err := writeCloudTrail(files, round*cmd.Events, cmd.Events, time.Now())
		if err != nil {
			return err
		}
		data, err := cmd.newData(g, dir, fmt.Sprintf("data-%d", round))
		if err != nil {
			return err
		}
		runtime.GC()
		begin := time.Now()
		// Runs as it does from a shell: the directory is opened, and closed when all is published and bound.
		fed := ingestCmd{dataFlag: dataFlag{Data: data}, Paths: []string{files}}
		if err := fed.Run(g.quiet()); err != nil {
			return err
		}
		took := time.Since(begin).Seconds()
		result.add("CloudTrail files (gzip) to provable", "events/s", float64(cmd.Events)/took)
		result.add("the same, JSON before gzip", "MB/s", float64(size)/1e6/took)

		policy, err := cmd.policyFile(data)
		if err != nil {
			return err
		}
		cell := filepath.Join(data, "cells", "eu")
		keys, err := store.OpenKeys(filepath.Join(cell, "keys"), "")
		if err != nil {
			return err
		}
		for _, of := range []struct {
			name string
			keys store.Keys
		}{{"audit of all logs", nil}, {"audit that opens every record", keys}} {
			begin := time.Now()
			opts := audit.Options{Policies: []ledger.Policy{policy}}
			if of.keys != nil {
				opts.Keys = of.keys
			}
			report, err := audit.Audit(g.ctx, audit.Cell{Locked: audit.Dir(filepath.Join(cell, "locked")), Open: audit.Dir(filepath.Join(cell, "open"))}, opts)
			if err != nil {
				return err
			}
			if leaves := totalLeaves(report); report.Result != ledger.ResultVerified || leaves < uint64(cmd.Events) {
				return fmt.Errorf("the audit of %d events says %s, %d leaves: %+v", cmd.Events, report.Result, leaves, report.Findings)
			}
			result.add(of.name, "events/s", float64(cmd.Events)/time.Since(begin).Seconds())
		}
		if err := errors.Join(os.RemoveAll(files), os.RemoveAll(data)); err != nil {
			return err
		}
	}
	return nil
}

func totalLeaves(r *audit.Report) (n uint64) {
	for _, l := range r.Logs {
		n += l.Leaves
	}
	return n
}

// policyFile reads what init made for auditors of the cell's control log.
func (cmd *benchCmd) policyFile(data string) (ledger.Policy, error) {
	text, err := os.ReadFile(filepath.Join(data, "trust", "eu", "control.policy"))
	if err != nil {
		return ledger.Policy{}, err
	}
	return ledger.ParsePolicy(text)
}

// recover measures how long a large log takes to open: as it stands, for the first event after that, and with its open
// store gone.
func (cmd *benchCmd) recover(g *global, dir string, result *figures) error {
	data, err := cmd.newData(g, dir, "data")
	if err != nil {
		return err
	}
	fmt.Fprintf(g.err, "making a log of %d events\n", cmd.Recovery)
	// Each process is an epoch of its own.
	source := log.Source{Collector: collectorComponent.id, Epoch: fmt.Sprintf("%032x", 1)}
	again := log.Source{Collector: collectorComponent.id, Epoch: fmt.Sprintf("%032x", 2)}
	begin := time.Now()
	err = cmd.withLog(g, data, func(ctx context.Context, events *log.Events) error {
		for n := 0; n < cmd.Recovery; {
			batch := make([]log.Message, min(64*1024, cmd.Recovery-n))
			for i := range batch {
				batch[i] = smallestEvent(source, n+i, n+i, begin)
			}
			if _, err := events.Append(ctx, batch, true); err != nil {
				return err
			}
			n += len(batch)
		}
		return events.Flush(ctx)
	})
	if err != nil {
		return err
	}
	result.add("making the log of smallest events", "events/s", float64(cmd.Recovery)/time.Since(begin).Seconds())

	const skew = 10 * time.Minute // of the configuration that init writes
	fmt.Fprintln(g.err, "opening it")
	next := cmd.Recovery
	begin = time.Now()
	err = cmd.withLog(g, data, func(ctx context.Context, events *log.Events) error {
		result.add("opening it", "s", time.Since(begin).Seconds())
		// The log is made in a minute, so the window reaches back less than clocks may be apart. An event that claims to
		// come from just short of that in the future is one that the window can judge, as nearly all are in a log that
		// grew in its own time; one that happened now has to be looked up.
		for _, event := range []struct {
			name string
			at   time.Time
		}{
			{"first event after that, with the window of recent uids read back", time.Now().Add(skew - time.Second)},
			{"first event older than the window, by reading the log", time.Now()},
		} {
			begin := time.Now()
			if _, err := events.Append(ctx, []log.Message{smallestEvent(again, next-cmd.Recovery, next, event.at)}, true); err != nil {
				return err
			}
			next++
			result.add(event.name, "s", time.Since(begin).Seconds())
		}
		return nil
	})
	if err != nil {
		return err
	}

	fmt.Fprintln(g.err, "opening it without its open store")
	if err := os.RemoveAll(filepath.Join(data, "cells", "eu", "open", "bench", "eu", "events")); err != nil {
		return err
	}
	begin = time.Now()
	err = cmd.withLog(g, data, func(ctx context.Context, events *log.Events) error {
		result.add("opening it without its open store: the tree from the commits", "s", time.Since(begin).Seconds())
		for {
			cp, _, err := events.Reader().Checkpoint(ctx)
			if err == nil && cp.Size == uint64(next) {
				break
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		result.add("… until every tile is written and the checkpoint published again", "s", time.Since(begin).Seconds())
		return nil
	})
	if err != nil {
		return err
	}
	usage, err := bytesBelow(data)
	result.add("the data directory", "GB", float64(usage)/1e9)
	return err
}

// withLog opens the events log of a data directory, as a process that starts does.
func (cmd *benchCmd) withLog(g *global, data string, use func(ctx context.Context, events *log.Events) error) error {
	return dataFlag{Data: data}.with(g, func(d *dataDir) error {
		c, err := d.cell(g.ctx, "eu")
		if err != nil {
			return err
		}
		events, err := c.events(g.ctx, 0)
		if err != nil {
			return err
		}
		return use(g.ctx, events)
	})
}

// smallestEvent is the smallest event that a log takes. n tells events apart.
func smallestEvent(source log.Source, seq, n int, at time.Time) log.Message {
	uid := fmt.Sprintf("aws:111122223333:%010d", n)
	event := fmt.Appendf(nil, `{"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":"%s"},"time":%d}`, uid, at.UnixMilli())
	return log.Message{Source: source, Seq: uint64(seq), UID: uid, Time: at.UnixMilli(), Region: "aws:eu-central-1", Class: "default", Event: event}
}

func bytesBelow(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
