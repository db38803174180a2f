package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// withPages is a Parquet file whose pages edit has changed.
func withPages(t *testing.T, data []byte, edit func(h *format.PageHeader, page []byte) []byte) []byte {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	meta := f.Metadata()
	out := bytes.NewBufferString("PAR1")
	marshal := func(v any) []byte {
		b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := range meta.RowGroups {
		for j := range meta.RowGroups[i].Columns {
			m := &meta.RowGroups[i].Columns[j].MetaData
			begin := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				begin = m.DictionaryPageOffset
			}
			rest, start := data[begin:begin+m.TotalCompressedSize], int64(out.Len())
			if m.DictionaryPageOffset > 0 {
				m.DictionaryPageOffset = start
			}
			for len(rest) > 0 {
				var h format.PageHeader
				r := new(thrift.CompactProtocol).NewReaderFromBytes(rest)
				if err := thrift.NewDecoder(r).Decode(&h); err != nil {
					t.Fatal(err)
				}
				page := rest[r.BytesRead():][:h.CompressedPageSize]
				rest = rest[r.BytesRead()+len(page):]
				page = edit(&h, page)
				h.CompressedPageSize, h.CRC = int32(len(page)), 0
				if h.Type != format.DictionaryPage {
					m.DataPageOffset = int64(out.Len())
				}
				out.Write(marshal(&h))
				out.Write(page)
			}
			m.TotalCompressedSize = int64(out.Len()) - start
		}
	}
	footer := marshal(meta)
	out.Write(footer)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	out.WriteString("PAR1")
	return out.Bytes()
}

// A file of a few bytes may claim pages of gigabytes, or have them: it is refused, and
// nothing as large is made room for.
func TestParquetTooLarge(t *testing.T) {
	type row struct {
		S string `parquet:"s"`
	}
	of := func(codec parquet.WriterOption, value func(i int) string) []byte {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[row](&b, codec, parquet.DataPageVersion(1), parquet.PageBufferSize(1<<20))
		for i := range 2000 {
			if _, err := w.Write([]row{{value(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	same := func(int) string { return "the same" }
	r := rand.New(rand.NewPCG(1, 1))
	noise := func(int) string { return fmt.Sprintf("%x%x%x%x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()) }
	values := func(h *format.PageHeader, page []byte) []byte {
		h.DataPageHeader.V.NumValues = 2_000_000_000
		return page
	}
	unpacked := func(n int32) func(h *format.PageHeader, page []byte) []byte {
		return func(h *format.PageHeader, page []byte) []byte {
			h.UncompressedPageSize = n
			return page
		}
	}
	zeros := func(h *format.PageHeader, _ []byte) []byte { // 64 MiB of them
		var packed bytes.Buffer
		z := brotli.NewWriterLevel(&packed, brotli.BestSpeed)
		for range 64 {
			z.Write(make([]byte, 1<<20))
		}
		z.Close()
		h.UncompressedPageSize = 1 << 20
		return packed.Bytes()
	}
	none := func(_ *format.PageHeader, page []byte) []byte { return page }
	for name, c := range map[string]struct {
		data []byte
		edit func(h *format.PageHeader, page []byte) []byte
		want string // "": it can be read
	}{
		"nothing changed":         {of(parquet.Compression(&parquet.Snappy), noise), none, ""},
		"values":                  {of(parquet.Compression(&parquet.Snappy), same), values, `is too large in column "s": a page has 2000000000 values: want at most 8388608`},
		"bytes":                   {of(parquet.Compression(&parquet.Zstd), same), unpacked(1<<31 - 1), `is too large in column "s": a page unpacks to 2147483647 bytes: want at most 67108864`},
		"LZ4, bytes":              {of(parquet.Compression(&parquet.Lz4Raw), same), unpacked(1<<31 - 1), "a page unpacks to 2147483647 bytes: want at most 67108864"},
		"more bytes, Snappy":      {of(parquet.Compression(&parquet.Snappy), same), unpacked(100), "where its header says 100"},
		"more bytes, Zstandard":   {of(parquet.Compression(&parquet.Zstd), same), unpacked(100), "where its header says 100"},
		"more bytes, gzip":        {of(parquet.Compression(&parquet.Gzip), noise), unpacked(100), "where its header says 100"},
		"nothing changed, Brotli": {of(parquet.Compression(&parquet.Brotli), noise), none, ""},
		"more bytes, Brotli":      {of(parquet.Compression(&parquet.Brotli), same), unpacked(100), "where its header says 100"},
		"few bytes of Brotli":     {of(parquet.Compression(&parquet.Brotli), same), zeros, "a page unpacks to 1048577 bytes or more where its header says 1048576"},
	} {
		data := withPages(t, c.data, c.edit)
		for _, all := range []func() error{
			func() error { _, _, err := inOrder(bytes.NewReader(data), "x.parquet", Options{}); return err },
			func() error { _, _, err := atOnce(t, bytes.NewReader(data), "x.parquet", Options{}, 0); return err },
		} {
			err := all()
			var e *Error
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: %v", name, err)
			case c.want != "" && (!errors.As(err, &e) || !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: got error %v, want %s", name, err, c.want)
			}
		}
	}
}
