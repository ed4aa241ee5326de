package log

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// lookupAgain is how long events wait before they are looked up once more, and twice as long each time that it fails
// again, up to sixteen times: a try may cost an entry in the control log.
var lookupAgain = time.Second

// trouble is why events wait for a look-up, or for a stored record that they are to be compared with.
type trouble struct {
	mu     sync.Mutex
	err    error     // nil: none
	since  time.Time // of the first failure in a row
	again  time.Time // when to try next
	failed int       // in a row
}

// note is the error for an event that waits because of err, and puts the next try off.
func (t *trouble) note(err error) error {
	if !errors.Is(err, ErrLookup) {
		err = fmt.Errorf("%w: %w", ErrLookup, err)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil && now.Before(t.again) {
		return err // another one of the same try
	}
	if t.err == nil {
		t.since = now
	}
	t.err, t.again = err, now.Add(lookupAgain<<min(t.failed, 4))
	t.failed++
	return err
}

// putOff is the error for those who come before the next try; nil when they may try.
func (t *trouble) putOff() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil && time.Now().Before(t.again) {
		return t.err
	}
	return nil
}

func (t *trouble) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err, t.failed = nil, 0
}

// last is the newest failure and the time of the first one in a row; nil after a success.
func (t *trouble) last() (since time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.err
}

// soonest is how long it takes until one of these may be tried again.
func soonest(list ...*trouble) time.Duration {
	pause := lookupAgain
	first := true
	for _, t := range list {
		t.mu.Lock()
		if t.err != nil && (first || time.Until(t.again) < pause) {
			pause, first = time.Until(t.again), false
		}
		t.mu.Unlock()
	}
	return pause
}
