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
// is in use; and gives the system back what is free where nothing has gone on for a
// while. Where the environment has GOGC, that decides when the heap is collected.
func keepRoom(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var rest rest
	last := 100
	byUs := os.Getenv("GOGC") == ""
	if byUs {
		defer debug.SetGCPercent(debug.SetGCPercent(last))
	}
	for {
		m := readMemory()
		if growth := growthFor(m.live); byUs && growth != last {
			debug.SetGCPercent(growth)
			last = growth
		}
		if rest.comes(m) {
			runtime.GC() // what pools keep goes with the second collection, which the next has
			debug.FreeOSMemory()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	// lookEvery is how often keepRoom looks.
	lookEvery = time.Second / 2
	// stillAfter is how often in a row it must find that nothing goes on.
	stillAfter = 4
	// still is how many bytes are allocated at most from one look to the next where
	// nothing goes on: somebody who asks how it is takes less.
	still = 512 << 10
	// worthwhile is how many bytes must have been allocated for memory to be given
	// back, which takes a collection.
	worthwhile = 16 << 20
)

// A memory is how much of the heap this process takes, in bytes.
type memory struct {
	live      uint64 // when it was last collected
	allocated uint64 // since the process began
}

func readMemory() memory {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return memory{live: s[0].Value.Uint64(), allocated: s[1].Value.Uint64()}
}

// A rest finds out when nothing goes on.
type rest struct {
	still int    // looks in a row
	last  uint64 // allocated at the last look
	given uint64 // allocated when memory was given back
}

// comes says that memory is to be given back now: once in a rest, and where it may be
// worth the time.
func (r *rest) comes(m memory) bool {
	if m.allocated-r.last > still {
		r.still = 0
	} else {
		r.still++
	}
	r.last = m.allocated
	if r.still < stillAfter || m.allocated-r.given < max(worthwhile, m.live/4) {
		return false
	}
	r.given = m.allocated
	return true
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
