package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf8"
)

// blockSize is how much text is looked through at a time.
const blockSize = 256 << 10

// A block is text that holds whole records, and where the fields of its rows lie.
type block struct {
	text  []byte
	lines int64 // that ended before it
	found chan struct{}

	rows   int
	room   int    // rows that fields has room for
	fields []span // column after column
	ascii  bool   // so is all of the text
	counts Counts
	err    error
}

// A span is where a field lies in its block. A missing value may be an empty one.
type span struct{ from, to uint32 }

// column is where the fields of a column lie, row after row.
func (b *block) column(i int) []span { return b.fields[i*b.room:][:b.rows] }

// blockFields bounds the fields of a block of JSON, whose lines need not name them.
const blockFields = 1 << 19

// mostLines is how many lines a block may have where each is a row, or 0.
func (d *Reader) mostLines() int {
	if d.json == nil {
		return 0
	}
	return max(1, blockFields/len(d.names))
}

// finder is a reader that finds the fields of blocks.
func (d *Reader) finder() *Reader {
	f := &Reader{opt: d.opt, name: d.name, names: d.names, split: &splitter{}}
	if d.json != nil {
		f.json = &jsonLines{lines: f.split, index: d.json.index, names: d.json.names, fields: make([][]byte, len(d.names))}
	}
	return f
}

// find finds the fields of a block.
func (d *Reader) find(b *block) error {
	s := d.split
	*s = splitter{name: d.name, maxRecord: d.opt.MaxRecord, buf: b.text, end: len(b.text), eof: true, lines: b.lines, fields: s.fields}
	b.room = bytes.Count(b.text, []byte{'\n'}) + 1
	if d.json == nil {
		b.room = min(b.room, len(b.text)/len(d.names)+1) // a row has as many commas, but one, and an end
	}
	if n := b.room * len(d.names); cap(b.fields) < n {
		b.fields = make([]span, n)
	} else {
		b.fields = b.fields[:n]
	}
	b.rows, d.counts = 0, Counts{}
	var err error
	if d.json != nil {
		d.json.skip = 0
		err = d.findEach(b)
		b.ascii = isASCII(b.text)
	} else {
		err = d.findPlain(b)
	}
	b.counts = d.counts
	b.counts.Rows, b.counts.Quotes = int64(b.rows), s.quotes
	if d.json != nil {
		b.counts.Members = d.json.skip
	}
	return err
}

// findEach finds the fields of what is left, one record after the other.
func (d *Reader) findEach(b *block) error {
	for {
		fields, err := d.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		d.found(b, fields)
	}
}

// found adds the fields of a record, which lie in the text.
func (d *Reader) found(b *block, fields [][]byte) {
	switch len(fields) {
	case len(d.names):
		for i, f := range fields {
			at := span{}
			if f != nil {
				from := uint32(cap(b.text) - cap(f)) // both end where their array does
				at = span{from, from + uint32(len(f))}
			}
			b.fields[i*b.room+b.rows] = at
		}
		b.rows++
	case 0:
		d.counts.Blank++
	default:
		d.counts.Ragged++
	}
}

// findPlain finds the fields of records of CSV, 64 bytes at a time; where one has a
// quote it is taken apart as by Read.
func (d *Reader) findPlain(b *block) error {
	var (
		text   = b.text
		s      = d.split
		fields = b.fields
		room   = b.room
		last   = (len(d.names) - 1) * room // from where a row's first field goes to its last one
		row    = 0
		record = 0 // where it begins
		from   = 0 // where its field begins
		at     = 0 // where that goes
		all    = uint64(0)
		tail   [64]byte
	)
	for base := 0; record < len(text); base += 64 {
		chunk := text[base:]
		if len(chunk) < 64 {
			n := copy(tail[:], chunk)
			for i := range tail[n:] {
				tail[n+i] = '\n' // the first may be needed
			}
			chunk = tail[:]
		}
		separators, bytes := separate((*[64]byte)(chunk))
		all |= bytes
	search:
		for ; separators != 0; separators &= separators - 1 {
			n := bits.TrailingZeros64(separators)
			i := base + n
			switch chunk[n] {
			case ',':
				if at < len(fields) {
					fields[at] = span{uint32(from), uint32(i)}
				}
				at += room
				from = i + 1
			case '\n':
				if min(i+1, len(text))-record > s.maxRecord+2 {
					return &Error{Name: s.name, Line: s.lines + 1, Reason: fmt.Sprintf("the line is longer than %d bytes", s.maxRecord)}
				}
				s.lines++
				switch {
				case at == row && len(trim(text[record:i])) == 0:
					d.counts.Blank++
				case at == row+last:
					fields[at] = span{uint32(from), uint32(i)}
					row++
				default:
					d.counts.Ragged++
				}
				record, from, at = i+1, i+1, row
				if record >= len(text) {
					break search
				}
			case '"':
				s.start, b.rows = record, row
				quoted, err := s.next()
				if err != nil {
					return err
				}
				d.found(b, quoted)
				row = b.rows
				if !isASCII(text[record:s.start]) {
					all |= highBits
				}
				record, from, at = s.start, s.start, row
				base = record - 64
				break search
			}
		}
	}
	b.rows, b.ascii = row, all&highBits == 0
	return nil
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// separate has a bit for each byte below '-': all that fields and records are
// parted by are, and little else is. In any are the bits of all bytes.
func separate(chunk *[64]byte) (separators, any uint64) {
	for i := range 8 {
		x := binary.LittleEndian.Uint64(chunk[8*i:])
		any |= x
		low := ^(x&^highBits + (0x80-'-')*eachByte | x) & highBits
		separators |= low >> 7 * 0x0102040810204080 >> 56 << (8 * i) // the eight bits side by side
	}
	return separators, any
}

// isASCII reports whether no byte is beyond ASCII.
func isASCII(text []byte) bool {
	for ; len(text) >= 8; text = text[8:] {
		if binary.LittleEndian.Uint64(text)&highBits != 0 {
			return false
		}
	}
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
