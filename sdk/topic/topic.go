// Package topic is the grammar of topics and topic filters.
//
// A topic is a list of tokens joined by dots: gpu.dgx-031.GPU-5fd4f087. A token
// is not empty and holds no dot, star, greater-than sign, space or control
// character; Escape writes these as percent and two hex digits. Topics whose
// first token begins with a dollar sign belong to the hub.
//
// A filter is a topic in which a token may be * (any one token) and the last
// may be > (one or more tokens). A wildcard as first token does not match the
// hub's own topics: $dead.> must be asked for by name.
//
// Everything here is a pure function and may be called concurrently.
package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds a topic or filter: long enough for a host name (253), a GPU's
// UUID and some more, short enough to keep millions of them in memory.
const MaxBytes = 512

// MaxTokens bounds the depth of a topic or filter.
const MaxTokens = 16

// Error says what is wrong with a topic or filter, and where.
type Error struct {
	Topic  string // as given, cut to 80 bytes
	Reason string
	Offset int // byte offset of the fault, or -1
}

func (e *Error) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("topic %q: %s", e.Topic, e.Reason)
	}
	return fmt.Sprintf("topic %q: %s at byte %d", e.Topic, e.Reason, e.Offset)
}

// Check reports whether t is a valid topic; the error is an *Error.
func Check(t string) error { return check(t, false) }

// CheckFilter reports whether f is a valid filter; the error is an *Error.
func CheckFilter(f string) error { return check(f, true) }

// Reserved reports whether t is one of the hub's own topics, which clients may
// read but not publish to.
func Reserved(t string) bool { return strings.HasPrefix(t, "$") }

func check(t string, filter bool) error {
	switch {
	case t == "":
		return fault(t, -1, "is empty")
	case len(t) > MaxBytes:
		return fault(t, -1, fmt.Sprintf("has %d bytes, %d are allowed", len(t), MaxBytes))
	case !utf8.ValidString(t):
		return fault(t, -1, "is not UTF-8")
	}
	tokens, start := 1, 0
	for i := 0; i <= len(t); i++ {
		if i < len(t) && t[i] != '.' {
			if bad(t[i]) && (!filter || t[i] <= ' ' || t[i] == 0x7f) {
				return fault(t, i, fmt.Sprintf("holds %q, which must be escaped", t[i]))
			}
			if t[i] == '%' && !isEscape(t[i:]) {
				return fault(t, i, "holds a percent sign without two hex digits")
			}
			continue
		}
		token := t[start:i]
		switch {
		case token == "":
			return fault(t, start, "has an empty token")
		case filter && token == ">" && i < len(t):
			return fault(t, start, "has > before its last token")
		case filter && len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fault(t, start, "has a wildcard inside a token")
		}
		if i < len(t) {
			tokens++
			start = i + 1
		}
	}
	if tokens > MaxTokens {
		return fault(t, -1, fmt.Sprintf("has %d tokens, %d are allowed", tokens, MaxTokens))
	}
	return nil
}

func fault(t string, offset int, reason string) error {
	if len(t) > 80 {
		t = t[:80]
	}
	return &Error{Topic: t, Reason: reason, Offset: offset}
}

// bad reports the bytes that no token may hold as they are.
func bad(b byte) bool {
	return b <= ' ' || b == 0x7f || b == '*' || b == '>' || b == '.'
}

func isEscape(s string) bool {
	return len(s) >= 3 && hexValue(s[1]) >= 0 && hexValue(s[2]) >= 0
}

func hexValue(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	}
	return -1
}

// Match reports whether the topic t fits the filter. Both must be valid.
func Match(filter, t string) bool {
	if Reserved(t) && !Reserved(filter) {
		return false
	}
	for {
		f, fRest, fMore := strings.Cut(filter, ".")
		if f == ">" {
			return true
		}
		token, tRest, tMore := strings.Cut(t, ".")
		if f != "*" && f != token {
			return false
		}
		if fMore != tMore {
			return false
		}
		if !fMore {
			return true
		}
		filter, t = fRest, tRest
	}
}

// Covers reports whether every topic that fits inner fits outer too.
func Covers(outer, inner string) bool {
	if Reserved(inner) && !Reserved(outer) {
		return false
	}
	for {
		o, oRest, oMore := strings.Cut(outer, ".")
		if o == ">" {
			return true
		}
		i, iRest, iMore := strings.Cut(inner, ".")
		if i == ">" || (o != "*" && o != i) || oMore != iMore {
			return false
		}
		if !oMore {
			return true
		}
		outer, inner = oRest, iRest
	}
}

const hexDigits = "0123456789ABCDEF"

// Escape turns any text into a valid token. The empty text becomes %00,
// as a lone NUL does; otherwise no two texts share a token. Bytes that are not
// UTF-8 are escaped one by one.
func Escape(text string) string {
	if text == "" {
		return "%00"
	}
	clean := true
	for i := 0; i < len(text); i++ {
		if b := text[i]; bad(b) || b == '%' || b == '$' || b >= utf8.RuneSelf {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	out := make([]byte, 0, len(text)+8)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size <= 1 {
			out = appendEscape(out, text[i])
			i++
			continue
		}
		if b := text[i]; size == 1 && (bad(b) || b == '%' || b == '$') {
			out = appendEscape(out, b)
		} else {
			out = append(out, text[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

func appendEscape(dst []byte, b byte) []byte {
	return append(dst, '%', hexDigits[b>>4], hexDigits[b&15])
}

// Unescape is Escape's inverse. A percent sign without two hex digits stands for itself.
func Unescape(token string) string {
	if token == "%00" {
		return ""
	}
	if !strings.Contains(token, "%") {
		return token
	}
	out := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] == '%' && isEscape(token[i:]) {
			out = append(out, byte(hexValue(token[i+1])<<4|hexValue(token[i+2])))
			i += 2
			continue
		}
		out = append(out, token[i])
	}
	return string(out)
}
