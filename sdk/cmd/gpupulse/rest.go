package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

const (
	// maxAnswerBytes bounds one REST answer: a page of 1,000 readings of 100 metrics is
	// below 10 MB.
	maxAnswerBytes = 64 << 20
	// pageItems is how many items a list is asked for at once: the server's bound.
	pageItems = 1000
)

// list is a list as the server answers it.
type list struct {
	Items []json.RawMessage `json:"items"`
	Total int               `json:"total"`
}

// problem is an error as the server answers it.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// get asks the REST interface and decodes the answer.
func (c *connection) get(ctx context.Context, path string, query url.Values, answer any) error {
	return c.call(ctx, http.MethodGet, path, query, answer)
}

// call is get with any method.
func (c *connection) call(ctx context.Context, method, path string, query url.Values, answer any) error {
	_, base, err := c.addresses()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, base+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address is told anyway
		}
		return c.whyNot(ctx, base, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	if len(body) > maxAnswerBytes {
		return fmt.Errorf("answer of %s: over %d bytes", path, maxAnswerBytes)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(path, response, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("answer of %s is not what a gpupulse server says: %w", base+path, err)
	}
	return nil
}

func refusal(path string, response *http.Response, body []byte) error {
	var p problem
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return fmt.Errorf("%s: the server answered %s", path, response.Status)
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return errors.New(p.Detail)
}

// all fetches a list page by page, up to limit items; 0 is all of them. What is
// added or removed meanwhile may be missed, as in any paged list.
func (c *connection) all(ctx context.Context, path string, query url.Values, limit int) (list, error) {
	whole := list{Items: []json.RawMessage{}}
	for {
		page := pageItems
		if limit > 0 {
			page = min(page, limit-len(whole.Items))
		}
		query.Set("limit", strconv.Itoa(page))
		query.Set("offset", strconv.Itoa(len(whole.Items)))
		var part list
		if err := c.get(ctx, path, query, &part); err != nil {
			return list{}, err
		}
		whole.Items = append(whole.Items, part.Items...)
		whole.Total = part.Total
		if len(part.Items) == 0 || len(whole.Items) >= part.Total || limit > 0 && len(whole.Items) >= limit {
			return whole, nil
		}
	}
}
