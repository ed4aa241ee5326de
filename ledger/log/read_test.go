package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"domicile.dev/domicile/ledger"
)

// Whoever follows a log is told of every commit, gets every line as it was committed, and finds out where it ends.
func TestFollowingALog(t *testing.T) {
	c := newMemoryCell(t)
	told := make(chan uint64, 100)
	c.change = func(cfg *EventsConfig) { cfg.Committed = func(seq uint64) { told <- seq } }
	control, events := c.openLogs()
	var want []Message
	for i := range 5 {
		long := message(10*i+1, day)
		long.Class = "long"
		c.append(events, numbered(sourceA, uint64(3*i), message(10*i, day), long, message(10*i+2, day)))
		want = append(want, message(10*i, day), message(10*i+2, day), long) // classes lie together
	}
	reader, err := NewReader(c.config(testEvents), c.payloadKeys)
	c.must(err)
	follow := func() error {
		index := uint64(0)
		for seq := uint64(0); ; seq++ {
			err := reader.Records(t.Context(), seq, func(at uint64, line []byte) error {
				rec, err := ledger.ParseRecord(line)
				if err != nil {
					return err
				}
				if at != index || !bytes.Equal(rec.Event, want[index].Event) {
					return fmt.Errorf("record %d is %s", index, line)
				}
				stored, err := reader.Record(t.Context(), at)
				if err == nil && !bytes.Equal(stored, line) {
					err = fmt.Errorf("Record gives %s", stored)
				}
				index++
				return err
			})
			if errors.Is(err, ErrNoCommit) && seq == 6 && index == 15 {
				return nil
			}
			if err != nil {
				return fmt.Errorf("commit %d: %w", seq, err)
			}
		}
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			if err := follow(); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	for seq := uint64(1); seq <= 5; seq++ {
		if got := <-told; got != seq {
			t.Errorf("told of commit %d, want %d", got, seq)
		}
	}
	enough := errors.New("enough")
	if err := reader.Records(t.Context(), 1, func(uint64, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v, want what the caller returned", err)
	}
	if _, err := reader.Header(t.Context(), 6); !errors.Is(err, ErrNoCommit) {
		t.Errorf("header of the next commit: %v", err)
	}
	if _, err := reader.Commit(t.Context(), 6); !errors.Is(err, ErrNoCommit) {
		t.Errorf("the next commit: %v", err)
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// A payload that is gone takes only its own records with it, and is named: by who follows, and by a writer that cannot
// read its window.
func TestPayloadIsGone(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	long := message(1, day)
	long.Class = "long"
	c.append(events, numbered(sourceA, 0, message(0, day), long))
	head, err := events.Reader().Head(t.Context())
	c.must(err)
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	gone := head.Payloads[0].Key
	c.must(c.locked.Delete(context.Background(), testEvents+"/"+gone))
	var left []uint64
	err = events.Reader().Records(t.Context(), 1, func(index uint64, _ []byte) error {
		left = append(left, index)
		return nil
	})
	if !errors.Is(err, ErrNoRecord) || !strings.Contains(err.Error(), gone) || len(left) != 1 || left[0] != 1 {
		t.Errorf("%v, records %d are left", err, left)
	}
	control, events = c.openLogs()
	_, err = events.Append(t.Context(), numbered(sourceB, 0, message(2, day)), true)
	if !errors.Is(err, ErrNoRecord) || !errors.Is(err, errNoWindow) || !strings.Contains(err.Error(), gone) {
		t.Errorf("appending: %v", err)
	}
	c.closeLogs(control, events)
}

func TestKeys(t *testing.T) {
	m := message(7, day)
	line := ledger.AppendRecord(nil, &[32]byte{1}, m.Event)
	rec, err := ledger.ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	uid, content, err := Keys(rec)
	if err != nil || uid != UIDKey(m.UID) || content != contentKey(t, m.Event) {
		t.Errorf("keys %x, %x: %v", uid, content, err)
	}
	if sum := ledger.UIDHash(m.UID); !bytes.Equal(sum[:16], uid[:]) {
		t.Errorf("a uid's key is not the first half of its hash")
	}
	rec.Fields = nil
	if _, _, err := Keys(rec); err == nil {
		t.Error("an event without a uid has keys")
	}
}
