package tile

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxEntry is the greatest length of an entry in bytes: a bundle gives it in 16
// bits.
const MaxEntry = 1<<16 - 1

// ErrBundle: the bytes are not the bundle that their path promises.
var ErrBundle = errors.New("not a bundle of that width")

// AppendEntry appends an entry as bundles hold it: its length as a big-endian
// uint16, then its bytes. The entry must not be longer than MaxEntry.
func AppendEntry(b, entry []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(entry)))
	return append(b, entry...)
}

// ParseBundle cuts a bundle into exactly width entries, which share its memory.
// The error wraps ErrBundle.
func ParseBundle(bundle []byte, width int) ([][]byte, error) {
	entries := make([][]byte, 0, min(max(width, 0), Width))
	rest := bundle
	for len(rest) > 0 {
		entry, after, ok := cutEntry(rest)
		if !ok {
			return nil, fmt.Errorf("entry %d is cut off: %w", len(entries), ErrBundle)
		}
		if len(entries) == width {
			return nil, fmt.Errorf("%d bytes after entry %d: %w", len(rest), width-1, ErrBundle)
		}
		entries = append(entries, entry)
		rest = after
	}
	if len(entries) != width {
		return nil, fmt.Errorf("%d entries and not %d: %w", len(entries), width, ErrBundle)
	}
	return entries, nil
}

func cutEntry(b []byte) (entry, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < end {
		return nil, nil, false
	}
	return b[2:end:end], b[end:], true
}

// Prefix returns the bytes of the narrower tile t out of those of a wider one
// with the same level and index: a tile only ever grows at its end. data must be
// well-formed as far as t reaches; more bytes are ignored.
func Prefix(t Tile, data []byte) ([]byte, error) {
	if t.Level != Entries {
		if len(data) < t.Width*HashSize {
			return nil, fmt.Errorf("tile %s: %d bytes hold no %d hashes", t, len(data), t.Width)
		}
		return data[:t.Width*HashSize], nil
	}
	rest := data
	for range t.Width {
		var ok bool
		if _, rest, ok = cutEntry(rest); !ok {
			return nil, fmt.Errorf("bundle %s: %w", t, ErrBundle)
		}
	}
	return data[:len(data)-len(rest)], nil
}
