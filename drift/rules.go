package drift

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/drift/witness"
)

// A RuleSet says how columns and data sets are judged.
type RuleSet string

// The rules. Those of other tools are for who comes from there: they choose the
// tests and thresholds themselves, and know neither corrections nor a least
// number of rows.
const (
	// AnnealRules, the default: effect and significance, as [Compare] says, by what
	// columns are worth to the model where that is known, and what a witness saw, if
	// one did.
	AnnealRules RuleSet = "anneal"
	// EvidentlyRules are the defaults of Evidently 0.7.
	EvidentlyRules RuleSet = "evidently"
	// NannyMLRules are those of NannyML 0.13: the Jensen-Shannon distance against
	// mean and three standard deviations of it over the chunks of the reference.
	NannyMLRules RuleSet = "nannyml"
)

// ParseRules finds rules by their name; an empty one is the default's.
func ParseRules(name string) (RuleSet, error) {
	r := RuleSet(strings.ToLower(strings.TrimSpace(name)))
	switch r {
	case "":
		return AnnealRules, nil
	case AnnealRules, EvidentlyRules, NannyMLRules:
		return r, nil
	}
	return "", fmt.Errorf("there are no rules %q (have %s, %s, %s)", name, AnnealRules, EvidentlyRules, NannyMLRules)
}

// Validate says what of the options does not go together.
func (o Options) Validate() error {
	if o.Rules == "" || o.Rules == AnnealRules {
		return nil
	}
	switch {
	case len(o.Tests) > 0 || len(o.Thresholds) > 0:
		return errors.New("the rules of " + string(o.Rules) + " choose the tests themselves: tests and thresholds are for those of anneal")
	case len(o.Importance) > 0:
		return errors.New("the rules of " + string(o.Rules) + " count all columns alike: importance is for those of anneal")
	case o.Season.chosen():
		return errors.New("the rules of " + string(o.Rules) + " compare with the whole reference: a season is for those of anneal")
	}
	return nil
}

// evidentlySmall is up to how many rows of a reference Evidently tests
// hypotheses, and beyond which it measures distances.
const evidentlySmall = 1000

// evidently judges a column as Evidently does by default. Missing and infinite
// values are dropped. What it would end in an error for is not tested.
func (c *Column) evidently(ref, cur *profile.Column, rows int64, opt Options) {
	if min(ref.N(), cur.N()) == 0 {
		c.Verdict, c.Effect = NotTested, "no values on one side"
		return
	}
	var t Test
	switch {
	case ref.Type == dataset.Numeric:
		n := newNumbers(ref, cur, 10, opt.again)
		different := statistics.Pool(n.x, n.y)
		switch {
		case len(different) > 5 && rows <= evidentlySmall:
			t, _ = n.ks()
			t = evidentlyP("ks", t.Statistic, *t.PValue)
		case len(different) > 5:
			t, _ = n.wasserstein()
			t = evidentlyDistance("wasserstein", t)
		case rows <= evidentlySmall:
			x, y := make([]float64, len(different)), make([]float64, len(different))
			for i, v := range different {
				x[i], y[i] = weight(n.x, v.Value), weight(n.y, v.Value)
			}
			t = evidentlyCounts(x, y)
		default:
			js, ok := n.js()
			if !ok {
				c.Verdict, c.Effect = NotTested, "its range is beyond float64"
				return
			}
			t = evidentlyDistance("js", js)
		}
		c.Effect = means(ref.Moments, cur.Moments)
	default:
		k := newCategories(ref, cur)
		c.come(k)
		if rows <= evidentlySmall {
			x, y := k.x, k.y
			if last := len(x) - 1; x[last] == 0 && y[last] == 0 {
				x, y = x[:last], y[:last]
			}
			t = evidentlyCounts(x, y)
		} else {
			js, _ := k.js()
			t = evidentlyDistance("js", js)
		}
	}
	c.Tests = append(c.Tests, t)
	c.Verdict = t.Verdict
}

// evidentlyCounts is the test of a small reference's categories: of two, that of
// proportions.
func evidentlyCounts(x, y []float64) Test {
	if len(x) > 2 {
		statistic, p := statistics.OneWay(x, y)
		return evidentlyP("chi2", min(statistic, math.MaxFloat64), p)
	}
	n, m := int64(sum(x)), int64(sum(y))
	z, p := statistics.ProportionZ(n-int64(x[0]), n, m-int64(y[0]), m)
	if len(x) == 1 {
		z, p = 0, 1
	}
	return evidentlyP("z", z, p)
}

// evidentlyP is a test with a probability, which is what the threshold is for.
func evidentlyP(name string, statistic, p float64) Test {
	t := Test{Test: name, Threshold: 0.05, Verdict: None}
	if isFinite(statistic) {
		t.Statistic, t.Low, t.High = statistic, statistic, statistic
	}
	if isFinite(p) {
		t.PValue = &p
		if p < t.Threshold {
			t.Verdict = Drift
		}
	}
	return t
}

func evidentlyDistance(name string, t Test) Test {
	t.Test, t.Threshold, t.PValue, t.Advisory, t.Verdict = name, 0.1, nil, false, None
	if t.Statistic >= t.Threshold {
		t.Verdict = Drift
	}
	return t
}

// nannyML judges a column by the Jensen-Shannon distance in bits, against what
// it was between the reference and each chunk of it.
func (c *Column) nannyML(ref, cur *profile.Column, chunks []*profile.Profile) {
	if min(ref.N(), cur.N()) == 0 {
		c.Verdict, c.Effect = NotTested, "no values on one side"
		return
	}
	var past []float64
	for _, chunk := range chunks {
		// A chunk without values says nothing, and spoils nothing.
		if part := chunk.Column(c.Name); part != nil && part.Type == ref.Type && part.N() > 0 {
			if d, ok := nannyMLDistance(ref, part); ok {
				past = append(past, d)
			}
		}
	}
	d, ok := nannyMLDistance(ref, cur)
	switch {
	case !ok:
		c.Verdict, c.Effect = NotTested, "its range is beyond float64"
		return
	case len(past) < 2:
		c.Verdict, c.Effect = NotTested, "the reference has no chunks to take a threshold from: want at least 2"
		return
	}
	mean, squares := 0.0, 0.0
	for _, v := range past {
		mean += v / float64(len(past))
	}
	for _, v := range past {
		squares += (v - mean) * (v - mean)
	}
	t := Test{Test: "js", Statistic: d, Low: d, High: d, Threshold: min(1, mean+3*math.Sqrt(squares/float64(len(past)))), Verdict: None}
	if d > t.Threshold {
		t.Verdict = Drift
	}
	c.Tests, c.Verdict = append(c.Tests, t), t.Verdict
	if ref.Type == dataset.Numeric {
		c.Effect = means(ref.Moments, cur.Moments)
	} else {
		c.come(newCategories(ref, cur))
	}
}

func nannyMLDistance(ref, cur *profile.Column) (float64, bool) {
	var p, q []float64
	if ref.Type == dataset.Numeric {
		var err error
		if p, q, err = statistics.NannyMLShares(ref.Quantiles.Points(), cur.Quantiles.Points()); err != nil {
			return 0, false
		}
	} else {
		k := newCategories(ref, cur)
		p, q = statistics.NannyMLCategories(k.x, k.y)
	}
	d := statistics.JensenShannon(p, q) / statistics.JensenShannonMax
	return d, isFinite(d)
}

// foreign judges a column by the rules of another tool, and says whether it
// did.
func (c *Column) foreign(ref, cur *profile.Column, rows int64, opt Options) bool {
	if opt.Rules != EvidentlyRules && opt.Rules != NannyMLRules {
		return false
	}
	switch {
	case slices.Contains(opt.Ignore, c.Name):
		c.Verdict, c.Effect = NotTested, "ignored"
	case ref == nil:
		c.Verdict, c.Effect = NotTested, "the column is new"
	case cur == nil:
		c.Verdict, c.Effect = NotTested, "the column is gone"
	case c.Type == dataset.Timestamp || c.Type == dataset.Text:
		c.Verdict, c.Effect = NotTested, "no default test is for "+string(c.Type)
	case ref.Type == dataset.Empty || cur.Type == dataset.Empty:
		c.Verdict, c.Effect = NotTested, "no values on one side"
	case ref.Type != cur.Type:
		c.Verdict, c.Effect = NotTested, fmt.Sprintf("was %s, is %s", ref.Type, cur.Type)
	case opt.Rules == EvidentlyRules:
		c.evidently(ref, cur, rows, opt)
	default:
		c.nannyML(ref, cur, opt.Chunks)
	}
	return true
}

// Conclude gives the verdict on it all again, now that a witness has been asked.
func (c *Comparison) Conclude(opt Options) { c.conclude(opt.withDefaults()) }

// conclude is the verdict on it all: too few rows where the columns that perhaps
// drifted would make the difference, and drift where all columns together say so.
// Where a witness measured what the drift does, that counts: columns that move and do
// no harm are no drift, and columns that stay while the target goes another way are.
// On too few rows to be sure of it, columns and witness both have to say so. Without the
// target, columns that move and do not change what it predicts are none either.
func (c *Comparison) conclude(opt Options) {
	c.Verdict = TooFew
	if n := c.votes; n.tested > 0 {
		share, most := n.drifted/n.tested, (n.drifted+n.perhaps)/n.tested
		if c.weighs() {
			share, most = round(share), round(most)
		}
		c.Share = &share
		switch {
		case share >= opt.Share:
			c.Verdict = Drift
		case most >= opt.Share:
			c.Verdict = TooFew
		default:
			c.Verdict = None
		}
	}
	c.Joint = opt.Joint
	for _, t := range opt.Joint {
		if t.Verdict == Drift && !t.Advisory {
			c.Verdict = Drift
		}
	}
	c.Quality, c.Outlook = opt.Quality, opt.Outlook
	if opt.Rules != AnnealRules {
		return
	}
	switch q := opt.Quality; {
	case q != nil && q.Verdict == witness.Worse:
		c.Verdict = Drift
	case opt.Settled() && (c.Verdict == Drift || q == nil || q.Verdict == witness.Holds):
		c.Verdict = None
	}
}

// Settled reports whether a witness has the last word, whatever the columns say.
func (o Options) Settled() bool {
	return o.Quality != nil && !o.Quality.Open() || o.Outlook != nil && o.Outlook.Verdict == witness.Holds
}

// Ask has a witness judge current rows, or say what it expects of them where too few
// have the target.
func (o *Options) Ask(w *witness.Witness, current *witness.Rows) {
	if q, ok := w.Judge(current); ok {
		o.Quality = &q
		if q.Verdict != witness.TooFew {
			return
		}
	}
	if outlook, ok := w.Outlook(current); ok {
		o.Outlook = &outlook
	}
}

// WitnessColumns are the columns of a reference that a witness learns from.
func WitnessColumns(reference *profile.Profile, opt Options) []string {
	var names []string
	for i := range reference.Columns {
		c := &reference.Columns[i]
		if kind := c.Kind(); c.Name != opt.Target && !slices.Contains(opt.Ignore, c.Name) && (kind == dataset.Numeric || kind == dataset.Categorical) {
			names = append(names, c.Name)
		}
	}
	return names
}
