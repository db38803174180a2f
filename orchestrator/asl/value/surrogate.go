package value

import (
	"strings"
	"unicode/utf8"
)

// JSON can name half of a surrogate pair alone, "\ud800", which is no character. The
// languages of AWS and of the browser hold it all the same. Here it is held as the
// three bytes that UTF-8 would have for it (the encoding known as WTF-8), and written
// as an escape.

// Half is the half of a surrogate pair that s begins with.
func Half(s string) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 || s[1] > 0xbf || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return rune(s[0]&0x0f)<<12 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// AppendHalf appends half of a surrogate pair as [Half] reads it.
func AppendHalf(dst []byte, r rune) []byte {
	return append(dst, 0xed, 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
}

// sound is s with U+FFFD for what is neither UTF-8 nor half of a pair.
func sound(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if _, ok := Half(s[i:]); ok {
			b.WriteString(s[i : i+3])
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b.WriteRune(r)
		i += n
	}
	return b.String()
}
