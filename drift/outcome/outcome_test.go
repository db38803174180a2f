package outcome

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/performance"
)

var day0 = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(days float64) time.Time { return day0.Add(time.Duration(days * 24 * float64(time.Hour))) }

func read(t testing.TB, form Form, data string) *Batch {
	t.Helper()
	b, err := Read(t.Context(), strings.NewReader(data), "x.csv", form, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(b.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, again, cmp.AllowUnexported(Batch{}, names{}), cmpopts.EquateNaNs()); diff != "" {
		t.Fatalf("decoded it is another (-want +got):\n%s", diff)
	}
	return again
}

var (
	classes = Form{Key: "id", Value: "predicted"}
	labels  = Form{Labels: true, Key: "id", Value: "class"}
)

// A drop is an object of a story: "p" for predictions, "l" for labels, the day
// it is seen, and rows of key and class.
type drop struct {
	kind string
	day  float64
	rows string
}

func join(t *testing.T, drops []drop) *Join {
	t.Helper()
	var j Join
	for _, d := range drops {
		form, header := classes, "id,predicted\n"
		if d.kind == "l" {
			form, header = labels, "id,class\n"
		}
		j.Add(read(t, form, header+strings.ReplaceAll(d.rows, " ", "\n")+"\n"), d.kind == "l", at(d.day))
	}
	return &j
}

// TestStories joins predictions with labels that come early, late, twice or
// never. The window is 7 days, labels come within 3, and it is day 10.
func TestStories(t *testing.T) {
	for _, c := range []struct {
		name  string
		drops []drop
		want  string
	}{
		{"on time", []drop{{"p", 5, "1,a 2,b 3,a"}, {"l", 6, "1,a 2,b 3,b"}}, "2/3 of 3"},
		{"labels first", []drop{{"l", 5, "1,a"}, {"p", 6, "1,a"}}, "1/1 of 1"},
		{"some wait", []drop{{"p", 8, "1,a 2,a 3,a"}, {"l", 9, "2,b"}}, "0/1 of 3, 2 waiting"},
		{"never", []drop{{"p", 5, "1,a 2,a"}, {"l", 6, "2,a"}}, "1/1 of 2, 1 unlabelled"},
		{"too late", []drop{{"p", 5, "1,a 2,a"}, {"l", 8.5, "1,a"}}, "0/0 of 2, 1 unlabelled, 1 late"},
		{"just in time", []drop{{"p", 5, "1,a"}, {"l", 8, "1,a"}}, "1/1 of 1"},
		{"the prediction is older than the window", []drop{{"p", 2.9, "1,a"}, {"p", 4, "2,b"}, {"l", 5, "1,a 2,b"}}, "1/1 of 1"},
		{"a label is corrected", []drop{{"p", 5, "1,a"}, {"l", 6, "1,b"}, {"l", 7, "1,a"}}, "1/1 of 1"},
		{"all labels are told again, late", []drop{{"p", 5, "1,a"}, {"l", 6, "1,a"}, {"l", 9, "1,a 9,a"}}, "1/1 of 1, 1 unmatched"},
		{"a prediction is made again", []drop{{"p", 5, "1,a"}, {"p", 6, "1,b"}, {"l", 7, "1,b"}}, "1/1 of 1"},
		{"twice in one file", []drop{{"p", 5, "1,a 1,b"}, {"l", 6, "1,b 1,a"}}, "0/1 of 1"},
		{"labels of other keys", []drop{{"p", 5, "1,a"}, {"l", 6, "2,a 3,a"}}, "0/0 of 1, 1 unlabelled, 2 unmatched"},
		{"numbers are classes too", []drop{{"p", 5, "1.0,1.0 2,0"}, {"l", 6, "1,1 2.0,0"}}, "2/2 of 2"},
		{"missing values", []drop{{"p", 5, "1,a ,a 3,NA 4,a"}, {"l", 6, "1,a 4,"}}, "1/1 of 2, 1 unlabelled"},
		{"from the future", []drop{{"p", 11, "1,a"}, {"l", 12, "1,a"}}, "0/0 of 0"},
		{"nothing", nil, "0/0 of 0"},
	} {
		m := join(t, c.drops).Measure(Question{Metric: "accuracy", Now: at(10), Window: 7 * 24 * time.Hour, LabelsWithin: 3 * 24 * time.Hour, MinRows: 1})
		right := 0.0
		if m.Value != nil {
			right = math.Round(*m.Value * float64(m.N))
		}
		got := fmt.Sprintf("%.0f/%d of %d", right, m.N, m.Predictions)
		for _, n := range []struct {
			n    int64
			what string
		}{{m.Waiting, "waiting"}, {m.Unlabelled, "unlabelled"}, {m.Late, "late"}, {m.Unmatched, "unmatched"}, {m.Others, "others"}} {
			if n.n > 0 {
				got += fmt.Sprintf(", %d %s", n.n, n.what)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestMetrics holds every metric against package performance, which the golden
// values hold.
func TestMetrics(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 500
	var p, l strings.Builder
	p.WriteString("id,predicted,score,value\n")
	l.WriteString("id,class,number\n")
	var truth, decided []bool
	var truth3, decided3 []string
	var scores, numbers, values []float64
	for i := range n {
		s := math.Round(100*r.Float64()) / 100
		y := r.Float64() < s
		v, w := math.Round(1000*r.NormFloat64())/1000, math.Round(1000*r.NormFloat64())/1000
		scores, truth, decided = append(scores, s), append(truth, y), append(decided, s >= 0.5)
		numbers, values = append(numbers, v), append(values, w)
		class := func(b bool, x float64) string {
			if x > 1 {
				return "2"
			}
			return map[bool]string{true: "1", false: "0"}[b]
		}
		truth3, decided3 = append(truth3, class(y, w)), append(decided3, class(s >= 0.5, v))
		fmt.Fprintf(&p, "k%d,%t,%v,%v\n", i, s >= 0.5, s, v)
		fmt.Fprintf(&l, "k%d,%t,%v\n", i, y, w)
	}
	var p3, l3 strings.Builder
	p3.WriteString("id,predicted\n")
	l3.WriteString("id,class\n")
	for i := range n {
		fmt.Fprintf(&p3, "%d,%s\n", i, decided3[i])
		fmt.Fprintf(&l3, "%d,%s\n", i, truth3[i])
	}
	binary, multi, regression := performance.NewBinary(truth, scores, decided), performance.NewMulticlass(truth3, decided3), performance.NewRegression(values, numbers)
	score := Form{Key: "id", Score: "score"}
	number, numberLabels := Form{Key: "id", Value: "value", Numbers: true}, Form{Labels: true, Key: "id", Value: "number", Numbers: true}
	for _, c := range []struct {
		metric, average   string
		of, labels        Form
		p, l              string
		want              float64
		average2, positiv string
	}{
		{"accuracy", "", classes, labels, p.String(), l.String(), binary.Accuracy, "", ""},
		{"f1", "", classes, labels, p.String(), l.String(), binary.F1, "binary", "true"},
		{"f1", "", classes, labels, p3.String(), l3.String(), multi.MacroF1, "macro", ""},
		{"f1", "weighted", classes, labels, p3.String(), l3.String(), multi.WeightedF1, "weighted", ""},
		{"auc", "", score, labels, p.String(), l.String(), binary.ROCAUC, "", "true"},
		{"logLoss", "", score, labels, p.String(), l.String(), binary.LogLoss, "", "true"},
		{"mae", "", number, numberLabels, p.String(), l.String(), regression.MAE, "", ""},
		{"rmse", "", number, numberLabels, p.String(), l.String(), regression.RMSE, "", ""},
		{"r2", "", number, numberLabels, p.String(), l.String(), regression.R2, "", ""},
		{"precision", "", classes, labels, p.String(), l.String(), binary.Precision, "", "true"},
		{"recall", "", classes, labels, p.String(), l.String(), binary.Recall, "", "true"},
		{"f1", "micro", classes, labels, p3.String(), l3.String(), multi.Accuracy, "micro", ""},
		{"balancedAccuracy", "", classes, labels, p3.String(), l3.String(), multi.MacroRecall, "", ""},
		{"averagePrecision", "", score, labels, p.String(), l.String(), binary.AveragePrecision, "", "true"},
		{"brier", "", score, labels, p.String(), l.String(), binary.Brier, "", "true"},
	} {
		most := 0.3
		if c.metric == "r2" {
			most = 0.6 // it is no share: these predictions are worse than the mean of the labels
		}
		var j Join
		j.Add(read(t, c.labels, c.l), true, at(2))
		j.Add(read(t, c.of, c.p), false, at(1))
		m := j.Measure(Question{Metric: c.metric, Average: c.average, Now: at(3), Window: 7 * 24 * time.Hour, LabelsWithin: 3 * 24 * time.Hour})
		switch {
		case m.Value == nil || m.Low == nil || m.High == nil:
			t.Errorf("%s: nothing: %+v", c.metric, m)
		case math.Abs(*m.Value-c.want) > 1e-9 || m.N != n || *m.Coverage != 1:
			t.Errorf("%s: %v of %d, want %v of %d", c.metric, *m.Value, m.N, c.want, n)
		case *m.Low >= *m.Value || *m.High <= *m.Value || *m.High-*m.Low > most:
			t.Errorf("%s: %v is in %v to %v", c.metric, *m.Value, *m.Low, *m.High)
		case m.Average != c.average2 || m.Positive != c.positiv:
			t.Errorf("%s: average %q of class %q, want %q of %q", c.metric, m.Average, m.Positive, c.average2, c.positiv)
		}
	}
}

// TestNoValue says why there is none.
func TestNoValue(t *testing.T) {
	many := func(header, row string, n int) string {
		var b strings.Builder
		b.WriteString(header + "\n")
		for i := range n {
			fmt.Fprintf(&b, "%d,%s\n", i, row)
		}
		return b.String()
	}
	score, number := Form{Key: "id", Score: "score"}, Form{Key: "id", Value: "v", Numbers: true}
	group := Form{Key: "id", Score: "score", Group: "g"}
	for _, c := range []struct {
		q      Question
		form   Form
		p, l   string
		reason string
	}{
		{Question{Metric: "accuracy"}, classes, many("id,predicted", "a", 40), many("id,class", "a", 12), "12 of 40 predictions in the window have their label: want 30"},
		{Question{Metric: "accuracy", MinRows: 50}, classes, many("id,predicted", "a", 40), many("id,class", "a", 40), "40 of 40 predictions in the window have their label: want 50"},
		{Question{Metric: "accuracy", Since: at(2)}, classes, many("id,predicted", "a", 40), many("id,class", "a", 40), "no prediction in the window is the champion's: 40 are of other models"},
		{Question{Metric: "auc"}, score, many("id,score", "0.4", 40), many("id,class", "1", 40), "the labels are all of one class"},
		{Question{Metric: "auc"}, score, many("id,score", "0.4", 40), many("id,class", "a", 40), "no label is 1, true or yes: say which class is positive"},
		{Question{Metric: "auc", Positive: "b"}, score, many("id,score", "0.4", 40), many("id,class", "a", 40), "no label is b, the positive class"},
		{Question{Metric: "averagePrecision", Positive: "a"}, score, many("id,score", "0.4", 40), many("id,class", "b", 40), "no label is a, the positive class"},
		{Question{Metric: "precision", Positive: "a"}, classes, many("id,predicted", "b", 40), many("id,class", "a", 40), "nothing was predicted to be a: there is no precision"},
		{Question{Metric: "r2"}, number, many("id,v", "3", 40), many("id,class", "1", 40), "the labels are all equal"},
		{Question{Metric: "mape"}, number, many("id,v", "3", 40), many("id,class", "0", 40), "a label is 0, and mape is a share of it: measure mae"},
		{Question{Metric: "ndcg"}, group, many("id,g,score", "a,3", 40), many("id,class", "0", 40), "no group has a row that is relevant: one whose label is above 0"},
		{Question{Metric: "ndcg"}, group, many("id,g,score", "a,3", 40), many("id,class", "-1", 40), "a label is below 0, and no relevance"},
		{Question{Metric: "logLoss"}, score, many("id,score", "1.4", 40), many("id,class", "1", 40), "a score is no probability: want 0 to 1"},
	} {
		var j Join
		j.Add(read(t, c.form, c.p), false, at(1))
		of := labels
		if c.form.Numbers || c.form.Group != "" {
			of.Numbers = true
		}
		j.Add(read(t, of, c.l), true, at(1))
		c.q.Now, c.q.Window, c.q.LabelsWithin = at(3), 7*24*time.Hour, 3*24*time.Hour
		if m := j.Measure(c.q); m.Value != nil || m.Problem != c.reason {
			t.Errorf("%s: value %v, problem %q, want %q", c.q.Metric, m.Value, m.Problem, c.reason)
		}
	}
}

// TestGroups ranks lists: one in order, one with the relevant row last, and one
// in which nothing is relevant.
func TestGroups(t *testing.T) {
	var j Join
	j.Add(read(t, Form{Key: "id", Score: "s", Group: "q"}, "id,q,s\n1,a,9\n2,a,8\n3,b,9\n4,b,8\n5,c,1\n6,,1\n"), false, at(1))
	j.Add(read(t, Form{Labels: true, Key: "id", Value: "y", Numbers: true}, "id,y\n1,1\n2,0\n3,0\n4,1\n5,0\n"), true, at(2))
	for _, c := range []struct {
		metric string
		k      int
		want   float64
		groups int64
	}{{"ndcg", 10, (1 + 1/math.Log2(3)) / 2, 2}, {"ndcg", 1, 0.5, 2}, {"precisionAtK", 1, 1.0 / 3, 3}, {"precisionAtK", 2, 1.0 / 3, 3}} {
		m := j.Measure(Question{Metric: c.metric, K: c.k, Now: at(3), Window: 7 * 24 * time.Hour, LabelsWithin: 24 * time.Hour, MinRows: 1})
		if m.Value == nil || math.Abs(*m.Value-c.want) > 1e-12 || m.Groups != c.groups || m.N != 5 {
			t.Errorf("%s at %d: %+v, want %v of %d groups", c.metric, c.k, m, c.want, c.groups)
		}
	}
}

// TestClasses says of each class how well it was told from the rest.
func TestClasses(t *testing.T) {
	j := join(t, []drop{{"p", 5, "1,a 2,a 3,b 4,c"}, {"l", 6, "1,a 2,b 3,b 4,b"}})
	m := j.Measure(Question{Metric: "accuracy", Now: at(7), Window: 7 * 24 * time.Hour, LabelsWithin: 24 * time.Hour, MinRows: 1})
	want := []Class{{"b", 3, 1, 1.0 / 3, 0.5}, {"a", 1, 0.5, 1, 2.0 / 3}, {"c", 0, 0, 0, 0}}
	if diff := cmp.Diff(want, m.Classes); diff != "" {
		t.Error(diff)
	}
}

// TestEstimate has scores that say too much: half of what is above a half is
// right. The curve finds out, and so the estimate is near what labels tell later,
// within its band, wherever the mix of scores has gone.
func TestEstimate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var j Join
	form := Form{Key: "id", Value: "predicted", Score: "score"}
	days := func(from, n int, day, shift float64) string {
		var p, l strings.Builder
		p.WriteString("id,predicted,score\n")
		l.WriteString("id,class\n")
		for i := from; i < from+n; i++ {
			s := min(1, r.Float64()*0.8+shift)
			y := r.Float64() < 0.2+0.4*s
			fmt.Fprintf(&p, "%d,%t,%v\n", i, s >= 0.5, s)
			fmt.Fprintf(&l, "%d,%t\n", i, y)
		}
		j.Add(read(t, form, p.String()), false, at(day))
		return l.String()
	}
	j.Add(read(t, labels, days(0, 4000, 1, 0)), true, at(2))
	later := days(4000, 2000, 9, 0.2)
	q := Question{Now: at(10), Window: 3 * 24 * time.Hour, LabelsWithin: 10 * 24 * time.Hour}
	estimated := map[string]Measurement{}
	for _, metric := range Estimates() {
		q.Metric = metric
		estimated[metric] = j.Estimate(q, 30*24*time.Hour)
	}
	if m := j.Estimate(q, 24*time.Hour); m.Value != nil || m.Problem != "0 predictions with a label to calibrate on: want 30" {
		t.Errorf("without a reference: %+v", m)
	}
	j.Add(read(t, labels, later), true, at(11))
	for metric, e := range estimated {
		q.Metric, q.Average = metric, "binary"
		m := j.Measure(q)
		if e.Value == nil || m.Value == nil || e.N != 2000 || m.N != 2000 || e.Estimate != CBPE || e.Reference.N != 4000 {
			t.Errorf("%s: estimated %+v, measured %+v", metric, e, m)
			continue
		}
		if *m.Value < *e.Low || *m.Value > *e.High || *e.High-*e.Low > 0.25 || math.Abs(*e.Value-*m.Value) > 0.05 {
			t.Errorf("%s: estimated %v in %v to %v, measured %v", metric, *e.Value, *e.Low, *e.High, *m.Value)
		}
	}
	if m := j.Estimate(q, 30*24*time.Hour); m.Value != nil || m.Problem != "0 predictions in the window without a label: want 30" {
		t.Errorf("with all labels there: %+v", m)
	}
}

// TestFollow tells each outcome once, whichever comes first, in the order of the
// predictions; labels that are told again tell nothing new.
func TestFollow(t *testing.T) {
	form := Form{Key: "id", Value: "predicted", Time: "at", Version: "m"}
	var j Join
	var got []string
	follow := func(b *Batch, labels bool, day float64) {
		for _, o := range j.Follow(b, labels, at(day)) {
			got = append(got, fmt.Sprintf("%s %s %v", time.UnixMilli(o.At).UTC().Format("02T15"), o.Version, o.Error))
		}
		got = append(got, "|")
	}
	follow(read(t, form, "id,predicted,at,m\n1,a,2026-03-01T05:00:00Z,1\n2,a,2026-03-01T04:00:00Z,1\n"), false, 1)
	follow(read(t, labels, "id,class\n1,a\n2,b\n3,a\n"), true, 2)
	follow(read(t, form, "id,predicted,at,m\n3,b,2026-03-03T01:00:00Z,2\n1,b,2026-03-03T02:00:00Z,2\n"), false, 3)
	follow(read(t, labels, "id,class\n1,a\n2,b\n3,a\n"), true, 4)
	want := []string{"|", "01T04 1 1", "01T05 1 0", "|", "03T01 2 1", "|", "|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var numbers Join
	numbers.Add(read(t, Form{Key: "id", Value: "v", Numbers: true}, "id,v\n1,2\n"), false, at(1))
	if o := numbers.Follow(read(t, Form{Labels: true, Key: "id", Value: "v", Numbers: true}, "id,v\n1,5\n"), true, at(2)); len(o) != 1 || o[0].Error != 3 {
		t.Errorf("of numbers: %+v", o)
	}
}

// TestTimesAndVersions reads when a prediction was made, and by which model.
func TestTimesAndVersions(t *testing.T) {
	form := Form{Key: "id", Value: "predicted", Time: "at", Version: "model"}
	b := read(t, form, `id,predicted,at,model
1,a,2026-03-02T00:00:00Z,m@1
2,a,2026-03-02 00:00:00,m@2
3,a,1772409600,m@2
4,a,1772409600000,m@2
5,a,2026-03-02T01:00:00+01:00,2
6,a,2026-02-01,m@2
7,a,soon,m@2
8,a,,m@2
9,a,2027-01-01,m@2
`)
	if b.Untimed != 2 {
		t.Errorf("%d without a time, want 2", b.Untimed)
	}
	var j Join
	j.Add(b, false, at(3))
	ask := func(now float64, versions ...string) Measurement {
		return j.Measure(Question{Metric: "accuracy", Now: at(now), Window: 24 * time.Hour, LabelsWithin: time.Hour, Versions: versions})
	}
	// On day 1 five were made; on day 3, when they came, the two without a time
	// and the one that claims to be of next year.
	for _, c := range []struct {
		now      float64
		versions []string
		n, rest  int64
	}{{1, nil, 5, 0}, {3, nil, 3, 0}, {1, []string{"m@2", "2"}, 4, 1}, {1, []string{"m@9"}, 0, 5}} {
		if m := ask(c.now, c.versions...); m.Predictions != c.n || m.Others != c.rest {
			t.Errorf("day %v, versions %v: %d and %d others, want %d and %d", c.now, c.versions, m.Predictions, m.Others, c.n, c.rest)
		}
	}
}

// TestUnreadable: what no metric can be measured on is refused by name.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		form       Form
		data, want string
	}{
		{labels, "id,klass\n1,a\n", `x.csv has no column "class" (have id, klass)`},
		{labels, "", "x.csv is empty: want a header line"},
		{labels, "id,class\n1\n2\n", "x.csv has no row that can be used: none of 2 has as many fields as the header"},
		{labels, "id,class\n1,\n,a\n", `x.csv has no row that can be used: want a key in column "id" and a class in "class"`},
		{Form{Key: "id", Value: "v", Numbers: true}, "id,v\n1,a\n2,b\n", `x.csv has no row that can be used: want a key in column "id" and a number in "v"`},
		{Form{Key: "id", Score: "s"}, "id,s\n1,\n", `x.csv has no row that can be used: want a key in column "id" and a probability in "s"`},
		{labels, "id,class\n\x00", "x.csv is not text: it holds a NUL byte at offset 9"},
	} {
		_, err := Read(t.Context(), strings.NewReader(c.data), "x.csv", c.form, dataset.Options{})
		var e *dataset.Error
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.data, err, c.want)
		}
	}
	var many strings.Builder
	many.WriteString("id,class\n")
	for i := range MostClasses + 1 {
		fmt.Fprintf(&many, "%d,c%d\n", i, i)
	}
	if _, err := Read(t.Context(), strings.NewReader(many.String()), "x.csv", labels, dataset.Options{}); err == nil || !strings.Contains(err.Error(), "more than 10000 classes") {
		t.Errorf("of too many classes: %v", err)
	}
	if b := read(t, labels, "id,class\n"); b.Rows != 0 || b.Kept() != 0 {
		t.Errorf("of a header alone: %+v", b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, strings.NewReader("id,class\n"), "x.csv", labels, dataset.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that has ended: %v", err)
	}
}

// TestSample: beyond what is kept there is a sample of the keys, the same on
// both sides, whichever object was large.
func TestSample(t *testing.T) {
	var p strings.Builder
	p.WriteString("id,predicted\n")
	const n = 300_000
	for i := range n {
		fmt.Fprintf(&p, "%d,%d\n", i, i%2)
	}
	b := read(t, classes, p.String())
	if b.Rows != n || b.Kept() > MostRows || b.Kept() < MostRows/4 || b.Level != 2 {
		t.Errorf("%d of %d rows kept, level %d", b.Kept(), b.Rows, b.Level)
	}
	var j Join
	j.Add(b, false, at(1))
	for part := range 10 { // nine of ten are right
		var l strings.Builder
		l.WriteString("id,class\n")
		for i := part * n / 10; i < (part+1)*n/10; i++ {
			y := i % 2
			if i/2%10 == 0 {
				y = 1 - y
			}
			fmt.Fprintf(&l, "%d,%d\n", i, y)
		}
		j.Add(read(t, labels, l.String()), true, at(2))
	}
	m := j.Measure(Question{Metric: "accuracy", Now: at(3), Window: 7 * 24 * time.Hour, LabelsWithin: 3 * 24 * time.Hour})
	if m.Sampled != 4 || m.N < n/4*95/100 || m.N > n/4*105/100 || *m.Coverage != 1 {
		t.Errorf("one in %d, %d pairs, coverage %v; want one in 4 of %d, all labelled", m.Sampled, m.N, *m.Coverage, n)
	}
	if math.Abs(*m.Value-0.9) > 0.005 || *m.Low > 0.9 || *m.High < 0.9 {
		t.Errorf("accuracy %v in %v to %v, want 0.9", *m.Value, *m.Low, *m.High)
	}
}

// TestRealPredictions joins the recorded predictions of a model on the
// electricity market with their labels, in pieces that come late and in any
// order, and measures what was recorded of them.
func TestRealPredictions(t *testing.T) {
	shared := os.Getenv("ANNEAL_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	data, err := os.ReadFile(shared + "/drift/datasets/elec2/predictions/batch_01.csv")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	header := strings.Split(lines[0], ",")
	y, gbm := -1, -1
	for i, h := range header {
		switch h {
		case "y":
			y = i
		case "gbm":
			gbm = i
		}
	}
	if y < 0 || gbm < 0 {
		t.Fatalf("columns %v, want y and gbm", header)
	}
	var p, l [4]strings.Builder
	for i := range p {
		p[i].WriteString("id,score\n")
		l[i].WriteString("id,class\n")
	}
	for i, line := range lines[1:] {
		f := strings.Split(line, ",")
		fmt.Fprintf(&p[i%4], "%d,%s\n", i, f[gbm])
		fmt.Fprintf(&l[i*7%4], "%d,%s\n", i, f[y])
	}
	var j Join
	score := Form{Key: "id", Score: "score"}
	for _, i := range []int{2, 0} {
		j.Add(read(t, labels, l[i].String()), true, at(1))
	}
	for i := range p {
		j.Add(read(t, score, p[i].String()), false, at(1))
	}
	for _, i := range []int{3, 1} {
		j.Add(read(t, labels, l[i].String()), true, at(2))
	}
	for metric, want := range map[string]float64{"auc": 0.9080235155, "logLoss": 0.3759406787} {
		m := j.Measure(Question{Metric: metric, Now: at(3), Window: 7 * 24 * time.Hour, LabelsWithin: 3 * 24 * time.Hour})
		if m.Value == nil || math.Abs(*m.Value-want) > 1e-9 || m.N != 1440 {
			t.Errorf("%s: %+v, want %v of 1440", metric, m, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Read(context.Background(), strings.NewReader("id,predicted,score,at,m\n1,a,0.5,2026-01-01,1\n2,b,0.7,,2\n"), "x.csv",
		Form{Key: "id", Value: "predicted", Score: "score", Time: "at", Version: "m"}, dataset.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Decode(data)
		if err != nil {
			return
		}
		var j Join
		j.Add(b, false, day0)
		j.Add(b, true, day0)
		j.Measure(Question{Metric: "accuracy", Now: day0, Window: time.Hour, LabelsWithin: time.Hour, MinRows: 1})
		if again, err := Decode(b.Encode()); err != nil || len(again.keys) != len(b.keys) {
			t.Fatalf("encoded again it is another: %v", err)
		}
	})
}
