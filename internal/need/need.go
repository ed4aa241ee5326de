// Package need is how a test says what it needs beyond Go: a program, the sample events, more time. Where that is
// missing, the test is skipped with a line that says what to do; with CI=true it fails, because a check that runs
// nowhere checks nothing. The test runner of `make test` lists all skips at its end.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/mod/modfile"
)

const module = "domicile.dev/domicile"

// Program skips or fails the test unless all programs are on the PATH.
func Program(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Missing(t, "needs the program %q: install it to run this test", name)
		}
	}
}

// Samples returns the folder of sample events and tables: DOMICILE_SAMPLES, or shared/data beside the repository. They
// are not part of the repository, so a test that wants them is skipped without them everywhere.
func Samples(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("DOMICILE_SAMPLES")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(Root(t)), "shared", "data")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Skipf("needs the sample events in %s: set DOMICILE_SAMPLES to where they are", dir)
	}
	return dir
}

// Root returns the root of the repository: the folder with the go.mod of the main module, above the test's package.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && modfile.ModulePath(mod) == module { // not the go.mod of a nested module
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test does not run inside the repository: no go.mod of module " + module + " above it")
		}
		dir = filepath.Dir(dir)
	}
}

// LongVariable is the environment variable that `make test-long` sets to 1.
const LongVariable = "DOMICILE_LONG"

// Long skips the test unless the run may take long, in continuous integration too.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv(LongVariable) != "1" {
		t.Skip("takes long: run it with make test-long")
	}
}

// Missing skips the test, and fails it in continuous integration. The message says what is missing and how to get it.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
