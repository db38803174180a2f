package sfnapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestJackson reads what is no JSON as the service's parser does.
func TestJackson(t *testing.T) {
	const values = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
	for _, tt := range []struct {
		text, want   string
		line, column int
	}{
		{`not a definition`, "Unrecognized token 'not': was expecting " + values, 1, 4},
		{`nul`, "Unrecognized token 'nul': was expecting " + values, 1, 4},
		{`{"a": NaN}`, "Non-standard token 'NaN': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow", 1, 10},
		{`{'a': 1}`, "Unexpected character (''' (code 39)): was expecting double-quote to start field name", 1, 3},
		{"{\n  // no\n}", "Unexpected character ('/' (code 47)): was expecting double-quote to start field name", 2, 4},
		{"{“a”: 1}", "Unexpected character ('“' (code 8220 / 0x201c)): was expecting double-quote to start field name", 1, 3},
		{"[\"\U0001f600\" 1]", "Unexpected character ('1' (code 49)): was expecting comma to separate Array entries", 1, 8},
		{`{"a": 1,}`, "Unexpected character ('}' (code 125)): was expecting double-quote to start field name", 1, 10},
		{`{"a" 1}`, "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value", 1, 7},
		{`{"a": 1 "b": 2}`, `Unexpected character ('"' (code 34)): was expecting comma to separate Object entries`, 1, 10},
		{`[1 2]`, "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries", 1, 5},
		{`[1,]`, "Unexpected character (']' (code 93)): expected a valid value " + values, 1, 5},
		{`{"a": ]`, "Unexpected character (']' (code 93)): expected a valid value " + values, 1, 8},
		{`[1,}`, "Unexpected character ('}' (code 125)): expected a value", 1, 5},
		{`{"a": }`, "Unexpected character ('}' (code 125)): expected a value", 1, 8},
		{`[1}`, `Unexpected close marker '}': expected ']' (for Array starting at [Source: (String)"[1}"; line: 1, column: 1])`, 1, 4},
		{`[{]`, `Unexpected close marker ']': expected '}' (for Object starting at [Source: (String)"[{]"; line: 1, column: 2])`, 1, 4},
		{`{}}`, `Unexpected close marker '}': expected ']' (for root starting at [Source: (String)"{}}"; line: 1, column: 0])`, 1, 4},
		{`'a'`, "Unexpected character (''' (code 39)): expected a valid value " + values, 1, 2},
		{`{"a":01}`, "Invalid numeric value: Leading zeroes not allowed", 1, 7},
		{`-x`, "Unexpected character ('x' (code 120)) in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value", 1, 3},
		{`[1.]`, "Unexpected character (']' (code 93)) in numeric value: Decimal point not followed by a digit", 1, 5},
		{`[1e]`, "Unexpected character (']' (code 93)) in numeric value: Exponent indicator not followed by a digit", 1, 5},
		{`1a`, "Unexpected character ('a' (code 97)): Expected space separating root-level values", 1, 3},
		{`"\q"`, "Unrecognized character escape 'q' (code 113)", 1, 4},
		{`"\u12x4"`, "Unexpected character ('x' (code 120)): expected a hex-digit for character escape sequence", 1, 7},
		{"\"a\nb\"", "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value", 2, 1},
		{"{\"a\x01\": 1}", "Illegal unquoted character ((CTRL-CHAR, code 1)): has to be escaped using backslash to be included in name", 1, 5},
		{`"abc`, "Unexpected end-of-input: was expecting closing quote for a string value", 1, 5},
		{`{"abc`, "Unexpected end-of-input in field name", 1, 6},
		{`{`, `Unexpected end-of-input: expected close marker for Object (start marker at [Source: (String)"{"; line: 1, column: 1])`, 1, 2},
		{`[[1`, `Unexpected end-of-input: expected close marker for Array (start marker at [Source: (String)"[[1"; line: 1, column: 2])`, 1, 4},
		{`{"a"`, "Unexpected end-of-input within/between Object entries", 1, 5},
		{`{"a":`, "Unexpected end-of-input within/between Object entries", 1, 6},
		{`[1, `, "Unexpected end-of-input within/between Array entries", 1, 5},
		{`{} x`, "Unrecognized token 'x': was expecting " + values, 1, 5},
		{`{} {}`, "Unexpected character after the value", 1, 6},
	} {
		if why, line, column := jackson(tt.text); why != tt.want || line != tt.line || column != tt.column {
			t.Errorf("%q:\n got %d:%d %s\nwant %d:%d %s", tt.text, line, column, why, tt.line, tt.column, tt.want)
		}
	}
}

// TestSource shows texts as the service's parser does.
func TestSource(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"a": "\"é\u0001" 1}`, `[Source: (String)"{"a": "\"é\u0001" 1}"; line: 2, column: 3]`},
		{"{\"a\":\r\n\t\x01\u009b}", "[Source: (String)\"{\"a\":\r\n\\u0009\\u0001\\u009B}\"; line: 2, column: 3]"},
		{strings.Repeat("é", 499) + "\U0001f600[", `[Source: (String)"` + strings.Repeat("é", 499) + `�"[truncated 2 chars]; line: 2, column: 3]`},
	} {
		if got := source(tt.text, 2, 3); got != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

// FuzzJackson finds something wrong with what is no JSON, and with nothing else.
func FuzzJackson(f *testing.F) {
	for _, text := range []string{`{"a": [1, -2.5e+3, "\u00e9\"", null, true, {}]}`, `[[[`, `{"a":1,"b":{"c":[{}]}}`, "\"\xff\"", `0`, `-0`, `1 2`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		why, line, column := jackson(text)
		if (why == "") != (json.Valid([]byte(text)) && tooDeep(text) < 0) {
			t.Errorf("%q: %s", text, why)
		}
		if why != "" && (line < 1 || column < 1) {
			t.Errorf("%q: %d:%d", text, line, column)
		}
		if mistaken, _ := mistake(text); mistaken != "" && json.Valid([]byte(text)) {
			t.Errorf("%q is JSON: %s", text, mistaken)
		}
	})
}
