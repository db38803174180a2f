package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapRoom is how much the heap may grow before it is collected, in bytes,
	// however little of it is in use. Go's own rule is to collect it whenever it has
	// doubled: where little is in use and much passes through, as where executions
	// run, a fifth of the daemon's time goes there.
	heapRoom = 64 << 20
	// mostGrowth bounds the growth, in percent, as what is in use may become more
	// before it is looked at again.
	mostGrowth = 300
)

// keepRoom has the heap collected by heapRoom, and by Go's rule once more than that
// is in use. Where the environment has GOGC, that decides.
func keepRoom(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	tick := time.NewTicker(time.Second / 2)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for last := 100; ; {
		metrics.Read(live)
		if growth := growthFor(live[0].Value.Uint64()); growth != last {
			debug.SetGCPercent(growth)
			last = growth
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// growthFor is by how much a heap may grow of which so many bytes are in use, in
// percent: in steps of fifty, as each change stops the program for a moment.
func growthFor(live uint64) int {
	percent := heapRoom * 100 / max(live, 1)
	return int(min(max(percent-percent%50, 100), mostGrowth))
}

// keepSmall has the heap collected whenever it has grown by half, or, where more than
// some of it is in use, by smallRoom, or a fifth: what reads much and keeps little takes
// a third less memory for a few hundredths of its time. It goes by what is in use when it
// is called. Where the environment has GOGC, that decides.
func keepSmall() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(smallGrowthFor(inUse()))
	}
}

const smallRoom = 16 << 20

func smallGrowthFor(live uint64) int { return int(min(max(smallRoom*100/max(live, 1), 20), 50)) }

// inUse is how much of the heap was when it was last collected, in bytes.
func inUse() uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return live[0].Value.Uint64()
}

// keepSmaller has it collected whenever it has grown by a fifth, until it is called off.
func keepSmaller() (done func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(20)
	return func() { debug.SetGCPercent(before) }
}

const (
	// leastWithin is what a program may take of memory that has nothing to keep, in bytes.
	leastWithin = 96 << 20
	// columnWithin is what a column takes at most while it is read.
	columnWithin = 72 << 10
)

// keepWithin has the heap collected, and what is free of it given back, as often as keeps
// it within what is in use and what so many columns take while they are read: of a
// thousand, half of what is in use would be as much again. It ends with the function
// that it gives. Where the environment has GOMEMLIMIT, that decides.
func keepWithin(columns int) (done func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	runtime.GC()
	before := debug.SetMemoryLimit(max(leastWithin, int64(inUse())+int64(columns)*columnWithin))
	return func() { debug.SetMemoryLimit(before) }
}
