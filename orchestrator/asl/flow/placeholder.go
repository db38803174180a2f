package flow

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A definition is often checked in as a template: CloudFormation, SAM, Terraform or
// the Serverless Framework put something in the place of ${Name}, of {"Ref": …} and of
// {"Fn::…": …} before it is used. Where the language asks for something else than such
// a place, nothing is known of it, which is no mistake.

// placeholder is text that is filled in.
var placeholder = regexp.MustCompile(`\$\{[^{}]+\}`)

// quoted puts a string of blanks in the place of each ${Name} that is no part of a
// string, so that the rest can be read as JSON, at the same offsets. These are where
// they begin.
func quoted(definition []byte) ([]byte, map[int]string) {
	bare := map[int]string{}
	inside := false // of a string
	for i := 0; i < len(definition); i++ {
		switch c := definition[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && c == '$':
			n := extent(definition[i:])
			if n == 0 {
				continue
			}
			if len(bare) == 0 {
				definition = bytes.Clone(definition)
			}
			bare[i] = string(definition[i : i+n])
			copy(definition[i:], `"`+strings.Repeat(" ", n-2)+`"`)
			i += n - 1
		}
	}
	return definition, bare
}

// extent is how long the ${Name} is that text begins with, braces and strings inside of
// it counted, as in ${jsonencode({a = "}"})}; 0 if it begins with none, or if that has
// several lines or a thousand bytes.
func extent(text []byte) int {
	if !bytes.HasPrefix(text, []byte("${")) {
		return 0
	}
	depth, inside := 0, false
	for i, c := range text[:min(len(text), 1000)] {
		switch {
		case c == '\n':
			return 0
		case c == '"':
			inside = !inside
		case inside:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// unfilled is what is to be filled in at a value; empty where nothing is.
func (a *analysis) unfilled(n *value.Node) string {
	if text, ok := a.bare[n.Offset]; ok {
		return text
	}
	if n.Value.Kind() == value.String {
		return placeholder.FindString(n.Value.Text())
	}
	if n.Value.Kind() == value.Object && n.Value.Len() == 1 {
		if key := n.Value.Key(0); key == "Ref" || strings.HasPrefix(key, "Fn::") {
			return fmt.Sprintf("{%q: …}", key)
		}
	}
	return ""
}

// excuse makes warnings of the errors that are about what is to be filled in. Where
// that is which state comes next, it may lead to any.
func (a *analysis) excuse() {
	for pointer := range a.open {
		if strings.HasSuffix(pointer, "/Next") || strings.HasSuffix(pointer, "/Default") {
			a.problems = slices.DeleteFunc(a.problems, func(p asl.Problem) bool { return strings.HasPrefix(p.Message, "nothing leads to this state") })
			break
		}
	}
	for i, p := range a.problems {
		if what := a.open[p.Pointer]; what != "" && p.Severity == asl.SeverityError {
			a.problems[i].Severity = asl.SeverityWarning
			a.problems[i].Message = what + " is filled in before the definition is used: nothing is known of what will stand here"
		}
	}
}
