package engine_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/engine/enginetest"
)

// put writes a program or a file.
func put(t *testing.T, text string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func clickhouse26(version string) string {
	return "#!/bin/sh\n[ \"$1 $2\" = 'local --version' ] && echo 'ClickHouse local version " + version + " (official build).'\n"
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HOME", filepath.Join(root, "home"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	t.Setenv(engine.LibraryVariable, "")
	installed, err := engine.LibraryPath()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join("domicile", "embedded", engine.LibraryVersion, "libchdb.so"); !strings.HasSuffix(installed, want) {
		t.Errorf("the library is looked for in %s, want …/%s", installed, want)
	}
	put(t, "", installed)
	elsewhere := put(t, "", root, "elsewhere", "lib.so")
	loader := put(t, "", root, "loader", "domicile-engine")
	newer := put(t, clickhouse26("26.5.1.882"), root, "newer", "clickhouse")
	put(t, clickhouse26("26.4.9.1"), root, "older", "clickhouse")
	put(t, clickhouse26("25.12.1.1"), root, "old", "clickhouse")
	put(t, clickhouse26("one"), root, "strange", "clickhouse")
	put(t, "#!/bin/sh\nexit 1\n", root, "broken", "clickhouse")

	for name, test := range map[string]struct {
		path    string // folders of root
		cache   string // home of the library
		library string
		folders string
		want    engine.Program
		says    string // in the error
	}{
		"a binary":                           {path: "newer", want: engine.Program{Path: newer, Version: "26.5.1.882"}},
		"a binary before the library":        {path: "newer loader", cache: "cache", want: engine.Program{Path: newer, Version: "26.5.1.882"}},
		"the library, loader in the path":    {path: "loader", cache: "cache", want: engine.Program{Path: loader, Library: installed, Version: engine.LibraryVersion}},
		"the library, loader in a folder":    {cache: "cache", folders: "loader", want: engine.Program{Path: loader, Library: installed, Version: engine.LibraryVersion}},
		"the library elsewhere":              {path: "older loader", cache: "cache", library: elsewhere, want: engine.Program{Path: loader, Library: elsewhere, Version: engine.LibraryVersion}},
		"nothing":                            {cache: "none", says: "no clickhouse in the PATH; no library"},
		"an old binary":                      {path: "old", cache: "none", says: "is version 25.12.1.1, older than 26.5"},
		"a binary almost new enough":         {path: "older", cache: "none", says: "is version 26.4.9.1, older than 26.5"},
		"a binary that does not say":         {path: "strange", cache: "none", says: "does not say its version"},
		"a binary that fails":                {path: "broken", cache: "none", says: "exit status 1"},
		"the library without a loader":       {cache: "cache", says: "domicile-engine is neither beside"},
		"the library named and not there":    {path: "loader", cache: "cache", library: filepath.Join(root, "nothing"), says: engine.LibraryVariable + " names"},
		"the library named, which is a path": {path: "loader", cache: "cache", library: root, says: "which is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			var path []string
			for _, folder := range strings.Fields(test.path) {
				path = append(path, filepath.Join(root, folder))
			}
			t.Setenv("PATH", strings.Join(append(path, filepath.Join(root, "bin")), string(os.PathListSeparator)))
			t.Setenv("HOME", filepath.Join(root, test.cache))
			t.Setenv("XDG_CACHE_HOME", filepath.Join(root, test.cache))
			t.Setenv(engine.LibraryVariable, test.library)
			var folders []string
			if test.folders != "" {
				folders = append(folders, filepath.Join(root, test.folders))
			}
			got, err := engine.Find(t.Context(), folders...)
			if test.says == "" {
				if err != nil || got != test.want {
					t.Errorf("%+v, %v, want %+v", got, err, test.want)
				}
				return
			}
			if !errors.Is(err, engine.ErrNoEngine) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want %q in it", err, test.says)
			}
			for _, advice := range []string{"Node.js 18", "make engine", "clickhouse binary of 26.5 or newer"} {
				if !strings.Contains(err.Error(), advice) {
					t.Errorf("%v, want %q in it", err, advice)
				}
			}
		})
	}
}

// A clickhouse binary takes the same arguments as the library. There need not be one on the machine of the test: the
// library in a script does what it does.
func TestRunsABinary(t *testing.T) {
	program := enginetest.Program(t)
	if program.Library == "" {
		t.Skip("a clickhouse binary is what the other tests run")
	}
	dir := t.TempDir()
	put(t, clickhouse26("26.7.1.1")+"shift; exec '"+program.Path+"' --library '"+program.Library+"' -- \"$@\"\n", dir, "clickhouse")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	found, err := engine.Find(t.Context())
	if err != nil || found.Library != "" {
		t.Fatal(found, err)
	}
	e := start(t, engine.Config{Dir: t.TempDir(), Program: found})
	conn, pid := open(t, e.Options()), e.PID()
	do(t, conn, "CREATE TABLE default.a (n UInt64) ENGINE = MergeTree ORDER BY n", "INSERT INTO default.a VALUES (1)")
	if err := e.Close(); err != nil || alive(pid) {
		t.Errorf("closed: %v, process alive %v", err, alive(pid))
	}
}

func TestPackagesArePinned(t *testing.T) {
	dir := filepath.Join(need.Root(t), "deploy", "embedded")
	read := func(name string, into any) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var manifest struct{ OptionalDependencies map[string]string }
	var lock struct {
		Packages map[string]struct{ Version, Resolved string }
	}
	read("package.json", &manifest)
	read("package-lock.json", &lock)
	for _, platform := range []string{"linux-x64-gnu", "linux-arm64-gnu", "darwin-x64", "darwin-arm64"} {
		name := "@chdb/lib-" + platform
		if got := manifest.OptionalDependencies[name]; got != engine.LibraryVersion {
			t.Errorf("package.json: %s %q, want %q", name, got, engine.LibraryVersion)
		}
		if got := lock.Packages["node_modules/"+name].Version; got != engine.LibraryVersion {
			t.Errorf("package-lock.json: %s %q, want %q", name, got, engine.LibraryVersion)
		}
	}
	for name, entry := range lock.Packages {
		if entry.Resolved != "" {
			t.Errorf("package-lock.json: %s comes from %s: the registry is for npm's configuration to say", name, entry.Resolved)
		}
	}
}
