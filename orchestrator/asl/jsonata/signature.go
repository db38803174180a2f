package jsonata

import "strings"

// A signature says what arguments a function takes: <s-nn?:s>. What is after
// the colon, the result, is not looked at.
type signature struct {
	params []param
}

// A param is one parameter. An argument is written as a letter: s string, n
// number, b boolean, l null, a array, o object, f function, m missing.
type param struct {
	allowed  string // letters
	optional bool
	many     bool // one or more
	lazy     bool // as few as can be
	context  bool // where it is missing, the context is taken
	array    bool // what is no array is wrapped
	typed    bool // it has a subtype
	subtype  string
}

// parseSignature reads a signature from its < to its >. The position of the
// error is that in text.
func parseSignature(text string) (*signature, *Error) {
	s := &signature{}
	closing := func(start int, open, shut byte) int {
		depth := 1
		for i := start + 1; i < len(text); i++ {
			switch text[i] {
			case shut:
				if depth--; depth == 0 {
					return i
				}
			case open:
				depth++
			}
		}
		return len(text)
	}
	for i := 1; i < len(text) && text[i] != ':'; i++ {
		c := text[i]
		var last *param
		if len(s.params) > 0 {
			last = &s.params[len(s.params)-1]
		}
		add := func(p param) { s.params = append(s.params, p) }
		switch c {
		case 's', 'n', 'b', 'l', 'o':
			add(param{allowed: string(c) + "m", subtype: ""})
		case 'a':
			add(param{allowed: "asnblfom", array: true})
		case 'f':
			add(param{allowed: "f"})
		case 'j':
			add(param{allowed: "asnblom"})
		case 'x':
			add(param{allowed: "asnblfom"})
		case '-', '?', '+':
			switch {
			case last == nil:
			case c == '?' && (last.optional || last.many):
				last.lazy = true
			default:
				last.context = last.context || c == '-'
				last.optional = last.optional || c != '+'
				last.many = last.many || c == '+'
			}
		case '(':
			end := closing(i, '(', ')')
			choice := text[i+1 : min(end, len(text))]
			if strings.Contains(choice, "<") {
				err := misuse("S0402", i, "")
				err.value = ofText(choice)
				return nil, err
			}
			add(param{allowed: choice + "m"})
			i = end
		case '<':
			if last == nil || !last.array && last.allowed != "f" {
				return nil, misuse("S0401", i, "")
			}
			end := closing(i, '<', '>')
			last.typed, last.subtype = true, text[i+1:min(end, len(text))]
			i = end
		}
	}
	return s, nil
}

// letter is how a signature writes the type of v.
func letter(v val) byte {
	switch v.kind {
	case callable:
		return 'f'
	case text:
		return 's'
	case number:
		return 'n'
	case boolean:
		return 'b'
	case null:
		return 'l'
	case list:
		return 'a'
	case dict:
		return 'o'
	}
	return 'm'
}

// match finds how many arguments each parameter takes; whole says that none
// may be left. It backtracks as the regular expression does that a signature
// stands for. The result is the number of arguments taken, -1 for no match.
func match(params []param, letters string, whole bool, counts []int) int {
	return dead{}.match(params, letters, whole, counts)
}

// dead are the ways that lead nowhere, by the parameters and letters left.
type dead map[[2]int]bool

func (d dead) match(params []param, letters string, whole bool, counts []int) int {
	at := [2]int{len(params), len(letters)}
	if d[at] {
		return -1
	}
	if len(params) == 0 {
		if whole && letters != "" {
			return -1
		}
		return 0
	}
	p := params[0]
	most := 0
	for most < len(letters) && strings.IndexByte(p.allowed, letters[most]) >= 0 {
		if most++; !p.many {
			break
		}
	}
	least := 1
	if p.optional {
		least = 0
	}
	for i := 0; i <= most-least; i++ {
		n := most - i
		if p.lazy {
			n = least + i
		}
		var rest []int
		if counts != nil {
			counts[0], rest = n, counts[1:]
		}
		if taken := d.match(params[1:], letters[n:], whole, rest); taken >= 0 {
			return n + taken
		}
	}
	d[at] = true
	return -1
}

var plurals = map[string]string{"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings"}

// validate checks args and makes of them what the function takes.
func (s *signature) validate(e *evaluation, args []val, context val) ([]val, error) {
	var buf [8]byte
	letters := buf[:0]
	for _, a := range args {
		letters = append(letters, letter(a))
	}
	if err := e.spend(len(args)); err != nil {
		return nil, err
	}
	// Most often each parameter takes its one argument.
	plain := len(args) == len(s.params)
	for i := 0; plain && i < len(args); i++ {
		p := &s.params[i]
		plain = !p.array && !p.lazy && !p.many && strings.IndexByte(p.allowed, letters[i]) >= 0
	}
	if plain {
		return args, nil
	}
	var some [8]int
	counts := some[:]
	if len(s.params) > len(counts) {
		counts = make([]int, len(s.params))
	}
	if match(s.params, string(letters), true, counts) < 0 {
		return nil, s.mismatch(args, string(letters))
	}
	out := make([]val, 0, max(len(args), len(s.params)))
	// As in the reference, a parameter that is left out takes an argument with
	// it, so that the two run apart.
	i, at := 0, 0
	arg := func(i int) val {
		if i < len(args) {
			return args[i]
		}
		return val{}
	}
	for k := range s.params {
		p := &s.params[k]
		if counts[k] == 0 {
			if !p.context {
				out = append(out, arg(i))
				i++
				continue
			}
			if strings.IndexByte(p.allowed, letter(context)) < 0 {
				return nil, &Error{Code: "T0411", value: context, index: i + 1}
			}
			out = append(out, context)
			continue
		}
		taken := string(letters[at : at+counts[k]])
		at += counts[k]
		for range taken {
			a := arg(i)
			if p.array && a.defined() {
				var err error
				if a, err = p.wrap(e, a, taken, i); err != nil {
					return nil, err
				}
			}
			out = append(out, a)
			i++
		}
	}
	return out, nil
}

// wrap checks the items of an array, or makes one of a.
func (p *param) wrap(e *evaluation, a val, taken string, i int) (val, error) {
	ok := true
	if p.typed {
		switch {
		case a.kind != list:
			ok = taken == p.subtype
		case a.len() > 0:
			n := a.len()
			if err := e.spend(n); err != nil {
				return a, err
			}
			for k := 0; k < n && ok; k++ {
				ok = p.subtype != "" && letter(a.at(k)) == p.subtype[0]
			}
		}
	}
	if !ok {
		return a, &Error{Code: "T0412", value: a, index: i + 1, want: plurals[p.subtype]}
	}
	if a.kind != list {
		return plain([]val{a}), nil
	}
	return a, nil
}

func (s *signature) mismatch(args []val, letters string) error {
	good := 0
	for n := 1; n <= len(s.params); n++ {
		taken := match(s.params[:n], letters, false, nil)
		if taken < 0 {
			break
		}
		good = taken
	}
	err := &Error{Code: "T0410", index: good + 1}
	if good < len(args) {
		err.value = args[good]
	}
	return err
}
