package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What follows goes through JSON that is valid, member by member: what is not asked
// for is passed and not kept, however much there is.

// valid gives a document's value, without the space around it, or says where it is
// no JSON.
func valid(data []byte) ([]byte, error) {
	if !json.Valid(data) {
		var value json.RawMessage
		return nil, json.Unmarshal(data, &value)
	}
	return bytes.TrimSpace(data), nil
}

// object is a document that is one object.
func object(data []byte) ([]byte, error) {
	value, err := valid(data)
	if err == nil && value[0] != '{' {
		err = fmt.Errorf("is %s, and no object", kindOf(value))
	}
	return value, err
}

// kindOf is what kind of value it is.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// past is the place behind what divides values.
func past(data []byte, at int, divides string) int {
	for at < len(data) && strings.IndexByte(divides, data[at]) >= 0 {
		at++
	}
	return at
}

const space = " \t\r\n"

// end is where the value ends that begins at a place.
func end(data []byte, at int) int {
	for depth := 0; at < len(data); {
		switch c := data[at]; c {
		case '"':
			for at++; data[at] != '"'; at++ {
				if data[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			if depth == 0 { // a number or a word
				for at < len(data) && strings.IndexByte(",]}"+space, data[at]) < 0 {
					at++
				}
				return at
			}
		}
		if at++; depth == 0 {
			return at
		}
	}
	return at
}

// items hands out the items of a list.
func items(list []byte, visit func(item []byte) error) error {
	for at := past(list, 1, space); list[at] != ']'; at = past(list, at, ","+space) {
		to := end(list, at)
		if err := visit(list[at:to]); err != nil {
			return err
		}
		at = to
	}
	return nil
}

// members hands out the members of an object.
func members(object []byte, visit func(name string, value []byte) error) error {
	for at := past(object, 1, space); object[at] != '}'; at = past(object, at, ","+space) {
		from := at
		at = end(object, at)
		var name string
		if quoted := object[from:at]; bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
			name = string(quoted[1 : len(quoted)-1])
		} else if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
		from = past(object, at, ":"+space)
		at = end(object, from)
		if err := visit(name, object[from:at]); err != nil {
			return err
		}
	}
	return nil
}

// listed hands out the items of a member that is a list; null is none.
func listed(name string, value []byte, visit func(item []byte) error) (there bool, err error) {
	switch value[0] {
	case 'n':
		return false, nil
	case '[':
		return true, items(value, visit)
	}
	return false, fmt.Errorf("has at %s %s: want a list", name, kindOf(value))
}

// take decodes a value that is at a known place.
func take(at string, value []byte, into any) error {
	err := json.Unmarshal(value, into)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("has at %s %s: want %s", strings.Trim(at+"."+kind.Field, "."), kind.Value, kind.Type)
	}
	return err
}

// short is the beginning of a value, for a message.
func short(data []byte) string {
	const most = 60
	if len(data) > most {
		return strings.ToValidUTF8(string(data[:most]), "") + "…"
	}
	return string(data)
}

func have(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return ""
	}
	if len(names) > 10 {
		names = append(names[:10:10], "…")
	}
	return " (have " + strings.Join(names, ", ") + ")"
}

// mostHeld is how many names are held for a message.
const mostHeld = 1000

// pointed is the number that a JSON pointer is at (RFC 6901). A truth is 1 or 0.
func pointed(data []byte, pointer string) (float64, error) {
	value, err := valid(data)
	if err != nil {
		return 0, err
	}
	path := ""
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		path += "/" + token
		found, names, err := child(value, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		if err != nil {
			return 0, err
		}
		if found == nil {
			return 0, fmt.Errorf("has nothing at %s%s", path, have(names))
		}
		value = found
	}
	switch kindOf(value) {
	case "number":
		var n float64
		err := take(pointer, value, &n)
		return n, err
	case "bool":
		if value[0] == 't' {
			return 1, nil
		}
		return 0, nil
	}
	var text bytes.Buffer
	if err := json.Compact(&text, value); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("has no number at %q, but %s", pointer, short(text.Bytes()))
}

// child is a member or an item of a value, or nil, and then what there is. Of members
// of one name the last counts.
func child(value []byte, name string) (found []byte, names []string, err error) {
	switch value[0] {
	case '{':
		err = members(value, func(member string, v []byte) error {
			if member == name {
				found = v
			} else if len(names) < mostHeld {
				names = append(names, member)
			}
			return nil
		})
	case '[':
		at, wanted := 0, -1
		if i, err := strconv.Atoi(name); err == nil && strconv.Itoa(i) == name {
			wanted = i
		}
		err = items(value, func(v []byte) error {
			if at == wanted {
				found = v
			}
			at++
			return nil
		})
		names = []string{fmt.Sprintf("%d items", at)}
	}
	return found, names, err
}
