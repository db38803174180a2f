package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// parquetFile gives the rows of a Parquet file, one row group after the other.
// Members of groups are columns, named with a point between; lists and maps are
// text, as JSON writes them.
type parquetFile struct {
	name    string
	file    *parquet.File
	source  source
	from    io.ReaderAt // source, or what was unpacked of it
	columns []parquetColumn
	groups  []parquet.RowGroup // not begun yet
	left    int64              // rows of the group that was begun
	size    int64
	values  []parquet.Value
}

// A parquetColumn is a leaf of the schema, or what several make together, and where its
// reading has come.
type parquetColumn struct {
	leaf  parquet.LeafColumn
	many  *nested // of a list or a map
	type_ Type    // that the file says it has; Empty for text, of which a date may be made
	scale float64 // of a decimal; 1 otherwise
	kind  special
	tick  time.Duration
	guard pageGuard
	pages parquet.Pages
	page  parquet.Page
	rest  parquet.ValueReader // of page
}

// A special is what bytes stand for that are not as they look.
type special uint8

const (
	plainKind special = iota
	unsigned          // an integer of which the highest bit is no sign
	half              // a float of 16 bits
	uuid
)

// parquetKind is what is special about a leaf of the schema. That of Float16 is with
// the element alone: the library knows no such type.
func parquetKind(node parquet.Node, element *format.SchemaElement) special {
	if l := node.Type().LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.IntType:
			if !l.IsSigned {
				return unsigned
			}
		case *format.UUIDType:
			return uuid
		}
	}
	if l := node.Type().ConvertedType(); l != nil { // of older writers
		switch *l {
		case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
			return unsigned
		}
	}
	if _, ok := element.LogicalType.Value.(*format.Float16Type); ok && node.Type().Kind() == parquet.FixedLenByteArray && node.Type().Length() == 2 {
		return half
	}
	return plainKind
}

// random is what a Parquet file is read from.
type random interface {
	io.ReaderAt
	Size() (int64, error)
}

// openParquet reads the schema. What cannot be read in any order is kept in a
// file that is gone with it.
func openParquet(r io.Reader, u *unpacker, opt Options) (p *parquetFile, names []string, err error) {
	p = &parquetFile{name: u.name}
	defer p.damaged(&err)
	for {
		under, ok := r.(interface{ Under() io.Reader })
		if !ok {
			break
		}
		r = under.Under()
	}
	at, _ := r.(random)
	if f, ok := r.(*os.File); ok {
		at = file{f}
	}
	if at == nil || u.packed {
		if at, err = spool(u); err != nil {
			return nil, nil, err
		}
	}
	if p.size, err = at.Size(); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", u.name, err)
	}
	if p.size == 0 {
		return nil, nil, &Error{Name: u.name, Reason: "is empty: want a Parquet file"}
	}
	var ends [8]byte
	if p.size >= 12 {
		at.ReadAt(ends[:4], 0) // what cannot be read is no Parquet
		at.ReadAt(ends[4:], p.size-4)
	}
	if string(ends[:]) != "PAR1PAR1" {
		return nil, nil, &Error{Name: u.name, Reason: `is no Parquet file: want "PAR1" at its beginning and its end`}
	}
	p.source.random = at
	at = &p.source
	open := func(at random) (*parquet.File, error) {
		size, err := at.Size()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", u.name, err)
		}
		f, err := parquet.OpenFile(at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return nil, &Error{Name: u.name, Reason: "is no Parquet file that can be read: " + err.Error(), Err: err}
		}
		return f, nil
	}
	if p.file, err = open(at); err != nil {
		return nil, nil, err
	}
	if unpacked, err := withoutLZ4(p.file, at, u.name); err != nil {
		return nil, nil, err
	} else if unpacked != at {
		at = unpacked
		if p.file, err = open(at); err != nil {
			return nil, nil, err
		}
	}
	p.from = at
	p.groups = p.file.RowGroups()
	schema := p.file.Schema()
	leaves := slices.Clone(p.file.Metadata().Schema)
	leaves = slices.DeleteFunc(leaves, func(e format.SchemaElement) bool { return !e.Type.Valid })
	for _, path := range schema.Columns() {
		leaf, ok := schema.Lookup(path...)
		if !ok {
			continue
		}
		c := parquetColumn{leaf: leaf}
		c.type_, c.scale = parquetType(leaf.Node)
		if c.kind = parquetKind(leaf.Node, &leaves[leaf.ColumnIndex]); c.kind == half {
			c.type_ = Numeric
		}
		c.tick = parquetTick(leaf.Node)
		if leaf.MaxRepetitionLevel > 0 {
			one := c
			var node parquet.Node
			var level int
			path, node, level = repeats(schema, path)
			if last := len(p.columns) - 1; last >= 0 && p.columns[last].many != nil && slices.Equal(p.columns[last].leaf.Path, path) {
				many := p.columns[last].many
				many.leaves = append(many.leaves, nestedLeaf{parquetColumn: one})
				continue
			}
			c = parquetColumn{leaf: leaf, type_: Empty, scale: 1}
			c.leaf.Path = path
			c.many = &nested{node: node, level: level, most: opt.MaxRecord, leaves: []nestedLeaf{{parquetColumn: one}}}
		}
		p.columns = append(p.columns, c)
		names = append(names, strings.ToValidUTF8(strings.Join(path, "."), "\ufffd"))
	}
	switch {
	case len(names) == 0:
		return nil, nil, &Error{Name: u.name, Reason: "has no columns"}
	case len(names) > opt.MaxColumns:
		return nil, nil, &Error{Name: u.name, Reason: fmt.Sprintf("%d columns are more than the limit of %d", len(names), opt.MaxColumns)}
	}
	return p, names, nil
}

// parquetType is what a column's values are, by the file.
func parquetType(node parquet.Node) (Type, float64) {
	scale := 1.0
	if l := node.Type().LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.TimestampType, *format.DateType, *format.TimeType:
			return Timestamp, scale
		case *format.DecimalType:
			return Numeric, math.Pow10(-int(l.Scale))
		}
	}
	if l := node.Type().ConvertedType(); l != nil { // of older writers
		switch *l {
		case deprecated.TimestampMillis, deprecated.TimestampMicros, deprecated.Date, deprecated.TimeMillis, deprecated.TimeMicros:
			return Timestamp, scale
		}
	}
	switch node.Type().Kind() {
	case parquet.Boolean:
		return Categorical, scale
	case parquet.Int96:
		return Timestamp, scale
	case parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
		return Numeric, scale
	}
	return Empty, scale
}

// damaged makes an error of a panic: files come from anywhere. Where the source
// itself failed, that is the error.
func (p *parquetFile) damaged(err *error) {
	if r := recover(); r != nil {
		*err = &Error{Name: p.name, Reason: fmt.Sprintf("is damaged: %v", r)}
	}
	if failed := p.source.failed(); failed != nil {
		*err = fmt.Errorf("read %s: %w", p.name, failed)
	}
}

// source remembers what went wrong with the reading itself.
type source struct {
	random

	mu  sync.Mutex
	err error // guarded by mu
}

func (s *source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *source) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, errors.New("an offset is before the file's beginning")
	}
	n, err := s.random.ReadAt(b, at)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

// read fills a batch of at most rows rows, whose columns have their types, and
// gives the text that is under it.
func (p *parquetFile) read(b *Batch, rows int, arena []byte) (_ []byte, err error) {
	defer p.damaged(&err)
	for p.left == 0 {
		if len(p.groups) == 0 {
			return arena, io.EOF
		}
		group := p.groups[0]
		p.groups, p.left = p.groups[1:], group.NumRows()
		for i := range p.columns {
			c := &p.columns[i]
			c.open(p, len(p.file.RowGroups())-len(p.groups)-1)
		}
	}
	n := int(min(p.left, int64(rows)))
	if cap(p.values) < n {
		p.values = make([]parquet.Value, n)
	}
	for i := range p.columns {
		values := p.values[:n]
		if many := p.columns[i].many; many != nil {
			if arena, err = many.add(&b.Columns[i], n, arena); err != nil {
				return arena, p.columns[i].fault(p.name, err)
			}
			continue
		}
		if err := p.columns[i].fill(values); err != nil {
			return arena, p.columns[i].fault(p.name, err)
		}
		arena = p.columns[i].add(&b.Columns[i], values, arena)
	}
	p.left -= int64(n)
	b.Rows = n
	return arena, nil
}

// fill reads the next values of a column: one a row, as there are no lists.
func (c *parquetColumn) fill(values []parquet.Value) error {
	for len(values) > 0 {
		if c.rest == nil {
			page, err := c.next()
			if err != nil {
				return err
			}
			c.page, c.rest = page, page.Values()
		}
		n, err := c.rest.ReadValues(values)
		for i := range values[:n] {
			if k := values[i].Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
				values[i] = values[i].Clone() // the page may go
			}
		}
		values = values[n:]
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF || n == 0 {
			parquet.Release(c.page)
			c.page, c.rest = nil, nil
		}
	}
	return nil
}

// open begins with the column's pages in a row group.
func (c *parquetColumn) open(p *parquetFile, group int) {
	if c.many != nil {
		c.many.open(p, group)
		return
	}
	c.close()
	c.pages = p.file.RowGroups()[group].ColumnChunks()[c.leaf.ColumnIndex].Pages()
	c.guard = guardPages(p.from, &p.file.Metadata().RowGroups[group].Columns[c.leaf.ColumnIndex].MetaData)
}

// next reads the next page. That there is none is an error.
func (c *parquetColumn) next() (parquet.Page, error) {
	if err := c.guard.next(); err != nil {
		return nil, err
	}
	page, err := c.pages.ReadPage()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return page, err
}

// fault is the error of a file for what is wrong with a column of it.
func (c *parquetColumn) fault(file string, err error) error {
	what := "is damaged"
	if errors.Is(err, ErrTooLarge) {
		what = "is too large"
	}
	return &Error{Name: file, Reason: fmt.Sprintf("%s in column %q: %v", what, strings.Join(c.leaf.Path, "."), err), Err: err}
}

func (c *parquetColumn) close() {
	if c.many != nil {
		c.many.close()
	}
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		c.pages.Close()
	}
	c.page, c.rest, c.pages = nil, nil, nil
}

// add adds values to a column of a batch, which may be wanted as another type
// than they have.
func (c *parquetColumn) add(to *Values, values []parquet.Value, arena []byte) []byte {
	for _, v := range values {
		if to.Type == Numeric {
			switch x, ok := c.float(v); {
			case v.IsNull():
				to.number(nil)
			case ok:
				to.float(x)
			default:
				to.number(trim(v.Bytes()))
			}
			continue
		}
		from := len(arena)
		if !v.IsNull() {
			if at, ok := c.at(v); ok && to.Type == Timestamp {
				arena = at.AppendFormat(arena, time.RFC3339Nano) // which is quick, but for its Z
				arena = arena[:len(arena)-1]
			} else {
				arena = c.text(v, arena)
			}
		}
		text := trim(arena[from:])
		if missing(text) {
			to.Missing++
			to.Text = append(to.Text, nil)
			continue
		}
		if to.Type == Categorical {
			text = category(text)
		}
		to.Text = append(to.Text, text[:len(text):len(text)])
	}
	return arena
}

// float is a value as a number, if the file has it as one.
func (c *parquetColumn) float(v parquet.Value) (float64, bool) {
	switch v.Kind() {
	case parquet.Int32:
		return c.ofInt32(v.Int32()), true
	case parquet.Int64:
		return c.ofInt64(v.Int64()), true
	case parquet.Float:
		return float64(v.Float()), true
	case parquet.Double:
		return v.Double(), true
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if c.type_ != Numeric {
			return 0, false
		}
		if c.kind == half {
			return ofHalf(v.ByteArray()), true
		}
		x := 0.0 // a decimal, in two's complement, the highest byte first
		for i, b := range v.ByteArray() {
			if i == 0 {
				x = float64(int8(b))
			} else {
				x = x*256 + float64(b)
			}
		}
		return x * c.scale, true
	}
	return 0, false
}

func (c *parquetColumn) ofInt32(v int32) float64 {
	if c.kind == unsigned {
		return float64(uint32(v))
	}
	return float64(v) * c.scale
}

func (c *parquetColumn) ofInt64(v int64) float64 {
	if c.kind == unsigned {
		return float64(uint64(v))
	}
	return float64(v) * c.scale
}

// ofHalf is a float of 16 bits (IEEE 754 binary16), the lower byte first.
func ofHalf(b []byte) float64 {
	bits := binary.LittleEndian.Uint16(b)
	exponent, fraction := int(bits>>10)&31, float64(bits&1023)
	var v float64
	switch {
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	case exponent < 31:
		v = math.Ldexp(1024+fraction, exponent-25)
	case fraction == 0:
		v = math.Inf(1)
	default:
		return math.NaN()
	}
	if bits>>15 == 1 {
		v = -v
	}
	return v
}

// text appends a value as text.
func (c *parquetColumn) text(v parquet.Value, arena []byte) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(arena, v.Boolean())
	case parquet.Int96:
		return append(arena, deprecated.Int96(v.Int96()).String()...)
	case parquet.Int32:
		switch {
		case c.kind == unsigned:
			return strconv.AppendUint(arena, uint64(uint32(v.Int32())), 10)
		case c.scale == 1:
			return strconv.AppendInt(arena, int64(v.Int32()), 10)
		}
	case parquet.Int64:
		switch {
		case c.kind == unsigned:
			return strconv.AppendUint(arena, uint64(v.Int64()), 10)
		case c.scale == 1:
			return strconv.AppendInt(arena, v.Int64(), 10)
		}
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if b := v.ByteArray(); c.kind == uuid && len(b) == 16 {
			return fmt.Appendf(arena, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
		if c.type_ != Numeric {
			if b := v.ByteArray(); utf8.Valid(b) {
				return append(arena, b...)
			}
			return append(arena, strings.ToValidUTF8(string(v.ByteArray()), "\ufffd")...)
		}
	}
	x, _ := c.float(v)
	return strconv.AppendFloat(arena, x, 'g', -1, 64)
}

// file is an open file as random wants it.
type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// spool copies what can only be read from end to end into a file that has no
// name any more.
func spool(r io.Reader) (random, error) {
	f, err := os.CreateTemp("", "anneal-parquet-")
	if err != nil {
		return nil, fmt.Errorf("make room for a Parquet file: %w", err)
	}
	os.Remove(f.Name())
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return nil, err
	}
	return file{f}, nil
}
