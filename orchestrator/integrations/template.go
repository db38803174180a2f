package integrations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Misfits are the parameters that Step Functions takes no definition with, in its own
// words: those that an optimized integration does not have, and those that it requires
// and are not there. The parameters are as they are written, in JSONata or else in
// JSONPath; what one of them comes to when the state runs is not looked at.
func Misfits(resource string, parameters value.Value, jsonata bool) []string {
	rest, ok := strings.CutPrefix(resource, "arn:aws:states:::")
	service, action, _ := strings.Cut(rest, ":")
	action, _, _ = strings.Cut(action, ".")
	m := models()[service]
	if !ok || m == nil {
		return nil
	}
	op, known := m.Operations[action]
	if !known || parameters.Kind() != value.Object {
		return nil
	}
	w := written{m: m, jsonata: jsonata}
	w.value(op.In, parameters)
	return w.misfits
}

// written looks at parameters as they are written.
type written struct {
	m       *model
	jsonata bool
	misfits []string
}

func (w *written) value(of string, v value.Value) {
	t := w.m.Shapes[of]
	switch {
	case t == nil:
	case t.Type == "object" && v.Kind() == value.Object:
		w.object(of, t, v)
	case t.Type == "array" && v.Kind() == value.Array:
		for i := range v.Len() {
			w.value(t.Of, v.At(i))
		}
	case t.Type == "map" && v.Kind() == value.Object:
		for i := range v.Len() {
			w.value(t.Of, v.At(i))
		}
	}
}

func (w *written) object(of string, t *shape, v value.Value) {
	there := map[string]bool{}
	for i := range v.Len() {
		key, computed := v.Key(i), false
		if !w.jsonata {
			key, computed = strings.CutSuffix(key, ".$")
		}
		member, ok := t.named(key)
		there[member] = true
		switch {
		case !ok:
			w.misfits = append(w.misfits, fmt.Sprintf("The field '%s' is not supported by Step Functions", key))
		case !computed && !slices.Contains(rules()[of].free, member):
			w.value(t.Members[member], v.At(i))
		}
	}
	for _, member := range t.Required {
		if !there[member] {
			w.misfits = append(w.misfits, fmt.Sprintf("The field '%s' is required but was missing", member))
		}
	}
}

// named is the member that a key means: after its first letter the services' own
// capitals do not matter.
func (t *shape) named(key string) (member string, ok bool) {
	if _, ok := t.Members[key]; ok {
		return key, true
	}
	if key == "" || key[0] < 'A' || key[0] > 'Z' {
		return "", false
	}
	for member := range t.Members {
		if strings.EqualFold(member, key) {
			return member, true
		}
	}
	return "", false
}
