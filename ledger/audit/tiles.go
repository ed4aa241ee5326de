package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// A chunk is a run of consecutive leaves that begins at a full bundle's border, with the commits that end in it.
type chunk struct {
	first uint64
	count int
	data  []byte // the leaves as bundles hold them
	ends  []commitEnd

	// What a worker makes of it.
	hashes  []byte        // of the leaves
	tops    []ledger.Hash // roots of the full bundles
	regions []string      // of the leaves, of an events log
	found   []pending
}

// pending is a finding about leaves below upTo. It waits until a commit that reaches so far has been found to have the
// root that it says: otherwise the commit is to blame, and not what was held against its leaves.
type pending struct {
	Finding
	upTo uint64
}

// Chunks are handed on from either limit on, at the next border of a bundle.
const (
	chunkLeaves = 16 * tile.Width
	chunkBytes  = 1 << 20
)

// examine hashes the leaves of a chunk and compares the bundles and level 0 tiles with them.
func (l *logAudit) examine(ctx context.Context, c *chunk, s *scratch) {
	c.hashes = make([]byte, 0, c.count*tile.HashSize)
	if !l.control {
		c.regions = make([]string, 0, c.count)
	}
	rest := c.data
	for done := 0; done < c.count; done += tile.Width {
		begin, bundle := len(c.hashes), rest
		have := min(tile.Width, c.count-done)
		for i := range have {
			leaf, after, ok := nextLeaf(rest)
			if !ok {
				return // the chain has cut the leaves; they are whole
			}
			rest = after
			h := ledger.LeafHash(leaf)
			c.hashes = append(c.hashes, h[:]...)
			if l.control {
				continue
			}
			region, err := s.leaves.region(leaf)
			if err != nil {
				at := c.first + uint64(done+i)
				c.found = append(c.found, pending{Finding{Failure, "locked/" + l.commitOf(c, at), fmt.Sprintf("leaf %d: %v", at, err)}, at + 1})
			}
			c.regions = append(c.regions, region)
		}
		index := (c.first + uint64(done)) / tile.Width
		found := l.compare(ctx, tile.Entries, index, bundle[:len(bundle)-len(rest)], have, s, nil)
		found = l.compare(ctx, 0, index, c.hashes[begin:], have, s, found)
		for _, f := range found {
			c.found = append(c.found, pending{f, c.first + uint64(done+have)})
		}
		if have == tile.Width {
			s.tile = append(s.tile[:0], c.hashes[begin:]...)
			c.tops = append(c.tops, perfectRoot(s.tile))
		}
	}
}

// commitOf names the commit that holds a leaf of the chunk.
func (l *logAudit) commitOf(c *chunk, index uint64) string {
	for _, end := range c.ends {
		if index < end.header.Size {
			return l.origin + "/" + ledger.CommitKey(end.header.Seq)
		}
	}
	return l.origin + "/" + ledger.CommitPrefix
}

// compare holds all that is stored of one tile against data, its first have hashes or entries as the leaves give them.
func (l *logAudit) compare(ctx context.Context, level int, index uint64, data []byte, have int, s *scratch, found []Finding) []Finding {
	if l.fromBundles && level == tile.Entries {
		return found // nothing is held against itself
	}
	full := tile.Tile{Level: level, Index: index, Width: tile.Width}
	seen := false
	for _, t := range l.inv.of(level, index) {
		if t.Width > have {
			continue // found when the size is known
		}
		seen = seen || t == full
		found = l.compareOne(ctx, t, data, s, found)
	}
	if !seen && have == tile.Width && nodesAt(level, l.mustHave)/tile.Width > index {
		found = append(found, Finding{Failure, l.openName(full), fmt.Sprintf("is missing: the log was published at size %d", l.mustHave)})
	}
	return found
}

func (l *logAudit) compareOne(ctx context.Context, t tile.Tile, data []byte, s *scratch, found []Finding) []Finding {
	want, err := tile.Prefix(t, data)
	if err != nil {
		return append(found, Finding{Failure, l.openName(t), err.Error()})
	}
	// A surplus byte is enough to see; a file beyond any tile's size is not read.
	stored, err := l.cell.Open.Read(ctx, l.origin+"/"+t.Path(), s.object, maxTile)
	switch {
	case errors.Is(err, ErrForbidden):
		return append(found, Finding{Unverified, l.openName(t), err.Error()})
	case errors.Is(err, fs.ErrNotExist):
		return append(found, Finding{Failure, l.openName(t), "is missing"})
	case err != nil:
		return append(found, Finding{Failure, l.openName(t), err.Error()})
	}
	s.object = stored
	if bytes.Equal(stored, want) {
		l.tiles.Add(1)
		return found
	}
	detail := ""
	if t.Level == tile.Entries {
		detail = differBundles(stored, want, t.First())
	} else {
		detail = differTiles(stored, want)
	}
	return append(found, Finding{Failure, l.openName(t), detail})
}

func (l *logAudit) openName(t tile.Tile) string { return "open/" + l.origin + "/" + t.Path() }

// raise adds the root of a full tile to the level above it, and compares the tiles that get full.
func (l *logAudit) raise(ctx context.Context, level int, h ledger.Hash) {
	for len(l.levels) <= level {
		l.levels = append(l.levels, make([]byte, 0, tile.Width*tile.HashSize))
	}
	l.levels[level] = append(l.levels[level], h[:]...)
	if len(l.levels[level]) < tile.Width*tile.HashSize {
		return
	}
	full := l.levels[level]
	index := nodesAt(level, l.edge.size)/tile.Width - 1
	for _, f := range l.compare(ctx, level, index, full, tile.Width, &l.own, nil) {
		l.waiting = append(l.waiting, pending{f, l.edge.size})
	}
	top := perfectRoot(full)
	l.levels[level] = full[:0]
	l.raise(ctx, level+1, top)
}

// unfinished compares the partial tiles of the levels above 0, and finds tiles that a log of this size cannot have.
func (l *logAudit) unfinished(ctx context.Context) error {
	size := l.edge.size
	for level := 1; level < len(l.levels); level++ {
		have := len(l.levels[level]) / tile.HashSize
		if have == 0 {
			continue
		}
		if err := l.findAll(l.compare(ctx, level, nodesAt(level, size)/tile.Width, l.levels[level], have, &l.own, nil)); err != nil {
			return err
		}
	}
	for _, t := range l.inv.tiles {
		if !t.InTree(size) {
			if err := l.find(Failure, l.openName(t), "has no place in this log: the commits hold %d leaves", size); err != nil {
				return err
			}
		}
	}
	return nil
}

// partials holds the archived checkpoints against the partial tiles: each published size has its own, and an unfinished
// bundle is only ever written for a size that is then published.
func (l *logAudit) partials() error {
	for _, size := range l.inv.archives {
		if size > l.edge.size {
			continue // found with the note
		}
		for level := tile.Entries; level < tile.Levels(size); level++ {
			n := nodesAt(level, size)
			t := tile.Tile{Level: level, Index: n / tile.Width, Width: int(n % tile.Width)}
			if t.Width > 0 && !l.inv.hasTile(t) {
				if err := l.find(Failure, l.openName(t), "is missing: the log was published at size %d", size); err != nil {
					return err
				}
			}
		}
	}
	newest := l.inv.published()
	for _, t := range l.inv.tiles {
		if t.Level != tile.Entries || !t.Partial() || !t.InTree(l.edge.size) {
			continue
		}
		size := t.First() + uint64(t.Width)
		if l.inv.archived(size) {
			continue
		}
		var err error
		if size > newest {
			err = l.find(Note, l.openName(t), "belongs to size %d, which is not published: a publication is under way, or was interrupted and is completed when the writer starts again", size)
		} else {
			err = l.find(Failure, "locked/"+l.origin+"/"+ledger.ArchiveKey(size), "is missing: %s belongs to it", l.openName(t))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
