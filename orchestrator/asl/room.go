package asl

// A Room is memory that turns are made in, one after the other. The events of a
// turn lie in it, and what they tell, until it is cleared, as it must be for the next
// turn. The zero Room is empty.
type Room struct {
	turn      turn
	events    []HistoryEvent
	ready     [1]ready // most turns have one line
	frames    slab[frame]
	entered   slab[StateEnteredDetails]
	exited    slab[StateExitedDetails]
	outputs   slab[OutputDetails]
	scheduled slab[WorkScheduledDetails]
}

// Clear forgets the turn, and all memory that it took beyond what most need.
func (r *Room) Clear() {
	if cap(r.events) > maxRoom {
		*r = Room{}
		return
	}
	clear(r.events[:cap(r.events)])
	r.turn, r.events, r.ready = turn{}, r.events[:0], [1]ready{}
	r.frames.clear()
	r.entered.clear()
	r.exited.clear()
	r.outputs.clear()
	r.scheduled.clear()
}

const (
	minRoom = 4  // of what there may be several of in a turn
	maxRoom = 64 // of it, to be allocated at once or kept
)

// A slab has one kind of what a turn is made of. What it gave stays where it is.
type slab[T any] struct{ items []T }

// add is a copy of x that lasts.
func (s *slab[T]) add(x T) *T {
	if len(s.items) == cap(s.items) {
		s.items = make([]T, 0, min(max(minRoom, 2*cap(s.items)), maxRoom))
	}
	s.items = append(s.items, x)
	return &s.items[len(s.items)-1]
}

func (s *slab[T]) clear() {
	clear(s.items)
	s.items = s.items[:0]
}
