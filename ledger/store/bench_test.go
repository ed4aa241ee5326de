package store_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
)

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{200, 8192, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			d := newDir(b, store.KindLocked)
			data := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if err := d.Create(b.Context(), store.Object{Key: fmt.Sprintf("o/commit/%020d", i), Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What publishing a commit of 8,192 leaves stores: 32 bundles, 32 tiles and the
// partial ones.
func BenchmarkCreateAll(b *testing.B) {
	for _, way := range []struct {
		name string
		wrap func(*store.Dir) store.Store
	}{
		{"in groups", func(d *store.Dir) store.Store { return d }},
		{"one by one", func(d *store.Dir) store.Store { return storetest.NewFaulty(d) }},
	} {
		b.Run(way.name, func(b *testing.B) { benchmarkCreateAll(b, way.wrap(newDir(b, store.KindOpen))) })
	}
}

func benchmarkCreateAll(b *testing.B, s store.Store) {
	bundle, tile := bytes.Repeat([]byte("x"), 256*132), bytes.Repeat([]byte("x"), 8192)
	for i := 0; b.Loop(); i++ {
		var objects []store.Object
		for j := range 32 {
			n := i*32 + j
			objects = append(objects,
				store.Object{Key: fmt.Sprintf("o/tile/entries/x%03d/%03d", n/1000, n%1000), Data: bundle},
				store.Object{Key: fmt.Sprintf("o/tile/0/x%03d/%03d", n/1000, n%1000), Data: tile})
		}
		for level := range 2 {
			objects = append(objects, store.Object{Key: fmt.Sprintf("o/tile/%d/x%03d/%03d.p/7", level+1, i/1000, i%1000), Data: tile[:224]})
		}
		if err := store.CreateAll(b.Context(), s, objects); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	d := newDir(b, store.KindOpen)
	version := ""
	for i := 0; b.Loop(); i++ {
		var err error
		if version, err = d.Replace(b.Context(), "o/checkpoint", fmt.Appendf(nil, "%500d", i), version); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	cell, temp := b.TempDir(), b.TempDir()
	if err := store.InitDir(cell, temp, rand.Reader); err != nil {
		b.Fatal(err)
	}
	c, err := store.OpenCell(cell, temp)
	if err != nil {
		b.Fatal(err)
	}
	key, err := c.Keys.NewPayloadKey(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	plaintext := make([]byte, 2<<20)
	b.SetBytes(int64(len(plaintext)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Seal(key, plaintext, nil); err != nil {
			b.Fatal(err)
		}
	}
}
