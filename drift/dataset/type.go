package dataset

import (
	"bytes"
	"slices"
	"time"
)

// A Type is what a column's values are taken for.
type Type string

// The types. A reader gives the first four; the last two are names for what
// shows only in a whole column, and are read as categorical and numeric.
const (
	Empty       Type = "empty" // no value yet
	Numeric     Type = "numeric"
	Categorical Type = "categorical"
	Timestamp   Type = "timestamp" // dates and times; never tested for drift
	Text        Type = "text"      // nearly every value differs
	Index       Type = "index"     // counts the rows
)

// Types are those that a column may be given.
func Types() []Type { return []Type{Numeric, Categorical, Timestamp, Text, Index} }

// Read is the type that a column of type t is read as.
func (t Type) Read() Type {
	switch t {
	case Text:
		return Categorical
	case Index:
		return Numeric
	}
	return t
}

// share of the non-missing values of a sample that must be numbers, or times,
// for a column to be of that type.
const share = 0.95

// infer is the type of a column from the non-missing cells of a sample. A
// sample without one is Empty.
func infer(cells [][]byte) Type {
	var n, numbers, times int
	for _, c := range cells {
		if missing(c) {
			continue
		}
		n++
		if _, ok := Number(c); ok {
			numbers++
		} else if isTime(c) {
			times++
		}
	}
	switch {
	case n == 0:
		return Empty
	case float64(numbers) >= share*float64(n):
		return Numeric
	case float64(times) >= share*float64(n):
		return Timestamp
	}
	return Categorical
}

// Number is the number that a text spells, if it spells one and is not padded.
func Number(text []byte) (float64, bool) {
	v, ok := number(text)
	return v, ok && !padded(text)
}

// padded reports whether c is an identifier rather than a number: digits alone, of
// which the first of several is a zero, as in 007 and in postal codes.
func padded(c []byte) bool {
	if len(c) < 2 || c[0] != '0' {
		return false
	}
	for _, b := range c[1:] {
		if b < '0' || b > '9' {
			return false
		}
	}
	return true
}

// isTime reports whether c is a date, with or without a time of day.
func isTime(c []byte) bool {
	if len(c) < 8 || len(c) > 40 || c[0] < '0' || c[0] > '9' {
		return false
	}
	s := string(c)
	return slices.ContainsFunc([]string{
		time.DateOnly, time.DateTime, time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04:05Z07:00", "2006/01/02", "2006/01/02 15:04:05", "2006/01/02 15:04",
		"2/1/2006", "2/1/2006 15:04", "2/1/2006 15:04:05", "1/2/2006", "1/2/2006 15:04", "1/2/2006 15:04:05",
		"2.1.2006", "2.1.2006 15:04", "2.1.2006 15:04:05",
	}, func(layout string) bool {
		_, err := time.Parse(layout, s)
		return err == nil
	})
}

// missing reports whether c spells a missing value; see the package's rules.
func missing(c []byte) bool {
	if len(c) == 0 {
		return true
	}
	if len(c) > 4 {
		return false
	}
	switch c[0] {
	case 'n', 'N', '-', '?', '#', '<', '\\':
		return spellsMissing(c)
	}
	return false // nearly every call
}

func spellsMissing(c []byte) bool {
	switch len(c) {
	case 1:
		return c[0] == '-' || c[0] == '?'
	case 2:
		return bytes.EqualFold(c, []byte("na")) || string(c) == `\N`
	case 3:
		return bytes.EqualFold(c, []byte("nan")) || bytes.EqualFold(c, []byte("n/a")) || bytes.EqualFold(c, []byte("nil"))
	}
	return bytes.EqualFold(c, []byte("null")) || bytes.EqualFold(c, []byte("none")) ||
		bytes.EqualFold(c, []byte("-nan")) || bytes.EqualFold(c, []byte("#n/a")) || bytes.EqualFold(c, []byte("<na>"))
}
