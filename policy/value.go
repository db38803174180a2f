package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// native is v as JSON has it: times and lengths of time are strings.
func native(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Bool:
		return bool(v), nil
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return uint64(v), nil
	case types.Double:
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
		return nil, fmt.Errorf("the number %v has no JSON", v)
	case types.Null:
		return nil, nil
	case types.Duration:
		return lengthText(v.Duration), nil
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano), nil
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, fmt.Errorf("the key %v of a map is not a string", key)
			}
			value, err := native(v.Get(key))
			if err != nil {
				return nil, err
			}
			out[string(name)] = value
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			value, err := native(it.Next())
			if err != nil {
				return nil, err
			}
			out = append(out, value)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s has no JSON", typeName(v.Type().TypeName()))
}

// lengthText writes a length of time exactly, with days: 31d4h or 2m0.5s.
func lengthText(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	var b strings.Builder
	for _, u := range units[1:4] {
		if n := d / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d %= u.size
		}
	}
	if d > 0 || b.Len() == 0 {
		b.WriteString(strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s")
	}
	return sign + b.String()
}

// parseLength reads what lengthText wrote.
func parseLength(s string) (time.Duration, bool) {
	rest, negative := strings.CutPrefix(s, "-")
	var sum time.Duration
	if days, tail, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			return 0, false
		}
		sum, rest = time.Duration(n)*day, tail
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, false
		}
		sum += d
	}
	if negative {
		sum = -sum
	}
	return sum, true
}

// clauseValue is v as a clause shows it: a bool, a number or a string; a list
// or map is shown by its size.
func clauseValue(v ref.Val) any {
	switch v := v.(type) {
	case nil:
		return nil
	case traits.Mapper:
		return sizeText(v, "entry", "entries")
	case traits.Lister:
		return sizeText(v, "item", "items")
	}
	value, err := native(v)
	if err != nil {
		return nil
	}
	if n, ok := value.(int64); ok {
		return float64(n)
	}
	if n, ok := value.(uint64); ok {
		return float64(n)
	}
	return value
}

func sizeText(v traits.Sizer, one, many string) string {
	n, _ := v.Size().(types.Int)
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", int64(n), many)
}

// number writes a number for people: whole ones with commas, others to four
// significant digits.
func number(f float64) string {
	if f != math.Trunc(f) || math.Abs(f) >= 1e15 {
		return strconv.FormatFloat(f, 'g', 4, 64)
	}
	digits := strconv.FormatFloat(math.Abs(f), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if f < 0 {
		digits = "-" + digits
	}
	return digits
}

// shown writes a clause's value for people.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "unknown"
	case float64:
		return number(v)
	case string:
		if d, ok := parseLength(v); ok && v != "" {
			return about(d)
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}

// about writes a length of time for people, with its two largest units.
func about(d time.Duration) string {
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	if d < 0 {
		return "-" + about(-d)
	}
	for i, u := range units[1:4] {
		if d < u.size {
			continue
		}
		next := units[i+2]
		text := strconv.FormatInt(int64(d/u.size), 10) + u.name
		if rest := d % u.size / next.size; rest > 0 {
			text += " " + strconv.FormatInt(int64(rest), 10) + next.name
		}
		return text
	}
	return strconv.FormatFloat(d.Round(time.Second/10).Seconds(), 'f', -1, 64) + "s"
}
