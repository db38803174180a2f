package profile

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// columnOf is the profile of a column of numbers.
func columnOf(n int, draw func(r *rand.Rand) float64) *Profile {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	c := Column{Name: "x", Type: dataset.Empty, Objects: 1, counting: true}
	part := make([]float64, 0, 1000)
	for i := range n {
		if part = append(part, draw(r)); len(part) == cap(part) || i == n-1 {
			c.add(&dataset.Values{Type: dataset.Numeric, Numbers: part}, len(part))
			part = part[:0]
		}
	}
	c.Quantiles.Trim()
	return &Profile{Objects: 1, Columns: []Column{c}}
}

// A column of numbers is at most 50 KB, however many there are and however little
// their digits can be packed, and at most 2 KB where they are few.
func TestSize(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"normal":        func(r *rand.Rand) float64 { return r.NormFloat64() },
		"skewed":        func(r *rand.Rand) float64 { return math.Exp(9 * r.NormFloat64()) },
		"any bits":      func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64() &^ (1 << 62)) },
		"two decimals":  func(r *rand.Rand) float64 { return math.Round(1e7*r.Float64()) / 100 },
		"integers":      func(r *rand.Rand) float64 { return float64(r.IntN(1e9)) },
		"4,096 of them": func(r *rand.Rand) float64 { return math.Sqrt(float64(r.IntN(4096))) },
	} {
		merged := &Profile{}
		for _, c := range []struct{ n, most int }{{1, 2000}, {30, 2000}, {100, 2000}, {4096, 50_000}, {5000, 50_000}, {20_000, 50_000}, {300_000, 50_000}, {1_000_000, 50_000}} {
			if testing.Short() && c.n > 300_000 {
				continue
			}
			p := columnOf(c.n, draw)
			if got := len(p.Encode()); got > c.most {
				t.Errorf("%s, %d values: %d bytes, want at most %d", name, c.n, got, c.most)
			}
			if merged = Merge(merged, p); len(merged.Encode()) > 50_000 {
				t.Errorf("%s, %d values and all fewer ones, merged: %d bytes, want at most 50,000", name, c.n, len(merged.Encode()))
			}
		}
	}
}
