package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// An entryCoder writes or reads the canonical JSON of control entries and policy documents. A type describes its
// members once, in order, and that one description serves both ways: what is written and what is accepted cannot drift
// apart. Reading takes exactly one spelling of every value (no white space, no escapes, no leading zeros), so that an
// input which is read is the encoding of what it was read into.
//
// The first error sticks and everything after it does nothing.
type entryCoder struct {
	reading bool
	b       []byte // writing: what is written so far; reading: what is left
	comma   bool   // a member of the current object was coded
	at      string // the member being coded, for errors
	err     error
}

func (c *entryCoder) fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf(format, args...)
	if c.at != "" {
		c.err = fmt.Errorf("member %q: %w", c.at, c.err)
	}
}

// lit writes s, or takes it from the input.
func (c *entryCoder) lit(s string) {
	switch {
	case c.err != nil:
	case !c.reading:
		c.b = append(c.b, s...)
	case !c.next(s):
		c.fail("expected %s", s)
	default:
		c.b = c.b[len(s):]
	}
}

// next tells whether the input goes on with s.
func (c *entryCoder) next(s string) bool { return len(c.b) >= len(s) && string(c.b[:len(s)]) == s }

// end requires that all input was read.
func (c *entryCoder) end() {
	if c.err == nil && len(c.b) > 0 {
		c.at = ""
		c.fail("%d bytes after its end", len(c.b))
	}
}

func (c *entryCoder) object(members func()) {
	c.lit("{")
	c.comma = false
	members()
	c.lit("}")
	c.comma = true
}

func (c *entryCoder) member(name string) {
	if c.err != nil {
		return
	}
	c.at = name
	if c.comma {
		c.lit(",")
	}
	c.comma = true
	c.lit(`"` + name + `":`)
}

func (c *entryCoder) literal(name, value string) {
	c.member(name)
	c.lit(value)
}

// null writes null where a value is absent, or takes it from the input, and tells whether it did.
func (c *entryCoder) null(absent bool) bool {
	if c.err != nil {
		return true
	}
	if c.reading {
		absent = c.next("null")
	}
	if absent {
		c.lit("null")
	}
	return absent
}

// quoted writes *v between quotes, or reads such a string. The caller checks what it may hold; that excludes quotes,
// backslashes and everything outside printable ASCII, so that a string ends at the next quote.
func (c *entryCoder) quoted(v *string) {
	if !c.reading {
		c.lit(`"` + *v + `"`)
		return
	}
	c.lit(`"`)
	if c.err != nil {
		return
	}
	for i, b := range c.b {
		if b == '"' {
			*v = string(c.b[:i])
			c.b = c.b[i+1:]
			return
		}
	}
	c.fail("unterminated string")
}

// A textKind is what a string may hold.
type textKind struct {
	name string
	ok   func(string) bool
}

func (c *entryCoder) textValue(v *string, kind textKind) {
	if c.err != nil {
		return
	}
	c.quoted(v)
	if c.err == nil && !kind.ok(*v) {
		c.fail("not %s", kind.name)
	}
}

func (c *entryCoder) text(name string, v *string, kind textKind) {
	c.member(name)
	c.textValue(v, kind)
}

// optionalText codes an absent string ("") as null.
func (c *entryCoder) optionalText(name string, v *string, kind textKind) {
	c.member(name)
	if c.null(*v == "") {
		return
	}
	c.textValue(v, kind)
}

// entryEnum codes a string of a closed set.
func entryEnum[T ~string](c *entryCoder, name string, v *T, set []T) {
	c.member(name)
	s := string(*v)
	c.quoted(&s)
	if c.err != nil {
		return
	}
	for _, known := range set {
		if s == string(known) {
			*v = known
			return
		}
	}
	c.fail("not one of %v", set)
}

func (c *entryCoder) numberValue(v *uint64) {
	if c.err != nil {
		return
	}
	if !c.reading {
		c.b = strconv.AppendUint(c.b, *v, 10)
		return
	}
	n := 0
	for n < len(c.b) && c.b[n] >= '0' && c.b[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && c.b[0] == '0' {
		c.fail("not a whole number")
		return
	}
	parsed, err := strconv.ParseUint(string(c.b[:n]), 10, 64)
	if err != nil {
		c.fail("beyond 64 bits")
		return
	}
	*v = parsed
	c.b = c.b[n:]
}

func (c *entryCoder) number(name string, v *uint64) {
	c.member(name)
	c.numberValue(v)
}

// partition codes the number of a Kafka partition, which has 31 bits.
func (c *entryCoder) partition(name string, v *int) {
	c.member(name)
	n := uint64(max(*v, 0))
	c.numberValue(&n)
	if c.err == nil && (*v < 0 || n > math.MaxInt32) {
		c.fail("not a partition")
		return
	}
	*v = int(n)
}

func (c *entryCoder) boolValue(v *bool) {
	if c.reading {
		*v = c.next("true")
	}
	c.lit(strconv.FormatBool(*v))
}

// hashValue codes the hash of an object, in lower-case hex.
func (c *entryCoder) hashValue(v *Hash) {
	s := hex.EncodeToString(v[:])
	c.quoted(&s)
	if c.err != nil {
		return
	}
	if !entryHex64.ok(s) {
		c.fail("not %s", entryHex64.name)
		return
	}
	if c.reading {
		_, _ = hex.Decode(v[:], []byte(s))
	}
}

func (c *entryCoder) hash(name string, v *Hash) {
	c.member(name)
	c.hashValue(v)
}

// rootValue codes the root of a tree, in standard base64.
func (c *entryCoder) rootValue(v *Hash) {
	s := FormatHash(*v)
	c.quoted(&s)
	if c.err != nil || !c.reading {
		return
	}
	root, err := ParseHash(s)
	if err != nil || FormatHash(root) != s { // the decoder skips line feeds
		c.fail("not the base64 of 32 bytes")
		return
	}
	*v = root
}

func (c *entryCoder) root(name string, v *Hash) {
	c.member(name)
	c.rootValue(v)
}

// entryTimeLayout is RFC 3339 in UTC with exactly milliseconds.
const entryTimeLayout = "2006-01-02T15:04:05.000Z"

// maxEntryTime is the last millisecond of the year 9999, beyond which the layout has no spelling.
const maxEntryTime = 253402300799999

func (c *entryCoder) timeValue(v *int64) {
	if !c.reading && (*v < 0 || *v > maxEntryTime) {
		c.fail("time outside 1970 to 9999")
		return
	}
	s := time.UnixMilli(*v).UTC().Format(entryTimeLayout)
	c.quoted(&s)
	if c.err != nil || !c.reading {
		return
	}
	ms, err := parseEntryTime(s)
	if err != nil {
		c.fail("%w", err)
		return
	}
	*v = ms
}

func (c *entryCoder) time(name string, v *int64) {
	c.member(name)
	c.timeValue(v)
}

func parseEntryTime(s string) (int64, error) {
	t, err := time.Parse(entryTimeLayout, s)
	if err != nil || t.UTC().Format(entryTimeLayout) != s || t.UnixMilli() < 0 {
		return 0, errors.New("not a UTC time with milliseconds, from 1970 on")
	}
	return t.UnixMilli(), nil
}

// entryOptional codes a value that may be null.
func entryOptional[T any](c *entryCoder, name string, v **T, value func(*T)) {
	c.member(name)
	if c.null(*v == nil) {
		return
	}
	if c.reading {
		*v = new(T)
	}
	value(*v)
}

// entryList codes an array. Where order is given, elements must be strictly ascending by it, so that a set has one
// spelling.
func entryList[T any](c *entryCoder, name string, v *[]T, value func(*T), order func(a, b *T) int) {
	c.member(name)
	c.lit("[")
	entryElements(c, v, "]", value, order)
}

// entryMap codes an object whose member names are data, as a slice with one element per member, ascending by name.
func entryMap[T any](c *entryCoder, name string, v *[]T, key func(*T) *string, kind textKind, value func(*T), order func(a, b *T) int) {
	c.member(name)
	c.lit("{")
	entryElements(c, v, "}", func(one *T) {
		c.textValue(key(one), kind)
		c.lit(":")
		value(one)
	}, order)
}

func entryElements[T any](c *entryCoder, v *[]T, end string, value func(*T), order func(a, b *T) int) {
	at := c.at
	for i := 0; c.err == nil; i++ {
		if c.reading && c.next(end) || !c.reading && i == len(*v) {
			break
		}
		if c.reading {
			*v = append(*v, *new(T))
		}
		if i > 0 {
			c.lit(",")
		}
		value(&(*v)[i])
		c.at = at
		if c.err == nil && i > 0 && order != nil && order(&(*v)[i-1], &(*v)[i]) >= 0 {
			c.fail("elements not in strictly ascending order")
		}
	}
	c.lit(end)
	c.comma = true
}

// must requires a rule across members. JSON Schemas state the same rules with if and then.
func (c *entryCoder) must(ok bool, rule string) {
	if !ok && c.err == nil {
		c.at = ""
		c.fail("%s", rule)
	}
}
