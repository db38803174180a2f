package dataset

import (
	"bytes"
	"fmt"
	"io"
)

// A splitter cuts a stream of CSV into records and records into fields.
type splitter struct {
	name      string
	r         io.Reader
	maxRecord int
	blockSize int // see block

	buf        []byte
	start, end int   // of what is read and not yet given
	offset     int64 // of buf[0] in the stream
	eof        bool
	bare       bool // there is no quote in buf, nor will there be

	line   int64 // that the last record began on, from 1
	lines  int64 // ended so far
	quotes int64 // records with a quote out of place

	fields [][]byte // of the last record
}

func newSplitter(r io.Reader, name string, maxRecord int) *splitter {
	return &splitter{name: name, r: r, maxRecord: maxRecord, blockSize: blockSize, buf: make([]byte, blockSize)}
}

// fill reads more behind what is there. At the end of the stream it sets eof.
func (s *splitter) fill() error {
	if s.start > 0 {
		copy(s.buf, s.buf[s.start:s.end])
		s.offset += int64(s.start)
		s.end -= s.start
		s.start = 0
	}
	if s.end == len(s.buf) {
		bigger := make([]byte, 2*len(s.buf))
		copy(bigger, s.buf)
		s.buf = bigger
	}
	for range 100 { // as bufio does with readers that give nothing
		n, err := s.r.Read(s.buf[s.end:])
		if s.offset == 0 {
			if reason := foreign(s.buf[:s.end+n]); reason != "" {
				return &Error{Name: s.name, Reason: reason}
			}
		}
		if i := bytes.IndexByte(s.buf[s.end:s.end+n], 0); i >= 0 {
			at := s.offset + int64(s.end+i)
			return &Error{Name: s.name, Reason: fmt.Sprintf("is not text: it holds a NUL byte at offset %d", at)}
		}
		s.end += n
		if err == io.EOF {
			s.eof = true
			return nil
		}
		if err != nil || n > 0 {
			return err
		}
	}
	return fmt.Errorf("read %s: %w", s.name, io.ErrNoProgress)
}

// nextLine cuts the next line, without its end. It is valid until the call
// after.
func (s *splitter) nextLine() ([]byte, error) {
	for from := 0; ; {
		i := bytes.IndexByte(s.buf[s.start+from:s.end], '\n')
		if i < 0 {
			from = s.end - s.start
		}
		if from+max(i, 0) > s.maxRecord+2 {
			return nil, &Error{Name: s.name, Line: s.lines + 1, Reason: fmt.Sprintf("the line is longer than %d bytes", s.maxRecord)}
		}
		if i < 0 && !s.eof {
			if err := s.fill(); err != nil {
				return nil, err
			}
			continue
		}
		line := s.buf[s.start : s.start+from+max(i, 0)]
		if i < 0 && len(line) == 0 {
			return nil, io.EOF
		}
		s.start += len(line) + min(1, i+1)
		s.lines++
		s.line = s.lines
		return line, nil
	}
}

// next cuts the next record, without its line end, and its fields. It is valid
// until the call after. A blank line is a record with no field.
func (s *splitter) next() (fields [][]byte, err error) {
	var (
		q     quoting
		begin = s.lines + 1
		from  = 0 // relative to start: what is searched already
	)
	for {
		i := bytes.IndexByte(s.buf[s.start+from:s.end], '\n')
		to := s.end
		if i >= 0 {
			to = s.start + from + i + 1
		}
		if to-s.start > s.maxRecord+2 {
			what := "the line is longer than %d bytes"
			if q.seen {
				what = "the record is longer than %d bytes; is a quote left open?"
			}
			return nil, &Error{Name: s.name, Line: begin, Reason: fmt.Sprintf(what, s.maxRecord)}
		}
		if !s.bare {
			q.advance(s.buf[s.start+from : to])
		}
		from = to - s.start
		switch {
		case i >= 0:
			s.lines++
			if q.state == quoted {
				continue
			}
		case !s.eof:
			if err := s.fill(); err != nil {
				return nil, err
			}
			continue
		case from == 0:
			return nil, io.EOF
		default:
			s.lines++
		}
		break
	}
	record := s.buf[s.start : s.start+from]
	s.start += from
	s.line = begin
	if q.state == quoted || q.odd {
		s.quotes++
	}
	if n := len(record); n > 0 && record[n-1] == '\n' {
		record = record[:n-1]
	}
	if n := len(record); n > 0 && record[n-1] == '\r' {
		record = record[:n-1]
	}
	s.fields = s.fields[:0]
	if len(trim(record)) == 0 {
		return s.fields, nil
	}
	if q.seen {
		s.splitQuoted(record)
	} else {
		s.split(record)
	}
	return s.fields, nil
}

// split cuts a record without quotes.
func (s *splitter) split(record []byte) {
	from := 0
	for i, b := range record {
		if b == ',' {
			s.fields = append(s.fields, trim(record[from:i]))
			from = i + 1
		}
	}
	s.fields = append(s.fields, trim(record[from:]))
}

// splitQuoted cuts a record with quotes, and takes them away where it stands.
func (s *splitter) splitQuoted(record []byte) {
	var q quoting
	to, from := 0, 0 // the field so far is record[from:to]
	for _, b := range record {
		was := q.state
		q.step(b)
		switch {
		case b == ',' && q.state == fieldStart:
			s.fields = append(s.fields, trim(record[from:to]))
			from = to
			continue
		case b == '"' && (was == fieldStart || was == quoted): // opens, or may close
			continue
		}
		record[to] = b
		to++
	}
	s.fields = append(s.fields, trim(record[from:to]))
}

// trim drops the spaces around a field.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// quoting follows the quotes of one record.
type quoting struct {
	state quoteState
	seen  bool // a quote
	odd   bool // a quote, or text, where RFC 4180 has none
}

type quoteState uint8

const (
	fieldStart quoteState = iota
	plain
	quoted
	closed // behind a quote in a quoted field: its end, or the first of two
)

// advance follows the bytes of a part that ends at a line end or the buffer's, from
// one quote to the next.
func (q *quoting) advance(part []byte) {
	for len(part) > 0 {
		if q.state == closed {
			q.step(part[0])
			part = part[1:]
			continue
		}
		at := bytes.IndexByte(part, '"')
		before := part
		if at >= 0 {
			before, part = part[:at], part[at+1:]
		}
		if q.state != quoted {
			// All that matters is whether a field begins behind them.
			comma := bytes.LastIndexByte(before, ',')
			if comma >= 0 {
				q.state = fieldStart
			}
			if len(bytes.Trim(before[comma+1:], " \t")) > 0 {
				q.state = plain
			}
		}
		if at < 0 {
			return
		}
		q.step('"')
	}
}

func (q *quoting) step(b byte) {
	switch {
	case b == '"':
		q.seen = true
		switch q.state {
		case fieldStart, closed:
			q.state = quoted
		case quoted:
			q.state = closed
		case plain:
			q.odd = true
		}
	case q.state == quoted:
	case b == ',':
		q.state = fieldStart
	case q.state == closed:
		if b != '\r' && b != '\n' && b != ' ' && b != '\t' {
			q.odd = true
			q.state = plain
		}
	case q.state == fieldStart && (b == ' ' || b == '\t'):
		// spaces before a quote are dropped
	default:
		q.state = plain
	}
}
