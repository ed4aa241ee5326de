package api

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// Headers of answers whose body is a proof and nothing else.
const (
	headerReceipt    = "Domicile-Receipt"
	headerCheckpoint = "Domicile-Checkpoint"
	headerComplete   = "Domicile-Complete"
)

// proof answers GET /v1/events/{uid}/proof.
func (s *server) proof(c echo.Context, v values) error {
	uid, err := uidOf(c)
	if err != nil {
		return err
	}
	options := query.ProofOptions{Format: query.FormatBundle, Disclose: v["disclose"], Hide: v["hide"]}
	if state(c).accept == typeText {
		options.Format = query.FormatProof
	}
	if name, wrong := checkOptions(&options); wrong != "" {
		return badParameterf(name, "%s", wrong)
	}
	who, cells, err := s.asking(c, v, ledger.PurposeAudit)
	if err != nil {
		return err
	}
	answer, err := s.Cells.Prove(c.Request().Context(), who, []query.Ref{{UID: uid}}, options, cells...)
	if err != nil && answer != nil {
		return withCells(err, answer.Cells)
	}
	if err != nil {
		return err
	}
	if len(answer.Proofs) != 1 {
		if err := nobody(answer.Cells); err != nil {
			return err
		}
		return fmt.Errorf("asked for one proof, got %d", len(answer.Proofs))
	}
	p := &answer.Proofs[0]
	if p.Err != nil {
		return notProven(p, answer.Cells)
	}
	proofHeaders(c.Response().Header(), p, answer)
	media := typeJSON
	if options.Format == query.FormatProof {
		media = typeText + "; charset=utf-8"
	} else {
		p.Bytes = append(p.Bytes, '\n')
	}
	return c.Blob(http.StatusOK, media, p.Bytes)
}

// notProven is the problem that an event could not be proven.
func notProven(p *query.Proof, answers []query.CellAnswer) error {
	if errors.Is(p.Err, query.ErrAltered) {
		return &problem{kind: alteredRecord, log: p.Ref.Log, index: p.Ref.Index, cause: p.Err}
	}
	return noEvent(p.Err, answers)
}

// proofHeaders say what the envelope of other answers says.
func proofHeaders(h http.Header, p *query.Proof, answer *query.FederatedProofs) {
	h.Set(headerComplete, fmt.Sprint(answer.Complete))
	for _, c := range answer.Cells {
		if c.State == nil {
			continue
		}
		for _, l := range c.State.Logs {
			if l.Origin != p.Ref.Log {
				continue
			}
			if c.Receipt != nil {
				h.Set(headerReceipt, receiptHeader(c.Receipt))
			}
			h.Set(headerCheckpoint, fmt.Sprintf("%s %d %s", l.Origin, l.Checkpoint.Size, ledger.FormatHash(l.Checkpoint.Root)))
		}
	}
}

// checkOptions says what is wrong with what is to be disclosed or hidden, and in which parameter.
func checkOptions(o *query.ProofOptions) (name, wrong string) {
	switch {
	case o.Disclose != nil && o.Hide != nil:
		return "disclose", "excludes hide"
	case o.Format == query.FormatProof && o.Disclose != nil:
		return "disclose", "a tlog-proof holds no fields"
	case o.Format == query.FormatProof && o.Hide != nil:
		return "hide", "a tlog-proof holds no fields"
	}
	for _, list := range []struct {
		name     string
		pointers []string
	}{{"disclose", o.Disclose}, {"hide", o.Hide}} {
		for _, p := range list.pointers {
			if !pointer(p) {
				return list.name, fmt.Sprintf("%s does not name a field as /actor/user/name or /actor/* do", shown(p))
			}
		}
	}
	return "", ""
}

// proofs answers POST /v1/proofs.
func (s *server) proofs(c echo.Context, _ values) error {
	if media, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType)); err != nil || !strings.EqualFold(media, typeJSON) {
		return &problem{kind: unsupportedMediaType}
	}
	order, err := readProofsOrder(c.Request().Body)
	if err != nil {
		return err
	}
	for _, j := range order.cells {
		if !s.known[j] {
			return badBodyf("cells: no such cell is served here: %s", shown(j))
		}
	}
	ctx, who := c.Request().Context(), s.asker(c.Request(), order.purpose)
	answer, err := s.Cells.Prove(ctx, who, order.refs, order.options, order.cells...)
	if err != nil && answer != nil {
		return withCells(err, answer.Cells)
	}
	if err != nil {
		return err
	}
	if err := nobody(answer.Cells); err != nil {
		return err
	}
	if len(answer.Proofs) != len(order.refs) {
		return fmt.Errorf("asked for %d proofs, got %d", len(order.refs), len(answer.Proofs))
	}
	o := begin(c, typeJSON)
	o.open("{")
	o.envelope(answer.Complete, answer.Cells)
	o.name("proofs")
	o.open("[")
	for i := range answer.Proofs {
		o.comma()
		o.proof(&answer.Proofs[i], order.refs[i], order.options.Format, answer.Cells, state(c).id)
	}
	o.shut("]")
	o.shut("}")
	return o.end()
}

func (o *object) proof(p *query.Proof, asked query.Ref, format query.Format, answers []query.CellAnswer, requestID string) {
	o.open("{")
	o.name("ref")
	o.open("{")
	if asked.UID != "" {
		o.string("uid", []byte(asked.UID))
	} else {
		o.string("log", []byte(asked.Log))
		o.count("index", asked.Index)
	}
	o.shut("}")
	switch {
	case p.Err != nil:
		view := *problemOf(notProven(p, answers))
		view.asked = false // it stands once, in the envelope
		o.value("problem", view.view(requestID))
	case format == query.FormatProof:
		o.string("tlog_proof", p.Bytes)
	default:
		o.bytes("bundle", p.Bytes)
	}
	o.shut("}")
}
