package ingest_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"domicile.dev/domicile/ingest"
)

// From a CloudTrail file in memory to a sink that drops it: what ingest itself costs, the normalizer included.
func BenchmarkRun(b *testing.B) {
	var rs []string
	for i := range 20_000 {
		rs = append(rs, record(fmt.Sprintf("%032d", i), "eu-central-1", true))
	}
	plain := trail(rs...)
	for _, c := range []struct{ name, file string }{{"plain", plain}, {"gzip", zip(b, plain)}} {
		b.Run(c.name, func(b *testing.B) {
			s := newSite()
			drop := sinkFunc(func(context.Context, []ingest.Message) ([]ingest.Receipt, error) { return nil, nil })
			col := s.collector(b, nil)
			for cell := range s.shards {
				p := producer(b, ingest.ProducerConfig{}, drop)
				b.Cleanup(func() { p.Close() })
				col.Streams[cell] = p
			}
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				src := ingest.Source{ID: "stdin", Name: "-", Size: -1, Open: func(context.Context) (io.ReadCloser, error) {
					return io.NopCloser(strings.NewReader(c.file)), nil
				}}
				if sum, err := col.Run(b.Context(), ingest.Sources{Files: []ingest.Source{src}}); err != nil || sum.Events != 20_000 {
					b.Fatal(sum, err)
				}
			}
			b.ReportMetric(float64(b.N)*20_000/b.Elapsed().Seconds(), "events/s")
		})
	}
}
