package normalize

import (
	"bytes"

	"domicile.dev/domicile/internal/rawjson"
)

// text writes a scalar as a string, and takes it. Empty strings say nothing.
func text(b *builder, dst []byte, n int32) []byte {
	start := len(dst)
	if dst = textOnly(b, dst, n); len(dst) > start {
		b.take(n)
	}
	return dst
}

// textOnly is text for a value that something else needs as well: it stays in unmapped.
func textOnly(b *builder, dst []byte, n int32) []byte {
	if !b.scalar(n) {
		return dst
	}
	if b.tree.Kind(n) == rawjson.KindString {
		if len(b.tree.Raw(n)) == 2 {
			return dst
		}
		return b.tree.AppendCanonical(dst, n)
	}
	return append(append(append(dst, '"'), b.tree.Raw(n)...), '"')
}

// whole writes any value as it is, in canonical spelling, and takes it.
func whole(b *builder, dst []byte, n int32) []byte {
	b.take(n)
	return b.tree.AppendCanonical(dst, n)
}

// boolean writes true and false, also where the provider wrote them as text ("true", "Yes"), and takes them unless the
// text says it in another word.
func boolean(b *builder, dst []byte, n int32) []byte {
	source := b.tree.Text(n)
	word := "false"
	switch truth(source) {
	case 0:
		return dst
	case 1:
		word = "true"
	}
	if string(source) == word {
		b.take(n)
	}
	return append(dst, word...)
}

// truth reads a boolean: 1 true, -1 false, 0 neither.
func truth(text []byte) int8 {
	switch {
	case bytes.EqualFold(text, []byte("true")), bytes.EqualFold(text, []byte("yes")):
		return 1
	case bytes.EqualFold(text, []byte("false")), bytes.EqualFold(text, []byte("no")):
		return -1
	}
	return 0
}

// integer writes a whole number of at most 15 digits, and takes it.
func integer(b *builder, dst []byte, n int32) []byte {
	raw := b.tree.Raw(n)
	if b.tree.Kind(n) != rawjson.KindNumber || len(raw) > 15 || bytes.ContainsAny(raw, ".eE") || string(raw) == "-0" {
		return dst
	}
	b.take(n)
	return append(dst, raw...)
}

// constant writes the JSON value given.
func constant(json string) put {
	return func(_ *builder, dst []byte, _ int32) []byte { return append(dst, json...) }
}

// moment writes a time as ms since the epoch. The text itself is not taken: momentDT says it.
func moment(b *builder, dst []byte, n int32) []byte {
	if at, ok := parseTime(b.tree.Text(n), b.dates); ok {
		b.dates = at.text
		return appendInt(dst, at.ms)
	}
	return dst
}

// momentDT writes a time as RFC 3339 with the precision that it has, and takes it if that says all.
func momentDT(b *builder, dst []byte, n int32) []byte {
	source := b.tree.Text(n)
	at, ok := parseTime(source, b.dates)
	if !ok {
		return dst
	}
	b.dates = at.text
	if bytes.Equal(at.text, source) {
		b.take(n)
	}
	return quote(dst, at.text)
}
