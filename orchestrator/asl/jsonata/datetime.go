package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A datePart is a piece of a date/time picture: XPath and XQuery Functions and
// Operators 3.1, section 9.8.4. It is text, or a marker such as [M01].
type datePart struct {
	literal   string
	component byte // 0 for text
	names     string
	integer   *integerPicture
	most      int // width, of names; 0 where it is not limited
	digits    int // of a year, from the right; 0 for all
	military  bool
}

const (
	lowerCase = "lower"
	upperCase = "upper"
	titleCase = "title"
)

// presentations are how components are shown that do not say it.
var presentations = map[byte]string{
	'Y': "1", 'M': "1", 'D': "1", 'd': "1", 'F': "n", 'W': "1", 'w': "1", 'X': "1", 'x': "1", 'H': "1", 'h': "1",
	'P': "n", 'm': "01", 's': "01", 'f': "1", 'Z': "01:01", 'z': "01:01", 'C': "n", 'E': "n",
}

const isoPicture = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]"

func parseDatePicture(picture string) ([]datePart, error) {
	var parts []datePart
	add := func(s string) {
		if s != "" {
			parts = append(parts, datePart{literal: strings.ReplaceAll(s, "]]", "]")})
		}
	}
	for {
		before, rest, found := strings.Cut(picture, "[")
		add(before)
		if !found {
			return parts, nil
		}
		if strings.HasPrefix(rest, "[") {
			parts = append(parts, datePart{literal: "["})
			picture = rest[1:]
			continue
		}
		marker, after, found := strings.Cut(rest, "]")
		if !found {
			return nil, &Error{Code: "D3135"}
		}
		p, err := parseMarker(strings.Join(strings.Fields(marker), ""))
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		picture = after
	}
}

// parseWidth is one side of a width; 0 where it is not given.
func parseWidth(s string) int {
	if f := parseInt(s); f > 0 && f < 1e6 {
		return int(f)
	}
	return 0
}

func parseMarker(marker string) (datePart, error) {
	p := datePart{}
	if marker == "" {
		return p, &Error{Code: "D3132", value: ofText("")}
	}
	p.component = marker[0]
	presentation, width, _ := strings.Cut(marker[1:], ",")
	if i := strings.LastIndexByte(marker, ','); i > 0 {
		presentation, width = marker[1:i], marker[i+1:]
	}
	least, most, _ := strings.Cut(width, "-")
	p.most = parseWidth(most)
	second := ""
	if n := len(presentation); n > 1 && strings.IndexByte("atco", presentation[n-1]) >= 0 {
		presentation, second = presentation[:n-1], presentation[n-1:]
	}
	p.military = second == "t"
	if presentation == "" {
		var ok bool
		if presentation, ok = presentations[p.component]; !ok {
			return p, &Error{Code: "D3132", value: ofText(string(rune(p.component)))}
		}
	}
	numeric := strings.IndexByte("YMDdFWwXxHhmsf", p.component) >= 0
	var err error
	switch {
	case presentation[0] == 'n':
		p.names = lowerCase
	case strings.HasPrefix(presentation, "Nn"):
		p.names = titleCase
	case presentation[0] == 'N':
		p.names = upperCase
	case numeric:
		pattern := presentation
		if second != "" {
			pattern += ";" + second
		}
		if p.integer, err = parseIntegerPicture(pattern); err != nil {
			return p, err
		}
		if p.integer.style == "decimal" {
			p.integer.mandatory = max(p.integer.mandatory, parseWidth(least))
		}
		if strings.IndexByte("YMD", p.component) >= 0 {
			if p.most > 0 {
				p.digits, p.integer.mandatory = p.most, p.most
			} else if w := p.integer.mandatory + p.integer.optional; w >= 2 {
				p.digits = w
			}
		}
	}
	if p.component == 'Z' || p.component == 'z' {
		p.integer, err = parseIntegerPicture(presentation)
	}
	return p, err
}

var (
	dayNames   = strings.Fields("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
	monthNames = strings.Fields("January February March April May June July August September October November December")
)

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// firstWeek is when the first week of a year or month begins: on a Monday, so
// that the first Thursday is in it (ISO 8601).
func firstWeek(year, month int) time.Time {
	first := date(year, month, 1)
	weekday := isoWeekday(first)
	if weekday > 4 {
		return first.AddDate(0, 0, 8-weekday)
	}
	return first.AddDate(0, 0, 1-weekday)
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

// week is the number of the week that t is in, of those from start on: of a
// year or month that may have most weeks for sure.
func week(t, start, next, before time.Time, most int) int {
	number := func(from time.Time) float64 { return t.Sub(from).Hours()/(24*7) + 1 }
	n := number(start)
	switch {
	case n > float64(most) && !t.Before(next):
		n = 1
	case n < 1:
		n = number(before)
	}
	return int(math.Floor(n))
}

// fragment is a component of a time.
func fragment(t time.Time, component byte) int {
	y, m := t.Year(), int(t.Month())
	today := date(y, m, t.Day())
	switch component {
	case 'Y':
		return y
	case 'M':
		return m
	case 'D':
		return t.Day()
	case 'd':
		return t.YearDay()
	case 'F':
		return isoWeekday(t)
	case 'W':
		return week(today, firstWeek(y, 1), firstWeek(y+1, 1), firstWeek(y-1, 1), 52)
	case 'w':
		return week(today, firstWeek(y, m), firstWeek(y, m+1), firstWeek(y, m-1), 4)
	case 'X':
		switch {
		case t.Before(firstWeek(y, 1)):
			return y - 1
		case !t.Before(firstWeek(y+1, 1)):
			return y + 1
		}
		return y
	case 'x':
		switch {
		case t.Before(firstWeek(y, m)):
			return (m+10)%12 + 1
		case !t.Before(firstWeek(y, m+1)):
			return m%12 + 1
		}
		return m
	case 'H':
		return t.Hour()
	case 'h':
		return (t.Hour()+11)%12 + 1
	case 'm':
		return t.Minute()
	case 's':
		return t.Second()
	case 'f':
		return t.Nanosecond() / int(time.Millisecond)
	}
	return 0
}

// A zone is the offset that a time is shown in.
type zone struct{ hours, minutes int }

func (p *datePart) format(t time.Time, z zone) (string, error) {
	unnamed := &Error{Code: "D3133", value: ofText(string(rune(p.component)))}
	switch p.component {
	case 0:
		return p.literal, nil
	case 'P':
		s := "am"
		if t.Hour() >= 12 {
			s = "pm"
		}
		if p.names == upperCase {
			s = strings.ToUpper(s)
		}
		return s, nil
	case 'Z', 'z':
		return p.zone(z)
	case 'C', 'E':
		return "ISO", nil
	}
	if strings.IndexByte("YMDdFWwXxHhmsf", p.component) < 0 {
		return "undefined", nil // as the reference has it
	}
	n := fragment(t, p.component)
	if p.names == "" {
		if p.component == 'Y' && p.digits > 0 && p.digits < 10 {
			n %= int(math.Pow10(p.digits))
		}
		return p.integer.format(float64(n))
	}
	s := ""
	switch p.component {
	case 'M', 'x':
		s = monthNames[n-1]
	case 'F':
		s = dayNames[n-1]
	default:
		return "", unnamed
	}
	switch p.names {
	case upperCase:
		s = strings.ToUpper(s)
	case lowerCase:
		s = strings.ToLower(s)
	}
	if p.most > 0 && len(s) > p.most {
		s = s[:p.most]
	}
	return s, nil
}

func (p *datePart) zone(z zone) (string, error) {
	offset := z.hours*100 + z.minutes
	s := ""
	var err error
	switch n := p.integer.mandatory; {
	case p.integer.regular > 0 || n == 3 || n == 4:
		s, err = p.integer.format(float64(offset))
	case n == 1 || n == 2:
		s, err = p.integer.format(float64(z.hours))
		if z.minutes != 0 {
			m := strconv.Itoa(z.minutes)
			if len(m) < 2 {
				m = "0" + m
			}
			s += ":" + m
		}
	default:
		return "", &Error{Code: "D3134", value: ofNumber(float64(n))}
	}
	if offset >= 0 {
		s = "+" + s
	}
	if p.component == 'z' {
		s = "GMT" + s
	}
	if offset == 0 && p.military {
		s = "Z"
	}
	return s, err
}

// maxMillis is how far from 1970 a time can be, as ECMAScript has it.
const maxMillis = 8.64e15

func formatTime(e *evaluation, ms val, picture, zoned val) (val, error) {
	z := zone{}
	if zoned.defined() {
		offset := parseInt(zoned.str())
		if math.IsNaN(offset) || math.Abs(offset) > 9999 {
			return val{}, &Error{Code: "T0410", value: zoned, index: 3}
		}
		z = zone{int(math.Floor(offset / 100)), int(math.Mod(offset, 100))}
	}
	text := isoPicture
	if picture.defined() {
		text = picture.str()
	}
	if err := e.spendText(8 * len(text)); err != nil {
		return val{}, err
	}
	parts, err := parseDatePicture(text)
	if err != nil {
		return val{}, err
	}
	at := math.Trunc(ms.num + float64(z.hours*60+z.minutes)*60_000)
	if !(math.Abs(at) <= maxMillis) {
		return val{}, &Error{Code: "D1001", value: ms}
	}
	t := time.UnixMilli(int64(at)).UTC()
	var b strings.Builder
	for i := range parts {
		s, err := parts[i].format(t, z)
		if err != nil {
			return val{}, err
		}
		if err := e.spendText(len(s)); err != nil {
			return val{}, err
		}
		b.WriteString(s)
	}
	return ofText(b.String()), nil
}

func fromMillis(e *evaluation, c *arguments) (val, error) {
	return formatTime(e, c.at(0), c.at(1), c.at(2))
}

func now(e *evaluation, c *arguments) (val, error) {
	return formatTime(e, ofNumber(float64(e.args.Now.UnixMilli())), c.at(0), c.at(1))
}

func millis(e *evaluation, _ *arguments) (val, error) {
	return ofNumber(float64(e.args.Now.UnixMilli())), nil
}

func toMillis(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	if err := e.spendText(len(s)); err != nil {
		return val{}, err
	}
	if c.at(1).defined() {
		return parseTime(e, s, c.at(1).str())
	}
	if t, ok := parseISO(s); ok {
		return ofNumber(float64(t.UnixMilli())), nil
	}
	return val{}, &Error{Code: "D3110", value: c.at(0)}
}

var iso = regexp.MustCompile(`^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:Z|([+-])([0-2]\d):?([0-5]\d))?$`)

// parseISO reads a time of ISO 8601; one without an offset is UTC.
func parseISO(s string) (time.Time, bool) {
	m := iso.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	n := func(i, normal int) int {
		if v, err := strconv.Atoi(m[i]); err == nil {
			return v
		}
		return normal
	}
	month, d, h, minute, second := n(2, 1), n(3, 1), n(4, 0), n(5, 0), n(6, 0)
	ms, _ := strconv.Atoi((m[7] + "000")[:3])
	if month < 1 || month > 12 || d < 1 || d > 31 || h > 24 || minute > 59 || second > 59 || h == 24 && minute+second+ms > 0 {
		return time.Time{}, false
	}
	offset := n(9, 0)*60 + n(10, 0)
	if m[8] == "-" {
		offset = -offset
	}
	return time.Date(n(1, 0), time.Month(month), d, h, minute-offset, second, ms*int(time.Millisecond), time.UTC), true
}

// pattern is the regular expression that finds the part in a text.
func (p *datePart) pattern() (string, error) {
	switch {
	case p.component == 0:
		return regexp.QuoteMeta(p.literal), nil
	case p.component == 'Z' || p.component == 'z':
		s := `[-+][0-9]+`
		if p.component == 'z' {
			s = "GMT" + s
		}
		if p.integer.regular > 0 {
			s += regexp.QuoteMeta(p.integer.separators[0].sign) + `[0-9]+`
		}
		return s, nil
	case p.integer == nil:
		if strings.IndexByte("MxFP", p.component) < 0 {
			return "", &Error{Code: "D3133", value: ofText(string(rune(p.component)))}
		}
		return `[a-zA-Z]+`, nil
	}
	switch x := p.integer; x.style {
	case "letters":
		return `[a-zA-Z]+`, nil
	case "roman":
		return `[mdclxviMDCLXVI]+`, nil
	case "words":
		words := []string{"and", `[\-, ]`}
		for w := range numberWords {
			words = append(words, w)
		}
		// The longest first, as one may begin another.
		return `(?:` + strings.Join(longestFirst(words), "|") + `)+`, nil
	case "sequence":
		return "", &Error{Code: "D3130", value: ofText(x.token)}
	default:
		s := `[0-9]+`
		if p.digits > 0 {
			if x.optional == 0 {
				s = `[0-9]{` + strconv.Itoa(p.digits) + `}`
			} else {
				s = `[0-9]{` + strconv.Itoa(max(p.digits-x.optional, 0)) + `,` + strconv.Itoa(p.digits) + `}`
			}
		}
		if x.ordinal {
			s += `(?:th|st|nd|rd)`
		}
		return s, nil
	}
}

// value is what the part stands for; false where nothing is known by it.
func (p *datePart) value(s string) (float64, bool) {
	switch {
	case p.component == 'Z' || p.component == 'z':
		return p.offset(s), true
	case p.integer != nil:
		f, err := p.integer.parse(s)
		return f, err == nil && !math.IsNaN(f)
	case p.component == 'P':
		return map[string]float64{"pm": 1, "PM": 1}[s], strings.ToLower(s) == "am" || strings.ToLower(s) == "pm"
	}
	names := monthNames
	if p.component == 'F' {
		names = dayNames
	}
	for i, name := range names {
		if p.most > 0 && p.most < len(name) {
			name = name[:p.most]
		}
		if name == s {
			return float64(i + 1), true
		}
	}
	return 0, false
}

// offset is that of a zone, in minutes.
func (p *datePart) offset(s string) float64 {
	s = strings.TrimPrefix(strings.ToUpper(s), "GMT")
	hours, minutes := s, ""
	if p.integer.regular > 0 {
		hours, minutes, _ = strings.Cut(s, p.integer.separators[0].sign)
	} else if len(s) > 3 {
		hours, minutes = s[:3], s[3:]
	}
	offset := parseInt(hours) * 60
	if minutes != "" {
		offset += parseInt(minutes)
	}
	return offset
}

// known are the components that were read.
type known map[byte]float64

// mask has a bit for each of the components, set where it is there and not 0.
func (k known) mask(components string) int {
	mask := 0
	for i := range len(components) {
		mask <<= 1
		if k[components[i]] != 0 {
			mask |= 1
		}
	}
	return mask
}

// maxParts is how many parts a picture to read by may have: each may become a
// long regular expression.
const maxParts = 200

// parseTime reads a time by a picture. What is left open before the first
// component that is given is as it is now, what is after the last is zero.
func parseTime(e *evaluation, s, picture string) (val, error) {
	if err := e.spendText(64 * len(picture)); err != nil {
		return val{}, err
	}
	parts, err := parseDatePicture(picture)
	if err != nil {
		return val{}, err
	}
	if len(parts) > maxParts {
		return val{}, long()
	}
	var pattern strings.Builder
	pattern.WriteString("(?i)^")
	for i := range parts {
		x, err := parts[i].pattern()
		if err != nil {
			return val{}, err
		}
		pattern.WriteString("(" + x + ")")
	}
	re, bad := regexp.Compile(pattern.String() + "$")
	if bad != nil { // more digits than any number has
		return val{}, nil
	}
	m := re.FindStringSubmatch(s)
	if m == nil {
		return val{}, nil
	}
	k := known{}
	some := false
	for i := range parts {
		if parts[i].component == 0 {
			continue
		}
		some = true
		if f, ok := parts[i].value(m[i+1]); ok {
			k[parts[i].component] = f
		} else {
			delete(k, parts[i].component) // the last one counts
		}
	}
	if !some {
		return val{}, nil
	}
	is := func(mask, of int) bool { return ^of&mask == 0 && of&mask != 0 }
	// A date is a year, month and day; a year and day of it; or in weeks, of
	// which the reference knows no more than that they are not enough.
	dates := k.mask("YXMxWwdD")
	byMonth := is(dates, 0b10100001)
	byDay := !byMonth && is(dates, 0b10000010)
	if is(dates, 0b01010100) || is(dates, 0b01001000) {
		return val{}, &Error{Code: "D3136"}
	}
	times := k.mask("PHhmsf")
	half := !is(times, 0b010111) && is(times, 0b101111)
	order := "YMD"
	if byDay {
		order = "YD"
	}
	if half {
		order += "Phmsf"
	} else {
		order += "Hmsf"
	}
	began, ended := false, false
	for i := range len(order) {
		x := order[i]
		_, ok := k[x]
		switch {
		case ok && ended:
			return val{}, &Error{Code: "D3136"}
		case ok:
			began = true
		case began:
			ended = true
			if k[x] = 0; x == 'M' || x == 'D' {
				k[x] = 1
			}
		default:
			k[x] = float64(fragment(e.args.Now.UTC(), x))
		}
	}
	for _, f := range k {
		if math.Abs(f) > 1e9 {
			return val{}, &Error{Code: "D3110", value: ofText(s)}
		}
	}
	year := int(k['Y'])
	if year >= 0 && year <= 99 {
		year += 1900 // as Date.UTC takes it
	}
	month, d := max(int(k['M']), 1), int(k['D'])
	if byDay {
		month, d = 1, int(k['d'])
	}
	hour := k['H']
	if half {
		hour = math.Mod(k['h'], 12) + 12*k['P']
		if k['h'] > 12 {
			hour = k['h'] + 12*k['P']
		}
	}
	ms := float64(date(year, month, d).UnixMilli()) + hour*3_600_000 + k['m']*60_000 + k['s']*1000 + k['f']
	for _, z := range []byte{'Z', 'z'} {
		if k[z] != 0 {
			ms -= k[z] * 60_000
			break
		}
	}
	if !(math.Abs(ms) <= maxMillis) {
		return val{}, &Error{Code: "D3110", value: ofText(s)}
	}
	return ofNumber(ms), nil
}
