package sfnapi

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The service reads JSON with Jackson, and tells in Jackson's words why a text is none
// (ReaderBasedJsonParser and ParserMinimalBase of jackson-core 2.x).
const (
	aValue = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
	blanks = " \t\r\n"
)

// A scanner goes through a text that is not JSON until it finds why.
type scanner struct {
	text string
	at   int
	open []int  // where the arrays and objects begin that it is in
	why  string // empty: nothing is wrong so far
}

// mistake is what is wrong with a text first, and how far it was read then; empty
// where nothing is found.
func mistake(text string) (why string, end int) {
	r := &scanner{text: text}
	for r.why == "" && r.more() && !r.mismatched() {
		r.value()
		for r.why == "" && len(r.open) > 0 {
			r.inside()
		}
	}
	return r.why, r.at
}

// more goes past blanks, and is false at the end.
func (r *scanner) more() bool {
	rest := strings.TrimLeft(r.text[r.at:], blanks)
	r.at = len(r.text) - len(rest)
	return rest != ""
}

// fail ends the reading.
func (r *scanner) fail(format string, args ...any) { r.why = fmt.Sprintf(format, args...) }

// strange fails for the character that comes next.
func (r *scanner) strange(where, why string) {
	c, size := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += size
	r.fail("Unexpected character (%s)%s: %s", described(c), where, why)
}

// described is how Jackson shows a character.
func described(c rune) string {
	switch {
	case unicode.IsControl(c):
		return fmt.Sprintf("(CTRL-CHAR, code %d)", c)
	case c > 255:
		return fmt.Sprintf("'%c' (code %d / 0x%x)", c, c, c)
	}
	return fmt.Sprintf("'%c' (code %d)", c, c)
}

// kind is what it is in.
func (r *scanner) kind() string {
	if len(r.open) == 0 {
		return "root"
	}
	return map[byte]string{'{': "Object", '[': "Array"}[r.text[r.open[len(r.open)-1]]]
}

// between fails at the end of the text, where something has to follow.
func (r *scanner) between() { r.fail("Unexpected end-of-input within/between %s entries", r.kind()) }

// inside reads on in an array or object, after a value or where it begins.
func (r *scanner) inside() {
	begin := r.open[len(r.open)-1]
	object, first := r.text[begin] == '{', r.at == begin+1
	if !r.more() {
		line, column := place(r.text, begin)
		r.fail("Unexpected end-of-input: expected close marker for %s (start marker at %s)", r.kind(), source(r.text, line, column))
		return
	}
	if c := r.text[r.at]; object && c == '}' || !object && c == ']' {
		r.at++
		r.open = r.open[:len(r.open)-1]
		return
	}
	if r.mismatched() {
		return
	}
	if !first {
		if r.text[r.at] != ',' {
			r.strange("", "was expecting comma to separate "+r.kind()+" entries")
			return
		}
		if r.at++; !r.more() {
			r.between()
			return
		}
	}
	if object && !r.name() {
		return
	}
	if r.text[r.at] == '}' {
		r.strange("", "expected a value")
		return
	}
	r.value()
}

// mismatched fails where the end of an array or object comes next, though something
// else is open, or nothing is.
func (r *scanner) mismatched() bool {
	want := map[byte]byte{']': '}', '}': ']'}[r.text[r.at]]
	if want == 0 {
		return false
	}
	line, column := 1, 0 // where Jackson has the root begin
	if n := len(r.open); n > 0 {
		line, column = place(r.text, r.open[n-1])
	}
	r.at++
	r.fail("Unexpected close marker '%c': expected '%c' (for %s starting at %s)", r.text[r.at-1], want, r.kind(), source(r.text, line, column))
	return true
}

// name reads the name of a member and the colon; a value is to follow then.
func (r *scanner) name() bool {
	if r.text[r.at] != '"' {
		r.strange("", "was expecting double-quote to start field name")
		return false
	}
	switch r.quoted("name", " in field name"); {
	case r.why != "":
	case !r.more():
		r.between()
	case r.text[r.at] != ':':
		r.strange("", "was expecting a colon to separate field name and value")
	default:
		if r.at++; r.more() {
			return true
		}
		r.between()
	}
	return false
}

// value reads a value, of an array or object its beginning.
func (r *scanner) value() {
	switch c := r.text[r.at]; {
	case c == '{', c == '[':
		r.open = append(r.open, r.at)
		r.at++
	case c == '"':
		r.quoted("string value", ": was expecting closing quote for a string value")
	case c == '-', c >= '0' && c <= '9':
		r.number()
	default:
		r.token()
	}
}

// quoted reads a string.
func (r *scanner) quoted(what, unended string) {
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return
		case c < ' ':
			r.at++
			r.fail("Illegal unquoted character (%s): has to be escaped using backslash to be included in %s", described(rune(c)), what)
			return
		case c == '\\':
			if r.at++; r.at == len(r.text) {
				r.fail("Unexpected end-of-input in character escape sequence")
				return
			}
			if !r.escape() {
				return
			}
		}
	}
	r.fail("Unexpected end-of-input%s", unended)
}

// escape reads what follows a backslash, up to its last character.
func (r *scanner) escape() bool {
	c, size := utf8.DecodeRuneInString(r.text[r.at:])
	switch {
	case strings.ContainsRune(`"\/bfnrt`, c):
		return true
	case c != 'u':
		r.at += size
		r.fail("Unrecognized character escape %s", described(c))
		return false
	}
	for range 4 {
		if r.at++; r.at == len(r.text) {
			r.fail("Unexpected end-of-input in character escape sequence")
			return false
		}
		if !strings.ContainsRune("0123456789abcdefABCDEF", rune(r.text[r.at])) {
			r.strange("", "expected a hex-digit for character escape sequence")
			return false
		}
	}
	return true
}

// number reads a number.
func (r *scanner) number() {
	digits := func(why string) bool {
		begin := r.at
		for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
			r.at++
		}
		switch {
		case r.at > begin:
		case r.at == len(r.text):
			r.fail("Unexpected end-of-input in a Number value")
		default:
			r.strange(" in numeric value", why)
		}
		return r.why == ""
	}
	is := func(set string) bool { return r.at < len(r.text) && strings.IndexByte(set, r.text[r.at]) >= 0 }
	if is("-") {
		r.at++
	}
	begin := r.at
	if !digits("expected digit (0-9) to follow minus sign, for valid numeric value") {
		return
	}
	if r.at > begin+1 && r.text[begin] == '0' {
		r.at = begin + 1
		r.fail("Invalid numeric value: Leading zeroes not allowed")
		return
	}
	if is(".") {
		if r.at++; !digits("Decimal point not followed by a digit") {
			return
		}
	}
	if is("eE") {
		if r.at++; is("+-") {
			r.at++
		}
		if !digits("Exponent indicator not followed by a digit") {
			return
		}
	}
	if len(r.open) == 0 && r.at < len(r.text) && !is(blanks) {
		r.strange("", "Expected space separating root-level values")
	}
}

// token reads null, true, false, or what nobody knows.
func (r *scanner) token() {
	word := r.text[r.at:]
	word = word[:len(word)-len(strings.TrimLeftFunc(word, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' || c == '$' }))]
	if word == "" {
		r.strange("", "expected a valid value "+aValue)
		return
	}
	r.at += len(word)
	switch word {
	case "null", "true", "false":
	case "NaN", "Infinity":
		r.fail("Non-standard token '%s': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow", word)
	default:
		r.fail("Unrecognized token '%s': was expecting %s", word, aValue)
	}
}

// place is the line and column of an offset, from 1.
func place(text string, offset int) (line, column int) {
	before := text[:offset]
	return strings.Count(before, "\n") + 1, len(chars(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}

// chars are what Java counts.
func chars(text string) []uint16 { return utf16.Encode([]rune(text)) }

// source is how Jackson writes a place in a text: with the beginning of it as it is, but
// for control characters (ContentReference).
func source(text string, line, column int) string {
	const most = 500
	begin, more := chars(text), ""
	if n := len(begin) - most; n > 0 {
		begin, more = begin[:most], fmt.Sprintf("[truncated %d chars]", n)
	}
	var shown strings.Builder
	for _, c := range utf16.Decode(begin) {
		if unicode.IsControl(c) && c != '\r' && c != '\n' {
			fmt.Fprintf(&shown, `\u%04X`, c)
		} else {
			shown.WriteRune(c)
		}
	}
	return fmt.Sprintf(`[Source: (String)"%s"%s; line: %d, column: %d]`, &shown, more, line, column)
}
