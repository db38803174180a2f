package outcome

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestEstimateLoss: predictions are the further off the hotter it is. Without labels
// the loss of a hot window is expected to be what labels tell later, where it goes by
// the heat, and to be what it was where it does not; some have no heat.
func TestEstimateLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	form := Form{Key: "id", Value: "predicted", Numbers: true, Features: []string{"heat", "noise"}}
	truths := Form{Labels: true, Key: "id", Value: "y", Numbers: true}
	rows := func(from, n int, heat float64) (predictions, labels string) {
		var p, l strings.Builder
		p.WriteString("id,noise,predicted,heat\n")
		l.WriteString("id,y\n")
		for i := from; i < from+n; i++ {
			h, y := heat*r.Float64(), 50+10*r.NormFloat64()
			text := fmt.Sprint(h)
			if i%50 == 0 {
				text = ""
			}
			fmt.Fprintf(&p, "%d,%v,%v,%s\n", i, r.Float64(), y+(1+4*h)*r.NormFloat64(), text)
			fmt.Fprintf(&l, "%d,%v\n", i, y)
		}
		return p.String(), l.String()
	}
	var with, without Join
	alone := form
	alone.Features = nil
	p, l := rows(0, 6000, 1)
	with.Add(read(t, form, p), false, at(1))
	with.Add(read(t, truths, l), true, at(2))
	without.Add(read(t, alone, p), false, at(1))
	without.Add(read(t, truths, l), true, at(2))
	p, later := rows(6000, 2000, 0.3)
	with.Add(read(t, form, p), false, at(9))
	without.Add(read(t, alone, p), false, at(9))
	q := Question{Way: DLE, Now: at(10), Window: 3 * 24 * time.Hour, LabelsWithin: 10 * 24 * time.Hour}
	estimated, blind := map[string]Measurement{}, map[string]Measurement{}
	for _, metric := range LossEstimates() {
		q.Metric = metric
		estimated[metric] = with.Estimate(q, 30*24*time.Hour)
		blind[metric] = without.Estimate(q, 30*24*time.Hour)
	}
	with.Add(read(t, truths, later), true, at(11))
	for metric, e := range estimated {
		q.Metric = metric
		m := with.Measure(q)
		if e.Value == nil || m.Value == nil || e.N != 2000 || m.N != 2000 || e.Estimate != DLE || e.Reference.N != 6000 {
			t.Errorf("%s: estimated %+v, measured %+v", metric, e, m)
			continue
		}
		if *m.Value < *e.Low || *m.Value > *e.High || math.Abs(*e.Value / *m.Value - 1) > 0.1 {
			t.Errorf("%s: estimated %v in %v to %v, measured %v", metric, *e.Value, *e.Low, *e.High, *m.Value)
		}
		if b := blind[metric]; math.Abs(*b.Value/b.Reference.Value-1) > 0.1 || *b.Value < 1.4**m.Value {
			t.Errorf("%s: without features estimated %v, was %v, is %v", metric, *b.Value, b.Reference.Value, *m.Value)
		}
	}
}
