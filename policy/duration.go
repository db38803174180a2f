package policy

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Duration is a length of time as anneal's YAML and JSON write it: a whole
// number and one unit of s, m, h, d (24 hours exactly) or w (7 days), or ms
// where even a second is long.
type Duration time.Duration

const (
	day  = 24 * time.Hour
	week = 7 * day
)

var units = []struct {
	name string
	size time.Duration
}{{"w", week}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

const milli = "ms"

// ParseDuration reads a duration such as `90s`, `15m`, `36h`, `14d` or `2w`.
// The error says how to write what was probably meant.
func ParseDuration(s string) (Duration, error) {
	if d, ok := parseSimple(s); ok {
		return d, nil
	}
	const grammar = "a number and one of s, m, h, d, w, such as 15m or 14d"
	if meant, ok := translate(s); ok {
		return 0, fmt.Errorf("%q is not a duration: write %s", s, meant)
	}
	return 0, fmt.Errorf("%q is not a duration: write %s", s, grammar)
}

func parseSimple(s string) (Duration, bool) {
	if digits, ok := strings.CutSuffix(s, milli); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		return Duration(n) * Duration(time.Millisecond), err == nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/int64(u.size)) {
			return 0, false
		}
		return Duration(n) * Duration(u.size), true
	}
	return 0, false
}

var isoDuration = regexp.MustCompile(`^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// translate reads what other systems write: bare seconds, ISO 8601, Go.
func translate(s string) (Duration, bool) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return Duration(n) * Duration(time.Second), true
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 && d%time.Second == 0 {
		return Duration(d), true
	}
	var all Duration
	rest := s
	for _, u := range units {
		if digits, after, ok := strings.Cut(rest, u.name); ok {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
				all, rest = all+Duration(n)*Duration(u.size), after
			}
		}
	}
	if all > 0 && rest == "" {
		return all, true
	}
	parts := isoDuration.FindStringSubmatch(strings.ToUpper(s))
	if parts == nil {
		return 0, false
	}
	var sum Duration
	for i, u := range units {
		n, _ := strconv.ParseUint(parts[i+1], 10, 16) // empty is none
		sum += Duration(n) * Duration(u.size)
	}
	return sum, sum > 0
}

// String writes the duration with the largest unit that gives a whole number.
// Less than a millisecond is not shown.
func (d Duration) String() string {
	for _, u := range units {
		if d != 0 && time.Duration(d)%u.size == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/u.size), 10) + u.name
		}
	}
	if d == 0 {
		return "0s"
	}
	return strconv.FormatInt(int64(time.Duration(d)/time.Millisecond), 10) + milli
}

// MarshalText writes what String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}
