package sfnapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

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
	place := func(offset int) (int, int) {
		before := text[:offset]
		return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	}
	if at := tooDeep(text); at >= 0 {
		line, column = place(at)
		return fmt.Sprintf("Document nesting depth (%d) exceeds the maximum allowed (%d)", value.MaxDepth+1, value.MaxDepth), line, column
	}
	if json.Valid([]byte(text)) {
		return "", 0, 0
	}
	at, names := stopped(text)
	rest := text[at:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
		message = "Unexpected end-of-input"
	case names:
		message = fmt.Sprintf("Unexpected character ('%c' (code %d)): was expecting double-quote to start field name", r, r)
	case unicode.IsLetter(r):
		word := rest[:len(rest)-len(strings.TrimLeftFunc(rest, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '$' }))]
		message = fmt.Sprintf("Unrecognized token '%s': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", word)
		line, column = place(at + len(word))
		return message, line, column
	default:
		message = fmt.Sprintf("Unexpected character ('%c' (code %d)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", r, r)
	}
	line, column = place(at + size)
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

// stopped is where a text that is not JSON stops being it, and whether the name
// of a member should stand there.
func stopped(text string) (at int, names bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		t, err := d.Token()
		at = int(d.InputOffset())
		if err == nil {
			names = t == json.Delim('{') || names && t == json.Delim('}')
			continue
		}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = max(at, 0)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if rest := bytes.TrimSpace([]byte(text[at:])); len(rest) == 0 {
				return len(text), false
			}
		}
		skipped := strings.TrimLeft(text[at:], " \t\r\n,:")
		return len(text) - len(skipped), names
	}
}
