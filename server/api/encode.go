package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"gpupulse/sdk/telemetry"
)

// list is the answer of every list.
type list[T any] struct {
	Items  []T `json:"items"`
	Total  int `json:"total"`
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// answerList answers with the items of a page.
func answerList[T any](r *request, items []T, total int, page telemetry.Page) error {
	if items == nil {
		items = []T{} // [] in JSON, not null
	}
	return r.answer(http.StatusOK, list[T]{items, total, page.Limit, page.Offset})
}

// answerPage answers with a page of a list that is all there.
func answerPage[T any](r *request, all []T) error {
	page := r.page(maxLimit)
	if r.err != nil {
		return r.err
	}
	from := min(page.Offset, len(all))
	return answerList(r, all[from:min(from+page.Limit, len(all))], len(all), page)
}

// answer encodes v before the status is sent, so that a failure can still be told.
func (r *request) answer(status int, v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // the filter gpu.> is to be read by people
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return r.Blob(status, "application/json", body.Bytes())
}

func formatTime(nanoseconds int64) string {
	return time.Unix(0, nanoseconds).UTC().Format(time.RFC3339Nano)
}

// number is a float64 that is null in JSON where there is none.
type number float64

// MarshalJSON is encoding/json's.
func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return telemetry.AppendNumber(nil, v), nil
	}
	return []byte("null"), nil
}
