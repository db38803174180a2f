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
		{"nearly nothing", func(r *rand.Rand) float64 { return math.SmallestNonzeroFloat64 * float64(r.IntN(5)) }},
		{"the largest", func(r *rand.Rand) float64 { return math.Copysign(math.MaxFloat64, r.Float64()-0.5) * r.Float64() }},
		{"all the same", func(r *rand.Rand) float64 { return -7 }},
		{"infinite", func(r *rand.Rand) float64 { return math.Inf(r.IntN(3) - 1) }},
		{"signed zeros", func(r *rand.Rand) float64 { return math.Copysign(0, r.Float64()-0.5) }},
	}
	for _, law := range append(hard, laws...) {
		for _, n := range []int{0, 1, 63, 64, 100, buffer, buffer + 1, 5000, math.MaxUint16, math.MaxUint16 + 1} {
			values := sample(uint64(n), n, law.draw)
			want := slices.Clone(values)
			slices.Sort(want)
			sortValues(values)
			if !slices.Equal(values, want) {
				t.Errorf("%s: %d values are not in order", law.name, n)
			}
			for _, step := range []int{1, 2, 16, buffer} {
				if n != buffer {
					continue
				}
				rand.New(rand.NewPCG(1, uint64(step))).Shuffle(n, func(i, j int) { values[i], values[j] = values[j], values[i] })
				first := step / 3
				got := everyOf((*[buffer]float64)(values), first, step)
				if len(got) != n/step {
					t.Fatalf("%s: %d values are every %d-th of %d", law.name, len(got), step, n)
				}
				for i, v := range got {
					if v != want[first+i*step] {
						t.Errorf("%s: value %d of every %d-th is %v, want %v", law.name, i, step, v, want[first+i*step])
						break
					}
				}
				copy(values, want)
			}
		}
	}
}
