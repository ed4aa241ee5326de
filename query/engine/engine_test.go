package engine_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"pgregory.net/rapid"

	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// start starts an engine of the test's own.
func start(t *testing.T, config engine.Config) *engine.Engine {
	t.Helper()
	if config.Program.Path == "" {
		config.Program = enginetest.Program(t)
	}
	e, err := engine.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func open(t *testing.T, options *clickhouse.Options) clickhouse.Conn {
	t.Helper()
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func do(t *testing.T, conn clickhouse.Conn, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if err := conn.Exec(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

func count(t *testing.T, conn clickhouse.Conn, table string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for something that happens in another process.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after a minute: %s", what)
		}
	}
}

// alive says whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err) || !isDir("/proc/self")
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func TestAnswers(t *testing.T) {
	conn := open(t, enginetest.Start(t))
	do(t, conn,
		"CREATE TABLE a (n UInt64, s String) ENGINE = ReplacingMergeTree ORDER BY n",
		"INSERT INTO a SELECT number, toString(number) FROM numbers(100000)",
		"ALTER TABLE a ADD COLUMN m UInt64 MATERIALIZED n * 2",
		"OPTIMIZE TABLE a FINAL",
		"CREATE TABLE b AS a",
		"EXCHANGE TABLES a AND b",
		"ALTER TABLE b DELETE WHERE n % 2 = 0 SETTINGS mutations_sync = 1",
	)
	if n := count(t, conn, "b"); n != 50000 {
		t.Errorf("%d rows, want 50000", n)
	}
}

func TestEachTestHasItsDatabase(t *testing.T) {
	for range 2 {
		t.Run("", func(t *testing.T) { do(t, open(t, enginetest.Start(t)), "CREATE TABLE a (n UInt64) ENGINE = Memory") })
	}
}

func TestStartsAgainAfterAKill(t *testing.T) {
	var ports []string
	config := engine.Config{Dir: t.TempDir()}.WithPorts(func() (string, error) {
		port, err := freePort()
		ports = append(ports, port)
		return port, err
	})
	e := start(t, config)
	conn := open(t, e.Options())
	do(t, conn, "CREATE DATABASE d ENGINE = Atomic", "CREATE TABLE d.a (n UInt64) ENGINE = MergeTree ORDER BY n", "INSERT INTO d.a SELECT number FROM numbers(1000)")

	for kill := 1; kill <= 2; kill++ {
		before := e.PID()
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another process answers", func() bool { pid := e.PID(); return pid != 0 && pid != before })
		if err := e.Ready(); err != nil {
			t.Error(err)
		}
		// The pool that was made before the kill dials the new port. It may find a dead connection first.
		eventually(t, "the pool answers", func() bool { return conn.Ping(t.Context()) == nil })
		if n := count(t, conn, "d.a"); n != 1000 {
			t.Errorf("after kill %d: %d rows, want 1000", kill, n)
		}
		if e.Restarts() != kill {
			t.Errorf("%d restarts, want %d", e.Restarts(), kill)
		}
		if want := net.JoinHostPort("127.0.0.1", ports[len(ports)-1]); e.Addr() != want {
			t.Errorf("listens on %s, want %s", e.Addr(), want)
		}
	}
}

func TestSaysWhyItIsDown(t *testing.T) {
	// The second start finds no port until the test allows it.
	allowed := make(chan bool, 1)
	allowed <- true
	config := engine.Config{Dir: t.TempDir()}.WithPorts(func() (string, error) {
		select {
		case <-allowed:
			return freePort()
		default:
			return "", errors.New("no port for now")
		}
	})
	e := start(t, config)
	conn := open(t, e.Options())
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the start fails", func() bool { err := e.Ready(); return err != nil && strings.Contains(err.Error(), "no port for now") })
	if err := conn.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "the embedded engine is not running") {
		t.Errorf("the pool says %v", err)
	}
	if e.Addr() != "" || e.PID() != 0 {
		t.Errorf("down, with address %q and process %d", e.Addr(), e.PID())
	}
	allowed <- true
	eventually(t, "it answers", func() bool { return conn.Ping(t.Context()) == nil })
}

func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func TestTakesAnotherPortWhenOneIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	e := start(t, engine.Config{Dir: t.TempDir()}.WithPorts(func() (string, error) {
		if tries++; tries == 1 {
			return port, nil
		}
		return freePort()
	}))
	if tries != 2 || e.Addr() == taken.Addr().String() {
		t.Errorf("%d tries, listens on %s", tries, e.Addr())
	}
	// Nobody who holds the port is told the password.
	_ = taken.(*net.TCPListener).SetDeadline(time.Now())
	if conn, err := taken.Accept(); err == nil {
		conn.Close()
		t.Error("it connected to the process that holds the port")
	}
}

func TestMemoryLimit(t *testing.T) {
	e := start(t, engine.Config{Dir: t.TempDir(), MemoryLimit: 512 << 20})
	conn := open(t, e.Options())
	for _, settings := range []string{"", " SETTINGS max_memory_usage = 0"} { // of one query; of all
		var n uint64
		err := conn.QueryRow(t.Context(), "SELECT length(groupArray(number)) FROM numbers(200000000)"+settings).Scan(&n)
		var exception *clickhouse.Exception
		if !errors.As(err, &exception) || exception.Code != 241 || !strings.Contains(err.Error(), "memory limit exceeded") {
			t.Errorf("1.6 GB in 512 MiB%s: %v", settings, err)
		}
	}
	if err := conn.Ping(t.Context()); err != nil || e.Restarts() != 0 {
		t.Errorf("afterwards: %v, %d restarts", err, e.Restarts())
	}
	if _, err := engine.Start(t.Context(), engine.Config{Dir: t.TempDir(), MemoryLimit: 64 << 20, Program: e.Program()}); err == nil {
		t.Error("64 MiB are said to be enough")
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	t.Run("that listens", func(t *testing.T) {
		e := start(t, engine.Config{Dir: t.TempDir(), Grace: time.Hour}) // it is not killed
		conn, pid := open(t, e.Options()), e.PID()
		if err := e.Close(); err != nil || alive(pid) {
			t.Errorf("closed: %v, process alive %v", err, alive(pid))
		}
		if err := e.Ready(); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("ready: %v", err)
		}
		if err := conn.Ping(t.Context()); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("the pool says %v", err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	})
	t.Run("that does not listen any more", func(t *testing.T) {
		e := start(t, engine.Config{Dir: t.TempDir(), Grace: 100 * time.Millisecond})
		pid := e.PID()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil || alive(pid) {
			t.Errorf("closed: %v, process alive %v", err, alive(pid))
		}
	})
}

func TestTwoOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	e := start(t, engine.Config{Dir: dir})
	if _, err := engine.Start(t.Context(), engine.Config{Dir: dir, Program: e.Program()}); !errors.Is(err, engine.ErrInUse) {
		t.Errorf("beside the first: %v", err)
	}
	do(t, open(t, e.Options()), "CREATE TABLE default.a (n UInt64) ENGINE = MergeTree ORDER BY n", "INSERT INTO default.a VALUES (1)")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	next := start(t, engine.Config{Dir: dir})
	if n := count(t, open(t, next.Options()), "default.a"); n != 1 {
		t.Errorf("%d rows after the first was closed", n)
	}
	if next.Options().Auth.Password == e.Options().Auth.Password {
		t.Error("the password is the same for two starts")
	}
}

// script makes a program that stands for domicile-engine.
func script(t *testing.T, text string) engine.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return engine.Program{Path: path, Library: "/none"}
}

func TestEngineThatDoesNotStart(t *testing.T) {
	for name, test := range map[string]struct {
		program engine.Program
		want    string
	}{
		"says why":          {script(t, "echo Logging warning to /x >&2; echo the disk is full >&2; exit 7"), "the engine ended (exit status 7): the disk is full"},
		"does not say":      {script(t, "exit 0"), "it has not said why"},
		"says other things": {script(t, "echo good morning everybody >&3; exec 3>&-; echo no >&2"), "the engine ended: no"},
		"is none":           {engine.Program{Path: "/does/not/exist", Library: "/none"}, "/does/not/exist"},
		"is not there":      {engine.Program{}, "make engine"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := engine.Start(t.Context(), engine.Config{Dir: dir, Program: test.program})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q in it", err, test.want)
			}
			// The folder is free again.
			_, again := engine.Start(t.Context(), engine.Config{Dir: dir, Program: test.program})
			if errors.Is(again, engine.ErrInUse) {
				t.Error(again)
			}
		})
	}
}

func TestStartIsCancelled(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	program := script(t, "echo $$ >'"+pidFile+"'.new; mv '"+pidFile+"'.new '"+pidFile+"'; exec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	dir := t.TempDir()
	go func() {
		_, err := engine.Start(ctx, engine.Config{Dir: dir, Program: program})
		failed <- err
	}()
	var pid int
	eventually(t, "the program runs", func() bool {
		text, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid != 0
	})
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if alive(pid) {
		t.Error("the process is still there")
	}
	t.Run("by the time limit", func(t *testing.T) {
		_, err := engine.Start(t.Context(), engine.Config{Dir: dir, Program: program, StartLimit: 50 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Error(err)
		}
	})
}

// What TestEndsWithItsParent hands to the process that it kills.
const (
	parentDir     = "ENGINE_TEST_DIR"
	parentPath    = "ENGINE_TEST_PROGRAM"
	parentLibrary = "ENGINE_TEST_LIBRARY"
)

func TestEndsWithItsParent(t *testing.T) {
	if dir := os.Getenv(parentDir); dir != "" {
		program := engine.Program{Path: os.Getenv(parentPath), Library: os.Getenv(parentLibrary)}
		e, err := engine.Start(context.Background(), engine.Config{Dir: dir, Program: program})
		if err != nil {
			t.Fatal(err)
		}
		conn := open(t, e.Options())
		do(t, conn, "CREATE TABLE default.a (n UInt64) ENGINE = MergeTree ORDER BY n", "INSERT INTO default.a VALUES (1)")
		os.Stdout.WriteString("pid " + strconv.Itoa(e.PID()) + "\n")
		select {}
	}
	program, dir := enginetest.Program(t), t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	parent.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), parentDir+"="+dir, parentPath+"="+program.Path, parentLibrary+"="+program.Library)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	pid, convErr := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "pid ")))
	if err != nil || convErr != nil || !alive(pid) {
		t.Fatalf("the parent says %q (%v), process alive %v", line[:n], err, alive(pid))
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	eventually(t, "the engine of the killed process ends", func() bool { return !alive(pid) })

	e := start(t, engine.Config{Dir: dir, Program: program})
	if n := count(t, open(t, e.Options()), "default.a"); n != 1 {
		t.Errorf("%d rows after both were killed", n)
	}
}

func TestPauseGrowsAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures, chance := rapid.IntRange(0, 1<<40).Draw(t, "failures"), rapid.Float64Range(0, 0.999).Draw(t, "chance")
		got, most := engine.Pause(failures, chance), engine.Pause(failures, 0)
		if got > most || got < most/2 {
			t.Errorf("%v, want between half of %v and that", got, most)
		}
		if most < 100*time.Millisecond || most > 30*time.Second {
			t.Errorf("%v after %d failures", most, failures)
		}
		if more := engine.Pause(failures+1, 0); more < most {
			t.Errorf("%v after %v", more, most)
		}
	})
	if engine.Pause(1, 0) != 100*time.Millisecond || engine.Pause(4, 0) != 800*time.Millisecond || engine.Pause(40, 0) != 30*time.Second {
		t.Errorf("%v, %v, %v", engine.Pause(1, 0), engine.Pause(4, 0), engine.Pause(40, 0))
	}
}
