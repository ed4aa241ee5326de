package normalize

import (
	"slices"
	"strings"

	"domicile.dev/domicile/internal/rawjson"
)

// A row of a mapping table says where one attribute of the event comes from.
type row struct {
	to   string  // path of the attribute, names joined by "/"
	from []slot  // provider paths: the first that holds something is meant
	put  put     // how the value is written; nil means text
	in   classes // classes that have the attribute; 0 means every class
	rule string  // for rows without a provider path: what decides, in a few words
}

// put appends a value for an attribute, or returns dst as it was if there is nothing to say. n is the node that from
// found, None if from is empty; a put is not called where from is given and found nothing. A put that says all of n
// takes it, so that it does not stand in unmapped as well.
type put func(b *builder, dst []byte, n int32) []byte

// A format is one kind of provider record: its paths, its rows, and what must be derived before they are written.
type format struct {
	name     string // "cloudtrail": first half of Raw.Form
	provider string
	anyCase  bool                    // top-level names come in camelCase and in PascalCase
	paths    []string                // by slot; names joined by "/", spellings by "|", "~" for a slash inside a name
	derive   func(b *builder) Reason // fills facts; a reason refuses the record

	trie  trie
	plans [3]plan // by class
}

// trie holds a format's paths for bind: branches sorted by name.
type trie struct{ branches []branch }

type branch struct {
	name  string
	key   uint64
	slot  int  // -1: only a step on the way
	alias bool // another spelling: counts only where the slot is still empty
	sub   trie
}

// plan is the compiled table of one class: steps in the order in which they stand in the event.
type plan struct {
	head, tail []step // before and after unmapped
}

type step struct {
	*row
	open   []string // open[d] is what precedes the value when d objects of the path are already open
	shared int      // how many objects this step's path has in common with the previous step's
}

// compile builds a format from its tables. tables of rows may overlap between classes, not within one.
func compile(f format, tables ...[]row) *format {
	if len(f.paths) > maxSlots {
		panic("normalize: too many paths in " + f.name)
	}
	for s, paths := range f.paths {
		for i, path := range strings.Split(paths, "|") {
			f.trie.add(path, s, i > 0)
			if f.anyCase {
				f.trie.add(strings.ToUpper(path[:1])+path[1:], s, true)
			}
		}
	}
	rows := slices.Concat(tables...)
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.to, b.to) })
	for c := range f.plans {
		p := &f.plans[c]
		var previous []string
		for i := range rows {
			r := &rows[i]
			if r.in != 0 && r.in&(1<<c) == 0 {
				continue
			}
			names := strings.Split(r.to, "/")
			s := step{row: r}
			steps := &p.head
			if r.to > "unmapped" {
				steps = &p.tail
			}
			if len(*steps) == 0 {
				previous = nil
			}
			for s.shared < min(len(names), len(previous))-1 && names[s.shared] == previous[s.shared] {
				s.shared++
			}
			for d := range names {
				s.open = append(s.open, `"`+strings.Join(names[d:], `":{"`)+`":`)
			}
			if previous != nil && r.to == (*steps)[len(*steps)-1].to {
				panic("normalize: two rows for " + r.to + " in " + f.name)
			}
			*steps = append(*steps, s)
			previous = names
		}
	}
	return &f
}

func (t *trie) add(path string, slot int, alias bool) {
	name, rest, nested := strings.Cut(path, "/")
	name = strings.ReplaceAll(name, "~", "/")
	i, found := slices.BinarySearchFunc(t.branches, name, func(b branch, name string) int { return strings.Compare(b.name, name) })
	if !found {
		t.branches = slices.Insert(t.branches, i, branch{name: name, key: rawjson.SortKey([]byte(name)), slot: -1, alias: alias})
	}
	b := &t.branches[i]
	if nested {
		b.sub.add(rest, slot, alias)
		return
	}
	if b.slot < 0 {
		b.slot, b.alias = slot, alias
	}
}

// encode appends the event.
func (b *builder) encode(dst []byte) []byte {
	p := &b.format.plans[b.class.plan]
	b.tail = b.write(b.tail[:0], p.tail)
	dst = b.write(append(dst, '{'), p.head)
	before := len(dst)
	dst = append(dst, `,"unmapped":`...)
	from := len(dst)
	if dst = b.appendRest(dst, 0); len(dst) == from {
		dst = dst[:before]
	} else if b.explain != nil {
		*b.explain = append(*b.explain, Source{Pointer: "/unmapped", Rule: "what no other attribute says"})
	}
	if len(b.tail) > 0 {
		dst = append(append(dst, ','), b.tail...)
	}
	return append(dst, '}')
}

// write appends the values of the steps that have one, opening and closing the objects that they stand in.
func (b *builder) write(dst []byte, steps []step) []byte {
	depth := 0    // objects that are open
	first := true // nothing was written yet
	shared := 0   // objects that the next step's path has in common with the last one that was written
	for i := range steps {
		s := &steps[i]
		shared = min(shared, s.shared)
		n := rawjson.None
		if len(s.from) > 0 {
			if s.put == nil {
				n = b.scalarNode(s.from...)
			} else {
				n = b.node(s.from...)
			}
			if n == rawjson.None {
				continue
			}
		}
		start := len(dst)
		for d := depth; d > shared; d-- {
			dst = append(dst, '}')
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, s.open[shared]...)
		from := len(dst)
		if s.put != nil {
			dst = s.put(b, dst, n)
		} else {
			dst = text(b, dst, n)
		}
		if len(dst) == from {
			dst = dst[:start]
			continue
		}
		if b.explain != nil {
			b.wrote(s, n)
		}
		depth, first = len(s.open)-1, false
		shared = depth
	}
	for ; depth > 0; depth-- {
		dst = append(dst, '}')
	}
	return dst
}
