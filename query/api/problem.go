package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/index"
)

// A kind of problem: the end of its `type`, which does not change.
type kind string

const (
	badParameter         kind = "bad-parameter"
	badBody              kind = "bad-body"
	badCursor            kind = "bad-cursor"
	crossSiteRefused     kind = "cross-site-refused"
	notFound             kind = "not-found"
	methodNotAllowed     kind = "method-not-allowed"
	notAcceptableKind    kind = "not-acceptable"
	recordGone           kind = "record-gone"
	tooLarge             kind = "too-large"
	unsupportedMediaType kind = "unsupported-media-type"
	tooMuch              kind = "too-much"
	hostRefused          kind = "host-refused"
	alteredRecord        kind = "altered-record"
	internal             kind = "internal"
	indexUnavailable     kind = "index-unavailable"
	notLogged            kind = "not-logged"
	notReady             kind = "not-ready"
	overloaded           kind = "overloaded"
	timeout              kind = "timeout"
)

// problemTypes is the address below which the types stand.
const problemTypes = "https://domicile.dev/problems/"

// kinds is the table of problems: status, title, what to say where nothing better is known, and after how many seconds
// it makes sense to try again.
var kinds = map[kind]struct {
	status int
	title  string
	detail string
	retry  int
}{
	badParameter:         {400, "A parameter cannot be used", "", 0},
	badBody:              {400, "The body cannot be used", "", 0},
	badCursor:            {400, "The cursor cannot be used", "The cursor is none of this server's, or belongs to another query. Send it with the filters and cells of the first page, or begin anew without it.", 0},
	crossSiteRefused:     {403, "Requests of other web sites are refused", "A browser says that another site made this request.", 0},
	notFound:             {404, "There is no such thing", "There is no such thing here.", 0},
	methodNotAllowed:     {405, "The method is not allowed", "", 0},
	notAcceptableKind:    {406, "No such representation", "", 0},
	recordGone:           {410, "The record cannot be read any more", "The record was erased, or it expired. The proof of its leaf can still be had as text/plain.", 0},
	tooLarge:             {413, "The request is too large", "A body may have " + strconv.Itoa(maxBody) + " bytes.", 0},
	unsupportedMediaType: {415, "The body's media type is not supported", "The body must be application/json.", 0},
	tooMuch:              {422, "The answer would take too much", "Answering would read or hold more than one question may. Narrow it down: a shorter span of time, another filter, fewer columns.", 0},
	hostRefused:          {421, "The host is not served here", "The Host header must be a loopback name or address with the server's port.", 0},
	alteredRecord:        {500, "The stored record is not the one that was logged", "The record differs from its leaf, so no proof of it is given. domicile index audit names every such row.", 0},
	internal:             {500, "Something failed that should not", "The server's log says more under the request id.", 0},
	indexUnavailable:     {503, "Searching is not possible now", "No cell that was asked can search now. /readyz says what is not ready.", 5},
	notLogged:            {503, "The read cannot be logged, so nothing was read", "Event data is read only after the control log took an entry of it, and it takes none now.", 5},
	notReady:             {503, "Not yet", "The event is committed, and not published yet.", 1},
	overloaded:           {503, "Too many requests at a time", "All places for requests of this kind are taken.", 1},
	timeout:              {503, "The answer took too long", "The request ran into its time limit. Narrow it down, or try again.", 5},
}

// A problem is an error as RFC 9457 writes it. What it holds goes to whoever asked.
type problem struct {
	kind       kind
	detail     string // "": the kind's
	parameters []string
	log        string // with index: the record meant
	index      uint64
	cells      []cell // what cells said, where some were asked
	asked      bool   // cells are part of it
	cause      error  // for the server's log only
}

func (p *problem) Error() string {
	if p.cause != nil {
		return string(p.kind) + ": " + p.cause.Error()
	}
	return string(p.kind)
}

func (p *problem) Unwrap() error { return p.cause }

func badParameterf(name, format string, args ...any) *problem {
	return &problem{kind: badParameter, detail: name + ": " + fmt.Sprintf(format, args...), parameters: []string{name}}
}

func badBodyf(format string, args ...any) *problem {
	return &problem{kind: badBody, detail: fmt.Sprintf(format, args...)}
}

func notAcceptable(offers []string) *problem {
	return &problem{kind: notAcceptableKind, detail: "This can be had as " + strings.Join(offers, ", ") + "."}
}

// causes is the table from errors below to problems; the first that fits decides. detail "" means the kind's.
var causes = []struct {
	err    error
	kind   kind
	detail string
}{
	{query.ErrCursor, badCursor, ""},
	{query.ErrNotLogged, notLogged, ""},
	{query.ErrAltered, alteredRecord, ""},
	{query.ErrNotProvable, notReady, ""},
	{query.ErrClosed, notReady, "The server is closing."},
	{query.ErrLost, notReady, "It did not answer on an earlier page: ask again with the cursor before, or begin anew."},
	{log.ErrNoRecord, recordGone, ""},
	{query.ErrNotFound, notFound, ""},
	{query.ErrNoCell, notFound, ""},
	{index.ErrTooMuch, tooMuch, ""},
	{engine.ErrNoEngine, indexUnavailable, engine.ErrNoEngine.Error()},
	{index.ErrUnavailable, indexUnavailable, ""},
	{index.ErrSchema, indexUnavailable, ""},
	{context.DeadlineExceeded, timeout, ""},
	{context.Canceled, timeout, ""}, // nobody reads it
}

// problemOf says what an error means to whoever asked. Its text stays here: it may name paths, addresses, queries.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, query.ErrInvalid) || errors.Is(err, index.ErrQuestion) {
		return &problem{kind: badParameter, detail: sentence(err), cause: err}
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return &problem{kind: c.kind, detail: c.detail, cause: err}
		}
	}
	return problemOfHTTP(err)
}

// problemOfHTTP translates errors of echo and net/http.
func problemOfHTTP(err error) *problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &problem{kind: tooLarge, cause: err}
	}
	var e *echo.HTTPError
	if errors.As(err, &e) {
		switch e.Code {
		case http.StatusNotFound:
			return &problem{kind: notFound, detail: "There is no such route."}
		case http.StatusMethodNotAllowed:
			return &problem{kind: methodNotAllowed}
		}
	}
	return &problem{kind: internal, cause: err}
}

// sentence is the text of an error about the question itself, which quotes nothing but the question.
func sentence(err error) string {
	const most = 500
	text := strings.ToValidUTF8(err.Error(), "�")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// view is the problem as it is encoded.
func (p *problem) view(requestID string) problemView {
	row := kinds[p.kind]
	v := problemView{Type: problemTypes + string(p.kind), Title: row.title, Status: row.status, Detail: p.detail,
		RequestID: requestID, Parameters: p.parameters}
	if v.Detail == "" {
		v.Detail = row.detail
	}
	if p.log != "" {
		v.Log, v.Index = p.log, &p.index
	}
	if p.asked {
		complete := p.kind == notFound
		v.Complete, v.Cells = &complete, &p.cells
	}
	return v
}

type problemView struct {
	Type       string   `json:"type"`
	Title      string   `json:"title"`
	Status     int      `json:"status"`
	Detail     string   `json:"detail,omitempty"`
	RequestID  string   `json:"request_id"`
	Parameters []string `json:"parameters,omitempty"`
	Log        string   `json:"log,omitempty"`
	Index      *uint64  `json:"index,omitempty"`
	Complete   *bool    `json:"complete,omitempty"`
	Cells      *[]cell  `json:"cells,omitempty"`
}

// fail answers with a problem; it is echo's handler of errors.
func (s *server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		// Half of an answer is out: the client must not take it for a whole one.
		state(c).err = err
		state(c).cut = true
		return
	}
	p := problemOf(err)
	row := kinds[p.kind]
	state(c).kind, state(c).err = p.kind, p.cause
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, typeProblem)
	h.Set("Cache-Control", "no-store")
	if row.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(row.retry))
	}
	if p.kind == methodNotAllowed {
		h.Set("Allow", allowed(h.Get("Allow"), c.Request().URL.Path))
		p.detail = "Allowed: " + h.Get("Allow") + "."
	}
	body := appendJSON(nil, p.view(state(c).id))
	c.Response().WriteHeader(row.status)
	if _, err := c.Response().Write(body); err != nil {
		state(c).err = err
	}
}

// allowed is what may be asked of a path: what echo says, but OPTIONS, which answers nobody here, and with HEAD.
func allowed(methods, path string) string {
	list := slices.DeleteFunc(strings.Split(methods, ", "), func(m string) bool { return m == http.MethodOptions })
	if slices.Contains(list, http.MethodGet) && headAsGet(path) {
		list = append(list, http.MethodHead)
	}
	return strings.Join(list, ", ")
}
