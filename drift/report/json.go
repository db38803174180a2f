package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// wrong says what is wrong with a value of a known place.
func wrong(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		if kind.Field == "" {
			return fmt.Errorf("is %s, and no object", kind.Value)
		}
		return fmt.Errorf("has at %s %s: want %s", kind.Field, kind.Value, kind.Type)
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

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pointed is the number that a JSON pointer is at (RFC 6901). A truth is 1 or 0.
func pointed(data []byte, pointer string) (float64, error) {
	var at any
	if err := json.Unmarshal(data, &at); err != nil {
		return 0, err
	}
	path := ""
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		var next any
		ok := false
		var names []string
		switch v := at.(type) {
		case map[string]any:
			next, ok = v[name]
			names = sorted(v)
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) && strconv.Itoa(i) == name {
				next, ok = v[i], true
			}
			names = []string{fmt.Sprintf("%d items", len(v))}
		}
		path += "/" + token
		if !ok {
			return 0, fmt.Errorf("has nothing at %s%s", path, have(names))
		}
		at = next
	}
	switch v := at.(type) {
	case float64:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	text, _ := json.Marshal(at)
	return 0, fmt.Errorf("has no number at %q, but %s", pointer, short(text))
}
