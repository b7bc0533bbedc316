package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

const (
	// maxRowBytes bounds one row: labels are at most a kilobyte each, so a row that is
	// longer is broken whatever is in it.
	maxRowBytes = 64 << 10
	// chunkBytes is how much is read at once.
	chunkBytes = 128 << 10
)

// Reasons for which the splitter refuses a row.
const (
	reasonRowTooLong    = "row too long"
	reasonUnclosedQuote = "quote is not closed"
)

// errIdle tells that the input has nothing now and may have more later.
var errIdle = errors.New("input is idle")

// splitter cuts an input into rows. A goroutine, pump, reads it, so that a pipe with
// nothing in it can be waited for no longer than one likes.
type splitter struct {
	input   io.ReadCloser
	rejects *Rejects
	chunks  chan chunk
	free    chan []byte
	closed  chan struct{}

	buf  []byte // what is read and not yet cut
	used int    // of buf
	eof  error  // why there will be no more
	line int    // of the next byte of buf, from 1
	skip bool   // in the middle of a row that is too long
}

type chunk struct {
	bytes []byte
	err   error
}

func newSplitter(input io.ReadCloser, rejects *Rejects) *splitter {
	s := &splitter{
		input: input, rejects: rejects, line: 1,
		chunks: make(chan chunk), free: make(chan []byte, 2), closed: make(chan struct{}),
	}
	s.free <- make([]byte, chunkBytes)
	s.free <- make([]byte, chunkBytes)
	go s.pump()
	return s
}

// pump reads until the input ends or close is called. A terminal or pipe that says nothing
// may hold it back after that.
func (s *splitter) pump() {
	defer close(s.chunks)
	for {
		var b []byte
		select {
		case b = <-s.free:
		case <-s.closed:
			return
		}
		n, err := s.input.Read(b[:cap(b)])
		select {
		case s.chunks <- chunk{b[:n], err}:
		case <-s.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *splitter) close() error {
	close(s.closed)
	return s.input.Close()
}

// next returns the next row, without its line end, and its line. It is valid until the
// next call. errIdle comes after nothing was read for the time patience, io.EOF at the end.
func (s *splitter) next(ctx context.Context, patience time.Duration) (row []byte, line int, err error) {
	for {
		row, line, ok := s.cut()
		if ok {
			return row, line, nil
		}
		if s.eof != nil {
			return nil, 0, s.eof
		}
		if err := s.fill(ctx, patience); err != nil {
			return nil, 0, err
		}
	}
}

// fill waits for another chunk.
func (s *splitter) fill(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case c, ok := <-s.chunks:
		if !ok {
			return ErrClosed
		}
		n := copy(s.buf, s.buf[s.used:])
		s.buf, s.used = append(s.buf[:n], c.bytes...), 0
		s.eof = c.err
		s.free <- c.bytes
		return nil
	case <-timer.C:
		return errIdle
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cut takes a row out of the buffer. A line end inside quotes belongs to the row.
func (s *splitter) cut() (row []byte, line int, ok bool) {
	for {
		rest := s.buf[s.used:]
		if s.skip {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				s.used = len(s.buf)
				return nil, 0, false
			}
			s.used += end + 1
			s.line++
			s.skip = false
			continue
		}
		end, complete := rowEnd(rest)
		switch {
		case complete && end <= maxRowBytes:
			row, line = rest[:end], s.line
			s.used += end + 1
			s.line += 1 + bytes.Count(row, []byte{'\n'})
			return bytes.TrimSuffix(row, []byte{'\r'}), line, true
		case complete || len(rest) > maxRowBytes:
			s.refuse(rest)
		case s.eof != nil && len(rest) > 0:
			if bytes.Count(rest, []byte{'"'})%2 == 0 {
				s.used = len(s.buf)
				return bytes.TrimSuffix(rest, []byte{'\r'}), s.line, true
			}
			s.refuse(rest)
		default:
			return nil, 0, false
		}
	}
}

// refuse gives up the first line of rest: what follows it may be whole again.
func (s *splitter) refuse(rest []byte) {
	end := bytes.IndexByte(rest, '\n')
	reason := reasonUnclosedQuote
	if end < 0 || end > maxRowBytes {
		reason = reasonRowTooLong
	}
	s.rejects.Add(reason, 1, s.line, string(rest[:min(len(rest), maxDetailBytes)]))
	if end < 0 {
		s.used = len(s.buf)
		s.skip = true
		return
	}
	s.used += end + 1
	s.line++
}

// rowEnd returns the offset of the line end that is outside quotes.
func rowEnd(b []byte) (end int, complete bool) {
	quotes, from := 0, 0
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, false
		}
		quotes += bytes.Count(b[from:from+i], []byte{'"'})
		if quotes%2 == 0 {
			return from + i, true
		}
		from += i + 1
		if from > maxRowBytes {
			return from, true // too long in any case
		}
	}
}

// splitCells splits a row at its commas into dst, trimmed and with quotes taken off. Cells with
// doubled quotes are written to scratch. ok is false if a quoted cell is followed by
// anything but a comma.
func splitCells(dst [][]byte, scratch, row []byte) (all [][]byte, rest []byte, ok bool) {
	if bytes.IndexByte(row, '"') < 0 {
		for {
			i := bytes.IndexByte(row, ',')
			if i < 0 {
				return append(dst, trim(row)), scratch, true
			}
			dst = append(dst, trim(row[:i]))
			row = row[i+1:]
		}
	}
	for {
		row = bytes.TrimLeft(row, " \t")
		if len(row) == 0 || row[0] != '"' {
			i := bytes.IndexByte(row, ',')
			if i < 0 {
				return append(dst, trim(row)), scratch, true
			}
			dst = append(dst, trim(row[:i]))
			row = row[i+1:]
			continue
		}
		var cell []byte
		if cell, scratch, row, ok = quoted(scratch, row[1:]); !ok {
			return dst, scratch, false
		}
		dst = append(dst, trim(cell))
		row = bytes.TrimLeft(row, " \t")
		if len(row) == 0 {
			return dst, scratch, true
		}
		if row[0] != ',' {
			return dst, scratch, false
		}
		row = row[1:]
	}
}

// quoted takes a cell up to its closing quote.
func quoted(scratch, row []byte) (cell, grown, rest []byte, ok bool) {
	i := bytes.IndexByte(row, '"')
	if i < 0 {
		return nil, scratch, nil, false
	}
	if i+1 == len(row) || row[i+1] != '"' {
		return row[:i], scratch, row[i+1:], true
	}
	start := len(scratch)
	for {
		scratch = append(scratch, row[:i]...)
		row = row[i+1:]
		if len(row) == 0 || row[0] != '"' {
			return scratch[start:], scratch, row, true
		}
		scratch = append(scratch, '"')
		row = row[1:]
		if i = bytes.IndexByte(row, '"'); i < 0 {
			return nil, scratch, nil, false
		}
	}
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}
