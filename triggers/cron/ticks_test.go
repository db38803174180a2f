package cron

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite testdata")

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func parse(t testing.TB, e Entry) *Schedule {
	t.Helper()
	if e.Policy == "" {
		e.Policy, e.Trigger = "churn", "nightly"
	}
	if e.Zone == nil {
		e.Zone = time.UTC
	}
	s, err := Parse(e)
	if err != nil {
		t.Fatalf("%q: %v", e.Cron, err)
	}
	return s
}

func TestClockChanges(t *testing.T) {
	const file = "testdata/dst.txt"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		input, _, _ := strings.Cut(string(f.Data), "\n")
		parts := strings.Split(input, " | ")
		z := zone(t, parts[0])
		s := parse(t, Entry{Cron: parts[1], Zone: z})
		local := func(text string) time.Time {
			at, err := time.ParseInLocation(localTime, (text + " 00:00")[:len(localTime)], z)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		got := input + "\n"
		for p := range s.Preview(local(parts[2]), local(parts[3])) {
			line := fmt.Sprintf("%s   %s   %s", p.Local.Format("Mon 2006-01-02 15:04 -0700"), p.At.Format("02 15:04Z"), p.Note)
			got += strings.TrimRight(line, " ") + "\n"
		}
		if *update {
			archive.Files[i].Data = []byte(got)
		} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// The rule, found another way: by going through all local times that a
// schedule names, and asking the zone which instants show them.
func TestRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	nights := map[string][]string{ // around changes of the clocks
		"Europe/Berlin":       {"2026-03-29", "2026-10-25"},
		"America/New_York":    {"2026-03-08", "2026-11-01"},
		"Australia/Lord_Howe": {"2026-10-04", "2026-04-05"},
		"America/Sao_Paulo":   {"2018-11-04", "2018-02-18"},
		"America/Havana":      {"2026-03-08", "2026-11-01"},
		"Africa/Casablanca":   {"2026-02-15", "2026-03-22"},
		"Africa/Cairo":        {"2026-04-24", "2026-10-29"},
		"Antarctica/Troll":    {"2026-03-29", "2026-10-25"},
		"Antarctica/Casey":    {"2020-10-04", "2021-03-14"},
		"Asia/Pyongyang":      {"2015-08-15", "2018-05-04"},
		"Europe/Dublin":       {"2026-03-29", "2026-10-25"},
		"Asia/Kathmandu":      {"2026-03-29", "1986-01-01"},
		"Pacific/Apia":        {"2011-12-30", "2012-04-01"},
		"America/Caracas":     {"2007-12-09", "2016-05-01"},
		"Asia/Gaza":           {"2026-03-28", "2026-10-31"},
	}
	some := func(n int) (numbers []int) { // of 0 to n-1
		for range 1 + r.IntN(4) {
			numbers = append(numbers, r.IntN(n))
		}
		slices.Sort(numbers)
		return slices.Compact(numbers)
	}
	list := func(numbers []int) string {
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ",")
	}
	for _, name := range slices.Sorted(maps.Keys(nights)) { // with the same numbers each time
		z := zone(t, name)
		for _, day := range nights[name] {
			middle, err := time.ParseInLocation("2006-01-02", day, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			from, to := middle.AddDate(0, 0, -2), middle.AddDate(0, 0, 3)
			shown := instants(z, from, to)
			for range 40 {
				minutes, hours := some(60), some(5)
				if r.IntN(3) == 0 {
					hours = append(hours, 22, 23)
				}
				fields := list(minutes) + " " + list(hours) + " * * *"
				all := r.IntN(4) == 0
				if all {
					hours = nil
					for h := range 24 {
						hours = append(hours, h)
					}
					fields = list(minutes) + " * * * *"
				}
				var got []string
				for tick := range parse(t, Entry{Cron: fields, Zone: z}).Ticks(from, to) {
					got = append(got, tick.At.Format("02 15:04"))
				}
				want := byLocalTimes(shown, minutes, hours, all, from, to)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, %s around %s (-want +got):\n%s", name, fields, day, diff)
				}
			}
		}
	}
}

const localTime = "2006-01-02 15:04"

// instants says which instants show a local time, for some days around.
func instants(z *time.Location, from, to time.Time) map[string][]time.Time {
	shown := make(map[string][]time.Time)
	for at := from.AddDate(0, 0, -3); at.Before(to.AddDate(0, 0, 3)); at = at.Add(time.Minute) {
		local := at.In(z).Format(localTime)
		shown[local] = append(shown[local], at)
	}
	return shown
}

func byLocalTimes(shown map[string][]time.Time, minutes, hours []int, all bool, from, to time.Time) []string {
	var ticks []time.Time
	for day := from.AddDate(0, 0, -2); day.Before(to.AddDate(0, 0, 2)); day = day.AddDate(0, 0, 1) {
		for _, h := range hours {
			for _, m := range minutes {
				meant := day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
				at := shown[meant.Format(localTime)]
				switch {
				case all:
					ticks = append(ticks, at...)
				case len(at) > 0:
					ticks = append(ticks, at[0])
				default:
					// The clocks went on as they were at the last local time
					// that was shown before.
					before, after := meant, time.Duration(0)
					for len(shown[before.Format(localTime)]) == 0 {
						before, after = before.Add(-time.Minute), after+time.Minute
					}
					ticks = append(ticks, shown[before.Format(localTime)][0].Add(after))
				}
			}
		}
	}
	slices.SortFunc(ticks, time.Time.Compare)
	var texts []string
	for _, at := range ticks {
		if !at.Before(from) && at.Before(to) {
			texts = append(texts, at.Format("02 15:04"))
		}
	}
	return slices.Compact(texts)
}

func TestTicksBounds(t *testing.T) {
	s := parse(t, Entry{Cron: "0 * * * *"})
	at := func(clock string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, "2026-07-01T"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, test := range []struct {
		from, to string
		want     int
	}{
		{"10:00:00", "11:00:00", 1},           // from is in it, to is not
		{"10:00:00", "11:00:00.000000001", 2}, //
		{"10:00:00.000000001", "11:00:00", 0},
		{"10:00:00", "10:00:00", 0},
		{"10:00:00", "09:00:00", 0},
	} {
		n := 0
		for range s.Ticks(at(test.from), at(test.to)) {
			n++
		}
		if n != test.want {
			t.Errorf("from %s to %s: %d ticks; want %d", test.from, test.to, n, test.want)
		}
	}
}
