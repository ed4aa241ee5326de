package house

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
)

// rooms says for each room (top-level folder) which rooms its packages may reach, through however many imports:
// cmd → query → ledger, cmd → ingest → normalize, and everybody the schemas and internal. internal itself may reach
// what it likes but cmd, since whoever imports it answers for what that brings along.
var rooms = map[string][]string{
	"cmd":       {"cmd", "query", "ingest", "normalize", "ledger", "schemas", "internal"},
	"query":     {"query", "ledger", "schemas", "internal"},
	"ingest":    {"ingest", "normalize", "schemas", "internal"},
	"normalize": {"normalize", "schemas", "internal"},
	"ledger":    {"ledger", "schemas", "internal"},
	"schemas":   {"schemas", "internal"},
	"internal":  {"query", "ingest", "normalize", "ledger", "schemas", "internal"},
}

func roomOf(folder string) string {
	room, _, _ := strings.Cut(folder, "/")
	return room
}

// ours is the folder of an imported package of this module.
func ours(imported string) (folder string, ok bool) { return strings.CutPrefix(imported, module+"/") }

// reach returns the folders that a folder's packages reach without its tests, each with the folder that imports it.
func reach(files []source, from string) map[string]string {
	via := map[string]string{from: ""}
	for todo := []string{from}; len(todo) > 0; todo = todo[1:] {
		for _, s := range files {
			if s.test || s.folder() != todo[0] {
				continue
			}
			for _, imported := range s.imports {
				folder, ok := ours(imported)
				if _, seen := via[folder]; ok && !seen {
					via[folder] = todo[0]
					todo = append(todo, folder)
				}
			}
		}
	}
	return via
}

// folders lists the folders with Go files that are not tests.
func folders(files []source) []string {
	set := map[string]bool{}
	for _, s := range files {
		if !s.test {
			set[s.folder()] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func wrongWay(files []source) (breaches []breach) {
	for _, folder := range folders(files) {
		allowed, ok := rooms[roomOf(folder)]
		if !ok {
			continue
		}
		for reached, via := range reach(files, folder) {
			if !slices.Contains(allowed, roomOf(reached)) {
				breaches = append(breaches, breach{folder, fmt.Sprintf("reaches %s through %s; %s may reach %s: declare a small interface and let cmd/domicile plug it in",
					reached, via, roomOf(folder), strings.Join(allowed, ", "))})
			}
		}
	}
	// Tests too: a test of ingest that needs query is a test of something else.
	for _, s := range files {
		for _, imported := range s.imports {
			folder, _ := ours(imported)
			for _, pair := range [][2]string{{"ingest", "query"}, {"query", "ingest"}} {
				if s.test && roomOf(s.folder()) == pair[0] && roomOf(folder) == pair[1] {
					breaches = append(breaches, breach{s.path, "imports " + folder + ": ingest and query never import each other"})
				}
			}
		}
	}
	return breaches
}

func TestRoomsImportOneWay(t *testing.T) { report(t, wrongWay(sources(t))) }

func TestRoomsImportOneWaySeesBreaches(t *testing.T) {
	good := map[string]string{
		"cmd/domicile/main.go": `package main; import _ "domicile.dev/domicile/ingest"; import _ "domicile.dev/domicile/query/api"`,
		"ingest/a.go":          `package ingest; import _ "domicile.dev/domicile/normalize"`,
		"query/api/a.go":       `package api; import _ "domicile.dev/domicile/ledger/log"`,
		"ledger/log/a.go":      `package log; import _ "domicile.dev/domicile/internal/crash"`,
		"internal/crash/a.go":  `package crash; import _ "os"`,
	}
	sees(t, wrongWay(madeUp(t, good)))
	for name, bad := range map[string]struct{ file, src, want string }{
		"ingest to ledger":       {"ingest/b.go", `package ingest; import _ "domicile.dev/domicile/ledger/log"`, "ingest"},
		"ledger to ingest":       {"ledger/b.go", `package ledger; import _ "domicile.dev/domicile/ingest"`, "ledger"},
		"query to ingest":        {"query/b.go", `package query; import _ "domicile.dev/domicile/ingest"`, "query"},
		"normalize to ledger":    {"normalize/b.go", `package normalize; import _ "domicile.dev/domicile/ledger"`, "normalize"},
		"query's test to ingest": {"query/b_test.go", `package query; import _ "domicile.dev/domicile/ingest"`, "query/b_test.go"},
	} {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(good)
			files[bad.file] = bad.src
			var places []string
			for _, b := range wrongWay(madeUp(t, files)) {
				places = append(places, b.where)
			}
			if !slices.Contains(places, bad.want) {
				t.Errorf("not seen, only %q", places)
			}
		})
	}
	t.Run("around a corner", func(t *testing.T) {
		files := maps.Clone(good)
		files["internal/x/a.go"] = `package x; import _ "domicile.dev/domicile/ledger"`
		files["ingest/b.go"] = `package ingest; import _ "domicile.dev/domicile/internal/x"`
		sees(t, wrongWay(madeUp(t, files)), "ingest")
	})
}

// verifierMayImport lists the modules that the auditor's tool may be made of. Whoever audits it reads them all, so a
// new line here is a decision.
var verifierMayImport = []string{
	module,
	"github.com/alecthomas/kong",         // command line
	"github.com/klauspost/compress",      // zstd of payloads
	"github.com/tink-crypto/tink-go/v2",  // payload keys, with --keys
	"github.com/transparency-dev/merkle", // tree hashing
	"golang.org/x/crypto",                // of Tink
	"golang.org/x/mod",                   // signed notes
	"golang.org/x/sync",                  // errgroup
	"golang.org/x/sys",                   // of Tink and the store
	"google.golang.org/protobuf",         // of Tink
}

func foreignModules(packages []string) (breaches []breach) {
	for _, p := range packages {
		if !slices.ContainsFunc(verifierMayImport, func(m string) bool { return p == m || strings.HasPrefix(p, m+"/") }) {
			breaches = append(breaches, breach{p, "is in the import graph of cmd/domicile-verify, which stays small enough to be read by its users"})
		}
		if folder, ok := ours(p); ok && slices.Contains([]string{"ingest", "query", "normalize"}, roomOf(folder)) {
			breaches = append(breaches, breach{p, "is in the import graph of cmd/domicile-verify, which judges bytes and needs nothing that makes them"})
		}
	}
	return breaches
}

func TestVerifierStaysSmall(t *testing.T) {
	root := need.Root(t)
	if _, err := os.Stat(filepath.Join(root, "cmd", "domicile-verify")); os.IsNotExist(err) {
		t.Skip("needs cmd/domicile-verify, which does not exist yet")
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/domicile-verify")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, module+"/ledger") {
		t.Fatalf("go list names %d packages and not %s/ledger among them", len(packages), module)
	}
	report(t, foreignModules(packages))
}

func TestVerifierStaysSmallSeesBreaches(t *testing.T) {
	sees(t, foreignModules([]string{module + "/ledger", "golang.org/x/mod/sumdb/note", "github.com/twmb/franz-go/pkg/kgo",
		"github.com/aws/aws-sdk-go-v2", "golang.org/x/model", module + "/ingest"}),
		"github.com/twmb/franz-go/pkg/kgo", "github.com/aws/aws-sdk-go-v2", "golang.org/x/model", module+"/ingest")
}

// homes says which folders alone may import a module. A folder stands for those below it too.
var homes = []struct{ module, folder, why string }{
	{"github.com/ebitengine/purego", "cmd/domicile-engine", "a program that loads libraries is not static"},
	{"github.com/creack/pty", "query/engine", "it starts the engine, and nobody else starts programs on terminals"},
	{"github.com/ClickHouse", "query", "the ledger goes on without an index"},
}

func outOfPlace(files []source) (breaches []breach) {
	below := func(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
	for _, s := range files {
		for _, imported := range s.imports {
			for _, home := range homes {
				if below(imported, home.module) && !below(s.folder(), home.folder) {
					breaches = append(breaches, breach{s.path, fmt.Sprintf("imports %s, which only %s may: %s", imported, home.folder, home.why)})
				}
			}
			if folder, ok := ours(imported); ok && !s.test && s.folder() == "cmd/domicile-engine" {
				breaches = append(breaches, breach{s.path, "imports " + folder + ": the engine's process knows nothing of domicile"})
			}
		}
	}
	return breaches
}

func TestModulesStayAtHome(t *testing.T) { report(t, outOfPlace(sources(t))) }

func TestModulesStayAtHomeSeesBreaches(t *testing.T) {
	sees(t, outOfPlace(madeUp(t, map[string]string{
		"cmd/domicile-engine/a.go": `package main; import _ "github.com/ebitengine/purego"`,
		"cmd/domicile-engine/b.go": `package main; import _ "domicile.dev/domicile/ledger"`,
		"cmd/domicile/a.go":        `package main; import _ "github.com/ebitengine/purego/objc"`,
		"query/index/a.go":         `package index; import _ "github.com/ClickHouse/clickhouse-go/v2"`,
		"query/index/b_test.go":    `package index; import _ "github.com/creack/pty"`,
		"ledger/log/a.go":          `package log; import _ "github.com/ClickHouse/ch-go/proto"`,
	})), "cmd/domicile-engine/b.go", "cmd/domicile/a.go", "query/index/b_test.go", "ledger/log/a.go")
}
