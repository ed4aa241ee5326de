package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/engine/enginetest"
)

// Codes of ClickHouse's exceptions.
const (
	accessDenied  = 497
	quotaExceeded = 201
	noSetting     = 452
	wrongPassword = 516
)

func code(err error) int32 {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return exception.Code
	}
	return 0
}

func TestOthersAreKeptOut(t *testing.T) {
	options := enginetest.Start(t)
	conn, database := open(t, options), options.Auth.Database
	do(t, conn, "CREATE TABLE a (s String) ENGINE = MergeTree ORDER BY s", "INSERT INTO a VALUES ('x')")

	for name, auth := range map[string]clickhouse.Auth{
		"without password":    {Username: options.Auth.Username, Database: "default"},
		"with another's":      {Username: options.Auth.Username, Password: "secret", Database: "default"},
		"as somebody unknown": {Username: "root", Database: "default"},
		"default with ours":   {Username: "default", Password: options.Auth.Password, Database: "default"},
	} {
		t.Run(name, func(t *testing.T) {
			other := enginetest.Engine(t).Options()
			other.Auth = auth
			err := open(t, other).Ping(t.Context())
			// Whoever has no password to be checked is let in with any.
			if auth.Username != "default" && code(err) != wrongPassword {
				t.Errorf("let in: %v", err)
			}
		})
	}

	// The user that the session of the engine itself has, and that has no password.
	other := enginetest.Engine(t).Options()
	other.Auth = clickhouse.Auth{Username: "default", Database: "default"}
	nobody := open(t, other)
	for _, query := range []string{
		"SELECT * FROM " + database + ".a",
		"INSERT INTO " + database + ".a SELECT 'y'",
		"DROP TABLE " + database + ".a",
		"CREATE TABLE default.b (s String) ENGINE = Memory",
		"CREATE TEMPORARY TABLE b (s String)",
		"CREATE DATABASE b",
		"CREATE FUNCTION b AS x -> x",
		"CREATE USER b",
		"ALTER USER domicile IDENTIFIED BY ''",
		"SELECT * FROM file('/etc/passwd', 'LineAsString')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1', 'system.one')",
		"SELECT * FROM executable('id', 'TSV', 'x String')",
		"SELECT * FROM system.processes",
		"SELECT * FROM system.tables",
		"SELECT number FROM system.numbers LIMIT 1",
		"SHOW DATABASES",
		"SYSTEM STOP LISTEN TCP",
		"SYSTEM START LISTEN HTTP",
		"SYSTEM SHUTDOWN",
		"KILL QUERY WHERE 1",
	} {
		t.Run("default: "+query, func(t *testing.T) {
			if c := code(nobody.Exec(t.Context(), query)); c != accessDenied && c != quotaExceeded {
				t.Errorf("not refused: code %d", c)
			}
		})
	}
	for query, want := range map[string]int32{
		"SELECT length(range(100000000))":                               241,
		"SELECT length(range(100000000)) SETTINGS max_memory_usage = 0": noSetting,
	} {
		if c := code(nobody.Exec(t.Context(), query)); c != want {
			t.Errorf("%s: code %d, want %d", query, c, want)
		}
	}
	if err := conn.Ping(t.Context()); err != nil || enginetest.Engine(t).Restarts() != 0 {
		t.Errorf("after all that: %v, %d restarts", err, enginetest.Engine(t).Restarts())
	}
	if n := count(t, conn, "a"); n != 1 {
		t.Errorf("%d rows after all that", n)
	}
}

// A query that somebody smuggles into one of ours reaches the tables at worst.
func TestOurUserStaysInsideTheTables(t *testing.T) {
	conn := open(t, enginetest.Start(t))
	for _, query := range []string{
		"SELECT * FROM file('/etc/passwd', 'LineAsString')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1', 'system.one')",
		"CREATE TABLE b (s String) ENGINE = S3('http://127.0.0.1:1/a/b', NOSIGN, 'TSV')",
		"INSERT INTO FUNCTION file('a.tsv', 'TSV', 'x String') VALUES ('x')",
		"CREATE TABLE b (s String) ENGINE = File('TSV', '/etc/passwd')",
		"CREATE TABLE b (s String) ENGINE = URL('http://127.0.0.1:1/', 'TSV')",
		"CREATE DATABASE b ENGINE = Filesystem('/etc')",
		"CREATE DICTIONARY b (s String) PRIMARY KEY s SOURCE(FILE(path '/etc/passwd' format 'TSV')) LAYOUT(DIRECT())",
		"BACKUP DATABASE default TO File('/tmp/b')",
		"CREATE USER b",
		"GRANT ALL ON *.* TO default",
	} {
		if c := code(conn.Exec(t.Context(), query)); c != accessDenied {
			t.Errorf("%s: code %d, want %d", query, c, accessDenied)
		}
	}
}

func TestNothingLiesOpen(t *testing.T) {
	dir := t.TempDir()
	e := start(t, engine.Config{Dir: filepath.Join(dir, "a b&c<d>")}) // whatever a folder may be called
	conn := open(t, e.Options())
	const secret = "hans@example.org"
	var s string
	for _, query := range []string{"SELECT throwIf(1, 'no ' || '" + secret + "')", "SELECT nothing FROM system.one WHERE '" + secret + "' = ''", "SELECT '" + secret + "' FROM", "SELECT toUInt8('" + secret + "')"} {
		if err := conn.QueryRow(t.Context(), query).Scan(&s); err == nil {
			t.Fatalf("%s: no error", query)
		}
	}
	seen := map[string]bool{}
	err := filepath.WalkDir(e.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(e.Dir(), path)
		seen[name] = true
		switch name {
		case ".", "run", "data", "run/config.xml", "run/users.xml": // what is below data is closed with it
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %o", name, info.Mode().Perm())
			}
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		for what, bytes := range map[string]string{"the password": e.Options().Auth.Password, "what was searched for": secret} {
			if strings.Contains(string(text), bytes) {
				t.Errorf("%s holds %s", name, what)
			}
		}
		return err
	})
	if err != nil || !seen["engine.log"] || !seen["run/users.xml"] {
		t.Errorf("%v; seen %v", err, seen)
	}
}

// In a session without a terminal each of these would end the process.
func TestClientsCannotEndIt(t *testing.T) {
	e := start(t, engine.Config{Dir: t.TempDir()})
	conn := open(t, e.Options())
	for name, misbehave := range map[string]func(t *testing.T){
		"wrong password": func(t *testing.T) {
			options := e.Options()
			options.Auth.Password = "wrong"
			if err := open(t, options).Ping(t.Context()); code(err) != wrongPassword {
				t.Error(err)
			}
		},
		"garbage":       func(t *testing.T) { send(t, e.Addr(), "\xff\xff\xff\xff\x01garbage") },
		"HTTP":          func(t *testing.T) { send(t, e.Addr(), "GET / HTTP/1.0\r\n\r\n") },
		"half a packet": func(t *testing.T) { send(t, e.Addr(), "\x00\x0aclickhouse") },
		"a cancelled query": func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			rows, err := conn.Query(ctx, "SELECT number, toString(number) FROM numbers(100000000)")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			cancel()
			rows.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				misbehave(t)
			}
			var version string
			if err := conn.QueryRow(t.Context(), "SELECT version()").Scan(&version); err != nil || e.Restarts() != 0 {
				t.Errorf("afterwards: %v, %d restarts", err, e.Restarts())
			}
		})
	}
	// An engine that ends does so a moment after it answered.
	pid := e.PID()
	time.Sleep(200 * time.Millisecond)
	if err := conn.Ping(t.Context()); err != nil || e.PID() != pid || !alive(pid) {
		t.Errorf("a moment later: %v, process %d, was %d", err, e.PID(), pid)
	}
}

// send opens a connection, writes, and resets it.
func send(t *testing.T, addr, text string) {
	t.Helper()
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Error(err)
	}
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
