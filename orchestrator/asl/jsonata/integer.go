package jsonata

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// An integerPicture says how an integer is written: XPath and XQuery Functions
// and Operators 3.1, section 4.6.
type integerPicture struct {
	style      string // decimal, letters, roman, words or sequence
	upper      bool
	title      bool
	ordinal    bool
	zero       rune
	mandatory  int
	optional   int
	regular    int // how far apart separators are, where that is always the same
	separators []separator
	token      string // of a sequence
}

type separator struct {
	at   int // from the right
	sign string
}

// zeros are the first digits of the decimal digit groups of Unicode.
var zeros = []rune{0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10}

func parseIntegerPicture(picture string) (*integerPicture, error) {
	p := &integerPicture{style: "decimal"}
	primary := picture
	if i := strings.LastIndexByte(picture, ';'); i >= 0 {
		primary = picture[:i]
		p.ordinal = strings.HasPrefix(picture[i+1:], "o")
	}
	switch primary {
	case "A", "a":
		p.style, p.upper = "letters", primary == "A"
		return p, nil
	case "I", "i":
		p.style, p.upper = "roman", primary == "I"
		return p, nil
	case "W", "Ww", "w":
		p.style, p.upper, p.title = "words", primary == "W", primary == "Ww"
		return p, nil
	}
	position := 0
	runes := []rune(primary)
	slices.Reverse(runes)
	for _, r := range runes {
		zero := rune(0)
		for _, z := range zeros {
			if r >= z && r <= z+9 {
				zero = z
				break
			}
		}
		switch {
		case zero != 0:
			p.mandatory++
			position++
			if p.zero == 0 {
				p.zero = zero
			} else if p.zero != zero {
				return nil, &Error{Code: "D3131"}
			}
		case r == '#':
			position++
			p.optional++
		default:
			p.separators = append(p.separators, separator{position, string(r)})
		}
	}
	if p.mandatory == 0 {
		p.style, p.token = "sequence", primary
		return p, nil
	}
	if len(p.separators) > 0 {
		var positions []int
		same := true
		for _, s := range p.separators {
			positions = append(positions, s.at)
			same = same && s.sign == p.separators[0].sign
		}
		if same {
			p.regular = regularly(positions)
		}
	}
	return p, nil
}

func (p *integerPicture) format(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", &Error{Code: "D1001", value: ofNumber(f)}
	}
	sign := ""
	if f < 0 {
		sign, f = "-", -f
	}
	s := ""
	switch p.style {
	case "letters":
		first := 'a'
		if p.upper {
			first = 'A'
		}
		for f > 0 {
			s = string(first+rune(math.Mod(f-1, 26))) + s
			f = math.Floor((f - 1) / 26)
		}
	case "roman":
		if f > 1e9 { // which has a million letters
			return "", &Error{Code: "D1001", value: ofNumber(f)}
		}
		s = roman(int(f))
		if p.upper {
			s = strings.ToUpper(s)
		}
	case "words":
		s = words(f, p.ordinal, 0)
		switch {
		case p.upper:
			s = strings.ToUpper(s)
		case !p.title:
			s = strings.ToLower(s)
		}
	case "sequence":
		return "", &Error{Code: "D3130", value: ofText(p.token)}
	default:
		s = p.decimal(f)
	}
	return sign + s, nil
}

func (p *integerPicture) decimal(f float64) string {
	s := []rune(value.FormatFloat(f))
	s = slices.Concat(slices.Repeat([]rune{'0'}, max(p.mandatory-len(s), 0)), s)
	for i, r := range s {
		if p.zero != '0' {
			s[i] = r - '0' + p.zero
		}
	}
	insert := func(at int, sign string) {
		at = min(max(at, 0), len(s))
		s = slices.Concat(s[:at], []rune(sign), s[at:])
	}
	if p.regular > 0 {
		for i := (len(s) - 1) / p.regular; i > 0; i-- {
			insert(len(s)-i*p.regular, p.separators[0].sign)
		}
	} else {
		for _, x := range slices.Backward(p.separators) {
			at := len(s) - x.at
			if at < 0 { // as substr counts
				s = s[max(len(s)+at, 0):]
			}
			insert(at, x.sign)
		}
	}
	if p.ordinal {
		suffix := map[rune]string{'1': "st", '2': "nd", '3': "rd"}[s[len(s)-1]]
		if suffix == "" || len(s) > 1 && s[len(s)-2] == '1' {
			suffix = "th"
		}
		s = append(s, []rune(suffix)...)
	}
	return string(s)
}

var numerals = []struct {
	n    int
	text string
}{{1000, "m"}, {900, "cm"}, {500, "d"}, {400, "cd"}, {100, "c"}, {90, "xc"}, {50, "l"}, {40, "xl"}, {10, "x"}, {9, "ix"}, {5, "v"}, {4, "iv"}, {1, "i"}}

func roman(n int) string {
	var b strings.Builder
	for _, x := range numerals {
		for ; n >= x.n; n -= x.n {
			b.WriteString(x.text)
		}
	}
	return b.String()
}

func fromRoman(s string) float64 {
	n, most := 0, 1
	for i := len(s) - 1; i >= 0; i-- {
		x := map[byte]int{'M': 1000, 'D': 500, 'C': 100, 'L': 50, 'X': 10, 'V': 5, 'I': 1}[s[i]]
		if x == 0 {
			return math.NaN()
		}
		if x < most {
			n -= x
		} else {
			most = x
			n += x
		}
	}
	return float64(n)
}

var (
	few = strings.Fields(`Zero One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve Thirteen Fourteen
		Fifteen Sixteen Seventeen Eighteen Nineteen`)
	ordinals = strings.Fields(`Zeroth First Second Third Fourth Fifth Sixth Seventh Eighth Ninth Tenth Eleventh Twelfth
		Thirteenth Fourteenth Fifteenth Sixteenth Seventeenth Eighteenth Nineteenth`)
	decades    = strings.Fields("Twenty Thirty Forty Fifty Sixty Seventy Eighty Ninety")
	magnitudes = strings.Fields("Thousand Million Billion Trillion")
)

// words is an integer in English. What is before it says how it is joined: 0
// is nothing, 1 something.
func words(f float64, ordinal bool, before int) string {
	join := func(sign string) string {
		if before == 0 {
			return ""
		}
		return sign
	}
	rest := func(remainder float64) string {
		if remainder > 0 {
			return words(remainder, ordinal, 1)
		}
		if ordinal {
			return "th"
		}
		return ""
	}
	switch {
	case f <= 19:
		names := few
		if ordinal {
			names = ordinals
		}
		return join(" and ") + names[int(f)]
	case f < 100:
		name := decades[int(f)/10-2]
		if remainder := math.Mod(f, 10); remainder > 0 {
			return join(" and ") + name + "-" + words(remainder, ordinal, 0)
		}
		if ordinal {
			name = name[:len(name)-1] + "ieth"
		}
		return join(" and ") + name
	case f < 1000:
		return join(", ") + few[int(f)/100] + " Hundred" + rest(math.Mod(f, 100))
	}
	magnitude := min(int(math.Floor(math.Log10(f)/3)), len(magnitudes))
	factor := math.Pow(10, float64(magnitude*3))
	count := math.Floor(f / factor)
	return join(", ") + words(count, false, 0) + " " + magnitudes[magnitude-1] + rest(f-count*factor)
}

// numberWords are the values of the words that integers are written with.
var numberWords = func() map[string]float64 {
	all := map[string]float64{"hundred": 100, "hundredth": 100}
	for i := range few {
		all[strings.ToLower(few[i])] = float64(i)
		all[strings.ToLower(ordinals[i])] = float64(i)
	}
	for i, w := range decades {
		w = strings.ToLower(w)
		all[w] = float64(i+2) * 10
		all[w[:len(w)-1]+"ieth"] = all[w]
	}
	for i, w := range magnitudes {
		w = strings.ToLower(w)
		all[w] = math.Pow(10, float64(i+1)*3)
		all[w+"th"] = all[w]
	}
	return all
}()

func fromWords(s string) float64 {
	s = strings.NewReplacer(", ", " ", " and ", " ", "-", " ", "\\", " ").Replace(s)
	segments := []float64{0}
	for _, w := range strings.Split(s, " ") {
		n, ok := numberWords[w]
		if !ok {
			return math.NaN()
		}
		last := segments[len(segments)-1]
		switch {
		case n >= 100:
			segments[len(segments)-1] = last * n
		case last >= 1000:
			segments = append(segments, n)
		default:
			segments[len(segments)-1] = last + n
		}
	}
	total := 0.0
	for _, n := range segments {
		total += n
	}
	return total
}

// longestFirst sorts words so that none comes after one that it begins with.
func longestFirst(words []string) []string {
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return words
}

// parse is the integer that s stands for; NaN where it is none.
func (p *integerPicture) parse(s string) (float64, error) {
	switch p.style {
	case "letters":
		first := 'a'
		if p.upper {
			first = 'A'
		}
		n := 0.0
		letters := []rune(s)
		for i, r := range letters {
			n += float64(r-first+1) * pow(26, float64(len(letters)-1-i))
		}
		return n, nil
	case "roman":
		if !p.upper {
			s = strings.ToUpper(s)
		}
		return fromRoman(s), nil
	case "words":
		return fromWords(strings.ToLower(s)), nil
	case "sequence":
		return 0, &Error{Code: "D3130", value: ofText(p.token)}
	}
	if p.ordinal && len(s) >= 2 {
		s = s[:len(s)-2]
	}
	if p.regular > 0 {
		s = strings.ReplaceAll(s, ",", "")
	} else {
		for _, x := range p.separators {
			s = strings.ReplaceAll(s, x.sign, "")
		}
	}
	if p.zero != '0' {
		s = strings.Map(func(r rune) rune { return r - p.zero + '0' }, s)
	}
	return parseInt(s), nil
}

// parseInt is JavaScript's: of the digits that s begins with.
func parseInt(s string) float64 {
	s = strings.TrimLeft(s, " \t\n\r\v\f")
	if digits := strings.TrimLeft(s, "+-"); len(s)-len(digits) <= 1 && len(digits) > 2 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		digits = digits[2:]
		n := strings.IndexFunc(digits, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
		if n >= 0 {
			digits = digits[:n]
		}
		f := prefixed("0x" + digits)
		if s[0] == '-' {
			f = -f
		}
		return f
	}
	end := 0
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	f, err := strconv.ParseFloat(s[:end], 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

func formatInteger(e *evaluation, c *arguments) (val, error) {
	if err := e.spendText(len(c.at(1).str())); err != nil {
		return val{}, err
	}
	p, err := parseIntegerPicture(c.at(1).str())
	if err != nil {
		return val{}, err
	}
	s, err := p.format(math.Floor(c.at(0).num))
	if err != nil {
		return val{}, err
	}
	return ofText(s), e.spendText(len(s))
}

func parseInteger(e *evaluation, c *arguments) (val, error) {
	if err := e.spendText(len(c.at(0).str()) + len(c.at(1).str())); err != nil {
		return val{}, err
	}
	p, err := parseIntegerPicture(c.at(1).str())
	if err != nil {
		return val{}, err
	}
	f, err := p.parse(c.at(0).str())
	return ofNumber(f), err
}
