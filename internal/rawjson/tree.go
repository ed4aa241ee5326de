package rawjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// Kind is what a node of a Tree is.
type Kind byte

// The kinds of nodes.
const (
	KindObject Kind = '{'
	KindArray  Kind = '['
	KindString Kind = '"'
	KindNumber Kind = '0'
	KindTrue   Kind = 't'
	KindFalse  Kind = 'f'
	KindNull   Kind = 'n'
)

// None is the number of no node.
const None = int32(-1)

// A Tree is one JSON value, validated and cut into nodes in a single pass. Node 0 is the value itself; members of an
// object are its kids in ascending byte order of their (unescaped) names, elements of an array stand in their own
// order. A Tree is reused by parsing into it again; it allocates only while it grows.
type Tree struct {
	AllowDuplicates bool // keep members of equal names, in their order, instead of refusing the value

	Lone  bool // some string holds a lone surrogate escape, which reads as U+FFFD
	Depth int  // how deep the value nests, as MaxDepth counts

	src     []byte
	nodes   []node
	order   []int32 // kids of all containers, a slice each
	stack   []int32 // kids of the containers that are still open
	scratch []byte
	limit   int
}

type node struct {
	key                uint64 // first eight bytes of the name, as a number that sorts like them
	start, end         int32  // the value, in src
	nameStart, nameEnd int32  // the name, without its quotes; 0, 0 for elements and node 0
	parent             int32
	kids, count        int32 // slice of order
	Kind               Kind
	escaped            bool // the string holds escapes
	nameEscaped        bool
}

// Parse validates that src is one JSON value, white space around it allowed, and no object has two members of one
// name. The tree refers to src until the next Parse. src may be at most 1 GiB.
func (t *Tree) Parse(src []byte, maxDepth int) error {
	t.src, t.Lone, t.Depth, t.limit = src, false, 0, maxDepth
	t.nodes, t.order, t.stack = t.nodes[:0], t.order[:0], t.stack[:0]
	if len(src) > 1<<30 {
		return fail(1<<30, "too long")
	}
	t.nodes = append(t.nodes, node{parent: None})
	end, err := t.value(0, Space(src, 0), 0)
	if err != nil {
		return err
	}
	if end = Space(src, end); end != len(src) {
		return fail(end, "data after the value")
	}
	return nil
}

// Len returns the number of nodes.
func (t *Tree) Len() int { return len(t.nodes) }

// Kind returns the kind of node i.
func (t *Tree) Kind(i int32) Kind { return t.nodes[i].Kind }

// Parent returns the object or array that node i stands in, None for node 0.
func (t *Tree) Parent(i int32) int32 { return t.nodes[i].parent }

// Kids returns the members or elements of node i; empty for scalars.
func (t *Tree) Kids(i int32) []int32 {
	n := &t.nodes[i]
	return t.order[n.kids : n.kids+n.count]
}

// Raw returns the bytes of node i as they stand.
func (t *Tree) Raw(i int32) []byte { return t.src[t.nodes[i].start:t.nodes[i].end] }

// Text returns what a string stands for, with escapes resolved, or the raw bytes of another scalar. It is valid until
// the next call for a string that holds escapes.
func (t *Tree) Text(i int32) []byte {
	n := &t.nodes[i]
	if n.Kind != KindString {
		return t.src[n.start:n.end]
	}
	body := t.src[n.start+1 : n.end-1]
	if n.escaped {
		t.scratch, _ = AppendUnescaped(t.scratch[:0], body)
		return t.scratch
	}
	return body
}

// AppendText appends what Text returns.
func (t *Tree) AppendText(dst []byte, i int32) []byte { return append(dst, t.Text(i)...) }

// Key returns the first eight bytes of the name of node i as SortKey makes it.
func (t *Tree) Key(i int32) uint64 { return t.nodes[i].key }

// Name returns the name of node i with escapes resolved, nil for elements.
func (t *Tree) Name(i int32) []byte {
	n := &t.nodes[i]
	name := t.src[n.nameStart:n.nameEnd]
	if n.nameEscaped {
		name, _ = AppendUnescaped(nil, name)
	}
	return name
}

// Member returns the member of object i with that name, None if there is none.
func (t *Tree) Member(i int32, name string) int32 {
	key := SortKey([]byte(name))
	for _, kid := range t.Kids(i) {
		if k := t.nodes[kid].key; k == key && string(t.Name(kid)) == name {
			return kid
		} else if k > key {
			break
		}
	}
	return None
}

// SortKey packs the first eight bytes of a name into a number, so that numbers compare as the bytes do.
func SortKey(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var b [8]byte
	copy(b[:], name)
	return binary.BigEndian.Uint64(b[:])
}

// value parses the value at pos into node self and returns the offset after it.
func (t *Tree) value(self int32, pos, depth int) (int, error) {
	if pos >= len(t.src) {
		return pos, failAs(pos, ErrEnd)
	}
	kind, end := Kind(t.src[pos]), pos
	var err error
	switch kind {
	case '"':
		var escaped bool
		if end, escaped, err = t.str(pos); escaped {
			t.nodes[self].escaped = true
		}
	case '{', '[':
		if depth++; depth > t.limit {
			return pos, failAs(pos, ErrDepth)
		}
		t.Depth = max(t.Depth, depth)
		if kind == '{' {
			end, err = t.object(self, pos, depth)
		} else {
			end, err = t.array(self, pos, depth)
		}
	default:
		if kind == '-' || kind >= '0' && kind <= '9' {
			kind = KindNumber
		}
		end, err = Form{}.value(t.src, pos, t.limit)
	}
	if err != nil {
		return end, err
	}
	n := &t.nodes[self]
	n.Kind, n.start, n.end = kind, int32(pos), int32(end)
	return end, nil
}

func (t *Tree) object(self int32, pos, depth int) (int, error) {
	base := len(t.stack)
	pos = Space(t.src, pos+1)
	if pos < len(t.src) && t.src[pos] == '}' {
		return pos + 1, nil
	}
	for {
		if pos >= len(t.src) {
			return pos, failAs(pos, ErrEnd)
		}
		if t.src[pos] != '"' {
			return pos, fail(pos, "member name missing")
		}
		nameEnd, escaped, err := t.str(pos)
		if err != nil {
			return nameEnd, err
		}
		kid := int32(len(t.nodes))
		t.nodes = append(t.nodes, node{parent: self, nameStart: int32(pos + 1), nameEnd: int32(nameEnd - 1), nameEscaped: escaped})
		if n := nameEnd - pos - 2; escaped {
			t.nodes[kid].key = SortKey(t.Name(kid))
		} else if pos+9 <= len(t.src) {
			key := binary.BigEndian.Uint64(t.src[pos+1:])
			if n < 8 {
				key &^= ^uint64(0) >> (8 * n)
			}
			t.nodes[kid].key = key
		} else {
			t.nodes[kid].key = SortKey(t.src[pos+1 : nameEnd-1])
		}
		t.stack = append(t.stack, kid)
		colon := nameEnd
		if colon >= len(t.src) || t.src[colon] != ':' {
			colon = Space(t.src, nameEnd)
		}
		if colon >= len(t.src) {
			return colon, failAs(colon, ErrEnd)
		}
		if t.src[colon] != ':' {
			return colon, fail(colon, "colon missing")
		}
		end, err := t.value(kid, skip(t.src, colon+1), depth)
		if err != nil {
			return end, err
		}
		if end+1 < len(t.src) && t.src[end] == ',' { // written compactly, as most are
			pos = skip(t.src, end+1)
			continue
		}
		next, done, err := Form{}.after(t.src, end, '}')
		if err != nil {
			return next, err
		}
		if done {
			return next, t.close(self, base, true)
		}
		pos = next
	}
}

// skip is Space where there is hardly ever any.
func skip(src []byte, pos int) int {
	if pos < len(src) && src[pos] > ' ' {
		return pos
	}
	return Space(src, pos)
}

func (t *Tree) array(self int32, pos, depth int) (int, error) {
	base := len(t.stack)
	pos = Space(t.src, pos+1)
	if pos < len(t.src) && t.src[pos] == ']' {
		return pos + 1, nil
	}
	for {
		kid := int32(len(t.nodes))
		t.nodes = append(t.nodes, node{parent: self})
		t.stack = append(t.stack, kid)
		end, err := t.value(kid, pos, depth)
		if err != nil {
			return end, err
		}
		next, done, err := Form{}.after(t.src, end, ']')
		if err != nil {
			return next, err
		}
		if done {
			return next, t.close(self, base, false)
		}
		pos = next
	}
}

// close moves the kids of a container that ended from the stack to their place, sorted if they are members.
func (t *Tree) close(self int32, base int, members bool) error {
	n := &t.nodes[self]
	n.kids, n.count = int32(len(t.order)), int32(len(t.stack)-base)
	t.order = append(t.order, t.stack[base:]...)
	t.stack = t.stack[:base]
	if !members {
		return nil
	}
	kids := t.order[n.kids:]
	if len(kids) <= 32 {
		return t.sortFew(kids)
	}
	slices.SortStableFunc(kids, t.compare)
	for i := 1; i < len(kids) && !t.AllowDuplicates; i++ {
		if t.compare(kids[i], kids[i-1]) == 0 {
			return t.duplicate(kids[i], kids[i-1])
		}
	}
	return nil
}

// sortFew sorts at most 32 members by insertion, which is stable, and finds duplicates.
func (t *Tree) sortFew(kids []int32) error {
	var keys [32]uint64
	for i, kid := range kids {
		key := t.nodes[kid].key
		j := i
		for ; j > 0 && key <= keys[j-1]; j-- {
			if key == keys[j-1] {
				order := t.compare(kid, kids[j-1])
				if order == 0 && !t.AllowDuplicates {
					return t.duplicate(kid, kids[j-1])
				}
				if order >= 0 {
					break
				}
			}
			keys[j], kids[j] = keys[j-1], kids[j-1]
		}
		keys[j], kids[j] = key, kid
	}
	return nil
}

func (t *Tree) duplicate(a, b int32) error {
	return failAs(int(max(t.nodes[a].nameStart, t.nodes[b].nameStart))-1, ErrDuplicate)
}

func (t *Tree) compare(a, b int32) int {
	x, y := &t.nodes[a], &t.nodes[b]
	switch {
	case x.key < y.key:
		return -1
	case x.key > y.key:
		return 1
	case x.nameEscaped || y.nameEscaped:
		return bytes.Compare(t.Name(a), t.Name(b))
	}
	return bytes.Compare(t.src[x.nameStart:x.nameEnd], t.src[y.nameStart:y.nameEnd])
}

// str is String, eight bytes at a time where they are plain, and notes escapes and lone surrogates.
func (t *Tree) str(start int) (end int, escaped bool, err error) {
	src := t.src
	pos := start + 1
	for {
		for pos+8 <= len(src) {
			v := binary.LittleEndian.Uint64(src[pos:])
			mark := special(v) | v&high
			if mark != 0 {
				pos += bits.TrailingZeros64(mark) >> 3
				break
			}
			pos += 8
		}
		if pos >= len(src) {
			return start, escaped, failAs(start, ErrEnd)
		}
		switch c := src[pos]; {
		case c == '"':
			return pos + 1, escaped, nil
		case plain[c]:
			pos++
		case c == '\\':
			escaped = true
			n := escape(src[pos:])
			if n == 0 {
				if len(src)-pos < 6 {
					return pos, escaped, failAs(pos, ErrEnd)
				}
				return pos, escaped, fail(pos, "malformed escape")
			}
			if n == 6 {
				if n = t.surrogate(src[pos:]); n == 0 {
					t.Lone, n = true, 6
				}
			}
			pos += n
		case c < 0x20:
			return pos, escaped, fail(pos, "control character in a string")
		default:
			r, n := utf8.DecodeRune(src[pos:])
			if r == utf8.RuneError && n <= 1 {
				return pos, escaped, failAs(pos, ErrUTF8)
			}
			pos += n
		}
	}
}

// surrogate returns the length of the \u escape (or pair of them) that s starts with, 0 for a lone surrogate.
func (t *Tree) surrogate(s []byte) int {
	r := hex4(s[2:6])
	switch {
	case r < 0xd800 || r > 0xdfff:
		return 6
	case r >= 0xdc00:
		return 0
	}
	if len(s) >= 12 && s[6] == '\\' && escape(s[6:]) == 6 {
		if low := hex4(s[8:12]); low >= 0xdc00 && low <= 0xdfff {
			return 12
		}
	}
	return 0
}
