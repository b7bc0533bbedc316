package source

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Bounds of what Rejects keeps, so that a file of nothing but broken rows costs
// little memory: the counts go on, only examples are forgotten.
const (
	maxReasons     = 32 // distinct reasons; further ones count as ReasonOther
	maxRejectLines = 5  // last lines kept for each reason
)

// ReasonOther counts rejects whose reason came after maxReasons others.
const ReasonOther = "other"

// Rejects counts rows that were read but could not be understood, by reason, and
// remembers the lines of the last few of each. The zero value is ready; it may be
// used concurrently. A nil *Rejects counts nothing.
type Rejects struct {
	mu       sync.Mutex
	byReason map[string]*Reject
}

// Reject is one reason and how often it was met.
type Reject struct {
	Reason string `json:"reason"`
	Rows   uint64 `json:"rows"`
	// Lines are the last few lines of the source, oldest first; empty where it has none.
	Lines []int `json:"lines,omitempty"`
	// Detail is what was wrong with the last one.
	Detail string `json:"detail,omitempty"`
}

// Add counts rows for a reason, which is one of a few fixed texts such as "too few
// fields". Line 0 stands for none; detail says what exactly was wrong.
func (r *Rejects) Add(reason string, rows, line int, detail string) {
	if r == nil || rows <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.entryLocked(reason)
	entry.Rows += uint64(rows)
	entry.Detail = clip(detail)
	if line > 0 {
		if len(entry.Lines) == maxRejectLines {
			entry.Lines = slices.Delete(entry.Lines, 0, 1)
		}
		entry.Lines = append(entry.Lines, line)
	}
}

func (r *Rejects) entryLocked(reason string) *Reject {
	if r.byReason == nil {
		r.byReason = map[string]*Reject{}
	}
	if r.byReason[reason] == nil && len(r.byReason) >= maxReasons {
		reason = ReasonOther
	}
	entry := r.byReason[reason]
	if entry == nil {
		entry = &Reject{Reason: reason}
		r.byReason[reason] = entry
	}
	return entry
}

// List answers a copy, the most frequent reason first.
func (r *Rejects) List() []Reject {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Reject, 0, len(r.byReason))
	for entry := range maps.Values(r.byReason) {
		one := *entry
		one.Lines = slices.Clone(entry.Lines)
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// Rows is how many rows were rejected for any reason.
func (r *Rejects) Rows() uint64 {
	var rows uint64
	for _, entry := range r.List() {
		rows += entry.Rows
	}
	return rows
}

// maxDetailBytes bounds an example: a broken cell may be a megabyte long.
const maxDetailBytes = 160

func clip(text string) string {
	if len(text) <= maxDetailBytes {
		return strings.Clone(text) // which may be a piece of a large row
	}
	cut := maxDetailBytes
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not inside a rune
		cut--
	}
	return text[:cut] + "…"
}
