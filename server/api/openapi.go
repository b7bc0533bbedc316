package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// openAPI answers with the document.
func (s *Server) openAPI(c echo.Context) error {
	body, err := json.MarshalIndent(s.document(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return c.Blob(http.StatusOK, "application/json", append(body, '\n'))
}

// document makes the OpenAPI document from the table of routes.
func (s *Server) document() schema {
	schemas := schema{"Problem": schemaOf(reflect.TypeFor[problem](), nil)}
	paths := schema{}
	for _, rt := range s.routes() {
		operations, ok := paths[rt.path].(schema)
		if !ok {
			operations = schema{}
			paths[rt.path] = operations
		}
		operations[strings.ToLower(rt.method)] = operation(rt, schemas)
	}
	return schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "gpupulse", "version": s.o.Version, "license": schema{"name": "MIT", "identifier": "MIT"},
			"description": "GPU telemetry: history, latest values and the state of the hub. Times are RFC 3339 in UTC; " +
				"errors are problem details by RFC 9457.",
		},
		"servers":    []schema{{"url": "/"}},
		"paths":      paths,
		"components": schema{"schemas": schemas},
	}
}

func operation(rt route, schemas schema) schema {
	problems := schema{
		"description": "What was wrong",
		"content":     schema{"application/problem+json": schema{"schema": reference("Problem")}},
	}
	status := rt.status
	if status == 0 {
		status = http.StatusOK
	}
	op := schema{
		"operationId": operationID(rt), "summary": rt.summary, "tags": []string{rt.tag},
		"responses": schema{
			fmt.Sprint(status): schema{
				"description": http.StatusText(status),
				"content":     schema{"application/json": schema{"schema": answerSchema(rt, schemas)}},
			},
			"default": problems,
		},
	}
	if parameters := parameters(rt); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if rt.body {
		op["requestBody"] = schema{"required": true, "content": schema{"*/*": schema{"schema": schema{}}}}
	}
	return op
}

// operationID names a route by its method and path: getGpusTelemetry.
func operationID(rt route) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(rt.method))
	for part := range strings.SplitSeq(strings.TrimPrefix(rt.path, "/api/v1"), "/") {
		if part != "" && part[0] == '{' {
			part = "By" + strings.ToUpper(part[1:2]) + part[2:len(part)-1]
		}
		if part != "" {
			id.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return id.String()
}

func parameters(rt route) []schema {
	var out []schema
	for part := range strings.SplitSeq(rt.path, "/") {
		if strings.HasPrefix(part, "{") {
			out = append(out, schema{"name": strings.Trim(part, "{}"), "in": "path", "required": true, "schema": schema{"type": "string"}})
		}
	}
	for _, p := range rt.query {
		out = append(out, schema{"name": p.name, "in": "query", "description": p.description, "schema": p.schema})
	}
	return out
}

func answerSchema(rt route, schemas schema) schema {
	if rt.list == nil {
		return schemaOf(reflect.TypeOf(rt.answer), schemas)
	}
	count := schema{"type": "integer"}
	return schema{
		"type": "object", "required": []string{"items", "total", "limit", "offset"},
		"properties": schema{
			"items": schema{"type": "array", "items": schemaOf(reflect.TypeOf(rt.list), schemas)},
			"total": count, "limit": count, "offset": count,
		},
	}
}

func reference(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// schemaOf describes what encoding/json makes of a type. Structs with a name go into
// schemas, if there are any, and are referred to.
func schemaOf(t reflect.Type, schemas schema) schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[number]():
		return schema{"type": []string{"number", "null"}}
	}
	switch t.Kind() {
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64, reflect.Float32:
		return schema{"type": "number"}
	case reflect.Interface:
		return schema{"type": "object"}
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem(), schemas)}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": schemaOf(t.Elem(), schemas)}
	case reflect.Pointer:
		inner := schemaOf(t.Elem(), schemas)
		inner["type"] = []any{inner["type"], "null"}
		return inner
	case reflect.Struct:
		return structSchema(t, schemas)
	}
	return schema{"type": "integer"}
}

func structSchema(t reflect.Type, schemas schema) schema {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, done := schemas[name]; done {
		return reference(name)
	}
	properties, required := schema{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || tag == "" || tag == "-" {
			continue
		}
		properties[tag] = schemaOf(f.Type, schemas)
		if !strings.Contains(options, "omitempty") {
			required = append(required, tag)
		}
	}
	s := schema{"type": "object", "properties": properties, "required": required}
	if schemas == nil {
		return s
	}
	schemas[name] = s
	return reference(name)
}
