package log

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
)

// sized is a message whose record line has so many bytes.
func sized(n, lineBytes int) Message {
	m := message(n, day)
	grow := lineBytes - len(m.Event) - ledger.RecordOverhead
	m.Event = []byte(strings.Replace(string(m.Event), `"raw_data":"{}"`, `"raw_data":"{}`+strings.Repeat("x", grow)+`"`, 1))
	return m
}

// commits are the ranges that commits with leaves hold, as "first-size".
func (h *holding) commits() (list []string) {
	for _, c := range h.events.headers {
		if c.Size > c.First {
			list = append(list, fmt.Sprintf("%d-%d", c.First, c.Size))
		}
	}
	return list
}

func TestCommitsAreSplitByCountAndBytes(t *testing.T) {
	for _, test := range []struct {
		name    string
		records int
		bytes   int
		sizes   []int // of record lines, line feed included
		want    []string
	}{
		{"all fit", 100, 10000, slices.Repeat([]int{1000}, 10), []string{"0-10"}},
		{"by count", 4, 100000, slices.Repeat([]int{1000}, 10), []string{"0-4", "4-8", "8-10"}},
		{"by count, exactly", 5, 100000, slices.Repeat([]int{1000}, 10), []string{"0-5", "5-10"}},
		{"by bytes", 100, 3000, slices.Repeat([]int{1000}, 7), []string{"0-3", "3-6", "6-7"}},
		{"by bytes, one byte short", 100, 2999, slices.Repeat([]int{1000}, 5), []string{"0-2", "2-4", "4-5"}},
		{"one that is too large stands alone", 100, 3000, []int{1000, 5000, 1000, 1000}, []string{"0-1", "1-2", "2-4"}},
		{"one at a time", 1, 3000, []int{500, 500, 500}, []string{"0-1", "1-2", "2-3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			c.change = func(cfg *EventsConfig) { cfg.MaxRecords, cfg.MaxBytes = test.records, test.bytes }
			control, events := c.openLogs()
			var messages []Message
			for i, size := range test.sizes {
				messages = append(messages, sized(i, size-1))
			}
			results := c.append(events, numbered(sourceA, 0, messages...))
			for i, r := range results {
				if r.Status != Committed || r.Index != uint64(i) {
					t.Errorf("message %d: %+v", i, r)
				}
			}
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			if got := c.settled().commits(); !slices.Equal(got, test.want) {
				t.Errorf("commits %v, want %v", got, test.want)
			}
		})
	}
}

// The largest payload that there may be, and the largest event.
func TestLargestPayloadAndEvent(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	largest := ledger.MaxEventBytes + ledger.RecordOverhead
	messages := []Message{
		sized(0, largest), sized(1, largest), sized(2, largest), sized(3, ledger.MaxPayloadBytes-3*(largest+1)-1),
		sized(4, 1000),
	}
	tooLarge := sized(5, largest+1)
	var reason error
	events.cfg.Reject = func(_ context.Context, _ *Message, err error) error { reason = err; return nil }
	c.want(c.append(events, numbered(sourceA, 0, append(messages, tooLarge)...)), Committed, Committed, Committed, Committed, Committed, Rejected)
	if reason == nil || !strings.Contains(reason.Error(), "larger than") {
		t.Errorf("rejected because %v", reason)
	}
	// An event that is renamed grows; it must not push its payload over the limit, nor itself.
	again := slices.Clone(messages[:4])
	for i := range again {
		again[i].Event = []byte(strings.Replace(string(again[i].Event), `"Op"`, `"Oq"`, 1))
	}
	c.want(c.append(events, numbered(sourceB, 0, again...)), Rejected, Rejected, Rejected, Conflict)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	if got := c.settled().commits(); !slices.Equal(got, []string{"0-4", "4-5", "5-6"}) {
		t.Errorf("commits %v", got)
	}
}

// Renamed events that just fill a payload as they came do not fit it as they are stored.
func TestRenamedEventsDoNotOverfillAPayload(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	const n = 16
	var first, second []Message
	for i := range n {
		m := sized(i, ledger.MaxPayloadBytes/n-1)
		first = append(first, message(i, day))
		m.Event = []byte(strings.Replace(string(m.Event), `"Op"`, `"Oq"`, 1))
		second = append(second, m)
	}
	c.append(events, numbered(sourceA, 0, first...))
	c.want(c.append(events, numbered(sourceA, n, second...)), slices.Repeat([]Status{Conflict}, n)...)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled() // which measures payloads
}

func TestClassesTileACommit(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	var messages []Message
	for i, class := range []string{"long", "default", "short", "default", "long", "default"} {
		m := message(i, day)
		m.Class = class
		messages = append(messages, m)
	}
	results := c.append(events, numbered(sourceA, 0, messages...))
	for i, want := range []uint64{3, 0, 5, 1, 4, 2} { // by class, and within a class as they came
		if results[i].Index != want || results[i].Status != Committed {
			t.Errorf("message %d: %+v, want leaf %d", i, results[i], want)
		}
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled()
	last := h.events.headers[len(h.events.headers)-1]
	var got []string
	for _, p := range last.Payloads {
		got = append(got, fmt.Sprint(p.Class, p.First, p.Records))
	}
	if !slices.Equal(got, []string{"default0 3", "long3 2", "short5 1"}) {
		t.Errorf("payloads %q", got)
	}
	for i, m := range messages {
		if r := h.records[results[i].Index]; r.uid != m.UID || r.class != m.Class {
			t.Errorf("message %d became %+v", i, r)
		}
	}
}

// Senders who do not wait share a commit, until it is full or old enough.
func TestGroupCommit(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*EventsConfig)
		want   int // commits
	}{
		{"full", func(cfg *EventsConfig) { cfg.MaxRecords, cfg.Age = 8, time.Hour }, 1},
		{"large", func(cfg *EventsConfig) { cfg.MaxBytes, cfg.Age = 8*1000, time.Hour }, 1},
		{"old", func(cfg *EventsConfig) { cfg.Age = time.Millisecond }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			c.change = test.change
			control, events := c.openLogs()
			var senders sync.WaitGroup
			for i := range 8 {
				senders.Go(func() {
					s := Source{fmt.Sprint("collector", i), sourceA.Epoch}
					if results, err := events.Append(t.Context(), numbered(s, 0, sized(i, 999)), false); err != nil || results[0].Status != Committed {
						t.Error(results, err)
					}
				})
			}
			senders.Wait()
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			h := c.settled()
			if got := h.commits(); test.want > 0 && len(got) != test.want || len(h.records) != 8 {
				t.Errorf("%d records in commits %v", len(h.records), got)
			}
		})
	}
}

// Marks and repeats alone make a commit every ten seconds at most, or when somebody flushes.
func TestCommitsWithoutLeaves(t *testing.T) {
	for _, test := range []struct {
		name   string
		every  time.Duration
		before int // commits without leaves before the flush
		after  int
	}{
		{"seldom", time.Hour, 0, 1},
		{"whenever they can", time.Nanosecond, 5, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newMemoryCell(t)
			c.change = func(cfg *EventsConfig) { cfg.MarksEvery = test.every }
			control, events := c.openLogs()
			c.append(events, numbered(sourceA, 0, message(0, day)))
			head := func() uint64 {
				h, err := events.Reader().Head(t.Context())
				c.must(err)
				return h.Seq - 1
			}
			for i := range 5 {
				c.want(c.append(events, numbered(sourceB, uint64(i), message(0, day))), Duplicate)
			}
			if got := head(); got != uint64(test.before) {
				t.Errorf("%d commits without leaves before the flush, want %d", got, test.before)
			}
			for range 3 { // one flush has something to commit, the others have not
				c.flushLogs(control, events)
			}
			if got := head(); got != uint64(test.after) {
				t.Errorf("%d commits without leaves, want %d", got, test.after)
			}
			c.append(events, numbered(sourceB, 5, message(1, day))) // or no batch entry tells of the repeats
			c.flushLogs(control, events)
			c.closeLogs(control, events)
			if h := c.settled(); h.repeats != 5 || len(h.records) != 2 || h.batches != 2 {
				t.Errorf("%d repeats, %d records, %d batch entries", h.repeats, len(h.records), h.batches)
			}
		})
	}
}
