package api

import (
	"domicile.dev/domicile/query/index"
)

// filterParameters are the parameters that make a filter.
var filterParameters = func() []parameter {
	list := one("from", "to", "text")
	for _, c := range index.Columns() {
		list = append(list, many(string(c))...)
	}
	return list
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
	if err := f.Check(); err != nil {
		return f, &problem{kind: badParameter, detail: sentence(err), cause: err}
	}
	return f, nil
}
