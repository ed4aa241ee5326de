package query

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// tiles reads tiles and bundles of the cell's logs. It keeps full ones, which never change, as many as fit.
type tiles struct {
	open store.Store

	mu    sync.Mutex
	bytes int
	known map[string]*list.Element
	used  *list.List // of *keptTile, the one used last in front
}

type keptTile struct {
	key  string
	data []byte
}

// maxTileBytes bounds what is kept: about 2,000 tiles, or 400 bundles.
const maxTileBytes = 16 << 20

func newTiles(open store.Store) *tiles {
	return &tiles{open: open, known: make(map[string]*list.Element), used: list.New()}
}

// get reads a tile, which must not be changed.
func (t *tiles) get(ctx context.Context, origin, path string) ([]byte, error) {
	key := origin + "/" + path
	if strings.Contains(path, ".p/") {
		data, _, err := t.open.Get(ctx, key)
		return data, err
	}
	if data := t.recall(key); data != nil {
		return data, nil
	}
	data, _, err := t.open.Get(ctx, key)
	if err == nil {
		t.keep(key, data)
	}
	return data, err
}

func (t *tiles) recall(key string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.known[key]
	if !ok {
		return nil
	}
	t.used.MoveToFront(e)
	return e.Value.(*keptTile).data
}

func (t *tiles) keep(key string, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.known[key]; ok || len(data) > maxTileBytes/4 {
		return
	}
	t.known[key] = t.used.PushFront(&keptTile{key, data})
	t.bytes += len(data)
	for t.bytes > maxTileBytes {
		last := t.used.Back()
		old := t.used.Remove(last).(*keptTile)
		delete(t.known, old.key)
		t.bytes -= len(old.data)
	}
}

// at reads the tree of a log as it is at a published size. The reader is for one goroutine.
func (t *tiles) at(ctx context.Context, origin string, size uint64) *tile.Reader {
	return tile.NewReader(size, func(path string) ([]byte, error) { return t.get(ctx, origin, path) })
}

// A bundle is up to 256 leaves that lie in one object.
type bundle struct {
	origin string
	first  uint64
	leaves [][]byte
}

func (b *bundle) holds(origin string, index uint64) bool {
	return b.origin == origin && index >= b.first && index-b.first < uint64(len(b.leaves))
}

func (b *bundle) leaf(index uint64) []byte { return b.leaves[index-b.first] }

// bundle reads the bundle of a log at a published size that holds a leaf.
func (t *tiles) bundle(ctx context.Context, origin string, index, size uint64) (bundle, error) {
	if index >= size {
		return bundle{}, fmt.Errorf("log %s: leaf %d of %d that are published: %w", origin, index, size, ErrNotFound)
	}
	is := tile.Tile{Level: tile.Entries, Index: index / tile.Width, Width: tile.Width}
	is.Width = int(min(tile.Width, size-is.First()))
	data, err := t.get(ctx, origin, is.Path())
	if errors.Is(err, store.ErrNotFound) && is.Partial() { // partial ones may go once the full one is there
		full := tile.Tile{Level: is.Level, Index: is.Index, Width: tile.Width}
		if data, err = t.get(ctx, origin, full.Path()); err == nil {
			data, err = tile.Prefix(is, data)
		}
	}
	if err != nil {
		return bundle{}, fmt.Errorf("log %s: %w", origin, err)
	}
	leaves, err := tile.ParseBundle(data, is.Width)
	if err != nil {
		return bundle{}, fmt.Errorf("log %s: %s: %w", origin, is, err)
	}
	return bundle{origin: origin, first: is.First(), leaves: leaves}, nil
}
