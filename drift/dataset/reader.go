package dataset

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options say how to read an object. The zero value is the default.
type Options struct {
	// Format is one of [Formats], or empty: then the name's extension says it,
	// and csv is the rule.
	Format string
	// Columns are the types of columns by name, as people give them. Names that the
	// object does not have are no error.
	Columns map[string]Type
	// Found are the types that other data were found to have, where these are to be
	// read alike. Columns go before; the rest is inferred.
	Found map[string]Type
	// Only names the columns that are wanted, where not all are: EachColumn passes
	// over the others, for speed, and they are not in [Counts.NotUTF8].
	Only []string

	MaxRecord  int   // bytes of one record; 1 MiB
	MaxColumns int   // 10,000
	MaxBytes   int64 // of the whole object, unpacked; 1 TiB
	MaxRatio   int64 // of unpacked to packed bytes, beyond the first 64 MiB; 500
}

func (o Options) withDefaults() Options {
	if o.MaxRecord == 0 {
		o.MaxRecord = 1 << 20
	}
	if o.MaxColumns == 0 {
		o.MaxColumns = 10_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 40
	}
	if o.MaxRatio == 0 {
		o.MaxRatio = 500
	}
	return o
}

// Counts are what a reader has met so far.
type Counts struct {
	Rows    int64 `json:"rows"`    // given
	Ragged  int64 `json:"ragged"`  // rows skipped: not as many fields as the header, or no JSON object
	Blank   int64 `json:"blank"`   // lines skipped
	Quotes  int64 `json:"quotes"`  // records with a quote out of place, kept
	NotUTF8 int64 `json:"notUtf8"` // fields with bytes replaced
	Bytes   int64 `json:"bytes"`   // unpacked
	// NoObjects are those of Ragged that are lines of JSON Lines.
	NoObjects int64 `json:"noObjects,omitempty"`
	// Members are those of JSON objects that no column is made of: they came
	// after the first rows.
	Members int64 `json:"members,omitempty"`
}

// Add adds what another reader met.
func (c *Counts) Add(o Counts) {
	c.Rows += o.Rows
	c.Ragged += o.Ragged
	c.NoObjects += o.NoObjects
	c.Blank += o.Blank
	c.Quotes += o.Quotes
	c.NotUTF8 += o.NotUTF8
	c.Bytes += o.Bytes
	c.Members += o.Members
}

// Skipped says why rows were, if any were.
func (c Counts) Skipped() string {
	const ragged, no = "more or fewer fields than the header", "no JSON object"
	switch c.NoObjects {
	case 0:
		return ragged
	case c.Ragged:
		return no
	}
	return ragged + ", or " + no
}

// Check is the error of an object of which no row can be used, as all were skipped.
func (c Counts) Check(name string) error {
	if c.Rows > 0 || c.Ragged == 0 {
		return nil
	}
	none := "has as many fields as the header"
	if c.NoObjects > 0 {
		none = "is a JSON object"
	}
	return &Error{Name: name, Reason: fmt.Sprintf("has no row that can be used: none of %d %s", c.Ragged, none)}
}

// A Batch is some rows of an object, column by column.
type Batch struct {
	Rows    int
	Columns []Values // in the order of the header
}

// Values are the values of one column in a batch, row by row.
type Values struct {
	Type    Type
	Numbers []float64 // of a Numeric column; NaN where a value is missing or mixed
	Text    [][]byte  // of any other; nil where a value is missing

	Missing  int
	Infinite int    // Numeric: among Numbers
	Mixed    int    // Numeric: neither missing nor a number
	Odd      string // Numeric: the first that is mixed, cut to 40 bytes

	given   bool  // Type is of [Options.Columns]
	notUTF8 int64 // texts with bytes replaced, so far
}

// A Reader gives the rows of one object in batches. It is not for concurrent
// use.
type Reader struct {
	opt    Options
	name   string
	unpack *unpacker
	split  *splitter
	json   *jsonLines   // of JSON Lines
	table  *parquetFile // of Parquet
	names  []string
	types  []Type // Empty: to be inferred
	given  []bool // types are of [Options.Columns]
	counts Counts
	wanted []bool // nil: all; see Options.Only
	rows   int    // of a full batch

	// The batch being filled and the one given before it, in turn.
	batches [2]Batch
	arenas  [2][]byte // under their Text
	turn    int

	separators []uint32 // of a block; see findPlain
}

// mostOdd is how many bytes of a value that is no number are kept for people to see.
const mostOdd = 40

// arenaLimit is how much text ends a batch before it is full.
const arenaLimit = 1 << 20

// Open reads the header of an object called name.
func Open(r io.Reader, name string, opt Options) (*Reader, error) {
	d := &Reader{opt: opt.withDefaults(), name: name}
	format, err := d.format()
	if err != nil {
		return nil, err
	}
	if d.unpack, err = unpack(r, name, d.opt); err != nil {
		return nil, err
	}
	switch format {
	case Parquet:
		d.table, d.names, err = openParquet(r, d.unpack, d.opt)
	case JSONLines:
		d.split = newSplitter(d.unpack, name, d.opt.MaxRecord)
		d.json = &jsonLines{lines: d.split}
		d.names, err = d.json.open(d.opt)
	default:
		d.split = newSplitter(d.unpack, name, d.opt.MaxRecord)
		err = d.header()
	}
	if err != nil {
		return nil, err
	}
	d.types, d.given = make([]Type, len(d.names)), make([]bool, len(d.names))
	for i, n := range d.names {
		d.types[i] = Empty
		if d.table != nil {
			d.types[i] = d.table.columns[i].type_
		}
		if t, ok := d.opt.Found[n]; ok {
			d.types[i] = t.Read()
		}
		if t, ok := d.opt.Columns[n]; ok {
			d.types[i], d.given[i] = t.Read(), true
		}
	}
	d.pick()
	d.rows = min(1024, max(64, 1<<17/len(d.names)))
	for i := range d.batches {
		d.batches[i].Columns = make([]Values, len(d.names))
	}
	return d, nil
}

// The formats.
const (
	CSV       = "csv"
	JSONLines = "jsonl"
	Parquet   = "parquet"
)

// Formats are those that can be read.
func Formats() []string { return []string{CSV, JSONLines, Parquet} }

// format is that of the object.
func (d *Reader) format() (string, error) {
	format := d.opt.Format
	if format == "" {
		switch ext := path.Ext(withoutPacking(d.name)); ext {
		case ".jsonl", ".ndjson":
			format = JSONLines
		case ".parquet", ".parq", ".pq":
			format = Parquet
		case ".json", ".zip", ".xlsx", ".avro", ".orc":
			format = ext[1:]
		default:
			format = CSV
		}
	}
	if !slices.Contains(Formats(), format) {
		return "", &Error{Name: d.name, Reason: fmt.Sprintf("is of format %q: want %s, plain, gzip or zstd", format, strings.Join(Formats(), " or "))}
	}
	return format, nil
}

func (d *Reader) header() error {
	s := d.split
	for s.end < len("\ufeff") && !s.eof {
		if err := s.fill(); err != nil {
			return err
		}
	}
	if bytes.HasPrefix(s.buf[:s.end], []byte("\ufeff")) {
		s.start = len("\ufeff")
	}
	var fields [][]byte
	for len(fields) == 0 {
		var err error
		if fields, err = s.next(); err == io.EOF {
			return &Error{Name: d.name, Reason: "is empty: want a header line"}
		} else if err != nil {
			return err
		}
		if len(fields) == 0 {
			d.counts.Blank++
		}
	}
	if len(fields) > d.opt.MaxColumns {
		return &Error{Name: d.name, Line: s.line, Reason: fmt.Sprintf("%d columns are more than the limit of %d", len(fields), d.opt.MaxColumns)}
	}
	seen := make(map[string]bool, len(fields))
	for i, f := range fields {
		name := strings.ToValidUTF8(string(f), "\ufffd")
		if name == "" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		if strings.Contains(name, "\r") {
			return &Error{Name: d.name, Line: s.line, Reason: "lines end in a bare carriage return: want LF or CRLF"}
		}
		if seen[name] {
			return &Error{Name: d.name, Line: s.line, Reason: fmt.Sprintf("two columns are called %q", name)}
		}
		seen[name] = true
		d.names = append(d.names, name)
	}
	if i := strings.IndexAny(d.names[0], ";\t|"); len(d.names) == 1 && i >= 0 {
		return &Error{Name: d.name, Line: s.line, Reason: fmt.Sprintf("fields are separated by %q: want commas", d.names[0][i])}
	}
	return nil
}

// Names are the columns' names, in the order of the header.
func (d *Reader) Names() []string { return d.names }

// Counts are what has been read so far.
func (d *Reader) Counts() Counts {
	c := d.counts
	if d.table != nil {
		c.Bytes = d.table.size
		return c
	}
	c.Quotes += d.split.quotes
	c.Bytes = d.unpack.n
	if d.json != nil {
		c.Members += d.json.skip
	}
	return c
}

// Read gives the next batch, or io.EOF. A batch has up to 1024 rows, and is valid
// until the call after the next, so that it can be worked on meanwhile.
//
// A column whose type was not given takes it from the first batch where it has
// values: Numeric if 95 of 100 of them are numbers, Timestamp if as many are
// dates or times, Categorical otherwise. Until then it is Empty, and missing
// throughout.
func (d *Reader) Read() (*Batch, error) {
	d.turn = 1 - d.turn
	b := &d.batches[d.turn]
	arena := d.arenas[d.turn][:0]
	b.Rows = 0
	for i := range b.Columns {
		c := &b.Columns[i]
		*c = Values{Type: d.types[i], Numbers: c.Numbers[:0], Text: c.Text[:0], given: d.given[i]}
	}
	if d.table != nil {
		var err error
		if arena, err = d.table.read(b, d.rows, arena); err != nil {
			return nil, err
		}
		d.counts.Rows += int64(b.Rows)
	}
	for d.table == nil && b.Rows < d.rows && len(arena) < arenaLimit {
		fields, err := d.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		arena = d.row(b, fields, arena)
	}
	d.arenas[d.turn] = arena
	if b.Rows == 0 {
		return nil, io.EOF
	}
	for i := range b.Columns {
		if d.types[i] == Empty {
			b.Columns[i].infer(d.table != nil)
			d.types[i] = b.Columns[i].Type
		}
	}
	return b, nil
}

// next gives the fields of the next record.
func (d *Reader) next() ([][]byte, error) {
	if d.json != nil {
		return d.json.next()
	}
	return d.split.next()
}

// row adds a record to b, or counts that it is no row.
func (d *Reader) row(b *Batch, fields [][]byte, arena []byte) []byte {
	switch len(fields) {
	case len(d.names):
		return d.add(b, fields, arena)
	case 0:
		d.counts.Blank++
	default:
		d.skipped()
	}
	return arena
}

// skipped counts a row that is none.
func (d *Reader) skipped() {
	d.counts.Ragged++
	if d.json != nil {
		d.counts.NoObjects++
	}
}

// add adds a row to b, its text to arena.
func (d *Reader) add(b *Batch, fields [][]byte, arena []byte) []byte {
	for i, f := range fields {
		c := &b.Columns[i]
		if c.Type == Numeric {
			c.number(f)
			continue
		}
		replaced := c.notUTF8
		f = c.text(f, false)
		d.counts.NotUTF8 += c.notUTF8 - replaced
		if f != nil {
			from := len(arena)
			arena = append(arena, f...)
			f = arena[from:len(arena):len(arena)]
		}
		c.Text = append(c.Text, f)
	}
	b.Rows++
	d.counts.Rows++
	return arena
}

// read takes the values of a column from a block, of the type t, which may be given; of
// Empty, the type is then inferred if there are any. Text stays in the block.
func (c *Values) read(t Type, given bool, b *block, column int) {
	*c = Values{Type: t, Numbers: c.Numbers[:0], Text: c.Text[:0], given: given, notUTF8: c.notUTF8}
	fields := b.column(column)
	if t == Numeric {
		c.Numbers = slices.Grow(c.Numbers, len(fields))
		for len(fields) > 0 {
			done := len(c.Numbers)
			n := decimals(c.Numbers[done:cap(c.Numbers)], b.text, fields)
			c.Numbers = c.Numbers[:done+n]
			if fields = fields[n:]; len(fields) > 0 {
				c.number(trim(b.text[fields[0].from:fields[0].to]))
				fields = fields[1:]
			}
		}
		return
	}
	c.Text = slices.Grow(c.Text, len(fields))
	for _, f := range fields {
		c.Text = append(c.Text, c.text(trim(b.text[f.from:f.to]), b.ascii))
	}
	if t == Empty {
		c.infer(false)
	}
}

// text is what a field stands for: nil where the value is missing.
func (c *Values) text(f []byte, ascii bool) []byte {
	if missing(f) {
		c.Missing++
		return nil
	}
	if !ascii && !utf8.Valid(f) {
		f = bytes.ToValidUTF8(f, []byte("\ufffd"))
		c.notUTF8++
	}
	if c.Type == Categorical {
		f = category(f)
	}
	return f
}

func (c *Values) number(f []byte) {
	if missing(f) {
		c.Missing++
		c.Numbers = append(c.Numbers, math.NaN())
		return
	}
	v, ok := number(f)
	if !ok || !c.given && padded(f) {
		if c.Mixed++; c.Odd == "" {
			c.Odd = strings.ToValidUTF8(string(f[:min(len(f), mostOdd)]), "\ufffd")
		}
		v = math.NaN()
	} else if math.IsInf(v, 0) {
		c.Infinite++
	}
	c.Numbers = append(c.Numbers, v)
}

// float adds a number.
func (c *Values) float(v float64) {
	switch {
	case math.IsNaN(v):
		c.Missing++
	case math.IsInf(v, 0):
		c.Infinite++
	}
	c.Numbers = append(c.Numbers, v)
}

// infer settles the type of an Empty column, if it has values. What a file
// says to be text is no number, whatever it looks like.
func (c *Values) infer(text bool) {
	t := infer(c.Text)
	if text && t == Numeric {
		t = Categorical
	}
	c.become(t)
}

// become makes values of the type t of an Empty column's.
func (c *Values) become(t Type) {
	c.Type = t
	switch t {
	case Numeric:
		c.Missing = 0
		for _, f := range c.Text {
			c.number(f)
		}
		c.Text = c.Text[:0]
	case Categorical:
		for i, f := range c.Text {
			c.Text[i] = category(f)
		}
	}
}

// category is the name of the category that f spells: f itself, but 3.0 is 3.
// A column of integers is written with points as soon as a value is missing,
// by tools that have no missing integers.
func category(f []byte) []byte {
	n := len(f) - len(".0")
	if n <= 0 || f[n] != '.' || f[n+1] != '0' {
		return f
	}
	digits := f[:n]
	for i, b := range digits {
		if (b < '0' || b > '9') && (i > 0 || b != '-' || len(digits) == 1) {
			return f
		}
	}
	return digits
}
