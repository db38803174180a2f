package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// A template is a value with expressions in it: constants, or {expr: CEL}, at
// any depth.
type template struct {
	path     string
	constant any
	expr     *expr
	fields   map[string]*template
	items    []*template
}

// template checks the value at path; an object whose only key is `expr` is an
// expression.
func (c *compiler) template(path string, value any, p place) *template {
	t := &template{path: path}
	switch value := value.(type) {
	case map[string]any:
		if source, ok := value["expr"]; ok {
			text, isText := source.(string)
			switch {
			case len(value) > 1:
				c.problems.add(path, "an expression is {expr: CEL}, with no other key beside it")
			case !isText:
				c.problems.add(At(path, "expr"), "an expression is a string: write expr: \"%v\"", source)
			default:
				t.expr = c.expr(At(path, "expr"), text, p)
			}
			return t
		}
		t.fields = map[string]*template{}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			t.fields[key] = c.template(At(path, key), value[key], p)
		}
	case []any:
		t.items = []*template{}
		for i, item := range value {
			t.items = append(t.items, c.template(path+"["+strconv.Itoa(i)+"]", item, p))
		}
	default:
		t.constant = value
	}
	return t
}

// value fills the template in. The error names the expression that has no
// value.
func (t *template) value(v vars) (any, error) {
	switch {
	case t.expr != nil:
		result, _, err := t.expr.eval(v)
		if err == nil {
			var value any
			if value, err = native(result); err == nil {
				return value, nil
			}
		}
		return nil, fmt.Errorf("%s: %s: %w", t.path, t.expr.text, err)
	case t.fields != nil:
		out := make(map[string]any, len(t.fields))
		for _, key := range slices.Sorted(maps.Keys(t.fields)) {
			value, err := t.fields[key].value(v)
			if err != nil {
				return nil, err
			}
			out[key] = value
		}
		return out, nil
	case t.items != nil:
		out := make([]any, len(t.items))
		for i, item := range t.items {
			var err error
			if out[i], err = item.value(v); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return t.constant, nil
}
