package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong in a file, and what would be right.
type Problem struct {
	File    string
	Line    int // from 1; 0 where the file as a whole is meant
	Column  int // from 1, in characters; 0 where the line as a whole is meant
	Message string
	// Warning is of what is sound and is hardly meant so: it stops nothing.
	Warning bool
}

func (p Problem) String() string {
	message := p.Message
	if p.Warning {
		message = "warning: " + message
	}
	switch {
	case p.Line == 0:
		return p.File + ": " + message
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, message)
}

// Problems are all that is wrong with a configuration, in the order of files,
// lines and columns.
type Problems []Problem

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// err is p in order, each problem once, or nil where there are warnings at most.
func (p Problems) err() error {
	if !slices.ContainsFunc(p, func(problem Problem) bool { return !problem.Warning }) {
		return nil
	}
	return p.inOrder()
}

// inOrder is p in the order of files, lines and columns, each problem once.
func (p Problems) inOrder() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}
