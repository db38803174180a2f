package sfnapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// The codes of what the service takes and warns of.
const (
	codeNoDollar = "NO_DOLLAR"
	codeNoPath   = "NO_PATH"
	codeStatic   = "PASS_RESULT_IS_STATIC"
)

// hints are the warnings of the service about a definition in which nothing is wrong: a
// path, or a call of an intrinsic function, stands where it is text.
func hints(definition string) []diagnostic {
	var machine struct{ QueryLanguage string }
	v, err := value.ParseString(definition)
	if err != nil || json.Unmarshal([]byte(definition), &machine) != nil {
		return nil // which is told of as an error
	}
	h := &hinter{jsonata: machine.QueryLanguage == "JSONata"}
	h.machine(v, "")
	return h.found
}

type hinter struct {
	jsonata bool // the machine is, where a state does not say
	found   []diagnostic
}

func (h *hinter) add(code, at, format string, args ...any) {
	h.found = append(h.found, diagnostic{"WARNING", code, fmt.Sprintf(format, args...), at})
}

// machine looks at the states of the machine that is at a place.
func (h *hinter) machine(m value.Value, at string) {
	states, _ := m.Find("States")
	for i := range states.Len() {
		if st, here := states.At(i), at+"/States/"+states.Key(i); st.Kind() == value.Object {
			h.state(st, here)
		}
	}
}

func (h *hinter) state(st value.Value, at string) {
	language, said := st.Find("QueryLanguage")
	jsonata := h.jsonata && !said || language.Text() == "JSONata"
	kind, _ := st.Find("Type")
	for i := range st.Len() {
		key, v, here := st.Key(i), st.At(i), at+"/"+st.Key(i)
		switch {
		case key == "ItemProcessor" || key == "Iterator":
			h.machine(v, here)
		case key == "Branches" && v.Kind() == value.Array:
			for k := range v.Len() {
				h.machine(v.At(k), fmt.Sprintf("%s[%d]", here, k))
			}
		case jsonata: // in which everything says what it is
		case key == "Result" && kind.Text() == "Pass":
			if computed(v) {
				h.add(codeStatic, here, "The Result of a Pass state is taken as it is written: what looks like a path in it is text")
			}
		case key == "Parameters" || key == "ResultSelector" || key == "ItemSelector" || key == "Assign":
			h.template(v, here)
		case key == "Choices" && v.Kind() == value.Array:
			for k := range v.Len() {
				h.rule(v.At(k), fmt.Sprintf("%s[%d]", here, k))
			}
		case key == "Error" || key == "Cause":
			h.constant(key, v, here)
		}
	}
}

// rule looks at the comparisons of a rule and of those in it.
func (h *hinter) rule(r value.Value, at string) {
	for i := range r.Len() {
		key, v, here := r.Key(i), r.At(i), at+"/"+r.Key(i)
		switch {
		case v.Kind() == value.Array:
			for k := range v.Len() {
				h.rule(v.At(k), fmt.Sprintf("%s[%d]", here, k))
			}
		case v.Kind() == value.Object:
			h.rule(v, here)
		case strings.HasPrefix(key, "String") && !strings.HasSuffix(key, "Path"):
			h.constant(key, v, here)
		}
	}
}

// constant looks at a field that has another for a path.
func (h *hinter) constant(key string, v value.Value, at string) {
	if looksComputed(v) {
		h.add(codeNoPath, at, "The value of '%s' looks like a path, but is text: the field for a path is '%sPath'", key, key)
	}
}

// template looks at the fields of an object that may be computed.
func (h *hinter) template(v value.Value, at string) {
	for i := range v.Len() {
		x := v.At(i)
		switch {
		case v.Kind() == value.Array:
			h.template(x, fmt.Sprintf("%s[%d]", at, i))
		case v.Kind() != value.Object || strings.HasSuffix(v.Key(i), ".$"):
		case looksComputed(x):
			h.add(codeNoDollar, at+"/"+v.Key(i), "The value of '%s' looks like a path or an intrinsic function, but is text: the name of the field does not end with '.$'", v.Key(i))
		default:
			h.template(x, at+"/"+v.Key(i))
		}
	}
}

// computed reports whether anything in a value is written as if it were computed.
func computed(v value.Value) bool {
	for i := range v.Len() {
		if v.Kind() == value.Object && strings.HasSuffix(v.Key(i), ".$") || computed(v.At(i)) {
			return true
		}
	}
	return looksComputed(v)
}

// looksComputed reports whether a text looks like a path or a call.
func looksComputed(v value.Value) bool {
	if v.Kind() != value.String {
		return false
	}
	s := v.Text()
	return s == "$" || s == "$$" || strings.HasPrefix(s, "$.") || strings.HasPrefix(s, "$[") || strings.HasPrefix(s, "$$.") ||
		strings.HasPrefix(s, "States.") && strings.HasSuffix(s, ")")
}
