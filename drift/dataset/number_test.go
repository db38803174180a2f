package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// sameNumber holds that a field is the number that strconv says it is, or none, and
// so where it is looked at eight characters at a time.
func sameNumber(t *testing.T, field string) {
	t.Helper()
	want, err := strconv.ParseFloat(field, 64)
	isNumber := (err == nil || math.IsInf(want, 0)) && strings.Trim(field, "0123456789.eE+-") == ""
	if infinity := strings.ToLower(strings.TrimLeft(field, "+-")); infinity == "inf" || infinity == "infinity" {
		isNumber = err == nil
	}
	got, ok := number([]byte(field))
	if ok != isNumber || ok && math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%q is %v, %v; want %v, %v", field, got, ok, want, isNumber)
	}
	for _, around := range []string{strings.Repeat(",", 16), strings.Repeat("7", 20), "............8.5-", strings.Repeat("\xff", 99)} {
		text := []byte(around + field + around)
		var values [1]float64
		ok := decimals(values[:], text, []span{{uint32(len(around)), uint32(len(around) + len(field))}}) == 1
		if got := values[0]; ok && (!isNumber || math.Float64bits(got) != math.Float64bits(want)) {
			t.Errorf("%q among %q is %v, want %v, %v", field, around, got, want, isNumber)
		}
		digits := strings.Replace(strings.TrimPrefix(field, "-"), ".", "", 1)
		if plain := digits != "" && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""; plain {
			padded := len(digits) > 1 && field[0] == '0' && field[1] != '.' // which only others know to be a number
			if ok == padded {
				t.Errorf("%q among %q is left to others: %v", field, around, !ok)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for _, field := range []string{
		"", "-", "+", ".", "-.", "+.", "..", "1..2", "--1", "+-1", "1-", "0", "-0", "-0.0", "+1", "1.", ".1", "-.5", "00", "007", "00.5", "-01", "012345678", "1e5", "1e", "e", "1e400", "-1e400",
		"inf", "-inf", "+Infinity", "infinite", "nan", "0x10", "1_0", " 1", "1 ", "1\x00", "١",
		"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "900719925474099.3", "-90071992547409.93",
		"9999999999999999999", "18446744073709551615", "0.9999999999999999999", "0.0000000000000000001", "1.000000000000000000", "12345678901234567890",
		"4503599627370496.5", "4503599627370497.5", "1.0000000000000002220", "1.0000000000000001110", "1.0000000000000001111", "1.000000000000000333",
		"123456789012345:", "1234567:", "/2345678", "12345678/", "1.234567.9012345",
	} {
		sameNumber(t, field)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		v := math.Float64frombits(r.Uint64())
		if r.IntN(3) > 0 {
			v = r.NormFloat64() * math.Pow10(r.IntN(20)-6)
		}
		sameNumber(t, strconv.FormatFloat(v, "efg"[r.IntN(3)], r.IntN(22)-1, 64))
		sameNumber(t, fmt.Sprint(r.Int64()>>r.IntN(64)))
		if digits := strconv.FormatUint(r.Uint64()>>r.IntN(64), 10); r.IntN(2) > 0 {
			at := r.IntN(len(digits) + 1)
			sameNumber(t, "-"[r.IntN(2):]+digits[:at]+"."+digits[at:])
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, field := range []string{"-0.5", "1234567890123456", "1e-5", "Infinity", "9007199254740993", "1.2.3"} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		if len(field) < 400 {
			sameNumber(t, field)
		}
	})
}
