package sketch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Sorting by bits is sorting, whatever the numbers.
func TestSortValues(t *testing.T) {
	hard := []struct {
		name string
		draw func(r *rand.Rand) float64
	}{
		{"any bits", func(r *rand.Rand) float64 {
			for {
				if v := math.Float64frombits(r.Uint64()); v == v {
					return v
				}
			}
		}},
		{"far and near", func(r *rand.Rand) float64 { return math.Copysign(1e300, r.Float64()-0.01) + r.Float64() }},
		{"one far", func(r *rand.Rand) float64 { return r.Float64() + 1e9*math.Floor(1.005*r.Float64()) }},
		{"near a million", func(r *rand.Rand) float64 { return 1e6 + r.NormFloat64() }},
		{"signed zeros", func(r *rand.Rand) float64 { return math.Copysign(0, r.Float64()-0.5) }},
	}
	for _, law := range append(hard, laws...) {
		for _, n := range []int{0, 1, 63, 64, 100, buffer, buffer + 1} {
			values := sample(uint64(n), n, law.draw)
			want := slices.Clone(values)
			slices.Sort(want)
			sortValues(values)
			if !slices.Equal(values, want) {
				t.Errorf("%s: %d values are not in order", law.name, n)
			}
		}
	}
}
