package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"domicile.dev/domicile/internal/rawjson"
)

// Limits of one event (docs/formats.md, Record).
const (
	MaxEventBytes = 4 << 20
	MaxEventDepth = 64 // the event itself is at depth 1
	MaxFields     = 65535
)

// A Record is one line of a payload: `{"salt":"…","event":{…}}`. Its parts share the memory of the line.
type Record struct {
	Salt   [32]byte
	Event  []byte  // exact bytes
	Fields []Field // in the order of the bytes
}

// A Field is a part of an event that can be disclosed or hidden on its own.
type Field struct {
	Pointer string // JSON Pointer (RFC 6901), one to three names: /actor/user/name
	Value   []byte // the bytes as stored
}

const (
	recordHead = `{"salt":"`
	recordMid  = `","event":`
	saltChars  = 43 // 32 bytes in base64url
)

// AppendRecord appends the line (without its line feed) of an event under a salt. The event must be one that
// ParseRecord accepts; it is copied as it is.
func AppendRecord(dst []byte, salt *[32]byte, event []byte) []byte {
	dst = append(dst, recordHead...)
	dst = saltEncoding.AppendEncode(dst, salt[:])
	dst = append(dst, recordMid...)
	dst = append(dst, event...)
	return append(dst, '}')
}

// RecordOverhead is how many bytes AppendRecord adds to an event.
const RecordOverhead = len(recordHead) + saltChars + len(recordMid) + 1

// ParseRecord reads a payload line and cuts its event into fields.
func ParseRecord(line []byte) (*Record, error) {
	rest, ok := bytes.CutPrefix(line, []byte(recordHead))
	if !ok || len(rest) < saltChars {
		return nil, errors.New(`record: does not begin with {"salt":"…`)
	}
	rec := new(Record)
	if n, err := saltEncoding.Decode(rec.Salt[:], rest[:saltChars]); err != nil || n != len(rec.Salt) {
		return nil, errors.New("record: salt is not 32 bytes in base64url")
	}
	rest, ok = bytes.CutPrefix(rest[saltChars:], []byte(recordMid))
	if !ok || len(rest) == 0 || rest[len(rest)-1] != '}' {
		return nil, errors.New(`record: is not {"salt":"…","event":…}`)
	}
	rec.Event = rest[:len(rest)-1]
	var err error
	rec.Fields, err = CutFields(rec.Event, nil)
	return rec, err
}

// Field returns the value at a pointer.
func (r *Record) Field(pointer string) (value []byte, ok bool) {
	for i := range r.Fields {
		if r.Fields[i].Pointer == pointer {
			return r.Fields[i].Value, true
		}
	}
	return nil, false
}

// Commitment is the record's commitment (docs/formats.md, Commitment).
func (r *Record) Commitment() Hash {
	var c Committer
	return c.Commitment(&r.Salt, r.Fields)
}

// wholeMembers are the members that stay one field whatever they hold: free-form JSON, whose names follow no rule.
var wholeMembers = map[string]bool{
	"unmapped": true, "data": true, "xattributes": true, "evidence": true, "supporting_data": true, "access_result": true,
}

const (
	maxNames   = 3 // names in a pointer
	maxNameLen = 64
)

// CutFields appends the fields of an event to dst, in the order of their bytes, and checks every rule of the record
// format: size, depth, number of fields, no white space outside strings, names and their order.
func CutFields(event []byte, dst []Field) ([]Field, error) {
	var c Cutter
	return c.Cut(event, dst)
}

// A Cutter cuts events into fields and keeps the pointers it has seen, so that cutting many events alike allocates
// next to nothing. The zero Cutter is ready; it is not safe for concurrent use.
type Cutter struct {
	pointers map[string]string
	path     []byte
}

// maxKeptPointers bounds what a Cutter remembers: real events have a few hundred pointers.
const maxKeptPointers = 4096

// Cut is CutFields.
func (c *Cutter) Cut(event []byte, dst []Field) ([]Field, error) {
	if len(event) > MaxEventBytes {
		return dst, fmt.Errorf("record: event of %d bytes is larger than %d", len(event), MaxEventBytes)
	}
	c.path = c.path[:0]
	before := len(dst)
	dst, end, err := c.object(event, dst, before, 1)
	if err != nil {
		return dst, err
	}
	if end != len(event) {
		return dst, fmt.Errorf("record: data after the event at byte %d", end)
	}
	return dst, nil
}

// object cuts the object that src starts with, whose members' pointers have `names` names.
func (c *Cutter) object(src []byte, dst []Field, before, names int) (_ []Field, end int, err error) {
	form := rawjson.Form{Compact: true, MaxDepth: MaxEventDepth - names}
	var previous []byte
	o := form.Walk(src)
	for o.Next() {
		name := o.Name
		if !validName(name) {
			return dst, 0, fmt.Errorf("record: member name %q under %q does not match [a-z0-9_]{1,64}", clip(string(name)), c.path)
		}
		if previous != nil && bytes.Compare(previous, name) >= 0 {
			return dst, 0, fmt.Errorf("record: members %q and %q under %q are not in ascending order", previous, name, c.path)
		}
		previous = name
		parent := len(c.path)
		c.path = append(append(c.path, '/'), name...)
		if names < maxNames && o.Opens('{') && !o.Opens('{', '}') && !wholeMembers[string(name)] {
			var n int
			if dst, n, err = c.object(o.Rest(), dst, before, names+1); err != nil {
				return dst, 0, err
			}
			o.Skip(n)
		} else {
			if !o.Read() {
				break
			}
			if len(dst)-before == MaxFields {
				return dst, 0, fmt.Errorf("record: more than %d fields", MaxFields)
			}
			dst = append(dst, Field{Pointer: c.pointer(dst), Value: o.Value})
		}
		c.path = c.path[:parent]
	}
	if err := o.Err(); err != nil {
		return dst, 0, fmt.Errorf("record: under %q: %w", c.path, err)
	}
	return dst, o.End(), nil
}

// pointer is the path as a string, for the field that comes after dst.
func (c *Cutter) pointer(dst []Field) string {
	// Where the caller gives the same memory for one event after the other, the field that stood here before is most
	// likely the same one: events of a kind have the same fields.
	if n := len(dst); n < cap(dst) {
		if before := dst[:n+1][n].Pointer; before == string(c.path) {
			return before
		}
	}
	if p, ok := c.pointers[string(c.path)]; ok {
		return p
	}
	p := string(c.path)
	if c.pointers == nil {
		c.pointers = make(map[string]string)
	}
	if len(c.pointers) < maxKeptPointers {
		c.pointers[p] = p
	}
	return p
}

func validName[T []byte | string](name T) bool {
	if len(name) == 0 || len(name) > maxNameLen {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
