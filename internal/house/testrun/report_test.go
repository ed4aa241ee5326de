package main

import (
	"strings"
	"testing"
)

// What go test -json said of a module with one of each: lines shortened, order kept.
const events = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"m/a","Test":"TestTable/wrong_row","Output":"    a_test.go:9: got 1, want 2\n"}
{"Action":"fail","Package":"m/a","Test":"TestTable/wrong_row","Elapsed":0}
{"Action":"fail","Package":"m/a","Test":"TestTable","Elapsed":0}
{"Action":"output","Package":"m/a","Test":"TestPython","Output":"    a_test.go:20: needs the program \"python3\"\n"}
{"Action":"output","Package":"m/a","Test":"TestPython","Output":"--- SKIP: TestPython (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestPython","Elapsed":0}
{"Action":"output","Package":"m/a","Output":"FAIL\n"}
{"Action":"output","Package":"m/a","Output":"exit status 1\n"}
{"Action":"fail","Package":"m/a","Elapsed":1.234}
{"ImportPath":"m/b","Action":"build-output","Output":"# m/b\n"}
{"ImportPath":"m/b","Action":"build-output","Output":"b/b.go:3:1: undefined: x\n"}
{"ImportPath":"m/b","Action":"build-fail"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b [build failed]\n"}
{"Action":"fail","Package":"m/b","Elapsed":0,"FailedBuild":"m/b"}
{"Action":"output","Package":"m/c","Test":"TestHangs","Output":"=== RUN   TestHangs\n"}
{"Action":"output","Package":"m/c","Output":"panic: test timed out after 30m0s\n"}
{"Action":"fail","Package":"m/c","Elapsed":1800}
{"Action":"output","Package":"m/d","Output":"ok  \tm/d\t(cached)\n"}
{"Action":"pass","Package":"m/d","Elapsed":0.01}
{"Action":"skip","Package":"m/e","Elapsed":0}
go: a line that is no event
`

func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.begin()
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.end()
	// TestTable and its row; m/b does not build; m/c hangs.
	if got, want := r.counts.String(), "1 passed, 4 failed, 1 skipped"; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
	if !r.failedSinceBegin() {
		t.Error("failures of the suite not seen")
	}
	for _, want := range []string{
		"FAIL  m/a TestTable/wrong_row\n    a_test.go:9: got 1, want 2\n",
		"FAIL  m/a 1.23s\n",
		"b/b.go:3:1: undefined: x\n",
		"FAIL  m/b 0s\n",
		"unfinished: TestHangs\n",
		"panic: test timed out after 30m0s\n",
		"ok    m/d 10ms (cached)\n",
		"  needs the program \"python3\"\n      m/a TestPython\n",
		"go: a line that is no event\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	for _, not := range []string{"exit status", "TestGood", "m/e"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("output holds %q, which says nothing to a reader:\n%s", not, out.String())
		}
	}
}
