package query

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"domicile.dev/domicile/query/index"
)

// normalized is a filter in the one spelling of what it asks: two that find the same events for the same reason give
// the same bytes, whatever the order of their values.
func normalized(f *index.Filter) []byte {
	var b []byte
	for _, t := range []int64{f.From.UnixMilli(), f.To.UnixMilli()} {
		b = binary.AppendVarint(b, t)
	}
	b = append(b, flag(f.From.IsZero()), flag(f.To.IsZero()))
	columns := slices.Sorted(maps.Keys(f.Equal))
	b = binary.AppendUvarint(b, uint64(len(columns)))
	for _, column := range columns {
		b = appendText(b, string(column))
		b = appendTexts(b, slices.Compact(slices.Sorted(slices.Values(f.Equal[column]))))
	}
	b = appendText(b, f.Text)
	for _, origin := range slices.Sorted(maps.Keys(f.Since)) {
		b = binary.AppendUvarint(appendText(b, origin), f.Since[origin])
	}
	return b
}

// appendText appends a string so that what follows cannot be taken for a part of it.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTexts(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// limited holds a limit to its bounds; 0 stands for the usual one.
func limited(what string, limit, usual, most int) (int, error) {
	switch {
	case limit == 0:
		return usual, nil
	case limit < 0 || limit > most:
		return 0, fmt.Errorf("%w: a limit of %d %s: use 1 to %d", ErrInvalid, limit, what, most)
	}
	return limit, nil
}
