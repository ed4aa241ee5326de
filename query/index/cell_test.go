package index

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// A cell is a real ledger in a directory of the test: what the index is fed from.
type cell struct {
	t       testing.TB
	stores  *store.Cell
	keys    map[string][2]string // origin to skey, vkey
	control *log.Control
	writer  *log.Component
	shards  []*log.Events
	sent    []uint64 // messages of each shard
}

const (
	testLedger  = "test"
	testJur     = "eu"
	testControl = testLedger + "/" + testJur + "/control"
)

func origin(shard int) string { return ledger.EventsOrigin(testLedger, testJur, shard) }

// newCell makes a cell with so many events logs.
func newCell(t testing.TB, shards int) *cell {
	t.Helper()
	c := &cell{t: t, keys: make(map[string][2]string), sent: make([]uint64, shards)}
	ctx := context.Background()
	dir := t.TempDir()
	temp := filepath.Join(dir, "tmp")
	c.must(store.MakeDir(temp))
	c.must(store.InitDir(filepath.Join(dir, "cell"), temp, rand.Reader))
	stores, err := store.OpenCell(filepath.Join(dir, "cell"), temp)
	c.must(err)
	c.stores = stores
	doc := ledger.PolicyDocument{
		Ledger: testLedger, Jurisdiction: testJur, Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter}},
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	origins := []string{testControl}
	for i := range shards {
		origins = append(origins, origin(i))
	}
	for _, o := range origins {
		skey, vkey, err := ledger.GenerateLogKey(rand.Reader, o)
		c.must(err)
		c.keys[o] = [2]string{skey, vkey}
		doc.Logs = append(doc.Logs, ledger.PolicyLog{Origin: o, VKey: vkey})
		c.must(log.Create(ctx, c.config(o), ledger.StreamRef{}))
	}
	c.control, err = log.OpenControl(ctx, c.config(testControl), "test")
	c.must(err)
	raw, err := doc.Encode()
	c.must(err)
	hash, err := doc.Hash()
	c.must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	c.must(store.Ensure(ctx, c.stores.Locked, store.Object{Key: testControl + "/" + key, Data: raw}))
	init, err := c.control.Init(ctx)
	c.must(err)
	_, err = init.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: time.Now().UnixMilli()})
	c.must(err)
	c.writer, err = c.control.Start(ctx, "ledger", ledger.RoleWriter)
	c.must(err)
	for i := range shards {
		events, err := log.OpenEvents(ctx, c.eventsConfig(i))
		c.must(err)
		c.shards = append(c.shards, events)
	}
	t.Cleanup(c.close)
	return c
}

func (c *cell) eventsConfig(shard int) log.EventsConfig {
	cfg := log.EventsConfig{
		Config: c.config(origin(shard)), Keys: c.stores.Keys, Control: c.writer, Jurisdiction: testJur, Age: time.Millisecond,
		BatchEvery: time.Hour,
	}
	c.control.State(func(r *custody.Replay) {
		if last, ok := r.LastBatch(cfg.Origin); ok {
			cfg.LastBatch = &last
		}
	})
	return cfg
}

func (c *cell) config(origin string) log.Config {
	signer, err := note.NewSigner(c.keys[origin][0])
	c.must(err)
	return log.Config{Origin: origin, Locked: c.stores.Locked, Open: c.stores.Open, Signer: signer, VKey: c.keys[origin][1]}
}

func (c *cell) close() {
	for _, events := range c.shards {
		c.must(events.Close())
	}
	c.must(c.control.Close())
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) reader(shard int) *log.Reader { return c.shards[shard].Reader() }

// append commits events, as one commit unless the log thinks otherwise.
func (c *cell) append(shard int, events ...event) []log.Result {
	c.t.Helper()
	messages := make([]log.Message, len(events))
	for i, e := range events {
		messages[i] = log.Message{
			Source: log.Source{Collector: "collector", Epoch: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, Seq: c.sent[shard] + uint64(i),
			UID: e.uid, Time: e.time, Region: e.region, Class: "default", Event: e.json,
		}
	}
	c.sent[shard] += uint64(len(events))
	results, err := c.shards[shard].Append(context.Background(), messages, true)
	c.must(err)
	return results
}

// An event is one that a test made, with what is expected of its row.
type event struct {
	uid, region string
	time        int64
	json        []byte
}

// start is the time of the first made-up event.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// call makes an API call as normalize does. n tells events apart: they differ in all columns, with different periods.
func call(n int) event {
	e := event{
		uid: fmt.Sprintf("aws:%012d:%08d", 111122223333+n%3, n), time: start.Add(time.Duration(n) * time.Minute).UnixMilli(),
		region: []string{"aws:eu-central-1", "aws:eu-west-1", "aws:global"}[n%3],
	}
	jurisdictions := []string{`"eu"`, `"eu","uk"`, ``}[n%3]
	region := `,"region":"` + e.region[len("aws:"):] + `"`
	if n%3 == 2 {
		region = ""
	}
	activity := []struct {
		id   int
		name string
	}{{1, "Create"}, {2, "Read"}, {99, "Frobnicate"}, {4, "Delete"}}[n%4]
	e.json = fmt.Appendf(nil, `{"activity_id":%d,"activity_name":"%s","actor":{"user":{"name":"Müller %d","uid":"arn:aws:iam::111122223333:user/m%d"}},`+
		`"api":{"operation":"Op%d","service":{"name":"svc%d.amazonaws.com"}},"category_uid":6,"class_name":"API Activity","class_uid":6003,`+
		`"cloud":{"account":{"uid":"%012d"},"provider":"AWS"%s},`+
		`"enrichments":[{"data":{"countries":[],"jurisdictions":[%s],"region":"%s","rule":"aws.region"},"name":"cloud.region","type":"residency","value":"x"}],`+
		`"metadata":{"uid":"%s","version":"1.8.0"},"raw_data":"{\"n\":%d, \"word\":\"Wort%dEnde\"}",`+
		`"resources":[{"name":"bucket-%d","type":"AWS::S3::Bucket","uid":"arn:aws:s3:::bucket-%d/Key"}],`+
		`"src_endpoint":{"ip":"192.0.2.%d"},"status":"%s","time":%d}`,
		activity.id, activity.name, n%5, n%5, n%6, n%2, 111122223333+n%3, region, jurisdictions, e.region, e.uid, n, n%7, n%8, n%8, n%9,
		[]string{"Success", "Failure"}[n%2], e.time)
	return e
}

func calls(from, n int) (list []event) {
	for i := range n {
		list = append(list, call(from+i))
	}
	return list
}

// newIndex opens an index on a new database.
func newIndex(t testing.TB) *Index {
	t.Helper()
	options := enginetest.Start(t)
	x, err := Open(t.Context(), Config{Options: options, Database: options.Auth.Database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// catchUp feeds an index with all that the cell's logs hold.
func (c *cell) catchUp(x *Index) {
	c.t.Helper()
	for i := range c.shards {
		f := &feed{x: x, r: c.reader(i), origin: origin(i)}
		c.must(f.run(c.t.Context(), nil))
	}
}
