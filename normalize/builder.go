package normalize

import (
	"encoding/hex"
	"strconv"
	"time"

	"domicile.dev/domicile/internal/rawjson"
)

// A builder makes one event at a time. It is reused, so that a steady stream allocates only what it hands out.
type builder struct {
	tree  rawjson.Tree // the record
	state []state      // per node of tree: what became of it
	slots [maxSlots]int32

	raw     []byte
	digest  [32]byte
	opt     Options
	now     time.Time
	nowText []byte // of metadata.processed_time_dt, quoted
	places  *Places
	format  *format
	flags   []string // what is odd about the record; shown in enrichments

	facts

	head, tail []byte // the event, where it is not appended elsewhere; its part after unmapped
	times      []byte // text of when
	dates      []byte // text of other times
	names      []byte // text of operation
	scratch    []byte

	explain *[]Source // not nil: say where every attribute came from
}

// facts are what a format's derive finds out before the rows are written.
type facts struct {
	class     *class
	activity  int
	operation []byte // text of api.operation where activity is Other
	status    int
	severity  int
	when      instant
	place     placement
	endpoint  endpoint
	account   string
	uid       string
	product   string // metadata.product.name, where a format has several
	entra     bool   // an event of a directory, which has no region
}

// maxSlots is how many provider paths a format may name.
const maxSlots = 96

// slot numbers a provider path within its format.
type slot uint8

// state says what became of a node of the record.
type state uint8

const (
	untouched state = iota // nobody took it: it goes to unmapped, whole
	partial                // something inside it was taken
	taken                  // the event says it elsewhere, in full
)

// release gives the builder back, without the bytes of the record.
func (b *builder) release() {
	b.raw, b.opt, b.places, b.operation = nil, Options{}, nil, nil
	b.facts = facts{}
	if cap(b.head) <= 1<<20 { // do not keep the buffers of a rare giant
		builders.Put(b)
	}
}

// bind notes which nodes the format's paths name, walking both sorted lists at once.
func (b *builder) bind(object int32, t *trie) {
	if b.tree.Kind(object) != rawjson.KindObject {
		return
	}
	branches := t.branches
	for _, kid := range b.tree.Kids(object) {
		key := b.tree.Key(kid)
		for len(branches) > 0 && branches[0].key < key {
			branches = branches[1:]
		}
		for i := range branches {
			br := &branches[i]
			if br.key != key {
				break
			}
			if string(b.tree.Name(kid)) != br.name {
				continue
			}
			if br.slot >= 0 && (!br.alias || b.slots[br.slot] == rawjson.None || b.slots[br.slot] == b.tree.Parent(kid)) {
				b.slots[br.slot] = kid
			}
			if len(br.sub.branches) > 0 {
				b.bind(kid, &br.sub)
			}
			break
		}
		if len(branches) == 0 {
			return
		}
	}
}

// node returns the first of the slots that holds something, None if none does. Null and "" are nothing.
func (b *builder) node(slots ...slot) int32 {
	for _, s := range slots {
		if n := b.slots[s]; n != rawjson.None && b.tree.Kind(n) != rawjson.KindNull && string(b.tree.Raw(n)) != `""` {
			return n
		}
	}
	return rawjson.None
}

// scalarNode returns the first of the slots that holds a non-empty scalar, None if none does.
func (b *builder) scalarNode(slots ...slot) int32 {
	for _, s := range slots {
		if n := b.slots[s]; n != rawjson.None && b.scalar(n) && string(b.tree.Raw(n)) != `""` {
			return n
		}
	}
	return rawjson.None
}

// text returns the text of the first of the slots that holds a non-empty scalar, nil if none does. It is valid until
// the next call.
func (b *builder) text(slots ...slot) []byte {
	if n := b.scalarNode(slots...); n != rawjson.None {
		return b.tree.Text(n)
	}
	return nil
}

// scalar reports whether node n is a string, number or boolean.
func (b *builder) scalar(n int32) bool {
	switch b.tree.Kind(n) {
	case rawjson.KindString, rawjson.KindNumber, rawjson.KindTrue, rawjson.KindFalse:
		return true
	}
	return false
}

// take marks node n as said elsewhere in the event, in full.
func (b *builder) take(n int32) {
	if n == rawjson.None {
		return
	}
	b.state[n] = taken
	for p := b.tree.Parent(n); p != rawjson.None && b.state[p] == untouched; p = b.tree.Parent(p) {
		b.state[p] = partial
	}
}

// appendRest appends what nobody took of object n, as an object; nothing if nothing is left.
func (b *builder) appendRest(dst []byte, n int32) []byte {
	start := len(dst)
	dst = append(dst, '{')
	for _, kid := range b.tree.Kids(n) {
		before := len(dst)
		switch b.state[kid] {
		case taken:
			continue
		case partial:
			if b.tree.Kind(kid) != rawjson.KindObject { // inside an array the position is part of what is said
				dst = b.appendMember(dst, kid, before > start+1)
				continue
			}
			if before > start+1 {
				dst = append(dst, ',')
			}
			dst = append(b.tree.AppendName(dst, kid), ':')
			at := len(dst)
			if dst = b.appendRest(dst, kid); len(dst) == at {
				dst = dst[:before]
			}
		default:
			dst = b.appendMember(dst, kid, before > start+1)
		}
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	return append(dst, '}')
}

func (b *builder) appendMember(dst []byte, kid int32, comma bool) []byte {
	if comma {
		dst = append(dst, ',')
	}
	dst = append(b.tree.AppendName(dst, kid), ':')
	return b.tree.AppendCanonical(dst, kid)
}

// quote appends text, which is valid UTF-8, as a JSON string.
func quote(dst, text []byte) []byte { return rawjson.AppendQuoted(dst, text) }

func quoteString(dst []byte, text string) []byte { return rawjson.AppendString(dst, text) }

// literal appends a text of this package's tables, which needs no escapes, as a JSON string.
func literal(dst []byte, text string) []byte {
	return append(append(append(dst, '"'), text...), '"')
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func hexSum(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
