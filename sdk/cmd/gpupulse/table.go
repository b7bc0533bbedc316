package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// output is the flag of every command that prints a result.
type output struct {
	Output string `short:"o" help:"table or json." default:"table" enum:"table,json"`
}

func (o output) json() bool { return o.Output == "json" }

// column is one column of a table: its head, the items' key, and how the value is written.
type column struct {
	head, key string
	write     func(any) string
}

// printList prints a list as the server answered it, or as a table.
func printList(out io.Writer, o output, l list, columns []column) error {
	if o.json() {
		return printJSON(out, l)
	}
	rows := make([][]string, len(l.Items))
	for i, item := range l.Items {
		var fields map[string]any
		if err := json.Unmarshal(item, &fields); err != nil {
			return fmt.Errorf("item %d of the answer: %w", i, err)
		}
		for _, c := range columns {
			rows[i] = append(rows[i], c.write(fields[c.key]))
		}
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	if err := printTable(out, heads, rows); err != nil {
		return err
	}
	if l.Total > len(l.Items) {
		_, err := fmt.Fprintf(out, "%d of %d; --limit gives more\n", len(l.Items), l.Total)
		return err
	}
	return nil
}

func printTable(out io.Writer, heads []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

func printJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// text writes a value as it is; control characters, which could move a terminal's
// cursor, are escaped.
func text(value any) string {
	if value == nil {
		return "-"
	}
	plain := fmt.Sprint(value)
	if strings.IndexFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) >= 0 {
		return strconv.Quote(plain)
	}
	if plain == "" {
		return "-"
	}
	return plain
}

// whole writes a count.
func whole(value any) string {
	number, ok := value.(float64)
	if !ok {
		return "-"
	}
	return strconv.FormatFloat(number, 'f', 0, 64)
}

// rate writes a number per second.
func rate(value any) string {
	number, ok := value.(float64)
	if !ok {
		return "-"
	}
	return strconv.FormatFloat(number, 'f', 1, 64)
}

// size writes bytes with a binary unit.
func size(value any) string {
	number, ok := value.(float64)
	if !ok {
		return "-"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; number >= 1024 && i < len(units)-1; i++ {
		number /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", number)
	}
	return fmt.Sprintf("%.1f %s", number, units[i])
}

// seconds writes a lag or an age that came as a number of seconds.
func seconds(value any) string {
	number, ok := value.(float64)
	if !ok {
		return "-"
	}
	return time.Duration(number * float64(time.Second)).Round(time.Millisecond).String()
}
