package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed docs.html
var docsPage string

// docs answers with the OpenAPI document as a page for people. It loads nothing.
func (s *Server) docs(c echo.Context) error {
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return fmt.Errorf("parse page of documents: %w", err)
	}
	type line struct {
		Method, Path, Summary, Tag string
		Parameters                 []param
	}
	var lines []line
	for _, rt := range s.routes() {
		lines = append(lines, line{rt.method, rt.path, rt.summary, rt.tag, rt.query})
	}
	var body bytes.Buffer
	if err := page.Execute(&body, struct {
		Version string
		Routes  []line
	}{s.o.Version, lines}); err != nil {
		return fmt.Errorf("make page of documents: %w", err)
	}
	return c.Blob(http.StatusOK, "text/html; charset=utf-8", body.Bytes())
}

// Name, Description and Schema are for the page.
func (p param) Name() string        { return p.name }
func (p param) Description() string { return p.description }
func (p param) Schema() schema      { return p.schema }
