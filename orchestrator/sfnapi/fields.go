package sfnapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A field is one member of a request and what it must be like. What is nil or
// zero is not asked for.
type field struct {
	name        string
	required    bool
	least, most int // of a text, its length; of a number, its value
	values      []string
	number      bool
	list        bool // least and most are of its length
}

type fields []field

func text(name string, least, most int) field { return field{name: name, least: least, most: most} }
func number(name string, least, most int) field {
	return field{name: name, least: least, most: most, number: true}
}
func list(name string, least, most int) field {
	return field{name: name, least: least, most: most, list: true}
}
func oneOf(name string, values ...string) field { return field{name: name, values: values} }

func (f field) must() field {
	f.required = true
	return f
}

// check says which members of a request break their constraints.
func (all fields) check(body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return refuse("SerializationException", "the request is not a JSON object")
	}
	var problems []string
	for _, f := range all {
		raw := bytes.TrimSpace(members[f.name])
		if len(raw) == 0 || string(raw) == "null" {
			if f.required {
				problems = append(problems, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", f.name))
			}
			continue
		}
		if p := f.check(raw); p != "" {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return violated(problems)
	}
	return nil
}

// check says what is wrong with a value; what is of another type is told when it
// is decoded.
func (f field) check(raw json.RawMessage) string {
	switch {
	case f.number:
		var n int64
		if json.Unmarshal(raw, &n) != nil {
			return ""
		}
		if n > int64(f.most) {
			return f.says(n, "have value less than or equal to %d", f.most)
		}
		if n < int64(f.least) {
			return f.says(n, "have value greater than or equal to %d", f.least)
		}
	case f.list:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return ""
		}
		if f.most > 0 && len(items) > f.most {
			return f.says(string(raw), "have length less than or equal to %d", f.most)
		}
		if len(items) < f.least {
			return f.says(string(raw), "have length greater than or equal to %d", f.least)
		}
	default:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		if len(f.values) > 0 && !slices.Contains(f.values, s) {
			return f.says(s, "satisfy enum value set: [%s]", strings.Join(f.values, ", "))
		}
		return f.exceeded(s)
	}
	return ""
}

func (f field) says(value any, format string, args ...any) string {
	return fmt.Sprintf("Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, f.name, fmt.Sprintf(format, args...))
}

// exceeded says what is wrong with the length of a text.
func (f field) exceeded(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case f.most > 0 && n > f.most:
		return f.says(s, "have length less than or equal to %d", f.most)
	case n < f.least:
		return f.says(s, "have length greater than or equal to %d", f.least)
	}
	return ""
}
