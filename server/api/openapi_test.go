package api_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the document promises is what the server does: every path answers as described,
// with the fields described, and takes the parameters described and no others.
func TestDocumentIsTrue(t *testing.T) {
	h := newHouse(t)
	h.put(1, h.reading("GPU-a", "h1", 0, 0, 10))
	h.call(http.MethodPost, "/api/v1/topics/gpu.h1.GPU-a/messages", strings.NewReader("x"))
	document := h.get("/openapi.json")
	assert.Equal(t, "3.1.0", document["openapi"])
	variable := strings.NewReplacer("{host}", "h1", "{id}", "GPU-a", "{topic}", "gpu.h1.GPU-a", "{consumer}", "work")
	h.consumer("work")
	seen := map[string]bool{}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(document["paths"].(map[string]any)))) { // what a consumer has goes before it
		for method, op := range document["paths"].(map[string]any)[path].(map[string]any) {
			id := lookup(op, "operationId").(string)
			assert.False(t, seen[id], "operation %s is there twice", id)
			seen[id] = true
			status, answer, head := h.call(strings.ToUpper(method), variable.Replace(path), strings.NewReader("x"))
			responses := lookup(op, "responses").(map[string]any)
			success := strconv.Itoa(status)
			require.Contains(t, responses, success, id)
			require.Equal(t, "2", success[:1], id)
			assert.Equal(t, success, strconv.Itoa(status), id)
			assert.Equal(t, "application/json", head.Get("Content-Type"), id)
			conforms(t, document, lookup(responses, success, "content", "application/json", "schema"), answer, id)
			parameters(t, h, strings.ToUpper(method), variable.Replace(path), op)
		}
	}
	for _, id := range []string{"getHosts", "getGpusByIdTelemetry", "postTopicsByTopicMessages", "getReadyz"} {
		assert.True(t, seen[id], "%s in %v", id, seen)
	}
}

// parameters tries that each described one is taken, and that another is not.
func parameters(t *testing.T, h *house, method, path string, op any) {
	list, _ := lookup(op, "parameters").([]any)
	for _, p := range list {
		if lookup(p, "in") == "path" {
			assert.Equal(t, true, lookup(p, "required"))
			continue
		}
		name := lookup(p, "name").(string)
		status, answer, _ := h.call(method, path+"?"+name+"=%00", strings.NewReader("x"))
		if detail, ok := answer["detail"].(string); ok && status == 400 {
			assert.NotContains(t, detail, "is not known", "%s of %s", name, path)
		}
	}
	status, answer, _ := h.call(method, path+"?surely_not=1", strings.NewReader("x"))
	assert.Equal(t, 400, status, path)
	assert.Contains(t, answer["detail"], "surely_not", path)
}

// conforms checks a value against a schema as far as this document uses schemas: types,
// required, properties without others, items.
func conforms(t *testing.T, document map[string]any, schema, value any, at string) {
	if ref, ok := lookup(schema, "$ref").(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		schema = lookup(document, "components", "schemas", name)
		require.NotNil(t, schema, "%s refers to %s", at, ref)
	}
	kinds, ok := lookup(schema, "type").([]any)
	if !ok {
		kinds = []any{lookup(schema, "type")}
	}
	require.True(t, slices.Contains(kinds, any(kindOf(value))) || slices.Contains(kinds, any("integer")) && kindOf(value) == "number",
		"%s is %v, not %v", at, value, kinds)
	switch v := value.(type) {
	case map[string]any:
		properties, closed := lookup(schema, "properties").(map[string]any)
		for key, inner := range v {
			if described, ok := properties[key]; ok {
				conforms(t, document, described, inner, at+"."+key)
			} else if extra := lookup(schema, "additionalProperties"); extra != nil {
				conforms(t, document, extra, inner, at+"."+key)
			} else {
				assert.False(t, closed, "%s.%s is not described", at, key)
			}
		}
		required, _ := lookup(schema, "required").([]any)
		for _, key := range required {
			assert.Contains(t, v, key, at)
		}
	case []any:
		for _, item := range v {
			conforms(t, document, lookup(schema, "items"), item, at+"[]")
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func TestDocsPageLoadsNothing(t *testing.T) {
	h := newHouse(t)
	page := h.get("/docs")["text"].(string)
	for _, want := range []string{"/api/v1/gpus/{id}/telemetry", "start_time", "RFC 9457"} {
		assert.Contains(t, page, want)
	}
	assert.NotRegexp(t, regexp.MustCompile(`(?i)<script|src=|https?://[^H]`), page)
}
