package profile

import (
	"bytes"
	"compress/flate"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// An encoded profile is the magic, the CRC-32C of the rest, and the rest
// deflated: the length of a JSON head, the head, then for each column its
// sketches, each behind its length, and so those of repeated rows.
const magic = "anp1"

// decodedLimit bounds what a damaged or hostile profile unpacks to.
const decodedLimit = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is what a profile holds beside its sketches.
type head struct {
	Objects int            `json:"objects"`
	Counts  dataset.Counts `json:"counts"`
	Columns []headColumn   `json:"columns"`
	Repeats []Unique       `json:"repeats,omitempty"`
}

type headColumn struct {
	Name     string       `json:"name"`
	Type     dataset.Type `json:"type"`
	Objects  int          `json:"objects"`
	Rows     int64        `json:"rows"`
	Missing  int64        `json:"missing,omitempty"`
	Infinite int64        `json:"infinite,omitempty"`
	Mixed    int64        `json:"mixed,omitempty"`
	Counting bool         `json:"counting,omitempty"`
	Earliest time.Time    `json:"earliest,omitzero"`
	Latest   time.Time    `json:"latest,omitzero"`

	Numbers   int64  `json:"numbers,omitempty"`
	Differing int    `json:"differing,omitempty"`
	Odd       string `json:"odd,omitempty"`
}

// Encode gives the profile as bytes, the same for the same profile.
func (p *Profile) Encode() []byte {
	h := head{Objects: p.Objects, Counts: p.Counts, Columns: make([]headColumn, len(p.Columns))}
	for i, c := range p.Columns {
		h.Columns[i] = headColumn{c.Name, c.Type, c.Objects, c.Rows, c.Missing, c.Infinite, c.Mixed, c.counting, c.Earliest, c.Latest, c.Numbers, c.Differing, c.Odd}
	}
	for _, r := range p.Repeats {
		h.Repeats = append(h.Repeats, r.Unique)
	}
	js, err := json.Marshal(h)
	if err != nil {
		panic(err) // unreachable: strings and integers only
	}
	packed := bytes.NewBuffer(append([]byte(magic), 0, 0, 0, 0))
	z := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(z)
	z.Reset(packed)
	var size, body []byte
	write := func(b []byte) { // into memory: cannot fail
		size = binary.AppendUvarint(size[:0], uint64(len(b)))
		z.Write(size)
		z.Write(b)
	}
	write(js)
	for i := range p.Columns {
		for _, s := range p.Columns[i].sketches() {
			if body, err = s.AppendBinary(body[:0]); err != nil {
				panic(err) // unreachable: appending to memory
			}
			write(body)
		}
	}
	for i := range p.Repeats {
		if body, err = p.Repeats[i].AppendBinary(body[:0]); err != nil {
			panic(err) // unreachable: appending to memory
		}
		write(body)
	}
	z.Close()
	out := packed.Bytes()
	binary.LittleEndian.PutUint32(out[len(magic):], crc32.Checksum(out[len(magic)+4:], castagnoli))
	return out
}

// deflaters are used again: making one costs more than deflating the profile of
// a small object. They are fast rather than thorough, which saves three quarters of the time
// and costs one twentieth more room.
var deflaters = sync.Pool{New: func() any {
	z, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // unreachable: a level that exists
	}
	return z
}}

// A coded sketch can be kept.
type coded interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// sketches are those that the column's type uses, in the order of encoding.
func (c *Column) sketches() []coded {
	switch c.Type {
	case dataset.Numeric:
		return []coded{&c.Moments, &c.Quantiles}
	case dataset.Categorical:
		return []coded{&c.Categories}
	}
	return nil
}

// Decode is the inverse of [Profile.Encode]. It refuses bytes that are damaged
// or of another version.
func Decode(b []byte) (*Profile, error) {
	p, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("decode profile: %w", err)
	}
	return p, nil
}

func decode(b []byte) (*Profile, error) {
	if len(b) < len(magic)+4 || string(b[:len(magic)-1]) != magic[:len(magic)-1] {
		return nil, errors.New("not a profile")
	}
	if string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("version %q: want %q", b[len(magic)-1], magic[len(magic)-1])
	}
	sum := binary.LittleEndian.Uint32(b[len(magic):])
	b = b[len(magic)+4:]
	if crc32.Checksum(b, castagnoli) != sum {
		return nil, errors.New("checksum does not match")
	}
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), decodedLimit))
	if err != nil {
		return nil, err
	}
	js, b, err := part(b)
	if err != nil {
		return nil, err
	}
	var h head
	if err := json.Unmarshal(js, &h); err != nil {
		return nil, err
	}
	p := &Profile{Objects: h.Objects, Counts: h.Counts, Columns: make([]Column, len(h.Columns))}
	for i, c := range h.Columns {
		p.Columns[i] = Column{Name: c.Name, Type: c.Type, Objects: c.Objects, Rows: c.Rows,
			Missing: c.Missing, Infinite: c.Infinite, Mixed: c.Mixed, counting: c.Counting, Earliest: c.Earliest, Latest: c.Latest, Numbers: c.Numbers, Differing: c.Differing, Odd: c.Odd}
		for _, s := range p.Columns[i].sketches() {
			var body []byte
			if body, b, err = part(b); err != nil {
				return nil, err
			}
			if err := s.UnmarshalBinary(body); err != nil {
				return nil, fmt.Errorf("column %q: %w", c.Name, err)
			}
		}
	}
	for _, unique := range h.Repeats {
		r := Repeats{Unique: unique}
		var body []byte
		if body, b, err = part(b); err != nil {
			return nil, err
		}
		if err := r.UnmarshalBinary(body); err != nil {
			return nil, fmt.Errorf("repeated rows: %w", err)
		}
		p.Repeats = append(p.Repeats, r)
	}
	if len(b) > 0 {
		return nil, errors.New("bytes left over")
	}
	return p, nil
}

// part cuts what stands behind its length.
func part(b []byte) (body, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, errors.New("cut off")
	}
	b = b[size:]
	return b[:n], b[n:], nil
}
