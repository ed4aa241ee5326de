package query

import (
	"fmt"
	"slices"

	"domicile.dev/domicile/ledger"
)

// masked reports whether a view is asked for instead of the record.
func (o *ProofOptions) masked() bool { return o.Disclose != nil || o.Hide != nil }

// mask makes the view of a record that was asked for.
func (o *ProofOptions) mask(rec *ledger.Record) ([]byte, error) {
	show := func(pointer string) bool { return matches(o.Disclose, pointer) }
	if o.Hide != nil {
		show = func(pointer string) bool { return !matches(o.Hide, pointer) }
	}
	// A pattern without effect is a mistake, and one that hides nothing gives away what it was to hide.
	for _, pattern := range slices.Concat(o.Disclose, o.Hide) {
		if !slices.ContainsFunc(rec.Fields, func(f ledger.Field) bool { return matches([]string{pattern}, f.Pointer) }) {
			return nil, fmt.Errorf("%w: the event has no field %s", ErrInvalid, pattern)
		}
	}
	return ledger.Mask(rec, show).Append(nil), nil
}

// matches reports whether a pointer is one of the patterns, or lies below one that ends in /*.
func matches(patterns []string, pointer string) bool {
	for _, p := range patterns {
		if n := len(p) - 1; p == pointer || n > 0 && p[n] == '*' && len(pointer) > n && pointer[:n] == p[:n] {
			return true
		}
	}
	return false
}
