package log

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
)

// Whatever the number of parts, the lines of a payload are those of its records, in order.
func TestPackedLinesAreTheRecords(t *testing.T) {
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	for len(p.parts) < 4 { // as on a machine with more processors
		codec, err := ledger.NewPayloadCodec()
		if err != nil {
			t.Fatal(err)
		}
		p.parts = append(p.parts, &part{codec: codec})
	}
	reader, err := ledger.NewPayloadCodec()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []struct{ records, bytes int }{{1, 10}, {1, 5 << 20}, {2, 700 << 10}, {3, 10}, {4000, 500}, {7, 1}} {
		var records []*waiting
		for i := range size.records {
			event := fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("x", size.bytes))
			w := &waiting{prepared: prepared{Message: &Message{Event: []byte(event)}}}
			w.salt[0] = byte(i)
			records = append(records, w)
		}
		lines, err := reader.Lines(p.pack(records), uint64(size.records))
		if err != nil {
			t.Fatalf("%+v: %v", size, err)
		}
		for i, w := range records {
			if !bytes.Equal(lines[i], ledger.AppendRecord(nil, &w.salt, w.Event)) {
				t.Fatalf("%+v: line %d is not record %d", size, i, i)
			}
		}
	}
}
