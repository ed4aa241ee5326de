package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Object walks over the members of an object in the order they stand:
//
//	o := rawjson.Members(src)
//	for o.Next() {
//		… o.Name, o.Value …
//	}
//	if err := o.Err(); err != nil { … }
//
// Every value is validated as it is passed; duplicate names are handed out as they stand.
type Object struct {
	Name  []byte // between the quotes, escapes as written
	Value []byte // exact bytes, no white space around

	parts
}

// Array walks over the elements of an array, like Object.
type Array struct {
	Value []byte

	parts
}

type parts struct {
	form    Form
	src     []byte
	pos     int
	started bool
	closed  bool
	err     error
}

// Members begins a walk over the object that src starts with.
func (f Form) Members(src []byte) Object { return Object{parts: parts{form: f, src: src}} }

// Members is Form{}.Members.
func Members(src []byte) Object { return Form{}.Members(src) }

// Elements begins a walk over the array that src starts with.
func Elements(src []byte) Array { return Array{parts: parts{src: src}} }

// Err returns what ended the walk early, nil after the closing bracket.
func (p *parts) Err() error { return p.err }

// End returns the offset just after the closing bracket, once Next has returned false without an error.
func (p *parts) End() int { return p.pos }

// advance stands before the next element or reports the end.
func (p *parts) advance(open, closing byte, what string) bool {
	if p.closed || p.err != nil {
		return false
	}
	if !p.started {
		p.started = true
		if len(p.src) == 0 || p.src[0] != open {
			p.err = fail(0, "not "+what)
			return false
		}
		p.pos = p.form.space(p.src, 1)
		if p.pos < len(p.src) && p.src[p.pos] == closing {
			p.pos++
			p.closed = true
			return false
		}
		return true
	}
	p.pos, p.closed, p.err = p.form.after(p.src, p.pos, closing)
	return p.err == nil && !p.closed
}

// Next goes to the next member; false at the end or on an error.
func (o *Object) Next() bool {
	if !o.advance('{', '}', "an object") {
		return false
	}
	nameEnd, val, err := o.form.member(o.src, o.pos)
	if err != nil {
		o.err = err
		return false
	}
	end, err := o.form.Value(o.src, val)
	if err != nil {
		o.err = err
		return false
	}
	o.Name, o.Value, o.pos = o.src[o.pos+1:nameEnd-1], o.src[val:end], end
	return true
}

// Next goes to the next element; false at the end or on an error.
func (a *Array) Next() bool {
	if !a.advance('[', ']', "an array") {
		return false
	}
	end, err := a.form.Value(a.src, a.pos)
	if err != nil {
		a.err = err
		return false
	}
	a.Value, a.pos = a.src[a.pos:end], end
	return true
}

// AppendUnescaped appends what the string body s (between its quotes, validated) stands for. A lone surrogate becomes
// U+FFFD; clean is false then.
func AppendUnescaped(dst, s []byte) (out []byte, clean bool) {
	clean = true
	for len(s) > 0 {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...), clean
		}
		dst = append(dst, s[:i]...)
		s = s[i:]
		n := escape(s)
		if n == 0 { // not a validated body: keep the byte
			dst, s = append(dst, s[0]), s[1:]
			continue
		}
		if n == 2 {
			dst = append(dst, unescaped(s[1]))
			s = s[2:]
			continue
		}
		r := hex4(s[2:6])
		s = s[6:]
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if len(s) >= 6 && s[0] == '\\' && escape(s) == 6 {
				low = hex4(s[2:6])
			}
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				r, s = pair, s[6:]
			} else {
				r, clean = utf8.RuneError, false
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, clean
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(s []byte) (r rune) {
	for _, c := range s {
		r = r<<4 | unhex(c)
	}
	return r
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string with the fewest escapes: the quote, the backslash and the control characters
// below U+0020 (the short forms where there are some). Bytes that are not UTF-8 become U+FFFD.
func AppendString[T []byte | string](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n <= 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += max(n, 1)
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
