package api

import (
	"errors"
	"net/url"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

// events answers GET /v1/events.
func (s *server) events(c echo.Context, v values) error {
	q := query.Question{Cursor: v.get("cursor")}
	var err error
	if q.Filter, err = v.filter(); err != nil {
		return err
	}
	if q.Limit, err = v.limit(100, query.MaxRows); err != nil {
		return err
	}
	var who query.Asker
	if who, q.Cells, err = s.asking(c, v, ledger.PurposeOperation); err != nil {
		return err
	}
	if !cursorText(q.Cursor) {
		return &problem{kind: badCursor, parameters: []string{"cursor"}}
	}
	answer, err := s.Cells.Search(c.Request().Context(), who, q)
	if errors.Is(err, query.ErrCursor) {
		return &problem{kind: badCursor, parameters: []string{"cursor"}}
	}
	if err != nil && answer != nil {
		return withCells(err, answer.Cells)
	}
	if err != nil {
		return err
	}
	if err := nobody(answer.Cells); err != nil {
		return err
	}
	return s.writeEvents(c, answer)
}

// cursorText reports whether text can be a cursor: base64url.
func cursorText(text string) bool {
	for _, r := range []byte(text) {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}

// event answers GET /v1/events/{uid}.
func (s *server) event(c echo.Context, v values) error {
	uid, err := uidOf(c)
	if err != nil {
		return err
	}
	who, cells, err := s.asking(c, v, ledger.PurposeOperation)
	if err != nil {
		return err
	}
	answer, err := s.Cells.Event(c.Request().Context(), who, uid, cells...)
	if answer == nil && err == nil {
		err = query.ErrNotFound
	}
	if err != nil {
		var said []query.CellAnswer
		if answer != nil {
			said = answer.Cells
		}
		return noEvent(err, said)
	}
	if len(answer.Rows) == 0 {
		return noEvent(query.ErrNotFound, answer.Cells)
	}
	return s.writeEvents(c, answer)
}

// noEvent is the problem that an event was not found, which cannot be said while a cell has not answered.
func noEvent(err error, answers []query.CellAnswer) error {
	if errors.Is(err, query.ErrNotFound) {
		if err := missing(answers); err != nil {
			return err
		}
		p := withCells(err, answers).(*problem)
		p.detail = "No cell that was asked holds a published event of this uid or at this place."
		return p
	}
	return withCells(err, answers)
}

// maxUID bounds a uid in a path; the longest that a provider makes is far below.
const maxUID = 512

// uidOf is the uid in the path.
func uidOf(c echo.Context) (string, error) {
	uid := c.Param("uid")
	// echo matches RawPath where there is one, and then hands out what stands there.
	if c.Request().URL.RawPath != "" {
		var err error
		if uid, err = url.PathUnescape(uid); err != nil {
			return "", badParameterf("uid", "is not percent-encoded")
		}
	}
	if err := (parameter{name: "uid"}).check([]string{uid}); err != nil {
		return "", err
	}
	if len(uid) > maxUID {
		return "", badParameterf("uid", "%d bytes long, at most %d", len(uid), maxUID)
	}
	return uid, nil
}

// writeEvents writes events and their envelope.
func (s *server) writeEvents(c echo.Context, a *query.FederatedAnswer) error {
	// A row that was tampered with must not become part of the answer's own JSON.
	for i := range a.Rows {
		r := &a.Rows[i]
		if len(r.Record) == 0 || r.Record[0] != '{' || (rawjson.Form{Compact: true}).Valid(r.Record) != nil {
			return &problem{kind: alteredRecord, log: r.Log, index: r.Index, cells: cellsOf(a.Cells), asked: true,
				detail: "The record at this place is no JSON. domicile index audit names every row that was altered."}
		}
	}
	if state(c).accept == typeNDJSON {
		return s.streamEvents(c, a)
	}
	o := begin(c, typeJSON)
	o.open("{")
	o.envelope(a.Complete, a.Cells)
	o.name("events")
	o.open("[")
	for i := range a.Rows {
		o.comma()
		o.row(&a.Rows[i])
	}
	o.shut("]")
	o.next(a.Cursor)
	o.shut("}")
	return o.end()
}

// streamEvents writes a line for each event and the envelope as the last one.
func (s *server) streamEvents(c echo.Context, a *query.FederatedAnswer) error {
	o := begin(c, typeNDJSON)
	for i := range a.Rows {
		o.row(&a.Rows[i])
		o.text("\n")
	}
	o.open("{")
	o.envelope(a.Complete, a.Cells)
	o.next(a.Cursor)
	o.shut("}")
	return o.end()
}

func (o *object) envelope(complete bool, answers []query.CellAnswer) {
	o.value("complete", complete)
	o.value("cells", cellsOf(answers))
}

func (o *object) next(cursor string) {
	if cursor != "" {
		o.value("next", cursor)
	}
}

func (o *object) row(r *index.Row) {
	o.open("{")
	o.string("uid", []byte(r.UID))
	o.number("time", r.Time)
	o.string("log", []byte(r.Log))
	o.count("index", r.Index)
	o.bytes("record", r.Record)
	o.shut("}")
}
