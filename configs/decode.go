package configs

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// notBuilt is the type of a key that is refused by its name.
type notBuilt = policy.NotBuilt

// A decoder fills Go values from the nodes of one document, by the json tags
// of their fields.
type decoder struct {
	*source
	nodes map[string]*node // by path, as in policy.Problem
	bad   map[*node]bool   // those of a wrong form, which are reported
	seen  int
	notes Problems
}

// decoded is what decodes itself.
type decoded interface {
	decode(d *decoder, n *node, path string)
}

func decodeDocument(s *source, n *node, into any) *decoder {
	d := &decoder{source: s, nodes: map[string]*node{}, bad: map[*node]bool{}}
	d.into(reflect.ValueOf(into).Elem(), n, "")
	return d
}

// wrong reports that n is not what is needed.
func (d *decoder) wrong(n *node, need string) {
	d.form(n, "%s is needed here, this is %s", need, n.is())
}

// form reports what is wrong with the form of n.
func (d *decoder) form(n *node, format string, args ...any) {
	d.bad[n] = true
	d.report(n.line, n.column, format, args...)
}

func (d *decoder) into(v reflect.Value, n *node, path string) {
	if d.tooMany() {
		return
	}
	d.nodes[path] = n
	if n.wrong {
		d.bad[n] = true
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *notBuilt:
		key := path[strings.LastIndexByte(path, '.')+1:]
		d.bad[n] = true
		d.bad[d.at(path[:len(path)-len(key)-1])] = true // nothing is missing where it stands
		d.report(n.keyLine, n.keyColumn, "%s is not built yet", key)
		return
	case decoded:
		into.decode(d, n, path)
		return
	case encoding.TextUnmarshaler:
		if n.kind == boolean || n.kind == number || n.kind == text {
			if err := into.UnmarshalText([]byte(n.raw)); err != nil {
				d.form(n, "%v", err)
			}
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.kind != null {
			v.Set(reflect.New(v.Type().Elem()))
			d.into(v.Elem(), n, path)
		}
	case reflect.Struct:
		d.object(v, n, path)
	case reflect.Map:
		if n.kind != mapping {
			if n.kind != null {
				d.wrong(n, "a mapping")
			}
			return
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
		for _, e := range n.entries {
			value := reflect.New(v.Type().Elem()).Elem()
			d.into(value, e.value, policy.At(path, e.key))
			v.SetMapIndex(reflect.ValueOf(e.key), value)
		}
	case reflect.Slice:
		if n.kind != sequence {
			if n.kind != null {
				d.wrong(n, "a list")
			}
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
		for i, item := range n.items {
			d.into(v.Index(i), item, path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.String:
		switch n.kind {
		case text:
			v.SetString(n.raw)
		case boolean, number:
			d.form(n, "a string is needed here, this is %s: write %q", n.is(), n.raw)
		default:
			d.wrong(n, "a string")
		}
	case reflect.Float64:
		f, ok := float(n.value)
		if n.kind != number || !ok {
			d.wrong(n, "a number")
			return
		}
		v.SetFloat(f)
	case reflect.Int, reflect.Int64:
		whole, ok := integer(n.value)
		if n.kind != number || !ok {
			d.wrong(n, "a whole number")
			return
		}
		v.SetInt(whole)
	case reflect.Bool:
		if n.kind != boolean {
			d.wrong(n, "true or false")
			return
		}
		v.SetBool(n.value.(bool))
	case reflect.Interface:
		if value := d.plain(n, path); value != nil {
			v.Set(reflect.ValueOf(value))
		}
	default:
		panic("unreachable: no configuration has a " + v.Kind().String())
	}
}

// tooMany counts a value, and reports the one that is too many.
func (d *decoder) tooMany() bool {
	if d.seen++; d.seen == maxNodes+1 {
		d.report(0, 0, "too large: more than %d values, counting each use of an alias", maxNodes)
	}
	return d.seen > maxNodes
}

func integer(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	}
	return 0, false
}

func float(value any) (float64, bool) {
	switch n := value.(type) {
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}

func (d *decoder) object(v reflect.Value, n *node, path string) {
	if n.kind != mapping {
		if n.kind != null {
			d.wrong(n, "a mapping")
		}
		return
	}
	names := make([]string, v.NumField()) // by field; - for none
	for i := range names {
		if names[i], _, _ = strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); names[i] == "" {
			names[i] = "-"
		}
	}
	for _, e := range n.entries {
		key := e.key
		if key == "-" || !slices.Contains(names, key) {
			var have []string
			for i, name := range names {
				if name != "-" && v.Field(i).Type() != reflect.TypeFor[notBuilt]() {
					have = append(have, name)
				}
			}
			d.report(e.line, e.column, "unknown key %q%s", key, policy.Have(key, have))
			// It is taken for the key that it may be, so that this is not
			// reported as missing.
			key = policy.Nearest(key, have)
			if key == "" || slices.ContainsFunc(n.entries, func(e entry) bool { return e.key == key }) {
				continue
			}
		}
		field, tag := v.Field(slices.Index(names, key)), v.Type().Field(slices.Index(names, key)).Tag
		d.into(field, e.value, policy.At(path, key))
		if least := tag.Get("min"); least != "" && strings.Contains(tag.Get("json"), ",omit") && field.IsZero() && e.value.kind != null && !d.bad[e.value] {
			d.form(e.value, "%s is what is taken where %s is left out: write at least %s, or leave it out", e.value.raw, key, least)
		}
	}
}

// plain is n as JSON has it.
func (d *decoder) plain(n *node, path string) any {
	if d.tooMany() {
		return nil
	}
	d.nodes[path] = n
	switch n.kind {
	case boolean, text:
		return n.value
	case number:
		if f, ok := n.value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			d.report(n.line, n.column, "%s is no number in JSON", n.raw)
			return nil
		}
		return n.value
	case sequence:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = d.plain(item, path+"["+strconv.Itoa(i)+"]")
		}
		return list
	case mapping:
		object := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			object[e.key] = d.plain(e.value, policy.At(path, e.key))
		}
		return object
	}
	return nil
}

// at is the node at path, or the nearest one around it.
func (d *decoder) at(path string) *node {
	for {
		if n, ok := d.nodes[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['), 0)]
	}
}

// add reports a problem of the value at path, or inside the string there; not
// where its form is wrong already, or that of the nearest value around it.
func (d *decoder) add(path string, offset int, format string, args ...any) {
	if line, column, ok := d.place(path, offset); ok {
		d.report(line, column, "%s", fmt.Sprintf(format, args...))
	}
}

// warn reports what is sound and is hardly meant so.
func (d *decoder) warn(path string, offset int, message string) {
	if line, column, ok := d.place(path, offset); ok {
		*d.problems = append(*d.problems, Problem{File: d.file, Line: line, Column: column, Message: message, Warning: true})
	}
}

// note says what may be otherwise where the daemon runs.
func (d *decoder) note(path, format string, args ...any) {
	if line, column, ok := d.place(path, -1); ok {
		d.notes = append(d.notes, Problem{File: d.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
	}
}

// place is where the value at path is, or byte offset in it; false where its
// form is wrong.
func (d *decoder) place(path string, offset int) (line, column int, ok bool) {
	n := d.at(path)
	if d.bad[n] {
		return 0, 0, false
	}
	line, column = n.line, n.column
	if _, exact := d.nodes[path]; offset >= 0 && exact && n.kind == text {
		line, column = d.inside(n, offset)
	} else if n.kind == mapping || n.kind == sequence {
		line, column = n.keyLine, n.keyColumn
	}
	return line, column, true
}
