package dataset

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

const (
	zeros  = '0' * eachByte
	points = ('.' ^ '0') * eachByte // once zeros are taken from text
)

// decimals parses fields of text that are quick to parse, up to one that is not, and
// gives how many those were. Quick are up to 16 characters behind a minus, all of
// them digits but for one point, that make no more than 2^53 and may not be padded: they
// are looked at eight at a time. What it does not take may be a number all the same.
func decimals(values []float64, text []byte, fields []span) int {
	values = values[:len(fields)]
	for i, f := range fields {
		from, to := int(f.from), int(f.to)
		if from >= to || from < 16 {
			return i
		}
		negative := 0
		switch text[from] {
		case '-':
			negative = 1
		case '0':
			if to-from > 1 && text[from+1]-'0' <= 9 {
				return i // may be padded
			}
		}
		n := to - from - negative
		// The last character is the highest byte, and what is before the first one is
		// shifted out: digits are now their values, and nothing is 0.
		y := binary.LittleEndian.Uint64(text[to-8:to]) ^ zeros
		var mantissa uint64
		fraction := 0
		if n <= 8 {
			out := uint(64-8*n) & 63
			y = y >> out << out
			if point := zeroBytes(y ^ points); point != 0 {
				y, fraction = withoutPoint(y, point)
				n--
			}
			if n <= 0 || !digits(y) {
				return i
			}
			mantissa = eightDigits(y)
		} else if n <= 16 {
			out := uint(128-8*n) & 63
			x := (binary.LittleEndian.Uint64(text[to-16:to-8]) ^ zeros) >> out << out
			if point := zeroBytes(y ^ points); point != 0 {
				y, fraction = withoutPoint(y, point)
				y |= x >> 56
				x <<= 8
			} else if point := zeroBytes(x ^ points); point != 0 {
				x, fraction = withoutPoint(x, point)
				fraction += 8
			}
			if !digits(x) || !digits(y) {
				return i
			}
			if mantissa = eightDigits(x)*1e8 + eightDigits(y); mantissa > 1<<53 {
				return i
			}
		} else {
			return i
		}
		// The quotient of two exact floats is correctly rounded (Clinger 1990).
		v := float64(mantissa) / pow10[fraction]
		values[i] = math.Float64frombits(math.Float64bits(v) | uint64(negative)<<63)
	}
	return len(fields)
}

// withoutPoint has the digits before the first point take its place, and counts those
// behind it.
func withoutPoint(x, point uint64) (digits uint64, fraction int) {
	before := (point&-point)>>7 - 1
	return x&^(before<<8|0xff) | x&before<<8, (63 - bits.TrailingZeros64(point)) / 8
}

// zeroBytes has the highest bit of each byte that is 0, and no other.
func zeroBytes(x uint64) uint64 { return ^(x&^highBits + 0x7f*eachByte | x) & highBits }

// digits reports whether each byte is at most 9.
func digits(x uint64) bool { return (x+(0x80-10)*eachByte|x)&highBits == 0 }

// eightDigits is the number that eight digits are, the first one in the lowest byte.
func eightDigits(x uint64) uint64 {
	x = x * (10<<8 + 1) >> 8 & 0x00ff00ff00ff00ff
	x = x * (100<<16 + 1) >> 16 & 0x0000ffff0000ffff
	return x * (10000<<32 + 1) >> 32
}

// number parses c as a decimal number, correctly rounded. Numbers beyond
// float64 and the words inf and infinity are infinite.
func number(c []byte) (v float64, ok bool) {
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
	if i < len(c) || digits > 19 {
		return numberSlow(c)
	}
	if digits == 0 {
		return 0, false
	}
	v = quotient(mantissa, fraction)
	if c[0] == '-' {
		v = -v
	}
	return v, true
}

// quotient is mantissa over the power of ten, up to 10^19, correctly rounded.
func quotient(mantissa uint64, power int) float64 {
	if mantissa <= 1<<53 {
		return float64(mantissa) / pow10[power]
	}
	// Long division, of both moved up to bit 63, gives 63 bits at least. With what
	// remains of it for the last bit they are rounded once, where they become a float.
	divisor := uint64(1)
	for range power {
		divisor *= 10
	}
	up, upDivisor := bits.LeadingZeros64(mantissa), bits.LeadingZeros64(divisor)
	mantissa <<= up
	quo, rem := bits.Div64(mantissa>>1, mantissa<<63, divisor<<upDivisor)
	if rem != 0 {
		quo |= 1
	}
	return float64(quo) * math.Float64frombits(uint64(1023+upDivisor-up-63)<<52)
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
