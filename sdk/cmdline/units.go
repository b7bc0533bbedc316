package cmdline

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Bytes is a size as a setting: a number with B, KB, MB, GB, TB (powers of 1000) or
// KiB, MiB, GiB, TiB (powers of 1024). No unit means bytes. Fractions are fine, a
// negative size is not.
type Bytes int64

// byteUnit is one of the suffixes of Bytes.
type byteUnit struct {
	suffix string
	bytes  int64
}

// byteUnits are in the order in which String tries them: a binary unit before
// the decimal one, the largest first.
func byteUnits() []byteUnit {
	return []byteUnit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
	}
}

// ParseBytes reads a size such as 10GiB; units are matched in any case.
func ParseBytes(text string) (Bytes, error) {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, unit := range byteUnits() {
		cut := len(number) - len(unit.suffix)
		if cut > 0 && strings.EqualFold(number[cut:], unit.suffix) {
			number, factor = strings.TrimSpace(number[:cut]), unit.bytes
			break
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) {
		return 0, fmt.Errorf("%q is not a size such as 512, 64KiB or 10GB", text)
	}
	value *= float64(factor)
	if value < 0 || value >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q is outside 0 to 8 EiB", text)
	}
	return Bytes(math.Round(value)), nil
}

// UnmarshalText is ParseBytes, for flags and files.
func (b *Bytes) UnmarshalText(text []byte) error {
	value, err := ParseBytes(string(text))
	if err == nil {
		*b = value
	}
	return err
}

// String writes the size exactly, in the largest unit that divides it.
func (b Bytes) String() string {
	for _, unit := range byteUnits() {
		if b != 0 && int64(b)%unit.bytes == 0 {
			return strconv.FormatInt(int64(b)/unit.bytes, 10) + unit.suffix
		}
	}
	return "0B"
}

// ParseDuration is time.ParseDuration that knows days and weeks too: 7d, 1w2d12h.
// A day has 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	var total time.Duration
	rest := text
	for {
		end := strings.IndexAny(rest, "dw")
		if end < 0 {
			break
		}
		count, err := strconv.ParseFloat(rest[:end], 64)
		unit := 24 * time.Hour
		if rest[end] == 'w' {
			unit *= 7
		}
		value := count * float64(unit)
		if err != nil || math.IsNaN(value) || math.Abs(value+float64(total)) >= math.MaxInt64 {
			return 0, notADuration(text)
		}
		total += time.Duration(value)
		rest = rest[end+1:]
	}
	if rest == "" && text != "" {
		return total, nil
	}
	last, err := time.ParseDuration(rest)
	if err != nil || total > 0 && total+last < total {
		return 0, notADuration(text)
	}
	return total + last, nil
}

func notADuration(text string) error {
	return fmt.Errorf("%q is not a duration such as 250ms, 30s, 24h or 7d", text)
}

// durations lets every time.Duration in a settings struct be written with days.
func durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(
		func(ctx *kong.DecodeContext, target reflect.Value) error {
			var text string
			if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
				return err
			}
			value, err := ParseDuration(text)
			if err == nil {
				target.SetInt(int64(value))
			}
			return err
		}))
}
