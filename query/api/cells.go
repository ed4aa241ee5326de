package api

import (
	"context"
	"encoding/base64"
	"errors"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

// A cell is what one cell contributed to an answer.
type cell struct {
	Jurisdiction string         `json:"jurisdiction"`
	Answered     bool           `json:"answered"`
	Reason       kind           `json:"reason,omitempty"` // why it did not answer
	Detail       string         `json:"detail,omitempty"`
	Count        *uint64        `json:"count,omitempty"`
	Logs         []logState     `json:"logs"`
	Receipt      *query.Receipt `json:"receipt,omitempty"`
}

type logState struct {
	Origin     string      `json:"origin"`
	Checkpoint *checkpoint `json:"checkpoint"`
	Indexed    uint64      `json:"indexed"`
	Behind     uint64      `json:"behind"`
	Stalled    bool        `json:"stalled,omitempty"` // the index does not advance; why is the server's affair
}

type checkpoint struct {
	Size uint64 `json:"size"`
	Root string `json:"root"`
	Note string `json:"note"`
}

// receiptHeader is a receipt as a header carries it.
func receiptHeader(r *query.Receipt) string {
	return base64.RawURLEncoding.EncodeToString(r.Append(nil))
}

func checkpointOf(c ledger.Checkpoint, note []byte) *checkpoint {
	if len(note) == 0 {
		return nil
	}
	return &checkpoint{c.Size, ledger.FormatHash(c.Root), string(note)}
}

func logStateOf(l query.LogState) logState {
	return logState{l.Origin, checkpointOf(l.Checkpoint, l.Note), l.Indexed, l.Behind, l.IndexError != ""}
}

// reasonOf says why a cell did not answer, in words that may leave.
func reasonOf(err error) (reason kind, detail string) {
	switch p := problemOf(err); p.kind {
	case indexUnavailable, notLogged, notReady, tooMuch, timeout, internal:
		row := kinds[p.kind]
		if p.detail != "" {
			return p.kind, p.detail
		}
		if p.kind == indexUnavailable {
			return p.kind, "Its index cannot be reached."
		}
		return p.kind, row.detail
	default:
		return internal, kinds[internal].detail
	}
}

func cellOf(a query.CellAnswer) cell {
	c := cell{Jurisdiction: a.Jurisdiction, Answered: a.Err == nil, Logs: []logState{}, Receipt: a.Receipt}
	if a.Err != nil {
		c.Reason, c.Detail = reasonOf(a.Err)
	} else {
		c.Count = &a.Count
	}
	if a.State != nil {
		for _, l := range a.State.Logs {
			c.Logs = append(c.Logs, logStateOf(l))
		}
	}
	return c
}

func cellsOf(answers []query.CellAnswer) []cell {
	list := make([]cell, 0, len(answers))
	for _, a := range answers {
		list = append(list, cellOf(a))
	}
	return list
}

// nobody is the problem that no cell answered, or nil. Of several reasons the gravest is told; cells tell their own.
func nobody(answers []query.CellAnswer) error {
	for _, a := range answers {
		if a.Err == nil {
			return nil
		}
	}
	return missing(answers)
}

// missing is the problem that some cell did not answer, or nil.
func missing(answers []query.CellAnswer) error {
	var first error
	for _, want := range []error{query.ErrNotLogged, index.ErrUnavailable, index.ErrTooMuch, query.ErrNotProvable, query.ErrClosed, context.DeadlineExceeded} {
		for _, a := range answers {
			switch {
			case a.Err == nil:
			case errors.Is(a.Err, want):
				return withCells(a.Err, answers)
			case first == nil:
				first = a.Err
			}
		}
	}
	if first == nil {
		return nil
	}
	reason, detail := reasonOf(first)
	return &problem{kind: reason, detail: detail, cells: cellsOf(answers), asked: true, cause: first}
}

// withCells is an error together with what cells said.
func withCells(err error, answers []query.CellAnswer) error {
	found := *problemOf(err)
	if len(answers) > 0 {
		found.cells, found.asked = cellsOf(answers), true
	}
	return &found
}
