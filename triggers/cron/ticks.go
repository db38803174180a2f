package cron

import (
	"iter"
	"time"
)

// Ticks are the ticks from a time on, and before another, in their order.
func (s *Schedule) Ticks(from, to time.Time) iter.Seq[Tick] {
	return func(yield func(Tick) bool) {
		for {
			tick, ok := s.next(from, to)
			if !ok || !yield(tick) {
				return
			}
			from = tick.At.Add(1)
		}
	}
}

// next is the first tick that is not before from, if there is one before to.
//
// Between two changes of the clocks local time runs evenly, so there the fields
// alone decide. A change opens a window as long as the clocks were changed by:
// after one forward, the times that do not exist would have been in it, had the
// clocks gone on as before; after one back, the clocks show in it what they have
// shown already.
func (s *Schedule) next(from, to time.Time) (Tick, bool) {
	for from = from.UTC(); from.Before(to); {
		now := s.stretchAt(from)
		end := to
		if !now.end.IsZero() && now.end.Before(to) {
			end = now.end
		}
		window := earlier(end, now.start.Add(now.change.Abs()))
		if s.named && from.Before(window) {
			if now.change > 0 {
				at := s.match(from, to, now.offset)
				old := s.match(from, to, now.offset-now.change)
				if old.Before(at) && old.Before(window) {
					return s.tick(old, Moved), true
				}
				if at.Before(window) {
					return s.tick(at, Unshifted), true
				}
			}
			from = window
			continue
		}
		at := s.match(from, to, now.offset)
		if !at.Before(end) {
			from = end
			continue
		}
		switch {
		case now.change < 0 && at.Before(window):
			return s.tick(at, Second), true
		case now.nextChange < 0 && !at.Before(now.end.Add(now.nextChange)):
			return s.tick(at, First), true
		}
		return s.tick(at, Unshifted), true
	}
	return Tick{}, false
}

func (s *Schedule) tick(at time.Time, shift Shift) Tick {
	return Tick{At: at, Due: at.Add(s.jitter(at)), Shift: shift}
}

// match is the first time from a time on at which the fields match clocks that
// are ahead of UTC by offset, whatever the zone's do. If there is none before to,
// it is some time that is not before to.
func (s *Schedule) match(from, to time.Time, offset time.Duration) time.Time {
	local := from.Add(offset)
	if minute := local.Truncate(time.Minute); minute.Before(local) {
		local = minute.Add(time.Minute) // spares robfig to go through the seconds
	}
	// robfig takes the next whole second after, and gives up after the fifth
	// year: from 2096 to 2104 no year has a 29 February.
	for ; local.Before(to.Add(offset)); local = local.AddDate(5, 0, 0) {
		if next := s.spec.Next(local.Add(-1)); !next.IsZero() {
			return next.Add(-offset)
		}
	}
	return to
}

// A stretch is a time between two changes of a zone's clocks.
type stretch struct {
	start, end time.Time     // zero: there is none
	offset     time.Duration // ahead of UTC
	change     time.Duration // of the offset, at start
	nextChange time.Duration // at end
}

func (s *Schedule) stretchAt(t time.Time) stretch {
	offset := func(t time.Time) time.Duration {
		_, seconds := t.In(s.entry.Zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	now := stretch{offset: offset(t)}
	now.start, now.end = t.In(s.entry.Zone).ZoneBounds()
	now.start, now.end = now.start.UTC(), now.end.UTC()
	if !now.start.IsZero() {
		now.change = now.offset - offset(now.start.Add(-1))
	}
	if !now.end.IsZero() {
		now.nextChange = offset(now.end) - now.offset
	}
	return now
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
