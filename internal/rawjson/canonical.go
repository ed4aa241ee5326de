package rawjson

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// AppendCanonical appends the validated value src in one spelling: members sorted by the bytes of their names, no
// white space, numbers as written, strings as AppendString writes them. Members of equal names stay in their order, so
// nothing is lost. clean is false where a lone surrogate was replaced. A value that is not valid, or deeper than
// MaxDepth, is appended as it stands, and clean is false.
func AppendCanonical(dst, src []byte) (out []byte, clean bool) {
	t := Tree{AllowDuplicates: true}
	if err := t.Parse(src, MaxDepth); err != nil {
		return append(dst, src...), false
	}
	return t.AppendCanonical(dst, 0), !t.Lone
}

// AppendCanonical appends node i of the tree as the package's AppendCanonical does.
func (t *Tree) AppendCanonical(dst []byte, i int32) []byte {
	n := &t.nodes[i]
	switch n.Kind {
	case KindString:
		return t.appendBody(dst, n.start, n.end, n.escaped)
	case KindArray:
		dst = append(dst, '[')
		for j, kid := range t.Kids(i) {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = t.AppendCanonical(dst, kid)
		}
		return append(dst, ']')
	case KindObject:
		dst = append(dst, '{')
		for j, kid := range t.Kids(i) {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(t.AppendName(dst, kid), ':')
			dst = t.AppendCanonical(dst, kid)
		}
		return append(dst, '}')
	}
	return append(dst, t.src[n.start:n.end]...)
}

// AppendName appends the name of node i as a JSON string in its canonical spelling.
func (t *Tree) AppendName(dst []byte, i int32) []byte {
	n := &t.nodes[i]
	return t.appendBody(dst, n.nameStart-1, n.nameEnd+1, n.nameEscaped)
}

// appendBody appends the string that stands, with its quotes, at src[start:end].
func (t *Tree) appendBody(dst []byte, start, end int32, escaped bool) []byte {
	if !escaped {
		return append(dst, t.src[start:end]...)
	}
	t.scratch, _ = AppendUnescaped(t.scratch[:0], t.src[start+1:end-1])
	return AppendQuoted(dst, t.scratch)
}

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// special marks, in the high bit of each byte of v, the bytes that a string must escape: the quote, the backslash and
// the control characters. The lowest mark is exact; those above it may be false.
func special(v uint64) uint64 {
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (v-ones*0x20)&^v) & high
}

// specials is special with every mark exact.
func specials(v uint64) uint64 {
	const low = ^uint64(high)
	quote, slash, control := v^(ones*'"'), v^(ones*'\\'), v&(ones*0xe0)
	return ^((quote&low + low | quote) & (slash&low + low | slash) & (control&low + low | control)) & high
}

// AppendQuoted appends s, which must be valid UTF-8, as AppendString does; it is faster.
func AppendQuoted(dst, s []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(s)+len(s)/4+64)
	buf := dst[:cap(dst)]
	buf[n] = '"'
	n++
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if n+64 > len(buf) { // the worst of eight bytes is 48
			buf = slices.Grow(buf[:n], 2*(len(s)-i)+64)
			buf = buf[:cap(buf)]
		}
		v := binary.LittleEndian.Uint64(s[i:])
		marks := specials(v)
		done := 0 // bytes of v that are written
		for ; marks != 0; marks &= marks - 1 {
			at := bits.TrailingZeros64(marks) >> 3
			binary.LittleEndian.PutUint64(buf[n:], v>>(8*done))
			n += at - done
			done = at + 1
			if c := byte(v >> (8 * at)); c == '"' {
				binary.LittleEndian.PutUint16(buf[n:], '\\'|'"'<<8)
				n += 2
			} else {
				n += escapeInto(buf[n:], c)
			}
		}
		binary.LittleEndian.PutUint64(buf[n:], v>>(8*done&63))
		n += 8 - done
	}
	if n+64 > len(buf) {
		buf = slices.Grow(buf[:n], 64)
		buf = buf[:cap(buf)]
	}
	for _, c := range s[i:] {
		if plain[c] || c >= 0x80 {
			buf[n] = c
			n++
			continue
		}
		n += escapeInto(buf[n:], c)
	}
	buf[n] = '"'
	return buf[:n+1]
}

// escapeInto writes the escape of c and returns its length.
func escapeInto(buf []byte, c byte) int {
	_ = buf[5]
	buf[0] = '\\'
	if short := shortEscape[c]; short != 0 {
		buf[1] = short
		return 2
	}
	buf[1], buf[2], buf[3], buf[4], buf[5] = 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]
	return 6
}

var shortEscape = [256]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}
