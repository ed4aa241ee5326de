package ingest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"

	"domicile.dev/domicile/ingest"
)

// endless is a CloudTrail file of a given size that nobody has to store.
type endless struct {
	left, n int64
	buf     []byte
	state   int
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.buf) == 0 {
		switch {
		case e.state == 0:
			e.buf, e.state = []byte(`{"Records":[`), 1
		case e.state == 1 && e.left > 0:
			comma := ","
			if e.n == 0 {
				comma = ""
			}
			e.buf = []byte(comma + strings.Replace(record(fmt.Sprintf("%032d", e.n), "eu-central-1", true), `"requestParameters":null`, `"requestParameters":{"x":"`+strings.Repeat("y", 500)+`"}`, 1))
			e.n++
		case e.state == 1:
			e.buf, e.state = []byte(`]}`), 2
		default:
			return 0, io.EOF
		}
		e.left -= int64(len(e.buf))
	}
	n := copy(p, e.buf)
	e.buf = e.buf[n:]
	return n, nil
}

// A file of any size takes the same memory. DOMICILE_LONG=1 makes it 1 GiB instead of 64 MiB.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 64 MiB")
	}
	size := int64(64 << 20)
	if os.Getenv("DOMICILE_LONG") != "" {
		size = 1 << 30
	}
	const most = 96 << 20 // of live heap while one stream is busy; the events of the smallest input take twice that
	s := newSite()
	var peak atomic.Uint64
	var events atomic.Int64
	c := s.collector(t, nil)
	for cell := range s.shards {
		p, err := ingest.NewProducer(ingest.ProducerConfig{Collector: "laptop", Epoch: epoch}, sinkFunc(func(_ context.Context, batch []ingest.Message) ([]ingest.Receipt, error) {
			events.Add(int64(len(batch)))
			runtime.GC() // what is alive while a batch is unanswered, which is when most is
			live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
			metrics.Read(live)
			for now, old := live[0].Value.Uint64(), peak.Load(); now > old && !peak.CompareAndSwap(old, now); old = peak.Load() {
			}
			return nil, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		c.Streams[cell] = p
	}
	sum, err := c.Run(t.Context(), ingest.FindSources([]string{"-"}, &endless{left: size}))
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	t.Logf("%d MiB, %d events, at most %d MiB of live heap", sum.Bytes>>20, sum.Events, peak.Load()>>20)
	if sum.Bytes < size || events.Load() != sum.Events {
		t.Errorf("read %d bytes of %d; %d events in, %d sent", sum.Bytes, size, sum.Events, events.Load())
	}
	if peak.Load() > most {
		t.Errorf("%d MiB of live heap, want at most %d", peak.Load()>>20, most>>20)
	}
}
