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
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"

	"domicile.dev/domicile/ledger"
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
	Serve      serveCmd      `cmd:"" help:"Serve all cells: search, proofs and logs over HTTP, commands over a socket."`
	Stop       stopCmd       `cmd:"" help:"End the server that holds the data directory."`
	Ingest     ingestCmd     `cmd:"" help:"Bring log files into the cells; return when all of it is provable."`
	Events     eventsCmd     `cmd:"" help:"Search events, newest first."`
	Stats      statsCmd      `cmd:"" help:"Count events by columns and spans of time."`
	Control    controlCmd    `cmd:"" help:"Look at the control logs: what was done with the data."`
	Proof      proofCmd      `cmd:"" help:"Write the proof bundle of one event."`
	Quarantine quarantineCmd `cmd:"" help:"Look after records that could not be used."`
	Index      indexCmd      `cmd:"" help:"Look after the index that searches use."`
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
	terminal bool // err is one
	width    int  // columns of the terminal that out is; 0 where it is none
	dir      string
	served   *dataDir // held by this process for longer than the command: it came through the socket
}

// errPartial makes a command that did its work exit with exitPartial; what was left out has been said.
var errPartial = errors.New("something was left out")

func main() { os.Exit(run(os.Args[1:])) }

// run is a command that somebody typed.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	g := &global{ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: isTerminal(os.Stderr), width: columns(os.Stdout)}
	g.dir, _ = os.Getwd()
	slog.SetLogLoggerLevel(slog.LevelWarn) // a server says more
	parser := newParser(g, kong.UsageOnError())
	kongplete.Complete(parser)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	selected, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(g.err, "domicile: %v\nRun domicile --help, or domicile COMMAND --help for an example.\n", err)
		return exitUsage
	}
	if code, done := forward(g, selected, args); done {
		return code
	}
	return g.execute(selected)
}

// newParser makes what reads command lines. Paths are taken to be relative to the command's folder.
func newParser(g *global, options ...kong.Option) *kong.Kong {
	parser, err := kong.New(new(cli), append([]kong.Option{
		kong.Name("domicile"),
		kong.Description(description),
		kong.Vars{"version": "domicile " + version, "purposes": purposes()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.NamedMapper("path", pathMapper{g.dir}),
		kong.Writers(g.out, g.err),
	}, options...)...)
	if err != nil {
		panic(err) // the declarations above are wrong
	}
	return parser
}

// purposes are the values of --purpose, as kong wants an enumeration.
func purposes() string {
	var list []string
	for _, p := range ledger.AccessPurposes() {
		list = append(list, string(p))
	}
	return strings.Join(list, ",")
}

// pathMapper puts a folder before relative paths; - stays what it is.
type pathMapper struct{ dir string }

// Decode implements kong.Mapper.
func (m pathMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var path string
	if err := ctx.Scan.PopValueInto("path", &path); err != nil {
		return err
	}
	if path != "-" && path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(m.dir, path)
	}
	target.SetString(path)
	return nil
}

// execute runs a command and says what its exit code is.
func (g *global) execute(selected *kong.Context) int {
	switch err := selected.Run(g); {
	case err == nil:
		return exitDone
	case errors.Is(err, errPartial):
		return exitPartial
	case g.ctx.Err() != nil:
		fmt.Fprintln(g.err, "domicile: stopped before it was done; what was answered is kept, run it again for the rest")
		return exitFailed
	default:
		fmt.Fprintf(g.err, "domicile: %v\n", err)
		return exitFailed
	}
}
