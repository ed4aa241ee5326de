package log

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	// The tests make stores fail very often; how long the writer waits before it tries again shows nothing.
	for i := range retryAfter {
		retryAfter[i] = time.Duration(i+1) * time.Millisecond
	}
	os.Exit(m.Run())
}
