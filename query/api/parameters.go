package api

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// A parameter of a query.
type parameter struct {
	name string
	many bool // it may stand several times
}

func one(names ...string) []parameter  { return parametersOf(false, names) }
func many(names ...string) []parameter { return parametersOf(true, names) }

func parametersOf(many bool, names []string) (list []parameter) {
	for _, n := range names {
		list = append(list, parameter{n, many})
	}
	return list
}

func join(lists ...[]parameter) []parameter { return slices.Concat(lists...) }

// Limits of what a query holds. They keep one within what its answer is worth.
const (
	maxValues     = 100  // of one parameter
	maxValueBytes = 1024 // of one value
	maxCursor     = 4096 // bytes of a cursor
)

// values are the parameters of a query that are known, none of them empty.
type values map[string][]string

// get is the value of a parameter that stands at most once, or "".
func (v values) get(name string) string {
	if len(v[name]) == 0 {
		return ""
	}
	return v[name][0]
}

// readQuery reads a raw query. It refuses parameters that are not in the table, and those in it that stand too often,
// are empty, too long or no text.
func readQuery(raw string, table []parameter) (values, error) {
	if raw == "" {
		return nil, nil
	}
	all, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &problem{kind: badParameter, detail: "The query cannot be read: names and values are percent-encoded, pairs are joined by &."}
	}
	var unknown []string
	for name := range all {
		if !slices.ContainsFunc(table, func(p parameter) bool { return p.name == name }) {
			unknown = append(unknown, shown(name))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		const most = 10
		more := ""
		if n := len(unknown) - most; n > 0 {
			unknown, more = unknown[:most], fmt.Sprintf(" and %d more", n)
		}
		return nil, &problem{kind: badParameter, parameters: unknown,
			detail: "Not among the parameters of this operation: " + strings.Join(unknown, ", ") + more + "."}
	}
	for _, p := range table {
		if err := p.check(all[p.name]); err != nil {
			return nil, err
		}
	}
	return values(all), nil
}

func (p parameter) check(list []string) error {
	most := maxValueBytes
	if p.name == "cursor" {
		most = maxCursor
	}
	switch {
	case !p.many && len(list) > 1:
		return badParameterf(p.name, "stands %d times, at most once", len(list))
	case len(list) > maxValues:
		return badParameterf(p.name, "stands %d times, at most %d", len(list), maxValues)
	}
	for _, v := range list {
		switch {
		case v == "":
			return badParameterf(p.name, "is empty")
		case len(v) > most:
			return badParameterf(p.name, "%d bytes long, at most %d", len(v), most)
		case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
			return badParameterf(p.name, "is not text")
		}
	}
	return nil
}

// shown makes a name that a client chose fit to be shown: short, and text.
func shown(name string) string {
	const most = 64
	name = strings.ToValidUTF8(name, "�")
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '�'
		}
		return r
	}, name)
}

// maxCount is the greatest number that every reader of JSON takes exactly.
const maxCount = 1<<53 - 1

// count reads a number from 0 to maxCount.
func (v values) count(name string) (n uint64, there bool, err error) {
	text := v.get(name)
	if text == "" {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(text, 10, 63)
	if err != nil || n > maxCount || strconv.FormatUint(n, 10) != text {
		return 0, false, badParameterf(name, "expected a number from 0 to %d", maxCount)
	}
	return n, true, nil
}

// limit reads how many are wanted at most.
func (v values) limit(standard, most int) (int, error) {
	text := v.get("limit")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != text {
		return 0, badParameterf("limit", "expected a number from 1 to %d", most)
	}
	return n, nil
}

func (v values) bool(name string) (bool, error) {
	switch v.get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, badParameterf(name, "expected true or false")
}

// maxTime is the end of year 9999 in milliseconds: what RFC 3339 can say.
const maxTime = 253402300799999

// time reads RFC 3339 or milliseconds since 1970; zero where there is none.
func (v values) time(name string) (time.Time, error) {
	text := v.get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if ms, err := strconv.ParseUint(text, 10, 63); err == nil && ms <= maxTime {
		return time.UnixMilli(int64(ms)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil || t.UnixMilli() < 0 || t.UnixMilli() > maxTime {
		return t, badParameterf(name, "expected a time from 1970 to 9999, as 2026-01-31T00:00:00Z or in milliseconds since 1970 (a + is written %%2B)")
	}
	return t.UTC(), nil
}

// cells reads which cells are to be asked; none: all.
func (s *server) cells(v values) ([]string, error) {
	list := v["cell"]
	if err := distinct("cell", list); err != nil {
		return nil, err
	}
	for _, j := range list {
		if !s.known[j] {
			return nil, badParameterf("cell", "no such cell is served here: %s. /v1/logs lists them", shown(j))
		}
	}
	return list, nil
}

func distinct(name string, list []string) error {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return badParameterf(name, "names %s twice", shown(v))
		}
	}
	return nil
}

// purpose reads why somebody asks.
func (v values) purpose(standard ledger.AccessPurpose) (ledger.AccessPurpose, error) {
	p := cmp.Or(ledger.AccessPurpose(v.get("purpose")), standard)
	if known := ledger.AccessPurposes(); !slices.Contains(known, p) {
		return "", badParameterf("purpose", "expected one of %v", known)
	}
	return p, nil
}

// asking reads who asks, why, and which cells; none means all.
func (s *server) asking(c echo.Context, v values, standard ledger.AccessPurpose) (query.Asker, []string, error) {
	cells, err := s.cells(v)
	if err != nil {
		return query.Asker{}, nil, err
	}
	purpose, err := v.purpose(standard)
	if err != nil {
		return query.Asker{}, nil, err
	}
	return s.asker(c.Request(), purpose), cells, nil
}

// pointer reports whether text names fields of an event, or with a trailing /* those below it.
func pointer(text string) bool {
	text, below := strings.CutSuffix(text, "/*")
	if text == "" {
		return below
	}
	names := strings.Split(text, "/")
	if names[0] != "" || len(names) > 4 {
		return false
	}
	for _, name := range names[1:] {
		if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return true
}
