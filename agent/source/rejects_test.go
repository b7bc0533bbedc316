package source_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"gpupulse/agent/source"
)

func TestRejectsKeepTheLastLinesOfEachReason(t *testing.T) {
	var r source.Rejects
	for line := 1; line <= 8; line++ {
		r.Add("too few fields", 1, line, fmt.Sprintf("%d of 12", line))
	}
	r.Add("not a number", 10, 3, "value \"x\"")
	r.Add("not a number", 0, 4, "no row at all")
	assert.Equal(t, []source.Reject{
		{Reason: "not a number", Rows: 10, Lines: []int{3}, Detail: "value \"x\""},
		{Reason: "too few fields", Rows: 8, Lines: []int{4, 5, 6, 7, 8}, Detail: "8 of 12"},
	}, r.List())
	assert.EqualValues(t, 18, r.Rows())

	r.List()[0].Lines[0] = 99
	assert.Equal(t, 3, r.List()[0].Lines[0], "a list is a copy")
}

func TestRejectsAreBounded(t *testing.T) {
	var r source.Rejects
	megabyte := strings.Repeat("ä", 1<<19)
	for i := range 1000 {
		r.Add(fmt.Sprint("reason ", i), 1, i, megabyte)
	}
	list := r.List()
	assert.LessOrEqual(t, len(list), 33)
	assert.Equal(t, source.ReasonOther, list[0].Reason)
	assert.EqualValues(t, 1000, r.Rows())
	assert.Less(t, len(list[0].Detail), 200)
	assert.True(t, utf8.ValidString(list[0].Detail))
}

func TestRejectsWithoutAPlaceAndFromManySides(t *testing.T) {
	var none *source.Rejects
	none.Add("x", 1, 1, "")
	assert.Empty(t, none.List())
	assert.Zero(t, none.Rows())

	var r source.Rejects
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 100 {
				r.Add("x", 1, 0, "")
				r.List()
			}
		})
	}
	work.Wait()
	assert.Equal(t, []source.Reject{{Reason: "x", Rows: 400}}, r.List())
}
