package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
)

const module = "domicile.dev/domicile"

// A source is a Go file of the main module.
type source struct {
	path      string // slash path from the root
	test      bool
	generated bool
	lines     int
	pkg       string   // name in the package clause
	doc       bool     // the package clause has a comment
	imports   []string // import paths
	findings  []finding
}

// A finding is something in a file that a rule may forbid, at a line.
type finding struct {
	line int
	what string
}

// What source.findings can hold.
const (
	foundGo   = "a go statement"
	foundInit = "an init function"
	// The names of foundClock begin with it: "time.Now".
	foundClock = "time."
)

// clock lists what makes a function of package time depend on when it is called.
var clock = map[string]bool{"Now": true, "Sleep": true, "After": true, "AfterFunc": true, "Tick": true, "NewTimer": true,
	"NewTicker": true, "Since": true, "Until": true}

// folder is the import path of the file's package below the module, "." for the root.
func (s source) folder() string { return path.Dir(s.path) }

// parse reads a file's imports and what rules look for.
func parse(name string, src []byte) (source, error) {
	s := source{path: name, test: strings.HasSuffix(name, "_test.go"), lines: bytes.Count(src, []byte("\n"))}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return s, err
	}
	s.pkg, s.doc, s.generated = file.Name.Name, file.Doc != nil, ast.IsGenerated(file)
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return s, err
		}
		s.imports = append(s.imports, imported)
	}
	found := func(pos token.Pos, what string) {
		s.findings = append(s.findings, finding{set.Position(pos).Line, what})
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.GoStmt:
			found(node.Pos(), foundGo)
		case *ast.FuncDecl:
			if node.Recv == nil && node.Name.Name == "init" {
				found(node.Pos(), foundInit)
			}
		case *ast.SelectorExpr:
			if x, ok := node.X.(*ast.Ident); ok && x.Name == "time" && clock[node.Sel.Name] {
				found(node.Pos(), foundClock+node.Sel.Name)
			}
		}
		return true
	})
	return s, nil
}

// sources reads all Go files of the main module, whatever their build constraints: a rule holds on every system.
func sources(t *testing.T) []source {
	t.Helper()
	root := need.Root(t)
	var list []source
	walk(t, root, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parse(name, src)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	})
	if len(list) < 10 {
		t.Fatalf("only %d Go files found under %s: the walk is broken", len(list), root)
	}
	return list
}

// notOurs are folders that hold what was built or run, not what was written.
var notOurs = []string{".git", ".cache", "bin", "domicile-data"}

// walk calls visit for every file of the main module, by its slash path from the root.
func walk(t *testing.T, root string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == root {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil || slices.Contains(notOurs, name) || entry.Name() == "testdata" {
				return fs.SkipDir // a nested module, or nothing that is compiled
			}
			return nil
		}
		if entry.Type().IsRegular() {
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tracked lists all files that are, or can be, part of a commit: nested modules and testdata too.
func tracked(t *testing.T) (root string, names []string) {
	t.Helper()
	root = need.Root(t)
	need.Program(t, "git")
	// The clone may belong to somebody else than the one who tests.
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("needs the history of the repository (git ls-files: %v): an unpacked archive has none", err)
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	if len(names) < 20 {
		t.Fatalf("git lists only %d files", len(names))
	}
	return root, names
}

// breach is how a rule reports: the place, then the rule.
type breach struct{ where, why string }

func report(t *testing.T, breaches []breach) {
	t.Helper()
	for _, b := range breaches {
		t.Errorf("%s: %s", b.where, b.why)
	}
}

// sees fails unless the rule found exactly the made-up breaches, by their places.
func sees(t *testing.T, got []breach, want ...string) {
	t.Helper()
	var places []string
	for _, b := range got {
		places = append(places, b.where)
	}
	slices.Sort(places)
	slices.Sort(want)
	if !slices.Equal(places, want) {
		t.Errorf("the rule sees %q, want %q", places, want)
	}
}

// madeUp parses made-up files for sees.
func madeUp(t *testing.T, files map[string]string) []source {
	t.Helper()
	var list []source
	for name, src := range files {
		s, err := parse(name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}
