package drift

import (
	"fmt"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

// Rules say what data must have to be trained on. The zero value is the
// default.
type Rules struct {
	Target     string   // must be there, with values that differ; "" for none
	Columns    []string // must be there
	MinRows    int64    // 1
	MaxRagged  float64  // share of rows with too many or too few fields: 0.05
	MaxMissing float64  // share of all values, and of the target's: 0.5
}

// A Validation says whether data can be trained on.
type Validation struct {
	Valid    bool     `json:"valid"`
	Reason   string   `json:"reason"`   // the first problem; empty if valid
	Problems []string `json:"problems"` // all of them
	Rows     int64    `json:"rows"`
}

// Validate looks for what would make a training on the profiled data pointless.
// Data that could not be profiled is not valid, for the reason in its error:
// see [Invalid].
func Validate(p *profile.Profile, rules Rules) Validation {
	if rules.MinRows == 0 {
		rules.MinRows = 1
	}
	if rules.MaxRagged == 0 {
		rules.MaxRagged = 0.05
	}
	if rules.MaxMissing == 0 {
		rules.MaxMissing = 0.5
	}
	v := Validation{Rows: p.Counts.Rows, Problems: []string{}}
	problem := func(format string, args ...any) { v.Problems = append(v.Problems, fmt.Sprintf(format, args...)) }

	if p.Counts.Rows < rules.MinRows {
		problem("%d rows: want at least %d", p.Counts.Rows, rules.MinRows)
	}
	if bad := p.Counts.Ragged; float64(bad) > rules.MaxRagged*float64(bad+p.Counts.Rows) {
		what := "have not as many fields as the header"
		if p.Counts.NoObjects > 0 {
			what = "are no JSON objects"
		}
		problem("%d of %d rows %s: at most %s may", bad, bad+p.Counts.Rows, what, percent(rules.MaxRagged))
	}
	for _, name := range rules.Columns {
		if p.Column(name) == nil {
			problem("there is no column %q", name)
		}
	}
	var cells, lost int64
	for i := range p.Columns {
		cells += p.Columns[i].Rows
		lost += p.Columns[i].Rows - p.Columns[i].N()
	}
	if cells > 0 && float64(lost) > rules.MaxMissing*float64(cells) {
		problem("%s of all values are missing or of a wrong type: at most %s may", percent(float64(lost)/float64(cells)), percent(rules.MaxMissing))
	}
	if rules.Target != "" && p.Counts.Rows > 0 {
		if problems := validateTarget(p.Column(rules.Target), rules); problems != "" {
			problem("the target column %q %s", rules.Target, problems)
		}
	}
	v.Valid = len(v.Problems) == 0
	if !v.Valid {
		v.Reason = v.Problems[0]
	}
	return v
}

// validateTarget says what is wrong with the target, if anything.
func validateTarget(c *profile.Column, rules Rules) string {
	switch {
	case c == nil:
		return "is not there"
	case c.N() == 0:
		return "has no values"
	case float64(c.Rows-c.N()) > rules.MaxMissing*float64(c.Rows):
		return fmt.Sprintf("lacks %s of its values: at most %s may be missing", percent(float64(c.Rows-c.N())/float64(c.Rows)), percent(rules.MaxMissing))
	case c.Type == dataset.Numeric && c.Moments.Constant(), c.Type == dataset.Categorical && c.Distinct() == 1:
		return "has the same value in every row"
	}
	return ""
}

// Invalid is the validation of data that could not be read.
func Invalid(err error) Validation {
	return Validation{Reason: err.Error(), Problems: []string{err.Error()}}
}
