package drift

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

// A Season is a time after which data come to look alike again.
type Season string

// The seasons. The last two are for a choice.
const (
	Year      Season = "year"
	Week      Season = "week"
	Day       Season = "day"
	NoSeason  Season = "none"
	AnySeason Season = "auto" // one that shows
)

// ParseSeason finds a season by its name; an empty one is [AnySeason].
func ParseSeason(name string) (Season, error) {
	switch s := Season(strings.ToLower(strings.TrimSpace(name))); s {
	case "":
		return AnySeason, nil
	case Year, Week, Day, NoSeason, AnySeason:
		return s, nil
	}
	return "", fmt.Errorf("there is no season %q (have auto, none, year, week, day)", name)
}

// A Phase is some months of a year, days of a week or hours of a day.
type Phase struct {
	Season      Season
	first, last int // parts, of which the first may be behind the last: November to January
}

// parts of a season, and which of them a time is in.
func (s Season) part(at time.Time) (part, of int) {
	switch s {
	case Year:
		return int(at.Month()) - 1, 12
	case Week:
		return (int(at.Weekday()) + 6) % 7, 7 // from Monday
	}
	return at.Hour(), 24
}

// Has reports whether a time is in the phase.
func (p Phase) Has(at time.Time) bool {
	part, _ := p.Season.part(at)
	if p.first <= p.last {
		return p.first <= part && part <= p.last
	}
	return part >= p.first || part <= p.last
}

// String names it: July, Monday to Wednesday, 22:00 to 01:59.
func (p Phase) String() string {
	name := func(part int) string {
		switch p.Season {
		case Year:
			return time.Month(part + 1).String()
		case Week:
			return time.Weekday((part + 1) % 7).String()
		}
		return fmt.Sprintf("%02d:00", part)
	}
	switch {
	case p.Season == Day:
		return fmt.Sprintf("%02d:00 to %02d:59", p.first, p.last)
	case p.first == p.last:
		return name(p.first)
	}
	return name(p.first) + " to " + name(p.last)
}

// A Span is a time from a first to a last instant, as the clock showed them.
type Span struct{ From, To time.Time }

// Phases are those that current lies in, of each season, or of the one chosen, that the
// reference covers whole. Of a season that current fills there is none.
func Phases(reference, current Span, choice Season) []Phase {
	if reference.From.IsZero() || current.From.IsZero() {
		return nil
	}
	var phases []Phase
	for _, s := range []Season{Year, Week, Day} {
		if choice != s && choice != AnySeason {
			continue
		}
		var whole time.Time // the latest at which the reference may end
		var length time.Duration
		switch s {
		case Year:
			whole, length = reference.From.AddDate(1, 0, -1), 334*24*time.Hour
		case Week:
			whole, length = reference.From.AddDate(0, 0, 6), 6*24*time.Hour
		case Day:
			whole, length = reference.From.Add(23*time.Hour), 23*time.Hour
		}
		first, _ := s.part(current.From)
		last, parts := s.part(current.To)
		fills := current.To.Sub(current.From) >= length || (last+1)%parts == first
		if !reference.To.Before(whole) && !fills {
			phases = append(phases, Phase{s, first, last})
		}
	}
	return phases
}

// TimeOf is the first column of times that both profiles have, with the times of each.
func TimeOf(reference, current *profile.Profile) (column string, ref, cur Span) {
	for i := range reference.Columns {
		r := &reference.Columns[i]
		c := current.Column(r.Name)
		if r.Type == dataset.Timestamp && !r.Earliest.IsZero() && c != nil && c.Type == dataset.Timestamp && !c.Earliest.IsZero() {
			return r.Name, Span{r.Earliest, r.Latest}, Span{c.Earliest, c.Latest}
		}
	}
	return "", Span{}, Span{}
}

// A Part is what of a reference is of the same phase of a season as the current data.
type Part struct {
	Phase   Phase
	Profile *profile.Profile
}

// Seasonal says that current data were compared with a part of the reference.
type Seasonal struct {
	Season  Season `json:"season"`
	Part    string `json:"part"`    // of it that the current data are from: July
	Of      int64  `json:"of"`      // rows of the whole reference
	Drifted int    `json:"drifted"` // columns, against the whole
}

// seasonally compares with the parts of a reference that current is of the same season
// as. The nearest shows the season if it is at most half as far as the whole is: then it
// is what counts. With a season chosen, its part does in any case.
//
// Which part it is, is chosen by profiles alone: so it stays where rows are read again.
func (whole Comparison) seasonally(reference, current *profile.Profile, opt Options) Comparison {
	nearest, chosen, parts, exact := whole, whole, opt.Seasons, opt.Exact
	opt.Exact, opt.Seasons = nil, nil
	if len(exact) > 0 && len(parts) > 0 {
		chosen = compare(reference, current, opt)
	}
	least := chosen.distance() / 2
	if !whole.weighs() {
		opt.Importance = nil // or distances would not be of one kind
	}
	with := func(part Part) Comparison {
		c := compare(part.Profile, current, opt)
		c.Season = &Seasonal{part.Phase.Season, part.Phase.String(), whole.ReferenceRows, whole.Drifted}
		c.part, c.Facts = &part, whole.Facts
		if !whole.weighs() {
			c.Importance = whole.Importance
		}
		return c
	}
	for _, part := range parts {
		if part.Profile.Counts.Rows < opt.MinRows {
			continue
		}
		c := with(part)
		far := c.distance()
		if opt.Season != part.Phase.Season && (chosen.votes.drifted == 0 || far > least) {
			continue
		}
		nearest, least = c, far
	}
	if nearest.part != nil && len(exact) > 0 {
		opt.Exact = exact
		nearest = with(*nearest.part)
	}
	return nearest
}

// chosen reports whether it is one season, that is compared with if it can be.
func (s Season) chosen() bool { return s != "" && s != NoSeason && s != AnySeason }

// unseasonal says why a comparison is not with the season that was chosen; it is empty
// where none was, or it is.
func (o Options) unseasonal(reference, current *profile.Profile, c Comparison) string {
	if !o.Season.chosen() || c.Season != nil {
		return ""
	}
	column, of, now := TimeOf(reference, current)
	between := func(s Span) string {
		return s.From.Format("2006-01-02 15:04") + " to " + s.To.Format("2006-01-02 15:04")
	}
	phases := Phases(of, now, o.Season)
	switch {
	case column == "":
		return "no column of both has dates or times, written year first"
	case len(phases) == 0 && len(Phases(of, Span{of.From, of.From}, o.Season)) == 0:
		return fmt.Sprintf("the reference does not span a %s: %s in %s", o.Season, between(of), column)
	case len(phases) == 0:
		return fmt.Sprintf("the current data are a whole %s: %s in %s", o.Season, between(now), column)
	case len(o.Seasons) == 0:
		return fmt.Sprintf("which rows of the reference are of %s could not be told", phases[0])
	}
	return fmt.Sprintf("the reference has %d rows of %s: want %d", o.Seasons[0].Profile.Counts.Rows, phases[0], o.MinRows)
}

// Against is the profile of what of the reference c has compared with: all of it, or the
// part that is in a phase.
func (c *Comparison) Against(reference *profile.Profile) (*profile.Profile, *Phase) {
	if c.part == nil {
		return reference, nil
	}
	return c.part.Profile, &c.part.Phase
}

// distance is how far the columns are from those of the reference together, by the first
// test of each that counts, in thresholds.
func (c Comparison) distance() (sum float64) {
	for i := range c.Columns {
		column := &c.Columns[i]
		first := slices.IndexFunc(column.Tests, func(t Test) bool { return !t.Advisory && t.Test != "missing" })
		if first >= 0 && !column.Target && column.Verdict != NotTested {
			sum += c.weight(column) * column.Tests[first].least() / column.Tests[first].Threshold
		}
	}
	return sum
}
