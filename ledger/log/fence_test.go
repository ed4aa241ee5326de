package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
)

// watched is an open store that sees to it that no checkpoint is ever replaced by one that is not larger.
type watched struct {
	store.Store
	t tb

	mu    sync.Mutex
	sizes map[string]uint64
}

func (w *watched) Replace(ctx context.Context, key string, data []byte, version string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	newVersion, err := w.Store.Replace(ctx, key, data, version)
	if err == nil {
		size, parseErr := strconv.ParseUint(string(bytes.Split(data, []byte("\n"))[1]), 10, 64)
		if parseErr != nil || size <= w.sizes[key] && w.sizes[key] > 0 {
			w.t.Errorf("%s: %d replaced by %d (%v)", key, w.sizes[key], size, parseErr)
		}
		w.sizes[key] = size
	}
	return newVersion, err
}

// newContested is a cell in a directory for which several writers compete. Both logs hold something.
func newContested(t *testing.T) *cell {
	c := newCell(t)
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, some(0, 3, day)...))
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.open = &watched{Store: c.open, t: t, sizes: make(map[string]uint64)}
	return c
}

// competitor is one of several writers of a log.
type competitor struct {
	cell    // a copy, whose stores may be its own
	origin  string
	id      int
	done    int // calls of add that succeeded
	events  *Events
	control *Control
}

var contested = map[string]string{"events": testEvents, "control": testControl}

func (c *cell) competitor(origin string, id int) *competitor {
	return &competitor{cell: *c, origin: origin, id: id}
}

// start opens the log, without a control log if it is an events log: findings and batch entries are for afterwards.
func (w *competitor) start() (err error) {
	ctx := context.Background()
	if w.origin == testControl {
		w.control, err = OpenControl(ctx, w.config(testControl), "test")
		return err
	}
	w.events, err = OpenEvents(ctx, EventsConfig{Config: w.config(testEvents), Keys: w.payloadKeys, Age: 1})
	return err
}

// shared is the event that every competitor brings once.
const shared = 99

const leavesPerAdd = 2

// add makes two leaves, except that the shared event is the second one of each competitor's first call.
func (w *competitor) add() error {
	if w.origin == testControl {
		for range leavesPerAdd {
			if _, err := w.control.Start(context.Background(), "ledger", ledger.RoleWriter); err != nil {
				return err
			}
		}
	} else {
		base := 1000*w.id + leavesPerAdd*w.done
		list := some(base, leavesPerAdd, day)
		if w.done == 0 {
			list[1] = message(shared, day)
		}
		source := Source{fmt.Sprintf("c%d", w.id), sourceA.Epoch}
		if _, err := w.events.Append(context.Background(), numbered(source, uint64(leavesPerAdd*w.done), list...), true); err != nil {
			return err
		}
	}
	w.done++
	return nil
}

func (w *competitor) flush() error {
	if w.origin == testControl {
		return w.control.Flush(context.Background())
	}
	return w.events.Flush(context.Background())
}

func (w *competitor) close() error {
	if w.origin == testControl {
		return w.control.Close()
	}
	return w.events.Close()
}

// published is what the log's checkpoint says.
func (w *competitor) published() uint64 {
	w.t.Helper()
	reader, err := NewReader(w.config(w.origin), w.payloadKeys)
	w.must(err)
	cp, _, err := reader.Checkpoint(context.Background())
	w.must(err)
	return cp.Size
}

// mustBeFenced checks that a writer does nothing any more.
func (w *competitor) mustBeFenced() {
	w.t.Helper()
	for range 2 {
		if err := w.add(); !errors.Is(err, ErrFenced) {
			w.t.Fatalf("appending: %v, want %v", err, ErrFenced)
		}
	}
	if err := w.flush(); !errors.Is(err, ErrFenced) {
		w.t.Fatalf("flushing: %v, want %v", err, ErrFenced)
	}
	if err := w.close(); !errors.Is(err, ErrFenced) {
		w.t.Fatalf("closing: %v, want %v", err, ErrFenced)
	}
}

// uncontested opens both logs as one process does, and everything is there.
func (c *cell) uncontested() *holding {
	c.t.Helper()
	c.reopenStores()
	control, events := c.openLogs()
	c.append(events, numbered(sourceB, 0, message(98, day)))
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	h := c.settled()
	c.audited()
	return h
}

func TestOfTwoWritersOneIsFenced(t *testing.T) {
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			a, b := c.competitor(origin, 1), c.competitor(origin, 2)
			c.must(a.start())
			c.must(b.start())
			c.must(a.add())
			b.mustBeFenced()
			c.must(a.add())
			c.must(a.flush())
			c.must(a.close())
			h := c.uncontested()
			if origin == testEvents && len(h.records) != 3+2*leavesPerAdd+1 {
				t.Fatalf("%d records", len(h.records))
			}
		})
	}
}

// A writer that is fenced after a commit of its own was answered: that commit stays.
func TestNewWriterTakesOver(t *testing.T) {
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			a, b := c.competitor(origin, 1), c.competitor(origin, 2)
			c.must(a.start())
			c.must(a.add())
			c.must(b.start())
			c.must(b.add())
			a.mustBeFenced()
			c.must(b.flush())
			c.must(b.close())
			h := c.uncontested()
			if origin == testEvents && len(h.records) != 3+2*leavesPerAdd-1+1 { // one event is shared
				t.Fatalf("%d records", len(h.records))
			}
		})
	}
}

// gate holds up the operations of one kind, until they are let through one by one or all.
type gate struct {
	place
	arrived, pass chan struct{}
}

func newGate(op storetest.Op, prefix string) *gate {
	return &gate{place{op, prefix}, make(chan struct{}), make(chan struct{})}
}

func (g *gate) of(name string) storetest.Hook {
	return func(op storetest.Op, key string) storetest.Outcome {
		if g.match(name, op, key) {
			select {
			case g.arrived <- struct{}{}:
				<-g.pass
			case <-g.pass: // everything passes
			}
		}
		return storetest.Pass
	}
}

// stands puts the gate between a competitor and its stores.
func (g *gate) stands(w *competitor) {
	locked, open := storetest.NewFaulty(w.locked), storetest.NewFaulty(w.open)
	locked.SetHook(g.of("locked/"))
	open.SetHook(g.of("open/"))
	w.locked, w.open = locked, open
}

// A writer falls asleep between its commit and its checkpoint, another one publishes more, the first one wakes up.
func TestLatePublicationCannotGoBack(t *testing.T) {
	for name, origin := range contested {
		for at, g := range map[string]func() *gate{
			"before its tiles":          func() *gate { return newGate(storetest.OpCreate, "open/"+origin+"/tile/") },
			"before it archives":        func() *gate { return newGate(storetest.OpCreate, "locked/"+origin+"/checkpoints/") },
			"before it is put in place": func() *gate { return newGate(storetest.OpReplace, "open/"+origin+"/checkpoint") },
		} {
			t.Run(name+"/"+at, func(t *testing.T) {
				c := newContested(t)
				a, b := c.competitor(origin, 1), c.competitor(origin, 2)
				gate := g()
				gate.stands(a)
				c.must(a.start())
				c.must(a.add())
				<-gate.arrived
				c.must(b.start())
				c.must(b.add())
				c.must(b.flush())
				before := b.published()
				close(gate.pass)
				if err := a.flush(); !errors.Is(err, ErrFenced) {
					t.Fatalf("flushing: %v, want %v", err, ErrFenced)
				}
				a.mustBeFenced()
				if got := b.published(); got != before {
					t.Fatalf("checkpoint was at %d, is at %d", before, got)
				}
				c.must(b.add())
				c.must(b.flush())
				if got := b.published(); got != before+leavesPerAdd {
					t.Fatalf("checkpoint was at %d, is at %d after two leaves more", before, got)
				}
				c.must(b.close())
				c.uncontested()
			})
		}
	}
}

// An older writer's publication comes between what a new one read and what it writes. It is the older one that stops.
func TestNewWriterIsNotFencedByALatePublication(t *testing.T) {
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			a, b := c.competitor(origin, 1), c.competitor(origin, 2)
			checkpoint := "open/" + origin + "/checkpoint"
			ofA, ofB := newGate(storetest.OpReplace, checkpoint), newGate(storetest.OpReplace, checkpoint)
			ofA.stands(a)
			ofB.stands(b)
			c.must(a.start())
			before := a.published()
			c.must(a.add())
			<-ofA.arrived // a is about to publish what it has now, or only a part, and commits more
			c.must(a.add())
			c.must(b.start())
			<-ofB.arrived // b is about to publish all of it
			ofA.pass <- struct{}{}
			<-ofA.arrived // a has published once and is about to do so again
			if got := a.published(); got <= before || got >= before+2*leavesPerAdd {
				t.Fatalf("checkpoint was at %d, is at %d", before, got)
			}
			close(ofB.pass)
			c.must(b.flush())
			if got := b.published(); got != before+2*leavesPerAdd {
				t.Fatalf("checkpoint was at %d, is at %d", before, got)
			}
			c.must(b.add())
			c.must(b.flush())
			close(ofA.pass)
			a.mustBeFenced()
			c.must(b.add())
			c.must(b.flush())
			c.must(b.close())
			c.uncontested()
		})
	}
}

// Eight writers at once, each of which starts again when it is fenced: all of them get everything in, once.
func TestRacingWriters(t *testing.T) {
	const racers, rounds = 8, 4
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			size := c.competitor(origin, 0).published()
			var fenced, entries atomic.Int64
			var group sync.WaitGroup
			for id := range racers {
				group.Go(func() {
					w := c.competitor(origin, id+1)
					for w.done < rounds {
						if err := w.start(); err != nil {
							t.Error(err)
							return
						}
						var err error
						for err == nil && w.done < rounds {
							if err = w.add(); err == nil {
								entries.Add(leavesPerAdd)
							}
						}
						if err == nil {
							err = w.flush()
						}
						closed := w.close()
						// An append that is under way when the publisher finds the other writer may say that it was
						// cancelled; why, is what closing says.
						if closed != nil && !errors.Is(closed, ErrFenced) || err != nil && closed == nil {
							t.Errorf("%v, closing: %v", err, closed)
							return
						}
						if err != nil {
							fenced.Add(1)
						}
					}
				})
			}
			group.Wait()
			if t.Failed() {
				return
			}
			t.Logf("fenced %d times", fenced.Load())
			h := c.uncontested()
			if origin == testControl {
				// An epoch that began before its writer was fenced is there as well.
				if got := uint64(len(h.control.leaves)); got < size+uint64(entries.Load()) {
					t.Fatalf("%d control entries, %d after %d were answered", got, entries.Load(), size)
				}
				return
			}
			if got, want := len(h.records), 3+racers*(leavesPerAdd*rounds-1)+2; got != want {
				t.Fatalf("%d records, want %d", got, want)
			}
			for id := range racers {
				for n := range leavesPerAdd * rounds {
					uid := message(1000*(id+1)+n, day).UID
					if n == 1 {
						uid = message(shared, day).UID
					}
					if len(h.byUID[uid]) != 1 {
						t.Fatalf("event %s is at %v", uid, h.byUID[uid])
					}
				}
			}
			writers := make(map[string]bool)
			for _, header := range h.events.headers {
				writers[header.Writer] = true
			}
			if len(writers) < racers {
				t.Fatalf("%d writers left commits", len(writers))
			}
		})
	}
}

// Another writer commits while this one looks for the newest commit. Nothing is missing.
func TestOpensWhileAnotherWriterCommits(t *testing.T) {
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			a, b := c.competitor(origin, 1), c.competitor(origin, 2)
			c.must(a.start())
			var once sync.Once
			locked := storetest.NewFaulty(b.locked)
			locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				if op == storetest.OpList && key == origin+"/commit/" {
					once.Do(func() { c.must(a.add()) })
				}
				return storetest.Pass
			})
			b.locked = locked
			c.must(b.start())
			c.must(b.add())
			c.must(b.flush())
			c.must(b.close())
			a.mustBeFenced()
			c.uncontested()
		})
	}
}

// A writer that fell asleep before it wrote tiles wakes up, writes those of a size that the new writer has passed, and
// dies before it archives their checkpoint.
func TestLateTilesWithoutACheckpoint(t *testing.T) {
	for name, origin := range contested {
		t.Run(name, func(t *testing.T) {
			c := newContested(t)
			a, b := c.competitor(origin, 1), c.competitor(origin, 2)
			gate := newGate(storetest.OpCreate, "open/"+origin+"/tile/")
			gate.stands(a)
			archiving := place{storetest.OpCreate, "locked/" + origin + "/checkpoints/"}
			locked := storetest.NewFaulty(a.locked)
			locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				if archiving.match("locked/", op, key) {
					return storetest.FailBefore
				}
				return storetest.Pass
			})
			a.locked = locked
			c.must(a.start())
			c.must(a.add())
			<-gate.arrived
			c.must(a.add())
			c.must(b.start())
			c.must(b.flush())
			c.must(b.close())
			close(gate.pass)
			if err := a.flush(); !errors.Is(err, storetest.ErrFault) {
				t.Fatalf("flush: %v", err)
			}
			a.close()
			c.uncontested()
		})
	}
}

// Closing right after an answer is no error, even if a batch entry is on its way into the control log.
func TestClosingWhileABatchEntryIsWritten(t *testing.T) {
	c := newMemoryCell(t)
	control, events := c.openLogs()
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	plain := c.locked
	g := newGate(storetest.OpCreate, "locked/"+testControl+"/commit/")
	var armed atomic.Bool
	locked := storetest.NewFaulty(plain)
	locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if armed.Load() {
			return g.of("locked/")(op, key)
		}
		return storetest.Pass
	})
	c.locked = locked
	control, events = c.openLogs()
	armed.Store(true)
	c.append(events, numbered(sourceA, 0, message(0, day)))
	<-g.arrived // the batch entry
	closed := make(chan error, 1)
	go func() { closed <- events.Close() }() // waits for the entry
	control.cancel()                         // what Close begins with
	close(g.pass)
	c.must(<-closed)
	c.must(control.Close())
	c.locked = plain
	control, events = c.openLogs()
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}
