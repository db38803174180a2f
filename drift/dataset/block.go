package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
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
	odd    *Panic // that ended the finding of its fields
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
		d.skipped()
	}
}

// findPlain finds the fields of records of CSV by what parts them. Where a record has
// quotes that are not just around fields, it is taken apart as by Read.
func (d *Reader) findPlain(b *block) error {
	var (
		s      = d.split
		text   = b.text
		fields = b.fields
		room   = b.room
		last   = (len(d.names) - 1) * room // from where a row's first field goes to its last one
		row    = 0
		record = 0        // where it begins
		from   = 0        // where its field begins
		at     = 0        // where that goes
		quoted = -1       // where the quote behind its field is
		inside = int64(0) // lines that ended between quotes of the record
	)
	d.separators, b.ascii = separators(d.separators[:0], text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		d.separators = append(d.separators, uint32(len(text)))
	}
	for k := 0; k < len(d.separators); k++ {
		i, is := int(d.separators[k]), byte('\n')
		if i < len(text) {
			is = text[i]
		}
		switch is {
		case ',':
			to := i
			if quoted >= 0 {
				to, quoted = quoted, -1
			}
			if at < len(fields) {
				fields[at] = span{uint32(from), uint32(to)}
			}
			at += room
			from = i + 1
		case '\n':
			if min(i+1, len(text))-record > s.maxRecord+2 {
				return &Error{Name: s.name, Line: s.lines + 1, Reason: fmt.Sprintf("the line is longer than %d bytes", s.maxRecord)}
			}
			s.lines += 1 + inside
			inside = 0
			to := i
			if quoted >= 0 {
				to, quoted = quoted, -1
			}
			switch {
			case at == row && len(trim(text[record:i])) == 0:
				d.counts.Blank++
			case at == row+last:
				fields[at] = span{uint32(from), uint32(to)}
				row++
			default:
				d.counts.Ragged++
			}
			record, from, at = i+1, i+1, row
		case '"':
			if i == from {
				if behind, lines := closing(text, d.separators[k+1:]); behind > 0 {
					k += behind
					from, quoted = i+1, int(d.separators[k])
					inside += lines
					continue
				}
			}
			s.start, b.rows = record, row
			odd, err := s.next()
			if err != nil {
				return err
			}
			d.found(b, odd)
			row = b.rows
			record, from, at, quoted, inside = s.start, s.start, row, -1, 0
			for k+1 < len(d.separators) && int(d.separators[k+1]) < record {
				k++
			}
		}
	}
	b.rows = row
	return nil
}

// closing finds the next quote, and says how many separators on it is, and how many
// lines end before it; or 0 where it is not followed by the end of the field.
func closing(text []byte, separators []uint32) (behind int, lines int64) {
	for n, at := range separators {
		switch {
		case int(at) >= len(text):
			return 0, 0
		case text[at] == '\n':
			lines++
		case text[at] == '"':
			rest := text[at+1:]
			if len(rest) == 0 || rest[0] == ',' || rest[0] == '\n' || rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n' {
				return n + 1, lines
			}
			return 0, 0
		}
	}
	return 0, 0
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// separators appends where text has bytes below '-': all that parts fields and
// records is there, and little else.
func separators(at []uint32, text []byte) (_ []uint32, ascii bool) {
	var all, found, any uint64
	for base := 0; base < len(text); base += 64 {
		if chunk := text[base:]; len(chunk) >= 64 {
			found, any = below((*[64]byte)(chunk))
		} else {
			last := [64]byte(bytes.Repeat([]byte{'x'}, 64))
			copy(last[:], chunk)
			found, any = below(&last)
		}
		all |= any
		at = slices.Grow(at, 64)
		to := (*[64]uint32)(at[len(at):cap(at)])
		n := uint(0)
		for ; found != 0; found &= found - 1 {
			to[n%64] = uint32(base + bits.TrailingZeros64(found))
			n++
		}
		at = at[:len(at)+int(n)]
	}
	return at, all&highBits == 0
}

// below has a bit for each byte below '-', and in any the bits of all bytes. It is a
// function of its own for it to have all registers.
//
//go:noinline
func below(chunk *[64]byte) (found, any uint64) {
	x0, x1 := binary.LittleEndian.Uint64(chunk[0:]), binary.LittleEndian.Uint64(chunk[8:])
	x2, x3 := binary.LittleEndian.Uint64(chunk[16:]), binary.LittleEndian.Uint64(chunk[24:])
	x4, x5 := binary.LittleEndian.Uint64(chunk[32:]), binary.LittleEndian.Uint64(chunk[40:])
	x6, x7 := binary.LittleEndian.Uint64(chunk[48:]), binary.LittleEndian.Uint64(chunk[56:])
	if any = x0 | x1 | x2 | x3 | x4 | x5 | x6 | x7; any&highBits == 0 {
		const to = (0x80 - '-') * eachByte // no byte is carried over
		found = (x0+to)&highBits>>7 | (x1+to)&highBits>>6 | (x2+to)&highBits>>5 | (x3+to)&highBits>>4 |
			(x4+to)&highBits>>3 | (x5+to)&highBits>>2 | (x6+to)&highBits>>1 | (x7+to)&highBits
	} else {
		for i := range 8 {
			x := binary.LittleEndian.Uint64(chunk[8*i:])
			found = found>>1 | (x&^highBits+(0x80-'-')*eachByte|x)&highBits
		}
	}
	// Bit i of byte k is for byte k of word i. It is the other way round that they are
	// in order (Warren: Hacker's Delight, 7-3).
	x := ^found
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28, any
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
