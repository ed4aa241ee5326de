// Package enginetest gives tests a real ClickHouse: the embedded engine, started once for a test binary when the first
// test asks for it, in a temporary folder. Each test gets a database of its own. A test binary that uses it ends with
//
//	func TestMain(m *testing.M) { enginetest.Main(m) }
//
// which ends the engine and removes the folder. Where there is no engine, the test is skipped with a line that says
// what to install; with CI=true it fails.
package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine"
)

// A bench is what the tests of a binary share.
type bench struct {
	dir string // temporary; made by Main, which also removes it

	built    sync.Once
	buildErr error

	started   sync.Once
	engine    *engine.Engine
	startErr  error
	databases atomic.Int64
}

// shared is global because a test binary has no other place that all its tests reach.
var shared bench

// Main runs the tests, ends the engine that they started, and then the process.
func Main(m *testing.M) { os.Exit(Tests{m}.Run()) }

// Tests are the tests of a binary whose TestMain has more to do than Main: their Run ends the engine that they started.
type Tests struct{ M interface{ Run() int } }

// Run runs the tests and returns their exit code.
func (t Tests) Run() int { return shared.run(t.M) }

func (b *bench) run(m interface{ Run() int }) (code int) {
	dir, err := os.MkdirTemp("", "domicile-enginetest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	code = m.Run()
	if b.engine != nil {
		if err := b.engine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "end the engine:", err)
			return max(code, 1)
		}
	}
	return code
}

// Start returns options for a new, empty database of the engine, in Auth.Database. The database is dropped when the
// test ends.
func Start(t testing.TB) *clickhouse.Options {
	t.Helper()
	e := Engine(t)
	database := fmt.Sprintf("test_%d", shared.databases.Add(1))
	do(t, e, "CREATE DATABASE "+database+" ENGINE = Atomic")
	t.Cleanup(func() { do(t, e, "DROP DATABASE IF EXISTS "+database+" SYNC") })
	options := e.Options()
	options.Auth.Database = database
	return options
}

// Engine returns the engine that the tests of this binary share.
func Engine(t testing.TB) *engine.Engine {
	t.Helper()
	program := Program(t)
	shared.started.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		shared.engine, shared.startErr = engine.Start(ctx, engine.Config{Dir: filepath.Join(shared.dir, "engine"), Program: program})
	})
	if shared.startErr != nil {
		t.Fatalf("start the engine: %v", shared.startErr)
	}
	return shared.engine
}

// Program finds what an engine runs; domicile-engine is built from the sources of this repository.
func Program(t testing.TB) engine.Program {
	t.Helper()
	if shared.dir == "" {
		t.Fatal("the package needs func TestMain(m *testing.M) { enginetest.Main(m) }")
	}
	root := need.Root(t)
	bin := filepath.Join(shared.dir, "bin")
	shared.built.Do(func() {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", bin+string(filepath.Separator), "./cmd/domicile-engine")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			shared.buildErr = fmt.Errorf("build domicile-engine: %w\n%s", err, bytes.TrimSpace(out))
		}
	})
	if shared.buildErr != nil {
		t.Fatal(shared.buildErr)
	}
	program, err := engine.Find(t.Context(), bin)
	if err != nil {
		need.Missing(t, "%v", err)
	}
	return program
}

func do(t testing.TB, e *engine.Engine, query string) {
	t.Helper()
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(context.Background(), query); err != nil {
		t.Errorf("%s: %v", query, err)
	}
}
