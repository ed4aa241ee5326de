package house

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pure lists the packages that take values and return values, and everything of this module that they reach. A name
// with /… stands for the folders below too.
var pure = []string{"normalize/…", "ledger", "ledger/tile", "ledger/custody"}

// impure lists imports by which a package would touch the world, or get something else on every call. A name with /…
// stands for the packages below too.
var impure = []string{"C", "os/…", "net", "net/http/…", "net/rpc/…", "net/smtp", "net/textproto", "io/ioutil", "syscall/…", "database/…",
	"plugin", "log/…", "crypto/rand", "math/rand/…", "golang.org/x/sys/…", "golang.org/x/net/…", "golang.org/x/sync/…"}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		above, deep := strings.CutSuffix(p, "/…")
		return name == above || deep && strings.HasPrefix(name, above+"/")
	})
}

func impurities(files []source) (breaches []breach) {
	seen := map[string]bool{}
	for _, folder := range folders(files) {
		if !matches(pure, folder) {
			continue
		}
		for reached := range reach(files, folder) {
			if seen[reached] {
				continue
			}
			seen[reached] = true
			for _, s := range files {
				if s.test || s.folder() != reached {
					continue
				}
				why := folder + " does no I/O, starts no goroutines and asks no clock"
				if reached != folder {
					why += ", and reaches " + reached
				}
				for _, imported := range s.imports {
					if matches(impure, imported) {
						breaches = append(breaches, breach{s.path, "imports " + imported + ": " + why})
					}
				}
				for _, f := range s.findings {
					if f.what == foundGo || strings.HasPrefix(f.what, foundClock) {
						breaches = append(breaches, breach{fmt.Sprintf("%s:%d", s.path, f.line), f.what + ": " + why + "; take what it gives as an argument"})
					}
				}
			}
		}
	}
	return breaches
}

func TestPureCore(t *testing.T) { report(t, impurities(sources(t))) }

func TestPureCoreSeesBreaches(t *testing.T) {
	sees(t, impurities(madeUp(t, map[string]string{
		"ledger/good.go":          "package ledger\nimport (_ \"net/netip\"; _ \"time\"; _ \"domicile.dev/domicile/schemas/policies\")",
		"ledger/good_test.go":     "package ledger\nimport _ \"os\"",
		"ledger/store/good.go":    "package store\nimport _ \"os\"\nfunc f() { go f() }",
		"ledger/http.go":          "package ledger\nimport _ \"net/http/httptest\"",
		"ledger/tile/go.go":       "package tile\nfunc f() {\n\tgo f()\n}",
		"normalize/deep/clock.go": "package deep\nimport \"time\"\nvar now = time.Now",
		"ledger/custody/db.go":    "package custody\nimport _ \"database/sql\"",
		"schemas/policies/os.go":  "package policies\nimport _ \"os\"",
	})), "ledger/http.go", "ledger/tile/go.go:3", "normalize/deep/clock.go:3", "ledger/custody/db.go", "schemas/policies/os.go")
}

func startUp(files []source) (breaches []breach) {
	for _, s := range files {
		for _, f := range s.findings {
			if !s.test && !s.generated && f.what == foundInit {
				breaches = append(breaches, breach{fmt.Sprintf("%s:%d", s.path, f.line), "an init function: nothing happens because a package is imported"})
			}
		}
		if slices.Contains(s.imports, "C") {
			breaches = append(breaches, breach{s.path, `imports "C": all programs are built with CGO_ENABLED=0`})
		}
	}
	return breaches
}

func TestNothingHappensOnImport(t *testing.T) { report(t, startUp(sources(t))) }

func TestNothingHappensOnImportSeesBreaches(t *testing.T) {
	sees(t, startUp(madeUp(t, map[string]string{
		"query/a.go": "package query\n\nfunc init() {}",
		"query/b.go": "package query\ntype t int\nfunc (t) init() {}",
		"query/c.go": "package query\nimport \"C\"",
	})), "query/a.go:3", "query/c.go")
}
