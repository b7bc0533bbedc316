package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
	"unicode/utf8"

	"gpupulse/sdk/telemetry"
)

// CSVOptions of a CSV source.
type CSVOptions struct {
	// Path names the file, - standard input.
	Path string
	// Loop begins again at the end, header included. Not for standard input.
	Loop bool
	// JoinWindow is how far apart the times of long-form rows of one GPU may lie for them
	// to become one reading; 0: they are equal.
	JoinWindow time.Duration
	// Host is whose rows they are where no column says; "": this machine's name.
	Host string
	// Location is where times without a zone were taken; nil: here.
	Location *time.Location
	Rejects  *Rejects         // nil: nobody counts
	Now      func() time.Time // nil: time.Now
}

// Reasons for which rows are rejected, beside the splitter's.
const (
	reasonTooFew      = "too few fields"
	reasonTooMany     = "too many fields"
	reasonQuote       = "text after a closing quote"
	reasonTime        = "bad time"
	reasonNoGPU       = "no gpu"
	reasonNotNumber   = "text in a number's column"
	reasonNotFinite   = "not a finite number"
	reasonNoValue     = "no value"
	reasonNoMetric    = "no metric name"
	reasonTextTooLong = "text too long"
	reasonNotUTF8     = "not UTF-8"
	reasonLabels      = "bad labels_raw"
)

// maxColumns bounds a header.
const maxColumns = 4096

// idlePatience is how long a quiet input keeps readings waiting for more rows.
const idlePatience = 250 * time.Millisecond

// CSV reads comma-separated files: one metric a row, as a Prometheus export of a DCGM exporter
// has it, or one sample a row with a column for each metric, told apart by the header. Numbers
// in columns that nobody knows become metrics of that name, text becomes labels.
type CSV struct {
	o          CSVOptions
	rows       *splitter
	layout     *layout
	clock      clock
	joiner     *joiner
	known      map[string]*identity // by the content of the label columns
	knownBytes int
	first      []decision // of columns that this row is the first to say something of
	metrics    map[string]*telemetry.Descriptor
	cells      [][]byte
	scratch    []byte
	key        []byte
	lastTime   int64 // given to a row without a time
	readAny    bool  // a reading, since the input was opened
	ended      bool
	left       time.Time     // when Read returned last
	away       time.Duration // how long nobody was in Read: rows cannot come meanwhile
}

// NewCSV opens a file. The error names it.
func NewCSV(o CSVOptions) (*CSV, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.JoinWindow < 0 {
		return nil, fmt.Errorf("join window %v is negative", o.JoinWindow)
	}
	if o.Loop && o.Path == "-" {
		return nil, errors.New("standard input cannot be read in a loop")
	}
	if o.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("name of this host: %w", err)
		}
		o.Host = host
	}
	c := &CSV{o: o, clock: clock{location: o.Location}, metrics: map[string]*telemetry.Descriptor{}}
	if err := c.open(); err != nil {
		return nil, err
	}
	return c, nil
}

// open begins the input.
func (c *CSV) open() error {
	input := io.ReadCloser(os.Stdin)
	if c.o.Path != "-" {
		f, err := os.Open(c.o.Path)
		if err != nil {
			return fmt.Errorf("open CSV: %w", err)
		}
		input = f
	}
	c.rows = newSplitter(input, c.o.Rejects)
	c.layout, c.readAny = nil, false
	c.joiner = newJoiner(c.o.JoinWindow)
	c.known, c.knownBytes = map[string]*identity{}, 0
	return nil
}

// Close ends a Read that waits.
func (c *CSV) Close() error {
	if c.ended {
		return nil
	}
	c.ended = true
	if err := c.rows.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close CSV %s: %w", c.o.Path, err)
	}
	return nil
}

// Read is Source's.
func (c *CSV) Read(ctx context.Context) (Batch, error) {
	var out Batch
	if !c.left.IsZero() {
		c.away += c.o.Now().Sub(c.left)
	}
	defer func() {
		c.left = c.o.Now()
		c.readAny = c.readAny || len(out.Readings) > 0
	}()
	for {
		row, line, err := c.rows.next(ctx, idlePatience)
		switch {
		case errors.Is(err, errIdle):
			if c.joiner.flush(c.now(), &out); len(out.Readings) > 0 {
				return out, nil
			}
			continue
		case errors.Is(err, io.EOF):
			c.joiner.flush(c.now(), &out)
			if len(out.Readings) > 0 {
				return out, nil
			}
			if err := c.again(); err != nil {
				return Batch{}, err
			}
			continue
		case err != nil:
			// Whoever ended the wait gets what was read before it.
			if c.joiner.flush(c.now(), &out); len(out.Readings) > 0 && ctx.Err() != nil {
				return out, nil
			}
			return Batch{}, err
		}
		if err := c.row(row, line, &out); err != nil {
			return Batch{}, err
		}
		if len(out.Readings) >= MaxBatch {
			return out, nil
		}
	}
}

// now is the time less what passed outside Read: by it readings wait for more rows.
func (c *CSV) now() time.Time { return c.o.Now().Add(-c.away) }

// again answers io.EOF, or opens the input once more.
func (c *CSV) again() error {
	if !c.o.Loop {
		return io.EOF
	}
	if !c.readAny {
		return fmt.Errorf("CSV %s has no rows that can be read, nothing to repeat", c.o.Path)
	}
	if err := c.rows.close(); err != nil {
		return fmt.Errorf("close CSV %s: %w", c.o.Path, err)
	}
	return c.open()
}

// row takes one row; the first that is neither blank nor a comment is the header.
func (c *CSV) row(row []byte, line int, out *Batch) error {
	if c.layout == nil {
		row = bytes.TrimPrefix(row, []byte("\xef\xbb\xbf"))
	}
	if content := trim(row); len(content) == 0 || content[0] == '#' {
		return nil
	}
	var ok bool
	c.cells, c.scratch, ok = splitCells(c.cells[:0], c.scratch[:0], row)
	if c.layout == nil {
		return c.header(ok, line)
	}
	n := len(c.layout.columns)
	switch {
	case !ok:
		c.reject(reasonQuote, line, row)
	case len(c.cells) < n:
		c.reject(reasonTooFew, line, fmt.Appendf(nil, "%d, the header has %d", len(c.cells), n))
	case len(c.cells) > n:
		c.reject(reasonTooMany, line, fmt.Appendf(nil, "%d, the header has %d", len(c.cells), n))
	default:
		c.sample(line, out)
	}
	return nil
}

func (c *CSV) header(ok bool, line int) error {
	if !ok {
		return fmt.Errorf("CSV %s, line %d: header has text after a closing quote", c.o.Path, line)
	}
	if len(c.cells) > maxColumns {
		return fmt.Errorf("CSV %s, line %d: header has %d columns, %d are allowed", c.o.Path, line, len(c.cells), maxColumns)
	}
	for i, cell := range c.cells {
		if len(cell) > telemetry.MaxLabelBytes || !utf8.Valid(cell) {
			return fmt.Errorf("CSV %s, line %d: the name of column %d is not UTF-8 or longer than %d bytes", c.o.Path, line, i+1, telemetry.MaxLabelBytes)
		}
	}
	l := parseHeader(c.cells)
	if !l.identifies() {
		return fmt.Errorf("CSV %s, line %d: header %q names no column that identifies a GPU: want uuid, gpu_id, gpu or index",
			c.o.Path, line, clip(string(bytes.Join(c.cells, []byte(",")))))
	}
	c.layout = l
	return nil
}

func (c *CSV) reject(reason string, line int, detail []byte) {
	c.o.Rejects.Add(reason, 1, line, string(detail[:min(len(detail), 2*maxDetailBytes)]))
}

// sample types the cells of a row and hands its reading on, or to the joiner.
func (c *CSV) sample(line int, out *Batch) {
	at, ok := c.time()
	if !ok {
		c.reject(reasonTime, line, c.cells[c.layout.time])
		return
	}
	if c.layout.long {
		c.longRow(at, line, out)
		return
	}
	c.wideRow(at, line, out)
}

// time is the row's own, or the time of reading, which never comes twice.
func (c *CSV) time() (unixNano int64, ok bool) {
	if i := c.layout.time; i >= 0 && !absent(c.cells[i]) {
		return c.clock.parse(c.cells[i])
	}
	c.lastTime = max(c.o.Now().UnixNano(), c.lastTime+1)
	return c.lastTime, true
}

func (c *CSV) longRow(at int64, line int, out *Batch) {
	id := c.identify()
	if id.reason != "" {
		c.reject(id.reason, line, []byte(id.detail))
		return
	}
	metric, reason := c.metric()
	if reason != "" {
		c.reject(reason, line, c.cells[c.layout.metric])
		return
	}
	cell := c.cells[c.layout.value]
	v, finite, isNumber := number(cell)
	switch {
	case isNumber && !finite:
		c.reject(reasonNotFinite, line, cell)
	case isNumber && blank(metric, v), !isNumber && absent(cell):
		c.reject(reasonNoValue, line, cell)
	case !isNumber:
		c.reject(reasonNotNumber, line, cell)
	case math.IsInf(metric.Canonical(v), 0):
		c.reject(reasonNotFinite, line, cell)
	default:
		now := c.now()
		c.joiner.add(id, at, telemetry.Sample{Metric: metric, Sent: v}, line, now, out)
		c.joiner.flush(now.Add(-joinPatience), out)
	}
}

func (c *CSV) wideRow(at int64, line int, out *Batch) {
	samples := make([]telemetry.Sample, 0, len(c.cells))
	c.first = c.first[:0]
	for i := range c.layout.columns {
		col := &c.layout.columns[i]
		if col.role != roleMetric && col.role != roleUndecided {
			continue
		}
		cell := c.cells[i]
		v, finite, isNumber := withUnit(cell, col.unit)
		if isNumber && !finite {
			c.reject(reasonNotFinite, line, fmt.Appendf(nil, "column %s: %s", col.name, cell))
			return
		}
		if !isNumber && absent(cell) {
			continue
		}
		metric := col.metric
		if col.role == roleUndecided {
			if c.first = append(c.first, decision{i, isNumber}); !isNumber {
				continue
			}
			metric = telemetry.Custom(col.name)
		}
		if metric.Source == "fan_speed" && v > 100 {
			metric, _ = telemetry.LookupUnit("fan_speed", "rpm") // of the catalogue: always there
		}
		switch {
		case !isNumber:
			c.reject(reasonNotNumber, line, fmt.Appendf(nil, "column %s: %s", col.name, cell))
			return
		case math.IsInf(metric.Canonical(v), 0):
			c.reject(reasonNotFinite, line, fmt.Appendf(nil, "column %s: %s", col.name, cell))
			return
		case blank(metric, v):
			continue
		}
		samples = append(samples, telemetry.Sample{Metric: metric, Sent: v})
	}
	id := c.identify()
	if len(c.first) > 0 && id.reason == "" && len(samples) > 0 {
		c.decide()
		id = c.identify() // with the labels that were not known to be labels
	}
	switch {
	case id.reason != "":
		c.reject(id.reason, line, []byte(id.detail))
	case len(samples) == 0:
		c.reject(reasonNoValue, line, nil)
	case len(samples) > telemetry.MaxSamples:
		c.reject(reasonTooMany, line, fmt.Appendf(nil, "%d metrics, %d are allowed", len(samples), telemetry.MaxSamples))
	default:
		out.Add(telemetry.Reading{Time: at, Host: id.host, GPU: id.gpu, Labels: id.labels, Samples: samples}, 1, line)
	}
}
