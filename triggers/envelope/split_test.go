package envelope

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Valid JSON is taken apart as encoding/json does it.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, "{\n\t\"a\" : [1, {\"b\": \"}\"}] ,\"c\":null\r\n}", `{"a":1,"a":2}`, `{"\u0061\"":"\\","ü":"\ud800"}`, "{\"\xff\":\"\xff\"}",
		`[]`, `[ ]`, `[1,-2.5e+3 ,"]", [[]],{"a":{}},true,null]`, `"a"`, `"\n"`, `1`, `null`, ` true `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		var fields map[string]json.RawMessage
		err := json.Unmarshal(text, &fields)
		if got, ok := fieldsOf(text); ok != (err == nil && fields != nil) || ok && cmp.Diff(fields, got) != "" {
			t.Errorf("%q has the fields %q, %v; want %q, %v", text, got, ok, fields, err)
		}
		for _, value := range fields {
			var s string
			err := json.Unmarshal(value, &s)
			if got := stringOf(value); err == nil && got != s || err != nil && got != "" {
				t.Errorf("%q says %q; want %q", value, got, s)
			}
		}
		var items []json.RawMessage
		err = json.Unmarshal(text, &items)
		got, ok := itemsOf(text)
		if ok != (err == nil && items != nil) || len(got) != len(items) || len(got) > 0 && cmp.Diff(items, got) != "" {
			t.Errorf("%q has the items %q, %v; want %q, %v", text, got, ok, items, err)
		}
	})
}
