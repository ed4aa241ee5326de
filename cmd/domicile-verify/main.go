// domicile-verify is the auditor's tool. In come proof bundles or whole logs, and trust policies: files that say whose
// signatures to believe. Out come plain words and an exit code. It works offline, believes nothing that it is not told
// to believe, and needs nothing else of domicile.
//
// Exit codes: 0 verified, 1 failed, 2 inconclusive, 3 usage.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"domicile.dev/domicile/ledger"
)

// Exit codes.
const (
	exitVerified     = 0
	exitFailed       = 1
	exitInconclusive = 2
	exitUsage        = 3
)

type cli struct {
	Event eventCmd `cmd:"" help:"Check that events were logged and not changed since, from their proof bundles."`
	Log   logCmd   `cmd:"" help:"Check a whole log, or all logs of a cell: every object that the stores hold."`

	Receipt receiptCmd `cmd:"" help:"Check that handing data over was recorded, from the receipts that came with it."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `Check what a domicile ledger says, without its operator and without a network.

Exit codes: 0 verified, 1 failed, 2 inconclusive (nothing failed, but what was given does not suffice to say more), 3 usage.`

func main() {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("domicile-verify"),
		kong.Description(description),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the declarations above are wrong
	}
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "domicile-verify: %v\nRun domicile-verify --help, or domicile-verify event --help for an example.\n", err)
		os.Exit(exitUsage)
	}
	code, err := ctx.Selected().Target.Addr().Interface().(command).run(streams{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		fmt.Fprintf(os.Stderr, "domicile-verify: %v\n", err)
		os.Exit(exitUsage)
	}
	os.Exit(code)
}

// command is a subcommand. An error is one of usage: what was asked for could not be looked at.
type command interface {
	run(std streams) (exitCode int, err error)
}

type streams struct {
	in       io.Reader
	out, err io.Writer
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "domicile-verify (unknown version)"
	}
	return "domicile-verify " + info.Main.Version
}

// exitCode maps the result of one verification.
func exitCode(r ledger.Result) int {
	switch r {
	case ledger.ResultVerified:
		return exitVerified
	case ledger.ResultInconclusive:
		return exitInconclusive
	}
	return exitFailed
}

// readPolicies reads trust policy files.
func readPolicies(paths []string) ([]ledger.Policy, error) {
	var policies []ledger.Policy
	for _, path := range paths {
		file, err := readFile(path, ledger.MaxTrustPolicyBytes)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		p, err := ledger.ParsePolicy(file)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w\nA policy is a text file of log, witness, group and quorum lines (c2sp.org/tlog-policy)", path, err)
		}
		policies = append(policies, p)
	}
	return policies, nil
}

// readFile reads a file that should not be larger than limit.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

var errTooLarge = errors.New("larger than anything of its kind can be")

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w (%d bytes)", name, errTooLarge, limit)
	}
	return data, nil
}
