package items

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// parquetRows are the items of a Parquet file.
type parquetRows struct {
	io.Closer
	r   *parquet.GenericReader[any]
	row [1]parquet.Row
}

func openParquet(f io.ReadCloser, info objects.Info) (x stream, err error) {
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil, errors.New("a Parquet file must be read in any order")
	}
	defer damaged(&err)
	file, err := parquet.OpenFile(at, info.Bytes)
	if err != nil {
		return nil, wrong("%s is not Parquet: %v", info.URI, err)
	}
	return &parquetRows{Closer: f, r: parquet.NewGenericReader[any](file)}, nil
}

// damaged makes an error of a panic: the library has them for files that are
// not as they say.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = wrong("the Parquet file is damaged: %v", p)
	}
}

func (p *parquetRows) next() (v value.Value, err error) {
	defer damaged(&err)
	p.row[0] = p.row[0][:0]
	n, err := p.r.ReadRows(p.row[:])
	row := map[string]any{}
	switch {
	case n == 1:
		err = p.r.Schema().Reconstruct(&row, p.row[0])
	case err == nil, err == io.EOF:
		return v, io.EOF
	}
	if err != nil {
		return v, wrong("the Parquet file cannot be read: %v", err)
	}
	text, err := json.Marshal(plain(row))
	if err != nil {
		return v, wrong("a row of the Parquet file cannot be written as JSON: %v", err)
	}
	return value.Parse(text)
}

// plain makes text of what JSON would write in another way.
func plain(x any) any {
	switch x := x.(type) {
	case []byte:
		return string(x)
	case map[string]any:
		for k, v := range x {
			x[k] = plain(v)
		}
	case []any:
		for i, v := range x {
			x[i] = plain(v)
		}
	case fmt.Stringer:
		return x.String()
	}
	return x
}
