package api

import (
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

// maxGroupColumns is how many columns events can be counted by at once.
const maxGroupColumns = 3

// spans are the widths of a histogram.
var spans = map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "15m": 15 * time.Minute, "30m": 30 * time.Minute,
	"1h": time.Hour, "3h": 3 * time.Hour, "6h": 6 * time.Hour, "12h": 12 * time.Hour, "1d": 24 * time.Hour}

// stats answers GET /v1/stats.
func (s *server) stats(c echo.Context, v values) error {
	filter, err := v.filter()
	if err != nil {
		return err
	}
	grouping, err := v.grouping()
	if err != nil {
		return err
	}
	who, cells, err := s.asking(c, v, ledger.PurposeOperation)
	if err != nil {
		return err
	}
	answer, err := s.Cells.Stats(c.Request().Context(), who, filter, grouping, cells...)
	if err != nil && answer != nil {
		return withCells(err, answer.Cells)
	}
	if err != nil {
		return err
	}
	if err := nobody(answer.Cells); err != nil {
		return err
	}
	o := begin(c, typeJSON)
	o.open("{")
	o.envelope(answer.Complete, answer.Cells)
	o.value("by", append([]index.Column{}, grouping.By...))
	if every := v.get("every"); every != "" {
		o.value("every", every)
	}
	o.name("groups")
	o.open("[")
	for _, g := range answer.Groups {
		o.comma()
		o.open("{")
		o.value("values", append([]string{}, g.Values...))
		if grouping.Every > 0 {
			o.number("start", g.Start)
		}
		o.count("count", g.Count)
		o.shut("}")
	}
	o.shut("]")
	o.value("truncated", answer.Truncated)
	o.shut("}")
	return o.end()
}

// grouping reads what events are counted by.
func (v values) grouping() (g index.Grouping, err error) {
	by := v["by"]
	if len(by) > maxGroupColumns {
		return g, badParameterf("by", "%d columns, at most %d", len(by), maxGroupColumns)
	}
	if err := distinct("by", by); err != nil {
		return g, err
	}
	for _, name := range by {
		if !slices.Contains(index.Groupable(), index.Column(name)) {
			return g, badParameterf("by", "%s is none of the columns %v", shown(name), index.Groupable())
		}
		g.By = append(g.By, index.Column(name))
	}
	if every := v.get("every"); every != "" {
		var ok bool
		if g.Every, ok = spans[every]; !ok {
			return g, badParameterf("every", "expected one of 1m, 5m, 15m, 30m, 1h, 3h, 6h, 12h, 1d")
		}
	}
	g.Limit, err = v.limit(1000, query.MaxGroups)
	return g, err
}
