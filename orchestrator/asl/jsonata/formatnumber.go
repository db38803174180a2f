package jsonata

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A numberFormat is the decimal format of XPath and XQuery Functions and
// Operators 3.1, section 4.7: what the characters of a picture mean.
type numberFormat map[string]string

func (f numberFormat) zero() rune { return []rune(f["zero-digit"])[0] }

func (f numberFormat) digit(r rune) bool { return r >= f.zero() && r < f.zero()+10 }

// active reports whether r is more than text in a picture.
func (f numberFormat) active(r rune) bool {
	s := string(r)
	return f.digit(r) || s == f["decimal-separator"] || s == f["exponent-separator"] || s == f["grouping-separator"] || s == f["digit"] || s == f["pattern-separator"]
}

// digits counts those of a part of a picture, if optional also those that are.
func (f numberFormat) digits(part []rune, optional bool) int {
	n := 0
	for _, r := range part {
		if f.digit(r) || optional && string(r) == f["digit"] {
			n++
		}
	}
	return n
}

// A subPicture is a picture of numbers of one sign, taken apart.
type subPicture struct {
	text                               []rune
	prefix, suffix                     []rune
	active, mantissa, integer, decimal []rune
	exponent                           []rune
	exponential                        bool

	positions, decimalPositions []int
	regular                     int
	leastInteger, scaling       int
	leastDecimal, mostDecimal   int
	leastExponent               int
}

// index is where what, which may be several characters, is in s from a place
// on; -1 where it is not.
func index(s []rune, what string, from int) int {
	w := []rune(what)
	for i := max(from, 0); i+len(w) <= len(s) && len(w) > 0; i++ {
		if slices.Equal(s[i:i+len(w)], w) {
			return i
		}
	}
	return -1
}

func (f numberFormat) parse(text []rune) (*subPicture, error) {
	p := &subPicture{text: text}
	part := func(r rune) bool { return f.active(r) && string(r) != f["exponent-separator"] }
	first, last := slices.IndexFunc(text, part), len(text)-1
	if first < 0 { // which check refuses
		first = 0
	}
	for last > first && !part(text[last]) {
		last--
	}
	p.prefix, p.active, p.suffix = text[:first], text[first:last+1], text[last+1:]
	p.mantissa = p.active
	if e := index(text, f["exponent-separator"], first); e >= 0 && e <= last+1 {
		p.exponential = true
		p.mantissa = p.active[:min(e, len(p.active))]
		p.exponent = p.active[min(e+1, len(p.active)):]
	}
	p.integer, p.decimal = p.mantissa, p.suffix
	if d := index(p.mantissa, f["decimal-separator"], 0); d >= 0 {
		p.integer, p.decimal = p.mantissa[:d], p.mantissa[d+1:]
	}
	if code := f.check(p); code != "" {
		return nil, &Error{Code: code}
	}
	f.analyse(p)
	return p, nil
}

// check is the code of the last rule of section 4.7.3 that is broken.
func (f numberFormat) check(p *subPicture) string {
	code := ""
	point := index(p.text, f["decimal-separator"], 0)
	twice := func(what string) bool {
		i := index(p.text, what, 0)
		return i >= 0 && index(p.text, what, i+1) >= 0
	}
	has := func(what string) bool { return index(p.text, what, 0) >= 0 }
	at := func(s []rune, i int) string {
		if i < 0 || i >= len(s) {
			return ""
		}
		return string(s[i])
	}
	group := f["grouping-separator"]
	if twice(f["decimal-separator"]) {
		code = "D3081"
	}
	if twice(f["percent"]) {
		code = "D3082"
	}
	if twice(f["per-mille"]) {
		code = "D3083"
	}
	if has(f["percent"]) && has(f["per-mille"]) {
		code = "D3084"
	}
	if f.digits(p.mantissa, true) == 0 {
		code = "D3085"
	}
	if slices.ContainsFunc(p.active, func(r rune) bool { return !f.active(r) }) {
		code = "D3086"
	}
	if point >= 0 {
		if at(p.text, point-1) == group || at(p.text, point+1) == group {
			code = "D3087"
		}
	} else if at(p.integer, len(p.integer)-1) == group {
		code = "D3088"
	}
	if strings.Contains(string(p.text), group+group) {
		code = "D3089"
	}
	if i := index(p.integer, f["digit"], 0); i >= 0 && f.digits(p.integer[:i], false) > 0 {
		code = "D3090"
	}
	for i := len(p.decimal) - 1; i >= 0; i-- {
		if string(p.decimal[i]) == f["digit"] {
			if f.digits(p.decimal[i:], false) > 0 {
				code = "D3091"
			}
			break
		}
	}
	if p.exponential {
		if len(p.exponent) > 0 && (has(f["percent"]) || has(f["per-mille"])) {
			code = "D3092"
		}
		if len(p.exponent) == 0 || f.digits(p.exponent, false) < len(p.exponent) {
			code = "D3093"
		}
	}
	return code
}

// analyse is section 4.7.4.
func (f numberFormat) analyse(p *subPicture) {
	group := f["grouping-separator"]
	positions := func(part []rune, left bool) []int {
		var all []int
		for i := index(part, group, 0); i >= 0; i = index(p.integer, group, i+1) {
			cut := min(i, len(part))
			of := part[cut:]
			if left {
				of = part[:cut]
			}
			all = append(all, f.digits(of, true))
		}
		return all
	}
	p.positions, p.decimalPositions = positions(p.integer, false), positions(p.decimal, true)
	p.regular = regularly(p.positions)
	p.leastInteger = f.digits(p.integer, false)
	p.scaling = p.leastInteger
	p.leastDecimal, p.mostDecimal = f.digits(p.decimal, false), f.digits(p.decimal, true)
	if p.leastInteger == 0 && p.mostDecimal == 0 {
		if p.exponential {
			p.leastDecimal, p.mostDecimal = 1, 1
		} else {
			p.leastInteger = 1
		}
	}
	if p.exponential && p.leastInteger == 0 && index(p.integer, f["digit"], 0) >= 0 {
		p.leastInteger = 1
	}
	if p.leastInteger == 0 && p.leastDecimal == 0 {
		p.leastDecimal = 1
	}
	p.leastExponent = f.digits(p.exponent, false)
}

// regularly is the distance of positions that are equally far apart, 0 where
// they are not.
func regularly(positions []int) int {
	if len(positions) == 0 {
		return 0
	}
	factor := positions[0]
	for _, n := range positions[1:] {
		for n != 0 {
			factor, n = n, factor%n
		}
	}
	for i := range positions {
		if !slices.Contains(positions, (i+1)*factor) {
			return 0
		}
	}
	return factor
}

func formatNumber(e *evaluation, c *arguments) (val, error) {
	f := numberFormat{
		"decimal-separator": ".", "grouping-separator": ",", "exponent-separator": "e",
		"minus-sign": "-", "percent": "%", "per-mille": "‰", "zero-digit": "0", "digit": "#", "pattern-separator": ";",
	}
	options := c.at(2)
	for i := range options.len() {
		if options.at(i).kind == text {
			f[options.key(i)] = options.at(i).str()
		}
	}
	if f["zero-digit"] == "" {
		f["zero-digit"] = "0"
	}
	picture := c.at(1).str()
	if err := e.spendText(4 * len(picture)); err != nil {
		return val{}, err
	}
	subs := []string{picture}
	if f["pattern-separator"] != "" {
		subs = strings.Split(picture, f["pattern-separator"])
	}
	if len(subs) > 2 {
		return val{}, &Error{Code: "D3080"}
	}
	var pictures []*subPicture
	for _, s := range subs {
		p, err := f.parse([]rune(s))
		if err != nil {
			return val{}, err
		}
		pictures = append(pictures, p)
	}
	n := c.at(0).num
	p := pictures[0]
	if n < 0 && len(pictures) == 2 {
		p = pictures[1]
	} else if n < 0 {
		p.prefix = append([]rune(f["minus-sign"]), p.prefix...)
	}
	s := f.format(p, n)
	return ofText(s), e.spendText(len(s))
}

// format is section 4.7.5.
func (f numberFormat) format(p *subPicture, n float64) string {
	if index(p.text, f["percent"], 0) >= 0 {
		n *= 100
	} else if index(p.text, f["per-mille"], 0) >= 0 {
		n *= 1000
	}
	exponent := 0
	if p.leastExponent > 0 && n != 0 && !math.IsInf(n, 0) && !math.IsNaN(n) {
		most, least := math.Pow(10, float64(p.scaling)), math.Pow(10, float64(p.scaling-1))
		for math.Abs(n) < least {
			n *= 10
			exponent--
		}
		for math.Abs(n) > most {
			n /= 10
			exponent++
		}
	}
	s := []rune(f.write(roundTo(n, float64(p.mostDecimal)), p.mostDecimal))
	point := []rune(f["decimal-separator"])
	if i := slices.Index(s, '.'); i >= 0 {
		s = slices.Concat(s[:i], point, s[i+1:])
	} else {
		s = append(s, point...)
	}
	for len(s) > 0 && s[0] == f.zero() {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] == f.zero() {
		s = s[:len(s)-1]
	}
	zeros := func(n int) []rune { return slices.Repeat([]rune{f.zero()}, max(n, 0)) }
	at := max(index(s, f["decimal-separator"], 0), 0)
	s = slices.Concat(zeros(p.leastInteger-at), s, zeros(p.leastDecimal-(len(s)-at-1)))
	at = max(index(s, f["decimal-separator"], 0), 0)
	group := []rune(f["grouping-separator"])
	insert := func(i int) {
		i = min(max(i, 0), len(s))
		s = slices.Concat(s[:i], group, s[i:])
	}
	if p.regular > 0 {
		for i := 1; i <= (at-1)/p.regular; i++ {
			insert(at - i*p.regular)
		}
	} else {
		for _, pos := range p.positions {
			i := at - pos
			if i < 0 {
				i += len(s) // as slice counts
			}
			insert(i)
			at++
		}
	}
	at = max(index(s, f["decimal-separator"], 0), 0)
	for _, pos := range p.decimalPositions {
		insert(pos + at + 1)
	}
	at = index(s, f["decimal-separator"], 0)
	if (index(p.text, f["decimal-separator"], 0) < 0 || at == len(s)-1) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	out := string(p.prefix) + string(s)
	if p.leastExponent > 0 {
		digits := f.write(float64(exponent), 0)
		sign := ""
		if exponent < 0 {
			sign = f["minus-sign"]
		}
		out += f["exponent-separator"] + sign + string(zeros(p.leastExponent-len([]rune(digits)))) + digits
	}
	return out + string(p.suffix)
}

// write is the absolute value with so many decimals, in the digits of the
// format.
func (f numberFormat) write(n float64, decimals int) string {
	n = math.Abs(n)
	s := value.FormatFloat(n)
	if n < 1e21 {
		s = strconv.FormatFloat(n, 'f', min(decimals, 100), 64)
	}
	if f.zero() == '0' {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + f.zero()
		}
		return r
	}, s)
}
