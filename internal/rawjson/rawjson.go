// Package rawjson reads JSON as bytes: it validates a value strictly (RFC 8259, UTF-8, a depth limit) and hands out
// the exact bytes of its parts, without decoding numbers or copying strings.
//
// It exists because evidence must not be re-interpreted: encoding/json matches member names case-insensitively, lets
// the last duplicate win and rounds numbers. Nothing here does; what a caller gets is a slice of what it gave.
//
// Nothing panics on any input, and the time taken is linear in its length.
package rawjson

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest in a value that this package accepts: a top-level scalar has depth
// 0, an object of scalars depth 1.
const MaxDepth = 512

// What a SyntaxError wraps where a caller may want to tell these cases apart.
var (
	ErrDepth     = errors.New("nested too deep")     // deeper than the limit
	ErrUTF8      = errors.New("invalid UTF-8")       // in a string
	ErrDuplicate = errors.New("duplicate name")      // two members of one object have the same name (Tree only)
	ErrEnd       = errors.New("input ends too soon") // what is there is the beginning of a valid value
)

// SyntaxError says what is wrong with a value, and where.
type SyntaxError struct {
	Offset int // in bytes, from the start of the slice given
	Reason string
	cause  error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap returns one of the package's sentinel errors, or nil.
func (e *SyntaxError) Unwrap() error { return e.cause }

func fail(at int, reason string) error { return &SyntaxError{Offset: at, Reason: reason} }

func failAs(at int, cause error) error {
	return &SyntaxError{Offset: at, Reason: cause.Error(), cause: cause}
}

// A Form says which spellings of JSON are accepted. The zero Form is RFC 8259 with MaxDepth.
type Form struct {
	Compact  bool // no white space outside strings
	MaxDepth int  // 0 means the package's MaxDepth
}

// Value validates the JSON value that starts at src[pos] (no leading white space) and returns the offset just after it.
func (f Form) Value(src []byte, pos int) (end int, err error) {
	limit := f.MaxDepth
	if limit == 0 {
		limit = MaxDepth
	}
	return f.value(src, pos, limit)
}

// Value is Form{}.Value.
func Value(src []byte, pos int) (end int, err error) { return Form{}.Value(src, pos) }

// Valid validates that src is one JSON value and nothing else; white space around it is allowed unless f is compact.
func (f Form) Valid(src []byte) error {
	pos := f.space(src, 0)
	end, err := f.Value(src, pos)
	if err != nil {
		return err
	}
	if end = f.space(src, end); end != len(src) {
		return fail(end, "data after the value")
	}
	return nil
}

func (f Form) value(src []byte, pos, depth int) (int, error) {
	if pos >= len(src) {
		return pos, failAs(pos, ErrEnd)
	}
	switch c := src[pos]; c {
	case '"':
		return String(src, pos)
	case '{':
		return f.object(src, pos, depth)
	case '[':
		return f.array(src, pos, depth)
	case 't':
		return literal(src, pos, "true")
	case 'f':
		return literal(src, pos, "false")
	case 'n':
		return literal(src, pos, "null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return number(src, pos)
		}
		return pos, fail(pos, fmt.Sprintf("unexpected byte %q", c))
	}
}

func (f Form) object(src []byte, pos, depth int) (int, error) {
	if depth == 0 {
		return pos, failAs(pos, ErrDepth)
	}
	pos = f.space(src, pos+1)
	if pos < len(src) && src[pos] == '}' {
		return pos + 1, nil
	}
	for {
		_, val, err := f.member(src, pos)
		if err != nil {
			return val, err
		}
		if pos, err = f.value(src, val, depth-1); err != nil {
			return pos, err
		}
		next, done, err := f.after(src, pos, '}')
		if err != nil || done {
			return next, err
		}
		pos = next
	}
}

// member reads `"name" :` at pos and returns the end of the name (after its quote) and the start of the value.
func (f Form) member(src []byte, pos int) (nameEnd, val int, err error) {
	if pos >= len(src) || src[pos] != '"' {
		return pos, pos, fail(pos, "member name missing")
	}
	nameEnd, err = String(src, pos)
	if err != nil {
		return nameEnd, nameEnd, err
	}
	val = f.space(src, nameEnd)
	if val >= len(src) || src[val] != ':' {
		return nameEnd, val, fail(val, "colon missing")
	}
	return nameEnd, f.space(src, val+1), nil
}

// after reads the comma or the closing byte that must follow an element, and the white space around it.
func (f Form) after(src []byte, pos int, closing byte) (next int, done bool, err error) {
	pos = f.space(src, pos)
	if pos >= len(src) {
		return pos, false, failAs(pos, ErrEnd)
	}
	switch src[pos] {
	case ',':
		return f.space(src, pos+1), false, nil
	case closing:
		return pos + 1, true, nil
	}
	return pos, false, fail(pos, fmt.Sprintf("expected a comma or %q, not %q", closing, src[pos]))
}

func (f Form) array(src []byte, pos, depth int) (int, error) {
	if depth == 0 {
		return pos, failAs(pos, ErrDepth)
	}
	pos = f.space(src, pos+1)
	if pos < len(src) && src[pos] == ']' {
		return pos + 1, nil
	}
	for {
		end, err := f.value(src, pos, depth-1)
		if err != nil {
			return end, err
		}
		next, done, err := f.after(src, end, ']')
		if err != nil || done {
			return next, err
		}
		pos = next
	}
}

func (f Form) space(src []byte, pos int) int {
	if f.Compact {
		return pos
	}
	return Space(src, pos)
}

// Space returns the offset of the first byte at or after pos that is not JSON white space.
func Space(src []byte, pos int) int {
	for pos < len(src) && (src[pos] == ' ' || src[pos] == '\n' || src[pos] == '\r' || src[pos] == '\t') {
		pos++
	}
	return pos
}

func literal(src []byte, pos int, want string) (int, error) {
	if len(src)-pos < len(want) || string(src[pos:pos+len(want)]) != want {
		return pos, fail(pos, "expected "+want)
	}
	return pos + len(want), nil
}

// number reads `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`.
func number(src []byte, pos int) (int, error) {
	start := pos
	if src[pos] == '-' {
		pos++
	}
	whole := pos
	pos = digits(src, pos)
	if pos == whole || src[whole] == '0' && pos > whole+1 {
		return start, fail(start, "malformed number")
	}
	if pos < len(src) && src[pos] == '.' {
		frac := pos + 1
		if pos = digits(src, frac); pos == frac {
			return start, fail(start, "malformed number")
		}
	}
	if pos < len(src) && (src[pos] == 'e' || src[pos] == 'E') {
		pos++
		if pos < len(src) && (src[pos] == '+' || src[pos] == '-') {
			pos++
		}
		exp := pos
		if pos = digits(src, exp); pos == exp {
			return start, fail(start, "malformed number")
		}
	}
	return pos, nil
}

func digits(src []byte, pos int) int {
	for pos < len(src) && src[pos] >= '0' && src[pos] <= '9' {
		pos++
	}
	return pos
}

// plain[c] is true for the ASCII bytes that stand for themselves inside a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// String validates the string that starts with the quote at src[pos] and returns the offset after its closing quote.
// Escapes are checked for form only: a lone surrogate escape is well-formed JSON (RFC 8259, section 8.2).
func String(src []byte, pos int) (end int, err error) {
	start := pos
	pos++
	for pos < len(src) {
		c := src[pos]
		switch {
		case plain[c]:
			pos++
		case c == '"':
			return pos + 1, nil
		case c == '\\':
			n := escape(src[pos:])
			if n == 0 {
				return pos, fail(pos, "malformed escape")
			}
			pos += n
		case c < 0x20:
			return pos, fail(pos, "control character in a string")
		default:
			r, n := utf8.DecodeRune(src[pos:])
			if r == utf8.RuneError && n <= 1 {
				return pos, failAs(pos, ErrUTF8)
			}
			pos += n
		}
	}
	return start, failAs(start, ErrEnd)
}

// escape returns the length of the escape sequence that s starts with, 0 if it is malformed.
func escape(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) < 6 {
			return 0
		}
		for _, c := range s[2:6] {
			if unhex(c) < 0 {
				return 0
			}
		}
		return 6
	}
	return 0
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return rune(c - 'A' + 10)
	}
	return -1
}
