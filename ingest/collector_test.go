package ingest_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ingest/streamtest"
)

// record is one CloudTrail record; without a time it is no event.
func record(id, region string, hasTime bool) string {
	when := ""
	if hasTime {
		when = `"eventTime":"2026-10-01T08:00:00Z",`
	}
	return `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/anna","accountId":"111122223333","userName":"anna"},` +
		when + `"eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"` + region +
		`","sourceIPAddress":"192.0.2.1","userAgent":"test","requestParameters":null,"responseElements":null,"eventID":"` + id +
		`","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`
}

func trail(records ...string) string { return `{"Records":[` + strings.Join(records, ",") + `]}` }

func zip(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// shard is a log that knows uids.
type shard struct {
	streamtest.Log
	mu     sync.Mutex
	leaves map[string]uint64
	reject map[string]bool // uids
}

func (s *shard) Append(ctx context.Context, batch []ingest.Message) ([]ingest.Receipt, error) {
	if _, err := s.Log.Append(ctx, batch); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var receipts []ingest.Receipt
	for _, m := range batch {
		i, repeat := s.leaves[m.UID]
		if !repeat {
			i = uint64(len(s.leaves))
			s.leaves[m.UID] = i
		}
		r := ingest.Receipt{Log: s.Origin, Index: i, Indexed: true}
		if repeat {
			r.Outcome = ingest.Duplicate
		}
		if s.reject[m.UID] {
			r = ingest.Receipt{Log: s.Origin, Outcome: ingest.Rejected}
			delete(s.leaves, m.UID)
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// site is an installation with the cells eu and us, collected by eu.
type site struct {
	store   *memory
	control *control
	shards  map[string]*shard // by cell
	epochs  int
	cells   []string
}

func newSite() *site {
	s := &site{store: &memory{}, control: &control{}, shards: map[string]*shard{}, cells: []string{"eu", "us"}}
	s.addCells()
	return s
}

func (s *site) addCells(more ...string) {
	s.cells = append(s.cells, more...)
	for _, cell := range s.cells {
		if s.shards[cell] == nil {
			s.shards[cell] = &shard{Log: streamtest.Log{Origin: "test/" + cell + "/events/0"}, leaves: map[string]uint64{}}
		}
	}
}

func (s *site) collector(t testing.TB, retry func(int, error) (time.Duration, bool)) *ingest.Collector {
	t.Helper()
	placer, err := ingest.NewPlacer(s.cells, "eu", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &ingest.Collector{Placer: placer, Streams: map[string]ingest.Stream{}, Quarantine: quarantine(s.store, s.control), Workers: 2}
	s.epochs++
	for cell, log := range s.shards {
		p, err := ingest.NewProducer(ingest.ProducerConfig{
			Collector: "laptop", Epoch: fmt.Sprintf("%032x", s.epochs), MaxMessages: 100, Retry: retry,
		}, log)
		if err != nil {
			t.Fatal(err)
		}
		c.Streams[cell] = p
		t.Cleanup(func() { p.Close() })
	}
	return c
}

func balanced(t *testing.T, s ingest.Summary) {
	t.Helper()
	if s.Events != s.Committed+s.Duplicates+s.Quarantined {
		t.Errorf("%d events in, but %d committed, %d duplicates, %d quarantined", s.Events, s.Committed, s.Duplicates, s.Quarantined)
	}
	var reasons, forms, places int64
	for _, n := range s.Reasons {
		reasons += n
	}
	for _, n := range s.Forms {
		forms += n
	}
	for _, p := range s.Places {
		places += p.Events
	}
	if reasons != s.Quarantined || forms != s.Events || places != s.Committed+s.Duplicates+s.Reasons[ingest.ReasonRejected] {
		t.Errorf("the parts do not add up: %+v", s)
	}
}

// delivery is ten files of 300 records each: of every ten one of Ireland, one of Virginia, one of London (no cell),
// one of a global service, one without a time, and one that is a repeat.
func delivery(t *testing.T) string {
	files := map[string]string{}
	for f := range 10 {
		var rs []string
		for i := range 300 {
			id := fmt.Sprintf("%08d-0000-4000-8000-%012d", f, i)
			switch i % 10 {
			case 0:
				rs = append(rs, record(id, "eu-west-1", true))
			case 1:
				rs = append(rs, record(id, "us-east-1", true))
			case 2:
				rs = append(rs, record(id, "eu-west-2", true))
			case 3:
				rs = append(rs, strings.Replace(record(id, "us-east-1", true), "ec2.amazonaws.com", "iam.amazonaws.com", 1))
			case 4:
				rs = append(rs, record(id, "eu-central-1", false))
			case 5:
				rs = append(rs, rs[len(rs)-5]) // Ireland again
			default:
				rs = append(rs, record(id, "eu-central-1", true))
			}
		}
		content := trail(rs...)
		if f%2 == 0 {
			content = zip(t, content)
		}
		files[fmt.Sprintf("%02d.json", f)] = content
	}
	return tree(t, files)
}

func TestEveryRecordIsCommittedRepeatedOrQuarantined(t *testing.T) {
	s := newSite()
	c := s.collector(t, nil)
	var progress []ingest.Progress
	c.Progress = func(p ingest.Progress) { progress = append(progress, p) }
	receipts := map[string]ingest.Receipt{}
	c.Receipts = func(uid string, r ingest.Receipt) {
		if _, again := receipts[uid]; again != (r.Outcome == ingest.Duplicate) {
			t.Errorf("%s: outcome %v", uid, r.Outcome)
		}
		receipts[uid] = r
	}
	sources := ingest.FindSources([]string{delivery(t)}, nil)
	sum, err := c.Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	if sum.Files != 10 || sum.Events != 3000 || sum.Duplicates != 300 || sum.Reasons["no_time"] != 300 || sum.Foreign["uk"] != 300 || sum.Committed != 2100 {
		t.Errorf("got %+v", sum)
	}
	if sum.Bytes != sources.Size {
		t.Errorf("read %d bytes of %d", sum.Bytes, sources.Size)
	}
	if got := len(s.shards["us"].leaves); got != 300 {
		t.Errorf("the cell us holds %d events, want the 300 of Virginia and none of the global service", got)
	}
	for uid, r := range receipts {
		cell := strings.Split(r.Log, "/")[1]
		if s.shards[cell].leaves[uid] != r.Index {
			t.Errorf("%s: the receipt says leaf %d", uid, r.Index)
		}
	}
	if len(receipts) != 2100 {
		t.Errorf("%d uids have a receipt, want 2100", len(receipts))
	}
	last := progress[len(progress)-1]
	if last.Bytes != sources.Size || last.Total != sources.Size || last.Events != 3000 {
		t.Errorf("the last progress is %+v", last)
	}
	if !slices.IsSortedFunc(progress, func(a, b ingest.Progress) int { return cmp.Compare(a.Events, b.Events) }) {
		t.Error("progress went back")
	}
}

func TestEventsKeepTheOrderOfTheirSources(t *testing.T) {
	s := newSite()
	if _, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{delivery(t)}, nil)); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, m := range s.shards["us"].Accepted() {
		uids = append(uids, m.UID)
	}
	if !slices.IsSorted(uids) {
		t.Error("events of the cell us left their order")
	}
}

func TestFeedingTwiceChangesNothing(t *testing.T) {
	s := newSite()
	sources := ingest.FindSources([]string{delivery(t)}, nil)
	if _, err := s.collector(t, nil).Run(t.Context(), sources); err != nil {
		t.Fatal(err)
	}
	items, entries := s.store.keys("item/"), len(s.control.entries)
	sum, err := s.collector(t, nil).Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	if sum.Committed != 0 || sum.Duplicates != 2400 || sum.Quarantined != 600 || sum.HeldBefore != 600 {
		t.Errorf("the second time: %+v", sum)
	}
	if !slices.Equal(items, s.store.keys("item/")) || len(s.control.entries) != entries {
		t.Errorf("the second time made new items or entries")
	}
}

func TestControlEntriesCountWhatIsDurable(t *testing.T) {
	s := newSite()
	s.control.before = func(e ingest.QuarantineEntry) {
		// This source's items are there before the entry that counts them.
		if got := len(s.store.keys("item/")); got < e.Count {
			t.Errorf("an entry counts %d items, %d are durable", e.Count, got)
		}
	}
	sources := ingest.FindSources([]string{delivery(t)}, nil)
	if _, err := s.collector(t, nil).Run(t.Context(), sources); err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for _, f := range sources.Files {
		ids[f.ID] = 0
	}
	sets := map[[32]byte]bool{}
	for _, e := range s.control.entries {
		want := map[string]string{"no_time": "", "foreign": "uk"}
		if foreign, ok := want[e.Reason]; !ok || e.Foreign != foreign || e.Count != 30 || e.Action != ingest.ActionHeld || e.Store != "dir:test" || e.Dest != "" {
			t.Errorf("entry %+v", e)
		}
		ids[e.Source]++
		sets[e.Set] = true
	}
	for id, n := range ids {
		if n != 2 {
			t.Errorf("%s has %d entries, want one for each reason", id, n)
		}
	}
	if len(ids) != 10 || len(sets) != 20 {
		t.Errorf("%d sources, %d sets", len(ids), len(sets))
	}
}

func TestOneBadFileDoesNotStopTheOthers(t *testing.T) {
	root := tree(t, map[string]string{
		"a.json": trail(record("a", "eu-central-1", true)),
		"b.json": zip(t, trail(record("b", "eu-central-1", true)))[:100],
		"c.json": trail(record("c", "eu-central-1", true)),
		"d.json": trail(record("d", "eu-central-1", true)),
	})
	unreadable := filepath.Join(root, "c.json")
	if err := os.Remove(unreadable); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(unreadable, unreadable); err != nil { // not even root can read it
		t.Fatal(err)
	}
	s := newSite()
	sum, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil))
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	var failed []string
	for _, f := range sum.Failed {
		failed = append(failed, filepath.Base(f.Source))
		if f.Err == nil || !strings.Contains(f.Error(), f.Source) {
			t.Errorf("the failure says %q", f.Error())
		}
	}
	if !slices.Equal(failed, []string{"b.json", "c.json"}) || sum.Files != 2 {
		t.Errorf("failed: %q, read to their end: %d", failed, sum.Files)
	}
	for _, id := range []string{"a", "d"} {
		if _, ok := s.shards["eu"].leaves["aws:111122223333:"+id]; !ok {
			t.Errorf("event %s is missing", id)
		}
	}
}

func TestSinkThatFailsAndRecoversLosesAndDoublesNothing(t *testing.T) {
	for name, persist := range map[string]bool{"nothing was persisted": false, "the answer was lost": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite()
			for _, log := range s.shards {
				log.Outcome = func(call int) streamtest.Outcome {
					if call%3 != 2 {
						return streamtest.Outcome{Persist: persist, Err: errors.New("bucket unavailable")}
					}
					return streamtest.Outcome{Persist: true}
				}
			}
			sum, err := s.collector(t, immediately).Run(t.Context(), ingest.FindSources([]string{delivery(t)}, nil))
			if err != nil {
				t.Fatal(err)
			}
			balanced(t, sum)
			if sum.Committed != 2100 || sum.Duplicates != 300 {
				t.Errorf("got %+v", sum)
			}
			for cell, log := range s.shards {
				for i, m := range log.Accepted() {
					if m.Seq != uint64(i) {
						t.Fatalf("cell %s: message %d has number %d", cell, i, m.Seq)
					}
				}
			}
		})
	}
}

func TestSinkThatStopsStopsTheRun(t *testing.T) {
	s := newSite()
	s.shards["us"].Outcome = func(int) streamtest.Outcome {
		return streamtest.Outcome{Err: fmt.Errorf("another writer took over: %w", ingest.ErrSinkStopped)}
	}
	_, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{delivery(t)}, nil))
	if !errors.Is(err, ingest.ErrSinkStopped) || !strings.Contains(err.Error(), "cell us") {
		t.Errorf("got %v", err)
	}
}

// Each step of the quarantine fails once, before or after it persisted. The run stops and says so; feeding again
// completes it without doubling.
func TestQuarantineThatFailsStopsTheRun(t *testing.T) {
	root := tree(t, map[string]string{"a.json": trail(
		record("1", "eu-central-1", false), record("2", "eu-west-2", true), record("3", "eu-central-1", true),
	)})
	disk := errors.New("no space left on device")
	for _, step := range []string{"item/", "group/", "recorded/", "entry"} {
		for _, persist := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persisted %v", step, persist), func(t *testing.T) {
				s := newSite()
				failed := false
				s.store.fail = func(_ int, key string) (bool, error) {
					if !failed && strings.HasPrefix(key, step) {
						failed = true
						return persist, disk
					}
					return true, nil
				}
				s.control.fail = func(int) error {
					if !failed && step == "entry" {
						failed = true
						return disk
					}
					return nil
				}
				sources := ingest.FindSources([]string{root}, nil)
				sum, err := s.collector(t, nil).Run(t.Context(), sources)
				if !errors.Is(err, disk) || !strings.Contains(err.Error(), "ingest stopped") {
					t.Fatalf("got %v, want the failure", err)
				}
				if step == "item/" && (sum.Quarantined != 0 || len(s.shards["eu"].Accepted()) != 0) {
					t.Errorf("went on after an item was not durable: %+v", sum)
				}
				if sum.Files != 0 {
					t.Error("a source was counted as done")
				}
				sum, err = s.collector(t, nil).Run(t.Context(), sources)
				if err != nil {
					t.Fatal(err)
				}
				balanced(t, sum)
				if items := s.store.keys("item/"); len(items) != 2 {
					t.Errorf("%d items, want 2", len(items))
				}
				entries := map[string]ingest.QuarantineEntry{}
				for _, e := range s.control.entries {
					if before, again := entries[e.Reason]; again && (step != "recorded/" || before != e) {
						t.Errorf("entries %+v and %+v", before, e) // a crash before the marker may repeat the same entry
					}
					entries[e.Reason] = e
				}
				if len(entries) != 2 || len(s.shards["eu"].leaves) != 1 {
					t.Errorf("%d entries, %d leaves, want 2 and 1", len(entries), len(s.shards["eu"].leaves))
				}
			})
		}
	}
}

func TestCanceledRunEndsAndCanBeRepeated(t *testing.T) {
	s := newSite()
	ctx, cancel := context.WithCancel(t.Context())
	s.shards["eu"].Outcome = func(call int) streamtest.Outcome {
		if call == 3 {
			cancel()
		}
		return streamtest.Outcome{Persist: true}
	}
	sources := ingest.FindSources([]string{delivery(t)}, nil)
	c := s.collector(t, nil)
	if _, err := c.Run(ctx, sources); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	for _, stream := range c.Streams {
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
	sum, err := s.collector(t, nil).Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	if got := len(s.shards["eu"].leaves) + len(s.shards["us"].leaves); got != 2100 {
		t.Errorf("%d leaves, want 2100", got)
	}
}

func TestReplayBringsHomeWhatACellWasMissingFor(t *testing.T) {
	s := newSite()
	root := tree(t, map[string]string{"a.json": trail(
		record("1", "eu-central-1", false), record("2", "eu-west-2", true), record("3", "eu-west-2", true),
	)})
	if _, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil)); err != nil {
		t.Fatal(err)
	}
	// Without the cell nothing changes.
	sum, err := s.collector(t, nil).Replay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	if sum.Events != 3 || sum.Quarantined != 3 || len(s.store.keys("released/")) != 0 {
		t.Errorf("without the cell: %+v", sum)
	}
	s.addCells("uk")
	if sum, err = s.collector(t, nil).Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	if sum.Committed != 2 || sum.Quarantined != 1 || len(s.shards["uk"].leaves) != 2 {
		t.Errorf("with the cell: %+v", sum)
	}
	e := s.control.entries[len(s.control.entries)-1]
	if e.Action != ingest.ActionRouted || e.Dest != "uk" || e.Count != 2 || e.Foreign != "uk" || e.Reason != ingest.ReasonForeign {
		t.Errorf("the last entry is %+v", e)
	}
	released := 0
	for held, err := range quarantine(s.store, s.control).List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if held.Released {
			released++
		}
	}
	if released != 2 {
		t.Errorf("%d items are marked as released, want 2", released)
	}
	// A third time there is nothing left but the record without a time.
	if sum, err = s.collector(t, nil).Replay(t.Context()); err != nil || sum.Events != 1 || len(s.shards["uk"].leaves) != 2 {
		t.Errorf("the third time: %+v, %v", sum, err)
	}
}

func TestReplayIntoTheOwnCellNamesNoDestination(t *testing.T) {
	s := newSite()
	// As an older normalizer would have left it: a reason that does not hold any more.
	q := quarantine(s.store, s.control)
	raw := record("1", "eu-central-1", true)
	if err := q.HoldOne(t.Context(), ingest.Item{Raw: []byte(raw), Header: ingest.ItemHeader{Reason: "unknown_form", Source: "stdin"}}); err != nil {
		t.Fatal(err)
	}
	sum, err := s.collector(t, nil).Replay(t.Context())
	if err != nil || sum.Committed != 1 {
		t.Fatalf("got %+v, %v", sum, err)
	}
	for i, want := range []ingest.QuarantineAction{ingest.ActionHeld, ingest.ActionReleased} {
		if e := s.control.entries[i]; e.Action != want || e.Dest != "" || e.Reason != "unknown_form" || e.Source != "stdin" || e.Count != 1 {
			t.Errorf("entry %d is %+v, want %s", i, e, want)
		}
	}
}

func TestEventThatTheLogRejectsIsCountedAsQuarantined(t *testing.T) {
	s := newSite()
	s.shards["eu"].reject = map[string]bool{"aws:111122223333:1": true}
	root := tree(t, map[string]string{"a.json": trail(record("1", "eu-central-1", true), record("2", "eu-central-1", true))})
	sum, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil))
	if err != nil || sum.Committed != 1 || sum.Quarantined != 1 || sum.Reasons[ingest.ReasonRejected] != 1 {
		t.Errorf("got %+v, %v", sum, err)
	}
}

func TestReplayedItemThatTheLogRejectsStays(t *testing.T) {
	s := newSite()
	s.addCells("uk")
	s.shards["uk"].reject = map[string]bool{"aws:111122223333:1": true}
	q := quarantine(s.store, s.control)
	if err := q.HoldOne(t.Context(), ingest.Item{Raw: []byte(record("1", "eu-west-2", true)), Header: ingest.ItemHeader{Reason: ingest.ReasonForeign, Foreign: "uk"}}); err != nil {
		t.Fatal(err)
	}
	sum, err := s.collector(t, nil).Replay(t.Context())
	if err != nil || sum.Quarantined != 1 || len(s.store.keys("released/")) != 0 || len(s.control.entries) != 1 {
		t.Errorf("got %+v, %v, released %q, %d entries", sum, err, s.store.keys("released/"), len(s.control.entries))
	}
}

func TestReplayOfNamedItems(t *testing.T) {
	s := newSite()
	root := tree(t, map[string]string{"a.json": trail(record("2", "eu-west-2", true), record("3", "eu-west-2", true))})
	if _, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil)); err != nil {
		t.Fatal(err)
	}
	s.addCells("uk")
	hash := strings.TrimPrefix(s.store.keys("item/")[1], "item/")
	sum, err := s.collector(t, nil).Replay(t.Context(), hash)
	if err != nil || sum.Committed != 1 {
		t.Errorf("got %+v, %v", sum, err)
	}
	if got := s.store.keys("released/"); len(got) != 1 || got[0] != "released/"+hash {
		t.Errorf("released %q", got)
	}
	if _, err := s.collector(t, nil).Replay(t.Context(), hex.EncodeToString(make([]byte, 32))); !errors.Is(err, ingest.ErrNoItem) {
		t.Errorf("an item that is not there: %v", err)
	}
}

func TestReplayThatIsCutShortRepeatsWithoutDoubling(t *testing.T) {
	for _, step := range []string{"group/", "recorded/", "released/"} {
		t.Run(step, func(t *testing.T) {
			s := newSite()
			root := tree(t, map[string]string{"a.json": trail(record("2", "eu-west-2", true))})
			if _, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil)); err != nil {
				t.Fatal(err)
			}
			s.addCells("uk")
			failed := false
			s.store.fail = func(_ int, key string) (bool, error) {
				if !failed && strings.HasPrefix(key, step) {
					failed = true
					return false, errors.New("disk")
				}
				return true, nil
			}
			if _, err := s.collector(t, nil).Replay(t.Context()); err == nil {
				t.Fatal("the failure was not reported")
			}
			sum, err := s.collector(t, nil).Replay(t.Context())
			if err != nil || sum.Duplicates != 1 || len(s.shards["uk"].leaves) != 1 || len(s.store.keys("released/")) != 1 {
				t.Errorf("got %+v, %v", sum, err)
			}
		})
	}
}

func TestCollectorWithoutAStreamForACellIsRefused(t *testing.T) {
	s := newSite()
	c := s.collector(t, nil)
	delete(c.Streams, "us")
	if _, err := c.Run(t.Context(), ingest.Sources{}); err == nil || !strings.Contains(err.Error(), "us") {
		t.Errorf("got %v", err)
	}
}

func TestRunOverNothingBalances(t *testing.T) {
	s := newSite()
	sum, err := s.collector(t, nil).Run(t.Context(), ingest.Sources{Skipped: []ingest.Skipped{{Name: "x", Reason: "empty"}}})
	if err != nil || sum.Events != 0 || len(sum.Skipped) != 1 {
		t.Errorf("got %+v, %v", sum, err)
	}
}
