package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Grouping says by what events are counted.
type Grouping struct {
	By     []Column          // of Groupable; none: one count
	Every  time.Duration     // length of the intervals of the event's time that are counted apart; 0: no histogram
	Limit  int               // most groups, from 1 to MaxGroups: those with the most events
	Within map[string]uint64 // as in Page
}

// A Group is how many events have these values.
type Group struct {
	Values []string // in the order of Grouping.By; "" where the event says nothing
	Start  int64    // of the interval, milliseconds since 1970; 0 without a histogram
	Count  uint64
}

// Limits of a grouping.
const (
	MaxGroups  = 10_000
	maxBy      = 4
	leastEvery = time.Millisecond
)

// Stats counts the events that match a filter. Groups come in ascending order of their intervals, within one those with
// the most events first. Where there are more than the limit, truncated says so, and those with the fewest are missing.
func (x *Index) Stats(ctx context.Context, f Filter, g Grouping) (groups []Group, truncated bool, err error) {
	c, err := f.conditions()
	if err != nil {
		return nil, false, err
	}
	if g.Limit < 1 || g.Limit > MaxGroups {
		return nil, false, fmt.Errorf("%w: %d groups, from 1 to %d", ErrQuestion, g.Limit, MaxGroups)
	}
	if len(g.By) > maxBy {
		return nil, false, fmt.Errorf("%w: counts by %d columns, at most %d", ErrQuestion, len(g.By), maxBy)
	}
	var values, names []string // what is grouped by, and how it is called
	for i, column := range g.By {
		s, err := specOf(column)
		if err != nil {
			return nil, false, err
		}
		if s.groupBy == "" || slices.Contains(g.By[:i], column) {
			return nil, false, fmt.Errorf("%w: counts by %s: one of %v, each once", ErrQuestion, column, Groupable())
		}
		name := fmt.Sprintf("g%d", i)
		values, names = append(values, s.groupBy+" AS "+name), append(names, name)
	}
	start := "toInt64(0) AS start"
	if g.Every != 0 {
		if g.Every < leastEvery || g.Every%leastEvery != 0 {
			return nil, false, fmt.Errorf("%w: intervals of %v: whole milliseconds", ErrQuestion, g.Every)
		}
		start = "time - positiveModulo(time, " + c.bind("Int64", g.Every.Milliseconds()) + ") AS start"
	}
	c.where = append(c.where, "NOT erased")
	c.within(g.Within)
	by := strings.Join(append([]string{"start"}, names...), ", ")
	list := "emptyArrayString()"
	if len(names) > 0 {
		list = "[toString(" + strings.Join(names, "), toString(") + ")]"
	}
	// Grouped by the columns as they are; texts are made of the groups only.
	query := "SELECT start, " + list + ", n FROM (SELECT " + strings.Join(append([]string{start}, values...), ", ") + ", count() AS n FROM events WHERE " + c.sql() +
		" GROUP BY " + by + " HAVING n > 0 ORDER BY n DESC, " + by + " LIMIT " + c.bind("UInt64", uint64(g.Limit)+1) + ") ORDER BY n DESC, " + by
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	const what = "counting"
	rows, err := x.conn.Query(ctx, query, c.params...)
	if err != nil {
		return nil, false, explain(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		var group Group
		if err := rows.Scan(&group.Start, &group.Values, &group.Count); err != nil {
			return nil, false, explain(what, err)
		}
		groups = append(groups, group)
	}
	if err := rows.Err(); err != nil {
		return nil, false, explain(what, err)
	}
	if len(groups) > g.Limit {
		groups, truncated = groups[:g.Limit], true
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	return groups, truncated, nil
}
