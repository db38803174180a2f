package jsonata

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// A regex is a regular expression of ECMAScript (without the u flag), matched
// by backtracking over UTF-16 code units within the budget of the evaluation.
type regex struct {
	source string
	groups int
	match  matching
	first  *charset // what a match begins with, where that is known
}

// A matching matches at a position of the input and goes on with next, which
// says whether all the rest matches.
type matching func(m *match16, at int, next func(at int) bool) bool

// match16 is one attempt to match.
type match16 struct {
	e     *evaluation
	in    []uint16
	loc   []int // of the groups, -1 where there is none
	depth int
	err   error
}

// maxBacktrack is how deep the parts of a regular expression may nest in a
// match: a repetition of more than single characters nests as it repeats.
const maxBacktrack = 20_000

// step takes from the budget.
func (m *match16) step() bool {
	if m.err == nil && m.e.steps <= 0 {
		m.err = long()
	}
	m.e.steps--
	return m.err == nil
}

// find is the first match that begins at from or later: where it is and where
// its groups are. Nil is none.
func (re *regex) find(e *evaluation, in []uint16, from int) ([]int, error) {
	m := &match16{e: e, in: in, loc: make([]int, 2*re.groups+2)}
	for at := from; at <= len(in); at++ {
		if !m.step() {
			return nil, m.err
		}
		if re.first != nil && (at == len(in) || !re.first.has(in[at])) {
			continue
		}
		for i := range m.loc {
			m.loc[i] = -1
		}
		end := -1
		if re.match(m, at, func(to int) bool { end = to; return true }) {
			m.loc[0], m.loc[1] = at, end
			return m.loc, nil
		}
		if m.err != nil {
			return nil, m.err
		}
	}
	return nil, nil
}

// A charset is a set of UTF-16 code units.
type charset struct {
	low    [4]uint64 // those below 256
	ranges [][2]uint16
	negate bool
}

func (s *charset) add(from, to uint16) {
	for c := int(from); c <= int(to) && c < 256; c++ {
		s.low[c>>6] |= 1 << (c & 63)
	}
	if to >= 256 {
		s.ranges = append(s.ranges, [2]uint16{max(from, 256), to})
	}
}

// join adds what is in another set.
func (s *charset) join(other *charset) {
	for c := range uint16(256) {
		if other.has(c) {
			s.add(c, c)
		}
	}
	if !other.negate {
		s.ranges = append(s.ranges, other.ranges...)
		return
	}
	other.seal()
	next := uint32(256)
	for _, r := range other.ranges {
		if uint32(r[0]) > next {
			s.add(uint16(next), r[0]-1)
		}
		next = uint32(r[1]) + 1
	}
	if next <= 0xffff {
		s.add(uint16(next), 0xffff)
	}
}

// seal sorts the ranges and joins those that touch.
func (s *charset) seal() *charset {
	slices.SortFunc(s.ranges, func(a, b [2]uint16) int { return int(a[0]) - int(b[0]) })
	var all [][2]uint16
	for _, r := range s.ranges {
		if n := len(all); n > 0 && uint32(r[0]) <= uint32(all[n-1][1])+1 {
			all[n-1][1] = max(all[n-1][1], r[1])
		} else {
			all = append(all, r)
		}
	}
	s.ranges = all
	return s
}

func (s *charset) has(c uint16) bool {
	if c < 256 {
		return s.low[c>>6]&(1<<(c&63)) != 0 != s.negate
	}
	if len(s.ranges) > 8 { // which are sorted
		_, found := slices.BinarySearchFunc(s.ranges, c, func(r [2]uint16, c uint16) int {
			switch {
			case r[1] < c:
				return -1
			case r[0] > c:
				return 1
			}
			return 0
		})
		return found != s.negate
	}
	for _, r := range s.ranges {
		if r[0] <= c && c <= r[1] {
			return !s.negate
		}
	}
	return s.negate
}

// hasFolded is has whatever the case.
func (s *charset) hasFolded(c uint16) bool {
	plain := *s
	plain.negate = false
	in := plain.has(c)
	want := canonical(c)
	for r := unicode.SimpleFold(rune(c)); !in && r != rune(c); r = unicode.SimpleFold(r) {
		in = r <= 0xffff && canonical(uint16(r)) == want && plain.has(uint16(r))
	}
	return in != s.negate
}

// canonical is how a code unit is compared where case does not matter.
func canonical(c uint16) uint16 {
	if up := unicode.ToUpper(rune(c)); up <= 0xffff && (c < 128 || up >= 128) {
		return uint16(up)
	}
	return c
}

func set(pairs ...uint16) *charset {
	s := &charset{}
	for i := 0; i < len(pairs); i += 2 {
		s.add(pairs[i], pairs[i+1])
	}
	return s
}

// class is what the letter of an escape such as \d stands for.
func class(letter uint16) *charset {
	var s *charset
	switch letter | 0x20 {
	case 'd':
		s = set('0', '9')
	case 'w':
		s = set('0', '9', 'A', 'Z', 'a', 'z', '_', '_')
	case 's':
		s = set('\t', '\r', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff)
	default:
		return nil
	}
	s.negate = letter&0x20 == 0
	return s
}

func lineEnd(c uint16) bool { return c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029 }

func wordUnit(in []uint16, at int) bool {
	return at >= 0 && at < len(in) && in[at] < 128 && (in[at] == '_' || unicode.IsLetter(rune(in[at])) || unicode.IsDigit(rune(in[at])))
}

// A regexParser reads a regular expression and makes a matching of it.
type regexParser struct {
	in        []uint16
	at        int
	fold      bool // flag i
	multiline bool // flag m
	groups    int  // that were opened so far
	total     int  // of all groups
	numbers   map[string]int
	depth     int
}

func compileRegex(pattern, flags string) (*regex, error) {
	p := &regexParser{in: units16(pattern), fold: strings.Contains(flags, "i"), multiline: strings.Contains(flags, "m"), numbers: map[string]int{}}
	if strings.Count(flags, "i") > 1 || strings.Count(flags, "m") > 1 {
		return nil, errors.New("a flag is there twice")
	}
	if err := p.count(); err != nil {
		return nil, err
	}
	m, first, err := p.alternatives(false)
	if err == nil && p.at < len(p.in) {
		err = errors.New("unmatched ')'")
	}
	if err != nil {
		return nil, err
	}
	return &regex{source: pattern, groups: p.total, match: m, first: first}, nil
}

// count finds the groups and their names.
func (p *regexParser) count() error {
	inClass := false
	for i := 0; i < len(p.in); i++ {
		switch c := p.in[i]; {
		case c == '\\':
			i++
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case c != '(' || inClass:
		case i+1 < len(p.in) && p.in[i+1] == '?':
			if i+3 >= len(p.in) || p.in[i+2] != '<' || p.in[i+3] == '=' || p.in[i+3] == '!' {
				continue
			}
			name, _, err := p.name(i + 2)
			if err != nil {
				return err
			}
			if _, twice := p.numbers[name]; twice {
				return fmt.Errorf("duplicate capture group name %q", name)
			}
			p.total++
			p.numbers[name] = p.total
		default:
			p.total++
		}
	}
	return nil
}

// name is <name> at i, and where it ends.
func (p *regexParser) name(i int) (string, int, error) {
	if i < len(p.in) && p.in[i] == '<' {
		for k := i + 1; k < len(p.in); k++ {
			if p.in[k] != '>' {
				continue
			}
			name := string(utf16.Decode(p.in[i+1 : k]))
			for n, r := range name {
				if !(r == '$' || r == '_' || unicode.IsLetter(r) || n > 0 && unicode.IsDigit(r)) {
					name = ""
				}
			}
			if name != "" {
				return name, k + 1, nil
			}
			break
		}
	}
	return "", 0, errors.New("invalid capture group name")
}

func (p *regexParser) peek(c uint16) bool { return p.at < len(p.in) && p.in[p.at] == c }

func (p *regexParser) starts(s string) bool {
	if len(p.in)-p.at < len(s) {
		return false
	}
	for i := range len(s) {
		if p.in[p.at+i] != uint16(s[i]) {
			return false
		}
	}
	return true
}

// An atom is a part of an alternative.
type atom struct {
	match  matching
	single *charset // where it is one character of these
	first  *charset // what it begins with, where it cannot be empty
}

// alternatives reads as far as the end or a closing parenthesis. Backwards is
// for what looks behind. The set is what a match begins with, if known.
func (p *regexParser) alternatives(backwards bool) (matching, *charset, error) {
	if p.depth++; p.depth > 200 {
		return nil, nil, errors.New("nested too deep")
	}
	defer func() { p.depth-- }()
	var all []matching
	first := &charset{}
	for {
		var atoms []atom
		for p.at < len(p.in) && !p.peek('|') && !p.peek(')') {
			a, err := p.term(backwards)
			if err != nil {
				return nil, nil, err
			}
			atoms = append(atoms, a)
		}
		all = append(all, sequenceOf(atoms, backwards))
		if first != nil && len(atoms) > 0 && atoms[0].first != nil && !p.fold {
			first.join(atoms[0].first)
		} else {
			first = nil
		}
		if !p.peek('|') {
			break
		}
		p.at++
	}
	if first != nil {
		first.seal()
	}
	if len(all) == 1 {
		return all[0], first, nil
	}
	return func(m *match16, at int, next func(int) bool) bool {
		for _, a := range all {
			if a(m, at, next) {
				return true
			}
			if m.err != nil {
				return false
			}
		}
		return false
	}, first, nil
}

func sequenceOf(atoms []atom, backwards bool) matching {
	switch len(atoms) {
	case 0:
		return func(_ *match16, at int, next func(int) bool) bool { return next(at) }
	case 1:
		return atoms[0].match
	}
	ordered := make([]matching, len(atoms))
	for i, a := range atoms {
		if backwards {
			i = len(atoms) - 1 - i
		}
		ordered[i] = a.match
	}
	var from func(m *match16, i, at int, next func(int) bool) bool
	from = func(m *match16, i, at int, next func(int) bool) bool {
		if i == len(ordered)-1 {
			return ordered[i](m, at, next)
		}
		return ordered[i](m, at, func(at int) bool { return from(m, i+1, at, next) })
	}
	return func(m *match16, at int, next func(int) bool) bool { return from(m, 0, at, next) }
}

// where matches nothing, at a place that is right.
func where(is func(in []uint16, at int) bool) atom {
	return atom{match: func(m *match16, at int, next func(int) bool) bool { return is(m.in, at) && next(at) }}
}

func (p *regexParser) character(s *charset, backwards bool) atom {
	has := s.has
	if p.fold {
		has = s.hasFolded
	}
	forward := func(m *match16, at int, next func(int) bool) bool {
		return m.step() && at < len(m.in) && has(m.in[at]) && next(at+1)
	}
	if backwards {
		forward = func(m *match16, at int, next func(int) bool) bool {
			return m.step() && at > 0 && has(m.in[at-1]) && next(at-1)
		}
	}
	return atom{match: forward, single: s, first: s}
}

func (p *regexParser) term(backwards bool) (atom, error) {
	opened := p.groups
	var a atom
	var err error
	c := p.in[p.at]
	p.at++
	assertion := true
	switch {
	case c == '^':
		a = where(func(in []uint16, at int) bool { return at == 0 || p.multiline && lineEnd(in[at-1]) })
	case c == '$':
		a = where(func(in []uint16, at int) bool { return at == len(in) || p.multiline && lineEnd(in[at]) })
	case c == '\\' && (p.peek('b') || p.peek('B')):
		want := p.in[p.at] == 'b'
		p.at++
		a = where(func(in []uint16, at int) bool { return (wordUnit(in, at-1) != wordUnit(in, at)) == want })
	case c == '(':
		a, assertion, err = p.group(backwards)
	default:
		assertion = false
		switch c {
		case '\\':
			a, err = p.escape(backwards)
		case '.':
			s := set('\n', '\n', '\r', '\r', 0x2028, 0x2029)
			s.negate = true
			a = p.character(s, backwards)
		case '[':
			var s *charset
			if s, err = p.class(); err == nil {
				a = p.character(s, backwards)
			}
		case '*', '+', '?':
			err = errors.New("nothing to repeat")
		case '{':
			p.at--
			if _, _, ok := p.braces(); ok {
				return a, errors.New("nothing to repeat")
			}
			p.at++
			a = p.character(set(c, c), backwards)
		default:
			a = p.character(set(c, c), backwards)
		}
	}
	if err != nil || assertion {
		return a, err
	}
	return p.quantified(a, opened, backwards)
}

// braces reads {n}, {n,} or {n,m}; the most is -1 where there is none.
func (p *regexParser) braces() (least, most int, ok bool) {
	start := p.at
	number := func() (int, bool) {
		n, from := 0, p.at
		for p.at < len(p.in) && p.in[p.at] >= '0' && p.in[p.at] <= '9' {
			n = min(n*10+int(p.in[p.at]-'0'), 1<<30)
			p.at++
		}
		return n, p.at > from
	}
	if p.at++; p.at <= len(p.in) {
		if least, ok = number(); ok {
			most = least
			if p.peek(',') {
				p.at++
				var given bool
				if most, given = number(); !given {
					most = -1
				}
			}
			if p.peek('}') {
				p.at++
				return least, most, true
			}
		}
	}
	p.at = start
	return 0, 0, false
}

func (p *regexParser) quantified(a atom, opened int, backwards bool) (atom, error) {
	least, most := 1, 1
	switch {
	case p.peek('*'):
		least, most = 0, -1
	case p.peek('+'):
		most = -1
	case p.peek('?'):
		least = 0
	case p.peek('{'):
		var ok bool
		if least, most, ok = p.braces(); !ok {
			return a, nil
		}
		p.at--
	default:
		return a, nil
	}
	p.at++
	lazy := p.peek('?')
	if lazy {
		p.at++
	}
	if most >= 0 && most < least {
		return a, errors.New("numbers out of order in {} quantifier")
	}
	q := atom{}
	if least > 0 {
		q.first = a.first
	}
	if a.single != nil && !backwards {
		q.match = p.run(a.single, least, most, lazy)
		return q, nil
	}
	q.match = repeated(a.match, least, most, lazy, opened, p.groups)
	return q, nil
}

// run is the repetition of a single character, which needs no nesting.
func (p *regexParser) run(s *charset, least, most int, lazy bool) matching {
	has := s.has
	if p.fold {
		has = s.hasFolded
	}
	return func(m *match16, at int, next func(int) bool) bool {
		end := len(m.in)
		if most >= 0 && most < end-at {
			end = at + most
		}
		if lazy {
			for to := at; m.step(); to++ {
				if to-at >= least && next(to) {
					return true
				}
				if m.err != nil || to >= end || !has(m.in[to]) {
					return false
				}
			}
			return false
		}
		to := at
		for to < end && has(m.in[to]) {
			to++
		}
		m.e.steps -= (to - at) / 4
		for ; to-at >= least; to-- {
			if !m.step() {
				return false
			}
			if next(to) {
				return true
			}
			if m.err != nil {
				return false
			}
		}
		return false
	}
}

// repeated is RepeatMatcher of ECMAScript: each time the groups inside, those
// after from, are unset, and an empty match does not count once there are
// enough.
func repeated(a matching, least, most int, lazy bool, from, to int) matching {
	var again func(m *match16, least, most, at int, next func(int) bool) bool
	again = func(m *match16, least, most, at int, next func(int) bool) bool {
		if most == 0 {
			return next(at)
		}
		if !m.step() {
			return false
		}
		if m.depth++; m.depth > maxBacktrack {
			m.err = deep()
			return false
		}
		defer func() { m.depth-- }()
		try := func() bool {
			var saved []int
			if to > from {
				saved = append(saved, m.loc[2*from+2:2*to+2]...)
				for i := 2*from + 2; i < 2*to+2; i++ {
					m.loc[i] = -1
				}
			}
			ok := a(m, at, func(end int) bool {
				if least == 0 && end == at {
					return false
				}
				return again(m, max(least-1, 0), max(most-1, -1), end, next)
			})
			if !ok {
				copy(m.loc[2*from+2:], saved)
			}
			return ok
		}
		switch {
		case least > 0:
			return try()
		case lazy:
			return next(at) || m.err == nil && try()
		}
		return try() || m.err == nil && next(at)
	}
	return func(m *match16, at int, next func(int) bool) bool { return again(m, least, most, at, next) }
}

// group reads what follows an opening parenthesis. The result is true for an
// assertion that cannot be repeated.
func (p *regexParser) group(backwards bool) (atom, bool, error) {
	closed := func() error {
		if !p.peek(')') {
			return errors.New("unterminated group")
		}
		p.at++
		return nil
	}
	look := func(behind, want bool) (atom, bool, error) {
		from := p.groups
		inner, _, err := p.alternatives(behind)
		if err == nil {
			err = closed()
		}
		to := p.groups
		a := atom{match: func(m *match16, at int, next func(int) bool) bool {
			saved := append([]int(nil), m.loc[2*from+2:2*to+2]...)
			found := inner(m, at, func(int) bool { return true })
			if m.err != nil {
				return false
			}
			if !want {
				copy(m.loc[2*from+2:], saved)
			}
			if found == want && next(at) {
				return true
			}
			copy(m.loc[2*from+2:], saved)
			return false
		}}
		if err == nil && !behind { // those that look ahead may be repeated
			a, err = p.quantified(a, from, backwards)
		}
		return a, true, err
	}
	skip := func(s string) bool {
		if p.starts(s) {
			p.at += len(s)
			return true
		}
		return false
	}
	switch {
	case skip("?="):
		return look(false, true)
	case skip("?!"):
		return look(false, false)
	case skip("?<="):
		return look(true, true)
	case skip("?<!"):
		return look(true, false)
	case skip("?:"):
		inner, first, err := p.alternatives(backwards)
		if err == nil {
			err = closed()
		}
		return atom{match: inner, first: first}, false, err
	case p.starts("?<"):
		_, end, err := p.name(p.at + 1)
		if err != nil {
			return atom{}, false, err
		}
		p.at = end
	case p.peek('?'):
		return atom{}, false, errors.New("invalid group")
	}
	p.groups++
	n := p.groups
	inner, first, err := p.alternatives(backwards)
	if err == nil {
		err = closed()
	}
	return atom{first: first, match: func(m *match16, at int, next func(int) bool) bool {
		return inner(m, at, func(end int) bool {
			a, b := m.loc[2*n], m.loc[2*n+1]
			m.loc[2*n], m.loc[2*n+1] = min(at, end), max(at, end)
			if next(end) {
				return true
			}
			m.loc[2*n], m.loc[2*n+1] = a, b
			return false
		})
	}}, false, err
}

func (p *regexParser) backReference(n int, backwards bool) atom {
	return atom{match: func(m *match16, at int, next func(int) bool) bool {
		from, to := m.loc[2*n], m.loc[2*n+1]
		if from < 0 {
			return next(at)
		}
		size := to - from
		start := at
		if backwards {
			start = at - size
		}
		if start < 0 || start+size > len(m.in) {
			return false
		}
		m.e.steps -= size / 4
		for i := range size {
			a, b := m.in[from+i], m.in[start+i]
			if a != b && !(p.fold && canonical(a) == canonical(b)) {
				return false
			}
		}
		if backwards {
			return next(start)
		}
		return m.step() && next(start+size)
	}}
}

// escape reads what follows a backslash outside of a class.
func (p *regexParser) escape(backwards bool) (atom, error) {
	if p.at >= len(p.in) {
		return atom{}, errors.New(`\ at end of pattern`)
	}
	c := p.in[p.at]
	if c == 'k' && len(p.numbers) > 0 {
		name, end, err := p.name(p.at + 1)
		if err != nil {
			return atom{}, errors.New("invalid named reference")
		}
		n, ok := p.numbers[name]
		if !ok {
			return atom{}, errors.New("invalid named capture referenced")
		}
		p.at = end
		return p.backReference(n, backwards), nil
	}
	if c >= '1' && c <= '9' {
		n, i := 0, p.at
		for i < len(p.in) && p.in[i] >= '0' && p.in[i] <= '9' && n <= p.total {
			n = n*10 + int(p.in[i]-'0')
			i++
		}
		if n <= p.total {
			p.at = i
			return p.backReference(n, backwards), nil
		}
	}
	if s := class(c); s != nil {
		p.at++
		return p.character(s, backwards), nil
	}
	c = p.unit()
	return p.character(set(c, c), backwards), nil
}

// unit reads the one character that an escape stands for, after the backslash.
func (p *regexParser) unit() uint16 {
	c := p.in[p.at]
	p.at++
	hex := func(n int) (uint16, bool) {
		if len(p.in)-p.at < n {
			return 0, false
		}
		x := 0
		for _, d := range p.in[p.at : p.at+n] {
			i := -1
			if d < 128 {
				i = strings.IndexByte("0123456789abcdef", byte(unicode.ToLower(rune(d))))
			}
			if i < 0 {
				return 0, false
			}
			x = x<<4 | i
		}
		p.at += n
		return uint16(x), true
	}
	switch c {
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	case 'c':
		if p.at < len(p.in) && p.in[p.at] < 128 && unicode.IsLetter(rune(p.in[p.at])) {
			p.at++
			return p.in[p.at-1] & 31
		}
		p.at-- // a backslash, and then the c
		return '\\'
	case 'x':
		if x, ok := hex(2); ok {
			return x
		}
	case 'u':
		if x, ok := hex(4); ok {
			return x
		}
	case '0', '1', '2', '3', '4', '5', '6', '7': // octal
		x := c - '0'
		for i := 0; i < 2 && p.at < len(p.in) && p.in[p.at] >= '0' && p.in[p.at] <= '7' && x*8+p.in[p.at]-'0' <= 0xff; i++ {
			x = x*8 + p.in[p.at] - '0'
			p.at++
		}
		return x
	}
	return c
}

// class reads [...] after its bracket.
func (p *regexParser) class() (*charset, error) {
	s := &charset{}
	if p.peek('^') {
		p.at++
		s.negate = true
	}
	// one reads a member: a character, or the set of a class.
	one := func() (uint16, *charset, error) {
		c := p.in[p.at]
		p.at++
		if c != '\\' {
			return c, nil, nil
		}
		if p.at >= len(p.in) {
			return 0, nil, errors.New(`\ at end of pattern`)
		}
		if of := class(p.in[p.at]); of != nil {
			p.at++
			return 0, of, nil
		}
		if p.peek('b') {
			p.at++
			return '\b', nil, nil
		}
		return p.unit(), nil, nil
	}
	for {
		if p.at >= len(p.in) {
			return nil, errors.New("unterminated character class")
		}
		if p.peek(']') {
			p.at++
			return s.seal(), nil
		}
		from, of, err := one()
		if err != nil {
			return nil, err
		}
		if p.peek('-') && p.at+1 < len(p.in) && p.in[p.at+1] != ']' {
			p.at++
			to, ofTo, err := one()
			switch {
			case err != nil:
				return nil, err
			case of == nil && ofTo == nil && to < from:
				return nil, errors.New("range out of order in character class")
			case of == nil && ofTo == nil:
				s.add(from, to)
				continue
			}
			s.add('-', '-')
			if ofTo != nil {
				s.join(ofTo)
			} else {
				s.add(to, to)
			}
		}
		if of != nil {
			s.join(of)
		} else {
			s.add(from, from)
		}
	}
}
