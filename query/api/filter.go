package api

import (
	"strconv"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query/index"
)

// filterParameters are the parameters that make a filter.
var filterParameters = func() []parameter {
	list := one("from", "to", "text")
	for _, c := range index.Columns() {
		list = append(list, many(string(c))...)
	}
	return append(list, many("since")...)
}()

// filter reads which events are meant.
func (v values) filter() (f index.Filter, err error) {
	if f.From, err = v.time("from"); err != nil {
		return f, err
	}
	if f.To, err = v.time("to"); err != nil {
		return f, err
	}
	if !f.To.IsZero() && f.To.Before(f.From) {
		return f, badParameterf("to", "is before from")
	}
	f.Text = v.get("text")
	for _, c := range index.Columns() {
		if list := v[string(c)]; len(list) > 0 {
			if f.Equal == nil {
				f.Equal = make(map[index.Column][]string)
			}
			f.Equal[c] = list
		}
	}
	if f.Since, err = v.since(); err != nil {
		return f, err
	}
	if err := f.Check(); err != nil {
		return f, &problem{kind: badParameter, detail: sentence(err), cause: err}
	}
	return f, nil
}

// since reads from which leaf of each log on events are meant: origin@index.
func (v values) since() (map[string]uint64, error) {
	var list map[string]uint64
	for _, text := range v["since"] {
		origin, at, _ := strings.Cut(text, "@")
		from, err := strconv.ParseUint(at, 10, 64)
		if _, bad := ledger.ParseOrigin(origin); bad != nil || err != nil {
			return nil, badParameterf("since", "expected the origin of a log and the index of a leaf, as local/eu/events/0@281")
		}
		if _, twice := list[origin]; twice {
			return nil, badParameterf("since", "names a log twice")
		}
		if list == nil {
			list = make(map[string]uint64)
		}
		list[origin] = from
	}
	return list, nil
}
