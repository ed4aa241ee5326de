// domicile-engine is ClickHouse for the embedded shape: it loads libchdb, the ClickHouse engine as a shared library, and
// runs `clickhouse local` from it. In come the path of the library and the arguments of `clickhouse local`; what it
// serves, where and for whom is said by those arguments and the configuration that they name.
//
// It is a program of its own so that the server stays one static binary, and so that a crash of the engine, or its
// memory, is not the server's. It lives no longer than its parent: the end of its standard input, SIGTERM, and on
// Linux the death of its parent end it at once. Nothing is tidied up then, because nothing needs to be: the engine's
// data directory survives a kill.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage: domicile-engine --library FILE -- ARGUMENTS OF CLICKHOUSE LOCAL

Runs "clickhouse local" from libchdb, until its standard input ends. "domicile serve" starts it by itself.
`

// Exit codes besides 0, which says that it was asked to end. The message is on standard error.
const (
	exitFailed = 1
	exitUsage  = 3
)

func main() {
	library, args, ok := parse(os.Args[1:])
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(exitUsage)
	}
	if err := dieWithParent(); err != nil {
		fmt.Fprintf(os.Stderr, "domicile-engine: %v\n", err)
		os.Exit(exitFailed)
	}
	// os.Exit ends the process without running the library's destructors, which could wait for queries.
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	go func() { // lives as long as the process
		<-ends
		os.Exit(0)
	}()
	go func() { // the same
		// The parent never writes. An error means, too, that nobody is there.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	// The session that it is started for has no end, so there is a reason when it ends, and it may have been printed.
	fmt.Fprintf(os.Stderr, "domicile-engine: %v\n", run(library, append([]string{"clickhouse-local"}, args...)))
	os.Exit(exitFailed)
}

// parse splits the command line. The path of the library must be absolute: a bare name would be looked for wherever the
// system's loader looks.
func parse(args []string) (library string, rest []string, ok bool) {
	if len(args) < 3 || args[0] != "--library" || args[2] != "--" || !filepath.IsAbs(args[1]) {
		return "", nil, false
	}
	return args[1], args[3:], true
}
