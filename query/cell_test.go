package query

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
	"domicile.dev/domicile/query/index"
)

// world is one jurisdiction's cell with real logs in a directory, and an index in memory.
type world struct {
	t       testing.TB
	name    string
	vkeys   map[string]string
	configs map[string]log.Config
	locked  *storetest.Faulty
	open    *storetest.Faulty
	keys    store.Keys
	control *log.Control
	gateway *log.Component
	events  *log.Events
	index   *fakeIndex
	cell    *Cell
	next    uint64 // message number
}

// publishEvery is short, so that tests need not wait; a benchmark of accesses would measure publications then.
var publishEvery = time.Millisecond

const testEpoch = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// newWorld makes a cell. change, if given, is applied to what the cell is made of.
func newWorld(t testing.TB, jurisdiction string, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, name: jurisdiction, vkeys: make(map[string]string), configs: make(map[string]log.Config), index: new(fakeIndex)}
	dir := t.TempDir()
	folder, temp := filepath.Join(dir, "cell"), filepath.Join(dir, "tmp")
	w.must(store.MakeDir(temp))
	w.must(store.InitDir(folder, temp, rand.Reader))
	stores, err := store.OpenCell(folder, temp)
	w.must(err)
	w.locked, w.open, w.keys = storetest.NewFaulty(stores.Locked), storetest.NewFaulty(stores.Open), stores.Keys
	control, events := w.config(w.controlOrigin()), w.config(w.eventsOrigin())
	for _, cfg := range []log.Config{control, events} {
		w.must(log.Create(t.Context(), cfg, ledger.StreamRef{}))
	}
	w.control, err = log.OpenControl(t.Context(), control, "test")
	w.must(err)
	w.declare()
	writer, err := w.control.Start(t.Context(), "ledger", ledger.RoleWriter)
	w.must(err)
	w.gateway, err = w.control.Start(t.Context(), "gateway", ledger.RoleGateway)
	w.must(err)
	w.events, err = log.OpenEvents(t.Context(), log.EventsConfig{
		Config: events, Keys: w.keys, Control: writer, Jurisdiction: jurisdiction, Age: time.Millisecond, Skew: 1000 * time.Hour,
	})
	w.must(err)
	cfg := Config{
		Jurisdiction: jurisdiction, Control: w.control, Gateway: w.gateway, Keys: w.keys, Open: w.open,
		Shards: []Shard{{Reader: w.reader(w.eventsOrigin()), Flush: w.events.Flush}},
		Index:  func() (Searcher, error) { return w.index, nil },
	}
	for _, f := range change {
		f(&cfg)
	}
	w.cell, err = NewCell(cfg)
	w.must(err)
	t.Cleanup(func() {
		w.cell.Close()
		w.events.Close()
		w.control.Close()
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) controlOrigin() string { return ledger.ControlOrigin("test", w.name) }
func (w *world) eventsOrigin() string  { return ledger.EventsOrigin("test", w.name, 0) }

func (w *world) config(origin string) log.Config {
	skey, vkey, err := ledger.GenerateLogKey(rand.Reader, origin)
	w.must(err)
	signer, err := note.NewSigner(skey)
	w.must(err)
	w.vkeys[origin] = vkey
	w.configs[origin] = log.Config{
		Origin: origin, Locked: w.locked, Open: w.open, Signer: signer, VKey: vkey, PublishEvery: publishEvery,
	}
	return w.configs[origin]
}

// reader reads a log as another process would.
func (w *world) reader(origin string) *log.Reader {
	r, err := log.NewReader(log.Config{Origin: origin, Locked: w.locked, Open: w.open, VKey: w.vkeys[origin]}, w.keys)
	w.must(err)
	return r
}

// declare writes the policy.
func (w *world) declare() {
	ctx := w.t.Context()
	doc := ledger.PolicyDocument{
		Ledger: "test", Jurisdiction: w.name, Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs: []ledger.PolicyLog{{Origin: w.controlOrigin(), VKey: w.vkeys[w.controlOrigin()]}, {Origin: w.eventsOrigin(), VKey: w.vkeys[w.eventsOrigin()]}},
		Emitters: []ledger.PolicyActor{
			{ID: "gateway", Role: ledger.RoleGateway}, {ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter},
		},
		Limits: ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	w.must(err)
	hash, err := doc.Hash()
	w.must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	w.must(store.Ensure(ctx, w.locked, store.Object{Key: w.controlOrigin() + "/" + key, Data: raw}))
	m, err := w.control.Init(ctx)
	w.must(err)
	_, err = m.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: w.control.Clock().UnixMilli()})
	w.must(err)
}

func uidFor(jurisdiction string, n uint64) string {
	return fmt.Sprintf("aws:111122223333:%s-%08d", jurisdiction, n)
}

func (w *world) uid(n uint64) string { return uidFor(w.name, n) }

// testHour is when test events happen.
var testHour = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// commit commits events at the times given, in ms after testHour, without waiting for their publication.
func (w *world) commit(times ...int64) {
	w.t.Helper()
	var list []log.Message
	for _, after := range times {
		at := testHour.UnixMilli() + after
		event := fmt.Sprintf(`{"actor":{"user":{"name":"user%d@example.com"}},"api":{"operation":"Op%d"},"class_uid":6003,`+
			`"cloud":{"account":{"uid":"111122223333"},"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":%q},"raw_data":"{}","time":%d}`,
			w.next%7, w.next%3, w.uid(w.next), at)
		list = append(list, log.Message{
			Source: log.Source{Collector: "collector", Epoch: testEpoch}, Seq: w.next,
			UID: w.uid(w.next), Time: at, Region: "aws:eu-central-1", Class: "default", Event: []byte(event),
		})
		w.next++
	}
	results, err := w.events.Append(context.Background(), list, true)
	w.must(err)
	for i, r := range results {
		if r.Status != log.Committed {
			w.t.Fatalf("event %d: %+v", i, r)
		}
	}
}

// add commits, publishes, binds and indexes events.
func (w *world) add(times ...int64) {
	w.t.Helper()
	w.commit(times...)
	w.flush()
	w.feed()
}

func (w *world) flush() {
	w.t.Helper()
	w.must(w.events.Flush(context.Background()))
	w.must(w.control.Flush(context.Background()))
}

// feed brings the index up to date.
func (w *world) feed() {
	w.t.Helper()
	ctx := context.Background()
	r := w.reader(w.eventsOrigin())
	head, err := r.Head(ctx)
	w.must(err)
	var rows []index.Row
	for seq := range head.Seq + 1 {
		w.must(r.Records(ctx, seq, func(at uint64, line []byte) error {
			rec, err := ledger.ParseRecord(line)
			if err != nil {
				return err
			}
			text, _ := rec.Field("/time")
			var when int64
			if _, err := fmt.Sscan(string(text), &when); err != nil {
				return err
			}
			rows = append(rows, index.Row{
				Position: index.Position{Time: when, Log: w.eventsOrigin(), Index: at}, UID: uidOf(rec), Record: bytes.Clone(line),
			})
			return nil
		}))
	}
	w.index.mu.Lock()
	defer w.index.mu.Unlock()
	w.index.rows, w.index.indexed = rows, uint64(len(rows))
}

// entries reads the whole control log from its commits.
func (w *world) entries() (raw [][]byte) {
	w.t.Helper()
	r := w.reader(w.controlOrigin())
	head, err := r.Head(context.Background())
	w.must(err)
	for seq := range head.Seq + 1 {
		commit, err := r.Commit(context.Background(), seq)
		w.must(err)
		raw = append(raw, commit.Leaves...)
	}
	return raw
}

// access is an intent with its report, as they stand in the control log.
type access struct {
	intent, done *ledger.AccessEntry
}

// accesses reads the accesses of the control log, by the index of their intent. The cell must have been closed.
func (w *world) accesses() map[uint64]*access {
	w.t.Helper()
	list := make(map[uint64]*access)
	for i, raw := range w.entries() {
		entry, err := ledger.ParseEntry(raw)
		w.must(err)
		e, ok := entry.(*ledger.AccessEntry)
		switch {
		case !ok || e.Emitter != "gateway":
		case e.Phase == ledger.AccessIntent:
			list[uint64(i)] = &access{intent: e}
		case list[*e.Of] == nil || list[*e.Of].done != nil:
			w.t.Errorf("entry %d reports intent %d, which is not open", i, *e.Of)
		default:
			list[*e.Of].done = e
		}
	}
	return list
}

// policy is what a verifier believes.
func (w *world) policy() []ledger.Policy {
	return []ledger.Policy{{Logs: []ledger.TrustedLog{{VKey: w.vkeys[w.controlOrigin()]}}, Quorum: "none"}}
}

// fakeIndex is an index in memory. Its text filter looks for a substring of the record; it knows the columns uid and
// operation.
type fakeIndex struct {
	mu      sync.Mutex
	rows    []index.Row
	indexed uint64
	err     error         // of the feed
	asked   int           // questions
	before  func() error  // called by every question, may fail it
	groups  []index.Group // answer of Stats
}

func (f *fakeIndex) ask() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.before != nil {
		return f.before()
	}
	return nil
}

// tamper changes the row of a leaf.
func (f *fakeIndex) tamper(at uint64, change func(*index.Row)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = slices.Clone(f.rows)
	for i := range f.rows {
		if f.rows[i].Index == at {
			change(&f.rows[i])
		}
	}
}

func (f *fakeIndex) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fakeIndex) snapshot() []index.Row {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rows)
}

func (f *fakeIndex) Search(ctx context.Context, filter index.Filter, p index.Page) ([]index.Row, error) {
	if err := f.ask(); err != nil {
		return nil, err
	}
	rows := f.snapshot()
	slices.SortFunc(rows, func(a, b index.Row) int { return descending(a.Position, b.Position) })
	var found []index.Row
	for _, r := range rows {
		if r.Index < p.Within[r.Log] && (p.After == nil || descending(*p.After, r.Position) < 0) &&
			strings.Contains(string(r.Record), filter.Text) && len(found) < p.Limit {
			found = append(found, r)
		}
	}
	return found, ctx.Err()
}

func (f *fakeIndex) ByUID(ctx context.Context, uid string) ([]index.Row, error) {
	if err := f.ask(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(f.snapshot(), func(r index.Row) bool { return r.UID != uid }), ctx.Err()
}

func (f *fakeIndex) At(ctx context.Context, log string, at uint64) (index.Row, bool, error) {
	if err := f.ask(); err != nil {
		return index.Row{}, false, err
	}
	for _, r := range f.snapshot() {
		if r.Log == log && r.Index == at {
			return r, true, nil
		}
	}
	return index.Row{}, false, ctx.Err()
}

func (f *fakeIndex) Stats(ctx context.Context, filter index.Filter, g index.Grouping) ([]index.Group, bool, error) {
	if err := f.ask(); err != nil {
		return nil, false, err
	}
	groups := f.groups[:min(len(f.groups), g.Limit)]
	return slices.Clone(groups), len(groups) < len(f.groups), ctx.Err()
}

func (f *fakeIndex) State(string) index.FeedState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return index.FeedState{Indexed: f.indexed, Err: f.err}
}

var alice = Asker{Principal: "os:alice", Role: "operator", Purpose: ledger.PurposeAudit}

var errAway = errors.New("away")
