package asl

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

// yaml is how a definition in YAML may begin.
var yaml = regexp.MustCompile(`^\s*(?:---|#|[A-Za-z_]\w*:(?:\s|$))`)

// remedy says what would be right where a text stops being JSON at offset, for the
// mistakes that people make; empty where nobody knows.
func remedy(data []byte, offset int) string {
	at := data[min(offset, len(data)):]
	before := bytes.TrimRight(data[:len(data)-len(at)], " \t\r\n")
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return `it is empty; a definition is an object with "StartAt" and "States"`
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "it begins with a byte order mark; save it as UTF-8 without one"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "it is UTF-16; save it as UTF-8"
	case len(before) == 0 && yaml.Match(at):
		return "it looks like YAML, and a definition is JSON"
	case bytes.HasPrefix(at, []byte("//")), bytes.HasPrefix(at, []byte("/*")), bytes.HasPrefix(at, []byte("#")):
		return `JSON has no comments; a definition and each of its states may have a "Comment"`
	case bytes.HasPrefix(at, []byte("'")):
		return "texts and keys stand in double quotes"
	case bytes.HasSuffix(before, []byte(",")) && (bytes.HasPrefix(at, []byte("}")) || bytes.HasPrefix(at, []byte("]"))):
		return "no comma may stand before it"
	}
	return ""
}

// foreignBytes is where a text stops being UTF-8, halves of surrogate pairs apart;
// -1 where it does not.
func foreignBytes(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		half := n == 1 && len(data) > i+2 && data[i] == 0xed && data[i+1]&0xe0 == 0xa0 && data[i+2]&0xc0 == 0x80
		switch {
		case half:
			n = 3
		case r == utf8.RuneError && n == 1:
			return i
		}
		i += n
	}
	return -1
}
