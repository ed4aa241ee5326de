package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// A class of routes shares a limit on how many are answered at a time.
type class string

const (
	classSearch class = "search"
	classProof  class = "proof"
	classRead   class = "read"
	classProbe  class = "probe" // not limited: a busy server is alive
)

// Media types.
const (
	typeJSON    = "application/json"
	typeNDJSON  = "application/x-ndjson"
	typeText    = "text/plain"
	typeBinary  = "application/octet-stream"
	typeYAML    = "application/yaml"
	typeProblem = "application/problem+json"
)

// A route is one operation of schemas/openapi.yaml.
type route struct {
	method string
	path   string // as the document writes it; {tile} takes the rest of the path, slashes included
	class  class
	events bool     // gives event data, or counts of it: HEAD is not answered as GET
	offers []string // media types, the preferred one first; none: the handler sees to it
	query  []parameter
	handle func(*server, echo.Context, values) error
}

// routes is the table of all routes.
func routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	searched := join(filterParameters, many("cell"), one("purpose"))
	return []route{
		{get, "/v1/events", classSearch, true, []string{typeJSON, typeNDJSON}, join(searched, one("limit", "cursor")), (*server).events},
		{get, "/v1/events/{uid}", classSearch, true, []string{typeJSON}, join(many("cell"), one("purpose")), (*server).event},
		{get, "/v1/events/{uid}/proof", classProof, true, []string{typeJSON, typeText}, join(many("cell", "disclose", "hide"), one("purpose")), (*server).proof},
		{post, "/v1/proofs", classProof, true, []string{typeJSON}, nil, (*server).proofs},
		{get, "/v1/stats", classSearch, true, []string{typeJSON}, join(searched, many("by"), one("every", "limit")), (*server).stats},
		{get, "/v1/logs", classRead, false, []string{typeJSON}, many("cell"), (*server).logs},
		{get, "/v1/logs/{jurisdiction}/events/{shard}/consistency", classRead, false, []string{typeJSON}, one("from", "to"), (*server).consistency},
		{get, "/v1/logs/{jurisdiction}/control/consistency", classRead, false, []string{typeJSON}, one("from", "to"), (*server).consistency},
		{get, "/v1/control", classRead, false, []string{typeJSON}, join(many("type", "cell"), one("from", "to", "size", "limit", "descending", "proof")), (*server).control},
		{get, "/v1/quarantine", classRead, true, []string{typeJSON}, join(many("cell"), one("limit", "purpose")), (*server).quarantine},

		{get, "/logs/{jurisdiction}/events/{shard}/checkpoint", classRead, false, []string{typeText}, nil, (*server).checkpoint},
		{get, "/logs/{jurisdiction}/events/{shard}/tile/{tile}", classRead, false, []string{typeBinary}, nil, (*server).tile},
		{get, "/logs/{jurisdiction}/control/checkpoint", classRead, false, []string{typeText}, nil, (*server).checkpoint},
		{get, "/logs/{jurisdiction}/control/tile/{tile}", classRead, false, []string{typeBinary}, nil, (*server).tile},

		{get, "/livez", classProbe, false, []string{typeJSON}, nil, (*server).live},
		{get, "/readyz", classProbe, false, []string{typeJSON}, nil, (*server).ready},
		{get, "/metrics", classProbe, false, nil, nil, (*server).metrics},
		{get, "/openapi.yaml", classProbe, false, []string{typeYAML}, nil, (*server).openAPI},
	}
}

// route enters the table into echo.
func (s *server) route() {
	places := s.places()
	for _, r := range routes() {
		s.echo.Add(r.method, r.pattern(), s.serve(r, places[r.class]))
	}
}

// pattern is the path as echo writes it.
func (r *route) pattern() string {
	segments := strings.Split(r.path, "/")
	for i, segment := range segments {
		switch name, ok := strings.CutPrefix(segment, "{"); {
		case segment == "{tile}":
			segments[i] = "*"
		case ok:
			segments[i] = ":" + strings.TrimSuffix(name, "}")
		}
	}
	return strings.Join(segments, "/")
}

// serve is a route's way from a place among those of its class to the handler.
func (s *server) serve(r route, places chan struct{}) echo.HandlerFunc {
	return func(c echo.Context) error {
		state(c).route, state(c).class = r.path, r.class
		if r.offers != nil {
			chosen, ok := negotiate(c.Request().Header, r.offers)
			if !ok {
				return notAcceptable(r.offers)
			}
			state(c).accept = chosen
		}
		query, err := readQuery(c.Request().URL.RawQuery, r.query)
		if err != nil {
			return err
		}
		if err := s.take(c.Request().Context(), places); err != nil {
			return err
		}
		defer leave(places)
		s.Metrics.begin(r.class)
		defer s.Metrics.end(r.class)
		return r.handle(s, c, query)
	}
}

// headAsGet reports whether a path may be asked for by HEAD: not where that would read event data for nothing.
func headAsGet(path string) bool {
	return !strings.HasPrefix(path, "/v1/") || path == "/v1/logs" || strings.HasPrefix(path, "/v1/logs/") || path == "/v1/control"
}
