package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/query"
)

// realCell is a cell with logs in a directory and no index: events are found in the payloads.
func realCell(t *testing.T, jurisdiction string, events int) (*query.Cell, []ledger.Policy) {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	folder, temp := filepath.Join(dir, "cell"), filepath.Join(dir, "tmp")
	must(store.MakeDir(temp))
	must(store.InitDir(folder, temp, rand.Reader))
	stores, err := store.OpenCell(folder, temp)
	must(err)
	config := func(origin string) log.Config {
		skey, vkey, err := ledger.GenerateLogKey(rand.Reader, origin)
		must(err)
		signer, err := note.NewSigner(skey)
		must(err)
		cfg := log.Config{Origin: origin, Locked: stores.Locked, Open: stores.Open, Signer: signer, VKey: vkey, PublishEvery: time.Millisecond}
		must(log.Create(ctx, cfg, ledger.StreamRef{}))
		return cfg
	}
	controlConfig, eventsConfig := config(ledger.ControlOrigin("local", jurisdiction)), config(ledger.EventsOrigin("local", jurisdiction, 0))
	control, err := log.OpenControl(ctx, controlConfig, "test")
	must(err)
	t.Cleanup(func() { control.Close() })
	doc := ledger.PolicyDocument{
		Ledger: "local", Jurisdiction: jurisdiction, Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs: []ledger.PolicyLog{{Origin: controlConfig.Origin, VKey: controlConfig.VKey}, {Origin: eventsConfig.Origin, VKey: eventsConfig.VKey}},
		Emitters: []ledger.PolicyActor{
			{ID: "gateway", Role: ledger.RoleGateway}, {ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter},
		},
		Limits: ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	must(err)
	hash, err := doc.Hash()
	must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	must(store.Ensure(ctx, stores.Locked, store.Object{Key: controlConfig.Origin + "/" + key, Data: raw}))
	first, err := control.Init(ctx)
	must(err)
	_, err = first.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: control.Clock().UnixMilli()})
	must(err)
	writer, err := control.Start(ctx, "ledger", ledger.RoleWriter)
	must(err)
	gateway, err := control.Start(ctx, "gateway", ledger.RoleGateway)
	must(err)
	shard, err := log.OpenEvents(ctx, log.EventsConfig{
		Config: eventsConfig, Keys: stores.Keys, Control: writer, Jurisdiction: jurisdiction, Age: time.Millisecond, Skew: 1000 * time.Hour,
	})
	must(err)
	t.Cleanup(func() { shard.Close() })
	var list []log.Message
	for i := range events {
		at := control.Clock().UnixMilli() - 1000 - int64(i)
		event := fmt.Sprintf(`{"actor":{"user":{"name":"user%d"}},"cloud":{"account":{"uid":"1"},"provider":"AWS","region":"eu-central-1"},`+
			`"metadata":{"uid":"aws:1:%s-%d"},"raw_data":"{\"<\":1}","time":%d}`, i, jurisdiction, i, at)
		list = append(list, log.Message{Source: log.Source{Collector: "collector", Epoch: strings.Repeat("a", 32)}, Seq: uint64(i),
			UID: fmt.Sprintf("aws:1:%s-%d", jurisdiction, i), Time: at, Region: "aws:eu-central-1", Class: "default", Event: []byte(event)})
	}
	_, err = shard.Append(ctx, list, true)
	must(err)
	must(shard.Flush(ctx))
	must(control.Flush(ctx))
	reader, err := log.NewReader(eventsConfig, stores.Keys)
	must(err)
	cell, err := query.NewCell(query.Config{Jurisdiction: jurisdiction, Control: control, Gateway: gateway, Keys: stores.Keys,
		Open: stores.Open, Shards: []query.Shard{{Reader: reader, Flush: shard.Flush}}})
	must(err)
	t.Cleanup(func() { cell.Close() })
	return cell, []ledger.Policy{{Logs: []ledger.TrustedLog{{VKey: controlConfig.VKey}}, Quorum: "none"},
		{Logs: []ledger.TrustedLog{{VKey: eventsConfig.VKey}}, Quorum: "none"}}
}

// TestRealCells asks cells with real logs, and believes nothing of the answers that it cannot verify.
func TestRealCells(t *testing.T) {
	eu, policies := realCell(t, "eu", 300)
	us, usPolicies := realCell(t, "us", 3)
	policies = append(policies, usPolicies...)
	c := newClient(t, nil, func(cfg *Config) {
		cfg.Cells = Federated(&query.Federation{Cells: []*query.Cell{eu, us}})
	})

	for _, uid := range []string{"aws:1:eu-0", "aws:1:eu-299", "aws:1:us-2"} {
		for _, query := range []string{"", "?hide=/actor/*", "?disclose=/time&cell=" + uid[6:8]} {
			a := c.get("/v1/events/"+uid+"/proof"+query).want(t, 200, "")
			if v := ledger.VerifyBundle(a.body, policies[:]); v.Result != ledger.ResultVerified {
				t.Errorf("%s%s: %+v", uid, query, v)
			}
			raw, err := base64.RawURLEncoding.DecodeString(a.Header.Get("Domicile-Receipt"))
			var r ledger.Receipt
			if err != nil || json.Unmarshal(raw, &r) != nil {
				t.Fatalf("receipt %q: %v", raw, err)
			}
			stands(t, c, uid[6:8], r)
		}
	}
	c.get("/v1/events/aws:1:eu-300/proof").want(t, 404, notFound)
	a := c.post("/v1/proofs", `{"refs":[{"uid":"aws:1:us-0"},{"log":"local/eu/events/0","index":299},{"uid":"nobody"}]}`).want(t, 200, notFound)
	got := decode[struct {
		Complete bool
		Cells    []cell
		Proofs   []struct{ Bundle json.RawMessage }
	}](t, a)
	for i, want := range []bool{true, true, false} {
		if there := got.Proofs[i].Bundle != nil; there != want || there && ledger.VerifyBundle(got.Proofs[i].Bundle, policies).Result != ledger.ResultVerified {
			t.Errorf("proof %d: %s", i, got.Proofs[i].Bundle)
		}
	}
	if !got.Complete || got.Cells[0].Receipt == nil || got.Cells[1].Receipt == nil {
		t.Errorf("cells %+v", got.Cells)
	}
	stands(t, c, "eu", *got.Cells[0].Receipt)

	c.get("/v1/events?text=user1").want(t, 503, indexUnavailable)
	c.get("/v1/events?cursor=abcd").want(t, 400, badCursor)
	logs := c.get("/v1/logs").want(t, 200, "")
	if !bytes.Contains(logs.body, []byte(`"complete":true`)) {
		t.Errorf("logs %s", logs.body)
	}
	c.get("/v1/logs/eu/events/0/consistency?from=1&to=300").want(t, 200, "")
	c.get("/v1/logs/eu/events/0/consistency?from=301").want(t, 400, badParameter)
	c.get("/v1/logs/eu/events/1/consistency?from=1").want(t, 404, notFound)
	c.get("/logs/eu/events/0/tile/0/001").want(t, 404, notFound)
	c.get("/logs/eu/events/1/checkpoint").want(t, 404, notFound)

	// A client that only knows C2SP and what it trusts.
	address := listen(t, c.handler)
	for _, path := range []string{"eu/events/0", "us/events/0", "eu/control"} {
		report, err := audit.AuditURL(t.Context(), http.DefaultClient, "http://"+address+"/logs/"+path, audit.Options{Policies: policies, All: true})
		if err != nil {
			t.Fatal(err)
		}
		// Commits are not served, which is all that may be missing.
		if report.Result != ledger.ResultInconclusive || len(report.Findings) != 1 || report.Logs[0].Published == 0 {
			t.Errorf("%s: %+v", path, report)
		}
	}
}

// stands fails unless the control log holds the entry of a receipt, proven.
func stands(t *testing.T, c *client, jurisdiction string, r ledger.Receipt) {
	t.Helper()
	target := fmt.Sprintf("/v1/control?cell=%s&from=%d&to=%d&proof=true", jurisdiction, r.Index, r.Index+1)
	for { // until it is published
		got := decode[struct {
			Cells []struct {
				Control struct{ Checkpoint checkpoint }
				Entries []struct {
					Index uint64
					Entry json.RawMessage
					Proof []string
				}
			}
		}](t, c.get(target).want(t, 200, ""))
		page := got.Cells[0]
		if len(page.Entries) == 0 {
			if t.Context().Err() != nil {
				t.Fatal(context.Cause(t.Context()))
			}
			time.Sleep(time.Millisecond)
			continue
		}
		e := page.Entries[0]
		hash := ledger.LeafHash(e.Entry)
		var path [][]byte
		for _, text := range e.Proof {
			h, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, h)
		}
		root, err := base64.StdEncoding.DecodeString(page.Control.Checkpoint.Root)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, e.Index, page.Control.Checkpoint.Size, hash[:], path, root); err != nil {
			t.Errorf("entry %d: %v", e.Index, err)
		}
		if hash != r.Hash || !bytes.Contains(e.Entry, []byte(`"type":"access"`)) || !bytes.Contains(e.Entry, []byte(`"phase":"intent"`)) {
			t.Errorf("receipt %+v, entry %s", r, e.Entry)
		}
		return
	}
}
