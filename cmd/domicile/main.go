// domicile is the server and the operator's tool of an audit ledger that knows where data lives. One file per
// subcommand; cell.go wires a cell together from the rooms of the house.
//
// Exit codes: 0 done, 1 failed, 2 done but something was left out (named on stderr), 3 usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitPartial = 2
	exitUsage   = 3
)

// version is set by the linker.
var version = "unknown"

type cli struct {
	Init       initCmd       `cmd:"" help:"Make cells: keys, logs, key store, policy files for verifiers."`
	Normalize  normalizeCmd  `cmd:"" help:"Show what providers' log files become, without a data directory."`
	Ingest     ingestCmd     `cmd:"" help:"Bring log files into the cells; return when all of it is provable."`
	Proof      proofCmd      `cmd:"" help:"Write the proof bundle of one event."`
	Quarantine quarantineCmd `cmd:"" help:"Look after records that could not be used."`
	Log        logCmd        `cmd:"" help:"Look after the logs of the cells."`
	Bench      benchCmd      `cmd:"" help:"Measure this machine: files to provable, audits, recovery."`

	Completion kongplete.InstallCompletions `cmd:"" help:"Print what makes your shell complete domicile's commands."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `An audit ledger that knows where data lives: it takes the audit logs of AWS, Azure and Google Cloud in, keeps each
event in the cell of its jurisdiction, and proves what it holds.

Exit codes: 0 done, 1 failed, 2 done, but something named on stderr was left out, 3 usage.`

// global is what every command can use.
type global struct {
	ctx      context.Context
	in       io.Reader
	out, err io.Writer
	terminal bool // stderr is one
}

// errPartial makes a command that did its work exit with exitPartial; what was left out has been said.
var errPartial = errors.New("something was left out")

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("domicile"),
		kong.Description(description),
		kong.Vars{"version": "domicile " + version},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.UsageOnError(),
	)
	if err != nil {
		panic(err) // the declarations above are wrong
	}
	kongplete.Complete(parser)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	selected, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "domicile: %v\nRun domicile --help, or domicile COMMAND --help for an example.\n", err)
		return exitUsage
	}
	g := &global{ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: isTerminal(os.Stderr)}
	switch err := selected.Run(g); {
	case err == nil:
		return exitDone
	case errors.Is(err, errPartial):
		return exitPartial
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "domicile: stopped before it was done; what was answered is kept, run it again for the rest")
		return exitFailed
	default:
		fmt.Fprintf(os.Stderr, "domicile: %v\n", err)
		return exitFailed
	}
}
