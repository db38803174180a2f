package value

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"b":1.0,"a":[1e3,-0,true,null]}`, `{"b":1.0,"a":[1e3,-0,true,null]}`},
		{` { "z" : { } , "y" : [ ] } `, `{"z":{},"y":[]}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{`"\u00e9\ud83c\udd97\n\u0001<&>"`, "\"é🆗\\n\\u0001<&>\""},
		{`"\ud800x"`, `"\ud800x"`},
		{`{"\udfff":"\uDBFF\udc00\udc00"}`, "{\"\\udfff\":\"\U0010FC00\\udc00\"}"},
		{"\"a\xffb\"", "\"a\uFFFDb\""},
		{`12345678901234567890.10`, `12345678901234567890.10`},
	} {
		v, err := ParseString(tt.in)
		if err != nil {
			t.Errorf("Parse(%s): %v", tt.in, err)
			continue
		}
		if got := v.String(); got != tt.want {
			t.Errorf("Parse(%s) is written %s, want %s", tt.in, got, tt.want)
		}
		if got, want := v.Size(), len(v.String()); got != want {
			t.Errorf("size of %s: %d, want %d", tt.in, got, want)
		}
	}
}

// TestText: a value is read with the text that it would be written as.
func TestText(t *testing.T) {
	for _, text := range []string{
		`null`, `1.50`, `"a"`, `{}`, `[]`, `{"a":[1,{"b":""}]}`, // compact
		` {}`, "[1,\n2]", `{"a": 1}`, `"a\u0062"`, `"\/"`, `{"a":1,"a":2}`, "\"\xff\"", "\"\xed\xa0\x80\"", `"\ud800"`, `{"\u0061":1}`, `{"a":1,"\u0061":2}`,
	} {
		v, got, err := ParseText([]byte(text))
		if want := v.String(); err != nil || got != want {
			t.Errorf("%q: read with %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		in, want string
	}{
		{``, "byte 0: unexpected end of text"},
		{`{"a":1,}`, `byte 7: want a key in double quotes, have '}'`},
		{`[1 2]`, `byte 3: want ',' or ']', have '2'`},
		{`{'a':1}`, `byte 1: want a key in double quotes, have '\''`},
		{`01`, `byte 1: unexpected '1' after the value`},
		{`1.`, `byte 2: want a digit after the point, have end of text`},
		{`"a`, `byte 2: string without end`},
		{`"\x"`, `byte 2: unknown escape \x`},
		{strings.Repeat("[", 1001), "nested deeper than 1000"},
	} {
		_, err := ParseString(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%.20s): error %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestEqualAndCompare(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true},
		{`1`, `"1"`, false},
		{`{"a":1,"b":[2]}`, `{"b":[2e0],"a":1}`, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`90071992547409931`, `90071992547409932`, false},
		{`null`, `null`, true},
	} {
		a, b := must(t, tt.a), must(t, tt.b)
		if got := Equal(a, b); got != tt.want {
			t.Errorf("Equal(%s, %s) = %v, want %v", a, b, got, tt.want)
		}
		if tt.want && Hash(a) != Hash(b) {
			t.Errorf("%s and %s are equal, their hashes are not", a, b)
		}
	}
}

func TestWithKeepsTheOldValue(t *testing.T) {
	v := OfObject()
	for _, k := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		v = v.With(k, OfString(k))
	}
	w := v.With("c", True).With("new", False)
	if c, _ := v.Find("c"); c.Text() != "c" || v.Len() != 26 {
		t.Errorf("the old object has changed: %s", v)
	}
	if c, _ := w.Find("c"); !c.Bool() || w.Len() != 27 || w.Key(2) != "c" || w.Key(26) != "new" {
		t.Errorf("the new object is %s", w)
	}
}

func TestNodesKnowTheirPlace(t *testing.T) {
	n, err := ParseNodes([]byte("{\"a\": [1,\n 22], \"a\": 3}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Children[0].Children[1].Offset; got != 11 {
		t.Errorf("22 is at %d, want 11", got)
	}
	if c := n.Children[1]; !c.Duplicate || c.KeyOffset != 16 {
		t.Errorf("the second a: %+v", c)
	}
}

func must(t *testing.T, s string) Value {
	t.Helper()
	v, err := ParseString(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,"\u00e9",null,true]}`, `"\ud83c\udd97"`, `"\ud800\ud83c\udd97\udd97"`, `[[[]]]`, `-1e5`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseString(s)
		if valid := json.Valid([]byte(s)); valid != (err == nil) && v.Depth() < MaxDepth && !strings.Contains(s, strings.Repeat("[", 50)) {
			t.Fatalf("Parse(%q): %v, encoding/json says valid=%v", s, err, valid)
		}
		if err != nil {
			return
		}
		if _, text, err := ParseText([]byte(s)); err != nil || text != v.String() {
			t.Fatalf("ParseText(%q): %q, %v; want %q", s, text, err, v)
		}
		w, err := ParseString(v.String())
		if err != nil || !Equal(v, w) || v.Size() != len(v.String()) || v.Depth() != w.Depth() {
			t.Fatalf("%q is written %s, which is read as %s (%v)", s, v, w, err)
		}
	})
}

// TestQuoted: whatever stands wherever in a text comes back.
func TestQuoted(t *testing.T) {
	for _, odd := range []string{`"`, `\`, "\n", "\x00", "\x1f", " ", "!", "\x7f", "é", "\u2028", "日", "\U0001F600", `""`} {
		for n := range 20 {
			for at := range n + 1 {
				want := strings.Repeat("x", at) + odd + strings.Repeat("y", n-at)
				text := AppendQuoted([]byte("k:"), want)
				var got string
				if err := json.Unmarshal(text[2:], &got); err != nil || got != want {
					t.Errorf("%q is written as %s and read as %q, %v", want, text, got, err)
				}
			}
		}
	}
}
