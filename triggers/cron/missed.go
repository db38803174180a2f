package cron

import "time"

// lookBack is how far back missed ticks are looked for.
const lookBack = 366 * 24 * time.Hour

// Missed is what has become of the ticks after a known one.
type Missed struct {
	Ticks   []Tick    // to be given now, in their order
	Skipped int       // those that are not made up
	Through time.Time // up to here all is settled; never before the known one
}

// Missed says which ticks after last are to be given now: those that come on
// time, within a minute, and of those that are later as many as the entry's
// CatchUp, Max and Deadline let. Ticks that are not due yet, or behind one that
// is not, are no part of it. Nothing older than a year is looked at.
func (s *Schedule) Missed(last, now time.Time) Missed {
	m := Missed{Through: last}
	from := last.Add(1)
	if oldest := now.Add(-lookBack); from.Before(oldest) {
		from = oldest
		m.Through = oldest.Add(-1)
	}
	var late, prompt []Tick
	for tick := range s.Ticks(from, now.Add(1)) {
		if tick.Due.After(now) {
			break
		}
		m.Through = tick.At
		lateness := now.Sub(tick.Due)
		switch {
		case lateness <= grace:
			prompt = append(prompt, tick)
		case s.entry.CatchUp == None || s.entry.Deadline > 0 && lateness > s.entry.Deadline:
			m.Skipped++
		default:
			late = append(late, tick)
			if most := s.keep(); len(late) > most {
				m.Skipped++
				late = late[1:]
			}
		}
	}
	if s.entry.CatchUp == Latest && len(prompt) > 0 {
		m.Skipped += len(late)
		late = nil
	}
	m.Ticks = append(late, prompt...)
	return m
}

// keep is how many missed ticks are made up at most.
func (s *Schedule) keep() int {
	if s.entry.CatchUp == Latest {
		return 1
	}
	return s.entry.Max
}
