package ledger

import (
	"fmt"
	"strings"
	"testing"
)

// benchEvent is an event of an API call with 22 fields, whose record line has exactly 1,024 bytes.
func benchEvent() []byte {
	head := `{"activity_id":2,"actor":{"session":{"issuer":"arn:aws:iam::111122223333:role/ops"},"user":{"name":"alice","type":"IAMUser","uid":"AIDAEXAMPLE000001"}},` +
		`"api":{"operation":"GetObject","request":{"uid":"REQ000000000001"},"service":{"name":"s3.amazonaws.com"}},"category_uid":6,"class_uid":6003,` +
		`"cloud":{"account":{"uid":"111122223333"},"provider":"AWS","region":"eu-central-1"},` +
		`"metadata":{"product":{"name":"CloudTrail","vendor_name":"AWS"},"uid":"aws:111122223333:00000000-0000-4000-8000-000000000001","version":"1.8.0"},"raw_data":"`
	tail := `","severity_id":1,"src_endpoint":{"ip":"192.0.2.1"},"time":1771934400000,"type_uid":600302}`
	return fmt.Append(nil, head, strings.Repeat("x", 1024-RecordOverhead-len(head)-len(tail)), tail)
}

// BenchmarkCommitment makes the commitment of an event whose fields are cut, on one processor.
func BenchmarkCommitment(b *testing.B) {
	fields, err := CutFields(benchEvent(), nil)
	if err != nil {
		b.Fatal(err)
	}
	var c Committer
	salt := new([32]byte)
	b.ReportAllocs()
	for b.Loop() {
		salt[0]++
		c.Commitment(salt, fields)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commitments/s")
	b.ReportMetric(float64(len(fields)), "fields")
}

// BenchmarkCutAndCommit is what a record costs from its event to its commitment, on one processor.
func BenchmarkCutAndCommit(b *testing.B) {
	event := benchEvent()
	var cutter Cutter
	var committer Committer
	var fields []Field
	salt := new([32]byte)
	b.ReportAllocs()
	b.SetBytes(int64(len(event) + RecordOverhead))
	for b.Loop() {
		var err error
		if fields, err = cutter.Cut(event, fields[:0]); err != nil {
			b.Fatal(err)
		}
		salt[0]++
		committer.Commitment(salt, fields)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkVerifyRecord is what a verifier does with a payload's line: read it, and hold it against its leaf.
func BenchmarkVerifyRecord(b *testing.B) {
	line := AppendRecord(nil, new([32]byte), benchEvent())
	rec, err := ParseRecord(line)
	if err != nil {
		b.Fatal(err)
	}
	leaf := Leaf{Hour: HourOf(1771934400000), Region: "aws:eu-central-1", Commitment: rec.Commitment()}
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		rec, err := ParseRecord(line)
		if err != nil || rec.Commitment() != leaf.Commitment || leaf.CheckFields(rec.Get) != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
