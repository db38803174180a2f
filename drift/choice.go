package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/sketch"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// A Choice is a test that columns are compared by, and what it takes for drift.
type Choice struct {
	Test string // a name of [TestNames]
	// Threshold is for the statistic, or for the effect where the test has
	// one of its own; 0 means the test's default.
	Threshold float64
}

// role is what a test does for a type of column unless tests are chosen.
type role int

const (
	unfit   role = iota // there is no such test of the type
	onlyAsk             // it is done if chosen
	advises             // it is done, and counts for nothing
	counts              // it is done, and can make drift of the column
)

// need is what a test of numbers can be made of.
type need int

const (
	bySketch need = iota
	byBins        // the values have to be counted in bins, at least
	byValues      // each of the values has to be known
)

// A kind is one of the tests that profiles allow.
type kind struct {
	name                string
	aliases             []string
	threshold           float64
	numbers, categories role
	ofNumbers           func(*numbers) (Test, bool)
	ofCategories        func(*categories) (Test, bool)
	needs               need
}

// kinds are in the order in which they are done and reported.
func kinds() []kind {
	return []kind{
		{"ks", []string{"kolmogorov-smirnov", "ks_2samp"}, 0.1, counts, unfit, (*numbers).ks, nil, bySketch},
		{"linf", []string{"l-infinity", "l_infinity"}, 0.05, unfit, counts, nil, (*categories).linf, bySketch},
		{"psi", nil, 0.25, counts, counts, (*numbers).psi, (*categories).psi, bySketch},
		{"wasserstein", []string{"wasserstein-normed", "wasserstein_normed", "emd"}, 0.1, counts, unfit, (*numbers).wasserstein, nil, bySketch},
		{"js", []string{"jensen-shannon", "jensenshannon", "jensen_shannon"}, 0.1, advises, counts, (*numbers).js, (*categories).js, bySketch},
		{"chi2", []string{"chi-squared", "chi-square", "chisquare", "chi_squared"}, 0.1, onlyAsk, onlyAsk, (*numbers).chi2, (*categories).chi2, bySketch},
		{"hellinger", nil, 0.1, onlyAsk, onlyAsk, (*numbers).hellinger, (*categories).hellinger, bySketch},
		{"tvd", []string{"total-variation", "total_variation"}, 0.1, onlyAsk, onlyAsk, (*numbers).tvd, (*categories).tvd, bySketch},
		{"t", []string{"welch", "t-test", "ttest"}, 0.2, onlyAsk, unfit, (*numbers).t, nil, bySketch},
		{"energy", []string{"energy_distance", "ed"}, 0.1, onlyAsk, unfit, (*numbers).energy, nil, bySketch},
		{"mw", []string{"mann-whitney", "mannwhitneyu", "mann-whitney-u"}, 0.1, onlyAsk, unfit, (*numbers).mw, nil, bySketch},
		{"cvm", []string{"cramer-von-mises", "cramervonmises", "cramer_von_mises"}, 0.05, onlyAsk, unfit, (*numbers).cvm, nil, byBins},
		{"ad", []string{"anderson", "anderson_ksamp", "anderson-darling"}, 0.1, onlyAsk, unfit, (*numbers).ad, nil, byBins},
		{"es", []string{"epps-singleton", "epps_singleton"}, 0.1, onlyAsk, unfit, (*numbers).es, nil, byValues},
	}
}

// TestNames are the tests that can be chosen.
func TestNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// SketchTestNames are those that profiles are enough for.
func SketchTestNames() []string {
	var names []string
	for _, k := range kinds() {
		if k.needs == bySketch {
			names = append(names, k.name)
		}
	}
	return names
}

// kindOf finds a test by its name, or by what it is called elsewhere.
func kindOf(name string) (kind, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
		for _, a := range k.aliases {
			if a == name {
				return k, true
			}
		}
	}
	return kind{}, false
}

// ParseTests reads a list of tests with or without thresholds, such as
// `ks,psi=0.2,js`. An empty one gives none: the default.
func ParseTests(list string) ([]Choice, error) {
	var chosen []Choice
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		name, threshold, given := strings.Cut(part, "=")
		k, ok := kindOf(name)
		if !ok {
			return nil, fmt.Errorf("there is no test %q (have %s)", strings.TrimSpace(name), strings.Join(TestNames(), ", "))
		}
		c := Choice{Test: k.name}
		if given {
			v, err := strconv.ParseFloat(strings.TrimSpace(threshold), 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("threshold %q of test %s: want a number above 0", threshold, k.name)
			}
			c.Threshold = v
		}
		for _, other := range chosen {
			if other.Test == c.Test {
				return nil, fmt.Errorf("test %s is given twice", c.Test)
			}
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

// plan is what is done with a column, test by test.
func (o Options) plan(of func(kind) role) []planned {
	var plan []planned
	for _, k := range kinds() {
		does := of(k)
		p := planned{kind: k, threshold: k.threshold, advisory: does == advises}
		wanted := does >= advises
		if v := o.Thresholds[k.name]; v > 0 {
			p.threshold = v
		}
		for i, c := range o.Tests {
			if i == 0 {
				wanted = false
			}
			if known, _ := kindOf(c.Test); known.name == k.name && does != unfit {
				wanted, p.advisory = true, false
				if c.Threshold > 0 {
					p.threshold = c.Threshold
				}
			}
		}
		if wanted {
			plan = append(plan, p)
		}
	}
	return plan
}

type planned struct {
	kind
	threshold float64
	advisory  bool
}

// done finishes what a test has measured: its threshold, and a verdict where it
// only advises.
func (p planned) done(t Test) Test {
	t.Test, t.Threshold = p.name, p.threshold
	if p.advisory || t.Advisory {
		t = advisory(t)
	}
	return t
}

// numbers are two samples of numbers, and what several tests want of them.
type numbers struct {
	ref, cur *profile.Column
	x, y     []sketch.Point
	ex, ey   float64         // by how much a share of values <= v may be off
	e        float64         // by how much the difference of both may be
	bins     statistics.Bins // of values that were counted and not kept; x and y are at their lower ends
	edges    []float64
	p, q     []float64 // shares in the quantile bins of the reference
	ep, eq   float64   // by how much those may be off
}

func newNumbers(ref, cur *profile.Column, bins int, values map[string]again) *numbers {
	n := &numbers{ref: ref, cur: cur}
	again, ok := values[ref.Name]
	switch {
	case ok && again.bins != nil:
		n.bins = again.bins
		n.x, n.y = n.bins.Points()
		n.edges = statistics.QuantileEdges(n.x, bins)
		offX, offY, _ := n.bins.OffEdges(bins)
		n.ep, n.eq = 2*offX, 2*offY // a share is the difference of two ranks
	case ok:
		n.x, n.y = again.x, again.y
		n.edges = statistics.QuantileEdges(n.x, bins)
	default:
		n.x, n.y, n.ex, n.ey = ref.Quantiles.Points(), cur.Quantiles.Points(), ref.Quantiles.Error(), cur.Quantiles.Error()
		n.e = sketch.ErrorBetween(&ref.Quantiles, &cur.Quantiles)
		n.edges = statistics.QuantileEdges(n.x, bins)
		n.ep, n.eq = statistics.OffShares(n.x, n.y, bins, ref.Moments.Min, n.ex, n.ey)
	}
	n.p, n.q = statistics.Shares(n.x, n.edges), statistics.Shares(n.y, n.edges)
	return n
}

// whole reports whether all values are known.
func (n *numbers) whole() bool { return n.e == 0 && n.bins == nil }

// lacks says what of the values a test needs that is not known.
func (n *numbers) lacks(of need) string {
	switch {
	case n.whole() || of == bySketch || of == byBins && n.bins != nil:
		return ""
	case n.bins == nil:
		return "the values themselves, which were not read again"
	}
	return fmt.Sprintf("each of the values, and can keep %d: there are %d", mostSeen, n.ref.N()+n.cur.N())
}

func (n *numbers) ks() (Test, bool) {
	d := statistics.KS(n.x, n.y, statistics.TwoSided)
	t := Test{Statistic: d, Low: max(0, d-n.e), High: min(1, d+n.e)}
	if n.bins != nil {
		d, _ := n.bins.KS()
		t = between(d)
	}
	p := statistics.KSProbability(t.Low, n.ref.N(), n.cur.N())
	t.PValue = &p
	return t, true
}

// wasserstein has the probability of ks: where the distribution functions do
// not differ, neither does the area between them. Of few values it has that of
// chi-square, as ks is too careful there.
func (n *numbers) wasserstein() (Test, bool) {
	sd := n.ref.Moments.StdDev()
	// Any move is far, measured by no spread: ks finds out whether it matters.
	t := Test{Advisory: steady(n.ref.Moments)}
	t.Statistic = statistics.Normed(statistics.Wasserstein(n.x, n.y), sd)
	off := 0.0
	if n.e > 0 { // from end to end the distribution functions' difference may be off by its error
		least, most := ends(n.ref, n.cur)
		off = statistics.Normed(n.e*(most-least), sd)
	}
	t.Low, t.High = max(0, t.Statistic-off), t.Statistic+off
	if n.e > 0 { // nor can it be less than what the means, which are exact, have moved by
		a, b := n.ref.Moments.Mean, n.cur.Moments.Mean
		moved := math.Abs(b-a) - 1e-9*(math.Abs(a)+math.Abs(b)) // but for rounding
		t.Low = min(max(t.Low, statistics.Normed(moved, sd)), t.High)
		t.Statistic = max(t.Statistic, t.Low)
	}
	if n.bins != nil {
		w, _ := n.bins.Wasserstein()
		t.Low, t.High = statistics.Normed(w.Low, sd), statistics.Normed(w.High, sd)
		t.Statistic = (t.Low + t.High) / 2
	}
	chance, _ := n.ks()
	if parts, few := n.parts(); few {
		chance = parts.chi2()
	}
	t.PValue = chance.PValue
	return t, isFinite(t.High)
}

// t is Welch's test of the means, which moments give exactly; its effect is
// their difference in standard deviations of the reference (Glass's delta).
func (n *numbers) t() (Test, bool) {
	a, b := n.ref.Moments, n.cur.Moments
	if steady(a) {
		return Test{}, false
	}
	statistic, p := statistics.Welch(a.Mean, a.M2, a.N, b.Mean, b.M2, b.N)
	if !isFinite(statistic) || !isFinite(p) {
		return Test{}, false
	}
	effect := math.Abs(statistics.Normed(b.Mean-a.Mean, a.StdDev()))
	return Test{Statistic: statistic, Low: statistic, High: statistic, PValue: &p, Effect: &effect}, isFinite(effect)
}

// steady says that numbers have no spread, or that of rounding.
func steady(m sketch.Moments) bool { return m.Constant() || m.StdDev() <= 1e-9*math.Abs(m.Mean) }

// between is a test whose statistic is in an interval.
func between(i statistics.Interval) Test {
	return Test{Statistic: (i.Low + i.High) / 2, Low: i.Low, High: i.High}
}

// rough are the quantile bins' shares.
func (n *numbers) rough() shares {
	return shares{n.p, n.q, n.ep, n.eq, n.ref.N(), n.cur.N()}
}

func (n *numbers) psi() (Test, bool)       { return n.rough().distance(psi, math.Inf(1)), true }
func (n *numbers) hellinger() (Test, bool) { return n.most(statistics.Hellinger), true }
func (n *numbers) tvd() (Test, bool)       { return n.most(statistics.TotalVariation), true }

func (n *numbers) chi2() (Test, bool) {
	parts, _ := n.parts()
	return parts.chi2(), true
}

// most is a distance that is at most 1.
func (n *numbers) most(of func(p, q []float64) float64) Test {
	parts, _ := n.parts()
	return parts.distance(of, 1)
}

// parts are the shares of the values themselves where there are at most 20, as
// numbers that stand for classes have, and the quantile bins' otherwise.
func (n *numbers) parts() (s shares, few bool) {
	s = n.rough()
	if !n.whole() {
		return s, false
	}
	values := statistics.Pool(n.x, n.y)
	few = len(values) <= 20
	if few {
		s.p, s.q = make([]float64, len(values)), make([]float64, len(values))
		for i, v := range values {
			s.p[i], s.q[i] = weight(n.x, v.Value)/float64(s.n), weight(n.y, v.Value)/float64(s.m)
		}
	}
	return s, few
}

// weight is how often a value is there.
func weight(x []sketch.Point, value float64) float64 {
	i, ok := slices.BinarySearchFunc(x, value, func(p sketch.Point, v float64) int { return cmp.Compare(p.Value, v) })
	if !ok {
		return 0
	}
	return float64(x[i].Weight)
}

// ends are the least and the greatest value of both sides.
func ends(ref, cur *profile.Column) (least, most float64) {
	return min(ref.Moments.Min, cur.Moments.Min), max(ref.Moments.Max, cur.Moments.Max)
}

// js is over Evidently's bins, for who knows it from there.
func (n *numbers) js() (Test, bool) {
	least, most := ends(n.ref, n.cur)
	p, q, err := statistics.EvidentlySharesOf(n.x, n.y, least, most)
	if err != nil {
		return Test{}, false // a range beyond float64
	}
	// Each share is the difference of two ranks; where the values were counted, they
	// were between these edges.
	s := shares{p, q, 2 * n.ex, 2 * n.ey, n.ref.N(), n.cur.N()}
	return s.distance(statistics.JensenShannon, statistics.JensenShannonMax), true
}

// categories are two samples of categories; the last part is all that the
// counters have missed.
type categories struct {
	ref, cur *profile.Column
	names    []string
	x, y     []float64 // counts
	shares
}

func newCategories(ref, cur *profile.Column) *categories {
	c := &categories{ref: ref, cur: cur}
	index := map[string]int{}
	for i, side := range []*profile.Column{ref, cur} {
		for _, k := range side.Categories.List() {
			at, ok := index[k.Name]
			if !ok {
				at = len(c.names)
				index[k.Name] = at
				c.names = append(c.names, k.Name)
				c.x, c.y = append(c.x, 0), append(c.y, 0)
			}
			if i == 0 {
				c.x[at] = float64(k.Count)
			} else {
				c.y[at] = float64(k.Count)
			}
		}
	}
	c.names = append(c.names, "(others)")
	c.x = append(c.x, float64(ref.N())-sum(c.x))
	c.y = append(c.y, float64(cur.N())-sum(c.y))
	c.shares = shares{scale(c.x, 1/float64(ref.N())), scale(c.y, 1/float64(cur.N())),
		ref.Categories.Error(), cur.Categories.Error(), ref.N(), cur.N()}
	return c
}

// linf has the probability of chi-square.
func (c *categories) linf() (Test, bool) {
	e, largest, last := c.ep+c.eq, 0.0, len(c.p)-1
	for i := range c.p[:last] {
		largest = max(largest, math.Abs(c.q[i]-c.p[i]))
	}
	t := Test{Statistic: largest, Low: max(0, largest-e), High: min(1, largest+e)}
	psi, _ := c.psi()
	t.PValue = psi.PValue
	return t, true
}

// psi takes rare categories together first: each would count as much as an
// empty one.
func (c *categories) psi() (Test, bool) {
	gx, gy := statistics.Regroup(c.x, c.y)
	s := c.shares
	s.p, s.q = scale(gx, 1/float64(c.n)), scale(gy, 1/float64(c.m))
	return s.distance(psi, math.Inf(1)), true
}

func (c *categories) js() (Test, bool) {
	return c.distance(statistics.JensenShannon, statistics.JensenShannonMax), true
}
func (c *categories) hellinger() (Test, bool) { return c.distance(statistics.Hellinger, 1), true }
func (c *categories) tvd() (Test, bool)       { return c.distance(statistics.TotalVariation, 1), true }
func (c *categories) chi2() (Test, bool)      { return c.shares.chi2(), true }

// shares are the shares of the same parts in two samples of n and m values,
// which may each be off by ep and eq.
type shares struct {
	p, q   []float64
	ep, eq float64
	n, m   int64
}

// distance is one of shares, at most most. Its probability is chi-square's, of
// the nearest that the shares may be.
func (s shares) distance(of func(p, q []float64) float64, most float64) Test {
	low, lowQ := nearer(s.p, s.q, s.ep, s.eq)
	far, farQ := apart(s.p, s.q, s.ep, s.eq)
	t := Test{Statistic: of(s.p, s.q), Low: of(low, lowQ), High: min(most, of(far, farQ))}
	x, y := statistics.Regroup(scale(low, float64(s.n)), scale(lowQ, float64(s.m)))
	_, prob, _ := statistics.ChiSquare(x, y, true)
	t.PValue = &prob
	return t
}

// chi2 is Pearson's test, of parts that are not too rare; its effect is Cramér's
// V (1946), which does not grow with the samples.
func (s shares) chi2() Test {
	statistic := func(p, q []float64) (float64, float64, int) {
		return statistics.ChiSquare(scale(p, float64(s.n)), scale(q, float64(s.m)), true)
	}
	low, lowQ := nearer(s.p, s.q, s.ep, s.eq)
	far, farQ := apart(s.p, s.q, s.ep, s.eq)
	t := Test{}
	t.Statistic, _, _ = statistic(s.p, s.q)
	t.Low, _, _ = statistic(low, lowQ)
	t.High, _, _ = statistic(far, farQ)
	x, y := statistics.Regroup(scale(low, float64(s.n)), scale(lowQ, float64(s.m)))
	least, p, _ := statistics.ChiSquare(x, y, true)
	effect := math.Sqrt(least / float64(s.n+s.m))
	t.PValue, t.Effect, t.most = &p, &effect, math.Sqrt(t.High/float64(s.n+s.m))
	return t
}

func psi(p, q []float64) float64 { return statistics.PSI(p, q, statistics.ShareFloor) }

// isFinite says that v can be written as JSON.
func isFinite(v float64) bool { return v-v == 0 }
