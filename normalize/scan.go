package normalize

import (
	"encoding/binary"
	"math/bits"
)

// A scanner finds the end of one JSON value in a stream, without judging what is inside: that is for Normalize, which
// sees the record whole. It can stop anywhere and go on when there is more, so every byte is looked at once.
type scanner struct {
	strict bool // also notice where a value stands that none may follow: a line that was cut and ran into the next

	i        int    // bytes of the value that were looked at
	open     []byte // brackets that are open
	last     byte   // last byte outside strings that says something; 's' for any scalar
	inString bool
	start    int // of the last string
	end      int // of the last string
	names    func(name []byte)
}

type scanned int

const (
	more     scanned = iota // the value goes on
	whole1                  // it ends at i
	broken                  // it cannot go on like this
	envelope                // at i begins a list of records, the value of the envelope's member named by start and end
)

// envelopes are the members that hold records, with how a file of them is called.
var envelopes = map[string]string{
	"Records":   "records",   // CloudTrail in S3
	"records":   "records",   // Azure Event Hubs
	"value":     "value",     // Azure REST, Graph
	"entries":   "entries",   // GCP entries.list
	"Events":    "events",    // CloudTrail LookupEvents
	"logEvents": "logevents", // CloudWatch Logs subscription
}

func (s *scanner) reset(strict bool, names func([]byte)) {
	*s = scanner{strict: strict, open: s.open[:0], names: names}
}

// run looks at value, which begins where it began at the last call and may have grown.
func (s *scanner) run(value []byte, unpack bool) scanned {
	for s.i < len(value) {
		if s.inString {
			if status := s.string(value); status != whole1 {
				return status
			}
			continue
		}
		c := value[s.i]
		switch c {
		case ' ', '\t', '\r', '\n':
			s.i++
			continue
		case '"':
			if s.strict && !s.mayBegin() && s.last != '{' {
				return broken
			}
			s.inString, s.start = true, s.i
		case '{', '[':
			if s.strict && !s.mayBegin() {
				return broken
			}
			if unpack && c == '[' && len(s.open) == 1 && s.last == ':' {
				if _, ok := envelopes[string(s.name(value))]; ok {
					return envelope
				}
			}
			s.open = append(s.open, c)
		case '}', ']':
			n := len(s.open) - 1
			if n < 0 || s.open[n]+2 != c { // '{'+2 == '}', '['+2 == ']'
				return broken
			}
			s.open = s.open[:n]
			if n == 0 {
				s.i++
				return whole1
			}
		case ':':
			if s.names != nil && len(s.open) == 1 {
				s.names(s.name(value))
			}
		case ',':
		default:
			c = 's'
		}
		s.last = c
		s.i++
	}
	return more
}

// name returns the last string, without its quotes; nil if there is none.
func (s *scanner) name(value []byte) []byte {
	if s.start < 0 || s.end < s.start+2 {
		return nil
	}
	return value[s.start+1 : s.end-1]
}

func (s *scanner) mayBegin() bool {
	return s.last == 0 || s.last == '[' || s.last == ',' || s.last == ':'
}

// string goes on inside a string. No string spans lines: a line break means that one was cut.
func (s *scanner) string(value []byte) scanned {
	for s.i < len(value) {
		if s.i == s.start {
			s.i++
			continue
		}
		for s.i+8 <= len(value) {
			if mark := stringMarks(binary.LittleEndian.Uint64(value[s.i:])); mark != 0 {
				s.i += bits.TrailingZeros64(mark) >> 3
				break
			}
			s.i += 8
		}
		if s.i >= len(value) {
			return more
		}
		switch c := value[s.i]; c {
		case '"':
			s.i++
			s.inString, s.end, s.last = false, s.i, 's'
			return whole1
		case '\\':
			if s.i+1 >= len(value) {
				return more
			}
			s.i += 2
		case '\n':
			return broken
		default:
			s.i++
		}
	}
	return more
}

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// stringMarks marks quotes, backslashes and line feeds in eight bytes; the lowest mark is exact.
func stringMarks(v uint64) uint64 {
	quote, slash, line := v^(ones*'"'), v^(ones*'\\'), v^(ones*'\n')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (line-ones)&^line) & high
}
