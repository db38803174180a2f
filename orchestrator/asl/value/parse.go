package value

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 1000

// A SyntaxError says what is wrong with a JSON text, and where.
type SyntaxError struct {
	Offset  int // in bytes
	Message string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at byte %d: %s", e.Offset, e.Message)
}

// Parse reads one JSON value (RFC 8259). Where an object has a key twice, the
// later value stands. A lone surrogate, \ud800 say, is kept as [Half] tells; bytes that
// are not UTF-8 become U+FFFD. Errors are of type *SyntaxError.
func Parse(data []byte) (Value, error) { return ParseString(string(data)) }

// ParseString is [Parse] of a string.
func ParseString(text string) (Value, error) {
	p := parser{text: text}
	v, _, err := p.document()
	return v, err
}

// ParseText is [Parse] and [Value.String] in one: what is compact already is not
// written again.
func ParseText(data []byte) (v Value, compact string, err error) {
	p := parser{text: string(data)}
	v, _, err = p.document()
	if err != nil {
		return Value{}, "", err
	}
	if p.loose {
		return v, v.String(), nil
	}
	return v, p.text, nil
}

// A Node is a value with the place it was read from, and the same for what is
// in it.
type Node struct {
	Value  Value
	Offset int // of the value's first byte
	// Key and KeyOffset are those of an object's member. Duplicate says that
	// the object had the key before.
	Key       string
	KeyOffset int
	Duplicate bool
	Children  []*Node // every item or member, duplicates too
}

// ParseNodes is [Parse] that keeps places.
func ParseNodes(data []byte) (*Node, error) {
	p := parser{text: string(data), nodes: true}
	_, n, err := p.document()
	return n, err
}

type parser struct {
	text  string
	pos   int
	depth int
	nodes bool
	loose bool // the text is not as Value.String would write it
}

func (p *parser) document() (Value, *Node, error) {
	v, n, err := p.value()
	if err != nil {
		return Value{}, nil, err
	}
	p.space()
	if p.pos < len(p.text) {
		return Value{}, nil, p.fail("unexpected %s after the value", p.here())
	}
	return v, n, nil
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Offset: p.pos, Message: fmt.Sprintf(format, args...)}
}

// here names what stands at the current position.
func (p *parser) here() string {
	if p.pos >= len(p.text) {
		return "end of text"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return fmt.Sprintf("%q", r)
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
			p.loose = true
		default:
			return
		}
	}
}

func (p *parser) value() (Value, *Node, error) {
	p.space()
	if p.pos >= len(p.text) {
		return Value{}, nil, p.fail("unexpected end of text")
	}
	start := p.pos
	var n *Node
	if p.nodes {
		n = &Node{Offset: start}
	}
	var v Value
	var err error
	switch c := p.text[p.pos]; {
	case c == '{' || c == '[':
		if p.depth++; p.depth > MaxDepth {
			return Value{}, nil, p.fail("nested deeper than %d", MaxDepth)
		}
		if c == '{' {
			v, err = p.object(n)
		} else {
			v, err = p.array(n)
		}
		p.depth--
	case c == '"':
		var s string
		s, err = p.string()
		v = OfString(s)
	case c == '-' || c >= '0' && c <= '9':
		v, err = p.number()
	case strings.HasPrefix(p.text[p.pos:], "true"):
		v, p.pos = True, p.pos+4
	case strings.HasPrefix(p.text[p.pos:], "false"):
		v, p.pos = False, p.pos+5
	case strings.HasPrefix(p.text[p.pos:], "null"):
		p.pos += 4
	default:
		err = p.fail("unexpected %s", p.here())
	}
	if err != nil {
		return Value{}, nil, err
	}
	if n != nil {
		n.Value = v
	}
	return v, n, nil
}

func (p *parser) object(n *Node) (Value, error) {
	p.pos++ // {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == '}' {
		p.pos++
		return Value{kind: Object, body: noMembers}, nil
	}
	b := &body{}
	for {
		p.space()
		if p.pos >= len(p.text) || p.text[p.pos] != '"' {
			return Value{}, p.fail("want a key in double quotes, have %s", p.here())
		}
		at := p.pos
		key, err := p.string()
		if err != nil {
			return Value{}, err
		}
		p.space()
		if p.pos >= len(p.text) || p.text[p.pos] != ':' {
			return Value{}, p.fail("want ':' after the key %q, have %s", key, p.here())
		}
		p.pos++
		v, child, err := p.value()
		if err != nil {
			return Value{}, err
		}
		if n != nil {
			_, child.Duplicate = b.find(key)
			child.Key, child.KeyOffset = key, at
			n.Children = append(n.Children, child)
		}
		n := len(b.keys)
		b.set(key, v)
		p.loose = p.loose || len(b.keys) == n
		p.space()
		if p.pos < len(p.text) && p.text[p.pos] == ',' {
			p.pos++
			continue
		}
		if p.pos < len(p.text) && p.text[p.pos] == '}' {
			p.pos++
			return Value{kind: Object, body: b.seal()}, nil
		}
		return Value{}, p.fail("want ',' or '}', have %s", p.here())
	}
}

func (p *parser) array(n *Node) (Value, error) {
	p.pos++ // [
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == ']' {
		p.pos++
		return Value{kind: Array, body: noItems}, nil
	}
	b := &body{}
	for {
		v, child, err := p.value()
		if err != nil {
			return Value{}, err
		}
		if n != nil {
			n.Children = append(n.Children, child)
		}
		b.items = append(b.items, v)
		p.space()
		if p.pos < len(p.text) && p.text[p.pos] == ',' {
			p.pos++
			continue
		}
		if p.pos < len(p.text) && p.text[p.pos] == ']' {
			p.pos++
			return Value{kind: Array, body: b.seal()}, nil
		}
		return Value{}, p.fail("want ',' or ']', have %s", p.here())
	}
}

func (p *parser) digits() bool {
	start := p.pos
	for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > start
}

func (p *parser) number() (Value, error) {
	start := p.pos
	if p.text[p.pos] == '-' {
		p.pos++
	}
	if p.pos < len(p.text) && p.text[p.pos] == '0' {
		p.pos++
	} else if !p.digits() {
		return Value{}, p.fail("want a digit, have %s", p.here())
	}
	if p.pos < len(p.text) && p.text[p.pos] == '.' {
		p.pos++
		if !p.digits() {
			return Value{}, p.fail("want a digit after the point, have %s", p.here())
		}
	}
	if p.pos < len(p.text) && (p.text[p.pos] == 'e' || p.text[p.pos] == 'E') {
		p.pos++
		if p.pos < len(p.text) && (p.text[p.pos] == '+' || p.text[p.pos] == '-') {
			p.pos++
		}
		if !p.digits() {
			return Value{}, p.fail("want a digit in the exponent, have %s", p.here())
		}
	}
	return Value{kind: Number, text: p.text[start:p.pos]}, nil
}

// string reads a quoted string; one without escapes is a part of the text.
func (p *parser) string() (string, error) {
	p.pos++ // "
	start := p.pos
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '"':
			s := p.text[start:p.pos]
			p.pos++
			if utf8.ValidString(s) {
				return s, nil
			}
			p.loose = true
			return sound(s), nil
		case c == '\\':
			p.loose = true
			return p.escaped(start)
		case c < 0x20:
			return "", p.fail("control character in a string")
		default:
			p.pos++
		}
	}
	return "", p.fail("string without end")
}

func (p *parser) escaped(start int) (string, error) {
	var b strings.Builder
	b.WriteString(p.text[start:p.pos])
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == '"':
			p.pos++
			return sound(b.String()), nil
		case c < 0x20:
			return "", p.fail("control character in a string")
		case c != '\\':
			b.WriteByte(c)
			p.pos++
			continue
		}
		p.pos++
		if p.pos >= len(p.text) {
			break
		}
		e := p.text[p.pos]
		switch e {
		case '"', '\\', '/':
			b.WriteByte(e)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(p.text[p.pos+1:])
			if !ok {
				return "", p.fail(`want four hexadecimal digits after \u`)
			}
			p.pos += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if strings.HasPrefix(p.text[p.pos+1:], `\u`) {
					low, ok = hex4(p.text[p.pos+3:])
				}
				pair := utf16.DecodeRune(r, low)
				if !ok || pair == utf8.RuneError {
					b.Write(AppendHalf(nil, r))
					break
				}
				r = pair
				p.pos += 6
			}
			b.WriteRune(r)
		default:
			return "", p.fail(`unknown escape \%c`, e)
		}
		p.pos++
	}
	return "", p.fail("string without end")
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
