package dataset

import (
	"compress/gzip"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// mostPage and mostValues bound what a page of a Parquet file may unpack to, in bytes,
// and how many values it may have: writers end a page at about 1 MiB. A page is in
// memory whole, and it takes a few bytes to claim two gigabytes.
const (
	mostPage   = 64 << 20
	mostValues = 8 << 20
)

// mostHeader bounds the header of a page, which may hold its smallest and its largest
// value.
const mostHeader = 16 << 20

// A pageGuard looks at the headers of a column's pages before the library does, which
// takes them at their word (v0.32.0).
type pageGuard struct {
	from    io.ReaderAt
	at, end int64 // of what is left of the column
	codec   format.CompressionCodec
	brotli  *brotli.Reader // of the pages so far
}

func guardPages(from io.ReaderAt, m *format.ColumnMetaData) pageGuard {
	g := pageGuard{from: from, at: m.DataPageOffset, codec: m.Codec}
	if m.DictionaryPageOffset != 0 {
		g.at = m.DictionaryPageOffset
	}
	g.end = g.at + m.TotalCompressedSize
	return g
}

// next looks at the headers up to that of the next page with data.
func (g *pageGuard) next() error {
	for g.at < g.end {
		h, size, err := g.header()
		if err != nil {
			return err
		}
		values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
		switch unpacked := max(h.UncompressedPageSize, h.CompressedPageSize); {
		case h.UncompressedPageSize < 0 || h.CompressedPageSize < 0:
			return fmt.Errorf("a page of %d bytes", min(h.UncompressedPageSize, h.CompressedPageSize))
		case unpacked > mostPage:
			return tooLarge(fmt.Sprintf("a page unpacks to %d bytes: want at most %d", unpacked, mostPage))
		case values > mostValues:
			return tooLarge(fmt.Sprintf("a page has %d values: want at most %d", values, mostValues))
		}
		if err := g.unpacks(h, g.at+size); err != nil {
			return err
		}
		g.at += size + int64(h.CompressedPageSize)
		if h.Type == format.DataPage || h.Type == format.DataPageV2 {
			return nil
		}
	}
	return nil
}

// header reads the header at g.at, and gives its size.
func (g *pageGuard) header() (h *format.PageHeader, size int64, err error) {
	for n := min(int64(1<<10), g.end-g.at); ; n = min(4*n, g.end-g.at) {
		b := make([]byte, n)
		if _, err := g.from.ReadAt(b, g.at); err != nil && err != io.EOF {
			return nil, 0, err
		}
		r := new(thrift.CompactProtocol).NewReaderFromBytes(b)
		h = new(format.PageHeader)
		if err = thrift.NewDecoder(r).Decode(h); err == nil {
			return h, int64(r.BytesRead()), nil
		}
		if n == g.end-g.at || n >= mostHeader {
			return nil, 0, fmt.Errorf("the header of a page: %w", err)
		}
	}
}

// unpacks holds that the page at an offset unpacks to no more than its header says. Of
// Brotli, which neither says how much that is nor is bound to a ratio, every page is
// unpacked for it.
func (g *pageGuard) unpacks(h *format.PageHeader, at int64) error {
	size, want := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	if v2, ok := h.DataPageHeaderV2.Get(); ok { // its levels are not packed
		levels := int64(v2.DefinitionLevelsByteLength) + int64(v2.RepetitionLevelsByteLength)
		if is, ok := v2.IsCompressed.Get(); ok && !is || levels < 0 || levels > size {
			return nil // as it is, or damaged, which is seen
		}
		at, size, want = at+levels, size-levels, want-levels
	}
	packed := io.NewSectionReader(g.from, at, size)
	begin := make([]byte, min(size, zstd.HeaderMaxSize))
	if _, err := io.ReadFull(packed, begin); err != nil {
		return err
	}
	var unpacked io.Reader // where only unpacking tells
	switch g.codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(begin); err == nil && int64(n) > want {
			return tooMuch(int64(n), want)
		}
	case format.Zstd:
		var frame zstd.Header
		if err := frame.Decode(begin); err == nil && frame.HasFCS && frame.FrameContentSize > uint64(want) {
			return tooMuch(int64(frame.FrameContentSize), want)
		} else if err == nil && !frame.HasFCS {
			z, err := newZstd(io.NewSectionReader(g.from, at, size))
			if err != nil {
				return err
			}
			unpacked = z
		}
	case format.Gzip:
		if size > mostPage/mostDeflated {
			z, err := gzip.NewReader(io.NewSectionReader(g.from, at, size))
			if err != nil {
				return err
			}
			unpacked = z
		}
	case format.Brotli:
		if g.brotli == nil {
			g.brotli = new(brotli.Reader)
		}
		g.brotli.Reset(io.NewSectionReader(g.from, at, size)) // its error is always nil
		unpacked = g.brotli
	}
	if unpacked == nil {
		return nil
	}
	n, err := io.CopyN(io.Discard, unpacked, want+1)
	if n > want {
		return tooMuch(n, want)
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// mostDeflated is how many times its size deflated data may unpack to.
const mostDeflated = 1032

func tooMuch(n, want int64) error {
	return tooLarge(fmt.Sprintf("a page unpacks to %d bytes or more where its header says %d", n, want))
}

// tooLarge is ErrTooLarge, and says of what.
type tooLarge string

func (t tooLarge) Error() string { return string(t) }

func (t tooLarge) Unwrap() error { return ErrTooLarge }
