package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
)

const (
	controlOrigin = "test/eu/control"
	eventsOrigin  = "test/eu/events/0"
)

// cell is a cell in a directory, written by the real writer.
type cell struct {
	t      testing.TB
	dir    string
	stores *store.Cell
	skeys  map[string]string
	vkeys  map[string]string
	next   int // number of the next event
}

func newCell(t testing.TB) *cell {
	t.Helper()
	c := &cell{t: t, dir: t.TempDir(), skeys: map[string]string{}, vkeys: map[string]string{}}
	c.must(store.MakeDir(c.temp()))
	c.must(store.InitDir(c.path(), c.temp(), rand.Reader))
	c.reopen()
	var err error
	for _, origin := range []string{controlOrigin, eventsOrigin} {
		c.skeys[origin], c.vkeys[origin], err = ledger.GenerateLogKey(rand.Reader, origin)
		c.must(err)
		c.must(log.Create(context.Background(), c.config(origin), ledger.StreamRef{}))
	}
	return c
}

func (c *cell) path() string { return filepath.Join(c.dir, "cell") }
func (c *cell) temp() string { return filepath.Join(c.dir, "tmp") }

// reopen opens the stores, anew if folders of theirs were taken away.
func (c *cell) reopen() {
	var err error
	c.stores, err = store.OpenCell(c.path(), c.temp())
	c.must(err)
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) config(origin string) log.Config {
	signer, err := note.NewSigner(c.skeys[origin])
	c.must(err)
	return log.Config{Origin: origin, Locked: c.stores.Locked, Open: c.stores.Open, Signer: signer, VKey: c.vkeys[origin], PublishEvery: time.Millisecond}
}

// session opens the logs, appends events in rounds of the sizes given, each of them published and bound, and closes.
func (c *cell) session(rounds ...int) {
	c.t.Helper()
	ctx := context.Background()
	control, err := log.OpenControl(ctx, c.config(controlOrigin), "test")
	c.must(err)
	if control.Size() == 0 {
		c.init(ctx, control)
	}
	writer, err := control.Start(ctx, "ledger", ledger.RoleWriter)
	c.must(err)
	cfg := log.EventsConfig{Config: c.config(eventsOrigin), Keys: c.stores.Keys, Control: writer, Age: time.Millisecond, BatchEvery: time.Nanosecond, Jurisdiction: "eu"}
	control.State(func(r *custody.Replay) {
		if last, ok := r.LastBatch(eventsOrigin); ok {
			cfg.LastBatch = &last
		}
	})
	events, err := log.OpenEvents(ctx, cfg)
	c.must(err)
	var epoch [16]byte
	rand.Read(epoch[:])
	source := log.Source{Collector: "collector", Epoch: fmt.Sprintf("%x", epoch)}
	seq := uint64(0)
	for _, n := range rounds {
		var messages []log.Message
		for range n {
			messages = append(messages, c.event(source, seq))
			seq++
		}
		_, err := events.Append(ctx, messages, true)
		c.must(err)
		c.must(events.Flush(ctx))
		c.must(control.Flush(ctx))
	}
	c.must(events.Close())
	c.must(control.Flush(ctx)) // or closing would interrupt a publication
	c.must(control.Close())
}

func (c *cell) event(source log.Source, seq uint64) log.Message {
	at := time.Now().UnixMilli()
	uid := fmt.Sprintf("aws:111122223333:%08d", c.next)
	c.next++
	event := fmt.Sprintf(`{"api":{"operation":"Op"},"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":"%s"},"raw_data":"{}","time":%d}`, uid, at)
	return log.Message{Source: source, Seq: seq, UID: uid, Time: at, Region: "aws:eu-central-1", Class: "default", Event: []byte(event)}
}

func (c *cell) init(ctx context.Context, control *log.Control) {
	doc := ledger.PolicyDocument{
		Ledger: "test", Jurisdiction: "eu", Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs:     []ledger.PolicyLog{{Origin: controlOrigin, VKey: c.vkeys[controlOrigin]}, {Origin: eventsOrigin, VKey: c.vkeys[eventsOrigin]}},
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter}},
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	c.must(err)
	hash, err := doc.Hash()
	c.must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	c.must(store.Ensure(ctx, c.stores.Locked, store.Object{Key: controlOrigin + "/" + key, Data: raw}))
	m, err := control.Init(ctx)
	c.must(err)
	_, err = m.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: time.Now().UnixMilli()})
	c.must(err)
	for _, origin := range []string{controlOrigin, eventsOrigin} {
		_, err = m.Append(ctx, &ledger.KeyEntry{Event: ledger.KeyCreate, Purpose: ledger.KeyLog, KID: strings.Split(c.vkeys[origin], "+")[1], VKey: c.vkeys[origin], Origin: origin})
		c.must(err)
	}
}

func (c *cell) policy(origin string) ledger.Policy {
	return ledger.Policy{Logs: []ledger.TrustedLog{{VKey: c.vkeys[origin]}}, Quorum: "none"}
}

func (c *cell) audit(opts audit.Options) *audit.Report {
	c.t.Helper()
	if opts.Policies == nil {
		opts.Policies = []ledger.Policy{c.policy(controlOrigin)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := audit.Audit(ctx, audit.Cell{Locked: audit.Dir(filepath.Join(c.path(), "locked")), Open: audit.Dir(filepath.Join(c.path(), "open"))}, opts)
	c.must(err)
	return r
}

// objects lists the files of the cell's stores, as locked/… and open/….
func (c *cell) objects() (names []string) {
	for _, s := range []string{"locked", "open"} {
		c.must(fs.WalkDir(os.DirFS(c.path()), s, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, name)
			}
			return err
		}))
	}
	return names
}

func (c *cell) read(name string) []byte {
	data, err := os.ReadFile(filepath.Join(c.path(), name))
	c.must(err)
	return data
}

// write puts a file in place of another, which may be read-only; nil removes it.
func (c *cell) write(name string, data []byte) {
	path := filepath.Join(c.path(), name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	if data != nil {
		c.must(os.MkdirAll(filepath.Dir(path), 0o755))
		c.must(os.WriteFile(path, data, 0o644))
	}
}

func requireVerified(t *testing.T, r *audit.Report) {
	t.Helper()
	if r.Result != ledger.ResultVerified {
		t.Fatalf("result %s: %+v", r.Result, r.Findings)
	}
}

func TestAuditVerifies(t *testing.T) {
	c := newCell(t)
	c.session()
	requireVerified(t, c.audit(audit.Options{}))
	c.session(3, 250, 3, 300, 1)
	c.session(700, 20)
	for name, opts := range map[string]audit.Options{
		"by hashes": {}, "with keys": {Keys: c.stores.Keys}, "all": {Keys: c.stores.Keys, All: true, Workers: 3},
		"with the events log's policy": {Policies: []ledger.Policy{c.policy(controlOrigin), c.policy(eventsOrigin)}},
	} {
		r := c.audit(opts)
		requireVerified(t, r)
		if len(r.Logs) != 2 || len(r.Findings) != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		l := r.Logs[1]
		if l.Origin != eventsOrigin || l.Leaves != 1277 || l.Published != 1277 || l.Bound != 1277 || l.Payloads == 0 || l.Batches == 0 || l.Checkpoints < 7 {
			t.Fatalf("%s: %+v", name, l)
		}
		if want := uint64(1277); (opts.Keys != nil) != (l.Records == want) {
			t.Fatalf("%s: %d records checked", name, l.Records)
		}
	}
}

// Whatever happens to any object is found, and the object named.
func TestAuditFindsEveryChange(t *testing.T) {
	c := newCell(t)
	c.session(3, 252, 3, 300)
	c.session(20)
	requireVerified(t, c.audit(audit.Options{}))
	for _, name := range c.objects() {
		data := c.read(name)
		changes := map[string][]byte{
			"removed": nil, "emptied": {}, "cut short": data[:len(data)-1], "extended": append(bytes.Clone(data), 'x'),
			"first byte flipped": flip(data, 0), "last byte flipped": flip(data, len(data)-1),
			"middle byte flipped": flip(data, len(data)/2), "quarter byte flipped": flip(data, len(data)/4), "eighth byte flipped": flip(data, len(data)/8), "third eighth byte flipped": flip(data, len(data)*3/8),
		}
		for change, bad := range changes {
			if unnoticed(c, name, change) {
				continue
			}
			c.write(name, bad)
			for _, all := range []bool{false, true} {
				r := c.audit(audit.Options{All: all})
				if r.Result != ledger.ResultFailed || !names(r, name) {
					t.Errorf("%s %s (all %v): %s %+v", name, change, all, r.Result, r.Findings)
				}
			}
		}
		c.write(name, data)
	}
	requireVerified(t, c.audit(audit.Options{}))
}

// unnoticed lists what the package documents that nothing can notice.
func unnoticed(c *cell, name, change string) bool {
	var size uint64
	if _, err := fmt.Sscanf(filepath.Base(name), "%d", &size); err == nil && strings.Contains(name, "/checkpoints/") {
		return change == "removed" && size%256 == 0
	}
	// The newest commit of the control log is bound by nothing but its root.
	return strings.HasSuffix(change, "byte flipped") && !strings.HasPrefix(change, "first") && !strings.HasPrefix(change, "last") && name == newest(c, controlOrigin)
}

func newest(c *cell, origin string) (name string) {
	for _, o := range c.objects() {
		if strings.HasPrefix(o, "locked/"+origin+"/commit/") {
			name = o
		}
	}
	return name
}

func flip(data []byte, i int) []byte {
	data = bytes.Clone(data)
	data[i] ^= 1
	return data
}

// names reports whether a finding is about an object, or says that it is missing.
func names(r *audit.Report, object string) bool {
	return slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
		return f.Kind == audit.Failure && (f.Object == object || strings.Contains(f.Detail, "or "+object+" was changed"))
	})
}

func TestAuditFindsWhatHasNoPlace(t *testing.T) {
	c := newCell(t)
	c.session(300)
	for name, data := range map[string]string{
		"locked/stray":                                                  "x",
		"locked/test/eu/stray":                                          "x",
		"locked/test/eu/events/0/stray":                                 "x",
		"locked/test/eu/events/1/commit/1":                              "x",
		"locked/test/eu/events/0/commit/00000000000000000009":           "x",
		"locked/test/eu/events/0/commit/9":                              "x",
		"locked/test/eu/events/0/checkpoints/9":                         "x",
		"locked/test/eu/events/0/payload/9":                             "x",
		"locked/test/eu/events/0/attachment/" + strings.Repeat("a", 64): "x",
		"locked/test/eu/control/payload/9":                              "x",
		"open/stray":                                                    "x",
		"open/test/eu/events/0/checkpoint.old":                          "x",
		"open/test/eu/events/0/tile/0/999":                              "x",
		"open/test/eu/events/0/tile/0/0":                                "x",
		"open/test/eu/events/0/tile/7/000":                              "x",
		"open/test/eu/events/0/tile/entries/001.p/45":                   "x",
		"open/test/eu/events/0/tile/entries/001.p/256":                  "x",
		"open/test/eu/events/0/tile/entries/001.p/044":                  "x",
		"open/other/eu/events/0/checkpoint":                             "x",
	} {
		c.write(name, []byte(data))
		r := c.audit(audit.Options{All: true})
		if r.Result == ledger.ResultVerified || len(r.Findings) == 0 {
			t.Errorf("%s: %s %+v", name, r.Result, r.Findings)
		}
		c.write(name, nil)
	}
	requireVerified(t, c.audit(audit.Options{}))
	// What a crash leaves is listed and is no failure.
	orphan := "locked/test/eu/events/0/payload/00000000000000000300-0123456789abcdef"
	c.write(orphan, []byte("x"))
	r := c.audit(audit.Options{})
	requireVerified(t, r)
	if len(r.Findings) != 1 || r.Findings[0].Object != orphan || r.Findings[0].Kind != audit.Note {
		t.Fatalf("%+v", r.Findings)
	}
}
