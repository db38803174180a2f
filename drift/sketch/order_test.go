package sketch

import (
	"math"
	"math/rand/v2"
	"testing"
)

// orders are those in which the numbers from 0 to n-1 may come, each once: the i-th
// of n. They are hard on a sketch that hopes for a shuffled stream.
var orders = []struct {
	name string
	at   func(i, n int) int
}{
	{"rising", func(i, n int) int { return i }},
	{"falling", func(i, n int) int { return n - 1 - i }},
	{"zooming in", func(i, n int) int {
		if i%2 == 0 {
			return i / 2
		}
		return n - 1 - i/2
	}},
	{"zooming out", func(i, n int) int {
		i = n - 1 - i
		if i%2 == 0 {
			return i / 2
		}
		return n - 1 - i/2
	}},
	{"one of each run", func(i, n int) int { return i%1000*(n/1000) + i/1000 }},
	{"run by run", func(i, n int) int { return i/1000*1000 + 999 - i%1000 }},
	{"leaping", func(i, n int) int { return int(uint64(i) * 618_033_989 % uint64(n)) }},
}

// worstOfAll is the largest error of any share that the sketch gives of the numbers
// from 0 to n-1.
func worstOfAll(q *Quantiles, n int) float64 {
	worst, below := 0.0, int64(0)
	for _, p := range q.Points() {
		worst = max(worst, math.Abs(p.Value-float64(below)))
		below += p.Weight
		worst = max(worst, math.Abs(p.Value+1-float64(below)))
	}
	return worst / float64(n)
}

// The stated error is true of 10 million values, whatever their order, and of the
// merges of what came in pieces, whatever the order of these.
func TestQuantilesErrorOfOrders(t *testing.T) {
	n := 10_000_000
	if testing.Short() {
		n = 1_000_000
	}
	for _, order := range orders {
		var whole, piece Quantiles
		var pieces []*Quantiles
		part := make([]float64, 0, 1000)
		for i := range n {
			if part = append(part, float64(order.at(i, n))); len(part) < cap(part) {
				continue
			}
			piece.Add(part...)
			whole.Add(part...) // which may use the memory
			part = part[:0]
			if (i+1)%(n/20) == 0 {
				next := piece
				piece = Quantiles{}
				pieces = append(pieces, &next)
			}
		}
		check := func(what string, q *Quantiles, most float64) {
			if worst := worstOfAll(q, n); q.N() != int64(n) || worst > q.Error() || q.Error() > most {
				t.Errorf("%s, %s: %d values, a share is off by %.5f, stated %.5f, want at most %.5f", order.name, what, q.N(), worst, q.Error(), most)
			}
		}
		whole.Trim()
		check("at once", &whole, 0.0035)
		for seed := range uint64(3) {
			rand.New(rand.NewPCG(seed, 3)).Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			var row Quantiles
			tree := make([]*Quantiles, len(pieces))
			for i, p := range pieces {
				row.Merge(p)
				tree[i] = &Quantiles{}
				tree[i].Merge(p)
			}
			check("merged one by one", &row, 0.005)
			for len(tree) > 1 {
				for i := range len(tree) / 2 {
					tree[i].Merge(tree[len(tree)-1-i])
				}
				tree = tree[:(len(tree)+1)/2]
			}
			check("merged two by two", tree[0], 0.005)
		}
	}
}
