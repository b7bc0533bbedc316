package source

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"gpupulse/sdk/telemetry"
)

// absentMarkers are cells that say that there is no value, in lower case.
var absentMarkers = map[string]bool{
	"": true, "n/a": true, "[n/a]": true, "-": true, "[not supported]": true, "not supported": true, "[unknown error]": true,
	"[gpu is lost]": true, "[insufficient permissions]": true, "[function not found]": true, "err!": true,
	"[requested functionality has been deprecated]": true,
}

// absent reports whether a cell says that there is no value.
func absent(cell []byte) bool {
	if len(cell) == 0 {
		return true
	}
	switch cell[0] {
	case '[', '-', 'n', 'N', 'e', 'E':
		return len(cell) <= 64 && absentMarkers[string(bytes.ToLower(cell))]
	}
	return false
}

// booleans are words for 1 and 0.
var booleans = map[string]float64{"true": 1, "false": 0, "yes": 1, "no": 0, "active": 1, "not active": 0}

// number reads a cell as a number: plain, one of the words for yes and no, or with its unit
// behind it. finite is false for NaN and the infinities.
func number(cell []byte) (v float64, finite, ok bool) {
	if v, ok := integer(cell); ok {
		return v, true, true
	}
	v, err := strconv.ParseFloat(string(cell), 64)
	if err == nil {
		return v, !math.IsNaN(v) && !math.IsInf(v, 0), true
	}
	if math.IsInf(v, 0) && v != 0 { // out of range
		return v, false, true
	}
	if len(cell) <= 10 {
		if v, ok := booleans[string(bytes.ToLower(cell))]; ok {
			return v, true, true
		}
	}
	return 0, false, false
}

// withUnit reads a cell such as 29 % or 69.85 W, whose header has told the unit.
func withUnit(cell []byte, unit string) (v float64, finite, ok bool) {
	if i := bytes.IndexByte(cell, ' '); i > 0 && unit != "" && bytes.EqualFold(trim(cell[i:]), []byte(unit)) {
		cell = cell[:i]
	}
	return number(cell)
}

// integer reads short decimal integers, which most cells are.
func integer(cell []byte) (float64, bool) {
	if len(cell) == 0 || len(cell) > 15 {
		return 0, false
	}
	n := int64(0)
	for _, c := range cell {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return float64(n), true
}

// DCGM writes these, and a few numbers above them, where it has no value.
const (
	blankInt32 = 0x7ffffff0
	blankInt64 = 0x7ffffffffffffff0
	blankFP64  = 140737488355328
)

// blank reports whether a value is one of DCGM's for nothing.
func blank(d *telemetry.Descriptor, v float64) bool {
	if d.Number == 0 && !bytes.HasPrefix([]byte(d.Source), []byte("DCGM_")) {
		return false
	}
	return v >= blankFP64 && v <= blankFP64+16 || v >= blankInt64 || v >= blankInt32 && v <= blankInt32+15
}

// clock reads times. Many rows have the same, so it remembers the last one.
type clock struct {
	location *time.Location // of times without a zone
	text     []byte
	at       int64
}

// Layouts of times without a zone, tried in turn; a fraction is read though not named.
var zoneless = []string{"2006/01/02 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05"}

// parse reads RFC 3339, nvidia-smi's local times, and seconds, milliseconds, microseconds or
// nanoseconds since 1970, told apart by their size.
func (c *clock) parse(cell []byte) (unixNano int64, ok bool) {
	if bytes.Equal(cell, c.text) && len(cell) > 0 {
		return c.at, true
	}
	at, ok := parseTime(string(cell), c.location)
	if ok {
		c.text, c.at = append(c.text[:0], cell...), at
	}
	return at, ok
}

func parseTime(text string, local *time.Location) (unixNano int64, ok bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return inRange(t)
	}
	for _, layout := range zoneless {
		if t, err := time.ParseInLocation(layout, text, local); err == nil {
			return inRange(t)
		}
	}
	if t, err := time.Parse("2006-01-02 15:04:05Z07:00", text); err == nil {
		return inRange(t)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		switch {
		case n < 1e11:
			return n * 1e9, true
		case n < 1e14:
			return n * 1e6, true
		case n < 1e17:
			return n * 1e3, true
		}
		return n, true
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e10 {
		whole, part := math.Modf(f)
		return int64(whole)*1e9 + int64(math.Round(part*1e6))*1e3, true
	}
	return 0, false
}

// inRange refuses times that nanoseconds since 1970 do not hold.
func inRange(t time.Time) (int64, bool) {
	return t.UnixNano(), t.Year() > 1678 && t.Year() < 2262
}
