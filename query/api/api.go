// Package api answers questions about cells over HTTP: search, counts, proofs, logs, control entries, quarantine, the
// C2SP paths of every log, probes and metrics. schemas/openapi.yaml is its contract, docs/api.md explains it.
//
// In come requests of strangers: every parameter is checked against a table, and what the table does not name is
// refused. Out go JSON, NDJSON, proofs and tiles, each answer with the checkpoints that it stands on and the receipts of
// the access entries; errors are problem documents that hold no internals. Nothing here reads event data by itself: that
// is package query, which logs the read first.
//
// A crash, or a client that goes away, leaves nothing behind but an access whose end is not reported. An answer that is
// cut off lacks its end: JSON does not parse, and NDJSON lacks the line with `complete`.
package api

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
	"domicile.dev/domicile/query/index"
)

// Cells is what answers: a *query.Federation, see Federated. Its methods are those of query.Federation and query.Cell.
type Cells interface {
	// Jurisdictions lists the cells that are served. It does not change.
	Jurisdictions() []string

	Search(ctx context.Context, who query.Asker, q query.Question) (*query.FederatedAnswer, error)
	Event(ctx context.Context, who query.Asker, uid string, cells ...string) (*query.FederatedAnswer, error)
	Stats(ctx context.Context, who query.Asker, f index.Filter, g index.Grouping, cells ...string) (*query.FederatedCounts, error)
	Prove(ctx context.Context, who query.Asker, refs []query.Ref, o query.ProofOptions, cells ...string) (*query.FederatedProofs, error)
	States(ctx context.Context) []query.CellAnswer

	// Of one cell; query.ErrNoCell where there is none.
	Control(ctx context.Context, jurisdiction string, f query.ControlFilter, proofs bool) (*query.ControlPage, error)
	Consistency(ctx context.Context, jurisdiction, origin string, from, to uint64) (*query.ConsistencyProof, error)
	Object(ctx context.Context, jurisdiction, origin, path string) ([]byte, error)
}

// Federated makes Cells of a federation.
func Federated(f *query.Federation) Cells { return federation{f} }

type federation struct{ *query.Federation }

func (f federation) Jurisdictions() (names []string) {
	for _, c := range f.Cells {
		names = append(names, c.Jurisdiction())
	}
	return names
}

func (f federation) Control(ctx context.Context, jurisdiction string, filter query.ControlFilter, proofs bool) (*query.ControlPage, error) {
	c, err := f.Cell(jurisdiction)
	if err != nil {
		return nil, err
	}
	return c.Control(ctx, filter, proofs)
}

func (f federation) Consistency(ctx context.Context, jurisdiction, origin string, from, to uint64) (*query.ConsistencyProof, error) {
	c, err := f.Cell(jurisdiction)
	if err != nil {
		return nil, err
	}
	return c.Consistency(ctx, origin, from, to)
}

func (f federation) Object(ctx context.Context, jurisdiction, origin, path string) ([]byte, error) {
	c, err := f.Cell(jurisdiction)
	if err != nil {
		return nil, err
	}
	return c.Object(ctx, origin, path)
}

// Config is what the API needs.
type Config struct {
	Cells   Cells
	Ledger  string // the first part of every origin
	Version string // of the program, for /livez

	// Asker says who asks; the API fills in the purpose. nil: everybody is "http:loopback" in the role "operator".
	Asker func(*http.Request) query.Asker

	// Quarantine describes what a cell set aside, at most limit items; the access is logged by whoever does that.
	// nil: no cell has a quarantine.
	Quarantine func(ctx context.Context, who query.Asker, jurisdiction string, limit int) (*Quarantine, error)

	// Ready lists the components of the process. nil: it is ready as soon as it answers.
	Ready func(ctx context.Context) []Component

	// Hosts are further values of the Host header that are let through, "name:port". Over TCP, loopback names and
	// addresses with the listener's port are. Over anything else, such as a unix socket, no web page can come, and all are.
	Hosts []string

	Metrics *Metrics         // nil: some of its own
	Logger  *slog.Logger     // nil: slog.Default
	Random  io.Reader        // of request ids; nil: crypto/rand
	Clock   func() time.Time // for durations; nil: time.Now
	Limits  Limits
}

// Limits bound what the API takes on. The zero value of each means the default.
type Limits struct {
	Request  time.Duration // until the answer is complete; 30 s
	Wait     time.Duration // for a place, when too many ask at once; 1 s
	Searches int           // at a time: searches and counts; 16
	Proofs   int           // at a time; 16
	Reads    int           // at a time: logs, control entries, tiles; 64
}

func (l *Limits) defaults() {
	for _, d := range []struct {
		have *time.Duration
		want time.Duration
	}{{&l.Request, 30 * time.Second}, {&l.Wait, time.Second}} {
		if *d.have == 0 {
			*d.have = d.want
		}
	}
	for _, n := range []struct {
		have *int
		want int
	}{{&l.Searches, 16}, {&l.Proofs, 16}, {&l.Reads, 64}} {
		if *n.have == 0 {
			*n.have = n.want
		}
	}
}

// maxBody is the greatest length of a request's body in bytes.
const maxBody = 1 << 20

type server struct {
	Config
	hosts map[string]bool
	known map[string]bool // jurisdictions
	echo  *echo.Echo
}

// New makes the handler. It starts nothing.
func New(cfg Config) (http.Handler, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	return s.handler()
}

func newServer(cfg Config) (*server, error) {
	cfg.Limits.defaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.Asker == nil {
		cfg.Asker = func(*http.Request) query.Asker { return query.Asker{Principal: "http:loopback", Role: "operator"} }
	}
	s := &server{Config: cfg, hosts: make(map[string]bool), known: make(map[string]bool), echo: echo.New()}
	for _, h := range cfg.Hosts {
		s.hosts[h] = true
	}
	for _, j := range cfg.Cells.Jurisdictions() {
		s.known[j] = true
	}
	if err := cfg.Metrics.watch(cfg.Cells); err != nil {
		return nil, err
	}
	s.echo.HTTPErrorHandler = s.fail
	s.route()
	return s, nil
}

// Server wraps a handler into a server whose time limits keep slow clients from holding it: headers within 5 s, a
// request within 15 s, an answer within 60 s.
func Server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
}

// asker is who asks, for the purpose that the request names.
func (s *server) asker(r *http.Request, purpose ledger.AccessPurpose) query.Asker {
	who := s.Asker(r)
	who.Purpose = purpose
	return who
}
