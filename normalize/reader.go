package normalize

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// maxWindow bounds the memory of a Reader, and the size of a record that it hands out in one piece.
const maxWindow = 8 << 20

// A Reader cuts a delivery file into provider records. What the file is, is told from its content: plain or gzip; an
// object with a list of records (an envelope), an array, or records one after the other (a line each, as a rule).
//
// Next hands out every record, and every stretch of the file that is none as a *RecordError; together they are the
// whole file, except for white space, commas and the envelope's own members. A file that ends too soon yields what is
// whole, then the rest with reason Truncated: the caller sees the damage and decides about the file.
type Reader struct {
	src    io.Reader
	opened bool
	err    error // of src; io.EOF at the end
	gzip   bool

	buf   []byte // window of the file
	from  int    // first byte of buf that was not handed out
	base  int64  // offset of buf[0]
	scan  scanner
	where where
	list  string // how the list that is open is called

	packed bool    // the open list stands in an envelope
	after  scanner // over the rest of the envelope
	reason Reason  // of the stretch that is being left behind
	anchor []byte  // where a record begins again; copied
	seen   marks
	kind   *kind // of the records that begin like anchor
	unpack unpacker

	packing string // this Reader's input was packed: how its records are said to come
	depth   int    // packings around this one
}

// where a Reader stands.
type where int

const (
	atTop        where = iota // before a value, or at the end
	inList                    // before an element of a list, or its end
	afterList                 // in an envelope, after its list
	inGiant                   // inside a record that is handed out in pieces
	inDamage                  // looking for the next record
	inListGiant               // like inGiant, inside a list
	inListDamage              // like inDamage, inside a list
	ended
)

// NewReader returns a Reader over a delivery file. It reads nothing yet.
func NewReader(r io.Reader) *Reader { return &Reader{src: r} }

// Next returns the next record; io.EOF at the end of the file; a *RecordError for bytes that are no record, after which
// reading goes on. Any other error is the source's, and ends the file.
func (r *Reader) Next() (Raw, error) {
	for {
		if raw, ok, err := r.unpack.next(); ok {
			return raw, err
		}
		raw, ok, err := r.step()
		if ok || err != nil {
			return raw, err
		}
	}
}

// step goes on until it has a record or an error (ok), or the next state.
func (r *Reader) step() (Raw, bool, error) {
	switch r.where {
	case atTop:
		return r.top()
	case inList:
		return r.element()
	case afterList:
		return r.rest()
	case inGiant, inListGiant:
		return r.giant()
	case inDamage, inListDamage:
		return r.damage()
	}
	if r.err != nil && r.err != io.EOF {
		return Raw{}, true, r.err
	}
	return Raw{}, true, io.EOF
}

// window returns what was read and not handed out.
func (r *Reader) window() []byte { return r.buf[r.from:] }

// fill reads more, false if there is no more. It keeps the window, and at least doubles it, so that what is looked at
// again after it costs no more than what was read.
func (r *Reader) fill() bool {
	if !r.opened {
		r.open()
	}
	if r.err != nil {
		return false
	}
	if r.from > 0 {
		n := copy(r.buf, r.buf[r.from:])
		r.base, r.buf, r.from = r.base+int64(r.from), r.buf[:n], 0
	}
	if len(r.buf) == cap(r.buf) {
		bigger := make([]byte, len(r.buf), max(64<<10, 2*cap(r.buf)))
		copy(bigger, r.buf)
		r.buf = bigger
	}
	for {
		n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf, r.err = r.buf[:len(r.buf)+n], err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// open looks whether the file is gzip, and skips a byte order mark.
func (r *Reader) open() {
	r.opened = true
	b := bufio.NewReaderSize(r.src, 64<<10)
	r.src = b
	start, _ := b.Peek(10)
	switch {
	case len(start) == 10 && bytes.HasPrefix(start, gzipMagic) && start[2] == 8 && start[3]&0xe0 == 0:
		r.gzip = true
		z, err := gzip.NewReader(b)
		if err != nil {
			r.err = err
			return
		}
		r.src = z
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, _ = b.Discard(3)
		r.base = 3
	}
}

// space skips white space and commas; false at the end of what can be read.
func (r *Reader) space() bool {
	for {
		for r.from < len(r.buf) {
			switch r.buf[r.from] {
			case ' ', '\t', '\r', '\n':
			case ',': // at the top: a list that lost its brackets
			default:
				return true
			}
			r.from++
		}
		if !r.fill() {
			return false
		}
	}
}

// end reports the end of what can be read: nothing more is wrong with a file that ends between values.
func (r *Reader) end() (Raw, bool, error) {
	state := r.where
	r.where = ended
	if r.err != io.EOF && r.sourceFailed() {
		return Raw{}, false, nil
	}
	if r.err != io.EOF { // gzip that is cut or corrupt
		err := &RecordError{Reason: Truncated, Offset: r.offset(0), Form: r.formName(), Detail: "compressed data: " + r.err.Error()}
		r.err = io.EOF
		return Raw{}, true, err
	}
	if state != atTop {
		return Raw{}, true, &RecordError{Reason: Truncated, Offset: r.offset(0), Form: r.formName(), Detail: "the file ends inside its list of records"}
	}
	return Raw{}, false, nil
}

// sourceFailed reports whether reading failed for a reason outside of the file's content.
func (r *Reader) sourceFailed() bool {
	corrupt := r.gzip && (errors.Is(r.err, io.ErrUnexpectedEOF) || errors.Is(r.err, gzip.ErrHeader) || errors.Is(r.err, gzip.ErrChecksum) || isCorrupt(r.err))
	return r.err != nil && r.err != io.EOF && !corrupt
}

func (r *Reader) offset(n int) int64 { return r.base + int64(r.from+n) }

func (r *Reader) formName() string {
	name := "unknown"
	if r.kind != nil {
		name = r.kind.name
	}
	if r.packing != "" {
		return name + "/" + r.packing
	}
	if r.list == "" {
		return name
	}
	return name + "/" + r.list
}

// top stands before a value at the top of the file.
func (r *Reader) top() (Raw, bool, error) {
	if !r.space() {
		return r.end()
	}
	switch r.buf[r.from] {
	case '[':
		r.from++
		r.where, r.list, r.packed = inList, "array", false
		return Raw{}, false, nil
	case '{':
		return r.value(true)
	}
	return r.leave(inDamage, Damaged)
}

// element stands before an element of a list.
func (r *Reader) element() (Raw, bool, error) {
	if !r.space() {
		return r.end()
	}
	switch r.buf[r.from] {
	case ']':
		r.from++
		if !r.packed {
			r.where = atTop
			return Raw{}, false, nil
		}
		r.where = afterList
		r.after.reset(false, nil)
		r.after.open = append(r.after.open, '{')
		return Raw{}, false, nil
	case '{':
		return r.value(false)
	}
	return r.leave(inListDamage, Damaged)
}

// value scans the object at the window's start and hands it out. At the top of a file it may be an envelope, whose list
// is then entered.
func (r *Reader) value(top bool) (Raw, bool, error) {
	known := r.kind != nil && len(r.anchor) > 0 && bytes.HasPrefix(r.window(), r.anchor)
	if known {
		r.scan.reset(top, nil)
	} else {
		r.seen.reset()
		r.scan.reset(top, r.seen.add)
	}
	for {
		switch r.scan.run(r.window(), top) {
		case whole1:
			value := r.window()[:r.scan.i]
			offset := r.offset(0)
			r.from += r.scan.i
			if !known {
				r.kind = r.seen.kind()
				r.anchor = append(r.anchor[:0], anchorOf(value)...)
			}
			if top {
				r.list = "ndjson"
				if bytes.IndexByte(value, '\n') >= 0 {
					r.list = "object"
				}
			}
			return r.handOut(value, offset)
		case envelope:
			name := r.scan.name(r.window())
			r.list, r.packed, r.where = envelopes[string(name)], true, inList
			r.from += r.scan.i + 1
			r.anchor = r.anchor[:0]
			return Raw{}, false, nil
		case broken:
			return r.leave(r.inside(inDamage), InvalidJSON)
		}
		if len(r.window()) >= maxWindow {
			r.where = r.inside(inGiant)
			return Raw{}, false, nil
		}
		if !r.fill() {
			if r.sourceFailed() {
				r.where = ended
				return Raw{}, false, nil
			}
			return r.leave(r.inside(inDamage), Truncated)
		}
	}
}

// inside returns the state for a value of a list where the Reader is in one.
func (r *Reader) inside(state where) where {
	if r.where != inList {
		return state
	}
	if state == inGiant {
		return inListGiant
	}
	return inListDamage
}

// handOut makes a record of an object, or enters it if it is the packing of one.
func (r *Reader) handOut(value []byte, offset int64) (Raw, bool, error) {
	raw := Raw{Bytes: value, Offset: offset, Form: r.formName()}
	if r.kind == nil {
		return raw, true, nil
	}
	if r.kind.unpack != nil {
		err := r.unpack.begin(raw, r.kind, r.depth)
		return Raw{}, err != nil, err
	}
	raw.Provider = r.kind.provider
	return raw, true, nil
}

// rest skips what follows the list in its envelope.
func (r *Reader) rest() (Raw, bool, error) {
	for {
		status := r.after.run(r.window(), false)
		r.from += r.after.i
		r.after.i = 0
		switch status {
		case whole1:
			r.where = atTop
			return Raw{}, false, nil
		case broken:
			return r.leave(inDamage, Damaged)
		}
		r.after.start = -1 // a string that goes on goes on at the window's start
		if !r.fill() {
			return r.end()
		}
	}
}

// giant hands out a record that is too large in pieces, so that nothing of it is lost.
func (r *Reader) giant() (Raw, bool, error) {
	piece := r.window()[:r.scan.i]
	if len(piece) > 0 {
		offset := r.offset(0)
		r.from += len(piece)
		r.scan.i, r.scan.start = 0, -1
		return Raw{}, true, &RecordError{Reason: TooLarge, Bytes: piece, Offset: offset, Form: r.formName(), Detail: "part of a record over 8 MiB"}
	}
	for {
		switch r.scan.run(r.window(), false) {
		case more:
			if len(r.window()) < maxWindow && r.fill() {
				continue
			}
			if len(r.window()) == 0 {
				return r.end()
			}
		case broken:
			return r.leave(map[bool]where{true: inListDamage, false: inDamage}[r.where == inListGiant], Damaged)
		case whole1:
			last := r.window()[:r.scan.i]
			offset := r.offset(0)
			r.from += len(last)
			r.where = map[bool]where{true: inList, false: atTop}[r.where == inListGiant]
			return Raw{}, true, &RecordError{Reason: TooLarge, Bytes: last, Offset: offset, Form: r.formName(), Detail: "last part of a record over 8 MiB"}
		}
		return r.giant()
	}
}

// leave begins a stretch that is no record.
func (r *Reader) leave(state where, reason Reason) (Raw, bool, error) {
	if w := r.window(); state == inListDamage && len(r.anchor) == 0 && len(w) > 0 && w[0] == '{' {
		r.anchor = append(r.anchor, anchorOf(w[:r.scan.i])...) // only what was looked at, not what happens to be read
	}
	r.where, r.reason = state, reason
	return Raw{}, false, nil
}

// damage hands out the stretch up to where a record begins again: at the top, a line that begins with a bracket; in a
// list, what the list's records begin with; or at the end of the file.
func (r *Reader) damage() (Raw, bool, error) {
	for {
		w := r.window()
		n, found := 0, false
		if len(w) > 0 {
			n, found = r.nextRecord(w)
		}
		if !found {
			if len(w) < maxWindow && r.fill() {
				continue
			}
			if r.sourceFailed() {
				r.where = ended
				return Raw{}, false, nil
			}
			w = r.window() // where fill moved it
			n = len(w)
		}
		offset, form := r.offset(0), r.formName()
		r.from += n
		reason := r.reason
		if found {
			r.where = map[bool]where{true: inList, false: atTop}[r.where == inListDamage]
		} else if r.err != nil {
			r.where = ended
			if r.err != io.EOF {
				r.err = io.EOF
			}
		}
		return Raw{}, true, &RecordError{Reason: reason, Bytes: w[:n], Offset: offset, Form: form, Detail: details[reason]}
	}
}

var details = map[Reason]string{
	Truncated:   "the file ends inside a record",
	InvalidJSON: "brackets or strings do not match",
	Damaged:     "no record begins here",
}

// nextRecord returns where, after the first byte of w, a record begins.
func (r *Reader) nextRecord(w []byte) (int, bool) {
	if r.where == inListDamage {
		anchor := r.anchor
		if len(anchor) == 0 {
			anchor = anyObject
		}
		i := bytes.Index(w[1:], anchor)
		return i + 1, i >= 0
	}
	for i := 0; ; {
		j := bytes.IndexByte(w[i:], '\n')
		if j < 0 {
			return 0, false
		}
		i += j + 1
		if i < len(w) && (w[i] == '{' || w[i] == '[') {
			return i, true
		}
	}
}

// anchorOf returns the bytes from an object's bracket to the end of its first name: providers write the records of one
// file alike, so they tell where a record begins.
func anchorOf(value []byte) []byte {
	quote := bytes.IndexByte(value, '"')
	if quote < 0 || quote > 32 {
		return nil
	}
	end := bytes.IndexByte(value[quote+1:], '"')
	if end < 0 || end > 64 {
		return nil
	}
	return value[:quote+1+end+1]
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	anyObject = []byte{'{'}
)

func isCorrupt(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}
