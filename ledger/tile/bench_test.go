package tile

import (
	"bytes"
	"testing"
)

// Leaves of an events log are about 130 bytes long.
func benchmarkLeaves(n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = bytes.Repeat([]byte{byte(i)}, 130)
	}
	return leaves
}

func BenchmarkAppend(b *testing.B) {
	batch := benchmarkLeaves(8192)
	emit := func(Object) error { return nil }
	edge := new(Edge)
	b.ReportAllocs()
	for b.Loop() {
		if err := edge.Append(batch, nil, emit); err != nil {
			b.Fatal(err)
		}
		edge.Root()
	}
	b.ReportMetric(float64(b.N)*8192/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkExtendByOne(b *testing.B) {
	edge := new(Edge)
	if err := edge.Append(benchmarkLeaves(70_000), nil, nil); err != nil {
		b.Fatal(err)
	}
	one := benchmarkLeaves(1)
	b.ReportAllocs()
	for b.Loop() {
		next, _, err := edge.Extend(one, nil)
		if err != nil {
			b.Fatal(err)
		}
		next.Root()
	}
}

func BenchmarkInclusion(b *testing.B) {
	folder := fullLog(b)
	r := NewReader(66_000, folder.read)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if _, err := r.Inclusion(i*7919%66_000, 66_000); err != nil {
			b.Fatal(err)
		}
	}
}
