package dataset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// freely is how much an object may unpack to before its ratio is looked at:
// a small file of one repeated line is no attack.
const freely = 64 << 20

// An unpacker undoes the compression that an object's name tells of, and
// refuses what unpacks beyond the limits.
type unpacker struct {
	name     string
	source   io.Reader
	in       int64 // bytes read from source
	err      error // of source, other than io.EOF
	out      io.Reader
	n        int64 // bytes given
	packed   bool
	packing  string // its name
	maxBytes int64
	maxRatio int64
}

// unpack opens the object, whose first bytes it looks at.
func unpack(r io.Reader, name string, opt Options) (*unpacker, error) {
	u := &unpacker{name: name, source: r, maxBytes: opt.MaxBytes, maxRatio: opt.MaxRatio}
	u.out = (*counted)(u)
	var z io.Reader
	var err error
	packing := "gzip"
	switch strings.ToLower(path.Ext(name)) {
	case ".gz":
		z, err = gzip.NewReader(u.out)
	case ".zst":
		packing = "zstd"
		z, err = newZstd(u.out)
	default:
		return u, nil
	}
	u.packed, u.packing = true, packing
	switch {
	case u.err != nil:
		return nil, fmt.Errorf("read %s: %w", name, u.err)
	case err == io.EOF:
		return nil, &Error{Name: name, Reason: "is empty: want a header line"}
	case err != nil:
		return nil, &Error{Name: name, Reason: "is not " + packing + ", though its name says so", Err: err}
	}
	u.out = z
	return u, nil
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.out.Read(p)
	u.n += int64(n)
	if u.n > u.maxBytes {
		return 0, &Error{Name: u.name, Reason: fmt.Sprintf("holds more than %d bytes", u.maxBytes), Err: ErrTooLarge}
	}
	if u.packed && u.n > freely && u.n/u.maxRatio > u.in {
		return 0, &Error{Name: u.name, Reason: fmt.Sprintf("unpacks to more than %d times its size", u.maxRatio), Err: ErrTooLarge}
	}
	switch {
	case err == nil || err == io.EOF && u.err == nil:
		return n, err
	case u.err != nil:
		return n, fmt.Errorf("read %s: %w", u.name, u.err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, &Error{Name: u.name, Reason: "is cut off: the " + u.packing + " stream has no end", Err: err}
	}
	if u.packing == "zstd" && errors.Is(err, zstd.ErrMagicMismatch) && u.n == 0 {
		return n, &Error{Name: u.name, Reason: "is not zstd, though its name says so", Err: err}
	}
	if u.n > 0 && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch)) {
		return n, &Error{Name: u.name, Reason: fmt.Sprintf("has something else behind the end of its %s stream, at byte %d unpacked", u.packing, u.n), Err: err}
	}
	return n, &Error{Name: u.name, Reason: "is damaged: " + err.Error(), Err: err}
}

// zstdWindow is how much memory unpacking may take: what the command `zstd`
// needs without --long.
const zstdWindow = 128 << 20

// newZstd unpacks in the goroutine that reads, so that nothing is left behind.
func newZstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
}

// withoutPacking is a name in lower case, without the extension of a
// compression.
func withoutPacking(name string) string {
	name = strings.ToLower(name)
	return strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
}

// counted reads the source, counts, and tells its errors from gzip's.
type counted unpacker

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.in += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// foreign names the format that data beginning with b is in, if it is not text
// in UTF-8.
func foreign(b []byte) string {
	for _, f := range []struct{ magic, reason string }{
		{"\x1f\x8b", `is gzip: its name must end in ".gz"`},
		{"PAR1", `is Parquet: its name must end in ".parquet"`},
		{"\x28\xb5\x2f\xfd", `is zstd: its name must end in ".zst"`},
		{"PK\x03\x04", "is a zip archive: want CSV, JSON Lines or Parquet"},
		{"\xff\xfe", "is UTF-16: want UTF-8"},
		{"\xfe\xff", "is UTF-16: want UTF-8"},
	} {
		if bytes.HasPrefix(b, []byte(f.magic)) {
			return f.reason
		}
	}
	return ""
}
