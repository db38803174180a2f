package witness

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// A history is a recorded data set.
type history struct {
	Target, Format       string
	Numeric, Categorical []string
	dir                  string
}

func open(t *testing.T, name string) history {
	t.Helper()
	h := history{dir: filepath.Join(cmp.Or(os.Getenv("ANNEAL_SHARED"), filepath.Join("..", "..", "..", "shared")), "drift", "datasets", name)}
	b, err := os.ReadFile(filepath.Join(h.dir, "schema.json"))
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("the recorded data are needed: %v", err)
		}
		t.Skipf("without the recorded data: %v", err)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h history) columns() []string { return slices.Concat(h.Numeric, h.Categorical) }

// add reads one part of a history.
func (h history) add(t *testing.T, r *Rows, part string) {
	t.Helper()
	types := map[string]dataset.Type{}
	for _, c := range h.Categorical {
		types[c] = dataset.Categorical
	}
	f, err := os.Open(filepath.Join(h.dir, part+"."+h.Format))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.Add(t.Context(), f, f.Name(), dataset.Options{Columns: types}); err != nil {
		t.Fatal(err)
	}
}

// TestScikit measures witnesses of recorded references on their batches, and
// compares with scikit-learn's HistGradientBoosting of the same constants.
func TestScikit(t *testing.T) {
	for _, name := range []string{"elec2", "bike", "bank"} {
		h := open(t, name)
		type figures struct {
			Accuracy float64 `json:"accuracy"`
			AUC      float64 `json:"roc_auc"`
			MAE      float64 `json:"mae"`
		}
		var expected struct {
			Baseline struct{ GBM figures } `json:"baseline_time_split"`
			Batches  []struct {
				Batch       string
				Performance struct{ GBM figures }
			}
		}
		b, err := os.ReadFile(filepath.Join(h.dir, "expected.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &expected); err != nil {
			t.Fatal(err)
		}
		ref := &Rows{}
		h.add(t, ref, "reference")
		w, err := New(ref, h.Target, h.columns())
		if err != nil {
			t.Fatal(err)
		}
		check := func(where, metric string, got float64, want figures) {
			t.Helper()
			value := map[string]float64{"accuracy": want.Accuracy, "auc": want.AUC, "mae": want.MAE}[metric]
			if math.Abs(got-value) > 0.005*value { // sums in another order decide near ties otherwise
				t.Errorf("%s %s: %s is %.6g, want %.6g", name, where, metric, got, value)
			}
		}
		for metric, got := range w.Baseline() {
			check("reference", metric, got, expected.Baseline.GBM)
		}
		for _, batch := range expected.Batches {
			cur := &Rows{}
			h.add(t, cur, batch.Batch)
			q, ok := w.Judge(cur)
			if !ok {
				t.Fatalf("%s %s: not judged", name, batch.Batch)
			}
			for _, m := range q.Metrics {
				check(batch.Batch, m.Metric, m.Current, batch.Performance.GBM)
			}
		}
	}
}

// TestScikitClasses holds probabilities of three classes to those of scikit-learn's
// HistGradientBoosting of the same constants: 1,000 rows learnt, the next 500 predicted.
func TestScikitClasses(t *testing.T) {
	rows := numbers(t, 1500, 7, func(r *rand.Rand) string {
		x, c := r.Float64(), r.Float64()
		kind := "low"
		switch at := x + c*c + 0.3*r.NormFloat64(); {
		case at > 1.2:
			kind = "high"
		case at > 0.6:
			kind = "middle"
		}
		return fmt.Sprintf("%.4f,%.4f,%s", x, c, kind)
	})
	w, all, err := begin(rows, "y", []string{"x", "c"})
	if err != nil {
		t.Fatal(err)
	}
	w.fit(rows, all[:1000], []string{"x", "c"})
	if got := w.measure(rows, all[1000:])[0].Value; math.Abs(got-0.636) > 0.02 {
		t.Errorf("accuracy is %v, want 0.636", got)
	}
	want := map[string][]float64{"high": {0.0347813, 0.810603, 0.207814}, "low": {0.146906, 0.964920, 0.337145}, "middle": {0.463098, 0.911669, 0.455042}}
	for k, p := range w.probabilities(rows, all[1000:]) {
		mean := 0.0
		for _, v := range p {
			mean += v / float64(len(p))
		}
		for i, got := range []float64{p[250], p[450], mean} {
			if of := want[w.classes[k]][i]; math.Abs(got-of) > 0.02 { // a model for each class alone is off by 0.1
				t.Errorf("%s: %v, want %v", w.classes[k], got, of)
			}
		}
	}
}

// made is rows of CSV: y by some law of x and a category.
func made(t *testing.T, n int, seed uint64, row func(r *rand.Rand) string) *Rows {
	t.Helper()
	return written(t, n, seed, dataset.Categorical, row)
}

// numbers is the same of two numbers.
func numbers(t *testing.T, n int, seed uint64, row func(r *rand.Rand) string) *Rows {
	t.Helper()
	return written(t, n, seed, dataset.Numeric, row)
}

func written(t *testing.T, n int, seed uint64, c dataset.Type, row func(r *rand.Rand) string) *Rows {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	b.WriteString("x,c,y\n")
	for range n {
		b.WriteString(row(r) + "\n")
	}
	rows := &Rows{}
	if err := rows.Add(t.Context(), strings.NewReader(b.String()), "rows.csv", dataset.Options{Columns: map[string]dataset.Type{"x": dataset.Numeric, "c": c}}); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestJudge(t *testing.T) {
	noisy := func(r *rand.Rand, p float64) int {
		if r.Float64() < p {
			return 1
		}
		return 0
	}
	share := func(high, low float64, shift float64) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			x := r.Float64() + shift
			p := low
			if x > 0.5+shift/2 {
				p = high
			}
			return fmt.Sprintf("%v,%c,%d", x, 'a'+rune(r.IntN(3)), noisy(r, p))
		}
	}
	class := func(turn int) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			c := r.IntN(4)
			return fmt.Sprintf("%v,%c,class %d", r.Float64(), 'a'+rune(c), (c+turn)%4)
		}
	}
	amount := func(slope float64) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			x := r.Float64()
			return fmt.Sprintf("%v,a,%v", x, slope*x+0.1*r.NormFloat64())
		}
	}
	rare := func(slope float64) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			x := r.Float64()
			return fmt.Sprintf("%v,a,%d", x, noisy(r, 0.04+slope*(x-0.5)*0.08))
		}
	}
	for name, test := range map[string]struct {
		reference, current *Rows
		task, verdict      string
	}{
		"the same law":                 {made(t, 2000, 1, share(0.9, 0.1, 0)), made(t, 2000, 2, share(0.9, 0.1, 0)), Classification, Holds},
		"another law of the same x":    {made(t, 2000, 1, share(0.9, 0.1, 0)), made(t, 2000, 2, share(0.1, 0.9, 0)), Classification, Worse},
		"x moves and the law holds":    {made(t, 2000, 1, share(0.9, 0.1, 0)), made(t, 2000, 2, share(0.9, 0.1, 0.01)), Classification, Holds},
		"40 rows":                      {made(t, 2000, 1, share(0.9, 0.1, 0)), made(t, 40, 2, share(0.9, 0.1, 0)), Classification, TooFew},
		"40 rows that are easier":      {made(t, 2000, 1, share(0.8, 0.2, 0)), made(t, 40, 2, share(1, 0, 0)), Classification, Holds},
		"a rare class that is turned":  {made(t, 8000, 1, rare(1)), made(t, 800, 2, rare(-0.2)), Classification, TooFew}, // by AUC: accuracy holds
		"four classes":                 {made(t, 2000, 1, class(0)), made(t, 2000, 2, class(0)), Classification, Holds},
		"four classes that are turned": {made(t, 2000, 1, class(0)), made(t, 2000, 2, class(1)), Classification, Worse},
		"an amount":                    {made(t, 2000, 1, amount(3)), made(t, 2000, 2, amount(3)), Regression, Holds},
		"an amount that grows":         {made(t, 2000, 1, amount(3)), made(t, 2000, 2, amount(4)), Regression, Worse},
	} {
		w, err := New(test.reference, "y", []string{"x", "c"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		q, ok := w.Judge(test.current)
		if !ok || q.Task != test.task || q.Verdict != test.verdict {
			t.Errorf("%s: judged %v, %s %q, want %s %q: %+v", name, ok, q.Task, q.Verdict, test.task, test.verdict, q.Metrics)
		}
		sum := 0.0
		for _, share := range w.Importance() {
			sum += share
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: importances add up to %v", name, sum)
		}
		if _, ok := w.Judge(&Rows{}); ok {
			t.Errorf("%s: no rows were judged", name)
		}
	}
}

// TestLater learns of a year's first months and is measured on the last: a month is a
// number like those before it, though the first nine are so few that they could be classes.
func TestLater(t *testing.T) {
	month := 0
	w, err := New(numbers(t, 2400, 1, func(r *rand.Rand) string {
		month++
		m := 1 + (month-1)/200
		return fmt.Sprintf("%v,%d,%v", r.Float64(), m, 100*m+r.IntN(10))
	}), "y", []string{"c"})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Baseline()["mae"]; got > 250 { // from September's 900 to the last three's; from January's it is 1,000
		t.Errorf("off by %v on the average, want 200", got)
	}
}

// TestMissing puts numbers that are missing beside those that they are like; what never
// was missing is as most are.
func TestMissing(t *testing.T) {
	lost := func(gaps float64) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			x, y := fmt.Sprint(r.Float64()), 9
			if r.Float64() < gaps {
				x = ""
			} else if x < "0.25" {
				y = -1
			}
			return fmt.Sprintf("%s,a,%v", x, float64(y)+0.1*r.NormFloat64())
		}
	}
	current := written(t, 1000, 2, dataset.Categorical, lost(0.5))
	for _, gaps := range []float64{0.2, 0} {
		w, err := New(written(t, 2000, 1, dataset.Categorical, lost(gaps)), "y", []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		root := w.forests[0].trees[0][0]
		if got := w.Worth(current)["mae"]; got > 0.2 || root.shift != 1 {
			t.Errorf("where %v are missing it is off by %v and first splits so: %+v; want 0.1, and what is missing on the right", gaps, got, root)
		}
	}
}

// TestOutlook expects as much of rows without the target as can be: columns that the
// model does not go by may move.
func TestOutlook(t *testing.T) {
	law := func(x, narrow float64, label bool) func(*rand.Rand) string {
		return func(r *rand.Rand) string {
			at := r.Float64() + x
			y := "0"
			if at+0.2*r.NormFloat64() > 0.5 {
				y = "1"
			}
			if !label {
				y = ""
			}
			return fmt.Sprintf("%v,%v,%s", at, (1-narrow)*r.Float64(), y)
		}
	}
	blank := func(r *rand.Rand) string { return fmt.Sprintf(",%v,", r.Float64()) }
	w, err := New(numbers(t, 4000, 1, law(0, 0, true)), "y", []string{"x", "c"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		current *Rows
		verdict string // empty: there is none
		strange float64
	}{
		"nothing moves":                      {numbers(t, 2000, 2, law(0, 0, false)), Holds, 0},
		"a column moves that says nothing":   {numbers(t, 2000, 2, law(0, 0.5, false)), Holds, 0},
		"one moves that the target hangs on": {numbers(t, 2000, 2, law(0.2, 0, false)), Unknown, 0.2},
		"it moves beyond all that was seen":  {numbers(t, 2000, 2, law(5, 0, false)), Unknown, 1},
		"it is missing, as it never was":     {numbers(t, 2000, 2, blank), Unknown, 1},
		"its column is gone":                 {made(t, 2000, 2, func(r *rand.Rand) string { return ",a," }), Unknown, 1},
		"few rows":                           {numbers(t, 29, 2, law(0, 0, false)), "", 0},
	} {
		o, ok := w.Outlook(test.current)
		if ok != (test.verdict != "") || ok && (o.Verdict != test.verdict || math.Abs(o.Strange-test.strange) > 0.06) {
			t.Errorf("%s: %v %+v, want %q and %v strange", name, ok, o, test.verdict, test.strange)
		}
	}
	amounts, err := New(numbers(t, 1000, 1, func(r *rand.Rand) string { return fmt.Sprintf("%v,0,%v", r.Float64(), r.Float64()) }), "y", []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := amounts.Outlook(numbers(t, 1000, 2, law(0, 0, false))); ok {
		t.Errorf("an outlook on amounts: %+v", o)
	}
}

// TestDistance is against the mean difference of sorted samples of one size.
func TestDistance(t *testing.T) {
	for range 100 {
		n := 1 + rand.IntN(50)
		x, y, want := make([]float64, n), make([]float64, n), 0.0
		for i := range x {
			x[i], y[i] = math.Round(10*rand.NormFloat64()), math.Round(10*rand.NormFloat64()+3)
		}
		slices.Sort(x)
		slices.Sort(y)
		for i := range x {
			want += math.Abs(x[i]-y[i]) / float64(n)
		}
		if got := distance(x, y); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v and %v are %v apart, want %v", x, y, got, want)
		}
	}
}

func TestNoWitness(t *testing.T) {
	plain := made(t, 300, 1, func(r *rand.Rand) string { return fmt.Sprintf("%v,a,1", r.Float64()) })
	for target, rows := range map[string]*Rows{
		"z": plain,
		"y": plain, // always the same
		"c": made(t, 100, 1, func(r *rand.Rand) string { return fmt.Sprintf("1,%d,1", r.IntN(2)) }),
	} {
		if _, err := New(rows, target, []string{"x"}); !errors.Is(err, ErrNoWitness) {
			t.Errorf("target %s: %v, want no witness", target, err)
		}
	}
}

// TestNothingToLearnBy has no column that says anything of the target.
func TestNothingToLearnBy(t *testing.T) {
	rows := made(t, 400, 1, func(r *rand.Rand) string { return fmt.Sprintf("%v,%d,1", r.Float64(), r.IntN(2)) })
	for _, columns := range [][]string{nil, {"gone"}} {
		for name, fit := range map[string]func(*Rows, string, []string) (*Witness, error){"new": New, "fit": Fit} {
			if _, err := fit(rows, "c", columns); !errors.Is(err, ErrNoWitness) || !strings.Contains(err.Error(), "no column to learn c from") {
				t.Errorf("%s by %q: %v, want no witness", name, columns, err)
			}
		}
	}
	if got := Regress(nil, []float64{1, 2, 6}).Of(nil, 2); len(got) != 2 || got[0] != 3 || got[1] != 3 {
		t.Errorf("learnt by nothing: %v, want the mean", got)
	}
}

// TestThin keeps an even part of many rows, in their order.
func TestThin(t *testing.T) {
	i := 0
	rows := made(t, 3*mostRows, 1, func(*rand.Rand) string { i++; return fmt.Sprintf("%d,,1", i-1) })
	x := rows.column("x").numbers
	if rows.Seen() != 3*mostRows || rows.n > mostRows || len(x) != rows.n {
		t.Fatalf("%d rows of %d kept, %d values", rows.n, rows.Seen(), len(x))
	}
	for i, v := range x {
		if v != float64(4*i) {
			t.Fatalf("row %d is %v, want every fourth", i, v)
		}
	}
}
