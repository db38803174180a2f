package sfnapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// notJSON says why a text is not JSON, in the service's words; empty: it is.
func notJSON(text string) string {
	if strings.TrimSpace(text) == "" {
		return "Invalid execution input."
	}
	message, _, _ := jackson(text)
	return message
}

// jackson says why a text is not JSON as the parser of the service does, and
// where it noticed: line and column from 1. It is empty where the text is JSON.
func jackson(text string) (message string, line, column int) {
	if at := tooDeep(text); at >= 0 {
		line, column = place(text, at)
		return fmt.Sprintf("Document nesting depth (%d) exceeds the maximum allowed (%d)", value.MaxDepth+1, value.MaxDepth), line, column
	}
	if json.Valid([]byte(text)) {
		return "", 0, 0
	}
	message, end := mistake(text)
	if message == "" { // something follows what is JSON
		message = "Unexpected character after the value"
	}
	line, column = place(text, end)
	return message, line, column
}

// tooDeep is where a text opens more arrays and objects than a value may have; -1:
// nowhere.
func tooDeep(text string) int {
	if strings.Count(text, "[")+strings.Count(text, "{") <= value.MaxDepth { // as most
		return -1
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > value.MaxDepth {
				return i
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return -1
}
