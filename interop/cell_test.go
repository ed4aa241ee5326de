package interop

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
)

const (
	controlOrigin = "interop/eu/control"
	eventsOrigin  = "interop/eu/events/0"
)

// cell is a cell with its two logs in a directory of the test, written as `domicile` writes it.
type cell struct {
	t       testing.TB
	dir     string
	stores  *store.Cell
	keys    map[string]logKey
	control *log.Control
	events  *log.Events
	source  log.Source
	next    int // number of the next event
}

type logKey struct{ secret, public string }

// newCell makes a cell whose control log holds its policy, and opens both logs. change may alter how the events log is
// configured.
func newCell(t testing.TB, change func(*log.EventsConfig)) *cell {
	t.Helper()
	c := &cell{t: t, dir: t.TempDir(), keys: make(map[string]logKey), source: log.Source{Collector: "test", Epoch: strings.Repeat("a", 32)}}
	c.must(store.MakeDir(c.temp()))
	c.must(store.InitDir(c.cell(), c.temp(), rand.Reader))
	var err error
	c.stores, err = store.OpenCell(c.cell(), c.temp())
	c.must(err)
	for _, origin := range []string{controlOrigin, eventsOrigin} {
		secret, public, err := ledger.GenerateLogKey(rand.Reader, origin)
		c.must(err)
		c.keys[origin] = logKey{secret, public}
		c.must(log.Create(t.Context(), c.config(origin), ledger.StreamRef{}))
	}
	c.open(change)
	t.Cleanup(c.close)
	return c
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) cell() string { return filepath.Join(c.dir, "cells", "eu") }
func (c *cell) temp() string { return filepath.Join(c.dir, "run", "tmp") }

// openFolder is where the public files of a log lie.
func (c *cell) openFolder(origin string) string {
	return filepath.Join(c.stores.Open.Root(), filepath.FromSlash(origin))
}

func (c *cell) config(origin string) log.Config {
	c.t.Helper()
	signer, err := note.NewSigner(c.keys[origin].secret)
	c.must(err)
	return log.Config{
		Origin: origin, Locked: c.stores.Locked, Open: c.stores.Open, Signer: signer, VKey: c.keys[origin].public,
		PublishEvery: time.Millisecond,
	}
}

func (c *cell) open(change func(*log.EventsConfig)) {
	c.t.Helper()
	var err error
	c.control, err = log.OpenControl(c.t.Context(), c.config(controlOrigin), "test")
	c.must(err)
	c.writePolicy()
	writer, err := c.control.Start(c.t.Context(), "ledger", ledger.RoleWriter)
	c.must(err)
	cfg := log.EventsConfig{Config: c.config(eventsOrigin), Keys: c.stores.Keys, Control: writer, Age: time.Millisecond}
	c.control.State(func(r *custody.Replay) {
		if last, ok := r.LastBatch(eventsOrigin); ok {
			cfg.LastBatch = &last
		}
	})
	if change != nil {
		change(&cfg)
	}
	c.events, err = log.OpenEvents(c.t.Context(), cfg)
	c.must(err)
}

func (c *cell) close() {
	if c.events != nil {
		if err := c.events.Close(); err != nil {
			c.t.Error(err)
		}
	}
	if c.control != nil {
		if err := c.control.Close(); err != nil {
			c.t.Error(err)
		}
	}
	c.events, c.control = nil, nil
}

// writePolicy writes the first entry of the control log, once.
func (c *cell) writePolicy() {
	c.t.Helper()
	if c.control.Size() > 0 {
		return
	}
	doc := ledger.PolicyDocument{
		Ledger: "interop", Jurisdiction: "eu", Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs:     []ledger.PolicyLog{{Origin: controlOrigin, VKey: c.keys[controlOrigin].public}, {Origin: eventsOrigin, VKey: c.keys[eventsOrigin].public}},
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter}},
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	c.must(err)
	hash, err := doc.Hash()
	c.must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	c.must(store.Ensure(c.t.Context(), c.stores.Locked, store.Object{Key: controlOrigin + "/" + key, Data: raw}))
	first, err := c.control.Init(c.t.Context())
	c.must(err)
	_, err = first.Append(c.t.Context(), &ledger.PolicyEntry{Hash: hash, Object: key, Effective: time.Now().UnixMilli()})
	c.must(err)
}

// grow brings the events log to a size and publishes both logs as they are then.
func (c *cell) grow(size int) {
	c.t.Helper()
	for c.next < size {
		n := min(size-c.next, 10_000)
		messages := make([]log.Message, n)
		for i := range messages {
			messages[i] = smallEvent(c.next + i)
		}
		c.append(messages)
	}
	c.must(c.events.Flush(c.t.Context()))
	c.must(c.control.Flush(c.t.Context()))
}

// append gives messages the next numbers and returns when they are committed.
func (c *cell) append(messages []log.Message) {
	c.t.Helper()
	for i := range messages {
		messages[i].Source, messages[i].Seq = c.source, uint64(c.next+i)
	}
	results, err := c.events.Append(c.t.Context(), messages, true)
	c.must(err)
	c.next += len(messages)
	if last := results[len(results)-1]; last.Status != log.Committed || last.Index != uint64(c.next-1) {
		c.t.Fatalf("the last of %d events: %+v", c.next, last)
	}
}

// smallEvent is the smallest event that the log takes. n tells events apart.
func smallEvent(n int) log.Message {
	uid := fmt.Sprintf("aws:111122223333:%08d", n)
	at := time.Now().UnixMilli()
	event := fmt.Sprintf(`{"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":"%s"},"time":%d}`, uid, at)
	return log.Message{UID: uid, Time: at, Region: "aws:eu-central-1", Class: "default", Event: []byte(event)}
}

// kilobyteEvent is an event whose record line has exactly 1,024 bytes, with the fields that an API call has.
func kilobyteEvent(n int, at time.Time) log.Message {
	uid := fmt.Sprintf("aws:111122223333:00000000-0000-4000-8000-%012d", n)
	head := fmt.Sprintf(`{"activity_id":2,"actor":{"session":{"issuer":"arn:aws:iam::111122223333:role/ops"},"user":{"name":"alice","type":"IAMUser","uid":"AIDAEXAMPLE%06d"}},`+
		`"api":{"operation":"GetObject","request":{"uid":"REQ%012d"},"service":{"name":"s3.amazonaws.com"}},"category_uid":6,"class_uid":6003,`+
		`"cloud":{"account":{"uid":"111122223333"},"provider":"AWS","region":"eu-central-1"},`+
		`"metadata":{"product":{"name":"CloudTrail","vendor_name":"AWS"},"uid":"%s","version":"1.8.0"},"raw_data":"`, n%1000, n, uid)
	tail := fmt.Sprintf(`","severity_id":1,"src_endpoint":{"ip":"192.0.2.%d"},"time":%d,"type_uid":600302}`, n%256, at.UnixMilli())
	pad := 1024 - ledger.RecordOverhead - len(head) - len(tail)
	// 64 bytes that do not compress, as a provider's request and session ids, and text that does.
	var ids strings.Builder
	for i := range uint64(8) {
		id := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)<<3|i))
		fmt.Fprintf(&ids, "%x ", id[:8])
	}
	raw := (ids.String() + strings.Repeat(fmt.Sprintf("the same words in event %07d ", n), pad/32))[:pad]
	return log.Message{UID: uid, Time: at.UnixMilli(), Region: "aws:eu-central-1", Class: "default", Event: []byte(head + raw + tail)}
}

func (c *cell) reader(origin string) *log.Reader {
	if origin == controlOrigin {
		return c.control.Reader()
	}
	return c.events.Reader()
}

func (c *cell) verifier(origin string) note.Verifier {
	c.t.Helper()
	v, err := note.NewVerifier(c.keys[origin].public)
	c.must(err)
	return v
}

// serve serves a log's public files over HTTP and returns their address, which ends in a slash.
func serve(t testing.TB, folder string) string {
	t.Helper()
	server := httptest.NewServer(http.FileServerFS(os.DirFS(folder)))
	t.Cleanup(server.Close)
	return server.URL + "/"
}
