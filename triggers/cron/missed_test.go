package cron

import (
	"fmt"
	"testing"
	"time"
)

// Every day at 02:00, and what is owed of it at a time when the last tick in the
// journal is of the 1st.
func TestMissed(t *testing.T) {
	at := func(day int, clock string) time.Time {
		v, err := time.Parse(time.DateTime, fmt.Sprintf("2026-07-%02d %s", day, clock))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, test := range []struct {
		catchUp  CatchUp
		max      int
		deadline time.Duration
		day      int
		clock    string
		want     string // days given, how many skipped, day through
	}{
		{None, 0, 0, 2, "01:59:59", "[] 0 1"},
		{None, 0, 0, 2, "02:00:00", "[2] 0 2"},
		{None, 0, 0, 2, "02:01:00", "[2] 0 2"},
		{None, 0, 0, 2, "02:01:01", "[] 1 2"},
		{None, 0, 0, 5, "02:00:10", "[5] 3 5"},
		{None, 0, 0, 5, "12:00:00", "[] 4 5"},

		{Latest, 0, 0, 2, "12:00:00", "[2] 0 2"},
		{Latest, 0, 0, 5, "12:00:00", "[5] 3 5"},
		{Latest, 0, 0, 5, "02:00:10", "[5] 3 5"}, // the one on time is the latest
		{Latest, 0, 6 * time.Hour, 5, "08:00:00", "[5] 3 5"},
		{Latest, 0, 6 * time.Hour, 5, "08:00:01", "[] 4 5"},

		{All, 0, 0, 5, "12:00:00", "[2 3 4 5] 0 5"},
		{All, 0, 0, 5, "02:00:10", "[2 3 4 5] 0 5"},
		{All, 3, 0, 5, "12:00:00", "[3 4 5] 1 5"},
		{All, 2, 0, 5, "02:00:10", "[3 4 5] 1 5"}, // what is on time is not made up
		{All, 0, 36 * time.Hour, 5, "12:00:00", "[4 5] 2 5"},
		{All, 1, 36 * time.Hour, 5, "12:00:00", "[5] 3 5"},
		{All, 0, 0, 31, "12:00:00", "[8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31] 6 31"},

		{All, 0, 0, 1, "01:00:00", "[] 0 1"}, // the clock went back
	} {
		s := parse(t, Entry{Cron: "0 2 * * *", CatchUp: test.catchUp, Max: test.max, Deadline: test.deadline})
		m := s.Missed(at(1, "02:00:00"), at(test.day, test.clock))
		days := []int{}
		for _, tick := range m.Ticks {
			days = append(days, tick.At.Day())
		}
		if got := fmt.Sprint(days, m.Skipped, m.Through.Day()); got != test.want {
			t.Errorf("catchUp %s, max %d, deadline %s, on the %d at %s: got %s; want %s",
				test.catchUp, test.max, test.deadline, test.day, test.clock, got, test.want)
		}
	}
}

// A known tick from long ago is no reason to count for long, nor to look again
// at what cannot be owed.
func TestMissedLongAgo(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	minutely := parse(t, Entry{Cron: "* * * * *", CatchUp: All}).Missed(time.Unix(0, 0), now)
	// The last two are on time.
	if len(minutely.Ticks) != 24+2 || minutely.Skipped != 366*24*60+1-24-2 || !minutely.Through.Equal(now) {
		t.Errorf("every minute since 1970: %d given, %d skipped, through %s", len(minutely.Ticks), minutely.Skipped, minutely.Through)
	}
	leap := parse(t, Entry{Cron: "0 0 29 2 *", CatchUp: All}).Missed(time.Unix(0, 0), now)
	if len(leap.Ticks) != 0 || !leap.Through.After(now.AddDate(-1, -1, 0)) {
		t.Errorf("leap days since 1970: %d given, through %s; want none, and not to be asked again", len(leap.Ticks), leap.Through)
	}
}

func TestJitter(t *testing.T) {
	from := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	plain, spread := parse(t, Entry{Cron: "0 * * * *"}), parse(t, Entry{Cron: "0 * * * *", Jitter: 10 * time.Minute})
	other := parse(t, Entry{Policy: "fraud", Trigger: "nightly", Cron: "0 * * * *", Jitter: 10 * time.Minute})
	delays := make(map[time.Duration]bool)
	same := 0
	for tick := range spread.Ticks(from, from.AddDate(0, 0, 30)) {
		delay := tick.Due.Sub(tick.At)
		if delay < 0 || delay >= 10*time.Minute || delay%time.Second != 0 {
			t.Fatalf("tick of %s comes %s later; want whole seconds under 10m", tick.At, delay)
		}
		delays[delay] = true
		for o := range other.Ticks(tick.At, tick.At.Add(1)) {
			if o.Due.Equal(tick.Due) {
				same++
			}
		}
	}
	if len(delays) < 300 || same > 20 {
		t.Errorf("of 720 ticks there are %d delays, %d of them another policy's too; want them spread", len(delays), same)
	}
	for tick := range plain.Ticks(from, from.Add(time.Hour)) {
		if tick.Due != tick.At {
			t.Errorf("without jitter, the tick of %s is due at %s", tick.At, tick.Due)
		}
	}

	// The jitter is part of when, not of what: it is fixed for all times.
	tick, _ := spread.next(from, from.Add(time.Hour))
	if got := tick.Due.Sub(tick.At); got != 149*time.Second {
		t.Errorf("tick of %s has jitter %s; want 2m29s, as in every version", tick.At, got)
	}
	if m := spread.Missed(from.Add(-1), tick.Due.Add(-1)); len(m.Ticks) != 0 || !m.Through.Equal(from.Add(-1)) {
		t.Errorf("before it is due: %+v; want nothing settled", m)
	}
	if m := spread.Missed(from.Add(-1), tick.Due); len(m.Ticks) != 1 {
		t.Errorf("when it is due: %+v; want the tick", m)
	}
}
