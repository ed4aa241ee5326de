package log

import (
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

func TestAppendPublishProve(t *testing.T) {
	c := newCell(t)
	ctx := t.Context()
	control, events := c.openLogs()
	results, err := events.Append(ctx, numbered(sourceA, 0, some(0, 300, time.Now())...), true)
	c.must(err)
	for i, r := range results {
		if r.Status != Committed || r.Index != uint64(i) || !r.Indexed {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
	c.must(events.Flush(ctx))
	c.must(control.Flush(ctx))
	cp, _, err := events.Reader().Checkpoint(ctx)
	c.must(err)
	if cp.Size != 300 {
		t.Fatalf("checkpoint at %d", cp.Size)
	}
	for _, index := range []uint64{0, 255, 256, 299} {
		leaf, proof, err := events.Reader().Proof(ctx, index, 300)
		c.must(err)
		c.must(proof.VerifyInclusion(ledger.LeafHash(leaf), cp))
		line, err := events.Reader().Record(ctx, index)
		c.must(err)
		rec, err := ledger.ParseRecord(line)
		c.must(err)
		l, err := ledger.ParseLeaf(leaf)
		c.must(err)
		if l.Commitment != rec.Commitment() {
			t.Fatalf("record %d does not open its leaf", index)
		}
	}
	var last custody.Batch
	control.State(func(r *custody.Replay) { last, _ = r.LastBatch(testEvents) })
	if last.Size != 300 || last.Root != cp.Root {
		t.Fatalf("last batch %+v, checkpoint %+v", last, cp)
	}
	c.closeLogs(control, events)
}
