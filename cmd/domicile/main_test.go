package main

import (
	"os"
	"os/exec"
	"path/filepath"
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
	verify := build(t, "domicile-verify")
	examples := filepath.Join(need.Root(t), "examples")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(verify)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("EXAMPLES", examples)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
