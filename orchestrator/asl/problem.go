package asl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Severity says whether a problem stops a definition from being used.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// A Problem is one thing that is wrong with a definition.
type Problem struct {
	Severity Severity
	File     string
	Line     int    // from 1
	Column   int    // from 1, in bytes
	Pointer  string // JSON pointer (RFC 6901) of the value that is wrong
	Message  string // what is wrong, and what would be right
}

// String is the problem as compilers write it.
func (p Problem) String() string {
	kind := ""
	if p.Severity == SeverityWarning {
		kind = "warning: "
	}
	at := ""
	if p.Pointer != "" {
		at = p.Pointer + ": "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s%s", p.File, p.Line, p.Column, kind, at, p.Message)
}

// Problems are all that is wrong with a definition, in the order of the file.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = x.String()
	}
	return strings.Join(lines, "\n")
}

// Errors are those that stop the definition from being used.
func (p Problems) Errors() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(x Problem) bool { return x.Severity != SeverityError })
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
}

// Nearest is the candidate that is most like name, or "" if none is alike.
func Nearest(name string, candidates []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, c := range candidates[:min(len(candidates), 1_000)] {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is how many letters must be changed, added, dropped or swapped
// with their neighbor to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 80 || len(b) > 80 {
		return 80
	}
	older, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, prev, row = prev, row, older
	}
	return prev[len(b)]
}
