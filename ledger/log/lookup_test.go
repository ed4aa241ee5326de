package log

import (
	"context"
	"sync"
	"testing"
)

// lookupStub answers look-ups as the test says, and counts them.
type lookupStub struct {
	mu     sync.Mutex
	err    error
	found  map[string]Found
	calls  []string
	called chan struct{}
}

func (l *lookupStub) Find(_ context.Context, uid string, _ uint64) (Found, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, uid)
	if l.called != nil {
		close(l.called)
		l.called = nil
	}
	f, ok := l.found[uid]
	return f, ok, l.err
}

func (l *lookupStub) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// awaitCalls returns when Find was called so often.
func (l *lookupStub) awaitCalls(t *testing.T, n int) {
	t.Helper()
	for {
		l.mu.Lock()
		if len(l.calls) >= n {
			l.mu.Unlock()
			return
		}
		called := make(chan struct{})
		l.called = called
		l.mu.Unlock()
		select {
		case <-called:
		case <-t.Context().Done():
			t.Fatal("the look-up is not called")
		}
	}
}
