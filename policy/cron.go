package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// beginning is before every time that matters: where something is asked of a
// cron without a clock, it is asked from here on.
var beginning = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var cronFields = []struct {
	name string
	kind cron.ParseOption
}{
	{"minute", cron.Minute}, {"hour", cron.Hour}, {"day of month", cron.Dom}, {"month", cron.Month}, {"day of week", cron.Dow},
}

// cronItem is one of a field's list. What robfig/cron takes beyond it, such as
// `*-5`, it does not take as it is meant.
var cronItem = regexp.MustCompile(`^([*?]|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?$`)

// parseCron reads five cron fields. They are asked about local times as if
// those were of UTC: see zone.
func parseCron(text string) (*cron.SpecSchedule, error) {
	const want = "minute, hour, day of month, month, day of week"
	have := strings.Fields(text)
	switch {
	case len(have) == 0:
		return nil, errors.New("a cron is missing: five fields, " + want)
	case have[0][0] == '@':
		return nil, fmt.Errorf("%q is no cron: write five fields, such as \"0 * * * *\" for @hourly or \"0 0 * * *\" for @daily", text)
	case strings.Contains(have[0], "="):
		return nil, fmt.Errorf("%q is no cron: the zone is the policy's timeZone", text)
	case len(have) != len(cronFields):
		return nil, fmt.Errorf("%q is no cron: five fields are needed, %s, this has %d", text, want, len(have))
	}
	all := cron.ParseOption(0)
	for i, f := range cronFields {
		all |= f.kind
		for part := range strings.SplitSeq(have[i], ",") {
			err := errors.New("a number, a name, a range 1-5 or * is needed, with a step such as /2 or without")
			if cronItem.MatchString(part) {
				_, err = cron.NewParser(f.kind).Parse(part)
			}
			if err != nil && len(part) > 3 {
				if _, short := cron.NewParser(f.kind).Parse(part[:3]); short == nil && part[0] > '9' {
					err = fmt.Errorf("a name has three letters: %s", part[:3])
				}
			}
			if err != nil && f.kind == cron.Dow && strings.Contains(part, "7") {
				err = fmt.Errorf("%w (Sunday is 0)", err)
			}
			if err != nil {
				return nil, fmt.Errorf("%q is no %s: %w", part, f.name, err)
			}
		}
	}
	parsed, err := cron.NewParser(all).Parse("CRON_TZ=UTC " + strings.Join(have, " "))
	if err != nil {
		return nil, fmt.Errorf("%q is no cron: %w", text, err)
	}
	schedule := parsed.(*cron.SpecSchedule) // all but its @every are
	if schedule.Next(beginning).IsZero() {
		return nil, fmt.Errorf("%q never comes: there is no such day", text)
	}
	return schedule, nil
}

// A parsedCron is what parseCron has made of a text.
type parsedCron struct {
	schedule *cron.SpecSchedule
	err      error
}

// cron checks the cron at path, in the policy's time zone.
func (c *compiler) cron(path, text, timeZone string) *cron.SpecSchedule {
	parsed, known := c.crons[text]
	if !known {
		parsed.schedule, parsed.err = parseCron(text)
		c.crons[text] = parsed
	}
	if parsed.err != nil {
		c.problems.add(path, "%v", parsed.err)
		return nil
	}
	if timeZone == "" {
		c.problems.add(path, "a cron needs a time zone: timeZone: Europe/Berlin, or UTC, under spec")
		return nil
	}
	return parsed.schedule
}

// A zone is a time zone as crons see it. The local time on its clocks is
// written as if it were of UTC, which has no changes of the clocks.
type zone struct{ *time.Location }

// local is what the clocks show at t.
func (z zone) local(t time.Time) time.Time {
	t = t.In(z.Location)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instants are when the clocks show local: twice where they go back over it,
// else once. A time that they go forward over is as if they had not.
func (z zone) instants(local time.Time) (first, last time.Time) {
	at := func(near time.Time) time.Time {
		_, offset := near.In(z.Location).Zone()
		return local.Add(-time.Duration(offset) * time.Second)
	}
	first, last = at(local.Add(-day)), at(local.Add(day))
	if !z.local(last).Equal(local) {
		last = first
	}
	if !z.local(first).Equal(local) {
		first = last
	}
	return first, last
}
