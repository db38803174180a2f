package configs

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a YAML file.
const (
	maxFile      = 1 << 20  // bytes
	maxPolicies  = 16 << 20 // bytes of a file of policies
	maxDocument  = 1 << 20  // bytes
	maxDocuments = 20_000
	maxDepth     = 64
	maxNodes     = 100_000 // of a document, each use of an alias counted
)

type kind int

const (
	null kind = iota
	boolean
	number
	text
	sequence
	mapping
)

// A node is a YAML value and where it stands.
type node struct {
	kind         kind
	value        any    // of a bool, number or string
	raw          string // of a scalar, as it is written
	items        []*node
	entries      []entry
	line, column int // from 1
	// keyLine and keyColumn are the place of its key, or its own.
	keyLine, keyColumn int
	block              string // "|" or ">" for a block scalar
	wrong              bool   // it is no value, which is reported
}

type entry struct {
	key          string
	line, column int
	value        *node
}

// has says whether n is a mapping with one of the keys.
func (n *node) has(keys ...string) bool {
	return slices.ContainsFunc(n.entries, func(e entry) bool { return slices.Contains(keys, e.key) })
}

// is names what n is in a sentence.
func (n *node) is() string {
	switch n.kind {
	case boolean:
		return "the truth value " + n.raw
	case number:
		return "the number " + n.raw
	case text:
		if utf8.RuneCountInString(n.raw) > 40 {
			return "a string"
		}
		return fmt.Sprintf("the string %q", n.raw)
	case sequence:
		return "a list"
	case mapping:
		return "a mapping"
	}
	return "empty"
}

// A source is a document of a YAML file.
type source struct {
	file     string
	lines    []string // of the file
	before   int      // lines before the document
	text     string   // of the document
	anchors  map[string]*node
	problems *Problems
}

func (s *source) report(line, column int, format string, args ...any) {
	*s.problems = append(*s.problems, Problem{File: s.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

// parseYAML gives the documents of a file that have content; what is wrong
// goes to problems.
func parseYAML(file string, data []byte, problems *Problems) (docs []*node, s *source) {
	s = &source{file: file, problems: problems}
	for _, doc := range splitYAML(file, data, problems) {
		if n := doc.parse(); n != nil {
			docs, s = append(docs, n), doc
		}
	}
	return docs, s
}

// splitYAML takes a file apart into the documents that may have content. It is
// done here because the parser loses those after an empty one, and since those
// that have not changed need not be parsed again.
func splitYAML(file string, data []byte, problems *Problems) (docs []*source) {
	whole := &source{file: file, problems: problems}
	if !utf8.Valid(data) {
		whole.report(0, 0, "not UTF-8 text")
		return nil
	}
	content := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(data), "\ufeff"))
	lines := strings.Split(content, "\n")
	for start := 0; start < len(lines); {
		end, size := start+1, len(lines[start])
		for end < len(lines) && !marker(lines[end]) {
			size += 1 + len(lines[end])
			end++
		}
		size = min(size+1, len(content)) // with the end of the last line
		text, before := content[:size], start
		content = content[size:]
		if marker(text) {
			text = "   " + text[3:]
			if first, rest, _ := strings.Cut(text, "\n"); strings.TrimSpace(first) == "" {
				text, before = rest, start+1 // the same as without a marker
			}
		}
		switch {
		case blank(text):
		case len(text) > maxDocument:
			whole.report(start+1, 0, "%d bytes are too many for a document: at most %d", len(text), maxDocument)
		case len(docs) == maxDocuments:
			whole.report(start+1, 0, "more than %d documents in one file", maxDocuments)
			return nil
		default:
			docs = append(docs, &source{file: file, lines: lines, before: before, text: text, problems: problems})
		}
		start = end
	}
	return docs
}

// blank reports whether there are only comments in a text.
func blank(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// marker reports whether a line, which others may follow, begins or ends a
// document.
func marker(line string) bool {
	if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "...") {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n'
}

// parse is the value of the document; nil if it has no content.
func (s *source) parse() (doc *node) {
	defer func() { // the parser is not ours: what it cannot stand is a bad file
		if r := recover(); r != nil {
			s.report(s.before+1, 0, "not YAML: %v", r)
			doc = nil
		}
	}()
	tokens := lexer.Tokenize(s.text)
	if t := tooDeep(tokens); t != nil {
		line, column := s.place(t)
		s.report(line, column, "nested too deeply: at most %d levels", maxDepth)
		return nil
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			line, column := s.place(syntax.Token)
			if at := unquoted(s.lines[min(line, len(s.lines))-1]); at > 0 {
				s.report(line, at, "not YAML: a value with such characters stands in quotes as a whole (%s)", syntax.Message)
			} else {
				s.report(line, column, "not YAML: %s", syntax.Message)
			}
		} else {
			s.report(s.before+1, 0, "not YAML: %v", err)
		}
		return nil
	}
	s.anchors = map[string]*node{}
	for _, d := range parsed.Docs {
		if d.Body == nil {
			continue
		}
		if n := s.node(d.Body, 0); n.kind != null {
			return n
		}
	}
	return nil
}

// unquoted is the column of the value on a line, where it is one that YAML
// takes for something else, such as `!champion.exists` or `* * * * *`; else 0.
func unquoted(line string) int {
	at := plainValue.FindStringSubmatchIndex(line)
	if at == nil {
		return 0
	}
	return 1 + utf8.RuneCountInString(line[:at[2]])
}

// plainValue is a key and a value that begins with an indicator, or goes on
// after its quotes, or has `: ` in it.
var plainValue = regexp.MustCompile("^[ -]*[A-Za-z]+: +([!*&@%`>|][^\\s].*|[*>|] +\\S.*|\"[^\"]*\" *[^ ,}#].*|'[^']*' *[^ ,}#].*|[^\"'{\\[\\s][^#]*: .*)$")

// place is where a token stands in the file.
func (s *source) place(t *token.Token) (line, column int) {
	return s.before + t.Position.Line, t.Position.Column
}

// tooDeep is the token at which flow collections, or block collections that
// begin on one line, nest too deeply for a parser that recurses. Other nesting
// is bounded by the indentation that it takes.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, onLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, onLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			onLine++
		case token.MappingValueType:
			if flow == 0 {
				onLine++
			}
		}
		if flow > maxDepth || onLine > maxDepth {
			return t
		}
	}
	return nil
}

func (s *source) node(a ast.Node, depth int) *node {
	line, column := s.place(a.GetToken())
	n := &node{line: line, column: column, keyLine: line, keyColumn: column}
	if depth > maxDepth {
		s.report(line, column, "nested too deeply: at most %d levels", maxDepth)
		return n
	}
	switch a := a.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		n.kind, n.value, n.raw = boolean, a.Value, a.Token.Value
	case *ast.IntegerNode:
		n.kind, n.value, n.raw = number, a.Value, a.Token.Value
	case *ast.FloatNode:
		n.kind, n.value, n.raw = number, a.Value, a.Token.Value
	case *ast.InfinityNode:
		n.kind, n.value, n.raw = number, a.Value, a.Token.Value
	case *ast.NanNode:
		n.kind, n.value, n.raw = number, math.NaN(), a.Token.Value
	case *ast.StringNode:
		n.kind, n.value, n.raw = text, a.Value, a.Value
	case *ast.LiteralNode:
		n.kind, n.value, n.raw = text, a.Value.Value, a.Value.Value
		n.block = a.Start.Value[:1]
	case *ast.MappingNode:
		n.kind = mapping
		if !a.IsFlowStyle && len(a.Values) > 0 {
			n.line, n.column = s.place(a.Values[0].Key.GetToken())
			n.keyLine, n.keyColumn = n.line, n.column
		}
		for _, v := range a.Values {
			s.entry(n, v, depth)
		}
	case *ast.MappingValueNode:
		n.kind = mapping
		s.entry(n, a, depth)
	case *ast.SequenceNode:
		n.kind = sequence
		for _, v := range a.Values {
			n.items = append(n.items, s.node(v, depth+1))
		}
	case *ast.AnchorNode:
		inner := s.node(a.Value, depth+1)
		s.anchors[a.Name.GetToken().Value] = inner
		return inner
	case *ast.AliasNode:
		name := a.Value.GetToken().Value
		if inner, ok := s.anchors[name]; ok {
			return inner
		}
		n.wrong = true
		s.report(line, column, "unknown alias *%s: there is no anchor &%s before it; what is no alias stands in quotes", name, name)
	case *ast.TagNode:
		inner := s.node(a.Value, depth+1)
		switch tag := a.GetToken().Value; {
		case tag == "!!str" && inner.kind != sequence && inner.kind != mapping:
			inner.kind, inner.value = text, inner.raw
		case !strings.HasPrefix(tag, "!!"):
			s.report(line, column, "the tag %s means nothing here: what begins with ! and is no tag stands in quotes", tag)
			inner.wrong = true
		}
		return inner
	default:
		s.report(line, column, "%s is no value here", a.Type())
	}
	return n
}

func (s *source) entry(n *node, v *ast.MappingValueNode, depth int) {
	line, column := s.place(v.Key.GetToken())
	if v.Key.IsMergeKey() {
		s.report(line, column, "merge keys (<<) are not known: write the keys out")
		return
	}
	var key string
	switch k := v.Key.(type) {
	case *ast.StringNode:
		key = k.Value
	case *ast.MappingKeyNode:
		s.report(line, column, "a key is a plain word: write KEY: value")
		return
	default:
		key = v.Key.GetToken().Value
	}
	value := s.node(v.Value, depth+1)
	copied := *value // an alias has a key of its own
	copied.keyLine, copied.keyColumn = line, column
	for _, e := range n.entries {
		if e.key == key {
			s.report(line, column, "the key %q is already on line %d: keep one of them", key, e.line)
			return
		}
	}
	n.entries = append(n.entries, entry{key, line, column, &copied})
}

// inside is the place in the file of byte offset in the string that n is; the
// place of n where that cannot be said.
func (s *source) inside(n *node, offset int) (line, column int) {
	before := n.raw[:min(offset, len(n.raw))]
	if n.block == "|" {
		line = n.line + 1 + strings.Count(before, "\n")
		if line <= len(s.lines) {
			written := s.lines[line-1]
			indent := len(written) - len(strings.TrimLeft(written, " "))
			return line, 1 + indent + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
		}
	}
	if n.block == "" && n.line >= 1 && n.line <= len(s.lines) {
		written := []rune(s.lines[n.line-1])
		if start := n.column - 1; start < len(written) {
			if q := written[start]; q == '"' || q == '\'' {
				start++
			}
			if strings.HasPrefix(string(written[start:]), before) {
				return n.line, 1 + start + utf8.RuneCountInString(before)
			}
		}
	}
	return n.line, n.column
}
