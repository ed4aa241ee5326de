package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
)

// A request is what is known of one besides what net/http knows.
type request struct {
	id     string
	route  string // template; "" where none fits
	class  class
	accept string // chosen media type
	kind   kind   // of the problem that was answered
	err    error  // for the log
	cut    bool   // the answer ended before its end
}

type requestKey struct{}

func state(c echo.Context) *request { return c.Request().Context().Value(requestKey{}).(*request) }

// handler is the whole way of a request. From the outside in: compression; headers that every answer has; the request's
// id, time limit and line in the log; hosts and web sites that are refused; echo.
func (s *server) handler() (http.Handler, error) {
	zip, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{typeJSON, typeProblem, typeNDJSON, typeYAML, typeText}))
	if err != nil {
		return nil, fmt.Errorf("compression of answers: %w", err)
	}
	return zip(http.HandlerFunc(s.answer)), nil
}

// answer serves one request. A panic below becomes a problem, or a connection that is cut where half of an answer is
// out: then the client sees that it is not whole.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	var id [16]byte
	if _, err := io.ReadFull(s.Random, id[:]); err != nil {
		http.Error(w, "no randomness", http.StatusInternalServerError)
		return
	}
	state := &request{id: hex.EncodeToString(id[:])}
	for name, value := range map[string]string{
		"Domicile-Request-Id":          state.id,
		"X-Content-Type-Options":       "nosniff",
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
	} {
		w.Header().Set(name, value)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestKey{}, state), s.Limits.Request)
	defer cancel()
	out := &counted{ResponseWriter: w}
	began := s.Clock()
	defer func() {
		s.Metrics.answered(state.route, r.Method, out.status, s.Clock().Sub(began))
		s.note(r, state, out, s.Clock().Sub(began).Milliseconds())
		if state.cut {
			panic(http.ErrAbortHandler)
		}
	}()
	inner := r.WithContext(ctx)
	switch {
	case r.Method == http.MethodHead && headAsGet(r.URL.Path):
		inner.Method = http.MethodGet // net/http drops the body
	case r.Method == http.MethodOptions:
		inner.Method = "other" // which echo would answer by itself
	}
	if r.Body != nil {
		inner.Body = http.MaxBytesReader(out, r.Body, maxBody)
	}
	s.guarded(out, inner, state)
}

// guarded lets echo answer what may be answered.
func (s *server) guarded(w http.ResponseWriter, r *http.Request, state *request) {
	refuse := func(err error) {
		c := s.echo.NewContext(r, w)
		s.fail(err, c)
	}
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			state.cut = true
		default:
			state.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			if w.(*counted).status != 0 {
				state.cut = true
				return
			}
			refuse(&problem{kind: internal, cause: state.err})
		}
	}()
	if err := s.checkHost(r); err != nil {
		refuse(err)
		return
	}
	if err := checkSite(r); err != nil {
		refuse(err)
		return
	}
	if r.ContentLength > maxBody {
		refuse(&problem{kind: tooLarge})
		return
	}
	s.echo.ServeHTTP(w, r)
}

// checkHost keeps web pages out whose name was pointed at this address (DNS rebinding): they can make a browser send
// requests here, but not with a Host header of their choice.
func (s *server) checkHost(r *http.Request) error {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || s.hosts[r.Host] {
		return nil // a unix socket, or no network at all
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = strings.Trim(r.Host, "[]"), "80"
	}
	if port == strconv.Itoa(address.Port) {
		if strings.EqualFold(host, "localhost") {
			return nil
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
			return nil
		}
	}
	return &problem{kind: hostRefused}
}

// checkSite refuses what a browser says that another site asked for: it could not read the answer, but the read would
// stand in the control log.
func checkSite(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return &problem{kind: crossSiteRefused}
	}
	if http.NewCrossOriginProtection().Check(r) != nil {
		return &problem{kind: crossSiteRefused}
	}
	return nil
}

// note writes the request into the log: no path, query or address, which hold personal data.
func (s *server) note(r *http.Request, state *request, out *counted, milliseconds int64) {
	level := slog.LevelInfo
	if state.class == classProbe {
		level = slog.LevelDebug // every few seconds, for ever
	}
	attrs := []slog.Attr{slog.String("request", state.id), slog.String("method", known(r.Method)), slog.String("route", state.route),
		slog.Int("status", out.status), slog.Int64("bytes", out.bytes), slog.Int64("ms", milliseconds)}
	if state.kind != "" {
		attrs = append(attrs, slog.String("problem", string(state.kind)))
	}
	// What went wrong here is of interest, what somebody asked wrongly is not, and would quote the question.
	if state.err != nil && (out.status >= 500 || state.cut) {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", state.err.Error()), slog.Bool("cut", state.cut))
		if r.Context().Err() != nil || errors.Is(state.err, context.Canceled) {
			level = slog.LevelInfo // the client went away
		}
	}
	s.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// known keeps the methods that a client makes up out of labels and logs.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// counted counts what is written.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *counted) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *counted) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }
