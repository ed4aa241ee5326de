package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine/enginetest"
)

func TestMain(m *testing.M) {
	testscript.Main(enginetest.Tests{M: m}, map[string]func(){"domicile": func() { os.Exit(run(os.Args[1:])) }})
}

// build builds one of the programs, as users have it but for the tags, and returns its path.
func build(t testing.TB, program string, tags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), program)
	args := []string{"build", "-buildvcs=false", "-o", path}
	for _, tag := range tags {
		args = append(args, "-tags", tag)
	}
	cmd := exec.Command("go", append(args, "./cmd/"+program)...)
	cmd.Dir = need.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", program, err, out)
	}
	return path
}

// TestScripts runs sessions as a user has them: testdata/script.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", []string{"DOMICILE_LIBCHDB=/nowhere"})
}

// TestSearchScripts runs the sessions that search: testdata/search.
func TestSearchScripts(t *testing.T) { runScripts(t, "testdata/search", searching(t)) }

func runScripts(t *testing.T, dir string, environment []string) {
	verify := build(t, "domicile-verify")
	examples := filepath.Join(need.Root(t), "examples")
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			for _, variable := range environment {
				if name, value, _ := strings.Cut(variable, "="); name == "PATH" {
					program, _, _ := strings.Cut(value, string(os.PathListSeparator))
					env.Setenv(name, program+string(os.PathListSeparator)+env.Getenv(name))
				} else {
					env.Setenv(name, value)
				}
			}
			env.Setenv("PATH", filepath.Dir(verify)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("EXAMPLES", examples)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
