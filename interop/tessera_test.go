package interop

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
)

// sizes are those at which tiles begin, fill and overflow, on one level and on two.
var sizes = []int{0, 1, 255, 256, 257, 65_536, 70_000}

// fsckWorkers is how many of its workers may end with a mismatch before fsck hangs: more than any log here has tiles that
// one change makes wrong.
const fsckWorkers = 64

// runFsck has Tessera check a log: that every tile follows from the bundles, and the signed root from the tiles.
func runFsck(ctx context.Context, origin string, verifier note.Verifier, fetcher fsck.Fetcher) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- fsck.New(origin, verifier, fetcher, leafHashes, fsck.Opts{N: fsckWorkers}).Check(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("fsck does not end: %w", context.Cause(ctx))
	}
}

// leafHashes hashes the entries of a bundle as Tessera's own fsck command does.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(b.Entries))
	for i, entry := range b.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return hashes, nil
}

// fetchers are the ways in which Tessera reads a log: from files, and over HTTP.
func fetchers(t testing.TB, folder string) map[string]fsck.Fetcher {
	t.Helper()
	address, err := url.Parse(serve(t, folder))
	if err != nil {
		t.Fatal(err)
	}
	overHTTP, err := client.NewHTTPFetcher(address, &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]fsck.Fetcher{"files": client.FileFetcher{Root: folder}, "HTTP": overHTTP}
}

// TestTesseraAcceptsGrowingLogs lets Tessera's tools follow both logs of a cell from nothing to 70,000 events, looking at
// the open store as it stands at each size.
func TestTesseraAcceptsGrowingLogs(t *testing.T) {
	c := newCell(t, nil)
	followers := make(map[string]*follower)
	for _, size := range sizes {
		c.grow(size)
		for _, origin := range []string{eventsOrigin, controlOrigin} {
			t.Run(fmt.Sprintf("%s at %d events", origin, size), func(t *testing.T) {
				cp, _, err := c.reader(origin).Checkpoint(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if origin == eventsOrigin && cp.Size != uint64(size) {
					t.Fatalf("the checkpoint says %d", cp.Size)
				}
				byWay := fetchers(t, c.openFolder(origin))
				for _, way := range slices.Sorted(maps.Keys(byWay)) {
					fetcher := byWay[way]
					if err := runFsck(t.Context(), origin, c.verifier(origin), fetcher); err != nil {
						t.Errorf("fsck over %s: %v", way, err)
					}
					if f := followers[origin+way]; f == nil {
						followers[origin+way] = follow(t, c, origin, fetcher)
					} else {
						f.update(t, fetcher)
					}
					proveLeaves(t, c, origin, fetcher)
					proveGrowth(t, c, origin, fetcher)
				}
			})
		}
	}
}

// follower is Tessera's client that remembers a checkpoint and takes a newer one only with a consistency proof, which it
// builds from the tiles.
type follower struct {
	tracker *client.LogStateTracker
	reader  interface {
		Checkpoint(context.Context) (ledger.Checkpoint, []byte, error)
	}
	fetcher *fsck.Fetcher // of the newest update: the address of a server changes
}

func follow(t *testing.T, c *cell, origin string, fetcher fsck.Fetcher) *follower {
	t.Helper()
	f := &follower{reader: c.reader(origin), fetcher: &fetcher}
	tiles := func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
		return (*f.fetcher).ReadTile(ctx, level, index, partial)
	}
	checkpoint := func(ctx context.Context) ([]byte, error) { return (*f.fetcher).ReadCheckpoint(ctx) }
	signed, err := checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.tracker, err = client.NewLogStateTracker(t.Context(), tiles, signed, c.verifier(origin), origin, client.UnilateralConsensus(checkpoint))
	if err != nil {
		t.Fatalf("following from %s: %v", signed, err)
	}
	return f
}

func (f *follower) update(t *testing.T, fetcher fsck.Fetcher) {
	t.Helper()
	*f.fetcher = fetcher
	before := f.tracker.Latest().Size
	if _, _, _, err := f.tracker.Update(t.Context()); err != nil {
		t.Errorf("following from %d: %v", before, err)
	}
	cp, _, err := f.reader.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.tracker.Latest(); got.Size != cp.Size {
		t.Errorf("followed to %d, the checkpoint says %d", got.Size, cp.Size)
	}
}

// proveLeaves builds inclusion proofs from the tiles with Tessera's client and holds them against the checkpoint.
func proveLeaves(t *testing.T, c *cell, origin string, fetcher fsck.Fetcher) {
	t.Helper()
	ctx := t.Context()
	cp, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, c.verifier(origin), origin)
	if err != nil {
		t.Fatal(err)
	}
	builder, err := client.NewProofBuilder(ctx, cp.Size, fetcher.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{0, 1, 254, 255, 256, 257, 65_535, 65_536, cp.Size / 2, cp.Size - 1} {
		if index >= cp.Size {
			continue
		}
		bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle, index/256, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		path, err := builder.InclusionProof(ctx, index)
		if err != nil {
			t.Fatalf("leaf %d: %v", index, err)
		}
		hash := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%256])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, hash, path, cp.Hash); err != nil {
			t.Errorf("leaf %d of %d: %v", index, cp.Size, err)
		}
	}
}

// proveGrowth builds a consistency proof from every archived checkpoint of the sizes before to the present one.
func proveGrowth(t *testing.T, c *cell, origin string, fetcher fsck.Fetcher) {
	t.Helper()
	ctx := t.Context()
	cp, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, c.verifier(origin), origin)
	if err != nil {
		t.Fatal(err)
	}
	builder, err := client.NewProofBuilder(ctx, cp.Size, fetcher.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range c.stores.Locked.List(ctx, origin+"/"+ledger.CheckpointPrefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		signed, _, err := c.stores.Locked.Get(ctx, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		earlier, err := ledger.ParseCheckpoint(signed, origin)
		if err != nil {
			t.Fatal(err)
		}
		if earlier.Size > cp.Size {
			t.Fatalf("an archived checkpoint of %d leaves, the newest has %d", earlier.Size, cp.Size)
		}
		n++
		path, err := builder.ConsistencyProof(ctx, earlier.Size, cp.Size)
		if err != nil {
			t.Fatalf("from %d to %d: %v", earlier.Size, cp.Size, err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, earlier.Size, cp.Size, path, earlier.Root[:], cp.Hash); err != nil {
			t.Errorf("from %d to %d: %v", earlier.Size, cp.Size, err)
		}
	}
	if n == 0 {
		t.Error("no checkpoint is archived")
	}
}

// TestTesseraSeesTampering makes sure that fsck, as it is used here, is able to refuse a log.
func TestTesseraSeesTampering(t *testing.T) {
	c := newCell(t, nil)
	c.grow(1000)
	c.close()
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for _, change := range []struct {
		what string
		file string
		by   func([]byte) []byte // nil removes it
	}{
		{"a hash of a full tile", "tile/0/000", flip(100)},
		{"a hash of a partial tile", "tile/0/003.p/232", flip(-1)},
		{"a hash of an upper tile", "tile/1/000.p/3", flip(0)},
		{"a byte of a leaf", "tile/entries/001", flip(500)},
		{"a byte of a leaf in a partial bundle", "tile/entries/003.p/232", flip(-1)},
		{"a length in a bundle", "tile/entries/000", flip(1)},
		{"the size in the checkpoint", "checkpoint", flip(len(eventsOrigin) + 1)},
		{"the signature", "checkpoint", flip(-4)},
		{"a tile that ends early", "tile/0/002", func(b []byte) []byte { return b[:len(b)-1] }},
		{"a tile with a byte too much", "tile/0/002", func(b []byte) []byte { return append(b, 0) }},
		{"a bundle that ends early", "tile/entries/002", func(b []byte) []byte { return b[:len(b)-1] }},
		{"a tile that is missing", "tile/0/001", nil},
		{"a bundle that is missing", "tile/entries/001", nil},
		{"a checkpoint that is missing", "checkpoint", nil},
	} {
		t.Run(change.what, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "log")
			if err := os.CopyFS(folder, os.DirFS(c.openFolder(eventsOrigin))); err != nil {
				t.Fatal(err)
			}
			fetcher := client.FileFetcher{Root: folder}
			if err := runFsck(t.Context(), eventsOrigin, c.verifier(eventsOrigin), fetcher); err != nil {
				t.Fatalf("before: %v", err)
			}
			name := filepath.Join(folder, filepath.FromSlash(change.file))
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if change.by == nil {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, change.by(data), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := runFsck(t.Context(), eventsOrigin, c.verifier(eventsOrigin), fetcher); err == nil {
				t.Error("fsck accepts it")
			} else {
				t.Logf("fsck: %.120v", err)
			}
		})
	}
}
