package cron

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	whole := func(change func(*Entry)) Entry {
		e := Entry{Policy: "churn", Trigger: "nightly", Cron: "30 2 * * *", Zone: time.UTC}
		change(&e)
		return e
	}
	fields := func(cron string) Entry { return whole(func(e *Entry) { e.Cron = cron }) }
	for _, test := range []struct {
		entry Entry
		want  string // in the error; empty: there is none
	}{
		{fields("30 2 * * *"), ""},
		{fields("  */15\t9-17 1,15 jan-mar MON-FRI "), ""},
		{fields("0 0 29 2 *"), ""},
		{fields("0 0 ? * 0"), ""},
		{fields("5/20 * * * *"), ""},
		{fields(""), "cron: is missing; want five fields"},
		{fields("@daily"), "cron: \"@daily\": want five fields, such as `0 * * * *` for @hourly"},
		{fields("@every 5m"), "want five fields"},
		{fields("TZ=Europe/Berlin 30 2 * * *"), "the zone is the policy's timeZone"},
		{fields("TZ=0"), "the zone is the policy's timeZone"},
		{fields("CRON_TZ=UTC 0 * * * *"), "the zone is the policy's timeZone"},
		{fields("30 2 * *"), "has 4 fields; want five"},
		{fields("0 30 2 * * *"), "has 6 fields; want five"},
		{fields("60 2 * * *"), `cron: minute "60": end of range (60) above maximum (59)`},
		{fields("0 24 * * *"), `cron: hour "24"`},
		{fields("0 0 0 * *"), `cron: day of month "0"`},
		{fields("0 0 * 13 *"), `cron: month "13"`},
		{fields("0 0 * * 7"), "(Sunday is 0)"},
		{fields("0 0 * * fri-mon"), `cron: day of week "fri-mon"`},
		{fields("*-5 * * * *"), `cron: minute "*-5": want a number`},
		{fields("1,,2 * * * *"), `cron: minute "": want a number`},
		{fields("+5 * * * *"), `cron: minute "+5": want a number`},
		{fields("1/0 * * * *"), "step of range should be a positive number"},
		{fields("99999999999999999999 * * * *"), `cron: minute "99999999999999999999"`},
		{fields("0 0 31 2 *"), "never happens"},
		{fields("0 0 31 4,6,9,11 *"), "never happens"},
		{whole(func(e *Entry) { e.Zone = nil }), "timeZone: is missing; want an IANA zone"},
		{whole(func(e *Entry) { e.Zone = time.Local }), "timeZone: is missing; want an IANA zone"},
		{whole(func(e *Entry) { e.Zone = time.FixedZone("", 3600) }), `timeZone: ""`},
		{whole(func(e *Entry) { e.Zone = time.FixedZone("UTC+1", 3600) }), `timeZone: "UTC+1"`},
		{whole(func(e *Entry) { e.Policy = "" }), "want the names of a policy and a trigger"},
		{whole(func(e *Entry) { e.CatchUp = "some" }), `catchUp: "some": want none, latest or all`},
		{whole(func(e *Entry) { e.Max = -1 }), "max: -1: want 1 to 1000"},
		{whole(func(e *Entry) { e.Max = 1001 }), "max: 1001: want 1 to 1000"},
		{whole(func(e *Entry) { e.Deadline = 59 * time.Second }), "deadline: 59s: want at least 1m0s"},
		{whole(func(e *Entry) { e.Jitter = -time.Second }), "jitter: -1s: want whole seconds"},
		{whole(func(e *Entry) { e.Jitter = time.Millisecond }), "jitter: 1ms: want whole seconds"},
		{whole(func(e *Entry) { e.Jitter = 24 * time.Hour }), ""},
		{whole(func(e *Entry) { e.Jitter = 24*time.Hour + time.Second }), "jitter: 24h0m1s: want at most 24h0m0s"},
		{whole(func(e *Entry) { e.Cron, e.Jitter = "50 23,1 * * *", 3*time.Hour }), "want at most 2h0m0s, the shortest time between two ticks"},
		{whole(func(e *Entry) { e.Cron, e.Zone = "x", nil }), "timeZone: is missing"}, // all problems are told
	} {
		_, err := Parse(test.entry)
		got := fmt.Sprint(err)
		if test.want == "" && err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%+v\ngot error %s\nwant %q in it", test.entry, got, test.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	e := parse(t, Entry{Cron: " 30  2 * * * "}).Entry()
	if e.CatchUp != None || e.Max != 24 || e.Deadline != 0 || e.Jitter != 0 || e.Cron != "30 2 * * *" {
		t.Errorf("defaults are %+v", e)
	}
}

// Whatever is a schedule has ticks that are whole minutes of local time, in
// order and each once.
func FuzzTicks(f *testing.F) {
	for _, cron := range []string{"30 2 * * *", "*/7 1-3 * * *", "0 0 29 2 *", "15 * 31 * mon", "@daily", "TZ=x", "*-3 * * * *", "59/1 23 */9 12 sat"} {
		f.Add(cron, int64(1774742400)) // 2026-03-29
		f.Add(cron, int64(1792886400)) // 2026-10-25
	}
	lordHowe := zone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, cron string, start int64) {
		s, err := Parse(Entry{Policy: "p", Trigger: "t", Cron: cron, Zone: lordHowe})
		if err != nil {
			return
		}
		from := time.Unix(start%4e9, 0)
		last := from.Add(-1)
		n := 0
		for tick := range s.Ticks(from, from.Add(far)) {
			if !tick.At.After(last) || tick.At.Second() != 0 && tick.At.Year() > 1980 || tick.At.Location() != time.UTC {
				t.Fatalf("%q: %s after %s", cron, tick.At, last)
			}
			last = tick.At
			if n++; n == 200 {
				break
			}
		}
		if n == 0 {
			t.Fatalf("%q has no tick within %s of %s", cron, far, from)
		}
	})
}
