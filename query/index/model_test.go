package index

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// A model is an event as a reader of its JSON sees it: the tests' own idea of what filters mean, which shares no code with
// the index.
type model struct {
	Position
	uid    string
	fields any
	values []string // for free text: values, and names in free-form JSON
}

func newModel(t testing.TB, position Position, event []byte) *model {
	t.Helper()
	m := &model{Position: position}
	decoder := json.NewDecoder(strings.NewReader(string(event)))
	decoder.UseNumber()
	if err := decoder.Decode(&m.fields); err != nil {
		t.Fatal(err)
	}
	m.uid = m.text("metadata", "uid")
	return m
}

func (m *model) at(path ...string) any {
	v := m.fields
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

func (m *model) text(path ...string) string {
	s, _ := m.at(path...).(string)
	return s
}

func (m *model) number(path ...string) string {
	n, _ := m.at(path...).(json.Number)
	return n.String()
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// of returns what an event says for a column: any of it may be asked for.
func (m *model) of(c Column) (values []string) {
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			values = append(values, s)
		}
	}
	var residency map[string]any
	for _, e := range list(m.at("enrichments")) {
		if e := e.(map[string]any); e["type"] == "residency" {
			residency = e["data"].(map[string]any)
		}
	}
	switch c {
	case UID:
		add(m.uid)
	case Log:
		add(m.Log)
	case Jurisdiction:
		for _, j := range list(residency["jurisdictions"]) {
			add(j)
		}
		if values == nil {
			values = []string{"unknown"}
		}
	case Region:
		add(residency["region"])
	case Provider:
		add(strings.ToLower(m.text("cloud", "provider")))
	case Account:
		add(m.at("cloud", "account", "uid"))
	case Class:
		values = append(values, m.number("class_uid"), m.text("class_name"))
	case Activity:
		values = append(values, m.number("activity_id"), m.text("activity_name"))
	case Service:
		add(m.at("api", "service", "name"))
	case Operation:
		add(m.at("api", "operation"))
	case Actor:
		for _, of := range [][]string{{"actor", "user"}, {"user"}} {
			for _, name := range []string{"name", "email_addr", "uid"} {
				add(m.at(append(of, name)...))
			}
		}
		if values == nil {
			add(m.at("actor", "app_name"))
		}
	case SrcIP:
		for _, name := range []string{"ip", "name", "svc_name"} {
			if add(m.at("src_endpoint", name)); values != nil {
				break
			}
		}
	case Status:
		add(m.at("status"))
	case Resource:
		for _, r := range list(m.at("resources")) {
			if r, ok := r.(map[string]any); ok {
				add(r["uid"])
				add(r["name"])
			}
		}
	}
	return values
}

// matches says whether a filter means the event.
func (m *model) matches(f *Filter) bool {
	if !f.From.IsZero() && m.Time < f.From.UnixMilli() || !f.To.IsZero() && m.Time >= f.To.UnixMilli() {
		return false
	}
	for c, values := range f.Equal {
		said := m.of(c)
		if !slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(said, func(s string) bool {
				if c == UID || c == Log {
					return s == v
				}
				return asciiLower(s) == asciiLower(v)
			})
		}) {
			return false
		}
	}
	for _, term := range strings.Fields(f.Text) {
		if !m.says(term) {
			return false
		}
	}
	return true
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 {
			return unicode.ToLower(r)
		}
		return r
	}, s)
}

// says reports whether a term occurs, as it stands and not inside a longer word.
func (m *model) says(term string) bool {
	if m.values == nil {
		m.collect("", m.fields)
	}
	pattern := regexp.QuoteMeta(strings.Map(unicode.ToLower, term))
	word := regexp.MustCompile(`^[0-9A-Za-z\x{80}-\x{10FFFF}]`)
	if word.MatchString(term) {
		pattern = `(^|[^0-9a-z\x{80}-\x{10FFFF}])` + pattern
	}
	if regexp.MustCompile(`[0-9A-Za-z\x{80}-\x{10FFFF}]$`).MatchString(term) {
		pattern += `($|[^0-9a-z\x{80}-\x{10FFFF}])`
	}
	re, low := regexp.MustCompile(pattern), strings.Map(unicode.ToLower, term)
	return slices.ContainsFunc(m.values, func(v string) bool { return strings.Contains(v, low) && re.MatchString(v) })
}

// collect gathers what is searched.
func (m *model) collect(pointer string, v any) {
	if slices.Contains(notSearched, pointer) {
		return
	}
	m.add(strings.Count(pointer, "/") >= 3 || free[pointer[strings.LastIndex(pointer, "/")+1:]], pointer, v)
}

var free = map[string]bool{"unmapped": true, "data": true, "xattributes": true, "evidence": true, "supporting_data": true, "access_result": true}

// notSearched are the fields that documentation says are not.
var notSearched = []string{
	"/activity_id", "/actor/session/created_time", "/actor/session/created_time_dt", "/category_name", "/category_uid", "/class_uid",
	"/cloud/account/type", "/cloud/account/type_id", "/enrichments", "/metadata/logged_time", "/metadata/logged_time_dt",
	"/metadata/loggers", "/metadata/original_time", "/metadata/processed_time", "/metadata/processed_time_dt", "/metadata/profiles",
	"/metadata/version", "/raw_data", "/raw_data_hash/algorithm", "/raw_data_hash/algorithm_id", "/raw_data_hash/value", "/raw_data_size",
	"/severity_id", "/status_id", "/time", "/time_dt", "/type_name", "/type_uid",
}

func (m *model) add(whole bool, pointer string, v any) {
	switch v := v.(type) {
	case string:
		m.values = append(m.values, strings.Map(unicode.ToLower, v))
	case json.Number:
		m.values = append(m.values, strings.ToLower(v.String()))
	case []any:
		for _, e := range v {
			m.add(true, pointer, e)
		}
	case map[string]any:
		for name, e := range v {
			if whole {
				m.values = append(m.values, strings.Map(unicode.ToLower, name))
				m.add(true, pointer, e)
			} else {
				m.collect(pointer+"/"+name, e)
			}
		}
	}
}

// A corpus is models of everything that was indexed, newest first.
type corpus []*model

func (c corpus) search(f *Filter, p *Page) (found []*model) {
	for _, m := range c {
		if size, ok := p.Within[m.Log]; p.Within != nil && (!ok || m.Index >= size) {
			continue
		}
		if p.After != nil && m.Compare(*p.After) >= 0 {
			continue
		}
		if m.matches(f) && len(found) < p.Limit {
			found = append(found, m)
		}
	}
	return found
}

// corpus makes the models of a cell's events.
func (c *cell) corpus() (all corpus) {
	c.t.Helper()
	for i := range c.shards {
		head, err := c.reader(i).Head(c.t.Context())
		c.must(err)
		for index := range head.Size {
			line, err := c.reader(i).Record(c.t.Context(), index)
			c.must(err)
			event, ok := cutRecord(line)
			if !ok {
				c.t.Fatalf("record %d is none", index)
			}
			m := newModel(c.t, Position{Log: origin(i), Index: index}, event)
			t, err := strconv.ParseInt(m.number("time"), 10, 64)
			c.must(err)
			m.Time = t
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *model) int { return b.Compare(a.Position) })
	return all
}
