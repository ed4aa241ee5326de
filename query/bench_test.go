package query

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"domicile.dev/domicile/query/index"
)

// What an access costs: its intent is one commit of the control log, its report comes behind the answer. The file
// system's sync is most of it, so figures say little without the disk that they come from.
func BenchmarkAccess(b *testing.B) {
	publishEvery = time.Second
	defer func() { publishEvery = time.Millisecond }()
	w := newWorld(b, "eu")
	for range 4 {
		w.commit(make([]int64, 1000)...)
	}
	w.flush()
	w.feed()
	ctx := b.Context()
	control := w.reader(w.controlOrigin())
	commits := func() uint64 {
		head, err := control.Head(ctx)
		w.must(err)
		return head.Seq
	}
	one := func(i uint64) []Ref { return []Ref{{Log: w.eventsOrigin(), Index: i % 4000}} }
	for _, test := range []struct {
		name string
		ask  func(i uint64) error
	}{
		{"search", func(uint64) error {
			_, err := w.cell.Search(ctx, alice, index.Filter{}, index.Page{Limit: 50})
			return err
		}},
		{"path", func(i uint64) error {
			_, err := w.cell.Prove(ctx, alice, one(i*1237), ProofOptions{Format: FormatProof})
			return err
		}},
		{"bundle", func(i uint64) error {
			_, err := w.cell.Prove(ctx, alice, one(i*1237), ProofOptions{})
			return err
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			before := commits()
			for i := uint64(0); b.Loop(); i++ {
				w.must(test.ask(i))
			}
			b.ReportMetric(float64(commits()-before)/float64(b.N), "commits/op")
		})
		for _, readers := range []int{8, 64} {
			b.Run(fmt.Sprintf("%s-by-%d", test.name, readers), func(b *testing.B) {
				b.SetParallelism(readers / runtime.GOMAXPROCS(0))
				before := commits()
				defer func() { b.ReportMetric(float64(commits()-before)/float64(b.N), "commits/op") }()
				b.RunParallel(func(pb *testing.PB) {
					for i := uint64(0); pb.Next(); i++ {
						if err := test.ask(i); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
