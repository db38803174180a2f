package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// withoutLZ4 gives the same file with its LZ4 pages unpacked. The library loses
// such pages where they are about as large as their data, and never ends on
// damaged ones (v0.32.0), so it is not shown any. Files without LZ4 stay as they
// are.
func withoutLZ4(f *parquet.File, from random, name string) (random, error) {
	meta := f.Metadata()
	packed := false
	for i := range meta.RowGroups {
		for j := range meta.RowGroups[i].Columns {
			packed = packed || meta.RowGroups[i].Columns[j].MetaData.Codec == format.Lz4Raw
		}
	}
	if !packed {
		return from, nil
	}
	to, err := os.CreateTemp("", "anneal-parquet-")
	if err != nil {
		return nil, fmt.Errorf("make room for a Parquet file: %w", err)
	}
	os.Remove(to.Name())
	w := &lz4Unpacker{from: from, to: to}
	w.write([]byte("PAR1"))
	for i := range meta.RowGroups {
		for j := range meta.RowGroups[i].Columns {
			if err := w.chunk(&meta.RowGroups[i].Columns[j]); err != nil {
				to.Close()
				return nil, &Error{Name: name, Reason: "is damaged: " + err.Error(), Err: err}
			}
		}
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err == nil {
		w.write(footer)
		w.write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
		w.write([]byte("PAR1"))
		err = w.err
	}
	if err != nil {
		to.Close()
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return file{to}, nil
}

type lz4Unpacker struct {
	from io.ReaderAt
	to   *os.File
	at   int64 // in to
	err  error
}

func (w *lz4Unpacker) write(b []byte) {
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
	w.at += int64(len(b))
}

// mostChunk bounds what one column of a row group takes in memory.
const mostChunk = 1 << 30

// chunk copies the pages of a column, unpacked, and tells its metadata.
func (w *lz4Unpacker) chunk(c *format.ColumnChunk) error {
	m := &c.MetaData
	begin := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < begin {
		begin = d
	}
	if m.TotalCompressedSize < 0 || m.TotalCompressedSize > mostChunk {
		return fmt.Errorf("a column of %d bytes", m.TotalCompressedSize)
	}
	data := make([]byte, m.TotalCompressedSize)
	if _, err := w.from.ReadAt(data, begin); err != nil {
		return err
	}
	start := w.at
	moved := func(offset int64) int64 { return offset - begin + start }
	if m.Codec != format.Lz4Raw {
		w.write(data)
		m.DataPageOffset = moved(m.DataPageOffset)
		if m.DictionaryPageOffset > 0 {
			m.DictionaryPageOffset = moved(m.DictionaryPageOffset)
		}
	} else {
		first := true
		m.DictionaryPageOffset = 0
		for len(data) > 0 {
			var h format.PageHeader
			r := new(thrift.CompactProtocol).NewReaderFromBytes(data)
			if err := thrift.NewDecoder(r).Decode(&h); err != nil {
				return err
			}
			data = data[r.BytesRead():]
			n := int(h.CompressedPageSize)
			if n < 0 || n > len(data) {
				return io.ErrUnexpectedEOF
			}
			page, err := unpackPage(&h, data[:n])
			if err != nil {
				return err
			}
			data = data[n:]
			header, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
			if err != nil {
				return err
			}
			switch {
			case h.Type == format.DictionaryPage:
				m.DictionaryPageOffset = w.at
			case first:
				m.DataPageOffset, first = w.at, false
			}
			w.write(header)
			w.write(page)
		}
		m.Codec, m.TotalCompressedSize, m.TotalUncompressedSize = format.Uncompressed, w.at-start, w.at-start
	}
	c.FileOffset, c.OffsetIndexOffset, c.OffsetIndexLength, c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0, 0, 0, 0
	m.BloomFilterOffset, m.BloomFilterLength, m.IndexPageOffset = 0, 0, 0
	return w.err
}

// unpackPage unpacks a page and has its header say so.
func unpackPage(h *format.PageHeader, packed []byte) ([]byte, error) {
	if h.UncompressedPageSize < 0 || h.UncompressedPageSize > mostPage {
		return nil, tooLarge(fmt.Sprintf("a page unpacks to %d bytes: want at most %d", h.UncompressedPageSize, mostPage))
	}
	page := make([]byte, h.UncompressedPageSize)
	levels := 0 // of the second version of pages: these are never packed
	if v2, ok := h.DataPageHeaderV2.Get(); ok {
		levels = int(v2.DefinitionLevelsByteLength) + int(v2.RepetitionLevelsByteLength)
		if levels < 0 || levels > len(page) || levels > len(packed) {
			return nil, errors.New("the levels of a page are longer than the page")
		}
		if is, ok := v2.IsCompressed.Get(); ok && !is {
			return packed, nil
		}
		v2.IsCompressed.Set(false)
		h.DataPageHeaderV2.Set(v2)
	}
	copy(page, packed[:levels])
	if len(page) > levels {
		n, err := lz4.UncompressBlock(packed[levels:], page[levels:])
		if err != nil || n != len(page)-levels {
			return nil, fmt.Errorf("a page that is not LZ4 of %d bytes", len(page)-levels)
		}
	}
	h.CompressedPageSize, h.CRC = h.UncompressedPageSize, 0
	return page, nil
}
