package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// A Quarantine is what a cell set aside, without any of its bytes.
type Quarantine struct {
	Held       uint64            // items that were not released
	Released   uint64            // items that were replayed into a cell
	Unreadable uint64            // items that cannot be opened
	Reasons    map[string]uint64 // held items by reason
	Items      []QuarantineItem  // newest first
	Receipt    *query.Receipt    // of the access by which the headers were opened; nil where there is nothing to open
}

// A QuarantineItem is the header of one item.
type QuarantineItem struct {
	Item         string `json:"item"` // its address: SHA-256 of its bytes in hex
	Reason       string `json:"reason"`
	Bytes        uint64 `json:"bytes"`
	Source       string `json:"source"`
	Form         string `json:"form,omitempty"`
	Offset       uint64 `json:"offset"` // in the source, in bytes
	Provider     string `json:"provider,omitempty"`
	Jurisdiction string `json:"foreign_jur,omitempty"` // to which it belongs, where that is known
	FirstSeen    int64  `json:"first_seen"`            // milliseconds since 1970
	Released     bool   `json:"released"`
}

// quarantine answers GET /v1/quarantine.
func (s *server) quarantine(c echo.Context, v values) error {
	limit, err := v.limit(100, 1000)
	if err != nil {
		return err
	}
	who, cells, err := s.asking(c, v, ledger.PurposeOperation)
	if err != nil {
		return err
	}
	if len(cells) == 0 {
		cells = s.Cells.Jurisdictions()
	}
	type cellView struct {
		Jurisdiction string            `json:"jurisdiction"`
		Answered     bool              `json:"answered"`
		Reason       kind              `json:"reason,omitempty"`
		Detail       string            `json:"detail,omitempty"`
		Receipt      *query.Receipt    `json:"receipt,omitempty"`
		Held         uint64            `json:"held"`
		Released     uint64            `json:"released"`
		Unreadable   uint64            `json:"unreadable"`
		Reasons      map[string]uint64 `json:"reasons"`
		Items        []QuarantineItem  `json:"items"`
	}
	complete, list := true, []cellView{}
	for _, j := range cells {
		view := cellView{Jurisdiction: j, Answered: true, Reasons: map[string]uint64{}, Items: []QuarantineItem{}}
		q := new(Quarantine)
		if s.Quarantine != nil {
			q, err = s.Quarantine(c.Request().Context(), who, j, limit)
		}
		switch {
		case err != nil && len(cells) == 1:
			return err
		case err != nil:
			view.Answered, complete = false, false
			view.Reason, view.Detail = reasonOf(err)
		default:
			view.Receipt, view.Held, view.Released, view.Unreadable = q.Receipt, q.Held, q.Released, q.Unreadable
			if q.Reasons != nil {
				view.Reasons = q.Reasons
			}
			view.Items = append(view.Items, q.Items[:min(limit, len(q.Items))]...)
		}
		list = append(list, view)
	}
	return answerJSON(c, http.StatusOK, struct {
		Complete bool       `json:"complete"`
		Cells    []cellView `json:"cells"`
	}{complete, list})
}
