package frame

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// MarkSize is the length of an encoded mark in bytes.
const MarkSize = 128

// A Mark is kept beside the log, not in it: where the log begins and how far
// it has been acknowledged. A chain alone is blind to a missing beginning and
// to a missing end.
type Mark struct {
	Order    uint64 // counts the marks; the highest is the newest
	Base     uint64 // sequence of the first frame
	BaseHash Sum    // hash of the frame before it
	First    uint64 // number of the first record of that frame
	Tip      uint64 // sequence of the last frame; Base-1 in an empty log
	TipHash  Sum
	Last     uint64 // number of the last record
}

var markMagic = []byte("\x89anm")

// Encode writes the mark in [MarkSize] bytes.
func (m Mark) Encode() []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, MarkSize), markMagic...)
	b = le.AppendUint32(b, version)
	for _, v := range []uint64{m.Order, m.Base, m.First, m.Tip, m.Last} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, m.BaseHash[:]...)
	b = append(b, m.TipHash[:]...)
	b = b[:MarkSize]
	le.PutUint32(b[MarkSize-4:], crc32.Checksum(b[:MarkSize-4], castagnoli))
	return b
}

// ParseMark reads what [Mark.Encode] wrote.
func ParseMark(b []byte) (Mark, error) {
	le := binary.LittleEndian
	if len(b) < MarkSize || string(b[:4]) != string(markMagic) ||
		le.Uint32(b[MarkSize-4:]) != crc32.Checksum(b[:MarkSize-4], castagnoli) {
		return Mark{}, errors.New("mark does not match its checksum")
	}
	if v := le.Uint32(b[4:]); v != version {
		return Mark{}, VersionError(v)
	}
	return Mark{
		Order: le.Uint64(b[8:]), Base: le.Uint64(b[16:]), First: le.Uint64(b[24:]),
		Tip: le.Uint64(b[32:]), Last: le.Uint64(b[40:]),
		BaseHash: Sum(b[48:80]), TipHash: Sum(b[80:112]),
	}, nil
}
