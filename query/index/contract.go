// Package index keeps the rows of a cell's events in ClickHouse, where they are searched.
package index

import (
	"errors"
	"time"
)

// ErrUnavailable is wrapped by the error of a question that the engine cannot be asked now.
var ErrUnavailable = errors.New("the index cannot be reached")

// A Column is one that events can be filtered by.
type Column string

// A Filter says which events are meant.
type Filter struct {
	From, To time.Time           // event time in [From, To); zero: open
	Equal    map[Column][]string // any of the values; all columns must match
	Text     string              // words, all of which must occur in the event, case-insensitive
}

// Check says what is wrong with a filter.
func (f *Filter) Check() error { return nil }

// A Position is where an event stands in answers, which are in descending order of it.
type Position struct {
	Time  int64 // of the event, ms since 1970
	Log   string
	Index uint64 // of the leaf
}

// A Page is a part of an answer.
type Page struct {
	After  *Position
	Limit  int
	Within map[string]uint64 // log to tree size: only leaves below it; logs not named are left out
}

// A Row is one event.
type Row struct {
	Position
	UID    string
	Record []byte // exact payload line
}

// A Grouping says what events are counted by.
type Grouping struct {
	By     []Column
	Every  time.Duration // width of a histogram's bars; 0: none
	Limit  int           // groups
	Within map[string]uint64
}

// A Group is one count.
type Group struct {
	Values []string // of Grouping.By
	Start  int64    // of the bar, ms since 1970; 0 without histogram
	Count  uint64
}

// A FeedState is how far a log is indexed.
type FeedState struct {
	Indexed uint64 // leaves, contiguous from 0
	Commits uint64
	Err     error // why it does not go on now
	Since   time.Time
}
