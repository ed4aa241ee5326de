package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// counts is what a run comes to.
type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// save writes the numbers to a file for .ci/run, or nowhere.
func (c counts) save(path string) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, fmt.Appendf(nil, "%d %d %d\n", c.passed, c.failed, c.skipped), 0o644)
}

// An event is a line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Output      string
	Elapsed     float64 // seconds
	FailedBuild string
}

// report turns events into lines for a reader.
type report struct {
	counts
	w           io.Writer
	start       time.Time
	output      map[testID][]string // of what has not ended
	failedTests map[string]bool     // packages with a failing test
	builds      map[string][]string // output of the compiler
	skips       map[string][]string // tests by reason
	before      int                 // failures before the current suite
}

type testID struct{ pkg, test string }

func newReport(w io.Writer) *report {
	return &report{w: w, start: time.Now(), output: map[testID][]string{}, failedTests: map[string]bool{},
		builds: map[string][]string{}, skips: map[string][]string{}}
}

func (r *report) begin() { r.before = r.failed }

func (r *report) failedSinceBegin() bool { return r.failed > r.before }

// broken counts a suite that could not be run.
func (r *report) broken(suite string, err error) {
	r.failed++
	fmt.Fprintf(r.w, "FAIL  %s: %v\n", suite, err)
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			// What is no event comes from go itself (a module that cannot be loaded) and is worth reading.
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprint(r.w, line)
			} else {
				r.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the output of go test: %w", err)
		}
	}
}

func (r *report) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.output[id] = append(r.output[id], e.Output)
		return
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		return
	case "build-fail":
		fmt.Fprint(r.w, strings.Join(r.builds[e.ImportPath], ""))
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	output := r.output[id]
	delete(r.output, id)
	if e.Test == "" {
		r.addPackage(e, output)
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.failedTests[e.Package] = true
		fmt.Fprintf(r.w, "FAIL  %s %s\n%s", e.Package, e.Test, strings.Join(output, ""))
	case "skip":
		r.skipped++
		reason := skipReason(output)
		r.skips[reason] = append(r.skips[reason], e.Package+" "+e.Test)
	}
}

func (r *report) addPackage(e event, output []string) {
	seconds := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	switch e.Action {
	case "pass":
		cached := ""
		if slices.ContainsFunc(output, func(s string) bool { return strings.Contains(s, "(cached)") }) {
			cached = " (cached)"
		}
		fmt.Fprintf(r.w, "ok    %s %v%s\n", e.Package, seconds, cached)
	case "fail":
		if !r.failedTests[e.Package] {
			r.failed++
		}
		// A panic or a time-out ends tests that never report: what they said last tells which.
		for _, id := range slices.SortedFunc(maps.Keys(r.output), func(a, b testID) int { return strings.Compare(a.test, b.test) }) {
			if id.pkg == e.Package {
				fmt.Fprintf(r.w, "unfinished: %s\n%s", id.test, strings.Join(r.output[id], ""))
				delete(r.output, id)
			}
		}
		for _, line := range output {
			if !packageLine.MatchString(line) {
				fmt.Fprint(r.w, line)
			}
		}
		fmt.Fprintf(r.w, "FAIL  %s %v\n", e.Package, seconds)
	}
}

// packageLine is what go test says at the end of a failed package, and this report says in its own way.
var packageLine = regexp.MustCompile(`^(FAIL|FAIL\t.*|exit status \d+|\s*)\n$`)

// end lists the skips, those of one reason together.
func (r *report) end() {
	if r.skipped > 0 {
		fmt.Fprintf(r.w, "\n***** SKIPPED: %d tests did not run *****\n", r.skipped)
		for _, reason := range slices.Sorted(maps.Keys(r.skips)) {
			fmt.Fprintf(r.w, "  %s\n", reason)
			for _, test := range r.skips[reason] {
				fmt.Fprintf(r.w, "      %s\n", test)
			}
		}
	}
	fmt.Fprintf(r.w, "\n%v\n", time.Since(r.start).Round(100*time.Millisecond))
}

// logLine is what t.Log and t.Skip print: file, line, message.
var logLine = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)

// skipReason is the last thing that a skipped test said.
func skipReason(output []string) string {
	reason := "no reason given"
	for _, line := range output {
		if m := logLine.FindStringSubmatch(line); m != nil {
			reason = m[1]
		}
	}
	return reason
}
