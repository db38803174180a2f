package jsonata

import (
	"math"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// textOf is $string(v), empty for undefined.
func (e *evaluation) textOf(v val) (string, error) {
	if v.kind == text {
		return v.str(), nil
	}
	return e.stringify(v, "")
}

// stringify is JSON.stringify as $string uses it: numbers are rounded to 15
// digits and functions are empty strings. A space indents.
func (e *evaluation) stringify(v val, space string) (string, error) {
	switch v.kind {
	case undefined, callable:
		return "", nil
	case number:
		if math.IsNaN(v.num) || math.IsInf(v.num, 0) {
			return "", &Error{Code: "D3001", value: v}
		}
		return value.FormatFloat(rounded(v.num)), nil
	case list:
		if a := v.array(); a != nil && a.outer {
			v = a.at(0)
		}
	}
	w := writer{e: e, space: space, round: true}
	if err := w.write(v, "\n"); err != nil {
		return "", err
	}
	return string(w.out), e.spendText(len(w.out))
}

// coerced is String(v), as JavaScript makes a string where it wants one.
func (e *evaluation) coerced(v val) (string, error) {
	switch v.kind {
	case undefined:
		return "undefined", nil
	case text:
		return v.str(), e.spendText(len(v.str()))
	case dict, callable:
		return "[object Object]", nil
	case number:
		return jsNumber(v.num), nil
	case list:
		if err := e.enter(); err != nil {
			return "", err
		}
		items := make([]string, v.len())
		for i := range items {
			if x := v.at(i); x.defined() && x.kind != null {
				var err error
				if items[i], err = e.coerced(x); err != nil {
					return "", err
				}
			}
		}
		s := strings.Join(items, ",")
		e.leave()
		return s, e.spendText(len(s))
	}
	w := writer{}
	w.write(v, "")
	return string(w.out), nil
}

// jsNumber is String(f), of whatever f is.
func jsNumber(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	}
	return value.FormatFloat(f)
}

// rounded is f to 15 digits; half of one is rounded up, as toPrecision does.
func rounded(f float64) float64 {
	if math.Abs(f) < 1e15 && f == math.Trunc(f) {
		return f
	}
	g, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 14, 64), 64)
	if g == f {
		return f
	}
	// A half has no digits after its 5 (and then few: a float64 has 16 that count).
	exact := strconv.FormatFloat(f, 'e', 30, 64)
	if mantissa, _, _ := strings.Cut(exact, "e"); strings.HasSuffix(mantissa, "5"+strings.Repeat("0", 15)) {
		up := math.Nextafter(f, math.Copysign(math.Inf(1), f))
		g, _ = strconv.ParseFloat(strconv.FormatFloat(up, 'e', 14, 64), 64)
	}
	return g
}

// A writer writes a value as JSON in the manner of JSON.stringify.
type writer struct {
	out   []byte
	e     *evaluation // whose budget it takes from; may be nil
	limit int         // it stops soon after so many bytes, if that is not 0
	round bool
	space string
	depth int
}

// write writes v; line begins a line at its depth.
func (w *writer) write(v val, line string) error {
	if w.limit > 0 && (len(w.out) > w.limit || w.depth > 100) {
		return nil
	}
	switch v.kind {
	case null, row:
		w.out = append(w.out, "null"...)
	case boolean:
		w.out = strconv.AppendBool(w.out, v.num != 0)
	case number:
		f := v.num
		if w.round {
			if ok, err := finite(v); err != nil {
				return err
			} else if ok {
				f = rounded(f)
			}
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			w.out = append(w.out, "null"...)
		} else {
			w.out = append(w.out, value.FormatFloat(f)...)
		}
	case text:
		w.out = value.AppendQuoted(w.out, v.str())
		if w.e != nil {
			return w.e.spendText(len(v.str()))
		}
	case callable:
		if w.round {
			w.out = append(w.out, `""`...)
		}
	case list, dict:
		return w.composite(v, line)
	}
	return nil
}

func (w *writer) composite(v val, line string) error {
	if w.depth++; w.e != nil {
		if err := w.e.enter(); err != nil {
			return err
		}
	}
	open, shut := byte('['), byte(']')
	if v.kind == dict {
		open, shut = '{', '}'
	}
	w.out = append(w.out, open)
	inner := line + w.space
	some := false
	for i := range v.len() {
		if w.limit > 0 && len(w.out) > w.limit {
			break
		}
		item := v.at(i)
		if v.kind == dict && (!item.defined() || item.kind == callable && !w.round) {
			continue
		}
		if some {
			w.out = append(w.out, ',')
		}
		some = true
		if w.space != "" {
			w.out = append(w.out, inner...)
		}
		if v.kind == dict {
			w.out = append(value.AppendQuoted(w.out, v.key(i)), ':')
			if w.space != "" {
				w.out = append(w.out, ' ')
			}
		}
		if !item.defined() || item.kind == callable && !w.round {
			item = valNull
		}
		if err := w.write(item, inner); err != nil {
			return err
		}
	}
	if some && w.space != "" {
		w.out = append(w.out, line...)
	}
	w.out = append(w.out, shut)
	if w.depth--; w.e != nil {
		if err := w.e.spend(v.len()); err != nil {
			return err
		}
		return w.e.leave()
	}
	return nil
}
