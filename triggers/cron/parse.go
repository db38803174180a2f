package cron

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	robfig "github.com/robfig/cron/v3"
)

// grace is how late a tick may come and still not be one that was missed. It
// covers a restart and a short sleep of the machine.
const grace = time.Minute

const (
	defaultMax = 24
	mostMax    = 1_000
)

// WithDefaults fills in what is not set.
func (e Entry) WithDefaults() Entry {
	if e.CatchUp == "" {
		e.CatchUp = None
	}
	if e.Max == 0 {
		e.Max = defaultMax
	}
	return e
}

// Parse checks an entry, after its defaults. The error says everything that is
// wrong with it, each under the name of its field in a policy.
func Parse(e Entry) (*Schedule, error) {
	e = e.WithDefaults()
	e.Cron = strings.Join(strings.Fields(e.Cron), " ")
	s := &Schedule{entry: e}
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	if e.Policy == "" || e.Trigger == "" {
		report("want the names of a policy and a trigger, have %q and %q", e.Policy, e.Trigger)
	}
	if spec, err := parseFields(e.Cron); err != nil {
		report("cron: %w", err)
	} else {
		s.spec = spec
		s.named = spec.Hour&everyHour != everyHour
		if between := s.shortest(); e.Jitter > between {
			report("jitter: %s: want at most %s, the shortest time between two ticks of %q", e.Jitter, between, e.Cron)
		}
	}
	if e.Jitter < 0 || e.Jitter%time.Second != 0 {
		report("jitter: %s: want whole seconds, not negative", e.Jitter)
	}
	if e.Zone == nil || e.Zone == time.Local {
		report("timeZone: is missing; want an IANA zone such as Europe/Berlin")
	} else if _, err := time.LoadLocation(e.Zone.String()); err != nil || e.Zone.String() == "" {
		report("timeZone: %q: want an IANA zone such as Europe/Berlin", e.Zone)
	}
	if e.CatchUp != None && e.CatchUp != Latest && e.CatchUp != All {
		report("catchUp: %q: want none, latest or all", e.CatchUp)
	}
	if e.Max < 1 || e.Max > mostMax {
		report("max: %d: want 1 to %d", e.Max, mostMax)
	}
	if e.Deadline != 0 && e.Deadline < grace {
		report("deadline: %s: want at least %s", e.Deadline, grace)
	}
	if problems != nil {
		return nil, errors.Join(problems...)
	}
	return s, nil
}

const (
	everyHour = 1<<24 - 1
	// far is longer than any schedule is silent: one of 29 February is for
	// eight years, around a century.
	far = 9 * 366 * 24 * time.Hour
)

var fields = []struct {
	name string
	kind robfig.ParseOption
}{
	{"minute", robfig.Minute},
	{"hour", robfig.Hour},
	{"day of month", robfig.Dom},
	{"month", robfig.Month},
	{"day of week", robfig.Dow},
}

// item is one of a field's list. What robfig takes beyond it, such as `*-5`, it
// does not take as it is meant.
var item = regexp.MustCompile(`^([*?]|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?$`)

// parseFields parses five fields, and makes sure that they ever come true.
func parseFields(cron string) (*robfig.SpecSchedule, error) {
	have := strings.Fields(cron)
	switch {
	case len(have) == 0:
		return nil, errors.New("is missing; want five fields: minute, hour, day of month, month, day of week")
	case strings.HasPrefix(have[0], "@"):
		return nil, fmt.Errorf("%q: want five fields, such as `0 * * * *` for @hourly or `0 0 * * *` for @daily", cron)
	case strings.Contains(have[0], "="):
		return nil, fmt.Errorf("%q: want five fields; the zone is the policy's timeZone", cron)
	case len(have) != len(fields):
		return nil, fmt.Errorf("%q: has %d fields; want five: minute, hour, day of month, month, day of week", cron, len(have))
	}
	for i, f := range fields {
		for part := range strings.SplitSeq(have[i], ",") {
			err := errors.New("want a number, a name, a range 1-5, or *, with a step /2 or without, or a list of these")
			if item.MatchString(part) {
				_, err = robfig.NewParser(f.kind).Parse(part)
			}
			if err != nil && f.kind == robfig.Dow && strings.Contains(part, "7") {
				err = fmt.Errorf("%w (Sunday is 0)", err)
			}
			if err != nil {
				return nil, fmt.Errorf("%s %q: %w", f.name, part, err)
			}
		}
	}
	parsed, err := robfig.NewParser(robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month | robfig.Dow).Parse(strings.Join(have, " "))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", cron, err)
	}
	spec := parsed.(*robfig.SpecSchedule) // all but its @every are
	spec.Location = time.UTC
	s := Schedule{entry: Entry{Zone: time.UTC}, spec: spec}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, ok := s.next(start, start.Add(far)); !ok {
		return nil, fmt.Errorf("%q: never happens: no such day", cron)
	}
	return spec, nil
}

// shortest is the shortest time between two ticks where the clocks do not
// change, if any day is followed by any.
func (s *Schedule) shortest() time.Duration {
	const day = 24 * 60
	first, last, least := -1, -1, day
	for minute := range day {
		if s.spec.Hour>>(minute/60)&1 == 0 || s.spec.Minute>>(minute%60)&1 == 0 {
			continue
		}
		if first < 0 {
			first = minute
		} else {
			least = min(least, minute-last)
		}
		last = minute
	}
	return time.Duration(min(least, first+day-last)) * time.Minute
}
