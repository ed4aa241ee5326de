package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/normalize"
)

// This file plugs the ledger into ingest, which knows nothing of it: streams end in log writers, quarantine items lie
// in the cell's store under keys of the cell, and what happens to them is said in the control log.

// pipeline is a collector with its streams into the cells of a data directory.
type pipeline struct {
	*ingest.Collector
	streams []*ingest.Producer
}

// newPipeline wires a collector that works in the cell named collector.
func newPipeline(ctx context.Context, d *dataDir, collector string) (*pipeline, error) {
	placer, err := ingest.NewPlacer(d.config.Names(), collector, d.config.Homes, nil)
	if err != nil {
		return nil, err
	}
	cells, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	p := &pipeline{Collector: &ingest.Collector{
		Placer: placer, Streams: make(map[string]ingest.Stream),
		Normalize: normalizeOptions(),
	}}
	for _, c := range cells {
		stream, err := c.stream(ctx)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.streams = append(p.streams, stream)
		p.Streams[c.jurisdiction] = stream
		if c.jurisdiction == collector {
			if p.Quarantine, err = c.quarantine(ctx); err != nil {
				return nil, errors.Join(err, p.close())
			}
		}
	}
	return p, nil
}

func normalizeOptions() normalize.Options {
	return normalize.Options{Now: time.Now, ProductVersion: version}
}

// close ends the streams. What they had not answered is read from its source again next time.
func (p *pipeline) close() error {
	var errs []error
	for _, s := range p.streams {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// stream is the in-process stream into a cell: one partition for each shard, answered after the commit.
func (c *cell) stream(ctx context.Context) (*ingest.Producer, error) {
	var epoch [16]byte
	rand.Read(epoch[:])
	var sinks []ingest.Sink
	for shard := range c.shards {
		events, err := c.events(ctx, shard)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, &logSink{events})
	}
	conf := c.dir.config.Commit
	cfg := ingest.ProducerConfig{
		Collector: collectorComponent.id, Epoch: hex.EncodeToString(epoch[:]),
		MaxMessages: conf.Records, MaxBytes: conf.Bytes, Linger: time.Duration(conf.Age),
	}
	return ingest.NewProducer(cfg, sinks...)
}

// logSink is the writer of a shard as the end of a stream.
type logSink struct{ events *log.Events }

// Append implements ingest.Sink.
func (s *logSink) Append(ctx context.Context, batch []ingest.Message) ([]ingest.Receipt, error) {
	messages := make([]log.Message, len(batch))
	for i := range batch {
		m := &batch[i]
		messages[i] = log.Message{
			Source: log.Source{Collector: m.Collector, Epoch: m.Epoch}, Seq: m.Seq,
			UID: m.UID, Time: m.Time, Region: m.Region, Class: m.Class, Event: m.Event,
		}
	}
	// The stream has one unanswered batch a partition: nothing else comes before this is answered.
	results, err := s.events.Append(ctx, messages, true)
	if errors.Is(err, log.ErrFenced) || errors.Is(err, log.ErrClosed) {
		return nil, fmt.Errorf("%w: %w", ingest.ErrSinkStopped, err)
	}
	if err != nil {
		return nil, err
	}
	receipts := make([]ingest.Receipt, len(results))
	for i, r := range results {
		receipts[i] = ingest.Receipt{Outcome: outcomes[r.Status], Log: s.events.Reader().Origin(), Index: r.Index, Indexed: r.Indexed}
		if r.UID != messages[i].UID {
			receipts[i].UID = r.UID
		}
	}
	return receipts, nil
}

// outcomes says what a writer's status means to a collector.
var outcomes = map[log.Status]ingest.Outcome{
	log.Committed: ingest.Committed, log.Conflict: ingest.Committed,
	log.Duplicate: ingest.Duplicate, log.Repeat: ingest.Duplicate,
	log.Rejected: ingest.Rejected,
}

// reject keeps what a log refuses in the cell's quarantine: the provider's bytes, or the event where it holds none.
func (c *cell) reject(ctx context.Context, m *log.Message, reason error) error {
	q, err := c.quarantine(ctx)
	if err != nil {
		return err
	}
	raw, err := rawData(m.Event)
	if err != nil {
		raw = m.Event
	}
	provider, _, _ := strings.Cut(m.Region, ":")
	return q.HoldOne(ctx, ingest.Item{Raw: raw, Header: ingest.ItemHeader{
		V: 1, Reason: ingest.ReasonRejected, Detail: reason.Error(), Source: "stream", Provider: provider, FirstSeen: time.Now(),
	}})
}

// quarantine is the quarantine of a cell.
func (c *cell) quarantine(ctx context.Context) (*ingest.Quarantine, error) {
	storeID, err := c.stores.Locked.ID(ctx)
	if err != nil {
		return nil, err
	}
	return ingest.NewQuarantine(items{c.stores.Quarantine}, sealer{c.stores.Keys}, recorder{c}, storeID, time.Now, rand.Reader), nil
}

// items is the quarantine's part of a cell's store.
type items struct{ store store.Store }

func (s items) Create(ctx context.Context, key string, data []byte) (existed bool, err error) {
	err = s.store.Create(ctx, store.Object{Key: key, Data: data})
	if errors.Is(err, store.ErrExists) {
		return true, nil
	}
	return false, err
}

func (s items) Get(ctx context.Context, key string) ([]byte, error) {
	data, _, err := s.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", key, ingest.ErrNoItem)
	}
	return data, err
}

func (s items) Head(ctx context.Context, key string) (bool, error) {
	_, err := s.store.Head(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s items) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range s.store.List(ctx, prefix, "") {
			if !yield(info.Key, err) {
				return
			}
		}
	}
}

// sealer encrypts quarantine items as payloads are, each under a key of its own. The key's name ends in a random part,
// which stands before the ciphertext: sealing under one name twice leaves both readable.
type sealer struct{ keys store.Keys }

const sealIDBytes = 8

func (s sealer) keyName(name string, id []byte) string {
	return fmt.Sprintf("quarantine/%s-%x", name, id)
}

func (s sealer) Seal(ctx context.Context, name string, data []byte) ([]byte, error) {
	id := make([]byte, sealIDBytes)
	rand.Read(id)
	key, err := s.keys.NewPayloadKey(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.keys.Put(ctx, s.keyName(name, id), key); err != nil {
		return nil, err
	}
	sealed, err := store.Seal(key, data, []byte(name))
	return append(id, sealed...), err
}

func (s sealer) Unseal(ctx context.Context, name string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealIDBytes {
		return nil, fmt.Errorf("quarantine item %s is cut short", name)
	}
	key, err := s.keys.Get(ctx, s.keyName(name, sealed[:sealIDBytes]))
	if err != nil {
		return nil, err
	}
	return store.Unseal(key, sealed[sealIDBytes:], []byte(name))
}

// recorder says in a cell's control log what happened to quarantined records.
type recorder struct{ cell *cell }

func (r recorder) RecordQuarantine(ctx context.Context, e ingest.QuarantineEntry) error {
	m, err := r.cell.component(ctx, collectorComponent)
	if err != nil {
		return err
	}
	_, err = m.Append(ctx, &ledger.QuarantineEntry{
		Source: e.Source, Reason: e.Reason, ForeignJur: e.Foreign, Count: uint64(e.Count), Set: &e.Set,
		Store: e.Store, Action: ledger.QuarantineAction(e.Action), Dest: e.Dest,
	})
	return err
}

// renormalize makes an event anew from the provider's bytes that it holds, and tells its content: the writer asks
// before it calls two events of one uid different, because an upgrade may map a field in another way.
func renormalize(event []byte) (content ledger.Hash, err error) {
	raw, err := rawData(event)
	if err != nil {
		return content, err
	}
	record, err := normalize.NewReader(bytes.NewReader(raw)).Next()
	if err != nil {
		return content, err
	}
	again, err := normalize.Normalize(record, normalizeOptions())
	if err != nil {
		return content, err
	}
	fields, err := ledger.CutFields(again.JSON, nil)
	if err != nil {
		return content, err
	}
	return ledger.ContentHash(fields), nil
}

// rawData is the provider's bytes that an event holds.
func rawData(event []byte) ([]byte, error) {
	fields, err := ledger.CutFields(event, nil)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if f.Pointer == "/raw_data" && len(f.Value) > 2 && f.Value[0] == '"' {
			raw, clean := rawjson.AppendUnescaped(nil, f.Value[1:len(f.Value)-1])
			if !clean {
				return nil, errors.New("the event's raw data is damaged")
			}
			return raw, nil
		}
	}
	return nil, errors.New("the event holds no raw data")
}
