package outcome

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// blooms are scores of three classes that say too much: what is told apart is that
// only half of the time.
func blooms(r *rand.Rand, from, n int, mix [3]float64) (predictions, labels string) {
	names := [3]string{"a", "b", "c"}
	var p, l strings.Builder
	p.WriteString("id,predicted,pc,pa,pb\n")
	l.WriteString("id,class\n")
	for i := from; i < from+n; i++ {
		var s [3]float64
		sum, best := 0.0, 0
		for c := range s {
			s[c] = r.ExpFloat64() * mix[c]
			sum += s[c]
			if s[c] > s[best] {
				best = c
			}
		}
		label := r.IntN(3)
		if r.Float64() < 0.5 {
			u := r.Float64() * sum
			for label = 0; label < 2 && u >= s[label]; label++ {
				u -= s[label]
			}
		}
		fmt.Fprintf(&p, "%d,%s,%v,%v,%v\n", i, names[best], s[2]/sum, s[0]/sum, s[1]/sum)
		fmt.Fprintf(&l, "%d,%s\n", i, names[label])
	}
	return p.String(), l.String()
}

var ofThree = Form{Key: "id", Value: "predicted", Scores: Scores{"a": "pa", "b": "pb", "c": "pc"}}

// TestEstimateClasses: without labels a metric of several classes is what labels
// tell later, within its band, also where the mix of classes has gone another way.
func TestEstimateClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var j Join
	p, l := blooms(r, 0, 6000, [3]float64{1, 1, 1})
	j.Add(read(t, ofThree, p), false, at(1))
	j.Add(read(t, labels, l), true, at(2))
	p, later := blooms(r, 6000, 3000, [3]float64{3, 1, 1})
	j.Add(read(t, ofThree, p), false, at(9))
	q := Question{Now: at(10), Window: 3 * 24 * time.Hour, LabelsWithin: 10 * 24 * time.Hour, Scores: ofThree.Scores}
	estimated := map[string]Measurement{}
	for _, metric := range ClassEstimates() {
		q.Metric = metric
		estimated[metric] = j.Estimate(q, 30*24*time.Hour)
	}
	j.Add(read(t, labels, later), true, at(11))
	for metric, e := range estimated {
		q.Metric = metric
		m := j.Measure(q)
		if e.Value == nil || m.Value == nil || e.N != 3000 || m.N != 3000 || e.Estimate != CBPE || e.Reference.N != 6000 {
			t.Errorf("%s: estimated %+v, measured %+v", metric, e, m)
			continue
		}
		if *m.Value < *e.Low || *m.Value > *e.High || *e.High-*e.Low > 0.2 || math.Abs(*e.Value-*m.Value) > 0.03 {
			t.Errorf("%s: estimated %v in %v to %v, measured %v", metric, *e.Value, *e.Low, *e.High, *m.Value)
		}
		if metric == "f1" && (e.Average != "macro" || m.Average != "macro") {
			t.Errorf("f1 is %s, and %s measured; want macro", e.Average, m.Average)
		}
	}
}

// TestScores: the loss of the scores of several classes is that of their shares,
// and what has no score is named.
func TestScores(t *testing.T) {
	form := Form{Key: "id", Scores: Scores{"a": "pa", "b": "pb"}}
	q := Question{Metric: "logLoss", Now: at(10), Window: 7 * 24 * time.Hour, LabelsWithin: 7 * 24 * time.Hour, MinRows: 1, Scores: form.Scores}
	for _, c := range []struct{ predictions, labels, want string }{
		{"1,0.5,0.5 2,0.2,0.6", "1,a 2,b", "0.490414626506"},
		{"1,0.5,0.5 2,0.2,0.6", "1,a 2,x", `a label is "x", of which there is no score (have a, b)`},
		{"1,-1,0.5", "1,a", "a score is below 0, and no probability"},
		{"1,0,0", "1,a", "all scores of a row are 0: want probabilities"},
		{"1,1,0 2,NaN,0.5 3,,1", "1,a 2,a 3,a", "0.000000000000"},
	} {
		var j Join
		j.Add(read(t, form, "id,pa,pb\n"+strings.ReplaceAll(c.predictions, " ", "\n")), false, at(8))
		j.Add(read(t, labels, "id,class\n"+strings.ReplaceAll(c.labels, " ", "\n")), true, at(9))
		m := j.Measure(q)
		got := m.Problem
		if m.Value != nil {
			got = fmt.Sprintf("%.12f", *m.Value)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.predictions, got, c.want)
		}
	}
	_, err := Read(t.Context(), strings.NewReader("id,pa\n1,0.5\n"), "x.csv", form, dataset.Options{})
	if err == nil || err.Error() != `x.csv has no column "pb" (have id, pa)` {
		t.Errorf("without the column of a class: %v", err)
	}
}

// TestScoresAreBounded: of many classes fewer rows are kept, the same of
// predictions and labels.
func TestScoresAreBounded(t *testing.T) {
	form, header, row := Form{Key: "id", Scores: Scores{}}, "id", ""
	for c := range 100 {
		form.Scores[fmt.Sprintf("c%d", c)] = fmt.Sprintf("p%d", c)
		header += fmt.Sprintf(",p%d", c)
		row += ",0.01"
	}
	var p, l strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&p, "%d%s\n", i, row)
		fmt.Fprintf(&l, "%d,c%d\n", i, i%100)
	}
	var j Join
	b := read(t, form, header+"\n"+p.String())
	if b.Level == 0 || len(b.many) > mostScores || len(b.many) != 100*len(b.keys) {
		t.Errorf("%d scores of %d rows at level %d", len(b.many), len(b.keys), b.Level)
	}
	j.Add(b, false, at(8))
	j.Add(read(t, labels, "id,class\n"+l.String()), true, at(9))
	m := j.Measure(Question{Metric: "auc", Now: at(10), Window: 7 * 24 * time.Hour, LabelsWithin: 7 * 24 * time.Hour, Scores: form.Scores})
	if m.Value == nil || *m.Value != 0.5 || m.Sampled != 1<<b.Level || m.N != int64(len(b.keys)) {
		t.Errorf("measured %+v", m)
	}
}
