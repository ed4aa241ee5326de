package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
	"domicile.dev/domicile/query"
)

// checkpoint answers GET /logs/…/checkpoint.
func (s *server) checkpoint(c echo.Context, _ values) error {
	jurisdiction, origin, err := s.origin(c)
	if err != nil {
		return err
	}
	note, err := s.Cells.Object(c.Request().Context(), jurisdiction, origin, ledger.CheckpointKey)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, typeText+"; charset=utf-8", note)
}

// tile answers GET /logs/…/tile/…: paths in the one spelling that C2SP gives them, of tiles and entry bundles. Commits
// and payloads lie elsewhere and are not served.
func (s *server) tile(c echo.Context, _ values) error {
	jurisdiction, origin, err := s.origin(c)
	if err != nil {
		return err
	}
	path := c.Request().URL.Path
	if u := c.Request().URL; u.RawPath != "" || u.EscapedPath() != path {
		return query.ErrNotFound // no path of a tile has anything to escape
	}
	_, rest, _ := strings.Cut(path, "/tile/")
	t, err := tile.ParsePath("tile/" + rest)
	if err != nil {
		return query.ErrNotFound
	}
	data, err := s.Cells.Object(c.Request().Context(), jurisdiction, origin, t.Path())
	if err != nil {
		return err
	}
	// A tile's bytes never change. A partial one may go once the full one is there, so it is not kept for long.
	age := "max-age=31536000, immutable"
	if t.Partial() {
		age = "max-age=3600"
	}
	scope := "public, "
	if t.Level == tile.Entries {
		scope = "private, " // roles will be asked for
	}
	c.Response().Header().Set("Cache-Control", scope+age)
	return c.Blob(http.StatusOK, typeBinary, data)
}
