package log

import (
	"flag"
	"os"
	"testing"
	"time"

	"domicile.dev/domicile/internal/crash"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		victim()
		os.Exit(0)
	}
	// The tests make stores fail very often; how long the writer waits before it tries again shows nothing.
	for i := range retryAfter {
		retryAfter[i] = time.Duration(i+1) * time.Millisecond
	}
	lookupAgain = time.Millisecond
	flag.Parse()
	if run := flag.Lookup("test.run"); crash.Enabled && run.Value.String() == "" {
		run.Value.Set("Killed") // a build with crash points is for these; all tests run without it
	}
	os.Exit(m.Run())
}
