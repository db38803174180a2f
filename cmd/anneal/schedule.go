package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/cron"
)

func newScheduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "schedule", Short: "When the schedules of policies tick"}
	c.AddCommand(newScheduleShow())
	return c
}

// A shownTick is one tick as `schedule show` shows it.
type shownTick struct {
	Policy   string     `json:"policy"`
	Trigger  string     `json:"trigger"`
	At       time.Time  `json:"at"`    // in UTC; the tick's identity
	Local    string     `json:"local"` // in the policy's zone, RFC 3339
	Due      time.Time  `json:"due"`   // with jitter
	Shift    cron.Shift `json:"shift,omitempty"`
	Note     string     `json:"note,omitempty"` // what the clocks do to it
	Blackout *time.Time `json:"blackoutUntil,omitempty"`
	Reason   string     `json:"blackoutReason,omitempty"`
	// Missed says what becomes of a tick that is due while the daemon is down:
	// `made up` or `skipped`.
	Missed string     `json:"missed,omitempty"`
	Comes  *time.Time `json:"comes,omitempty"` // when one that was missed is made up
}

func newScheduleShow() *cobra.Command {
	var file, name, from, to, down string
	var out output
	c := &cobra.Command{
		Use:   "show [--config FILE | POLICY…] [--policy P] [--from TIME] [--to TIME] [--down FROM..TO]",
		Short: "Show every tick of a policy's schedules in a span of time",
		Long: `Show every tick from --from on and before --to: what a change of the clocks does to it,
whether a blackout defers what is decided then, and, with --down, which of the ticks that
come while the daemon is down are made up when it is back.

A time is 2026-03-29, 2026-03-29T02:30 (in the policy's time zone) or RFC 3339. --from is
now if not given, --to a week later. It reads the files alone and needs no daemon.`,
		Example: "  anneal schedule show --policy churn --from 2026-03-28 --to 2026-03-31\n" +
			"  anneal schedule show policies/churn.yaml --down 2026-03-28T20:00..2026-03-29T09:00",
		RunE: func(cmd *cobra.Command, paths []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			cfg, err := loadForCheck(file, cmd.Flags().Changed("config"), paths)
			if err != nil {
				return usage(err)
			}
			chosen, err := withSchedules(cfg.Policies, name)
			if err != nil {
				return usage(err)
			}
			ticks := []shownTick{}
			for _, p := range chosen {
				more, err := showTicks(p.Policy, from, to, down, time.Now())
				if err != nil {
					return usage(err)
				}
				ticks = append(ticks, more...)
			}
			slices.SortStableFunc(ticks, func(a, b shownTick) int {
				return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Trigger, b.Trigger))
			})
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), ticks)
			}
			return printTicks(cmd.OutOrStdout(), ticks)
		},
	}
	c.Flags().StringVar(&file, "config", "anneal.yaml", "the settings file")
	c.Flags().StringVar(&name, "policy", "", "the policy; all that have a schedule if not given")
	c.Flags().StringVar(&from, "from", "", "the first time shown")
	c.Flags().StringVar(&to, "to", "", "where to end; that time is not shown")
	c.Flags().StringVar(&down, "down", "", "a span in which the daemon is down, FROM..TO")
	out.flags(c)
	return c
}

// withSchedules is the named policy, or all that have a schedule.
func withSchedules(policies []configs.Policy, name string) ([]configs.Policy, error) {
	scheduled := func(p configs.Policy) bool {
		return slices.ContainsFunc(p.Spec.Spec.Triggers, func(t policy.Trigger) bool { return t.Schedule != nil })
	}
	var chosen []configs.Policy
	var have []string
	for _, p := range policies {
		have = append(have, p.Name())
		if p.Name() == name || name == "" && scheduled(p) {
			chosen = append(chosen, p)
		}
	}
	switch {
	case len(chosen) == 0 && name != "":
		return nil, fmt.Errorf("no policy %q%s", name, policy.Have(name, have))
	case len(chosen) == 0:
		return nil, errors.New("no policy has a schedule: give one a trigger with schedule: {cron: \"0 3 * * *\"}")
	case !scheduled(chosen[0]):
		return nil, fmt.Errorf("policy %s has no schedule: give it a trigger with schedule: {cron: \"0 3 * * *\"}", name)
	}
	return chosen, nil
}

// maxShown bounds how many ticks of one schedule are shown.
const maxShown = 100_000

// showTicks is what is shown of one policy.
func showTicks(p *policy.Policy, from, to, down string, now time.Time) ([]shownTick, error) {
	zone, err := time.LoadLocation(p.Spec.Spec.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Name(), err)
	}
	begin := now
	if from != "" {
		if begin, err = parseTime(from, zone); err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
	}
	end := begin.AddDate(0, 0, 7)
	if to != "" {
		if end, err = parseTime(to, zone); err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
	}
	if !begin.Before(end) {
		return nil, fmt.Errorf("--to %s is not after --from %s", end.In(zone).Format(time.RFC3339), begin.In(zone).Format(time.RFC3339))
	}
	var away, back time.Time
	if down != "" {
		first, last, ok := strings.Cut(down, "..")
		if !ok {
			return nil, fmt.Errorf("--down %q: want two times, FROM..TO", down)
		}
		var errs [2]error
		away, errs[0] = parseTime(first, zone)
		back, errs[1] = parseTime(last, zone)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("--down: %w", err)
		}
		if !away.Before(back) {
			return nil, fmt.Errorf("--down %q: it is back before it is away", down)
		}
	}
	var shown []shownTick
	for _, t := range p.Spec.Spec.Triggers {
		if t.Schedule == nil {
			continue
		}
		schedule, err := newSchedule(p, t, zone)
		if err != nil {
			return nil, fmt.Errorf("policy %s, trigger %s: %w", p.Name(), t.ID, err)
		}
		made := map[time.Time]bool{}
		if down != "" {
			for _, tick := range schedule.Missed(lastDue(schedule, away), back).Ticks {
				made[tick.At] = true
			}
		}
		n := 0
		for tick := range schedule.Preview(begin, end) {
			if n++; n > maxShown {
				return nil, fmt.Errorf("more than %d ticks of trigger %s: show a shorter span", maxShown, t.ID)
			}
			s := shownTick{
				Policy: p.Name(), Trigger: t.ID, At: tick.At.UTC(), Local: tick.Local.Format(time.RFC3339),
				Due: tick.Due.UTC(), Shift: tick.Shift, Note: tick.Note,
			}
			comes := tick.Due
			if down != "" && tick.Due.After(away) && !tick.Due.After(back) {
				s.Missed = "skipped"
				if made[tick.At] {
					s.Missed, s.Comes, comes = "made up", &back, back
				}
			}
			if until, reason, in := p.Blackout(comes); in && s.Missed != "skipped" {
				s.Blackout, s.Reason = &until, reason
			}
			shown = append(shown, s)
		}
	}
	return shown, nil
}

// lastDue is the newest tick that came before the daemon was away.
func lastDue(s *cron.Schedule, away time.Time) time.Time {
	jitter := s.Entry().Jitter
	last := away.Add(-jitter - 1)
	for tick := range s.Ticks(away.Add(-jitter), away.Add(1)) {
		if tick.Due.After(away) {
			break
		}
		last = tick.At
	}
	return last
}

// parseTime reads a time that a person writes; one without an offset is in zone.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2026-03-29, 2026-03-29T02:30 or 2026-03-29T02:30:00+02:00", s)
}

func printTicks(w io.Writer, ticks []shownTick) error {
	if len(ticks) == 0 {
		fmt.Fprintln(w, "no tick in that time")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TICK\tUTC\tPOLICY\tTRIGGER\tNOTE")
	for _, s := range ticks {
		var notes []string
		add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
		if s.Note != "" {
			add("%s", s.Note)
		}
		if !s.Due.Equal(s.At) {
			add("jitter: comes at %s", s.Due.Format("15:04:05Z"))
		}
		switch {
		case s.Comes != nil:
			add("missed, made up at %s", s.Comes.UTC().Format("2006-01-02T15:04:05Z"))
		case s.Missed != "":
			add("missed, %s", s.Missed)
		}
		if s.Blackout != nil {
			reason := ""
			if s.Reason != "" {
				reason = " (" + s.Reason + ")"
			}
			add("in a blackout until %s%s", s.Blackout.Format("2006-01-02T15:04Z"), reason)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Local, s.At.Format("2006-01-02T15:04Z"), s.Policy, s.Trigger, strings.Join(notes, "; "))
	}
	return t.Flush()
}
