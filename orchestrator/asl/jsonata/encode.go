package jsonata

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

func base64Encode(e *evaluation, c *arguments) (val, error) {
	units := units16(c.at(0).str())
	b := make([]byte, len(units))
	for i, u := range units {
		b[i] = byte(u) // Latin-1, as Node's "binary" takes it
	}
	return ofText(base64.StdEncoding.EncodeToString(b)), e.spendText(2 * len(b))
}

func base64Decode(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	if err := e.spendText(len(s)); err != nil {
		return val{}, err
	}
	// Like Node: both alphabets, whatever is not of them is skipped, and an =
	// ends it.
	s, _, _ = strings.Cut(s, "=")
	kept := make([]byte, 0, len(s))
	for _, x := range []byte(s) {
		switch {
		case x == '-':
			kept = append(kept, '+')
		case x == '_':
			kept = append(kept, '/')
		case x >= '0' && x <= '9', x >= 'A' && x <= 'Z', x >= 'a' && x <= 'z', x == '+', x == '/':
			kept = append(kept, x)
		}
	}
	if len(kept)%4 == 1 {
		kept = kept[:len(kept)-1]
	}
	b, _ := base64.RawStdEncoding.DecodeString(string(kept)) // it is of the alphabet
	runes := make([]rune, len(b))
	for i, x := range b {
		runes[i] = rune(x)
	}
	return ofText(string(runes)), nil
}

// What encodeURIComponent and encodeURI leave as it is, beside letters and
// digits, and what decodeURI leaves encoded.
const (
	componentMarks = "-_.!~*'()"
	reservedMarks  = ";/?:@&=+$,#"
	urlMarks       = componentMarks + reservedMarks
)

func malformed(name string, v val) error {
	return &Error{Code: "D3140", value: v, want: name}
}

func encodeURL(name, keep string) native {
	return func(e *evaluation, c *arguments) (val, error) {
		s := c.at(0).str()
		if !utf8.ValidString(s) {
			return val{}, malformed(name, c.at(0))
		}
		if err := e.spendText(3 * len(s)); err != nil {
			return val{}, err
		}
		var b strings.Builder
		for _, x := range []byte(s) {
			if x >= '0' && x <= '9' || x >= 'A' && x <= 'Z' || x >= 'a' && x <= 'z' || strings.IndexByte(keep, x) >= 0 {
				b.WriteByte(x)
			} else {
				fmt.Fprintf(&b, "%%%02X", x)
			}
		}
		return ofText(b.String()), nil
	}
}

func decodeURL(name, keep string) native {
	return func(e *evaluation, c *arguments) (val, error) {
		s := c.at(0).str()
		if err := e.spendText(len(s)); err != nil {
			return val{}, err
		}
		var b strings.Builder
		for i := 0; i < len(s); {
			if s[i] != '%' {
				b.WriteByte(s[i])
				i++
				continue
			}
			var code []byte // of one character
			start := i
			for want := 1; len(code) < want; i += 3 {
				x, ok := hexByte(s[i:])
				if !ok {
					return val{}, malformed(name, c.at(0))
				}
				if code = append(code, x); len(code) == 1 && x >= 0xc0 {
					want = 2
					if x >= 0xe0 {
						want++
					}
					if x >= 0xf0 {
						want++
					}
				}
			}
			if !utf8.Valid(code) {
				return val{}, malformed(name, c.at(0))
			}
			if len(code) == 1 && strings.IndexByte(keep, code[0]) >= 0 {
				b.WriteString(s[start:i])
			} else {
				b.Write(code)
			}
		}
		return ofText(b.String()), nil
	}
}

// hexByte is the byte that %XX at the beginning of s stands for.
func hexByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	x := byte(0)
	for _, c := range []byte(s[1:3]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if c <= '9' {
			d = int(c) - '0'
		}
		if d < 0 || d > 15 {
			return 0, false
		}
		x = x<<4 | byte(d)
	}
	return x, true
}
