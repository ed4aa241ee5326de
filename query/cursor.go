package query

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"domicile.dev/domicile/query/index"
)

// A cursor says where an answer over several cells goes on. It belongs to one question, and holds the tree sizes at
// which its first page was answered. Outside it is opaque and authenticated; what it holds is no secret.
type cursor struct {
	question [16]byte // what was asked
	after    index.Position
	cells    []cursorCell
	missing  []string // cells that did not answer a page before; they are not asked again, and the answer stays incomplete
}

type cursorCell struct {
	jurisdiction string
	within       map[string]uint64
}

const (
	cursorVersion  = 1
	maxCursorBytes = 1 << 16
)

// digest names the question, apart from how many rows are asked for at a time.
func (q *Question) digest() (d [16]byte) {
	cells := slices.Compact(slices.Sorted(slices.Values(q.Cells)))
	sum := sha256.Sum256(appendTexts(normalized(&q.Filter), cells))
	copy(d[:], sum[:])
	return d
}

// seal encodes a cursor: version, question, position, cells, missing cells, HMAC-SHA-256 over all of that; base64url.
func (c *cursor) seal(key []byte) string {
	b := append([]byte{cursorVersion}, c.question[:]...)
	b = binary.AppendVarint(b, c.after.Time)
	b = appendText(b, c.after.Log)
	b = binary.AppendUvarint(b, c.after.Index)
	b = binary.AppendUvarint(b, uint64(len(c.cells)))
	for _, cell := range c.cells {
		b = appendText(b, cell.jurisdiction)
		b = binary.AppendUvarint(b, uint64(len(cell.within)))
		for _, log := range slices.Sorted(maps.Keys(cell.within)) {
			b = appendText(b, log)
			b = binary.AppendUvarint(b, cell.within[log])
		}
	}
	b = appendTexts(b, c.missing)
	return base64.RawURLEncoding.EncodeToString(append(b, cursorTag(key, b)...))
}

func cursorTag(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)
}

// openCursor is the inverse of seal, for whatever text somebody sends.
func openCursor(key []byte, text string) (*cursor, error) {
	if len(text) > maxCursorBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrCursor, len(text))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= sha256.Size {
		return nil, fmt.Errorf("%w: it is no cursor, or was cut off", ErrCursor)
	}
	b, tag := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(tag, cursorTag(key, b)) {
		return nil, fmt.Errorf("%w: it was changed, or another ledger made it", ErrCursor)
	}
	r := cursorReader{b: b}
	c, err := r.cursor()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	return c, nil
}

// cursorReader reads what seal wrote. The tag says so, but nothing here relies on it.
type cursorReader struct {
	b   []byte
	bad bool
}

var errCursorForm = errors.New("this version does not read it")

func (r *cursorReader) cursor() (*cursor, error) {
	c := new(cursor)
	if len(r.b) < 1+len(c.question) || r.b[0] != cursorVersion {
		return nil, errCursorForm
	}
	copy(c.question[:], r.b[1:])
	r.b = r.b[1+len(c.question):]
	n, width := binary.Varint(r.b)
	r.skip(width)
	c.after = index.Position{Time: n, Log: r.text(), Index: r.number()}
	for range r.count() {
		cell := cursorCell{jurisdiction: r.text(), within: make(map[string]uint64)}
		for range r.count() {
			log := r.text()
			cell.within[log] = r.number()
		}
		c.cells = append(c.cells, cell)
	}
	for range r.count() {
		c.missing = append(c.missing, r.text())
	}
	if r.bad || len(r.b) > 0 {
		return nil, errCursorForm
	}
	return c, nil
}

func (r *cursorReader) skip(n int) {
	if n <= 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return
	}
	r.b = r.b[n:]
}

func (r *cursorReader) number() uint64 {
	n, width := binary.Uvarint(r.b)
	r.skip(width)
	return n
}

// count is a number of things that take a byte each at least.
func (r *cursorReader) count() uint64 {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *cursorReader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// cursorKey is the key of this federation's cursors: the first cell keeps it.
func (f *Federation) cursorKey(ctx context.Context) ([]byte, error) {
	if len(f.Cells) == 0 {
		return nil, ErrNoCell
	}
	key, err := f.Cells[0].secrets.get(ctx, "cursor")
	if err != nil {
		return nil, fmt.Errorf("cell %s: the key of cursors: %w", f.Cells[0].cfg.Jurisdiction, err)
	}
	return key, nil
}
