package asl

import (
	"strings"
	"testing"
)

// TestNotJSON reads what people save who mean a definition.
func TestNotJSON(t *testing.T) {
	const sound = `{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}`
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", `f:1:1: not valid JSON: unexpected end of text; it is empty; a definition is an object with "StartAt" and "States"`},
		{"blanks", " \n\t\n", `f:3:1: not valid JSON: unexpected end of text; it is empty`},
		{"a byte order mark", "\xef\xbb\xbf" + sound, `f:1:1: not valid JSON: unexpected '\ufeff'; it begins with a byte order mark; save it as UTF-8 without one`},
		{"UTF-16", "\xff\xfe{\x00", "it is UTF-16; save it as UTF-8"},
		{"Latin-1", strings.ReplaceAll(sound, `"A"`, "\"\xc4\""), `f:1:14: not UTF-8, which JSON is written in: this is the byte 0xC4`},
		{"half of a pair", strings.ReplaceAll(sound, `"A"`, "\"\xed\xa0\x80\""), "a state's name must not have half of a surrogate pair"},
		{"YAML", "StartAt: A\nStates:\n  A:\n", "f:1:1: not valid JSON: unexpected 'S'; it looks like YAML, and a definition is JSON"},
		{"YAML after a remark", "# churn\nStartAt: A\n", "it looks like YAML"},
		{"a comment", "{\n  // first\n  \"StartAt\": \"A\"}", `f:2:3: not valid JSON: want a key in double quotes, have '/'; JSON has no comments`},
		{"a comment after a value", `{"StartAt": "A" /* first */}`, "JSON has no comments"},
		{"a comma at the end", `{"StartAt": "A",` + "\r\n}", "f:2:1: not valid JSON: want a key in double quotes, have '}'; no comma may stand before it"},
		{"a comma at the end of a list", `{"a": [1, ]}`, "no comma may stand before it"},
		{"single quotes", `{'StartAt': 'A'}`, "texts and keys stand in double quotes"},
		{"cut off after a comma", `{"StartAt": "A",`, "f:1:17: not valid JSON: want a key in double quotes, have end of text"},
		{"two", sound + sound, "unexpected '{' after the value"},
	} {
		_, err := Parse([]byte(tt.text), "f")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %s", tt.name, err, tt.want)
		}
	}
}
