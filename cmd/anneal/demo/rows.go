package demo

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Rows is a table of text cells under a header, in time order.
type Rows struct {
	Header  []string
	Records [][]string // each as long as Header
	Ragged  int        // rows that had too many or too few cells, and are left out
}

// maxRagged is the share of ragged rows from which on a file is not taken for
// the table it should be.
const maxRagged = 0.05

// ReadFile reads a CSV file with a header (RFC 4180), or one in gzip if its
// name ends in .gz. Ragged rows are left out; more than one in twenty is an
// error.
func ReadFile(path string) (*Rows, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		r = z
	}
	rows, err := readCSV(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return rows, nil
}

func readCSV(r io.Reader) (*Rows, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if mark, _ := b.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = b.Discard(3)
	}
	c := csv.NewReader(b)
	c.FieldsPerRecord = -1
	c.LazyQuotes = true
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty file, want a header and rows")
	}
	if err != nil {
		return nil, err
	}
	for i, name := range header {
		if slices.Contains(header[:i], name) {
			return nil, fmt.Errorf("two columns are named %q", name)
		}
	}
	records, err := c.ReadAll()
	if err != nil {
		return nil, err
	}
	all := len(records)
	records = slices.DeleteFunc(records, func(rec []string) bool { return len(rec) != len(header) })
	ragged := all - len(records)
	if float64(ragged) > maxRagged*float64(all) {
		return nil, fmt.Errorf("%d of %d rows have not the %d cells of the header", ragged, all, len(header))
	}
	return &Rows{Header: header, Records: records, Ragged: ragged}, nil
}

// column is the index of the named column, or -1.
func (r *Rows) column(name string) int { return slices.Index(r.Header, name) }

// slice is the rows from i up to j, not copied.
func (r *Rows) slice(i, j int) *Rows { return &Rows{Header: r.Header, Records: r.Records[i:j]} }

// join puts tables below each other. Columns are matched by name; a cell that
// a table has no column for is missing.
func join(tables []*Rows) *Rows {
	if len(tables) == 1 {
		return tables[0]
	}
	all := &Rows{}
	at := map[string]int{}
	for _, t := range tables {
		for _, name := range t.Header {
			if _, ok := at[name]; !ok {
				at[name] = len(all.Header)
				all.Header = append(all.Header, name)
			}
		}
	}
	for _, t := range tables {
		all.Ragged += t.Ragged
		if slices.Equal(t.Header, all.Header) {
			all.Records = append(all.Records, t.Records...)
			continue
		}
		for _, rec := range t.Records {
			wide := make([]string, len(all.Header))
			for i, cell := range rec {
				wide[at[t.Header[i]]] = cell
			}
			all.Records = append(all.Records, wide)
		}
	}
	return all
}

// missing reports whether a cell holds no value.
func missing(cell string) bool {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "", "-", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", `\n`, "nil", "null", "none":
		return true
	}
	return false
}

// number reads a finite number.
func number(cell string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, false
	}
	return v, true
}
