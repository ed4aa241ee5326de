package index

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
)

// Free text is looked for in a column of its own: the values of the event, and the member names of the free-form JSON in
// it, in lower case, each once, a line each. That is a quarter of a record, and says all that the record says: the
// provider's bytes are not in it, because everything in them is elsewhere in the event.

// textless are the fields whose values are not searched: the provider's bytes, numbers whose captions are fields, times,
// which are asked for as such, and what domicile itself adds. In ascending order.
var textless = []string{
	"/activity_id", "/actor/session/created_time", "/actor/session/created_time_dt", "/category_name", "/category_uid", "/class_uid",
	"/cloud/account/type", "/cloud/account/type_id", "/enrichments", "/metadata/logged_time", "/metadata/logged_time_dt",
	"/metadata/loggers", "/metadata/original_time", "/metadata/processed_time", "/metadata/processed_time_dt",
	"/metadata/profiles", "/metadata/version", "/raw_data", "/raw_data_hash/algorithm", "/raw_data_hash/algorithm_id", "/raw_data_hash/value",
	"/raw_data_size", "/severity_id", "/status_id", "/time", "/time_dt", "/type_name", "/type_uid",
}

// A textList collects the text of one event after the other. Not safe for concurrent use.
type textList struct {
	text  []byte
	table []place // open addressing, by hash
	used  int
	buf   []byte
}

// A place is where in text a value stands; the zero place is free.
type place struct{ from, end uint32 }

// of returns the text of an event.
func (l *textList) of(fields []ledger.Field) string {
	l.text, l.used = l.text[:0], 0
	clear(l.table)
	skip := 0
	for i := range fields {
		f := &fields[i]
		for skip < len(textless) && textless[skip] < f.Pointer {
			skip++
		}
		if skip < len(textless) && textless[skip] == f.Pointer {
			continue
		}
		l.value(f.Value)
	}
	if len(l.table) > 1<<16 {
		l.table, l.text = nil, bytes.Clone(l.text) // do not keep the memory of a rare giant
	}
	return string(l.text)
}

// value adds the scalars of a JSON value, and the names of members in it.
func (l *textList) value(v []byte) {
	if v[0] != '{' && v[0] != '[' {
		l.scalar(v)
		return
	}
	for i := 0; i < len(v); {
		start := i
		switch c := v[i]; c {
		case '{', '}', '[', ']', ',', ':':
			i++
			continue
		case '"':
			end, err := rawjson.String(v, i)
			if err != nil {
				return // a field of a record that was cut is valid JSON
			}
			i = end
		default:
			for i < len(v) && v[i] != ',' && v[i] != '}' && v[i] != ']' {
				i++
			}
		}
		l.scalar(v[start:i])
	}
}

func (l *textList) scalar(v []byte) {
	switch {
	case v[0] != '"':
		if c := v[0]; c == 'n' || c == 't' || c == 'f' {
			return // null, true, false
		}
		l.add(v, true)
		return
	case len(v) == 2:
		return
	}
	v = v[1 : len(v)-1]
	ascii := true
	for _, c := range v {
		if c == '\\' {
			l.buf, _ = rawjson.AppendUnescaped(l.buf[:0], v)
			l.add(l.buf, false)
			return
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	l.add(v, ascii)
}

// add adds a value unless it is there.
func (l *textList) add(v []byte, ascii bool) {
	from := len(l.text)
	if ascii {
		for _, c := range v {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			l.text = append(l.text, c)
		}
	} else {
		l.text = append(l.text, lower(string(v))...)
	}
	if 2*l.used >= len(l.table) {
		l.grow()
	}
	p := place{uint32(from), uint32(len(l.text))}
	if l.insert(p) {
		l.text = append(l.text, '\n')
		l.used++
	} else {
		l.text = l.text[:from]
	}
}

// insert puts a value into the table, unless one like it is there.
func (l *textList) insert(p place) bool {
	value := l.text[p.from:p.end]
	hash := uint64(len(value)) * 0x9E3779B97F4A7C15
	for len(value) >= 8 {
		hash = (hash ^ uint64(value[0]) ^ uint64(value[1])<<8 ^ uint64(value[2])<<16 ^ uint64(value[3])<<24 ^
			uint64(value[4])<<32 ^ uint64(value[5])<<40 ^ uint64(value[6])<<48 ^ uint64(value[7])<<56) * 0xff51afd7ed558ccd
		hash ^= hash >> 32
		value = value[8:]
	}
	for _, c := range value {
		hash = (hash ^ uint64(c)) * 0xff51afd7ed558ccd
	}
	hash ^= hash >> 32
	value = l.text[p.from:p.end]
	mask := uint64(len(l.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		q := &l.table[at]
		if q.end == 0 {
			*q = p
			return true
		}
		if bytes.Equal(l.text[q.from:q.end], value) {
			return false
		}
	}
}

func (l *textList) grow() {
	before := l.table
	l.table = make([]place, max(256, 2*len(before)))
	for _, p := range before {
		if p.end != 0 {
			l.insert(p)
		}
	}
}

// lower is how text is folded, on both sides.
func lower(s string) string { return strings.Map(unicode.ToLower, s) }

// wordByte reports whether a byte belongs to a word: an ASCII letter or digit, or whatever is not ASCII. ClickHouse's
// hasToken and the index tokenbf_v1 cut words like that.
func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// wordsOf cuts a term into its words.
func wordsOf(term string) (words []string) {
	for i := 0; i < len(term); {
		from := i
		for i < len(term) && wordByte(term[i]) {
			i++
		}
		if i > from {
			words = append(words, term[from:i])
		}
		for i < len(term) && !wordByte(term[i]) {
			i++
		}
	}
	return words
}

// termPattern is the regular expression for a term that is more than one word: as it stands, and not inside a longer
// word.
func termPattern(term string) string {
	const boundary = `[^0-9a-z\x{80}-\x{10FFFF}]`
	pattern := regexp.QuoteMeta(term)
	if wordByte(term[0]) {
		pattern = `(?:^|` + boundary + `)` + pattern
	}
	if wordByte(term[len(term)-1]) {
		pattern += `(?:$|` + boundary + `)`
	}
	return pattern
}
