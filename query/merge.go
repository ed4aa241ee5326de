package query

import (
	"cmp"
	"slices"

	"domicile.dev/domicile/query/index"
)

// merge merges the rows of several cells, each in descending order of position, up to a limit. taken says how many of
// each are in the answer.
func merge(lists [][]index.Row, limit int) (rows []index.Row, taken []int) {
	taken = make([]int, len(lists))
	for len(rows) < limit {
		next := -1
		for i, list := range lists {
			if taken[i] == len(list) {
				continue
			}
			if next < 0 || descending(list[taken[i]].Position, lists[next][taken[next]].Position) < 0 {
				next = i
			}
		}
		if next < 0 {
			break
		}
		rows = append(rows, lists[next][taken[next]])
		taken[next]++
	}
	return rows, taken
}

// addUp adds the counts of several cells. Above a limit those with the most events stay.
func addUp(lists [][]index.Group, limit int) (groups []index.Group, cut bool) {
	type name struct {
		start  int64
		values string
	}
	at := make(map[name]int)
	for _, list := range lists {
		for _, g := range list {
			key := name{g.Start, string(appendTexts(nil, g.Values))}
			i, ok := at[key]
			if !ok {
				at[key] = len(groups)
				groups = append(groups, g)
				continue
			}
			groups[i].Count += g.Count
		}
	}
	if cut = len(groups) > limit; cut {
		slices.SortFunc(groups, func(a, b index.Group) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Start, b.Start), slices.Compare(a.Values, b.Values))
		})
		groups = groups[:limit]
	}
	sortGroups(groups)
	return groups, cut
}
