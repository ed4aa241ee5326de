package log

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
)

// tb is what tests and property checks have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// cell is a cell's logs, in a directory of the test or in memory, with what a second process would find there.
type cell struct {
	t    tb
	dir  string               // "" in memory
	keys map[string][2]string // origin to skey, vkey

	// The stores, which a test may wrap or replace.
	locked, open store.Store
	payloadKeys  store.Keys

	change func(*EventsConfig)
	clock  func() time.Time
}

const (
	testLedger  = "test"
	testJur     = "eu"
	testControl = testLedger + "/" + testJur + "/control"
	testEvents  = testLedger + "/" + testJur + "/events/0"
)

// newCell makes a cell in a directory.
func newCell(t testing.TB) *cell {
	t.Helper()
	c := &cell{t: t, dir: t.TempDir()}
	c.must(store.MakeDir(c.temp()))
	c.must(store.InitDir(c.path(), c.temp(), rand.Reader))
	c.reopenStores()
	c.create()
	return c
}

// newMemoryCell makes a cell in memory.
func newMemoryCell(t tb) *cell {
	t.Helper()
	c := &cell{
		t: t, locked: newMemory("dir:memory:1", false), open: newMemory("dir:memory:1", true),
		payloadKeys: &memoryKeys{Keys: new(store.LocalKeys), keys: make(map[string]*store.PayloadKey)},
	}
	c.create()
	return c
}

func (c *cell) create() {
	c.t.Helper()
	c.makeKeys()
	c.createLogs()
}

func (c *cell) makeKeys() {
	c.t.Helper()
	c.keys = make(map[string][2]string)
	for _, origin := range []string{testControl, testEvents} {
		skey, vkey, err := ledger.GenerateLogKey(rand.Reader, origin)
		c.must(err)
		c.keys[origin] = [2]string{skey, vkey}
	}
}

func (c *cell) createLogs() {
	c.t.Helper()
	for _, origin := range []string{testControl, testEvents} {
		c.must(Create(context.Background(), c.config(origin), ledger.StreamRef{}))
	}
}

func (c *cell) path() string { return filepath.Join(c.dir, "cell") }
func (c *cell) temp() string { return filepath.Join(c.dir, "tmp") }

func (c *cell) reopenStores() {
	c.t.Helper()
	stores, err := store.OpenCell(c.path(), c.temp())
	c.must(err)
	c.locked, c.open, c.payloadKeys = stores.Locked, stores.Open, stores.Keys
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) config(origin string) Config {
	signer, err := note.NewSigner(c.keys[origin][0])
	c.must(err)
	return Config{
		Origin: origin, Locked: c.locked, Open: c.open, Signer: signer, VKey: c.keys[origin][1],
		PublishEvery: time.Millisecond, Clock: c.clock,
	}
}

// openLogs opens the cell's logs as one process does.
func (c *cell) openLogs() (*Control, *Events) {
	c.t.Helper()
	control, events, err := c.tryOpen()
	c.must(err)
	return control, events
}

func (c *cell) tryOpen() (*Control, *Events, error) {
	ctx := context.Background()
	control, err := OpenControl(ctx, c.config(testControl), "test")
	if err != nil {
		return nil, nil, err
	}
	if err := c.init(control); err != nil {
		return nil, nil, errors.Join(err, control.Close())
	}
	writer, err := control.Start(ctx, "ledger", ledger.RoleWriter)
	if err != nil {
		return nil, nil, errors.Join(err, control.Close())
	}
	events, err := OpenEvents(ctx, c.eventsConfig(control, writer))
	if err != nil {
		return nil, nil, errors.Join(err, control.Close())
	}
	return control, events, nil
}

func (c *cell) closeLogs(control *Control, events *Events) {
	c.t.Helper()
	c.must(events.Close())
	c.must(control.Close())
}

// flushLogs publishes and binds everything.
func (c *cell) flushLogs(control *Control, events *Events) {
	c.t.Helper()
	c.must(events.Flush(context.Background()))
	c.must(control.Flush(context.Background()))
}

// awaitBound returns when a batch entry binds so many leaves: what a log does by itself takes its time.
func (c *cell) awaitBound(control *Control, size uint64) {
	c.t.Helper()
	var last custody.Batch
	for give := time.Now().Add(time.Minute); last.Size < size; runtime.Gosched() {
		if time.Now().After(give) {
			c.t.Fatalf("%d of %d leaves are bound after a minute", last.Size, size)
		}
		control.State(func(r *custody.Replay) { last, _ = r.LastBatch(testEvents) })
	}
}

// append gives messages to the log as a sender that waits for the answer.
func (c *cell) append(events *Events, messages []Message) []Result {
	c.t.Helper()
	results, err := events.Append(context.Background(), messages, true)
	c.must(err)
	if len(results) != len(messages) {
		c.t.Fatalf("%d results for %d messages", len(results), len(messages))
	}
	return results
}

// want checks what became of messages.
func (c *cell) want(results []Result, statuses ...Status) {
	c.t.Helper()
	if len(results) != len(statuses) {
		c.t.Fatalf("%d results, want %v", len(results), statuses)
	}
	for i, r := range results {
		if r.Status != statuses[i] {
			c.t.Fatalf("message %d: %+v, want statuses %v", i, r, statuses)
		}
	}
}

func (c *cell) eventsConfig(control *Control, writer *Component) EventsConfig {
	cfg := EventsConfig{Config: c.config(testEvents), Keys: c.payloadKeys, Control: writer, Jurisdiction: testJur, Age: time.Millisecond}
	control.State(func(r *custody.Replay) {
		if last, ok := r.LastBatch(testEvents); ok {
			cfg.LastBatch = &last
		}
	})
	if c.change != nil {
		c.change(&cfg)
	}
	return cfg
}

// init writes the first entry, once.
func (c *cell) init(control *Control) error {
	if control.Size() > 0 {
		return nil
	}
	ctx := context.Background()
	doc := ledger.PolicyDocument{
		Ledger: testLedger, Jurisdiction: testJur, Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs:     []ledger.PolicyLog{{Origin: testControl, VKey: c.keys[testControl][1]}, {Origin: testEvents, VKey: c.keys[testEvents][1]}},
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter}},
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	if err != nil {
		return err
	}
	hash, err := doc.Hash()
	if err != nil {
		return err
	}
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	if err := store.Ensure(ctx, c.locked, store.Object{Key: testControl + "/" + key, Data: raw}); err != nil {
		return err
	}
	m, err := control.Init(ctx)
	if err != nil {
		return err
	}
	_, err = m.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: control.Clock().UnixMilli()})
	return err
}

// message makes a small event. n tells events apart.
func message(n int, at time.Time) Message { return messageWith(n, at, "Op") }

func messageWith(n int, at time.Time, operation string) Message {
	uid := fmt.Sprintf("aws:111122223333:%08d", n)
	event := fmt.Sprintf(`{"api":{"operation":%q},"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":"%s"},"raw_data":"{}","time":%d}`, operation, uid, at.UnixMilli())
	return Message{UID: uid, Time: at.UnixMilli(), Region: "aws:eu-central-1", Class: "default", Event: []byte(event)}
}

// numbered gives messages the numbers of one source.
func numbered(s Source, from uint64, messages ...Message) []Message {
	for i := range messages {
		messages[i].Source, messages[i].Seq = s, from+uint64(i)
	}
	return messages
}

func some(from, n int, at time.Time) (list []Message) {
	for i := range n {
		list = append(list, message(from+i, at))
	}
	return list
}

var (
	sourceA = Source{Collector: "collector", Epoch: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
	sourceB = Source{Collector: "collector", Epoch: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}
)

// day is when test events happen: later than the real clock under which a test's commit 0 is made, since the times of
// commits never fall.
var day = time.Date(2126, 3, 1, 12, 0, 0, 0, time.UTC)

// handClock is a clock that a test moves.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (h *handClock) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *handClock) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// at gives the cell a clock that stands still until the test moves it.
func (c *cell) at(start time.Time) *handClock {
	clock := &handClock{now: start}
	c.clock = clock.Now
	return clock
}
