package jsonata

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

var (
	decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?$`)
	// radix lets more through than it means to, as in the reference: what is
	// no number then is NaN.
	radix = regexp.MustCompile(`^(0[xX][0-9A-Fa-f]+)|(0[oO][0-7]+)|(0[bB][0-1]+)$`)
)

func toNumber(_ *evaluation, c *arguments) (val, error) {
	v := c.at(0)
	switch v.kind {
	case number:
		return v, nil
	case boolean:
		return ofNumber(v.num), nil
	case text:
		s := v.str()
		if decimal.MatchString(s) {
			if f, _ := strconv.ParseFloat(s, 64); !math.IsInf(f, 0) {
				return ofNumber(f), nil
			}
		} else if radix.MatchString(s) {
			return ofNumber(prefixed(s)), nil
		}
	}
	return val{}, &Error{Code: "D3030", value: v, index: 1}
}

// prefixed is Number(s) of a number with a prefix such as 0x.
func prefixed(s string) float64 {
	s = strings.TrimSpace(s)
	if len(s) < 3 || s[0] != '0' {
		return math.NaN()
	}
	base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'O': 8, 'b': 2, 'B': 2}[s[1]]
	f := 0.0
	for _, c := range []byte(s[2:]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if c <= '9' {
			d = int(c) - '0'
		}
		if d < 0 || d >= base {
			return math.NaN()
		}
		f = f*float64(base) + float64(d)
	}
	return f
}

func floor(_ *evaluation, c *arguments) (val, error) { return ofNumber(math.Floor(c.at(0).num)), nil }
func ceil(_ *evaluation, c *arguments) (val, error)  { return ofNumber(math.Ceil(c.at(0).num)), nil }
func abs(_ *evaluation, c *arguments) (val, error)   { return ofNumber(math.Abs(c.at(0).num)), nil }

func round(_ *evaluation, c *arguments) (val, error) {
	return ofNumber(roundTo(c.at(0).num, c.at(1).num)), nil
}

// roundTo rounds half to even at a decimal place. The place is shifted in the
// text of the number, since multiplying would round, too.
func roundTo(f, places float64) float64 {
	if places != 0 {
		f = shift(f, places)
	}
	result := math.Floor(f)
	if f-result >= 0.5 {
		result++ // as Math.round does
	}
	if math.Abs(result-f) == 0.5 && math.Abs(math.Mod(result, 2)) == 1 {
		result--
	}
	if places != 0 {
		result = shift(result, -places)
	}
	return result + 0 // there is no -0
}

func shift(f, places float64) float64 {
	mantissa, exponent, _ := strings.Cut(value.FormatFloat(f), "e")
	e, _ := strconv.ParseFloat(exponent, 64)
	if places != math.Trunc(places) {
		return math.NaN()
	}
	f, err := strconv.ParseFloat(mantissa+"e"+value.FormatFloat(e+places), 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

func sqrt(_ *evaluation, c *arguments) (val, error) {
	if c.at(0).num < 0 {
		return val{}, &Error{Code: "D3060", value: c.at(0), index: 1}
	}
	return ofNumber(math.Sqrt(c.at(0).num)), nil
}

// pow is x to the y. Of an integer y it is rounded once, where math.Pow may be off
// in the last digits.
func pow(x, y float64) float64 {
	f := math.Pow(x, y)
	n := int(y)
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) || y != math.Trunc(y) || math.Abs(y) > 1<<30 {
		return f
	}
	exact, square := new(big.Float).SetPrec(512).SetInt64(1), new(big.Float).SetPrec(512).SetFloat64(x)
	for k := max(n, -n); k > 0; k >>= 1 {
		if k&1 == 1 {
			exact.Mul(exact, square)
		}
		square.Mul(square, square)
	}
	if n < 0 {
		exact.Quo(big.NewFloat(1), exact)
	}
	f, _ = exact.Float64()
	return f
}

func power2(_ *evaluation, c *arguments) (val, error) {
	x, y := c.at(0), c.at(1)
	f := pow(x.num, y.num)
	if !y.defined() || math.Abs(x.num) == 1 && math.IsInf(y.num, 0) {
		f = math.NaN()
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return val{}, &Error{Code: "D3061", value: x, exponent: y, index: 1}
	}
	return ofNumber(f), nil
}

func random(e *evaluation, _ *arguments) (val, error) { return ofNumber(e.rand().Float64()), nil }

func formatBase(_ *evaluation, c *arguments) (val, error) {
	f, base := roundTo(c.at(0).num, 0), 10.0
	if r := c.at(1); r.defined() {
		base = roundTo(r.num, 0)
	}
	if !(base >= 2 && base <= 36) {
		return val{}, &Error{Code: "D3100", value: ofNumber(base)}
	}
	switch {
	case base == 10 || math.IsInf(f, 0) || math.IsNaN(f):
		return ofText(value.FormatFloat(f)), nil
	case math.Abs(f) < 1<<63:
		return ofText(strconv.FormatInt(int64(f), int(base))), nil
	}
	exact, _ := big.NewFloat(f).Int(nil)
	return ofText(exact.Text(int(base))), nil
}
