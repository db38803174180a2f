package cron

import (
	"fmt"
	"iter"
	"time"
)

// A Preview is a tick and how it comes about.
type Preview struct {
	Tick
	Local time.Time // At in the entry's zone
	Note  string    // what the clocks have done to it; empty if nothing
}

// Preview shows the ticks from a time on, and before another.
func (s *Schedule) Preview(from, to time.Time) iter.Seq[Preview] {
	return func(yield func(Preview) bool) {
		for tick := range s.Ticks(from, to) {
			local := tick.At.In(s.entry.Zone)
			if !yield(Preview{Tick: tick, Local: local, Note: s.note(tick, local)}) {
				return
			}
		}
	}
}

func (s *Schedule) note(tick Tick, local time.Time) string {
	switch tick.Shift {
	case Moved:
		now := s.stretchAt(tick.At)
		meant := tick.At.Add(now.offset - now.change).UTC()
		return fmt.Sprintf("%s does not exist, moved by %s", meant.Format("2006-01-02 15:04"), short(now.change))
	case First:
		return local.Format("15:04") + " happens twice, this is the first"
	case Second:
		return local.Format("15:04") + " happens twice, this is the second"
	}
	return ""
}

// short is a whole number of hours, or of minutes.
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
