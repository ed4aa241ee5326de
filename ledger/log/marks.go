package log

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"domicile.dev/domicile/ledger"
)

// A Source is one numbering of messages: what a collector sends to one partition in one epoch is numbered from 0.
type Source struct {
	Collector string
	Epoch     string
}

func (s Source) compare(other Source) int {
	return cmp.Or(cmp.Compare(s.Collector, other.Collector), cmp.Compare(s.Epoch, other.Epoch))
}

// marks are the low-water marks of a log's sources: everything below a source's next number is committed, dropped as a
// repeat, or quarantined.
type marks struct {
	next map[Source]uint64
	// above holds the numbers handled beyond next: they are there while an earlier event waits for a look-up.
	above map[Source]map[uint64]bool
	moved bool // since the last commit
}

func newMarks() *marks {
	return &marks{next: make(map[Source]uint64), above: make(map[Source]map[uint64]bool)}
}

// restoreMarks returns the marks that hold after the newest commit, without those of epochs whose last message was
// committed before the given time (ms): their collectors are gone, and every commit would carry them for good. Marks that
// are not bound yet are carried on, or no batch entry would ever name them.
func (c chain) restoreMarks(ctx context.Context, head *ledger.Header, before int64, bound func(Source, uint64) bool) (*marks, error) {
	m := newMarks()
	for _, mark := range head.Collectors {
		m.next[Source{mark.ID, mark.Epoch}] = mark.Next
	}
	// An epoch has ended if its mark stood then where it stands now. Times never fall along the chain.
	low, high := uint64(0), head.Seq
	for low < high {
		middle := low + (high-low+1)/2
		header, _, err := c.header(ctx, middle)
		if err != nil {
			return nil, err
		}
		if header.Time < before {
			low = middle
		} else {
			high = middle - 1
		}
	}
	old, _, err := c.header(ctx, low)
	if err != nil {
		return nil, err
	}
	if old.Time < before {
		for _, mark := range old.Collectors {
			if s := (Source{mark.ID, mark.Epoch}); m.next[s] == mark.Next && bound(s, mark.Next) {
				delete(m.next, s)
			}
		}
	}
	return m, nil
}

// handled reports whether a number was dealt with before: the message is a repeat of the stream.
func (m *marks) handled(s Source, seq uint64) bool {
	return seq < m.next[s] || m.above[s][seq]
}

// done notes that a message is dealt with, and moves the mark over everything that is.
func (m *marks) done(s Source, seq uint64) {
	if seq < m.next[s] {
		return
	}
	if seq > m.next[s] {
		if m.above[s] == nil {
			m.above[s] = make(map[uint64]bool)
		}
		m.above[s][seq] = true
		return
	}
	next := seq + 1
	for m.above[s][next] {
		delete(m.above[s], next)
		next++
	}
	m.next[s], m.moved = next, true
}

// header is the `collectors` member of a commit, in a stable order.
func (m *marks) header() []ledger.Collector {
	list := make([]ledger.Collector, 0, len(m.next))
	for _, s := range slices.SortedFunc(maps.Keys(m.next), Source.compare) {
		list = append(list, ledger.Collector{ID: s.Collector, Epoch: s.Epoch, Next: m.next[s]})
	}
	return list
}

// A SequenceError says that a message's number is not one that its source can send now.
type SequenceError struct {
	Source    Source
	Want, Got uint64
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("collector %s, epoch %s: message %d where %d is next: numbers are missing", e.Source.Collector, e.Source.Epoch, e.Got, e.Want)
}
