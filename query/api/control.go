package api

import (
	"slices"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// control answers GET /v1/control.
func (s *server) control(c echo.Context, v values) error {
	filter, proofs, err := v.controlFilter()
	if err != nil {
		return err
	}
	cells, err := s.cells(v)
	if err != nil {
		return err
	}
	if len(cells) == 0 {
		cells = s.Cells.Jurisdictions()
	}
	// What one cell cannot answer is its own affair, unless it is alone.
	pages, complete := make([]*query.ControlPage, len(cells)), true
	failed := make([]error, len(cells))
	for i, j := range cells {
		pages[i], failed[i] = s.Cells.Control(c.Request().Context(), j, filter, proofs)
		complete = complete && failed[i] == nil
		if failed[i] != nil && len(cells) == 1 {
			return failed[i]
		}
	}
	o := begin(c, typeJSON)
	o.open("{")
	o.value("complete", complete)
	o.name("cells")
	o.open("[")
	for i, j := range cells {
		o.comma()
		o.controlPage(j, pages[i], failed[i], proofs)
	}
	o.shut("]")
	o.shut("}")
	return o.end()
}

func (o *object) controlPage(jurisdiction string, page *query.ControlPage, failed error, proofs bool) {
	o.open("{")
	o.value("jurisdiction", jurisdiction)
	o.value("answered", failed == nil)
	if failed != nil {
		reason, detail := reasonOf(failed)
		o.value("reason", reason)
		o.value("detail", detail)
		o.bytes("entries", []byte("[]"))
		o.shut("}")
		return
	}
	o.value("control", controlState{page.Checkpoint.Origin, checkpointOf(page.Checkpoint, page.Note)})
	o.name("entries")
	o.open("[")
	for _, e := range page.Entries {
		o.comma()
		o.open("{")
		o.count("index", e.Index)
		o.bytes("entry", e.Entry)
		if proofs {
			o.value("proof", formatHashes(e.Proof))
		}
		o.shut("}")
	}
	o.shut("]")
	if n := page.Next; n != nil {
		o.name("next")
		o.open("{")
		o.count("from", n.From)
		if n.To > 0 {
			o.count("to", n.To)
		}
		if n.Size > 0 {
			o.count("size", n.Size)
		}
		o.shut("}")
	}
	o.shut("}")
}

// controlFilter reads which entries are meant.
func (v values) controlFilter() (f query.ControlFilter, proofs bool, err error) {
	if err := distinct("type", v["type"]); err != nil {
		return f, false, err
	}
	for _, name := range v["type"] {
		if !slices.Contains(ledger.EntryTypes(), ledger.EntryType(name)) {
			return f, false, badParameterf("type", "%s is none of %v", shown(name), ledger.EntryTypes())
		}
		f.Types = append(f.Types, ledger.EntryType(name))
	}
	if f.From, _, err = v.count("from"); err != nil {
		return f, false, err
	}
	for name, into := range map[string]*uint64{"to": &f.To, "size": &f.Size} {
		n, there, err := v.count(name)
		if err != nil {
			return f, false, err
		}
		if there && n == 0 {
			return f, false, badParameterf(name, "expected at least 1")
		}
		*into = n
	}
	if f.To > 0 && f.To < f.From {
		return f, false, badParameterf("to", "is less than from")
	}
	if f.Limit, err = v.limit(100, query.MaxEntries); err != nil {
		return f, false, err
	}
	if f.Descending, err = v.bool("descending"); err != nil {
		return f, false, err
	}
	proofs, err = v.bool("proof")
	return f, proofs, err
}
