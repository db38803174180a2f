package main

import "testing"

func TestGrowthFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0:         mostGrowth,
		8 << 20:   mostGrowth,
		20 << 20:  300,
		40 << 20:  150,
		64 << 20:  100,
		500 << 20: 100,
	} {
		if got := growthFor(live); got != want {
			t.Errorf("%d MiB in use: the heap grows by %d %%, want %d", live>>20, got, want)
		}
	}
}

func TestSmallGrowthFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0:         50,
		32 << 20:  50,
		40 << 20:  40,
		64 << 20:  25,
		500 << 20: 20,
	} {
		if got := smallGrowthFor(live); got != want {
			t.Errorf("%d MiB in use: the heap grows by %d %%, want %d", live>>20, got, want)
		}
	}
}
