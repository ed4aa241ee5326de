package query

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// What an access costs: its intent is one commit of the control log, its report comes behind the answer. The file
// system's syncs are most of it, so figures say little without the disk that they come from; "append" is the entry alone.
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
	one := func(i uint64) []Ref { return []Ref{{Log: w.eventsOrigin(), Index: i * 1237 % 4000}} }
	for _, test := range []struct {
		name string
		ask  func(i uint64) error
	}{
		{"append", func(uint64) error {
			_, err := w.gateway.Append(ctx, &ledger.HeartbeatEntry{ControlSize: 1})
			return err
		}},
		{"search", func(uint64) error {
			_, err := w.cell.Search(ctx, alice, index.Filter{}, index.Page{Limit: 50})
			return err
		}},
		{"path", func(i uint64) error {
			_, err := w.cell.Prove(ctx, alice, one(i), ProofOptions{Format: FormatProof})
			return err
		}},
		{"bundle", func(i uint64) error {
			_, err := w.cell.Prove(ctx, alice, one(i), ProofOptions{})
			return err
		}},
	} {
		for _, askers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/by=%d", test.name, askers), func(b *testing.B) {
				before := commits()
				took := make([]time.Duration, b.N)
				var all sync.WaitGroup
				for k := range askers {
					all.Go(func() {
						for i := k; i < b.N; i += askers {
							began := time.Now()
							if err := test.ask(uint64(i)); err != nil {
								b.Error(err)
							}
							took[i] = time.Since(began)
						}
					})
				}
				all.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(commits()-before)/float64(b.N), "commits/op")
				b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// A thousand proofs in one call.
func BenchmarkProofs(b *testing.B) {
	w := newWorld(b, "eu")
	for range 4 {
		w.commit(make([]int64, 1000)...)
	}
	w.flush()
	w.feed()
	w.cell.cfg.Index = nil // the index in memory is slower than payloads
	var refs []Ref
	for i := range uint64(MaxProofs) {
		refs = append(refs, Ref{Log: w.eventsOrigin(), Index: i * 1237 % 4000})
	}
	for _, format := range []Format{FormatProof, FormatBundle} {
		b.Run(string(format), func(b *testing.B) {
			for b.Loop() {
				p, err := w.cell.Prove(b.Context(), alice, refs, ProofOptions{Format: format})
				w.must(err)
				w.must(p.Proofs[0].Err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/MaxProofs, "µs/proof")
		})
	}
}
