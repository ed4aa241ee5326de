package rawjson

import (
	"bytes"
	"crypto/sha256"
	"os"
	"testing"
)

func benchRecord(b *testing.B) []byte {
	data, err := os.ReadFile("../../normalize/testdata/records/cloudtrail_assumed_role.json")
	if err != nil {
		b.Fatal(err)
	}
	return bytes.TrimSpace(data)
}

func BenchmarkTree(b *testing.B) {
	data := benchRecord(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var t Tree
	for b.Loop() {
		if err := t.Parse(data, 64); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuoted(b *testing.B) {
	data := benchRecord(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = AppendQuoted(dst[:0], data)
	}
}

func BenchmarkString(b *testing.B) {
	data := benchRecord(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = AppendString(dst[:0], data)
	}
}

// BenchmarkReference is what the machine does to the same bytes with SHA-256: a yardstick on a busy machine.
func BenchmarkReference(b *testing.B) {
	data := benchRecord(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		sha256.Sum256(data)
	}
}
