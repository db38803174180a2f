package value

import "unicode/utf8"

// String is the compact JSON of v.
func (v Value) String() string {
	switch {
	case v.body == noMembers:
		return "{}"
	case v.body == noItems:
		return "[]"
	}
	var room [256]byte // enough for most
	return string(v.Append(room[:0]))
}

// Append appends the compact JSON of v to dst. Nothing is escaped that JSON
// does not demand.
func (v Value) Append(dst []byte) []byte {
	switch v.kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		if v.yes {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case Number:
		return append(dst, v.text...)
	case String:
		return AppendQuoted(dst, v.text)
	case Array:
		dst = append(dst, '[')
		for i, x := range v.body.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = x.Append(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, x := range v.body.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendQuoted(dst, v.body.keys[i]), ':')
		dst = x.Append(dst)
	}
	return append(dst, '}')
}

// plain is how many letters s begins with, in eights, that stand in a JSON string as
// they are.
func plain(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		t := s[n : n+8]
		x := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		// A byte less than n borrows from its highest bit: x - n*ones, where x had none.
		quote, slash := x^'"'*ones, x^'\\'*ones
		if (x|(x-' '*ones)&^x|(quote-ones)&^quote|(slash-ones)&^slash)&high != 0 {
			break
		}
	}
	return n
}

// AppendQuoted appends s as a JSON string. [Half] of a surrogate pair is an escape.
func AppendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := plain(s); i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if half, ok := Half(s[i:]); ok {
				dst = append(append(dst, s[start:i]...), '\\', 'u', hex[half>>12], hex[half>>8&15], hex[half>>4&15], hex[half&15])
				n = 3
				start = i + n
			} else if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		start = i + 1
		i = start + plain(s[start:])
	}
	return append(append(dst, s[start:]...), '"')
}

// quotedSize is the length of what AppendQuoted appends.
func quotedSize(s string) int {
	n := 2
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f':
			n += 2
		case c < 0x20:
			n += 6
		case c < utf8.RuneSelf:
			n++
		default:
			r, w := utf8.DecodeRuneInString(s[i:])
			if _, ok := Half(s[i:]); ok {
				n += len(`\ud800`)
				w = 3
			} else if r == utf8.RuneError {
				n += len("\uFFFD")
			} else {
				n += w
			}
			i += w
			continue
		}
		i++
	}
	return n
}
