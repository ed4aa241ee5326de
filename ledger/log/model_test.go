package log

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what a log must hold, kept in the plainest way there is.
type model struct {
	*cell
	draw  *rapid.T
	clock *handClock

	control *Control
	events  *Events

	source Source
	next   uint64
	sent   []Message // of the last append, to send again
	known  []modelEvent
	byUID  map[string][]modelEvent // in the order in which they were committed
	epochs int
	made   int // events, to tell them apart
}

type modelEvent struct {
	n         int
	at        time.Time
	operation string
	index     uint64
}

func (e modelEvent) message(draw *rapid.T) Message {
	m := messageWith(e.n, e.at, e.operation)
	if e.n%3 == 0 {
		m.Class = "long"
	}
	if draw != nil && rapid.Bool().Draw(draw, "spaced") { // another delivery of the same event
		m.Event = []byte(`{"api":{"operation":"` + e.operation + `"},"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"processed_time":7,"uid":"` + m.UID + `"},"raw_data":"{ }","time":` + fmt.Sprint(m.Time) + `}`)
	}
	return m
}

func (m *model) open() {
	m.change = func(cfg *EventsConfig) {
		cfg.Window = rapid.SampledFrom([]int{1, 2, 5, 20, 1000}).Draw(m.draw, "window")
		if rapid.Bool().Draw(m.draw, "index") {
			cfg.Lookup = m.newTable()
		}
		// Never less than the cell's policy says, but sometimes less than the last writer had.
		cfg.Skew = rapid.SampledFrom([]time.Duration{10 * time.Minute, 11 * time.Minute, 7 * time.Hour}).Draw(m.draw, "skew")
		cfg.CarryMarks = 1000 * time.Hour
		cfg.MaxRecords = rapid.SampledFrom([]int{1, 3, 8192}).Draw(m.draw, "max records")
	}
	m.control, m.events = m.openLogs()
}

func (m *model) restart() {
	m.closeLogs(m.control, m.events)
	if rapid.Bool().Draw(m.draw, "new epoch") {
		m.epochs++
		m.source, m.next, m.sent = Source{"collector", fmt.Sprintf("%032x", m.epochs)}, 0, nil
	}
	m.open()
}

// eventTime is anywhere from days ago to days ahead, and often where it matters: about skew after the end of some
// window.
func (m *model) eventTime() time.Time {
	now := m.clock.Now()
	near := time.Duration(rapid.IntRange(-3, 3).Draw(m.draw, "ms")) * time.Millisecond
	switch rapid.IntRange(0, 3).Draw(m.draw, "when") {
	case 0:
		return now.Add(near)
	case 1:
		return now.Add(10*time.Minute + near)
	case 2:
		return now.Add(10*time.Minute - time.Duration(rapid.IntRange(0, 12).Draw(m.draw, "hours"))*time.Hour + near)
	}
	return now.Add(time.Duration(rapid.IntRange(-72*60, 72*60).Draw(m.draw, "minutes")) * time.Minute)
}

func (m *model) append() {
	var events []modelEvent
	for range rapid.IntRange(1, 8).Draw(m.draw, "events") {
		known := append(m.known[:len(m.known):len(m.known)], events...)
		switch kind := rapid.IntRange(0, 9).Draw(m.draw, "kind"); {
		case kind < 5 || len(known) == 0:
			m.made++
			events = append(events, modelEvent{n: m.made, at: m.eventTime(), operation: "A"})
		case kind < 9:
			events = append(events, rapid.SampledFrom(known).Draw(m.draw, "again"))
		default:
			e := rapid.SampledFrom(known).Draw(m.draw, "other content")
			e.operation = rapid.SampledFrom([]string{"A", "B", "C"}).Draw(m.draw, "operation")
			events = append(events, e)
		}
	}
	var messages []Message
	for _, e := range events {
		messages = append(messages, e.message(m.draw))
	}
	numbered(m.source, m.next, messages...)
	m.next += uint64(len(messages))
	m.sent = messages
	for i, r := range m.cell.append(m.events, messages) {
		m.judge(events[i], r)
	}
}

// judge holds an answer against the model.
func (m *model) judge(e modelEvent, r Result) {
	uid := messageWith(e.n, e.at, "").UID
	for n, there := range m.byUID[uid] {
		if there.operation != e.operation {
			continue
		}
		if r.Status != Duplicate || r.UID != sameUID(uid, n+1) || !r.Indexed || r.Index != there.index {
			m.t.Fatalf("%+v is leaf %d, the answer is %+v", e, there.index, r)
		}
		return
	}
	n := len(m.byUID[uid]) + 1
	want := Committed
	if n > 1 {
		want = Conflict
	}
	if r.Status != want || r.UID != sameUID(uid, n) || !r.Indexed {
		m.t.Fatalf("%+v is new as %s, the answer is %+v", e, sameUID(uid, n), r)
	}
	e.index = r.Index
	m.byUID[uid] = append(m.byUID[uid], e)
	m.known = append(m.known, e)
}

func (m *model) sendAgain() {
	for i, r := range m.cell.append(m.events, m.sent) {
		if r.Status != Repeat {
			m.t.Fatalf("message %d sent again: %+v", i, r)
		}
		if !r.Indexed {
			continue
		}
		found := false
		for n, there := range m.byUID[m.sent[i].UID] {
			found = found || there.index == r.Index && r.UID == sameUID(m.sent[i].UID, n+1)
		}
		if !found {
			m.t.Fatalf("message %d sent again is %+v, which is no leaf of its event", i, r)
		}
	}
}

// Whatever comes in whatever order, with whatever clock, window and restarts: one leaf for each event, and none is lost.
func TestOneLeafForEachEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{cell: newMemoryCell(t), draw: t, source: sourceA, byUID: make(map[string][]modelEvent)}
		m.clock = m.at(day)
		m.open()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				m.clock.add(time.Duration(rapid.IntRange(-120, 600).Draw(t, "minutes on")) * time.Minute)
			case 2:
				m.restart()
			case 3:
				m.flushLogs(m.control, m.events)
			case 4:
				if m.sent != nil {
					m.sendAgain()
				}
			default:
				m.append()
			}
		}
		m.flushLogs(m.control, m.events)
		m.closeLogs(m.control, m.events)
		h := m.settled()
		total := 0
		for uid, list := range m.byUID {
			for n, e := range list {
				if at := h.byUID[sameUID(uid, n+1)]; len(at) != 1 || at[0] != e.index || h.records[e.index].operation != e.operation {
					t.Fatalf("%+v is at leaves %v", e, at)
				}
				total++
			}
		}
		if total != len(h.records) {
			t.Fatalf("%d records, the model has %d", len(h.records), total)
		}
	})
}
