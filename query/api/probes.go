package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/schemas"
)

// A Component is a part of the process that must be ready before the whole is.
type Component struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"` // it is not ready; goes to whoever asks
}

// live answers GET /livez.
func (s *server) live(c echo.Context, _ values) error {
	return answerJSON(c, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version,omitempty"`
	}{"ok", s.Version})
}

// ready answers GET /readyz.
func (s *server) ready(c echo.Context, _ values) error {
	components, ready := []Component{}, true
	if s.Ready != nil {
		components = append(components, s.Ready(c.Request().Context())...)
	}
	for _, component := range components {
		ready = ready && component.Ready
	}
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "1")
	}
	return answerJSON(c, status, struct {
		Ready      bool        `json:"ready"`
		Components []Component `json:"components"`
	}{ready, components})
}

// openAPI answers GET /openapi.yaml.
func (s *server) openAPI(c echo.Context, _ values) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, typeYAML, schemas.OpenAPI)
}

// metrics answers GET /metrics.
func (s *server) metrics(c echo.Context, _ values) error {
	s.Metrics.handler().ServeHTTP(c.Response(), c.Request())
	return nil
}
