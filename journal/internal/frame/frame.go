// Package frame is the journal's codec: a frame holds one or more records,
// proves with a SHA-256 that no bit of it has changed, and names the hash of
// the frame before it, so that frames form a chain.
//
//	 0  magic "\x89anj"
//	 4  version
//	 5  flags
//	 6  zero, zero
//	 8  length of the frame in bytes, uint32
//	12  number of records, uint32
//	16  sequence of the frame before, uint64
//	24  epoch, uint64: which opening of the journal wrote it
//	32  number of the first record, uint64
//	40  SHA-256 of the frame before
//	72  zero, uint32
//	76  CRC-32C of the bytes before, so that the length can be trusted
//	80  entries: {kind length, key length uint8; zero uint16;
//	    data length, CRC-32C of kind, key and data uint32; kind, key, data}…
//	    SHA-256 of all the bytes before
//
// Integers are little-endian. What is too large for a frame is a batch of
// several: the first has [Begins], the last [Ends] and the count of records,
// those between neither; the entries are their bodies in a row.
package frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
)

// Sizes in bytes.
const (
	Max         = 512 << 10 // of a whole frame
	HeaderSize  = 80
	Overhead    = HeaderSize + sha256.Size
	EntryHeader = 12
)

const version = 1

// A VersionError is the version of what another program wrote, in a form that this
// one does not read.
type VersionError uint32

func (e VersionError) Error() string {
	return fmt.Sprintf("its form is version %d, this program reads %d", uint32(e), version)
}

// Magic begins every frame.
var Magic = []byte("\x89anj")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Sum is the SHA-256 of a frame.
type Sum [sha256.Size]byte

// Flags say how a frame stands to its neighbours.
type Flags byte

// The flags.
const (
	Begins Flags = 1 << iota // the first frame of a batch
	Ends                     // the last frame of a batch
	Gap                      // record numbers before it are missing: it was salvaged
)

// A Header is what a frame says about itself.
type Header struct {
	Flags    Flags
	Length   int // of the whole frame
	Count    int // records; 0 in all but the last frame of a batch
	PrevSeq  uint64
	Epoch    uint64
	First    uint64 // number of the batch's first record
	PrevHash Sum
}

// Seal makes a frame of buf, which is [HeaderSize] bytes of room followed by
// the entries. h.Length is set, not read.
func Seal(buf []byte, h Header) ([]byte, Sum) {
	clear(buf[:HeaderSize])
	copy(buf, Magic)
	buf[4] = version
	buf[5] = byte(h.Flags)
	le := binary.LittleEndian
	le.PutUint32(buf[8:], uint32(len(buf)+sha256.Size))
	le.PutUint32(buf[12:], uint32(h.Count))
	le.PutUint64(buf[16:], h.PrevSeq)
	le.PutUint64(buf[24:], h.Epoch)
	le.PutUint64(buf[32:], h.First)
	copy(buf[40:], h.PrevHash[:])
	le.PutUint32(buf[76:], crc32.Checksum(buf[:76], castagnoli))
	sum := Sum(sha256.Sum256(buf))
	return append(buf, sum[:]...), sum
}

// ParseHeader reads the header at the start of b and checks its CRC, not the
// frame's hash. b may end before the frame does.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("header is cut after %d of %d bytes", len(b), HeaderSize)
	}
	if !bytes.Equal(b[:4], Magic) {
		return Header{}, errors.New("no frame begins here")
	}
	le := binary.LittleEndian
	if le.Uint32(b[76:]) != crc32.Checksum(b[:76], castagnoli) {
		return Header{}, errors.New("header does not match its checksum")
	}
	if b[4] != version {
		return Header{}, VersionError(b[4])
	}
	h := Header{
		Flags:    Flags(b[5]),
		Length:   int(le.Uint32(b[8:])),
		Count:    int(le.Uint32(b[12:])),
		PrevSeq:  le.Uint64(b[16:]),
		Epoch:    le.Uint64(b[24:]),
		First:    le.Uint64(b[32:]),
		PrevHash: Sum(b[40:72]),
	}
	if h.Length < Overhead || h.Length > Max {
		return Header{}, fmt.Errorf("length is %d, a frame has %d to %d bytes", h.Length, Overhead, Max)
	}
	return h, nil
}

// Open checks the whole frame b and returns its header, its body and its
// hash. The body aliases b.
func Open(b []byte) (h Header, body []byte, sum Sum, err error) {
	h, err = ParseHeader(b)
	if err != nil {
		return h, nil, sum, err
	}
	if h.Length != len(b) {
		return h, nil, sum, fmt.Errorf("frame has %d bytes, its header says %d", len(b), h.Length)
	}
	end := len(b) - sha256.Size
	sum = sha256.Sum256(b[:end])
	if !bytes.Equal(sum[:], b[end:]) {
		return h, nil, sum, errors.New("frame does not match its hash: bits have changed")
	}
	return h, b[HeaderSize:end], sum, nil
}

// An Entry is a record without its number. Its bytes alias the frame.
type Entry struct {
	Kind, Key, Data []byte
}

// AppendEntry appends a record's entry to a body.
func AppendEntry(body []byte, kind, key string, data []byte) []byte {
	le := binary.LittleEndian
	body = append(body, byte(len(kind)), byte(len(key)), 0, 0)
	body = le.AppendUint32(body, uint32(len(data)))
	body = le.AppendUint32(body, 0)
	at := len(body)
	body = append(body, kind...)
	body = append(body, key...)
	body = append(body, data...)
	le.PutUint32(body[at-4:], crc32.Checksum(body[at:], castagnoli))
	return body
}

// Entries reads the entries of a batch's body. It stops at the first that is
// not whole, with an error.
func Entries(body []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		le := binary.LittleEndian
		for at := 0; len(body) > 0; at++ {
			if len(body) < EntryHeader {
				yield(Entry{}, fmt.Errorf("entry %d of the frame is cut", at))
				return
			}
			kind, key, data := int(body[0]), int(body[1]), int(le.Uint32(body[4:]))
			crc := le.Uint32(body[8:])
			body = body[EntryHeader:]
			if len(body) < kind+key+data {
				yield(Entry{}, fmt.Errorf("entry %d of the frame is cut", at))
				return
			}
			e := body[: kind+key+data : kind+key+data]
			body = body[len(e):]
			if crc32.Checksum(e, castagnoli) != crc {
				yield(Entry{}, fmt.Errorf("entry %d of the frame does not match its checksum", at))
				return
			}
			if !yield(Entry{e[:kind], e[kind : kind+key], e[kind+key:]}, nil) {
				return
			}
		}
	}
}
