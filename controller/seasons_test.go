package controller_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/drift"
)

// shop is a file of some days from one on, a row a minute, of a shop that is
// emptier on Saturdays and Sundays.
func shop(t *testing.T, dir, name, from string, n int, shift float64) {
	t.Helper()
	at, err := time.Parse(time.DateOnly, from)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(at.Unix()), 7))
	var b bytes.Buffer
	b.WriteString("at,customers,baskets\n")
	for range n * 1440 {
		level := 100.
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
			level = 40
		}
		fmt.Fprintf(&b, "%s,%.2f,%.2f\n", at.Format("2006-01-02 15:04"), level+shift+10*r.NormFloat64(), level/2+shift+5*r.NormFloat64())
		at = at.Add(time.Minute)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestSeasons has a window compared with the same days of the champion's week: by its
// objects, a day each, or by the rows of one.
func TestSeasons(t *testing.T) {
	days := t.TempDir()
	shop(t, days, "reference.csv", "2024-01-01", 1, 0) // a Monday
	byObject := history{dir: days, Format: "csv"}
	for i := range 8 { // to the Sunday; the next Saturday, and what is like none
		name := fmt.Sprintf("batch_%02d.csv", i+1)
		from := time.Date(2024, 1, 2+i, 0, 0, 0, 0, time.UTC)
		switch i {
		case 6, 7:
			from = time.Date(2024, 1, 13, 0, 0, 0, 0, time.UTC)
		}
		shop(t, days, name, from.Format(time.DateOnly), 1, map[int]float64{7: -30}[i])
		byObject.batches = append(byObject.batches, name)
	}
	month := t.TempDir()
	shop(t, month, "reference.csv", "2024-01-01", 28, 0)
	shop(t, month, "batch_01.csv", "2024-02-03", 2, 0)
	shop(t, month, "batch_02.csv", "2024-02-10", 2, -30)
	byRow := history{dir: month, Format: "csv", batches: []string{"batch_01.csv", "batch_02.csv"}}
	type want struct {
		verdict drift.Verdict
		part    string // empty: all of it
	}
	for name, test := range map[string]struct {
		h    history
		rule string
		rows bool
		want map[string]want
	}{
		"objects": {byObject, "true", false, map[string]want{
			"batch_07.csv": {drift.None, "Saturday"}, "batch_08.csv": {drift.Drift, ""},
		}},
		"rows": {byRow, "false", true, map[string]want{
			"batch_01.csv": {drift.None, "Saturday to Sunday"}, "batch_02.csv": {drift.Drift, ""},
		}},
		"rows that cannot be read": {byRow, "false", false, map[string]want{
			"batch_01.csv": {drift.Drift, ""},
		}},
	} {
		got := test.h.replay(t, test.rule, test.rows)
		for batch, want := range test.want {
			c, part := got.comparison(t, batch), ""
			if c.Season != nil {
				part = c.Season.Part
			}
			if c.Verdict != want.verdict || part != want.part {
				t.Errorf("%s, %s: %s against %q, want %s against %q", name, batch, c.Verdict, part, want.verdict, want.part)
			}
		}
	}
}
