package log

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	// The tests make stores fail very often; how long the writer waits before it tries again shows nothing.
	for i := range retryAfter {
		retryAfter[i] = time.Duration(i+1) * time.Millisecond
	}
	lookupAgain = time.Millisecond
	os.Exit(m.Run())
}
