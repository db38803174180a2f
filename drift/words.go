package drift

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal/drift/witness"
)

// Harmless says why columns that moved as much as makes drift are none; it is empty
// where that is not so.
func (c Comparison) Harmless() string {
	switch {
	case c.Verdict != None || c.Share == nil || *c.Share < 0.5:
		return ""
	case c.Quality != nil && c.Quality.Verdict == witness.Holds:
		return "what was learnt from the reference still holds"
	case c.Quality != nil && !c.Quality.Open():
		return "what was learnt from the reference is not worse by more than the tolerance, as far as so few rows show"
	}
	return "what would be predicted has not: they are not what a model goes by"
}

// Mattering are the columns, those first that the drift is attributed to, then the
// others that drifted, then by how near they are to it.
func (c Comparison) Mattering() []Column {
	place := func(column *Column) int {
		if i := slices.Index(c.Attribution, column.Name); i >= 0 && !column.Target {
			return i
		}
		if column.Verdict == Drift {
			return len(c.Attribution)
		}
		return len(c.Attribution) + 1
	}
	columns := slices.Clone(c.Columns)
	slices.SortStableFunc(columns, func(a, b Column) int {
		_, times := a.Furthest()
		_, timesB := b.Furthest()
		return cmp.Or(cmp.Compare(place(&a), place(&b)), cmp.Compare(timesB, times))
	})
	return columns
}

// Worth is what the column is worth to the model, for people: in per cent, and - where
// that is not known or does not count.
func (c Column) Worth() string {
	switch {
	case c.Importance == nil || c.Target:
		return "-"
	case *c.Importance > 0 && *c.Importance < 0.005:
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", 100**c.Importance)
}

// Weighed says how much of what the model goes by has drifted; it is empty where
// columns count alike.
func (c Comparison) Weighed() string {
	if !c.weighs() || c.Share == nil {
		return ""
	}
	return fmt.Sprintf("with %.0f %% of the importance", 100**c.Share)
}

// Few are the columns of which too few rows are known for a verdict.
func (c Comparison) Few() (few []string) {
	for _, column := range c.Columns {
		if column.Verdict == TooFew {
			few = append(few, column.Name)
		}
	}
	return few
}
