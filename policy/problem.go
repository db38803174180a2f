package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Problem is one thing that is wrong with a policy, and what would be right.
type Problem struct {
	// Path is where in the policy, such as `spec.rules[2].if`: the path of
	// the nearest thing that is there.
	Path string
	// Offset is the byte inside the expression at Path where the problem is,
	// or -1 where it is not inside an expression.
	Offset  int
	Message string
	// Warning is of what is sound and is hardly meant so: it stops nothing.
	Warning bool
}

func (p Problem) String() string { return p.Path + ": " + p.Message }

// Problems are all that is wrong with a policy.
type Problems []Problem

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(path, format string, args ...any) {
	*p = append(*p, Problem{Path: path, Offset: -1, Message: fmt.Sprintf(format, args...)})
}

// oneOf reports a value that is not among those built; those of the design
// that are not are named as such.
func (p *Problems) oneOf(path, value string, built, later []string) {
	for _, b := range built {
		if value == b {
			return
		}
	}
	for _, l := range later {
		if value == l {
			p.add(path, "%s is not built yet (have %s)", value, strings.Join(built, ", "))
			return
		}
	}
	p.add(path, "unknown value %q%s", value, Have(value, built))
}

// Have says what could be written instead of word: " (did you mean "x"?)" if
// one is close, or " (have x, y)" if not.
func Have(word string, have []string) string {
	best := Nearest(word, have)
	switch {
	case best != "" && len(have) > 1 && len(have) <= 16:
		return fmt.Sprintf(": did you mean %q? (have %s)", best, strings.Join(have, ", "))
	case best != "":
		return fmt.Sprintf(": did you mean %q?", best)
	case len(have) > 0:
		return fmt.Sprintf(" (have %s)", strings.Join(have, ", "))
	}
	return ""
}

// Nearest is the one of have that is probably meant by word, empty if none is.
func Nearest(word string, have []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, h := range have {
		if d := distance(strings.ToLower(word), strings.ToLower(h)); d < bestDistance {
			best, bestDistance = h, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap with
// their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0:
				rows[i][j] = j
			case j == 0:
				rows[i][j] = i
			default:
				change := 1
				if a[i-1] == b[j-1] {
					change = 0
				}
				rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
				}
			}
		}
	}
	return rows[len(a)][len(b)]
}

// At is the path of key within path: `spec.run` and `input` give
// `spec.run.input`; a key that is not a plain word is quoted in brackets.
func At(path, key string) string {
	if !word.MatchString(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
