package engine_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine"
)

// What stands for programs in the tests of install.sh.
const (
	node20 = "#!/bin/sh\ncase $* in *glibc*) echo 2.36 ;; *versions*) echo 20 ;; *) echo v20.1.0 ;; esac\n"
	node16 = "#!/bin/sh\ncase $* in *glibc*) echo 2.36 ;; *versions*) echo 16 ;; *) echo v16.20.0 ;; esac\n"

	npmInstalls = `#!/bin/sh
[ "$1 $2" = 'ci --prefix' ] && [ -f "$3/package-lock.json" ] || exit 9
for p in linux-x64-gnu linux-arm64-gnu darwin-x64 darwin-arm64; do
	mkdir -p "$3/node_modules/@chdb/lib-$p" && echo "library of $p" >"$3/node_modules/@chdb/lib-$p/libchdb.so" &&
		echo other >"$3/node_modules/@chdb/lib-$p/chdb_node.node" || exit 9
done
`
	npmFails   = "#!/bin/sh\necho 'npm error network is unreachable' >&2\nexit 1\n"
	npmIsEmpty = "#!/bin/sh\nexit 0\n"
)

func TestInstall(t *testing.T) {
	need.Program(t, "sh", "sed", "find", "mktemp", "wc")
	const none = ""
	elsewhere := put(t, "", t.TempDir(), "lib.so")
	for name, test := range map[string]struct {
		node, npm, clickhouse, library string
		code                           int
		says                           string
		installs                       bool
	}{
		"fetches":                      {node: node20, npm: npmInstalls, installs: true, says: "566 MB on disk"},
		"no Node":                      {npm: npmInstalls, code: 3, says: "Install Node.js 18 or newer"},
		"old Node":                     {node: node16, npm: npmInstalls, code: 3, says: "this one is v16.20.0"},
		"no npm":                       {node: node20, code: 3, says: "Install npm"},
		"no network":                   {node: node20, npm: npmFails, code: 1, says: "npm error network is unreachable"},
		"no package for the platform":  {node: node20, npm: npmIsEmpty, code: 1, says: "did not install @chdb/lib-"},
		"a clickhouse of 26.5":         {clickhouse: clickhouse26("26.5.1.882"), says: "not needed"},
		"a clickhouse of 27.1":         {clickhouse: clickhouse26("27.1.1.1"), says: "not needed"},
		"a clickhouse of 26.4":         {clickhouse: clickhouse26("26.4.1.1"), code: 3, says: "Install Node.js"},
		"a clickhouse of 25.12":        {clickhouse: clickhouse26("25.12.1.1"), node: node20, npm: npmInstalls, installs: true, says: "fetching"},
		"a clickhouse that says none":  {clickhouse: clickhouse26("x"), node: node20, npm: npmInstalls, installs: true, says: "fetching"},
		"a library elsewhere":          {library: elsewhere, says: elsewhere},
		"a library elsewhere, missing": {library: elsewhere + ".not", code: 3, says: "is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "with space")
			bin := filepath.Join(root, "bin")
			for program, text := range map[string]string{"node": test.node, "npm": test.npm, "clickhouse": test.clickhouse} {
				if text != none {
					put(t, text, bin, program)
				}
			}
			for _, program := range []string{"sh", "sed", "uname", "dirname", "find", "mktemp", "rm", "mv", "cp", "mkdir", "cat", "wc"} {
				path, err := exec.LookPath(program)
				if err == nil {
					err = os.MkdirAll(bin, 0o755)
				}
				if err == nil {
					err = os.Symlink(path, filepath.Join(bin, program))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			t.Setenv("HOME", root)
			t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
			t.Setenv(engine.LibraryVariable, test.library)

			code, out := install(t)
			if code != test.code || !strings.Contains(out, test.says) {
				t.Errorf("exit code %d, want %d; says %q, want %q in it", code, test.code, out, test.says)
			}
			if test.code == 3 && !strings.Contains(out, "Ingest, proofs and verification work without it") {
				t.Errorf("does not say what works without it: %q", out)
			}
			library, err := engine.LibraryPath()
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if test.installs {
				want = []string{library}
			}
			if got := files(t, filepath.Join(root, "cache"), filepath.Join(root, "Library")); !slices.Equal(got, want) {
				t.Errorf("leaves %q, want %q", got, want)
			}
			if !test.installs {
				return
			}
			// Once it is there, npm is not asked again.
			put(t, npmFails, bin, "npm")
			if code, out := install(t); code != 0 || !strings.Contains(out, "is there") {
				t.Errorf("the second time: exit code %d, %q", code, out)
			}
		})
	}
}

// install runs install.sh and returns its exit code and what it says.
func install(t *testing.T) (int, string) {
	t.Helper()
	out, err := exec.Command("sh", filepath.Join(need.Root(t), "deploy", "embedded", "install.sh")).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// files lists all files below folders that may not exist.
func files(t *testing.T, folders ...string) (list []string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				list = append(list, path)
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return list
}
