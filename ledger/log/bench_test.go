package log

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
)

// benchMessage makes an event whose record line has exactly 1024 bytes, with the fields that an API call has. n tells
// events apart.
func benchMessage(n int, at time.Time) Message {
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
	return Message{UID: uid, Time: at.UnixMilli(), Region: "aws:eu-central-1", Class: "default", Event: []byte(head + raw + tail)}
}

const benchBatch = 10_000

// BenchmarkAppend is events of 1 KiB in batches of 10,000, each until it is committed and published.
func BenchmarkAppend(b *testing.B) {
	c := newCell(b)
	c.change = func(cfg *EventsConfig) { cfg.MaxRecords, cfg.BatchEvery = benchBatch, time.Hour }
	control, events := c.openLogs()
	defer c.closeLogs(control, events)
	at := time.Now()
	seq := 0
	b.ReportAllocs()
	b.SetBytes(benchBatch * 1024)
	for b.Loop() {
		b.StopTimer()
		messages := make([]Message, benchBatch)
		for i := range messages {
			messages[i] = benchMessage(seq+i, at)
		}
		numbered(sourceA, uint64(seq), messages...)
		seq += benchBatch
		b.StartTimer()
		results, err := events.Append(b.Context(), messages, true)
		c.must(err)
		if r := results[benchBatch-1]; r.Status != Committed || r.Index != uint64(seq-1) {
			b.Fatalf("the last event: %+v", r)
		}
		c.must(events.pub.publish(b.Context()))
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPrepare is everything that is made of a message before its turn in the log: cut, checked, committed to,
// leaf and record.
func BenchmarkPrepare(b *testing.B) {
	messages := make([]*Message, 1000)
	for i := range messages {
		m := benchMessage(i, time.Now())
		messages[i] = &m
	}
	var p preparer
	salt := new([32]byte)
	n := 0
	b.ReportAllocs()
	b.SetBytes(1024)
	for b.Loop() {
		if made := p.one(messages[n%len(messages)], salt); made.refused != nil {
			b.Fatal(made.refused)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
