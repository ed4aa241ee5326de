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
	text := func(s string) {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, t := range []int64{f.From.UnixMilli(), f.To.UnixMilli()} {
		b = binary.AppendVarint(b, t)
	}
	b = append(b, flag(f.From.IsZero()), flag(f.To.IsZero()))
	columns := slices.Sorted(maps.Keys(f.Equal))
	b = binary.AppendUvarint(b, uint64(len(columns)))
	for _, column := range columns {
		text(string(column))
		values := slices.Compact(slices.Sorted(slices.Values(f.Equal[column])))
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, value := range values {
			text(value)
		}
	}
	text(f.Text)
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// checkFilter says what cannot be asked.
func checkFilter(f *index.Filter) error {
	if err := f.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
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
