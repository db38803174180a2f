package jsonata

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

func toText(e *evaluation, c *arguments) (val, error) {
	v := c.at(0)
	if v.kind == text {
		return v, nil
	}
	space := ""
	if c.at(1).isTrue() {
		space = "  "
	}
	s, err := e.stringify(v, space)
	return ofText(s), err
}

// clamp is a position in a list of n, as Array.prototype.slice takes it.
func clamp(f float64, n int) int {
	f = math.Trunc(f)
	if f < 0 {
		f += float64(n)
	}
	if !(f > 0) {
		return 0
	}
	return int(math.Min(f, float64(n)))
}

func substring(e *evaluation, c *arguments) (val, error) {
	s, start := c.at(0).str(), c.at(1).num
	if err := e.spendText(len(s)); err != nil {
		return val{}, err
	}
	all := points(s)
	n := len(all)
	if !c.at(1).defined() { // which JavaScript counts with, but not to any end
		if c.at(2).defined() {
			return ofText(""), nil
		}
		return c.at(0), nil
	}
	if float64(n)+start < 0 {
		start = 0
	}
	end := n
	if x := c.at(2); x.defined() {
		if x.num <= 0 {
			return ofText(""), nil
		}
		if start >= 0 {
			end = clamp(start+x.num, n)
		} else {
			end = clamp(float64(n)+start+x.num, n)
		}
	}
	from := clamp(start, n)
	if from >= end {
		return ofText(""), nil
	}
	return ofText(ofPoints(all[from:end])), nil
}

// ofPoints is the string of code points, lone surrogates among them.
func ofPoints(all []rune) string {
	b := make([]byte, 0, len(all))
	for _, r := range all {
		if r >= 0xd800 && r < 0xe000 {
			b = appendUnit(b, uint16(r))
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

func substringBefore(e *evaluation, c *arguments) (val, error) {
	if err := e.spendText(len(c.at(0).str())); err != nil {
		return val{}, err
	}
	before, _, found := strings.Cut(c.at(0).str(), c.at(1).jsText())
	if !found {
		return c.at(0), nil
	}
	return ofText(before), nil
}

func substringAfter(e *evaluation, c *arguments) (val, error) {
	if err := e.spendText(len(c.at(0).str())); err != nil {
		return val{}, err
	}
	_, after, found := strings.Cut(c.at(0).str(), c.at(1).jsText())
	if !found {
		return c.at(0), nil
	}
	return ofText(after), nil
}

// jsText is a string that JavaScript makes of what is missing.
func (v val) jsText() string {
	if !v.defined() {
		return "undefined"
	}
	return v.str()
}

func lowercase(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	return ofText(betweenHalves(s, func(s string) string {
		if strings.ContainsAny(s, "İΣ") {
			return lowerSpecial([]rune(s))
		}
		return strings.ToLower(s)
	})), e.spendText(len(s))
}

// betweenHalves is s with its lone surrogates as they are, and the rest changed.
func betweenHalves(s string, change func(string) string) string {
	if utf8.ValidString(s) {
		return change(s)
	}
	var b strings.Builder
	start := 0
	for i := 0; i < len(s); i++ {
		if _, ok := value.Half(s[i:]); ok {
			b.WriteString(change(s[start:i]) + s[i:i+3])
			i += 2
			start = i + 1
		}
	}
	return b.String() + change(s[start:])
}

// lowerSpecial is what Unicode's SpecialCasing adds for lower case.
func lowerSpecial(all []rune) string {
	var b strings.Builder
	for i, r := range all {
		before, after := i > 0 && unicode.IsLetter(all[i-1]), i+1 < len(all) && unicode.IsLetter(all[i+1])
		switch {
		case r == 'İ':
			b.WriteString("i̇")
		case r == 'Σ' && before && !after:
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// upperSpecial are letters that are several in upper case.
var upperSpecial = strings.NewReplacer("ß", "SS", "ŉ", "ʼN", "ǰ", "J̌", "ΐ", "Ϊ́", "ΰ", "Ϋ́", "և", "ԵՒ", "ẖ", "H̱", "ẗ", "T̈", "ẘ", "W̊", "ẙ", "Y̊", "ẚ", "Aʾ",
	"ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL", "ﬅ", "ST", "ﬆ", "ST")

func uppercase(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	upper := func(s string) string { return strings.ToUpper(upperSpecial.Replace(s)) }
	return ofText(betweenHalves(s, upper)), e.spendText(len(s))
}

func length(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	n := utf8.RuneCountInString(s)
	if !utf8.ValidString(s) {
		n = len(points(s))
	}
	return ofNumber(float64(n)), e.spendText(len(s))
}

func trim(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	return ofText(strings.Join(fields, " ")), e.spendText(len(s))
}

func pad(e *evaluation, c *arguments) (val, error) {
	s, width, with := c.at(0).str(), c.at(1).num, points(c.at(2).str())
	if len(with) == 0 {
		with = []rune{' '}
	}
	missing := math.Abs(width) - float64(len(points(s)))
	if !(missing > 0) {
		return c.at(0), nil
	}
	if missing > 1<<30 {
		return val{}, long()
	}
	n := int(missing)
	if err := e.spendText(4 * n); err != nil {
		return val{}, err
	}
	padding := make([]rune, n)
	for i := range padding {
		padding[i] = with[i%len(with)]
	}
	if width > 0 {
		return ofText(s + ofPoints(padding)), nil
	}
	return ofText(ofPoints(padding) + s), nil
}

func contains(e *evaluation, c *arguments) (val, error) {
	s, what := c.at(0).str(), c.at(1)
	switch what.kind {
	case text:
		return ofBool(strings.Contains(s, what.str())), e.spendText(len(s))
	case callable:
		m, err := e.newMatcher(c, what, s)
		if err != nil {
			return val{}, err
		}
		found, err := m.next()
		return ofBool(found), err
	}
	return val{}, &Error{Code: "T1006"}
}

// limited reports whether count has come to a limit, if there is one.
func limited(limit val, count int) bool {
	return limit.defined() && float64(count) >= limit.num
}

func matches(e *evaluation, c *arguments) (val, error) {
	limit := c.at(2)
	if limit.defined() && limit.num < 0 {
		return val{}, &Error{Code: "D3040", value: limit, index: 3}
	}
	out := sequence()
	m, err := e.newMatcher(c, c.at(1), c.at(0).str())
	if err != nil {
		return val{}, err
	}
	found, err := m.next()
	for count := 0; found && !limited(limit, count); count++ {
		out.items = append(out.items, ofObject(&object{
			keys: []string{"match", "index", "groups"},
			vals: []val{m.match, ofNumber(m.start), m.groups},
		}))
		found, err = m.next()
	}
	return ofArray(out), err
}

func replace(e *evaluation, c *arguments) (val, error) {
	s, pattern, with, limit := c.at(0).str(), c.at(1), c.at(2), c.at(3)
	if pattern.kind == text && pattern.str() == "" {
		return val{}, &Error{Code: "D3010", value: pattern, index: 2}
	}
	if limit.defined() && limit.num < 0 {
		return val{}, &Error{Code: "D3011", value: limit, index: 4}
	}
	if limited(limit, 0) {
		return c.at(0), nil
	}
	if pattern.kind == text {
		n := -1
		if limit.defined() {
			n = int(math.Min(math.Ceil(limit.num), 1<<30))
		}
		times := strings.Count(s, pattern.str())
		if n >= 0 {
			times = min(times, n)
		}
		by := with.jsText()
		if err := e.spendText(len(s) + times*len(by)); err != nil {
			return val{}, err
		}
		return ofText(strings.Replace(s, pattern.str(), by, n)), nil
	}
	m, err := e.newMatcher(c, pattern, s)
	if err != nil {
		return val{}, err
	}
	var out []byte
	position := 0.0
	found, err := m.next()
	for count := 0; found && !limited(limit, count); count++ {
		var by val
		if with.kind == text {
			by = ofText(expand(with.str(), m))
		} else if by, err = e.apply(with, []val{m.result}, c.in, c.env); err != nil {
			return val{}, err
		}
		if by.kind != text {
			return val{}, &Error{Code: "D3012", value: by}
		}
		before := m.cut(position, m.start)
		if err := e.spendText(len(before) + len(by.str())); err != nil {
			return val{}, err
		}
		out = append(append(out, before...), by.str()...)
		position = m.start + m.size
		found, err = m.next()
	}
	if err != nil {
		return val{}, err
	}
	return ofText(string(out) + m.cut(position, math.Inf(1))), nil
}

// expand is a replacement in which $0 stands for the match, $1 for its first
// group, and $$ for a dollar.
func expand(with string, m *matcher) string {
	if !strings.Contains(with, "$") {
		return with
	}
	var b strings.Builder
	groups := m.groups.len()
	for {
		before, after, found := strings.Cut(with, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		with = after
		switch {
		case strings.HasPrefix(with, "$"):
			b.WriteByte('$')
			with = with[1:]
			continue
		case strings.HasPrefix(with, "0"):
			b.WriteString(m.match.str())
			with = with[1:]
			continue
		}
		digits := 1
		if groups > 0 {
			digits = int(math.Floor(math.Log(float64(groups))*math.Log10E)) + 1
		}
		n, ok := leadingInt(with, digits)
		if digits > 1 && ok && n > groups {
			n, ok = leadingInt(with, digits-1)
		}
		if !ok {
			b.WriteByte('$')
			continue
		}
		if 0 < n && n <= groups {
			if g := m.groups.at(n - 1); g.defined() {
				b.WriteString(g.str())
			}
		}
		with = with[min(len(with), len(strconv.Itoa(n))):]
	}
}

// leadingInt is parseInt of the first n bytes of s.
func leadingInt(s string, n int) (int, bool) {
	end := 0
	for end < len(s) && end < n && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	v, err := strconv.Atoi(s[:end])
	return v, err == nil
}

func split(e *evaluation, c *arguments) (val, error) {
	s, by, limit := c.at(0).str(), c.at(1), c.at(2)
	if limit.defined() && limit.num < 0 {
		return val{}, &Error{Code: "D3020", value: limit, index: 3}
	}
	if limited(limit, 0) {
		return plain(nil), nil
	}
	var items []val
	if by.kind != callable {
		if err := e.spendText(len(s)); err != nil {
			return val{}, err
		}
		most := math.MaxInt
		if limit.defined() {
			most = int(math.Min(math.Trunc(limit.num), math.MaxInt32))
		}
		var parts []string
		switch {
		case !by.defined():
			parts = []string{s}
		case by.str() == "":
			if err := e.spend(len(s)); err != nil {
				return val{}, err
			}
			for _, u := range units16(s) {
				parts = append(parts, fromUnits([]uint16{u}))
			}
		default:
			parts = strings.Split(s, by.str())
		}
		for i, p := range parts {
			if i < most {
				items = append(items, ofText(p))
			}
		}
		return plain(items), e.spend(len(items))
	}
	m, err := e.newMatcher(c, by, s)
	if err != nil {
		return val{}, err
	}
	start := 0.0
	count := 0
	found, err := m.next()
	for ; found && !limited(limit, count); count++ {
		part := m.cut(start, m.start)
		if err := e.spendText(len(part)); err != nil {
			return val{}, err
		}
		items = append(items, ofText(part))
		start = m.end
		found, err = m.next()
	}
	if err != nil {
		return val{}, err
	}
	if !limited(limit, count) {
		items = append(items, ofText(m.cut(start, math.Inf(1))))
	}
	return plain(items), nil
}

// A matcher finds the matches of a pattern one after the other: of a regular
// expression, or of a function that does as one. As in the reference the next match
// is looked for before a limit is, so that a pattern which cannot go on is an error.
type matcher struct {
	e     *evaluation
	c     *arguments
	units []uint16 // of the string
	regex *regex
	from  int // where a regular expression goes on

	follow  val // the function that gives the next match
	first   bool
	subject val

	match, groups, result val // of the last match
	start, end, size      float64
}

func (e *evaluation) newMatcher(c *arguments, pattern val, s string) (*matcher, error) {
	m := &matcher{e: e, c: c, follow: pattern, first: true, subject: ofText(s), units: units16(s)}
	if err := e.spendText(len(s)); err != nil {
		return nil, err
	}
	if pattern.kind != callable {
		return nil, &Error{Code: "T1006"}
	}
	f := pattern.ref.(*function)
	if f.within != nil {
		f = f.within
	}
	m.regex = f.regex
	return m, nil
}

// cut is a part of the string, by UTF-16 code units.
func (m *matcher) cut(from, to float64) string {
	n := len(m.units)
	a, b := clamp(max(from, 0), n), clamp(max(to, 0), n)
	if a > b {
		a, b = b, a
	}
	return fromUnits(m.units[a:b])
}

func (m *matcher) next() (bool, error) {
	if m.regex != nil {
		if !m.first && m.from >= len(m.units) {
			return false, nil
		}
		loc, err := m.regex.find(m.e, m.units, m.from)
		if err != nil || loc == nil {
			return false, err
		}
		if !m.first && loc[0] == loc[1] {
			return false, &Error{Code: "D1004", value: ofText(m.regex.source)}
		}
		m.first = false
		m.from = loc[1]
		m.result = m.regex.describe(m.e, m.units, loc)
		m.take()
		return true, nil
	}
	if !m.first && m.follow.kind != callable {
		return false, &Error{Code: "T1006"}
	}
	args := []val{m.subject}
	if !m.first {
		args = nil
	}
	v, err := m.e.apply(m.follow, args, m.c.in, m.c.env)
	if err != nil || !truthy(v) {
		return false, err
	}
	m.first = false
	if v.kind != dict || v.member("start").kind != number && v.member("groups").kind != list && v.member("next").kind != callable {
		return false, &Error{Code: "T1010"}
	}
	m.result = v
	m.take()
	m.follow = v.member("next")
	return true, nil
}

func (m *matcher) take() {
	r := m.result
	m.match, m.groups = r.member("match"), r.member("groups")
	m.start, m.end = r.member("start").num, r.member("end").num
	m.size = float64(len(units16(m.match.str())))
	if m.groups.kind != list {
		m.groups = plain(nil)
	}
}

// applyRegex is a regular expression called as a function.
func (e *evaluation) applyRegex(re *regex, args []val) (val, error) {
	c := &arguments{list: args}
	s, err := e.coerced(c.at(0))
	if err != nil {
		return val{}, err
	}
	units, from := units16(s), max(c.at(1).num, 0)
	if from > float64(len(units)) {
		return val{}, nil
	}
	loc, err := re.find(e, units, int(from))
	if err != nil || loc == nil {
		return val{}, err
	}
	return re.describe(e, units, loc), nil
}

// describe is the object that a regular expression gives for a match.
func (re *regex) describe(e *evaluation, units []uint16, loc []int) val {
	groups := make([]val, 0, len(loc)/2-1)
	e.steps -= (loc[1] - loc[0]) / 16 // the next step tells whether that was too much
	for i := 2; i < len(loc); i += 2 {
		e.steps -= 1 + (loc[i+1]-loc[i])/16
		g := val{}
		if loc[i] >= 0 {
			g = ofText(fromUnits(units[loc[i]:loc[i+1]]))
		}
		groups = append(groups, g)
	}
	next := func(e *evaluation, _ *arguments) (val, error) {
		if loc[1] >= len(units) {
			return val{}, nil
		}
		then, err := re.find(e, units, loc[1])
		if err != nil || then == nil {
			return val{}, err
		}
		if then[0] == then[1] {
			return val{}, &Error{Code: "D1004", value: ofText(re.source)}
		}
		return re.describe(e, units, then), nil
	}
	return ofObject(&object{
		keys: []string{"match", "start", "end", "groups", "next"},
		vals: []val{
			ofText(fromUnits(units[loc[0]:loc[1]])), ofNumber(float64(loc[0])), ofNumber(float64(loc[1])),
			plain(groups), {kind: callable, ref: &function{native: next, within: nil}},
		},
	})
}
