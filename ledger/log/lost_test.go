package log

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store/storetest"
)

// file is the path of an object of the events log.
func (c *cell) file(store, key string) string {
	return filepath.Join(c.path(), store, filepath.FromSlash(testEvents), filepath.FromSlash(key))
}

// commitFile is the path of a commit of the events log.
func (c *cell) commitFile(seq uint64) string { return c.file("locked", ledger.CommitKey(seq)) }

// rewrite changes a file that the store would never change.
func (c *cell) rewrite(path string, change func([]byte) []byte) {
	c.t.Helper()
	data, err := os.ReadFile(path)
	c.must(err)
	changed := change(bytes.Clone(data))
	if bytes.Equal(data, changed) {
		c.t.Fatalf("%s: nothing was changed", path)
	}
	c.must(os.Remove(path))
	c.must(os.WriteFile(path, changed, 0o644))
}

func replaced(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

// unpublished commits more without publishing it, as a writer does that is killed in between.
func (c *cell) unpublished(s Source, from uint64, messages ...Message) {
	c.t.Helper()
	open := c.open
	broken := storetest.NewFaulty(open)
	broken.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if (op == storetest.OpCreate || op == storetest.OpReplace) && strings.HasPrefix(key, testEvents) {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	c.open = broken
	control, events := c.openLogs()
	for i, m := range messages {
		c.append(events, numbered(s, from+uint64(i), m))
	}
	c.must(events.Close())
	c.must(control.Close())
	c.open = open
}

// A full tile that is lost does not keep the log from going on; a proof that needs it fails and says so.
func TestLostFullTile(t *testing.T) {
	c := newCell(t)
	control, events := c.openLogs()
	c.append(events, numbered(sourceA, 0, some(0, 300, day)...))
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.must(os.Remove(c.file("open", "tile/0/000")))
	control, events = c.openLogs()
	c.append(events, numbered(sourceA, 300, message(300, day)))
	c.flushLogs(control, events)
	if _, _, err := events.Reader().Proof(t.Context(), 299, 301); err != nil {
		t.Errorf("a proof beside the lost tile: %v", err)
	}
	if _, _, err := events.Reader().Proof(t.Context(), 7, 301); err == nil || !strings.Contains(err.Error(), "tile/0/000") {
		t.Errorf("a proof that needs the lost tile: %v", err)
	}
	c.closeLogs(control, events)
	c.must(os.RemoveAll(c.file("open", "")))
	control, events = c.openLogs()
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// A log is bound to its folder and to its key; what is wrong is said with what to do about it.
func TestFoldersAndKeys(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *cell)
		want   []string
	}{
		{"as it was", func(*cell) {}, nil},
		{"a copied directory", func(c *cell) {
			old := c.path()
			c.dir = filepath.Join(c.dir, "copy")
			c.must(os.MkdirAll(c.temp(), 0o755))
			c.must(os.CopyFS(c.path(), os.DirFS(old)))
			c.must(os.Chmod(filepath.Join(c.path(), "keys", "kek.json"), 0o600))
		}, []string{"a copy", "domicile log adopt", "never do so while the original may still be written to"}},
		{"a moved directory", func(c *cell) {
			old := c.path()
			c.dir = filepath.Join(c.dir, "moved")
			c.must(os.MkdirAll(c.temp(), 0o755))
			c.must(os.Rename(old, c.path()))
		}, nil},
		{"a signer that is not the key's", func(c *cell) {
			skey, _, err := ledger.GenerateLogKey(rand.Reader, testEvents)
			c.must(err)
			c.keys[testEvents] = [2]string{skey, c.keys[testEvents][1]}
		}, []string{"does not belong to", "restore the log's key"}},
		{"a checkpoint that another key signed", func(c *cell) {
			skey, _, err := ledger.GenerateLogKey(rand.Reader, testEvents)
			c.must(err)
			own := c.keys[testEvents]
			c.keys[testEvents] = [2]string{skey, own[1]}
			signed, err := ledger.SignCheckpoint(ledger.Checkpoint{Origin: testEvents, Size: 1}, c.config(testEvents).Signer)
			c.must(err)
			c.keys[testEvents] = own
			c.rewrite(c.file("open", "checkpoint"), func([]byte) []byte { return signed })
		}, []string{"events/0/checkpoint", "remove the open folder of this log"}},
		{"a damaged checkpoint", func(c *cell) { c.rewrite(c.file("open", "checkpoint"), func(b []byte) []byte { return b[:20] }) },
			[]string{"events/0/checkpoint", "remove the open folder of this log"}},
		{"a commit is missing before the newest", func(c *cell) { c.must(os.Remove(c.commitFile(3))) },
			[]string{"commit/00000000000000000003", "is missing, restore it"}},
		{"a header in another spelling", func(c *cell) { c.rewrite(c.commitFile(4), replaced(`"hits":0`, `"hits": 0`)) },
			[]string{"commit/00000000000000000004", "one encoding"}},
		{"a commit of another place", func(c *cell) {
			data, err := os.ReadFile(c.commitFile(3))
			c.must(err)
			c.rewrite(c.commitFile(4), func([]byte) []byte { return data })
		}, []string{"commit/00000000000000000004: holds commit 3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCell(t)
			control, events := c.openLogs()
			for i := range 2 {
				c.append(events, numbered(sourceA, uint64(i), message(i, day)))
				c.flushLogs(control, events)
			}
			c.closeLogs(control, events)
			c.unpublished(sourceA, 2, message(2, day), message(3, day))
			test.change(c)
			c.reopenStores()
			before := len(c.objects(c.locked, testEvents)) + len(c.objects(c.open, testEvents))
			events, err := OpenEvents(t.Context(), EventsConfig{Config: c.config(testEvents), Keys: c.payloadKeys, LastBatch: c.lastBatch()})
			if test.want == nil {
				c.must(err)
				c.must(events.Close())
				return
			}
			if err == nil {
				events.Close()
				t.Fatal("the log was opened")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, which lacks %q", err, want)
				}
			}
			if after := len(c.objects(c.locked, testEvents)) + len(c.objects(c.open, testEvents)); after != before {
				t.Errorf("%d objects where %d were", after, before)
			}
			if test.name == "a copied directory" {
				if _, err := OpenControl(t.Context(), c.config(testControl), "test"); err == nil || !strings.Contains(err.Error(), "a copy") {
					t.Errorf("the control log of the copy: %v", err)
				}
			}
		})
	}
}

// lastBatch is what the control log binds last, read without writing to it.
func (c *cell) lastBatch() *custody.Batch {
	c.t.Helper()
	reader, err := NewReader(c.config(testControl), nil)
	c.must(err)
	head, err := reader.Head(context.Background())
	c.must(err)
	replay := custody.NewReplay(testControl)
	c.must(ReplayControl(context.Background(), reader, replay, head.Seq))
	if last, ok := replay.LastBatch(testEvents); ok {
		return &last
	}
	return nil
}

func TestCreate(t *testing.T) {
	c := newCell(t)
	object, err := os.ReadFile(c.commitFile(0))
	c.must(err)
	c.must(Create(t.Context(), c.config(testEvents), ledger.StreamRef{})) // an interrupted init is completed
	if again, err := os.ReadFile(c.commitFile(0)); err != nil || !bytes.Equal(again, object) {
		t.Errorf("creating the log once more changed commit 0 (%v)", err)
	}
	skey, vkey, err := ledger.GenerateLogKey(rand.Reader, testEvents)
	c.must(err)
	own := c.keys[testEvents]
	c.keys[testEvents] = [2]string{skey, vkey}
	if err := Create(t.Context(), c.config(testEvents), ledger.StreamRef{}); err == nil || !strings.Contains(err.Error(), "restore its key") {
		t.Errorf("creating it with another key: %v", err)
	}
	c.keys[testEvents] = own
}

// Readers need no writer, and are not confused by one.
func TestReaderBesideAWriter(t *testing.T) {
	c := newMemoryCell(t)
	c.change = func(cfg *EventsConfig) { cfg.Age = time.Nanosecond }
	control, events := c.openLogs()
	reader, err := NewReader(c.config(testEvents), c.payloadKeys)
	c.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			if _, err := events.Append(context.Background(), numbered(sourceA, uint64(i), message(i, day)), true); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		head, err := reader.Head(t.Context())
		if err != nil {
			t.Error(err)
			break
		}
		if head.Size == 0 {
			continue
		}
		if _, err := reader.Record(t.Context(), head.Size-1); err != nil {
			t.Error(err)
			break
		}
	}
	<-done
	c.flushLogs(control, events)
	c.closeLogs(control, events)
	c.settled()
}

// The newest size may have been published in part. The next writer publishes it before anything larger, although commits
// come first.
func TestInterruptedPublicationIsNotSkipped(t *testing.T) {
	c := newMemoryCell(t)
	archiving := storetest.NewFaulty(c.locked)
	cfg := c.config(testControl)
	cfg.Locked = archiving
	archiving.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpCreate && strings.Contains(key, "/"+ledger.CheckpointPrefix) {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	w, err := openWriter(t.Context(), cfg)
	c.must(err)
	c.must(w.commit(t.Context(), ledger.Header{}, [][]byte{[]byte("a"), []byte("b"), []byte("c")}, nil))
	if err := w.pub.publish(t.Context()); !errors.Is(err, storetest.ErrFault) {
		t.Fatalf("publish: %v", err)
	}
	w, err = openWriter(t.Context(), c.config(testControl))
	c.must(err)
	c.must(w.commit(t.Context(), ledger.Header{}, [][]byte{[]byte("d")}, nil))
	c.must(w.pub.publish(t.Context()))
	for _, size := range []uint64{3, 4} {
		if _, _, err := c.locked.Get(t.Context(), testControl+"/"+ledger.ArchiveKey(size)); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
}
