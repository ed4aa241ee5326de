package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// A logsCell is what GET /v1/logs says of a cell.
type logsCell struct {
	Jurisdiction string        `json:"jurisdiction"`
	Answered     bool          `json:"answered"`
	Reason       kind          `json:"reason,omitempty"`
	Detail       string        `json:"detail,omitempty"`
	Searchable   bool          `json:"searchable"`
	Logs         []logState    `json:"logs"`
	Control      *controlState `json:"control,omitempty"`
}

type controlState struct {
	Origin     string      `json:"origin"`
	Checkpoint *checkpoint `json:"checkpoint"`
}

// logs answers GET /v1/logs.
func (s *server) logs(c echo.Context, v values) error {
	wanted, err := s.cells(v)
	if err != nil {
		return err
	}
	answer := struct {
		Complete bool       `json:"complete"`
		Cells    []logsCell `json:"cells"`
	}{true, []logsCell{}}
	for _, a := range s.Cells.States(c.Request().Context()) {
		if len(wanted) > 0 && !slices.Contains(wanted, a.Jurisdiction) {
			continue
		}
		row := cellOf(a)
		out := logsCell{Jurisdiction: row.Jurisdiction, Answered: row.Answered, Reason: row.Reason, Detail: row.Detail, Logs: row.Logs}
		if a.State != nil {
			out.Control = &controlState{a.State.Control.Origin, checkpointOf(a.State.Control.Checkpoint, a.State.Control.Note)}
			out.Searchable = a.State.IndexError == ""
		}
		answer.Complete = answer.Complete && row.Answered
		answer.Cells = append(answer.Cells, out)
	}
	return answerJSON(c, http.StatusOK, answer)
}

// origin is the log that the path names: /…/{jurisdiction}/events/{shard}/… or /…/{jurisdiction}/control/….
func (s *server) origin(c echo.Context) (jurisdiction, origin string, err error) {
	o := ledger.Origin{Ledger: s.Ledger, Jurisdiction: c.Param("jurisdiction"), Control: true}
	if !s.known[o.Jurisdiction] {
		return "", "", query.ErrNoCell
	}
	if slices.Contains(c.ParamNames(), "shard") {
		text := c.Param("shard")
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != text {
			return "", "", query.ErrNoCell
		}
		o.Control, o.Shard = false, int(n)
	}
	return o.Jurisdiction, o.String(), nil
}

// consistency answers GET /v1/logs/…/consistency.
func (s *server) consistency(c echo.Context, v values) error {
	jurisdiction, origin, err := s.origin(c)
	if err != nil {
		return err
	}
	from, there, err := v.count("from")
	if err != nil {
		return err
	}
	if !there || from == 0 {
		return badParameterf("from", "expected a size, at least 1")
	}
	to, there, err := v.count("to")
	if err != nil {
		return err
	}
	if there && to < from {
		return badParameterf("to", "is less than from")
	}
	p, err := s.Cells.Consistency(c.Request().Context(), jurisdiction, origin, from, to)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, struct {
		Origin string   `json:"origin"`
		From   uint64   `json:"from"`
		To     uint64   `json:"to"`
		Hashes []string `json:"hashes"`
		Note   string   `json:"note,omitempty"`
	}{p.Origin, p.From, p.To, formatHashes(p.Hashes), string(p.Note)})
}

func formatHashes(hashes []ledger.Hash) []string {
	list := make([]string, 0, len(hashes))
	for _, h := range hashes {
		list = append(list, ledger.FormatHash(h))
	}
	return list
}
