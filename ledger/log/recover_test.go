package log

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
)

// ruin is a cell in memory whose objects a test takes away or changes. Its events log has four commits with leaves, of
// 1, 3, 300 and 2, all published and bound.
type ruin struct {
	*cell
	locked, open map[string][]byte
	sent         []Message
}

func newRuin(t *testing.T) *ruin {
	c := newMemoryCell(t)
	r := &ruin{cell: c, locked: c.locked.(*memory).objects, open: c.open.(*memory).objects}
	control, events := c.openLogs()
	for _, n := range []int{1, 3, 300, 2} {
		list := numbered(sourceA, uint64(len(r.sent)), some(len(r.sent), n, day)...)
		r.sent = append(r.sent, slices.Clone(list)...)
		c.append(events, list)
		c.flushLogs(control, events)
	}
	c.closeLogs(control, events)
	return r
}

// below lists the keys of a store that begin like this, in order.
func below(objects map[string][]byte, prefix string) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

func remove(objects map[string][]byte, keys ...string) {
	for _, key := range keys {
		delete(objects, key)
	}
}

// dropLast removes the newest n objects below a prefix.
func dropLast(objects map[string][]byte, prefix string, n int) {
	keys := below(objects, prefix)
	remove(objects, keys[len(keys)-n:]...)
}

// goesOn opens the logs, adds an event and settles everything.
func (r *ruin) goesOn() {
	r.t.Helper()
	control, events := r.openLogs()
	list := numbered(sourceA, uint64(len(r.sent)), message(len(r.sent), day))
	r.want(r.append(events, list), Committed)
	r.sent = append(r.sent, list...)
	for i, result := range r.append(events, numbered(sourceB, 0, slices.Clone(r.sent)...)) {
		if result.Status != Duplicate || result.Index != uint64(i) {
			r.t.Fatalf("event %d again: %+v", i, result)
		}
	}
	r.flushLogs(control, events)
	r.closeLogs(control, events)
	if h := r.settled(); len(h.records) != len(r.sent) {
		r.t.Fatalf("%d records of %d events", len(h.records), len(r.sent))
	}
}

// What is derived can be lost: it is made again from the commits.
func TestOpenStoreIsMadeAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(r *ruin, origin string)
	}{
		{"nothing is lost", func(*ruin, string) {}},
		{"all of it", func(r *ruin, origin string) { remove(r.open, below(r.open, origin+"/")...) }},
		{"the checkpoint", func(r *ruin, origin string) { delete(r.open, origin+"/checkpoint") }},
		{"all tiles", func(r *ruin, origin string) { remove(r.open, below(r.open, origin+"/tile/")...) }},
		{"all hash tiles", func(r *ruin, origin string) { remove(r.open, below(r.open, origin+"/tile/0/")...) }},
		{"all bundles", func(r *ruin, origin string) { remove(r.open, below(r.open, origin+"/tile/entries/")...) }},
		{"the newest tile", func(r *ruin, origin string) { dropLast(r.open, origin+"/tile/0/", 1) }},
		{"archived checkpoints that were not put in place", func(r *ruin, origin string) {
			size := below(r.locked, origin+"/checkpoints/")[0]
			r.open[origin+"/checkpoint"] = r.locked[size]
		}},
	} {
		for _, origin := range []string{testEvents, testControl} {
			t.Run(test.name+"/"+origin, func(t *testing.T) {
				r := newRuin(t)
				test.lose(r, origin)
				r.goesOn()
			})
		}
	}
}

// A tile that is damaged is never written over. The error says what to do, and doing it helps.
func TestDamagedTilesAreMadeAgainOnceRemoved(t *testing.T) {
	for _, folder := range []string{"/tile/0/", "/tile/entries/"} {
		t.Run(folder, func(t *testing.T) {
			r := newRuin(t)
			keys := below(r.open, testEvents+folder)
			key := keys[len(keys)-1]
			r.open[key] = bytes.Clone(r.open[key])
			r.open[key][len(r.open[key])-1] ^= 1
			control, events, err := r.tryOpen()
			if err == nil {
				err = errors.Join(events.Flush(t.Context()), events.pub.publish(t.Context()))
				r.closeLogs(control, events)
			}
			if err != nil && !strings.Contains(err.Error(), "remove the open folder of this log, start again") {
				t.Fatalf("the error does not say what to do: %v", err)
			}
			if err == nil && folder == "/tile/0/" {
				t.Fatal("nobody noticed")
			}
			remove(r.open, below(r.open, testEvents+"/")...)
			r.goesOn()
		})
	}
}

// Without the payloads (or their keys) repeats cannot be recognized, so appending waits. The tree needs commits only.
func TestPayloadsAreHidden(t *testing.T) {
	for name, hide := range map[string]func(r *ruin) (back func()){
		"payloads": func(r *ruin) func() {
			hidden := make(map[string][]byte)
			for _, key := range below(r.locked, testEvents+"/payload/") {
				hidden[key] = r.locked[key]
				delete(r.locked, key)
			}
			return func() { maps.Copy(r.locked, hidden) }
		},
		"keys": func(r *ruin) func() {
			there := r.payloadKeys.(*memoryKeys)
			hidden := there.keys
			there.keys = make(map[string]*store.PayloadKey)
			return func() { there.keys = hidden }
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuin(t)
			remove(r.open, below(r.open, testEvents+"/")...)
			back := hide(r)
			control, events := r.openLogs()
			r.must(events.pub.publish(t.Context()))
			cp, _, err := events.Reader().Checkpoint(t.Context())
			r.must(err)
			if cp.Size != uint64(len(r.sent)) {
				t.Fatalf("published %d of %d", cp.Size, len(r.sent))
			}
			list := numbered(sourceB, 0, message(5, day), message(1000, day))
			for range 2 {
				_, err := events.Append(t.Context(), slices.Clone(list), true)
				if !errors.Is(err, errNoWindow) || !strings.Contains(err.Error(), "appending waits") || !strings.Contains(err.Error(), "payload") {
					t.Fatalf("appending: %v", err)
				}
			}
			r.cell.locked.(*memory).mu.Lock()
			back()
			r.cell.locked.(*memory).mu.Unlock()
			r.want(r.append(events, list), Duplicate, Committed)
			r.flushLogs(control, events)
			r.closeLogs(control, events)
			r.settled()
		})
	}
}

// signed is a checkpoint with the log's key.
func (r *ruin) signed(origin string, size uint64, root ledger.Hash) []byte {
	r.t.Helper()
	data, err := ledger.SignCheckpoint(ledger.Checkpoint{Origin: origin, Size: size, Root: root}, r.config(origin).Signer)
	r.must(err)
	return data
}

// What is signed is never taken back, and nothing goes on beside it: the log does not open, and says why and what to do.
func TestRefusesToFork(t *testing.T) {
	commits, archived := testEvents+"/commit/", testEvents+"/checkpoints/"
	const restore = "commits are missing, refusing to start; restore them"
	noOpen := func(r *ruin) { remove(r.open, below(r.open, testEvents+"/")...) }
	alter := func(r *ruin, key, old, with string) {
		if !bytes.Contains(r.locked[key], []byte(old)) {
			r.t.Fatalf("%s has no %s", key, old)
		}
		r.locked[key] = bytes.Replace(r.locked[key], []byte(old), []byte(with), 1)
	}
	for _, test := range []struct {
		name string
		do   func(r *ruin)
		want []string
	}{
		{"the checkpoint is ahead of the commits", func(r *ruin) {
			dropLast(r.locked, commits, 1)
			dropLast(r.locked, archived, 1)
		}, []string{"/checkpoint is signed for 306 leaves, the commits hold 304", restore}},
		{"an archived checkpoint is ahead", func(r *ruin) {
			dropLast(r.locked, commits, 1)
			noOpen(r)
		}, []string{"/checkpoints/00000000000000000306 is signed for 306 leaves, the commits hold 304", restore}},
		{"an archived checkpoint is ahead of the one in place", func(r *ruin) {
			dropLast(r.locked, commits, 1)
			keys := below(r.locked, archived)
			r.open[testEvents+"/checkpoint"] = r.locked[keys[len(keys)-2]]
		}, []string{"/checkpoints/00000000000000000306 is signed for 306 leaves", restore}},
		{"a batch entry is ahead", func(r *ruin) {
			dropLast(r.locked, commits, 1)
			dropLast(r.locked, archived, 1)
			noOpen(r)
		}, []string{"the control log binds commit 4 with 306 leaves, the commits end at 3 with 304", restore}},
		{"all commits are gone", func(r *ruin) { remove(r.locked, below(r.locked, commits)...) },
			[]string{"commit 0 is missing", "run domicile init"}},
		{"a commit is missing before the newest", func(r *ruin) {
			keys := below(r.locked, commits)
			delete(r.locked, keys[2])
			delete(r.locked, keys[4])
		}, []string{"commit 2 is missing but", "restore the missing commits first"}},
		{"a commit that was published is missing, and so is the tree", func(r *ruin) {
			delete(r.locked, below(r.locked, commits)[3])
			noOpen(r)
		}, []string{"/commit/00000000000000000003"}},
		{"the newest header says another time", func(r *ruin) {
			alter(r, below(r.locked, commits)[4], `"duplicates":0`, `"duplicates":1`)
		}, []string{"commit 4 is not the one that the control log binds", "refusing to start"}},
		{"an older header says something else, and the tree is gone", func(r *ruin) {
			alter(r, below(r.locked, commits)[2], `"duplicates":0`, `"duplicates":1`)
			noOpen(r)
		}, []string{"commit 3 does not follow commit 2"}},
		{"an older leaf is another one, and the tree is gone", func(r *ruin) {
			alter(r, below(r.locked, commits)[2], "aws:eu-central-1", "aws:eu-central-2")
			noOpen(r)
		}, []string{"commit 2 says root", "its leaves give"}},
		{"a commit lies at another's key", func(r *ruin) {
			keys := below(r.locked, commits)
			r.locked[keys[4]] = r.locked[keys[3]]
		}, []string{"/commit/00000000000000000004: holds commit 3 of"}},
		{"the checkpoint has another root", func(r *ruin) {
			r.open[testEvents+"/checkpoint"] = r.signed(testEvents, 306, ledger.Hash{1})
		}, []string{"the log and its signature disagree, refusing to go on"}},
		{"an archived checkpoint has another root", func(r *ruin) {
			r.locked[archived+"00000000000000000306"] = r.signed(testEvents, 306, ledger.Hash{1})
			noOpen(r)
		}, []string{"/checkpoints/00000000000000000306", "the log and its signature disagree, refusing to go on"}},
		{"the checkpoint is of a size that no commit reaches", func(r *ruin) {
			r.open[testEvents+"/checkpoint"] = r.signed(testEvents, 305, ledger.Hash{1})
		}, []string{"no commit reaches the published size 305"}},
		{"another key", func(r *ruin) { r.anotherKey() }, []string{"restore its key"}},
		{"another key, and nothing in the open store", func(r *ruin) {
			r.anotherKey()
			noOpen(r)
		}, []string{"restore its key"}},
		{"a copied directory", func(r *ruin) {
			copied := newMemory("dir:memory:2", false)
			copied.objects = r.locked
			r.cell.locked = copied
		}, []string{"was written in store dir:memory:1, this is dir:memory:2, a copy", "run domicile log adopt", "never do so while the original may still be written to"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRuin(t)
			test.do(r)
			before := []map[string][]byte{maps.Clone(r.locked), maps.Clone(r.open)}
			err := r.openAlone()
			if err == nil {
				t.Fatal("it opens")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: does not say %q", err, part)
				}
			}
			for i, now := range []map[string][]byte{r.locked, r.open} {
				for key, data := range now {
					// Tiles of what is committed and agrees with its archived checkpoint may be there again.
					if !bytes.Equal(before[i][key], data) && !strings.Contains(key, "/tile/") {
						t.Errorf("%s was written", key)
					}
				}
			}
		})
	}
}

// openAlone opens the events log, with what the control log says of its last batch.
func (r *ruin) openAlone() error {
	r.t.Helper()
	cfg := EventsConfig{Config: r.config(testEvents), Keys: r.payloadKeys}
	reader, err := NewReader(r.config(testControl), nil)
	r.must(err)
	head, err := reader.Head(r.t.(*testing.T).Context())
	r.must(err)
	replay := custody.NewReplay(testControl)
	r.must(ReplayControl(r.t.(*testing.T).Context(), reader, replay, head.Seq))
	last, ok := replay.LastBatch(testEvents)
	if !ok {
		r.t.Fatal("no batch entry")
	}
	cfg.LastBatch = &last
	events, err := OpenEvents(r.t.(*testing.T).Context(), cfg)
	if err != nil {
		return err
	}
	return events.Close()
}

func (r *ruin) anotherKey() {
	r.t.Helper()
	skey, vkey, err := ledger.GenerateLogKey(rand.Reader, testEvents)
	r.must(err)
	r.keys[testEvents] = [2]string{skey, vkey}
}

// Before anything is published only commit 0 says whose log it is.
func TestRefusesAnotherKeyBeforeTheFirstCheckpoint(t *testing.T) {
	r := &ruin{cell: newMemoryCell(t)}
	r.anotherKey()
	events, err := OpenEvents(t.Context(), EventsConfig{Config: r.config(testEvents), Keys: r.payloadKeys})
	if err == nil {
		events.Close()
		t.Fatal("it opens, and would publish with a key that commit 0 does not name")
	}
}
