package interop

import (
	"context"
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

const (
	batch  = 10_000 // records that are given to a log at once
	rounds = 15     // measured turns of each side

	pollEvery = time.Millisecond // how often each side looks at its checkpoint, once all records are committed
)

// BenchmarkAppend gives batches of 10,000 records of 1 KiB in turn to a cell of domicile's and to Tessera's POSIX driver,
// on the same file system, and takes the time of each until it is durable and under a published checkpoint. Every batch
// is measured on its own, so disk and processor are as busy with other things for one as for the other; the figures are
// medians. One run is all rounds.
//
//   - one: each batch waits for the checkpoint of the one before, as a careful sender does
//   - five: five batches are on their way at once; waiting for timers counts little here
func BenchmarkAppend(b *testing.B) {
	for _, depth := range []struct {
		name    string
		batches int
	}{{"one", 1}, {"five", 5}} {
		b.Run(depth.name, func(b *testing.B) {
			// A run of the benchmark is as long as it is: b.N is 1.
			records := depth.batches * batch
			ours, theirs := newOurs(b), newTheirs(b)
			alternate(b, rounds, records, "records",
				side{"domicile", func() turn { return ours(records) }},
				side{"tessera", func() turn { return theirs(records) }})
		})
	}
}

// newOurs returns what appends so many records to a cell and returns how long it took until they were committed and the
// published checkpoint covered them. The `batch` entry that binds them into the control log is written behind that, once a
// minute, as in a cell that runs.
func newOurs(b *testing.B) func(records int) turn {
	c := newCell(b, func(cfg *log.EventsConfig) { cfg.MaxRecords = batch })
	published := func() uint64 {
		cp, _, err := c.events.Reader().Checkpoint(b.Context())
		c.must(err)
		return cp.Size
	}
	b.Cleanup(func() {
		var stored int64
		for info, err := range c.stores.Locked.List(context.Background(), eventsOrigin+"/"+ledger.PayloadPrefix, "") {
			c.must(err)
			stored += info.Size
		}
		b.Logf("domicile: %d bytes of payload for a record, compressed and encrypted", stored/int64(c.next))
	})
	return func(records int) turn {
		messages := make([]log.Message, records)
		at := time.Now()
		for i := range messages {
			messages[i] = kilobyteEvent(c.next+i, at)
		}
		runtime.GC()
		return measure(func() {
			c.append(messages)
			for published() != uint64(c.next) {
				time.Sleep(pollEvery)
			}
		})
	}
}

// newTheirs is newOurs for Tessera: until every record is integrated and the published checkpoint covers it.
func newTheirs(b *testing.B) func(records int) turn {
	fatal := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	secret, _, err := ledger.GenerateLogKey(rand.Reader, eventsOrigin)
	fatal(err)
	signer, err := note.NewSigner(secret)
	fatal(err)
	driver, err := posix.New(b.Context(), posix.Config{Path: b.TempDir()})
	fatal(err)
	// The shortest interval between checkpoints that the driver takes, and nothing that it could spare.
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(4096, 50*time.Millisecond).
		WithCheckpointInterval(100 * time.Millisecond).WithGarbageCollectionInterval(0)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	b.Cleanup(cancel)
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	fatal(err)
	published := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, pollEvery)
	next := 0
	return func(records int) turn {
		entries := make([][]byte, records)
		at := time.Now()
		for i := range entries {
			m := kilobyteEvent(next+i, at)
			entries[i] = ledger.AppendRecord(nil, new([32]byte), m.Event)
		}
		futures := make([]tessera.IndexFuture, records)
		runtime.GC()
		took := measure(func() {
			for i := range entries {
				futures[i] = appender.Add(ctx, tessera.NewEntry(entries[i]))
			}
			for _, future := range futures[:records-1] {
				_, err := future()
				fatal(err)
			}
			_, _, err := published.Await(ctx, futures[records-1])
			fatal(err)
		})
		next += records
		return took
	}
}
