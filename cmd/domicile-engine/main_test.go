package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		library string
		rest    []string
		ok      bool
	}{
		"library and arguments":     {[]string{"--library", "/lib.so", "--", "--path=x", "--library"}, "/lib.so", []string{"--path=x", "--library"}, true},
		"library alone":             {[]string{"--library", "/lib.so", "--"}, "/lib.so", nil, true},
		"nothing":                   {nil, "", nil, false},
		"help":                      {[]string{"--help"}, "", nil, false},
		"library without a path":    {[]string{"--library", "lib.so", "--"}, "", nil, false},
		"arguments without dash":    {[]string{"--library", "/lib.so", "--path=x"}, "", nil, false},
		"arguments without library": {[]string{"--", "--path=x", "y"}, "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			library, rest, ok := parse(test.args)
			if library != test.library || !slices.Equal(rest, test.rest) || ok != test.ok {
				t.Errorf("%q, %q, %v", library, rest, ok)
			}
		})
	}
}

// The tests of query/engine run the program with a library; these without.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "domicile-engine")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	noLibrary := filepath.Join(dir, "no.so")
	if err := os.WriteFile(noLibrary, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, _ := filepath.Glob("/lib*/*-linux-gnu/libm.so.6")
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no arguments":    {nil, exitUsage, "usage: domicile-engine"},
		"missing library": {[]string{"--library", filepath.Join(dir, "missing.so"), "--"}, exitFailed, "missing.so"},
		"no library":      {[]string{"--library", noLibrary, "--"}, exitFailed, "load the engine"},
		"another library": {append([]string{"--library"}, append(slices.Clip(other[:min(1, len(other))]), "--")...), exitFailed, "is not a libchdb that fits"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another library" && len(other) == 0 {
				t.Skip("needs a library of the system")
			}
			cmd := exec.Command(program, test.args...)
			stdin, err := cmd.StdinPipe() // stays open
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.code || !strings.Contains(string(out), test.says) {
				t.Errorf("%v, %q, want exit code %d and %q", err, out, test.code, test.says)
			}
		})
	}
}
