package jsonata

import "strings"

// A nodeType is what a node of the syntax tree is, by the name that the
// reference implementation gives it, since S0217 shows it.
type nodeType string

const (
	nodeName       nodeType = "name"
	nodeVariable   nodeType = "variable"
	nodeString     nodeType = "string"
	nodeNumber     nodeType = "number"
	nodeValue      nodeType = "value"
	nodeRegex      nodeType = "regex"
	nodeOperator   nodeType = "operator"
	nodeBinary     nodeType = "binary"
	nodeUnary      nodeType = "unary"
	nodeWildcard   nodeType = "wildcard"
	nodeDescendant nodeType = "descendant"
	nodeParent     nodeType = "parent"
	nodeFunction   nodeType = "function"
	nodePartial    nodeType = "partial"
	nodeLambda     nodeType = "lambda"
	nodeBlock      nodeType = "block"
	nodeCondition  nodeType = "condition"
	nodeTransform  nodeType = "transform"
	nodePath       nodeType = "path"
	nodeBind       nodeType = "bind"
	nodeApply      nodeType = "apply"
	nodeSort       nodeType = "sort"
	nodeEnd        nodeType = "end"
)

// A node is a part of the syntax tree. Which fields are used depends on its
// type; the parser makes them, resolve makes paths of them.
type node struct {
	typ   nodeType
	value string // of an operator its sign, of a name or variable the name
	lit   val    // of a string, number or value
	regex *regex
	pos   int // in bytes

	lhs, rhs *node
	list     []*node    // arguments, expressions, or the items of an array
	pairs    [][2]*node // of an object or grouping
	terms    []term     // of an order-by

	proc             *node // what a function is called
	cond, then, els  *node
	pattern, update  *node // of a transform
	remove           *node
	params           []string // of a lambda
	signature        *signature
	body             *node
	tail             bool // a function that is called last of all in a lambda
	keepArray        bool // []
	steps            []*node
	keepSingleton    bool // of a path: a step has []
	stages           []stage
	predicates       []stage
	group            *node  // its pairs
	cons             bool   // an array constructor that is a step
	tuple            bool   // a step that binds
	focus, index     string // names of variables that a step binds
	ancestor, parent *slot
	seeking          []*slot
}

// A stage is what is done to the result of a step: it is filtered, or its
// positions bound to a variable.
type stage struct {
	filter *node
	index  string
}

// A term of an order-by.
type term struct {
	expr       *node
	descending bool
}

// power is how strongly an operator binds what is left of it.
func power(id string) int {
	switch id {
	case "[", "(", "@", "#":
		return 80
	case ".":
		return 75
	case "{":
		return 70
	case "*", "/", "%":
		return 60
	case "+", "-", "&":
		return 50
	case "=", "<", ">", "^", "!=", "<=", ">=", "~>", "in":
		return 40
	case "and":
		return 30
	case "or":
		return 25
	case "?":
		return 20
	case ":=":
		return 10
	}
	return 0
}

// A parser is one of operator precedence, after Pratt.
type parser struct {
	lexer
	tok   token
	depth int
	err   *Error // the first
}

// read parses an expression as far as compiling it.
func read(source string) (*node, *Error) {
	p := &parser{lexer: lexer{source: source}}
	p.advance("", false)
	n := p.expression(0)
	if p.err == nil && p.tok.id != idEnd {
		p.fail(p.tok.misuse("S0201"))
	}
	if p.err != nil {
		return nil, p.err
	}
	r := &resolver{}
	n = r.resolve(n)
	if r.err == nil && (n.typ == nodeParent || n.seeking != nil) {
		r.fail(misuse("S0217", n.pos, string(n.typ)))
	}
	if r.err != nil {
		return nil, r.err
	}
	return n, nil
}

// fail notes an error. Parsing goes on at the end of the source, where it
// finds nothing more.
func (p *parser) fail(err *Error) *node {
	if p.err == nil {
		p.err = err
	}
	p.lexer.pos = len(p.source)
	p.tok = token{id: idEnd, typ: nodeEnd, text: idEnd, pos: len(p.source)}
	return &node{typ: nodeEnd}
}

// advance goes on to the next token, from one that must be id if that is not
// empty.
func (p *parser) advance(id string, operand bool) {
	if p.err != nil {
		return
	}
	if id != "" && p.tok.id != id {
		code := "S0202"
		if p.tok.id == idEnd {
			code = "S0203"
		}
		err := p.tok.misuse(code)
		err.value = ofText(id)
		p.fail(err)
		return
	}
	t, err := p.next(operand)
	if err != nil {
		p.fail(err)
		return
	}
	if t.id == "!" || t.id == "~" {
		p.fail(t.misuse("S0204"))
		return
	}
	p.tok = t
}

func (p *parser) expression(right int) *node {
	if p.depth++; p.depth > maxNesting {
		p.fail(&Error{Code: "U1001", Position: p.tok.pos, raw: tooDeep})
	}
	t := p.tok
	p.advance("", true)
	left := p.prefix(t)
	chain := 0
	for right < power(p.tok.id) && p.err == nil {
		// A chain of operators nests to the left.
		if chain++; p.depth+chain > maxNesting*4 {
			p.fail(&Error{Code: "U1001", Position: p.tok.pos, raw: tooDeep})
			break
		}
		t = p.tok
		p.advance("", false)
		left = p.infix(t, left)
	}
	p.depth--
	return left
}

// prefix is the expression that begins with t.
func (p *parser) prefix(t token) *node {
	n := &node{typ: t.typ, value: t.text, lit: t.value, regex: t.regex, pos: t.pos}
	switch t.id {
	case idName, idLiteral, idRegex, idEnd, "and", "or", "in":
	case "-":
		n.typ, n.lhs = nodeUnary, p.expression(70)
	case "*":
		n.typ = nodeWildcard
	case "**":
		n.typ = nodeDescendant
	case "%":
		n.typ = nodeParent
	case "(":
		n.typ = nodeBlock
		for p.tok.id != ")" && p.err == nil {
			n.list = append(n.list, p.expression(0))
			if p.tok.id != ";" {
				break
			}
			p.advance(";", false)
		}
		p.advance(")", true)
	case "[":
		n.typ = nodeUnary
		for p.tok.id != "]" && p.err == nil {
			item := p.expression(0)
			if p.tok.id == ".." {
				r := &node{typ: nodeBinary, value: "..", pos: p.tok.pos, lhs: item}
				p.advance("..", false)
				r.rhs = p.expression(0)
				item = r
			}
			n.list = append(n.list, item)
			if p.tok.id != "," {
				break
			}
			if p.advance(",", false); p.tok.id == "]" {
				n.list = append(n.list, p.expression(0)) // which it is not
			}
		}
		p.advance("]", true)
	case "{":
		n.typ = nodeUnary
		n.pairs = p.pairs()
	case "|":
		n.typ = nodeTransform
		n.pattern = p.expression(0)
		p.advance("|", false)
		n.update = p.expression(0)
		if p.tok.id == "," {
			p.advance(",", false)
			n.remove = p.expression(0)
		}
		p.advance("|", false)
	default:
		return p.fail(t.misuse("S0211"))
	}
	return n
}

// pairs are those of an object, whose brace has been read.
func (p *parser) pairs() [][2]*node {
	pairs := [][2]*node{}
	for p.tok.id != "}" && p.err == nil {
		key := p.expression(0)
		p.advance(":", false)
		pairs = append(pairs, [2]*node{key, p.expression(0)})
		if p.tok.id != "," {
			break
		}
		if p.advance(",", false); p.tok.id == "}" {
			p.expression(0) // which it is not
		}
	}
	p.advance("}", true)
	return pairs
}

// infix is the expression that t, which was just read, makes of left.
func (p *parser) infix(t token, left *node) *node {
	n := &node{typ: nodeBinary, value: t.text, pos: t.pos, lhs: left}
	switch t.id {
	case "(":
		return p.call(n, left)
	case "[":
		if p.tok.id == "]" {
			// Singletons stay arrays.
			step := left
			for step.typ == nodeBinary && step.value == "[" {
				step = step.lhs
			}
			step.keepArray = true
			p.advance("]", false)
			return left
		}
		n.rhs = p.expression(0)
		p.advance("]", true)
	case "^":
		p.advance("(", false)
		for p.err == nil {
			x := term{descending: p.tok.id == ">"}
			if p.tok.id == "<" || p.tok.id == ">" {
				p.advance("", false)
			}
			x.expr = p.expression(0)
			n.terms = append(n.terms, x)
			if p.tok.id != "," {
				break
			}
			p.advance(",", false)
		}
		p.advance(")", false)
	case "{":
		n.pairs = p.pairs()
	case ":=":
		if left.typ != nodeVariable {
			return p.fail(misuse("S0212", left.pos, left.value))
		}
		n.rhs = p.expression(power(":=") - 1) // right associative
	case "@", "#":
		n.rhs = p.expression(power(t.id))
		if n.rhs.typ != nodeVariable {
			return p.fail(misuse("S0214", n.rhs.pos, t.id))
		}
	case "?":
		n.typ, n.cond, n.lhs = nodeCondition, left, nil
		n.then = p.expression(0)
		if p.tok.id == ":" {
			p.advance(":", false)
			n.els = p.expression(0)
		}
	default:
		n.rhs = p.expression(power(t.id))
	}
	return n
}

// call is the call of left, or a lambda if that is the word function.
func (p *parser) call(n, left *node) *node {
	n.typ, n.proc, n.lhs = nodeFunction, left, nil
	for p.tok.id != ")" && p.err == nil {
		if p.tok.id == "?" {
			n.typ = nodePartial
			n.list = append(n.list, &node{typ: nodeOperator, value: "?", pos: p.tok.pos})
			p.advance("?", false)
		} else {
			n.list = append(n.list, p.expression(0))
		}
		if p.tok.id != "," {
			break
		}
		if p.advance(",", false); p.tok.id == ")" {
			p.expression(0) // which it is not
		}
	}
	p.advance(")", true)
	if left.typ != nodeName || left.value != "function" && left.value != "λ" || p.err != nil {
		return n
	}
	for i, arg := range n.list {
		if arg.typ != nodeVariable {
			err := misuse("S0208", arg.pos, arg.value)
			err.value = ofNumber(float64(i + 1))
			return p.fail(err)
		}
		n.params = append(n.params, arg.value)
	}
	n.typ, n.list, n.proc = nodeLambda, nil, nil
	if p.tok.id == "<" {
		at, depth := p.tok.pos, 1
		var text strings.Builder
		text.WriteByte('<')
		for depth > 0 && p.tok.id != "{" && p.tok.id != idEnd {
			p.advance("", false)
			switch p.tok.id {
			case ">":
				depth--
			case "<":
				depth++
			}
			text.WriteString(p.tok.text)
		}
		p.advance(">", false)
		if p.err != nil {
			return n
		}
		var err *Error
		if n.signature, err = parseSignature(text.String()); err != nil {
			err.Position += at
			return p.fail(err)
		}
	}
	p.advance("{", false)
	n.body = p.expression(0)
	p.advance("}", false)
	return n
}
