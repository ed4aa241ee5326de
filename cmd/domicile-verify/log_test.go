package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
)

// writeCell makes a cell with 300 events by the real writer below dir/data/cells/eu, and returns the policies of its
// control log and of its events log, with the receipt of an access.
func writeCell(t testing.TB, dir string) (control, events ledger.Policy, receipt ledger.Receipt) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	home, temp := filepath.Join(dir, "data", "cells", "eu"), filepath.Join(dir, "data", "run", "tmp")
	must(store.MakeDir(temp))
	must(store.MakeDir(home))
	must(store.InitDir(home, temp, rand.Reader))
	stores, err := store.OpenCell(home, temp)
	must(err)
	config := func(origin string) (log.Config, ledger.Policy) {
		skey, vkey, err := ledger.GenerateLogKey(rand.Reader, origin)
		must(err)
		signer, err := note.NewSigner(skey)
		must(err)
		cfg := log.Config{Origin: origin, Locked: stores.Locked, Open: stores.Open, Signer: signer, VKey: vkey, PublishEvery: time.Millisecond}
		must(log.Create(ctx, cfg, ledger.StreamRef{}))
		return cfg, ledger.Policy{Logs: []ledger.TrustedLog{{VKey: vkey}}, Quorum: "none"}
	}
	controlConfig, control := config("test/eu/control")
	eventsConfig, events := config("test/eu/events/0")

	doc := ledger.PolicyDocument{
		Ledger: "test", Jurisdiction: "eu", Quorum: ledger.QuorumNone, SkewMs: 600_000, Rules: ledger.EmptyHash,
		Logs:     []ledger.PolicyLog{{Origin: controlConfig.Origin, VKey: controlConfig.VKey}, {Origin: eventsConfig.Origin, VKey: eventsConfig.VKey}},
		Emitters: []ledger.PolicyActor{{ID: "init", Role: ledger.RoleInit}, {ID: "ledger", Role: ledger.RoleWriter}},
		Limits:   ledger.PolicyLimits{HeartbeatMs: 60_000, SilenceMs: 600_000, LateMs: 600_000},
	}
	raw, err := doc.Encode()
	must(err)
	hash, err := doc.Hash()
	must(err)
	key := ledger.AttachmentKey(fmt.Sprintf("%x", hash))
	must(store.Ensure(ctx, stores.Locked, store.Object{Key: controlConfig.Origin + "/" + key, Data: raw}))
	holder, err := log.OpenControl(ctx, controlConfig, "test")
	must(err)
	init, err := holder.Init(ctx)
	must(err)
	_, err = init.Append(ctx, &ledger.PolicyEntry{Hash: hash, Object: key, Effective: time.Now().UnixMilli()})
	must(err)
	for _, cfg := range []log.Config{controlConfig, eventsConfig} {
		_, err := init.Append(ctx, &ledger.KeyEntry{Event: ledger.KeyCreate, Purpose: ledger.KeyLog, KID: strings.Split(cfg.VKey, "+")[1], VKey: cfg.VKey, Origin: cfg.Origin})
		must(err)
	}
	writer, err := holder.Start(ctx, "ledger", ledger.RoleWriter)
	must(err)
	eventsLog, err := log.OpenEvents(ctx, log.EventsConfig{Config: eventsConfig, Keys: stores.Keys, Control: writer, Age: time.Millisecond, Jurisdiction: "eu"})
	must(err)
	var messages []log.Message
	for i := range uint64(300) {
		at := time.Now().UnixMilli()
		uid := fmt.Sprintf("aws:111122223333:%08d", i)
		messages = append(messages, log.Message{
			Source: log.Source{Collector: "c", Epoch: strings.Repeat("a", 32)}, Seq: i, UID: uid, Time: at, Region: "aws:eu-central-1", Class: "default",
			Event: fmt.Appendf(nil, `{"cloud":{"provider":"AWS","region":"eu-central-1"},"metadata":{"uid":"%s"},"time":%d}`, uid, at),
		})
	}
	_, err = eventsLog.Append(ctx, messages, true)
	must(err)
	must(eventsLog.Flush(ctx))
	access, err := writer.Intend(ctx, log.InternalRead(ledger.OpProof, ledger.RoleWriter, "eu"))
	must(err)
	must(access.Done(ctx, 1, 100, nil))
	must(holder.Flush(ctx))
	must(eventsLog.Close())
	must(holder.Flush(ctx))
	must(holder.Close())
	return control, events, access.Receipt
}
