// Command testrun is what `make test` runs: the tests of all modules of the repository, with the race detector where a
// C compiler is there. It prints a line for each package and the output of what fails; at the end it lists what was
// skipped and why, since a skip that nobody reads hides a hole, and closes with "N passed, N failed, N skipped".
//
// Tests and subtests count one each. A package that fails without a failing test (it does not build, it panicked
// outside a test, it took too long) counts as one failure. The exit code is 1 if anything failed.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	short := flag.Bool("short", false, "short tests of the main module, without the race detector")
	long := flag.Bool("long", false, "also what takes long")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "testrun takes no arguments")
		os.Exit(3)
	}
	if err := run(*short, *long); err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(1)
	}
}

func run(short, long bool) error {
	args := []string{"test", "-json"}
	env := os.Environ()
	race := "off: " + noRace()
	switch {
	case short:
		args, race = append(args, "-short", "-timeout=10m"), "off: short tests"
	case long:
		env = append(env, "DOMICILE_LONG=1")
		args = append(args, "-timeout=6h")
	default:
		args = append(args, "-timeout=30m")
	}
	if race == "off: " {
		args, race = append(args, "-race"), "on"
		env = append(env, "CGO_ENABLED=1")
	} else {
		env = append(env, "CGO_ENABLED=0")
	}
	fmt.Printf("race detector %s\n", race)

	suites, err := suites(short)
	if err != nil {
		return err
	}
	report := newReport(os.Stdout)
	for _, s := range suites {
		fmt.Printf("== %s\n", s.name)
		report.begin()
		if err := s.test(args, env, report); err != nil {
			report.broken(s.name, err)
		}
	}
	report.end()
	if race != "on" && !short {
		fmt.Printf("race detector %s\n", race)
	}
	fmt.Println(report.counts)
	if err := report.counts.save(os.Getenv("DOMICILE_TEST_COUNTS")); err != nil {
		return err
	}
	if report.failed > 0 {
		os.Exit(1)
	}
	return nil
}

// A suite is one call of go test.
type suite struct {
	name     string
	dir      string // of the module
	args     []string
	packages []string
}

// suites lists what there is to run. Modules apart from the main one and tests behind a build tag are not part of
// ./..., so they are named here.
func suites(short bool) ([]suite, error) {
	list := []suite{{name: "all packages", dir: ".", packages: []string{"./..."}}}
	tagged, err := packagesWithTag("crashpoints")
	if err != nil {
		return nil, err
	}
	if len(tagged) > 0 {
		list = append(list, suite{name: "crash points compiled in", dir: ".", args: []string{"-tags=crashpoints"}, packages: tagged})
	}
	if _, err := os.Stat("interop/go.mod"); err == nil && !short {
		list = append(list, suite{name: "interop: tools that others wrote", dir: "interop", packages: []string{"./..."}})
	}
	return list, nil
}

// packagesWithTag finds the packages of the main module that have test files for a build tag.
func packagesWithTag(tag string) (packages []string, err error) {
	err = filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, errMod := os.Stat(filepath.Join(path, "go.mod"))
			if path != "." && (errMod == nil || strings.HasPrefix(entry.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(src)) {
			if strings.HasPrefix(line, "package ") {
				break
			}
			if constraint, ok := strings.CutPrefix(line, "//go:build "); ok && strings.TrimSpace(constraint) == tag {
				packages = append(packages, "./"+filepath.ToSlash(filepath.Dir(path)))
			}
		}
		return nil
	})
	slices.Sort(packages)
	return slices.Compact(packages), err
}

func (s suite) test(args, env []string, report *report) error {
	cmd := exec.Command(goCommand(), slices.Concat(args, s.args, s.packages)...)
	cmd.Dir, cmd.Env = s.dir, env
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := report.read(stdout)
	err = cmd.Wait()
	if readErr != nil {
		return readErr
	}
	if err != nil && !report.failedSinceBegin() {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

func goCommand() string {
	if path := os.Getenv("GO"); path != "" {
		return path
	}
	return "go"
}

// noRace says why the race detector cannot be used here, or "".
func noRace() string {
	out, err := exec.Command(goCommand(), "env", "CC").Output()
	compiler := strings.Fields(string(out))
	if err != nil || len(compiler) == 0 {
		return "go env CC names no C compiler"
	}
	if _, err := exec.LookPath(compiler[0]); err != nil {
		return fmt.Sprintf("no C compiler (%s) on this machine", compiler[0])
	}
	// A compiler without the headers of the C library is of no use.
	cmd := exec.Command(compiler[0], append(compiler[1:], "-x", "c", "-", "-o", os.DevNull)...)
	cmd.Stdin = strings.NewReader("#include <pthread.h>\n#include <stdlib.h>\nint main(void) { return 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return fmt.Sprintf("the C compiler %s does not work: %s", compiler[0], first)
	}
	return ""
}
