package normalize

import (
	"slices"
	"strconv"
	"strings"

	"domicile.dev/domicile/internal/rawjson"
)

// Source says where one attribute of an event came from.
type Source struct {
	Pointer string // JSON Pointer of the attribute in the event
	From    string // JSON Pointer of the value in the provider's record; empty where a rule or a constant decided
	Rule    string // what decided, in a few words; empty where the value was taken as it stands
}

// Explain says, for every attribute of the event that Normalize makes of raw, where it came from: in the order in which
// they stand in the event. The error is Normalize's.
func Explain(raw Raw, opt Options) ([]Source, error) {
	b := builders.Get().(*builder)
	defer b.release()
	var sources []Source
	b.explain = &sources
	defer func() { b.explain = nil }()
	_, out, err := b.normalize(b.head[:0], raw, opt)
	b.head = out
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(sources, func(a, b Source) int { return strings.Compare(a.Pointer, b.Pointer) })
	for i := range sources {
		s := &sources[i]
		switch {
		case s.Pointer == "/enrichments", s.Pointer == "/cloud/region":
			s.Rule = b.place.rule
		case strings.HasPrefix(s.Pointer, "/src_endpoint/") && s.From == "" && b.endpoint.node != rawjson.None:
			s.From = b.pointer(b.endpoint.node)
		case s.Pointer == "/time", s.Pointer == "/time_dt":
			s.From = b.pointer(b.when.node)
		}
	}
	return sources, nil
}

// wrote notes that a step wrote its value.
func (b *builder) wrote(s *step, n int32) {
	source := Source{Pointer: "/" + s.to, Rule: s.rule}
	if n != rawjson.None {
		source.From = b.pointer(n)
	}
	*b.explain = append(*b.explain, source)
}

// pointer returns the JSON Pointer of node n in the record.
func (b *builder) pointer(n int32) string {
	parent := b.tree.Parent(n)
	if parent == rawjson.None {
		return ""
	}
	if b.tree.Kind(parent) == rawjson.KindArray {
		return b.pointer(parent) + "/" + strconv.Itoa(slices.Index(b.tree.Kids(parent), n))
	}
	name := strings.ReplaceAll(string(b.tree.Name(n)), "~", "~0")
	return b.pointer(parent) + "/" + strings.ReplaceAll(name, "/", "~1")
}
