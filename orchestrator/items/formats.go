package items

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// unpacked is what is in an object whose name says that it is gzip.
func unpacked(r io.Reader, uri string) (io.Reader, error) {
	if !strings.HasSuffix(uri, ".gz") {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, wrong("%s is not gzip: %v", uri, err)
	}
	return z, nil
}

// jsonItems are those of an array in JSON.
type jsonItems struct {
	io.Closer
	dec *json.Decoder
}

// openJSON reads as far as the array that the pointer leads to.
func openJSON(c io.Closer, r io.Reader, pointer string) (stream, error) {
	j := &jsonItems{c, json.NewDecoder(bufio.NewReaderSize(r, 64<<10))}
	j.dec.UseNumber()
	if pointer != "" {
		for _, step := range strings.Split(pointer[1:], "/") {
			if err := j.descend(strings.NewReplacer("~1", "/", "~0", "~").Replace(step)); err != nil {
				return nil, err
			}
		}
	}
	t, err := j.dec.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	if t != json.Delim('[') {
		return nil, wrong("Attempting to map over non-iterable node.")
	}
	return j, nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrong("the object is not JSON: it ends too early")
	}
	return wrong("the object is not JSON: %v", err)
}

// descend goes to the member or element that a step of a pointer names.
func (j *jsonItems) descend(step string) error {
	t, err := j.dec.Token()
	if err != nil {
		return notJSON(err)
	}
	for n := 0; (t == json.Delim('{') || t == json.Delim('[')) && j.dec.More(); n++ {
		here := strconv.Itoa(n)
		if t == json.Delim('{') {
			key, err := j.dec.Token()
			if err != nil {
				return notJSON(err)
			}
			here, _ = key.(string) // there is no other
		}
		if here == step {
			return nil
		}
		if err := j.skip(); err != nil {
			return err
		}
	}
	return wrong("ItemsPointer leads to nothing: there is no %q", step)
}

// skip goes past one value.
func (j *jsonItems) skip() error {
	for depth := 0; ; {
		t, err := j.dec.Token()
		if err != nil {
			return notJSON(err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func (j *jsonItems) next() (value.Value, error) {
	if !j.dec.More() {
		if _, err := j.dec.Token(); err != nil {
			return value.Value{}, notJSON(err)
		}
		return value.Value{}, io.EOF
	}
	var raw json.RawMessage
	if err := j.dec.Decode(&raw); err != nil {
		return value.Value{}, notJSON(err)
	}
	if len(raw) > maxItem {
		return value.Value{}, wrong("an item has %d bytes, at most %d are read", len(raw), maxItem)
	}
	v, err := value.Parse(raw)
	if err != nil {
		return v, wrong("the object is not JSON: %v", err)
	}
	return v, nil
}

// lines are the items of JSON Lines.
type lines struct {
	io.Closer
	r *bufio.Reader
	n int
}

func openLines(c io.Closer, r io.Reader) stream {
	return &lines{c, bufio.NewReaderSize(r, 64<<10), 0}
}

func (l *lines) next() (value.Value, error) {
	for {
		text, err := l.line()
		if err != nil {
			return value.Value{}, err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		v, err := value.Parse(text)
		if err != nil {
			return v, wrong("line %d is not JSON: %v", l.n, err)
		}
		return v, nil
	}
}

func (l *lines) line() ([]byte, error) {
	var text []byte
	for l.n++; ; {
		part, err := l.r.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil, err == io.EOF && len(text) > 0:
			return text, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(text) > maxItem:
			return nil, wrong("line %d has more than %d bytes", l.n, maxItem)
		}
	}
}

// rows are the items of CSV.
type rows struct {
	io.Closer
	csv     *csv.Reader
	columns []string
}

// comma is the letter that CSVDelimiter names.
func comma(name string) rune {
	switch name {
	case "PIPE":
		return '|'
	case "SEMICOLON":
		return ';'
	case "SPACE":
		return ' '
	case "TAB":
		return '\t'
	}
	return ','
}

// openCSV takes the columns from the first row where there are none.
func openCSV(c io.Closer, r io.Reader, columns []string, delimiter string) (stream, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		in.Discard(3)
	}
	x := &rows{c, csv.NewReader(in), columns}
	x.csv.FieldsPerRecord, x.csv.LazyQuotes, x.csv.ReuseRecord = -1, true, true
	x.csv.Comma = comma(delimiter)
	if len(columns) == 0 {
		first, err := x.csv.Read()
		if err == io.EOF {
			return x, nil // nothing follows
		}
		if err != nil {
			return nil, wrong("%v", err)
		}
		x.columns = append(x.columns, first...)
	}
	seen := map[string]bool{}
	for _, name := range x.columns {
		if seen[name] {
			return nil, wrong("CSV headers cannot contain duplicates.")
		}
		seen[name] = true
	}
	return x, nil
}

// next is a row: what it has more than there are columns is left out, what it
// has less is empty.
func (x *rows) next() (value.Value, error) {
	fields, err := x.csv.Read()
	if err == io.EOF {
		return value.Value{}, err
	}
	if err != nil {
		return value.Value{}, wrong("%v", err)
	}
	members := make([]value.Member, len(x.columns))
	for i, name := range x.columns {
		text := ""
		if i < len(fields) {
			text = strings.Clone(fields[i])
		}
		members[i] = value.Member{Key: name, Value: value.OfString(text)}
	}
	return value.OfObject(members...), nil
}
