package dataset

import (
	"bytes"
	"math"
	"strconv"
)

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// number parses c as a decimal number, correctly rounded. Numbers beyond
// float64 and the words inf and infinity are infinite.
func number(c []byte) (v float64, ok bool) {
	// Up to 15 digits and an exact power of ten: the quotient of two exact
	// floats is correctly rounded (Clinger 1990). The rest is strconv's.
	var mantissa uint64
	i, fraction := 0, 0
	if len(c) > 0 && (c[0] == '-' || c[0] == '+') {
		i = 1
	}
	digits := len(c) - i
	for ; i < len(c); i++ {
		d := c[i] - '0'
		if d > 9 {
			break
		}
		mantissa = mantissa*10 + uint64(d)
	}
	if i < len(c) && c[i] == '.' {
		digits--
		fraction = len(c) - i - 1
		for i++; i < len(c); i++ {
			d := c[i] - '0'
			if d > 9 {
				break
			}
			mantissa = mantissa*10 + uint64(d)
		}
	}
	if i < len(c) || digits > 15 {
		return numberSlow(c)
	}
	if digits == 0 {
		return 0, false
	}
	v = float64(mantissa)
	if fraction > 0 {
		v /= pow10[fraction]
	}
	if c[0] == '-' {
		v = -v
	}
	return v, true
}

func numberSlow(c []byte) (float64, bool) {
	letters := bytes.TrimLeft(c, "+-")
	if len(letters) < len(c)-1 {
		return 0, false
	}
	if bytes.EqualFold(letters, []byte("inf")) || bytes.EqualFold(letters, []byte("infinity")) {
		if c[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	// strconv also reads hexadecimal, underscores and nan.
	for _, b := range c {
		if (b < '0' || b > '9') && b != '.' && b != 'e' && b != 'E' && b != '+' && b != '-' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(c), 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}
