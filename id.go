package anneal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// idEncoding spells an ID with digits and lower-case letters only, so that it
// can stand in a file name, a job name or an ARN.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// ID derives an identity from its parts: 26 lower-case letters and digits, the
// first 128 bits of the SHA-256 of the parts, each preceded by its length.
// Equal parts give an equal ID on every machine and in every version.
func ID(parts ...string) string {
	var room [256]byte // enough for most
	text := room[:0]
	for _, p := range parts {
		text = append(binary.BigEndian.AppendUint64(text, uint64(len(p))), p...)
	}
	sum := sha256.Sum256(text)
	var id [26]byte
	idEncoding.Encode(id[:], sum[:16])
	return string(id[:])
}

// ShortID is the first 16 letters of [ID], 80 bits, for names with a limit.
func ShortID(parts ...string) string { return ID(parts...)[:16] }
