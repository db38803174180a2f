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

// Memory is given back once nothing has gone on for a while, once, and where there may
// be something.
func TestRest(t *testing.T) {
	const MiB = 1 << 20
	var r rest
	allocated := uint64(0)
	for i, step := range []struct {
		more uint64 // allocated since the last look
		live uint64
		want bool
	}{
		{more: 100 * MiB},
		{}, {}, {}, {want: true},
		{}, {}, {}, {}, // once
		{more: still}, {more: still}, {more: still}, {more: still}, // who asks how it is
		{more: 20 * MiB}, {}, {}, {more: 2 * MiB}, // it was no rest
		{}, {}, {}, {want: true},
		{more: 20 * MiB, live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB}, // too little of so much
		{more: 40 * MiB, live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB}, {live: 200 * MiB, want: true},
	} {
		allocated += step.more
		if got := r.comes(memory{live: step.live, allocated: allocated}); got != step.want {
			t.Errorf("look %d: %v, want %v", i+1, got, step.want)
		}
	}
}
