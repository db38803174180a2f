package envelope

import "encoding/json"

// What is here takes JSON apart that is known to be valid, without a copy and
// without looking into what is nested: a message is read field by field, and the
// most of it never.

// fieldsOf are the fields of a JSON object; ok is false of any other value. Of
// two fields with one name the last counts, as in encoding/json.
func fieldsOf(valid []byte) (fields map[string]json.RawMessage, ok bool) {
	i := space(valid, 0)
	if i == len(valid) || valid[i] != '{' {
		return nil, false
	}
	fields = make(map[string]json.RawMessage, 8)
	for i = space(valid, i+1); valid[i] != '}'; {
		end := after(valid, i)
		name := stringOf(valid[i:end])
		i = space(valid, space(valid, end)+1) // a colon
		end = after(valid, i)
		fields[name] = valid[i:end:end]
		if i = space(valid, end); valid[i] == ',' {
			i = space(valid, i+1)
		}
	}
	return fields, true
}

// itemsOf are the items of a JSON array; ok is false of any other value.
func itemsOf(valid []byte) (items []json.RawMessage, ok bool) {
	i := space(valid, 0)
	if i == len(valid) || valid[i] != '[' {
		return nil, false
	}
	for i = space(valid, i+1); valid[i] != ']'; {
		end := after(valid, i)
		items = append(items, valid[i:end:end])
		if i = space(valid, end); valid[i] == ',' {
			i = space(valid, i+1)
		}
	}
	return items, true
}

// stringOf is what a JSON string says; empty if it is none.
func stringOf(valid []byte) string {
	if len(valid) < 2 || valid[0] != '"' {
		return ""
	}
	inner := valid[1 : len(valid)-1]
	for _, c := range inner {
		if c == '\\' || c >= 0x80 { // an escape, or what may not be UTF-8
			var s string
			if json.Unmarshal(valid, &s) != nil {
				return "" // unreachable: it is valid
			}
			return s
		}
	}
	return string(inner)
}

// space is where the white space at i ends.
func space(valid []byte, i int) int {
	for i < len(valid) && (valid[i] == ' ' || valid[i] == '\t' || valid[i] == '\n' || valid[i] == '\r') {
		i++
	}
	return i
}

// after is where the value at i ends.
func after(valid []byte, i int) int {
	for depth := 0; i < len(valid); i++ {
		switch valid[i] {
		case '"':
			for i++; valid[i] != '"'; i++ {
				if valid[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 { // a number, or a word
				for i < len(valid) && valid[i] > ' ' && valid[i] != ',' && valid[i] != '}' && valid[i] != ']' {
					i++
				}
				return i
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}
