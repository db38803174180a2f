package dataset

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonLines gives the objects of JSON Lines as records. The columns are the
// members of the first rows; those of an object within one are named with a
// point between, as in `address.city`.
type jsonLines struct {
	lines  *splitter
	ahead  [][]byte // lines that were read for the names, and not given yet
	index  map[string]int
	names  []string // by index, as they are written
	fields [][]byte
	path   []byte
	skip   int64 // members of no column
	expect int   // column of the next member, if they come in order

	collect *[]string // while the names are gathered
}

// aheadRows and aheadBytes bound what the names are taken from.
const (
	aheadRows  = 1024
	aheadBytes = 1 << 20
)

// nesting is how deep objects are taken apart; what lies deeper is text.
const nesting = 16

// open takes the names from the first rows.
func (j *jsonLines) open(opt Options) ([]string, error) {
	var names []string
	j.index, j.collect = map[string]int{}, &names
	size, first := 0, int64(0)
	for len(j.ahead) < aheadRows && size < aheadBytes {
		line, err := j.lines.nextLine()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(trim(line)) > 0 && first == 0 {
			first = j.lines.line
			if trim(line)[0] != '{' {
				return nil, &Error{Name: j.lines.name, Line: first, Reason: "is not JSON Lines: want an object in each line"}
			}
		}
		j.ahead = append(j.ahead, bytes.Clone(line))
		size += len(line)
		j.parse(line) // undoes escapes in it
		if len(names) > opt.MaxColumns {
			return nil, &Error{Name: j.lines.name, Line: j.lines.line, Reason: fmt.Sprintf("more columns than the limit of %d", opt.MaxColumns)}
		}
	}
	j.collect, j.skip = nil, 0
	if len(names) == 0 {
		return nil, &Error{Name: j.lines.name, Reason: "is empty: want an object with members in each line"}
	}
	j.fields = make([][]byte, len(names))
	return names, nil
}

// next gives the fields of the next object: none of a blank line, and one too
// many of a line that is no object.
func (j *jsonLines) next() ([][]byte, error) {
	var line []byte
	if len(j.ahead) > 0 {
		line, j.ahead = j.ahead[0], j.ahead[1:]
	} else {
		var err error
		if line, err = j.lines.nextLine(); err != nil {
			return nil, err
		}
	}
	if len(trim(line)) == 0 {
		return nil, nil
	}
	clear(j.fields)
	j.expect = 0
	if !j.parse(line) {
		return append(j.fields, nil), nil
	}
	return j.fields, nil
}

// parse takes a line apart, and reports whether it is one object.
func (j *jsonLines) parse(line []byte) bool {
	i := space(line, 0)
	if i == len(line) {
		return false
	}
	i, ok := j.object(line, i, 0, 1)
	return ok && space(line, i) == len(line)
}

// object takes the object at i apart, whose members are named behind the first
// prefix bytes of path, and gives where it ends.
func (j *jsonLines) object(b []byte, i, prefix, depth int) (int, bool) {
	if i >= len(b) || b[i] != '{' {
		return i, false
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for {
		key, next, ok := j.string(b, i)
		if !ok {
			return i, false
		}
		if i = space(b, next); i >= len(b) || b[i] != ':' {
			return i, false
		}
		i = space(b, i+1)
		if prefix > 0 || i < len(b) && b[i] == '{' {
			j.path = append(append(j.path[:prefix], key...), '.')
			key = j.path[:len(j.path)-1]
		}
		if i < len(b) && b[i] == '{' && depth < nesting {
			if i, ok = j.object(b, i, len(j.path), depth+1); !ok {
				return i, false
			}
		} else {
			var value []byte
			if value, i, ok = j.value(b, i); !ok {
				return i, false
			}
			j.member(key, value)
		}
		switch i = space(b, i); {
		case i >= len(b):
			return i, false
		case b[i] == '}':
			return i + 1, true
		case b[i] != ',':
			return i, false
		}
		i = space(b, i+1)
	}
}

// member puts a value into its column. Where a name comes twice, the last value
// counts.
func (j *jsonLines) member(key, value []byte) {
	if j.collect != nil {
		if _, ok := j.index[string(key)]; !ok {
			name := strings.ToValidUTF8(string(key), "\ufffd")
			j.index[string(key)] = len(*j.collect)
			j.names = append(j.names, string(key))
			*j.collect = append(*j.collect, name)
		}
		return
	}
	at := j.expect
	if at >= len(j.names) || string(key) != j.names[at] {
		var ok bool
		if at, ok = j.index[string(key)]; !ok {
			j.skip++
			return
		}
	}
	j.fields[at] = value
	j.expect = at + 1
}

// value is the scalar or the array at i as text, and where it ends. A null is a
// missing value.
func (j *jsonLines) value(b []byte, i int) (value []byte, end int, ok bool) {
	switch {
	case i >= len(b):
		return nil, i, false
	case b[i] == '"':
		return j.string(b, i)
	case b[i] == '[' || b[i] == '{':
		end, ok := balanced(b, i)
		return b[i:end], end, ok
	}
	end = i
	for end < len(b) && !ends[b[end]] {
		end++
	}
	switch word := b[i:end]; {
	case string(word) == "null":
		return nil, end, true
	case string(word) == "true" || string(word) == "false" || string(word) == "NaN" || string(word) == "Infinity" || string(word) == "-Infinity":
		return word, end, true
	default:
		var v [1]float64
		if decimals(v[:], b, []span{{uint32(i), uint32(end)}}) == 1 {
			return word, end, true
		}
		_, isNumber := number(word)
		return word, end, isNumber
	}
}

// ends are the bytes that end a number or a word.
var ends = [256]bool{',': true, '}': true, ']': true, ' ': true, '\t': true, '\r': true}

// string is the string at i without its quotes and escapes, which are undone where
// it stands.
func (j *jsonLines) string(b []byte, i int) (text []byte, end int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return nil, i, false
	}
	i++
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return nil, i, false
	}
	if bytes.IndexByte(b[i:i+n], '\\') < 0 {
		return b[i : i+n], i + n + 1, true
	}
	text = b[i:i] // no escape is shorter than what it stands for
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return text, i + 1, true
		case c != '\\':
			text = append(text, c)
			i++
		case i+1 < len(b) && b[i+1] == 'u':
			r, size := escaped(b[i:])
			if size == 0 {
				return nil, i, false
			}
			text = utf8.AppendRune(text, r)
			i += size
		default:
			if i+1 >= len(b) {
				return nil, i, false
			}
			at := strings.IndexByte(`"\/bfnrt`, b[i+1])
			if at < 0 {
				return nil, i, false
			}
			text = append(text, "\"\\/\b\f\n\r\t"[at])
			i += 2
		}
	}
	return nil, i, false
}

// escaped reads \uXXXX, and the second half of a surrogate pair behind it.
func escaped(b []byte) (r rune, size int) {
	unit := func(b []byte) rune {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return -1
		}
		var v rune
		for _, c := range b[2:6] {
			digit := strings.IndexByte("0123456789abcdef", c|0x20)
			if digit < 0 {
				return -1
			}
			v = v<<4 | rune(digit)
		}
		return v
	}
	if r = unit(b); r < 0 {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, unit(b[6:])); pair != utf8.RuneError {
			return pair, 12
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

// balanced is where the array or object at i ends.
func balanced(b []byte, i int) (end int, ok bool) {
	depth, quoted := 0, false
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(b), false
}

// space is the first place from i on without a space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}
