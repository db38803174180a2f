package statistics

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// An MMD is the maximum mean discrepancy of two tables of rows, with the kernel
// exp(-|a-b|²/2σ²) (Gretton et al., J. Mach. Learn. Res. 13, 2012; computed as
// alibi-detect 0.12 does). Memory and time grow with the square of the rows.
type MMD struct {
	Squared float64   // unbiased, so that it may be below 0
	Sigma   float64   // of the kernel
	kernel  []float64 // of each row with each, symmetric
	n, m    int
	order   []int
}

// MedianSigma is the kernel's σ by the median heuristic: the root of half the
// middle one of all squared distances that are not of a row from itself.
func MedianSigma(x, y [][]float64) float64 {
	rows := slices.Concat(x, y)
	n := len(rows)
	distances := make([]float64, 0, n*n)
	for _, a := range rows {
		for _, b := range rows {
			distances = append(distances, squaredDistance(a, b))
		}
	}
	slices.Sort(distances)
	return math.Sqrt(distances[n+(n*n-n)/2-1] / 2)
}

// NewMMD measures rows x, the reference, against rows y: at least two each, all
// of one length. Sigma is above 0.
func NewMMD(x, y [][]float64, sigma float64) *MMD {
	rows := slices.Concat(x, y)
	all := len(rows)
	t := &MMD{Sigma: sigma, kernel: make([]float64, all*all), n: len(x), m: len(y), order: make([]int, all)}
	for i, a := range rows {
		t.order[i] = i
		for j, b := range rows {
			t.kernel[i*all+j] = math.Exp(-squaredDistance(a, b) / (2 * sigma * sigma))
		}
	}
	t.Squared = t.statistic()
	return t
}

// statistic takes the first n rows of the order for x and the rest for y.
func (t *MMD) statistic() float64 {
	var xx, yy, xy float64
	for at, i := range t.order {
		row := t.kernel[i*len(t.order):]
		for _, j := range t.order[:min(at, t.n)] {
			if at < t.n {
				xx += row[j]
			} else {
				xy += row[j]
			}
		}
		for _, j := range t.order[min(at, t.n):at] {
			yy += row[j]
		}
	}
	n, m := float64(t.n), float64(t.m)
	return 2*xx/(n*(n-1)) + 2*yy/(m*(m-1)) - 2*xy/(n*m)
}

// PValue is the share of that many shuffles of all rows that come to more. Those
// that come to the same, but for rounding, count half: in the reference it is
// rounding that decides of them. The seed makes the shuffles.
func (t *MMD) PValue(shuffles int, seed uint64) float64 {
	random := rand.New(rand.NewPCG(seed, 0))
	const rounding = 1e-12
	reached := 0.0
	for range shuffles {
		random.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
		switch more := t.statistic() - t.Squared; {
		case more > rounding:
			reached++
		case more >= -rounding:
			reached += 0.5
		}
	}
	slices.Sort(t.order)
	return reached / float64(shuffles)
}

func squaredDistance(a, b []float64) float64 {
	d := floats.Distance(a, b, 2)
	return d * d
}
