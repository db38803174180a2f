package jsonata

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A token is a word of an expression. Its id is what the parser goes by: that
// of an operator is the operator.
type token struct {
	id    string
	typ   nodeType // of the node that it becomes
	text  string
	value val // of a literal
	regex *regex
	pos   int // where it ends, in bytes
}

// The ids of tokens that are no operators.
const (
	idEnd     = "(end)"
	idName    = "(name)"
	idLiteral = "(literal)"
	idRegex   = "(regex)"
)

// operators are those of one character; the rest of a name begins at one.
const operators = ".[]{}(),@#;:?+-*/%|=<>^&!~"

var longOperators = []string{"..", ":=", "!=", ">=", "<=", "**", "~>"}

const blanks = " \t\n\r\v"

type lexer struct {
	source string
	pos    int
}

// next is the next token. After an operand a slash is an operator, else it
// begins a regular expression.
func (l *lexer) next(operand bool) (token, *Error) {
	s := l.source
	for {
		for l.pos < len(s) && strings.IndexByte(blanks, s[l.pos]) >= 0 {
			l.pos++
		}
		if !strings.HasPrefix(s[l.pos:], "/*") {
			break
		}
		end := strings.Index(s[l.pos+2:], "*/")
		if end < 0 {
			return token{}, misuse("S0106", l.pos, "")
		}
		l.pos += end + 4
	}
	if l.pos >= len(s) {
		return token{id: idEnd, typ: nodeEnd, text: idEnd, pos: len(s)}, nil
	}
	c := s[l.pos]
	if c == '/' && !operand {
		l.pos++
		return l.regex()
	}
	for _, op := range longOperators {
		if strings.HasPrefix(s[l.pos:], op) {
			l.pos += 2
			return token{id: op, typ: nodeOperator, text: op, pos: l.pos}, nil
		}
	}
	if strings.IndexByte(operators, c) >= 0 {
		l.pos++
		return token{id: s[l.pos-1 : l.pos], typ: nodeOperator, text: s[l.pos-1 : l.pos], pos: l.pos}, nil
	}
	switch {
	case c == '"' || c == '\'':
		return l.string(c)
	case c >= '0' && c <= '9':
		return l.number()
	case c == '`':
		end := strings.IndexByte(s[l.pos+1:], '`')
		if end < 0 {
			return token{}, misuse("S0105", len(s), "")
		}
		name := s[l.pos+1 : l.pos+1+end]
		l.pos += end + 2
		return token{id: idName, typ: nodeName, text: name, pos: l.pos}, nil
	}
	start := l.pos
	for l.pos < len(s) && strings.IndexByte(blanks, s[l.pos]) < 0 && strings.IndexByte(operators, s[l.pos]) < 0 {
		l.pos++
	}
	t := token{id: idName, typ: nodeName, text: s[start:l.pos], pos: l.pos}
	switch name := t.text; {
	case name[0] == '$':
		t.typ, t.text = nodeVariable, name[1:]
	case name == "and" || name == "or" || name == "in":
		t.id, t.typ = name, nodeOperator
	case name == "true" || name == "false":
		t.id, t.typ, t.value = idLiteral, nodeValue, ofBool(name == "true")
	case name == "null":
		t.id, t.typ, t.value = idLiteral, nodeValue, valNull
	}
	return t, nil
}

func (l *lexer) string(quote byte) (token, *Error) {
	s := l.source
	l.pos++
	start := l.pos
	var b []byte
	for l.pos < len(s) {
		c := s[l.pos]
		switch {
		case c == quote:
			if b == nil {
				b = []byte(s[start:l.pos])
			}
			l.pos++
			t := string(b)
			return token{id: idLiteral, typ: nodeString, text: t, value: ofText(t), pos: l.pos}, nil
		case c != '\\':
			if b != nil {
				b = append(b, c)
			}
			l.pos++
			continue
		}
		if b == nil {
			b = append(make([]byte, 0, 32), s[start:l.pos]...)
		}
		l.pos++
		if l.pos >= len(s) {
			return token{}, misuse("S0103", l.pos, "")
		}
		r, size := utf8.DecodeRuneInString(s[l.pos:])
		if i := strings.IndexRune(`"\/bfnrt`, r); i >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[i])
		} else if r == 'u' {
			digits := s[l.pos+1:]
			if len(digits) > 4 {
				digits = digits[:4]
			}
			n, err := strconv.ParseUint(digits, 16, 16)
			if err != nil {
				return token{}, misuse("S0104", l.pos, "")
			}
			b = appendUnit(b, uint16(n))
			l.pos += len(digits)
		} else {
			return token{}, misuse("S0103", l.pos, s[l.pos:l.pos+size])
		}
		l.pos += size
	}
	return token{}, misuse("S0101", len(s), "")
}

func (l *lexer) number() (token, *Error) {
	s, start := l.source, l.pos
	digits := func() bool {
		from := l.pos
		for l.pos < len(s) && s[l.pos] >= '0' && s[l.pos] <= '9' {
			l.pos++
		}
		return l.pos > from
	}
	if s[l.pos] == '0' {
		l.pos++
	} else {
		digits()
	}
	if end := l.pos; end < len(s) && s[end] == '.' {
		if l.pos++; !digits() {
			l.pos = end
		}
	}
	if end := l.pos; end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		if l.pos++; l.pos < len(s) && (s[l.pos] == '+' || s[l.pos] == '-') {
			l.pos++
		}
		if !digits() {
			l.pos = end
		}
	}
	f, _ := strconv.ParseFloat(s[start:l.pos], 64) // ±Inf where it is out of range
	if math.IsInf(f, 0) {
		return token{}, misuse("S0102", start, s[start:l.pos])
	}
	return token{id: idLiteral, typ: nodeNumber, text: value.FormatFloat(f), value: ofNumber(f), pos: l.pos}, nil
}

// regex reads a regular expression whose first slash has been read.
func (l *lexer) regex() (token, *Error) {
	s, start := l.source, l.pos
	depth, slashes := 0, 0 // backslashes in a row
	for ; l.pos < len(s); l.pos++ {
		c := s[l.pos]
		if slashes++; l.pos == start || s[l.pos-1] != '\\' {
			slashes = 0
		}
		escaped := slashes > 0
		switch {
		case c == '/' && depth == 0 && slashes%2 == 0:
			pattern := s[start:l.pos]
			if pattern == "" {
				return token{}, misuse("S0301", l.pos, "")
			}
			l.pos++
			from := l.pos
			for l.pos < len(s) && (s[l.pos] == 'i' || s[l.pos] == 'm') {
				l.pos++
			}
			re, err := compileRegex(pattern, s[from:l.pos])
			if err != nil {
				return token{}, &Error{Code: "S0303", Position: start, Token: pattern, raw: "Invalid regular expression: /" + pattern + "/: " + err.Error()}
			}
			return token{id: idRegex, typ: nodeRegex, text: pattern, regex: re, pos: l.pos}, nil
		case !escaped && (c == '(' || c == '[' || c == '{'):
			depth++
		case !escaped && (c == ')' || c == ']' || c == '}'):
			depth--
		}
	}
	return token{}, misuse("S0302", len(s), "")
}

// appendUnit appends a UTF-16 code unit to a string: the second half of a
// surrogate pair joins the first. A lone half is kept as its three bytes.
func appendUnit(b []byte, u uint16) []byte {
	r := rune(u)
	if n := len(b); r >= 0xdc00 && r < 0xe000 && n >= 3 {
		if high, ok := value.Half(string(b[n-3:])); ok && high < 0xdc00 {
			return utf8.AppendRune(b[:n-3], utf16.DecodeRune(high, r))
		}
	}
	if utf16.IsSurrogate(r) {
		return value.AppendHalf(b, r)
	}
	return utf8.AppendRune(b, r)
}

// joined is s + t; the halves of a pair at the seam join, too.
func joined(s, t string) string {
	if low, ok := value.Half(t); ok && len(s) >= 3 && s[len(s)-3] == 0xed {
		return string(appendUnit([]byte(s), uint16(low))) + t[3:]
	}
	return s + t
}

// points are the code points of s, lone surrogates among them.
func points(s string) []rune {
	if utf8.ValidString(s) {
		return []rune(s)
	}
	var all []rune
	for i := 0; i < len(s); {
		if r, ok := value.Half(s[i:]); ok {
			all = append(all, r)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		all = append(all, r)
		i += n
	}
	return all
}

// units16 are the UTF-16 code units of s.
func units16(s string) []uint16 {
	all := make([]uint16, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			all = append(all, uint16(s[i]))
			i++
			continue
		}
		if r, ok := value.Half(s[i:]); ok {
			all = append(all, uint16(r))
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		all = utf16.AppendRune(all, r)
		i += n
	}
	return all
}

// fromUnits is the string of UTF-16 code units.
func fromUnits(units []uint16) string {
	b := make([]byte, 0, len(units))
	for _, u := range units {
		if u < utf8.RuneSelf {
			b = append(b, byte(u))
		} else {
			b = appendUnit(b, u)
		}
	}
	return string(b)
}

// Unquote is what a JSON string says. Unlike what package value reads, a lone
// surrogate is kept as its three bytes, as expressions have it.
func Unquote(quoted []byte) (string, error) {
	v, err := value.Parse(quoted)
	if err != nil {
		return "", err
	}
	if v.Kind() != value.String {
		return "", fmt.Errorf("want a string, have %s", v.Kind())
	}
	if !strings.ContainsRune(v.Text(), utf8.RuneError) {
		return v.Text(), nil
	}
	var b []byte
	s := strings.TrimSpace(string(quoted))
	for i := 1; i < len(s)-1; i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if s[i] == 'u' {
			n, _ := strconv.ParseUint(s[i+1:i+5], 16, 16) // it was parsed before
			b = appendUnit(b, uint16(n))
			i += 4
			continue
		}
		b = append(b, "\"\\/\b\f\n\r\t"[strings.IndexByte(`"\/bfnrt`, s[i])])
	}
	return string(b), nil
}
