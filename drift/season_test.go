package drift

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

func TestPhases(t *testing.T) {
	at := func(s string) time.Time {
		v, ok := dataset.Clock([]byte(s))
		if s != "" && !ok {
			t.Fatalf("%q is no time", s)
		}
		return v
	}
	for _, test := range []struct {
		from, to, now, until string
		choice               Season
		want                 string
	}{
		{"2011-01-01", "2011-12-31", "2012-07-01", "2012-07-31", AnySeason, "[July]"},
		{"2011-01-01", "2011-12-30", "2012-07-01", "2012-07-31", AnySeason, "[]"}, // not a whole year
		{"2011-01-01", "2011-12-31", "2012-11-20", "2013-01-10", AnySeason, "[November to January]"},
		{"2011-01-01", "2011-12-31", "2012-01-01", "2012-12-31", AnySeason, "[]"}, // all of it
		{"2011-01-01", "2011-12-31", "2012-02-01", "2013-01-31", AnySeason, "[]"},
		{"2024-01-01", "2024-01-28", "2024-01-29 06:00", "2024-01-30 05:00", AnySeason, "[Monday to Tuesday]"},
		{"2024-01-01", "2024-01-28", "2024-02-03 22:00", "2024-02-04 01:59", AnySeason, "[Saturday to Sunday 22:00 to 01:59]"},
		{"2024-01-01", "2024-01-28", "2024-02-03 22:00", "2024-02-04 01:59", Day, "[22:00 to 01:59]"},
		{"2024-01-01", "2024-01-28", "2024-02-03 22:00", "2024-02-04 01:59", NoSeason, "[]"},
		{"2024-01-01", "2024-01-06", "2024-01-07", "2024-01-07", Week, "[]"},
		{"", "", "2024-01-07", "2024-01-07", AnySeason, "[]"},
	} {
		got := Phases(Span{at(test.from), at(test.to)}, Span{at(test.now), at(test.until)}, test.choice)
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s to %s, of %s to %s (%s): %v, want %s", test.now, test.until, test.from, test.to, test.choice, got, test.want)
		}
		for _, p := range got {
			if !p.Has(at(test.now)) || !p.Has(at(test.until)) {
				t.Errorf("%v has not %s or %s", p, test.now, test.until)
			}
		}
	}
	if _, err := ParseSeason("month"); err == nil {
		t.Error("a month is taken for a season")
	}
}

// days are rows of two minutes each from a day on, of shops that are emptier at the week's end
// and of a column that knows no season; each is moved by shift.
func days(from string, n int, shift, other float64, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	at, _ := dataset.Clock([]byte(from))
	var b bytes.Buffer
	b.WriteString("hour,customers,baskets,price\n")
	for range n * 720 {
		level := 100.
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
			level = 40
		}
		fmt.Fprintf(&b, "%s,%.2f,%.2f,%.3f\n", at.Format("2006-01-02 15:04"), level+shift+10*r.NormFloat64(), level/2+shift+5*r.NormFloat64(), 5+other+r.NormFloat64())
		at = at.Add(2 * time.Minute)
	}
	return b.Bytes()
}

// season compares as whoever has the rows.
func season(t *testing.T, reference, current []byte, opt Options) Comparison {
	t.Helper()
	read := func(data []byte) *profile.Profile {
		p, err := profile.Build(t.Context(), bytes.NewReader(data), "rows.csv", dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ref, cur := read(reference), read(current)
	column, of, now := TimeOf(ref, cur)
	for _, phase := range Phases(of, now, opt.Season) {
		part, err := profile.BuildPart(t.Context(), bytes.NewReader(reference), "rows.csv", dataset.Options{Columns: ref.Schema()}, column, phase.Has)
		if err != nil {
			t.Fatal(err)
		}
		opt.Seasons = append(opt.Seasons, Part{phase, part})
	}
	return Compare(ref, cur, opt)
}

// TestSeason finds no drift in a weekend that is like those before it, though it is not
// like a week, and finds what has moved beside.
func TestSeason(t *testing.T) {
	reference := days("2024-01-01", 28, 0, 0, 1) // from a Monday on
	for name, test := range map[string]struct {
		current []byte
		choice  Season
		verdict Verdict
		part    string // empty: all of the reference
		drifted int
	}{
		"a weekend":                        {days("2024-02-03", 2, 0, 0, 2), AnySeason, None, "Saturday to Sunday", 0},
		"a weekend, against all":           {days("2024-02-03", 2, 0, 0, 2), NoSeason, Drift, "", 2},
		"a weekend that all is moved in":   {days("2024-02-03", 2, -20, 2, 2), AnySeason, Drift, "", 3},
		"a weekend of other prices":        {days("2024-02-03", 2, 0, 3, 2), AnySeason, None, "Saturday to Sunday", 1},
		"two days of the week":             {days("2024-01-30", 2, 0, 0, 2), AnySeason, None, "Tuesday to Wednesday", 0},
		"of all that moved, as was chosen": {days("2024-02-03", 2, -20, 2, 2), Week, Drift, "Saturday to Sunday", 3},
		"a week":                           {days("2024-01-29", 7, 0, 0, 2), AnySeason, None, "", 0},
		"a week that has moved":            {days("2024-01-29", 7, -30, 0, 2), AnySeason, Drift, "", 2},
	} {
		c := season(t, reference, test.current, Options{Season: test.choice})
		part := ""
		if c.Season != nil {
			part = c.Season.Part
			if c.Season.Of != 28*720 || c.ReferenceRows != 8*720 {
				t.Errorf("%s: compared with %d of %d rows", name, c.ReferenceRows, c.Season.Of)
			}
		}
		if c.Verdict != test.verdict || part != test.part || c.Drifted != test.drifted {
			t.Errorf("%s: %s, %d columns against %q; want %s, %d against %q", name, c.Verdict, c.Drifted, part, test.verdict, test.drifted, test.part)
		}
	}
}

// TestNoSeason says why there is none, where one was chosen.
func TestNoSeason(t *testing.T) {
	week, weekend := days("2024-01-01", 28, 0, 0, 1), days("2024-02-03", 2, 0, 0, 2)
	timeless := func(data []byte) []byte { return bytes.ReplaceAll(data, []byte("2024-"), []byte("then ")) }
	for name, c := range map[string]struct {
		reference, current []byte
		opt                Options
		want               string
	}{
		"it is compared with":  {week, weekend, Options{Season: Week}, ""},
		"none was chosen":      {timeless(week), weekend, Options{Season: AnySeason}, ""},
		"no times":             {timeless(week), timeless(weekend), Options{Season: Week}, "no column of both has dates or times, written year first"},
		"times on one side":    {week, timeless(weekend), Options{Season: Week}, "no column of both has dates or times, written year first"},
		"a short history":      {week, weekend, Options{Season: Year}, "the reference does not span a year: 2024-01-01 00:00 to 2024-01-28 23:58 in hour"},
		"all of it":            {week, week, Options{Season: Week}, "the current data are a whole week: 2024-01-01 00:00 to 2024-01-28 23:58 in hour"},
		"few rows of that day": {week, weekend, Options{Season: Week, MinRows: 10_000}, "the reference has 5760 rows of Saturday to Sunday: want 10000"},
	} {
		if got := season(t, c.reference, c.current, c.opt).NoSeason; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSeasonOfBike compares the months of a year with the same ones of the year before.
func TestSeasonOfBike(t *testing.T) {
	dir := shared(t, "drift/datasets/bike")
	var reference []byte
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for i, name := range []string{"reference", "batch_01", "batch_02", "batch_03", "batch_04", "batch_05", "batch_06"} {
		data := file(name + ".csv")
		if i > 0 {
			_, data, _ = bytes.Cut(data, []byte("\n"))
		}
		reference = append(reference, data...)
	}
	var all, same int
	for i := 7; i <= 18; i++ {
		current, opt := file(fmt.Sprintf("batch_%02d.csv", i)), Options{Target: "cnt", Ignore: []string{"instant", "yr", "casual", "registered"}}
		if c := season(t, reference, current, opt); c.Season != nil {
			t.Errorf("batch %d: %+v, with no choice", i, c.Season)
		} else if c.Verdict == Drift {
			all++
		}
		opt.Season = AnySeason
		c := season(t, reference, current, opt)
		if month := time.Month(i - 6).String(); c.Season != nil && c.Season.Part != month {
			t.Errorf("batch %d is compared with %+v, want %s or all", i, c.Season, month)
		}
		if c.Verdict == Drift {
			same++
		}
	}
	t.Logf("of 12 months %d have drifted from the year before, and %d from the same month of it", all, same)
	if all < 9 || 3*same > all {
		t.Errorf("%d months have drifted from the year before, and %d from the same month of it: want most, and a third of them at most", all, same)
	}
}

// TestSeasonIsReadAgain has the columns read again that sketches leave open of a part of
// the reference, and its rows alone: what comes of it is as if it were all there is.
func TestSeasonIsReadAgain(t *testing.T) {
	reference, current := days("2024-01-01", 84, 0, 0, 1), days("2024-03-30", 2, 2, 0, 2) // the weekends of twelve weeks
	lines := bytes.SplitAfter(reference, []byte("\n"))
	weekends := bytes.Clone(lines[0])
	for _, line := range lines[1:] {
		if at, ok := dataset.Clock(line[:min(16, len(line))]); ok && (at.Weekday() == time.Saturday || at.Weekday() == time.Sunday) {
			weekends = append(weekends, line...)
		}
	}
	both := []Choice{{Test: "ks"}, {Test: "cvm"}}
	compare := func(reference []byte, choice Season, within bool, tests []Choice, want ...string) Comparison {
		read := func(data []byte) *profile.Profile {
			p, err := profile.Build(t.Context(), bytes.NewReader(data), "rows.csv", dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		opt := Options{Season: choice, Tests: tests}
		ref, cur := read(reference), read(current)
		column, of, now := TimeOf(ref, cur)
		for _, phase := range Phases(of, now, choice) {
			part, err := profile.BuildPart(t.Context(), bytes.NewReader(reference), "rows.csv", dataset.Options{Columns: ref.Schema()}, column, phase.Has)
			if err != nil {
				t.Fatal(err)
			}
			opt.Seasons = append(opt.Seasons, Part{phase, part})
		}
		c := Compare(ref, cur, opt)
		open := Undecided(c, ref, cur, opt, false)
		if !slices.Equal(open, want) {
			t.Fatalf("%s: %q are open, want %q", choice, open, want)
		}
		against, phase := c.Against(ref)
		again := NewAgain(against, cur, opt, open, false)
		if phase != nil && within {
			again.Within(column, *phase)
		}
		for again.More() {
			for _, side := range []struct {
				data []byte
				read func(context.Context, io.Reader, string, dataset.Options) error
			}{{reference, again.Reference}, {current, again.Current}} {
				if err := side.read(t.Context(), bytes.NewReader(side.data), "rows.csv", dataset.Options{Columns: ref.Schema()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		opt.Exact = again.Exact()
		return Compare(ref, cur, opt)
	}
	part, alone := compare(reference, Week, true, both, "customers", "price"), compare(weekends, NoSeason, false, both, "customers", "price") // there are few numbers of baskets
	if part.Season == nil || part.Season.Part != "Saturday to Sunday" || part.ReferenceRows != alone.ReferenceRows {
		t.Fatalf("compared with %+v, %d rows of %d", part.Season, part.ReferenceRows, alone.ReferenceRows)
	}
	for _, name := range []string{"customers", "price"} {
		got, want := column(t, part, name), column(t, alone, name)
		for _, of := range []string{"ks", "cvm"} {
			if a, b := test(t, got, of), test(t, want, of); a.Statistic != b.Statistic || a.Low != a.High || *a.PValue != *b.PValue {
				t.Errorf("%s of %s: %v in [%v, %v], want %v", of, name, a.Statistic, a.Low, a.High, b.Statistic)
			}
		}
	}
	// Rows that are not those of the part are no reason to be sure.
	if c := compare(reference, Week, false, both, "customers", "price"); len(column(t, c, "price").Tests) > 2 {
		t.Errorf("of all rows, a part has %v", column(t, c, "price").Tests)
	}
	// A test that sketches know nothing of shows no season: it is the whole, as was read.
	if c := compare(reference, AnySeason, true, both[1:], "customers", "baskets", "price"); c.Season != nil || c.Verdict != Drift || c.Tested != 3 {
		t.Errorf("by what is read alone: %s, %d columns tested, season %+v; want drift of 3 from the whole", c.Verdict, c.Tested, c.Season)
	}
}
