package drift

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

const (
	// heldLeast is how much of a model's importance must be of columns that are
	// compared for it to count. One that goes by columns of its own making, such as a
	// column for each category, says too little of those that are there.
	heldLeast = 0.5
	// mostAttributed is how many columns an attribution names.
	mostAttributed = 10
)

// A Weighing says how columns count by what they are worth to the model.
type Weighing struct {
	// Held is what the columns that are compared have of the importance, of 1.
	Held float64 `json:"held"`
	// Unknown are up to 20 names that are of no column, the most important first.
	Unknown []string `json:"unknown,omitempty"`
	// Alike is why all columns count alike all the same.
	Alike string `json:"alike,omitempty"`
}

// weighs reports whether columns count by their importance.
func (c *Comparison) weighs() bool { return c.Importance != nil && c.Importance.Alike == "" }

// weight is what a column counts.
func (c *Comparison) weight(col *Column) float64 {
	if c.weighs() {
		return *col.Importance
	}
	return 1
}

// weigh gives columns their importance. One that the model does not use is idle:
// what it does is reported, and touches neither another column nor the share.
func (c *Comparison) weigh(importance map[string]float64) {
	parts := ofOne(importance)
	if parts == nil {
		return
	}
	w := &Weighing{}
	named := map[string]bool{}
	for i := range c.Columns {
		col := &c.Columns[i]
		part := parts[col.Name]
		col.Importance, named[col.Name] = &part, true
		if !col.Target && col.Verdict != NotTested {
			w.Held += part
		}
	}
	w.Held = round(w.Held)
	if w.Held < heldLeast {
		w.Alike = fmt.Sprintf("the columns that can be compared have %.2g of the importance, less than half", w.Held)
	}
	for name, part := range parts {
		if part > 0 && !named[name] {
			w.Unknown = append(w.Unknown, name)
		}
	}
	slices.SortFunc(w.Unknown, func(a, b string) int {
		return cmp.Or(cmp.Compare(parts[b], parts[a]), cmp.Compare(a, b))
	})
	w.Unknown = w.Unknown[:min(mostNamed, len(w.Unknown))]
	c.Importance = w
	for i := range c.Columns {
		c.Columns[i].idle = w.Alike == "" && *c.Columns[i].Importance == 0
	}
}

// ofOne brings importance to a sum of 1. It is nil where no column has any. The
// largest comes first to 1, so that nothing overflows and equal ones stay equal.
func ofOne(importance map[string]float64) map[string]float64 {
	most := 0.0
	for _, v := range importance {
		most = max(most, v)
	}
	if !(most > 0) || math.IsInf(most, 0) {
		return nil
	}
	parts, sum := make(map[string]float64, len(importance)), 0.0
	for _, name := range slices.Sorted(maps.Keys(importance)) { // in one order: a sum hangs on it
		parts[name] = max(0, importance[name]/most)
		sum += parts[name]
	}
	for name := range parts {
		parts[name] /= sum
	}
	return parts
}

// round takes off what adding up has left, so that a half is a half whatever its
// parts.
func round(share float64) float64 { return math.Round(1e9*share) / 1e9 }

// attribute names the columns that make the drift, those first that matter most: by
// how far beyond a threshold they are, of which twice as far is less than twice as
// much, and by their importance where that counts.
func (c *Comparison) attribute(rules RuleSet) {
	c.Attribution = nil
	var drifted []*Column
	for i := range c.Columns {
		if col := &c.Columns[i]; col.Verdict == Drift && !col.Target && !col.idle {
			drifted = append(drifted, col)
		}
	}
	slices.SortStableFunc(drifted, func(a, b *Column) int {
		return cmp.Compare(c.weight(b)*b.far(rules), c.weight(a)*a.far(rules))
	})
	for _, col := range drifted[:min(mostAttributed, len(drifted))] {
		c.Attribution = append(c.Attribution, col.Name)
	}
}

// far is how far a column is beyond its thresholds, from 0 to 1; a half is at one. One that
// is gone, new or of another type is as far as can be. The thresholds of Evidently's tests
// are probabilities: the less, the further.
func (c *Column) far(rules RuleSet) float64 {
	test, times := c.Furthest()
	switch {
	case test == nil:
	case test.Test == "column":
		times = math.Inf(1)
	case rules == EvidentlyRules && test.PValue != nil:
		times = test.Threshold / *test.PValue
	}
	return 1 - 1/(1+times)
}

// Furthest is the test that counts which is furthest beyond its threshold, or nearest
// to it, and how many times the threshold it comes to; nil if none has a threshold.
func (c *Column) Furthest() (test *Test, times float64) {
	for i := range c.Tests {
		t := &c.Tests[i]
		if t.Advisory || t.Threshold <= 0 {
			continue
		}
		change := t.Statistic
		if t.Effect != nil {
			change = *t.Effect
		}
		if test == nil || change/t.Threshold > times {
			test, times = t, change/t.Threshold
		}
	}
	return test, times
}
