package index

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// A Filter says which events are meant. The zero Filter means all.
type Filter struct {
	From, To time.Time           // time of the event in [From, To), to the millisecond; zero: open
	Equal    map[Column][]string // any of the values; all columns must match
	// Words, all of which must occur in the event, without regard to case. What has no space in it, like an address or an
	// ARN, must occur as it stands.
	Text string
	// Only events that were recorded from a leaf of their log on; logs that are not named: from the first.
	Since map[string]uint64
}

// Limits of a question. They keep what a stranger can make ClickHouse do small.
const (
	maxValues = 1000 // of one column
	maxText   = 1000 // bytes
	maxTerms  = 16
)

// Check says why a filter cannot be asked; its error wraps ErrQuestion.
func (f *Filter) Check() error {
	_, err := f.conditions()
	return err
}

// conditions are what a WHERE clause says, and the parameters in it. Values are only ever parameters.
type conditions struct {
	where  []string
	params []any
}

// bind adds a parameter and returns its place in the query.
func (c *conditions) bind(sqlType string, value any) string {
	name := "p" + strconv.Itoa(len(c.params))
	c.params = append(c.params, clickhouse.Named(name, value))
	return "{" + name + ":" + sqlType + "}"
}

func (c *conditions) sql() string {
	if len(c.where) == 0 {
		return "1"
	}
	return strings.Join(c.where, " AND ")
}

func (f *Filter) conditions() (*conditions, error) {
	c := new(conditions)
	if !f.From.IsZero() {
		c.where = append(c.where, "time >= "+c.bind("Int64", f.From.UnixMilli()))
	}
	if !f.To.IsZero() {
		if f.To.Before(f.From) {
			return nil, fmt.Errorf("%w: the end of the time (%s) is before its beginning (%s)", ErrQuestion, f.To.UTC().Format(time.RFC3339), f.From.UTC().Format(time.RFC3339))
		}
		c.where = append(c.where, "time < "+c.bind("Int64", f.To.UnixMilli()))
	}
	for column := range f.Equal {
		if _, err := specOf(column); err != nil {
			return nil, err
		}
	}
	for i := range specs { // in the order of the table, so that a question always becomes the same SQL
		values, ok := f.Equal[specs[i].column]
		if !ok {
			continue
		}
		if err := specs[i].condition(c, values); err != nil {
			return nil, err
		}
	}
	if len(f.Since) > maxValues {
		return nil, fmt.Errorf("%w: since names %d logs, at most %d", ErrQuestion, len(f.Since), maxValues)
	}
	for _, origin := range slices.Sorted(maps.Keys(f.Since)) {
		c.where = append(c.where, "(log != "+c.bind("String", origin)+" OR leaf_index >= "+c.bind("UInt64", f.Since[origin])+")")
	}
	if err := f.text(c); err != nil {
		return nil, err
	}
	return c, nil
}

// condition says that a column has one of the values.
func (s *spec) condition(c *conditions, values []string) error {
	switch {
	case len(values) == 0:
		return fmt.Errorf("%w: %s: no value is given", ErrQuestion, s.column)
	case len(values) > maxValues:
		return fmt.Errorf("%w: %s: %d values, at most %d", ErrQuestion, s.column, len(values), maxValues)
	}
	for _, v := range values {
		switch {
		case len(v) >= maxValue: // a value that was cut has exactly that many bytes, or a few less
			return fmt.Errorf("%w: %s: a value of %d bytes, at most %d", ErrQuestion, s.column, len(v), maxValue-1)
		case !utf8.ValidString(v):
			return fmt.Errorf("%w: %s: the value is not UTF-8", ErrQuestion, s.column)
		}
	}
	switch s.kind {
	case exact:
		c.where = append(c.where, s.sql+" IN "+c.bind("Array(String)", values))
	case folded:
		c.where = append(c.where, "lower("+s.sql+") IN "+c.bind("Array(String)", fold(values)))
	case member:
		c.where = append(c.where, "hasAny("+foldedList(s.sql)+", "+c.bind("Array(String)", fold(values))+")")
	case number:
		var numbers []uint32
		var names []string
		for _, v := range values {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil {
				numbers = append(numbers, uint32(n))
			} else {
				names = append(names, v)
			}
		}
		var any []string
		if len(numbers) > 0 {
			any = append(any, s.sql+" IN "+c.bind("Array(UInt32)", numbers))
		}
		if len(names) > 0 {
			any = append(any, "lower("+s.name+") IN "+c.bind("Array(String)", fold(names)))
		}
		c.where = append(c.where, "("+strings.Join(any, " OR ")+")")
	}
	return nil
}

// foldedList is the expression that the skipping indexes of the arrays are over, to the letter.
func foldedList(array string) string { return "arrayMap(x -> lower(x), " + array + ")" }

// fold lowers ASCII letters, as ClickHouse's lower does.
func fold(values []string) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, v)
	}
	return list
}

// text says that all terms occur: each a word, or several with what stands between them (an address, an ARN).
func (f *Filter) text(c *conditions) error {
	if f.Text == "" {
		return nil
	}
	if len(f.Text) > maxText {
		return fmt.Errorf("%w: text of %d bytes, at most %d", ErrQuestion, len(f.Text), maxText)
	}
	if !utf8.ValidString(f.Text) {
		return fmt.Errorf("%w: the text is not UTF-8", ErrQuestion)
	}
	terms := strings.FieldsFunc(lower(f.Text), unicode.IsSpace)
	if len(terms) == 0 || len(terms) > maxTerms {
		return fmt.Errorf("%w: text of %d words, from 1 to %d", ErrQuestion, len(terms), maxTerms)
	}
	for _, term := range terms {
		words := wordsOf(term)
		for _, w := range words { // what the index of words can tell
			c.where = append(c.where, "hasToken(text, "+c.bind("String", w)+")")
		}
		if len(words) != 1 || words[0] != term {
			c.where = append(c.where, "match(text, "+c.bind("String", termPattern(term))+")")
		}
	}
	return nil
}
