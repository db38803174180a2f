package drift

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/drift/witness"
)

// A Verdict says what a comparison, a column or a test came to.
type Verdict string

// The verdicts. The last two are neither yes nor no.
const (
	Drift     Verdict = "drift"
	None      Verdict = "none"
	TooFew    Verdict = "too few rows"
	NotTested Verdict = "not tested" // of this type, or ignored
)

// Options say when columns have drifted. The zero value is the default.
type Options struct {
	Target string   // compared, and not counted in the share
	Ignore []string // columns not compared

	// A test finds drift where its effect reaches a threshold and its
	// probability, corrected over the columns, is at most Alpha: a large sample
	// alone makes no drift, and a small one none by chance.
	Alpha      float64               // 0.05
	Correction statistics.Correction // Benjamini-Hochberg; NoCorrection for none
	// Tests are those that count; by default ks, wasserstein and psi of numbers
	// and linf, psi and js of categories. See [ParseTests].
	Tests []Choice
	// Thresholds are by test, for those that Tests does not give one.
	Thresholds map[string]float64
	Bins       int // of psi, chi2, hellinger and tvd of numbers: 10 quantile bins of the reference

	// The share of values that are missing, infinite or of another type may
	// rise by MissingRise, 0.01, or by chance at MissingAlpha, 0.01.
	MissingAlpha float64
	MissingRise  float64

	MinRows int64   // of values on both sides, for a verdict: 30
	Share   float64 // of drifted columns that makes drift of it all: 0.5

	Exact  map[string]Exact   // columns that were read again, by name
	Rules  RuleSet            // AnnealRules
	Chunks []*profile.Profile // of the reference, in their order: for NannyMLRules
	// Seasons are the parts of the reference of the same season, for AnnealRules; and
	// Season is that which is compared with whether or not it shows.
	Seasons []Part
	Season  Season
	// Importance is what columns are worth to the model, by name and on any scale, for
	// AnnealRules: they count by it in the share, and what is not named counts nothing.
	// All count alike where it is empty, or says little of the columns: see [Weighing].
	Importance map[string]float64
	Quality    *witness.Quality // of the current data, where they carry the target: for AnnealRules
	Outlook    *witness.Outlook // on the current data, where they do not: for AnnealRules
	Joint      []Joint          // of all columns together, where that was asked: see [Joined]

	// Parts has the shares of all parts of each column reported, drifted or not.
	Parts bool

	again map[string]again // the values of a column that was read again
}

func (o Options) withDefaults() Options {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Alpha, DefaultAlpha)
	def(&o.MissingAlpha, 0.01)
	def(&o.MissingRise, 0.01)
	def(&o.Share, 0.5)
	if o.Rules == "" {
		o.Rules = AnnealRules
	}
	if o.Correction == "" {
		o.Correction = statistics.BenjaminiHochberg
	}
	if o.Bins == 0 {
		o.Bins = 10
	}
	if o.MinRows == 0 {
		o.MinRows = 30
	}
	return o
}

// DefaultAlpha is up to which corrected probability a change is no chance.
const DefaultAlpha = 0.05

// mostNamed is how many categories are named of those that came or went.
const mostNamed = 20

// A Comparison says how current data differs from a reference.
type Comparison struct {
	// Share is that of drifted columns among those that were tested, without the
	// target; nil where none was. Each counts by its Importance where that is known.
	Share         *float64 `json:"share"`
	Verdict       Verdict  `json:"verdict"` // Drift, None or TooFew
	Drifted       int      `json:"drifted"` // columns
	Tested        int      `json:"tested"`  // columns that were tested, without the target
	ReferenceRows int64    `json:"referenceRows"`
	CurrentRows   int64    `json:"currentRows"`
	// Alpha is the level that columns were tested at, by AnnealRules.
	Alpha   float64  `json:"alpha,omitempty"`
	Columns []Column `json:"columns"`         // the reference's, in its order, then the new ones
	Joint   []Joint  `json:"joint,omitempty"` // of all columns together
	// Attribution names up to ten of the columns that make the drift, those first that
	// matter most.
	Attribution []string `json:"attribution,omitempty"`
	Facts       []Fact   `json:"facts"` // about the quality of the current data
	// Importance says how columns counted, where something is known of it.
	Importance *Weighing `json:"importance,omitempty"`
	// Quality is what was learnt from the reference is worth on the current data,
	// where they carry the target and a witness was asked.
	Quality *witness.Quality `json:"quality,omitempty"`
	// Outlook is what a witness expects of current data without the target.
	Outlook *witness.Outlook `json:"outlook,omitempty"`
	// Season is what of the reference it was compared with, where that is not all.
	Season *Seasonal `json:"season,omitempty"`
	// NoSeason is why it was not compared with the season that was chosen.
	NoSeason string `json:"noSeason,omitempty"`
	part     *Part  // that of Season
	votes    votes
	// NotReadAgain are columns whose sketches left something open, and whose values were
	// not to be had again: the data changed meanwhile, or there is only a profile of them.
	NotReadAgain []string `json:"notReadAgain,omitempty"`
	// ColumnsAlone is why no witness could be asked, where one would have been.
	ColumnsAlone string `json:"columnsAlone,omitempty"`
}

// votes are columns by what they count: those tested, those of them that drifted, and
// those that may have.
type votes struct{ tested, drifted, perhaps float64 }

// A Column says how one column differs.
type Column struct {
	Name    string       `json:"name"`
	Type    dataset.Type `json:"type"` // in the reference
	Target  bool         `json:"target,omitempty"`
	Verdict Verdict      `json:"verdict"`
	// Importance is what the model goes by this column, of 1, where that is known.
	Importance *float64 `json:"importance,omitempty"`
	idle       bool     // the model does not use it
	// Effect says in a few words what has changed, or why there is no verdict.
	Effect    string `json:"effect"`
	Reference Side   `json:"reference"`
	Current   Side   `json:"current"`
	Tests     []Test `json:"tests"`
	// NotMeasured are chosen tests that could not be made of what is known.
	NotMeasured []NotMeasured `json:"notMeasured,omitempty"`
	// Moved are the up to three bins or categories whose shares changed most,
	// in a column that drifted.
	Moved []Move `json:"moved,omitempty"`
	// Since is the first object of the current data from which on all have drifted,
	// where they are several.
	Since   string `json:"since,omitempty"`
	perhaps bool   // its verdict is TooFew, as what was seen may be chance
	// Parts are all bins, or the largest categories, for a chart: if asked for.
	Parts []Move `json:"parts,omitempty"`
	// New are the categories that the reference has not at all, and Vanished
	// those that only it has, the largest first; at most 20 of each.
	New      []Move `json:"new,omitempty"`
	Vanished []Move `json:"vanished,omitempty"`
}

// A Side is a column in one of the two data sets.
type Side struct {
	N       int64    `json:"n"`              // values
	Missing float64  `json:"missing"`        // share of rows without a usable value
	Mean    *float64 `json:"mean,omitempty"` // numbers
}

// A Test is the outcome of one test on one column.
type Test struct {
	Test      string  `json:"test"` // missing, column, or a name of [TestNames]
	Statistic float64 `json:"statistic"`
	// Effect is for a test whose statistic grows with the rows: how large the
	// change is, whatever their number. The threshold is for it.
	Effect *float64 `json:"effect,omitempty"`
	// PValue is for the least statistic that the sketches allow; nil where
	// the test has none. PAdjusted is corrected over the columns.
	PValue    *float64 `json:"pValue"`
	PAdjusted *float64 `json:"pAdjusted"`
	// Low and High hold the statistic of the data itself, where sketches stand
	// for it; of the missing rate's rise, they are its 95 % interval.
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Threshold float64 `json:"threshold"`
	most      float64 // the largest effect that the data can have had, where Effect is the least
	// An advisory test is reported for who knows it from elsewhere: as Evidently
	// computes and judges it, without regard to chance. It does not count for
	// the verdict of the column.
	Advisory bool    `json:"advisory,omitempty"`
	Verdict  Verdict `json:"verdict"`
}

// A NotMeasured is a test, and why there is nothing of it.
type NotMeasured struct {
	Test string `json:"test"`
	Why  string `json:"why"` // what it needs, and is not known
}

// A Move is a bin or a category whose share changed.
type Move struct {
	Part      string  `json:"part"`
	Reference float64 `json:"reference"` // share
	Current   float64 `json:"current"`
}

// Compare measures how far current has moved from reference.
//
// A column has drifted where one of its tests found drift. Numbers are tested
// by Kolmogorov-Smirnov, the Wasserstein distance and the stability index over
// quantile bins; categories by the largest change of a share, the index and the
// Jensen-Shannon distance; other tests can be chosen. A test finds drift where
// its effect is large enough to matter and too large for chance. A distance that
// has no probability of its own has that of a test of the same parts: of
// Kolmogorov-Smirnov, or of chi-square. Both types are tested for a rise of
// unusable values. A column that is new, gone, or of another type has drifted.
// Where sketches stand for data, a test counts only what is certain: the lower
// end of its statistic.
//
// Where a part of the reference is of the same season as current and nearer than the
// whole, it is compared with that.
func Compare(reference, current *profile.Profile, opt Options) Comparison {
	opt = opt.withDefaults()
	c := compare(reference, current, opt)
	if opt.Rules == AnnealRules {
		c = c.seasonally(reference, current, opt)
		c.NoSeason = opt.unseasonal(reference, current, c)
	}
	return c
}

func compare(reference, current *profile.Profile, opt Options) Comparison {
	c := Comparison{ReferenceRows: reference.Counts.Rows, CurrentRows: current.Counts.Rows, Columns: []Column{}}
	for i := range reference.Columns {
		ref := &reference.Columns[i]
		c.Columns = append(c.Columns, compareColumn(ref, current.Column(ref.Name), reference.Counts.Rows, current.Counts.Rows, opt))
	}
	for i := range current.Columns {
		cur := &current.Columns[i]
		if reference.Column(cur.Name) == nil {
			c.Columns = append(c.Columns, compareColumn(nil, cur, reference.Counts.Rows, current.Counts.Rows, opt))
		}
	}
	if opt.Rules == AnnealRules {
		c.Alpha = opt.Alpha
		c.weigh(opt.Importance)
		opt.correct(c.Columns)
	}
	for i := range c.Columns {
		col := &c.Columns[i]
		if opt.Rules == AnnealRules {
			opt.judge(col)
		}
		if col.Target || col.Verdict != Drift && col.Verdict != None && !col.perhaps {
			continue
		}
		c.Tested++
		c.votes.tested += c.weight(col)
		if col.perhaps {
			c.votes.perhaps += c.weight(col)
		}
		if col.Verdict == Drift {
			c.Drifted++
			c.votes.drifted += c.weight(col)
		}
	}
	c.attribute(opt.Rules)
	c.Facts = facts(reference, current, c.Columns)
	for i := range c.Columns {
		col := &c.Columns[i]
		col.New, col.Vanished = col.New[:min(mostNamed, len(col.New))], col.Vanished[:min(mostNamed, len(col.Vanished))]
	}
	c.conclude(opt)
	return c
}

// compareColumn measures one column of data sets of n and m rows; ref or cur is
// nil where the column is on one side only.
func compareColumn(ref, cur *profile.Column, n, m int64, opt Options) Column {
	cur = readAlike(ref, cur)
	if ref != nil {
		if e, ok := opt.Exact[ref.Name]; ok && e.of == ref {
			c := e.column
			c.Tests = slices.Clone(c.Tests)
			return c
		}
	}
	either, otherRows := ref, m
	if ref == nil || ref.Type == dataset.Empty && cur != nil {
		either = cur
	}
	if ref == nil {
		otherRows = n
	}
	c := Column{Name: either.Name, Type: either.Kind(), Target: either.Name == opt.Target, Tests: []Test{}}
	if ref != nil {
		c.Reference = side(ref)
	}
	if cur != nil {
		c.Current = side(cur)
	}
	if c.foreign(ref, cur, n, opt) {
		return c
	}
	switch {
	case slices.Contains(opt.Ignore, c.Name):
		c.Verdict, c.Effect = NotTested, "ignored"
	case ref == nil || cur == nil:
		c.oneSided(ref == nil, either.Rows, otherRows, opt)
	case c.Type == dataset.Empty:
		c.Verdict, c.Effect = NotTested, "no values on either side"
	case c.Type == dataset.Timestamp || c.Type == dataset.Text || c.Type == dataset.Index:
		c.Verdict, c.Effect = NotTested, map[dataset.Type]string{
			dataset.Timestamp: "dates always move on",
			dataset.Text:      "nearly every value differs",
			dataset.Index:     "it counts the rows",
		}[c.Type]
		if like := likeNumbers(either); c.Type == dataset.Text && like != "" {
			c.Effect += fmt.Sprintf("; %q looks like a number that is written otherwise than 1234.5", like)
		}
	case min(ref.Rows, cur.Rows) < opt.MinRows:
		c.tooFew(ref.Rows, cur.Rows, opt)
	case ref.Type == dataset.Empty:
		c.oneSided(true, cur.Rows, ref.Rows, opt)
	case cur.Type != ref.Type && cur.Type != dataset.Empty:
		c.Tests = append(c.Tests, columnTest())
		c.Effect = fmt.Sprintf("was %s, is %s", ref.Type, cur.Type)
	default:
		c.Tests = append(c.Tests, missingTest(ref, cur, opt))
		if min(ref.N(), cur.N()) >= opt.MinRows {
			if ref.Type == dataset.Numeric {
				c.numeric(ref, cur, opt)
			} else {
				c.categorical(ref, cur, opt)
			}
		} else {
			c.Verdict = TooFew // unless the missing values are drift
		}
		if c.Effect == "" {
			c.Effect = fmt.Sprintf("%d values against %d", cur.N(), ref.N())
		}
	}
	return c
}

// readAlike is the current column read as the reference was, where at least half of its
// values can be: of numbers with a few words among them, and of the other way round,
// where there are numbers among the words of the reference.
func readAlike(ref, cur *profile.Column) *profile.Column {
	switch {
	case ref == nil || cur == nil:
	case ref.Type == dataset.Numeric && cur.Type == dataset.Categorical && 2*cur.Numbers >= cur.N():
		return cur.As(dataset.Numeric)
	case ref.Type == dataset.Categorical && cur.Type == dataset.Numeric && ref.Numbers > 0:
		return cur.As(dataset.Categorical)
	}
	return cur
}

// likeNumbers is one of the texts of a column of which nearly all would be numbers, were
// it not for a decimal comma, separated thousands, a currency or a sign of per cent.
func likeNumbers(c *profile.Column) string {
	list := c.Categories.List()
	list = list[:min(100, len(list))]
	like, first := 0, ""
	for _, k := range list {
		bare := strings.Map(func(r rune) rune {
			if strings.ContainsRune(",'%()\u00a0\u202f ", r) || unicode.Is(unicode.Sc, r) {
				return -1
			}
			return r
		}, k.Name)
		for bare != k.Name && len(bare) > 1 && bare[0] == '0' {
			bare = bare[1:] // the 0 of 0,5
		}
		if _, ok := dataset.Number([]byte(bare)); ok {
			if like++; bare != k.Name && first == "" {
				first = k.Name
			}
		}
	}
	if 20*like < 19*len(list) {
		return ""
	}
	return first
}

func side(c *profile.Column) Side {
	s := Side{N: c.N()}
	if c.Rows > 0 {
		s.Missing = float64(c.Rows-c.N()) / float64(c.Rows)
	}
	if mean := c.Moments.Mean; c.Type == dataset.Numeric && c.N() > 0 {
		s.Mean = &mean
	}
	return s
}

func (c *Column) tooFew(ref, cur int64, opt Options) {
	c.Verdict = TooFew
	c.Effect = fmt.Sprintf("%d rows against %d: want %d on both sides", cur, ref, opt.MinRows)
}

// oneSided is for a column that only one side has.
func (c *Column) oneSided(isNew bool, rows, otherRows int64, opt Options) {
	if min(rows, otherRows) < opt.MinRows {
		c.tooFew(otherRows, rows, opt)
		return
	}
	c.Tests = append(c.Tests, columnTest())
	c.Effect = "the column is gone"
	if isNew {
		c.Effect = "the column is new"
	}
}

// columnTest is drift by the mere look of the column.
func columnTest() Test {
	return Test{Test: "column", Statistic: 1, Low: 1, High: 1, Threshold: 1, Verdict: Drift}
}

// missingTest compares the shares of rows without a usable value.
func missingTest(ref, cur *profile.Column, opt Options) Test {
	lost, lostRef := cur.Rows-cur.N(), ref.Rows-ref.N()
	p := statistics.ProportionP(lost, cur.Rows, lostRef, ref.Rows)
	t := Test{Test: "missing", PValue: &p, Threshold: opt.MissingRise}
	t.Statistic = float64(lost)/float64(cur.Rows) - float64(lostRef)/float64(ref.Rows)
	t.Low, t.High = statistics.Newcombe(lost, cur.Rows, lostRef, ref.Rows)
	return t
}

// correct adjusts the probabilities of each kind of test over the columns; over those
// that the model does not use apart.
func (o Options) correct(columns []Column) {
	type family struct {
		test string
		idle bool
	}
	tests := map[family][]*Test{}
	for i := range columns {
		for j := range columns[i].Tests {
			if t := &columns[i].Tests[j]; t.PValue != nil {
				of := family{t.Test, columns[i].idle}
				tests[of] = append(tests[of], t)
			}
		}
	}
	for _, of := range tests {
		p := make([]float64, len(of))
		for i, t := range of {
			p[i] = *t.PValue
		}
		for i, a := range o.Correction.Adjust(p) {
			of[i].PAdjusted = &a
		}
	}
}

// judge gives the tests of a column their verdicts, and the column its own.
func (o Options) judge(c *Column) {
	drift, perhaps := false, false
	for i := range c.Tests {
		t := &c.Tests[i]
		switch {
		case t.PAdjusted == nil || t.Advisory:
		case t.Test == "missing" && t.Statistic > t.Threshold && *t.PAdjusted <= o.MissingAlpha,
			t.Test != "missing" && t.least() >= t.Threshold && *t.PAdjusted <= o.Alpha:
			t.Verdict = Drift
			if t.Test == "missing" {
				c.Effect = strings.TrimPrefix(fmt.Sprintf("%s, unusable %s → %s", c.Effect,
					percent(c.Reference.Missing), percent(c.Current.Missing)), ", ")
			}
		case t.Test != "missing" && t.least() >= t.Threshold:
			t.Verdict, perhaps = TooFew, true // as large as matters, and may be chance
		default:
			t.Verdict = None
		}
		drift = drift || t.Verdict == Drift && !t.Advisory
	}
	switch {
	case drift:
		c.Verdict = Drift
	case c.Verdict == "" && perhaps:
		c.Verdict, c.perhaps = TooFew, true
	case c.Verdict == "":
		c.Verdict = None
	}
	if !drift {
		c.Moved = nil
	}
}

// least is the smallest effect that the data can have had.
func (t Test) least() float64 {
	if t.Effect != nil {
		return *t.Effect
	}
	return t.Low
}

// percent writes a share for people.
func percent(share float64) string {
	p := 100 * share
	if p > 0 && p < 0.1 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", p)
}

// number writes a number for people.
func number(v float64) string {
	if math.Abs(v) >= 1e6 {
		return fmt.Sprintf("%.5g", v)
	}
	return fmt.Sprintf("%.4g", v)
}
