package sfnapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonata"
)

// variables are the variables that each state of a definition reads, by the
// state's name, in the order of their names.
func variables(definition []byte) map[string][]string {
	var machine map[string]any
	if json.Unmarshal(definition, &machine) != nil {
		return nil
	}
	found := map[string][]string{}
	readers(machine, "JSONPath", found)
	if len(found) == 0 {
		return nil
	}
	return found
}

// readers adds what the states of a machine, a branch or a processor read.
func readers(machine map[string]any, language string, found map[string][]string) {
	if l, ok := machine["QueryLanguage"].(string); ok {
		language = l
	}
	states, _ := machine["States"].(map[string]any)
	for name, s := range states {
		state, _ := s.(map[string]any)
		mine := language
		if l, ok := state["QueryLanguage"].(string); ok {
			mine = l
		}
		read := map[string]bool{}
		for field, value := range state {
			switch field {
			case "Branches":
				branches, _ := value.([]any)
				for _, b := range branches {
					branch, _ := b.(map[string]any)
					readers(branch, language, found)
				}
			case "Iterator", "ItemProcessor":
				processor, _ := value.(map[string]any)
				readers(processor, language, found)
			case "Comment", "Type", "Next", "Result":
			default:
				reads(field, value, mine, read)
			}
		}
		if len(read) > 0 {
			var names []string
			for v := range read {
				names = append(names, v)
			}
			slices.Sort(names)
			found[name] = names
		}
	}
}

// reads adds the variables that a value reads.
func reads(field string, value any, language string, read map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for k, x := range v {
			reads(k, x, language, read)
		}
	case []any:
		for _, x := range v {
			reads(field, x, language, read)
		}
	case string:
		switch {
		case language == "JSONata":
			ofJSONata(v, read)
		case strings.HasSuffix(field, ".$") || strings.HasSuffix(field, "Path") || field == "Variable":
			ofPath(v, read)
		}
	}
}

func ofJSONata(text string, read map[string]bool) {
	inside, ok := strings.CutPrefix(strings.TrimSpace(text), "{%")
	inside, closed := strings.CutSuffix(inside, "%}")
	if !ok || !closed {
		return
	}
	x, err := jsonata.ParseStates(inside)
	if err != nil {
		return
	}
	for _, r := range x.References() {
		if r.Variable != "" && r.Variable != "states" {
			read[r.Variable] = true
		}
	}
}

// pathVariable is a variable in a path or in an intrinsic function: $name, which
// is neither $ nor $$.
var pathVariable = regexp.MustCompile(`(^|[^$\pL\pN_])\$([\pL_][\pL\pN_]*)`)

// quotedText is a text in an intrinsic function.
var quotedText = regexp.MustCompile(`'(?:[^'\\]|\\.)*'`)

func ofPath(text string, read map[string]bool) {
	text = quotedText.ReplaceAllString(text, "''")
	for _, m := range pathVariable.FindAllStringSubmatch(text, -1) {
		read[m[2]] = true
	}
}
