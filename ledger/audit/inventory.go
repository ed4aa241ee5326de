package audit

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// inventory is what a store listed of one log, before its commits were read. Everything in it must be accounted for.
type inventory struct {
	archives    []uint64    // sizes of archived checkpoints, ascending
	commits     []uint64    // sequence numbers, ascending
	tiles       []tile.Tile // by level, index, width
	payloads    []string    // names after payload/, ascending
	attachments []string    // names after attachment/, ascending
	checkpoint  bool        // open/checkpoint is there
}

var (
	digits20    = regexp.MustCompile(`^[0-9]{20}$`)
	payloadName = regexp.MustCompile(`^[0-9]{20}-[0-9a-f]{16}$`)
	hexName     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// takeInventory lists one log. The order matters where the log is written to meanwhile: a checkpoint is archived after
// its tiles, and a commit is made after its payloads, so what is listed first is a part of what is read later.
func (a *auditor) takeInventory(ctx context.Context, cell Cell, origin string) (*inventory, error) {
	inv := new(inventory)
	for _, list := range []struct {
		store  string
		from   Objects
		folder string
		take   func(name string) bool
	}{
		{"locked/", cell.Locked, ledger.CheckpointPrefix, func(name string) bool { return number(name, &inv.archives) }},
		{"open/", cell.Open, "", func(name string) bool {
			if name == ledger.CheckpointKey {
				inv.checkpoint = true
				return true
			}
			t, err := tile.ParsePath(name)
			inv.tiles = append(inv.tiles, t)
			return err == nil
		}},
		{"locked/", cell.Locked, ledger.PayloadPrefix, func(name string) bool {
			inv.payloads = append(inv.payloads, name)
			return payloadName.MatchString(name)
		}},
		{"locked/", cell.Locked, ledger.AttachmentPrefix, func(name string) bool {
			inv.attachments = append(inv.attachments, name)
			return hexName.MatchString(name)
		}},
		{"locked/", cell.Locked, ledger.CommitPrefix, func(name string) bool { return number(name, &inv.commits) }},
	} {
		folder := strings.TrimSuffix(origin+"/"+list.folder, "/")
		for object, err := range list.from.List(ctx, folder) {
			if err != nil {
				return nil, fmt.Errorf("list %s%s: %w", list.store, folder, err)
			}
			if object.Irregular != "" {
				if err := a.find(Failure, list.store+object.Key, "is no file (%s)", object.Irregular); err != nil {
					return nil, err
				}
				continue
			}
			if !list.take(strings.TrimPrefix(object.Key, folder+"/")) {
				if err := a.noPlace(list.store + object.Key); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.Sort(inv.archives)
	slices.Sort(inv.commits)
	inv.payloads = slices.DeleteFunc(inv.payloads, func(s string) bool { return !payloadName.MatchString(s) })
	inv.attachments = slices.DeleteFunc(inv.attachments, func(s string) bool { return !hexName.MatchString(s) })
	inv.tiles = slices.DeleteFunc(inv.tiles, func(t tile.Tile) bool { return t.Width == 0 })
	slices.Sort(inv.payloads)
	slices.Sort(inv.attachments)
	slices.SortFunc(inv.tiles, compareTiles)
	return inv, nil
}

func (a *auditor) noPlace(object string) error {
	return a.find(Failure, object, "has no place in a log: no such name is ever written")
}

func number(name string, list *[]uint64) bool {
	n, err := strconv.ParseUint(name, 10, 64)
	if err != nil || !digits20.MatchString(name) {
		return false
	}
	*list = append(*list, n)
	return true
}

func compareTiles(a, b tile.Tile) int {
	return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Width, b.Width))
}

// of returns the tiles that are listed at a place: partial ones by width, the full one last.
func (inv *inventory) of(level int, index uint64) []tile.Tile {
	from, _ := slices.BinarySearchFunc(inv.tiles, tile.Tile{Level: level, Index: index}, compareTiles)
	to := from
	for to < len(inv.tiles) && inv.tiles[to].Level == level && inv.tiles[to].Index == index {
		to++
	}
	return inv.tiles[from:to]
}

// hasTile reports whether a tile is listed.
func (inv *inventory) hasTile(t tile.Tile) bool {
	_, ok := slices.BinarySearchFunc(inv.tiles, t, compareTiles)
	return ok
}

func (inv *inventory) archived(size uint64) bool {
	_, ok := slices.BinarySearch(inv.archives, size)
	return ok
}

// published is the size up to which the log must have all its tiles.
func (inv *inventory) published() uint64 {
	if len(inv.archives) == 0 {
		return 0
	}
	return inv.archives[len(inv.archives)-1]
}
