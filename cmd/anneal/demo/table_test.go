package demo

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

var update = flag.Bool("update", false, "rewrite testdata")

func value(v float64) *float64 { return &v }

func exampleTable() Table {
	return Table{
		Metric: "accuracy",
		Batches: []Batch{
			{Name: "reference.csv", Rows: 5952, Verdict: anneal.VerdictRun, Reason: "first"},
			{Name: "batch_01.csv", Rows: 1488, Drift: value(0.125), Verdict: anneal.VerdictHold, Reason: "no rule is true: drift.share is 0.12, want 0.5", Model: "market@1", Live: value(0.872), Never: value(0.872)},
			{Name: "batch_02.csv", Rows: 1488, Drift: value(0.75), Verdict: anneal.VerdictRun, Reason: "drifted", Model: "market@1", Live: value(0.598), Never: value(0.598)},
			{Name: "batch_03.csv", Rows: 1488, Drift: value(0), Verdict: anneal.VerdictHold, Model: "market@2", Live: value(0.87), Never: value(0.586)},
			{Name: "batch_04.csv", Rows: 1000, Drift: value(0.25), Verdict: anneal.VerdictError, Reason: "größer als\nerwartet\x1b", Model: "market@2", Live: value(0.5), Never: value(0.6)},
		},
		Runs: 2, Promoted: 2,
	}
}

// TestTable compares tables with testdata; -update rewrites them.
func TestTable(t *testing.T) {
	bike := Table{
		Metric: "mae", LowerIsBetter: true,
		Batches: []Batch{
			{Name: "batch_01.csv", Rows: 745, Drift: value(0.64), Verdict: anneal.VerdictHold, Reason: "drifted: 745 rows, want 1825", Model: "bike@1", Live: value(85.7), Never: value(85.7)},
			{Name: "a batch with a rather long name.csv", Rows: 730, Drift: value(0.5), Verdict: anneal.VerdictRun, Reason: "drifted", Model: "bike@2", Live: value(58.1), Never: value(116.8)},
		},
		Runs: 1,
	}
	for name, test := range map[string]struct {
		table Table
		width int
		color bool
	}{
		"market-100.txt":   {exampleTable(), 100, false},
		"market-80.txt":    {exampleTable(), 80, false},
		"market-color.txt": {exampleTable(), 100, true},
		"bike-100.txt":     {bike, 100, false},
		"empty-80.txt":     {Table{Metric: "accuracy"}, 80, false},
	} {
		var b strings.Builder
		if err := test.table.Write(&b, test.width, test.color); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		path := filepath.Join("testdata", name)
		if *update {
			if err := write(path, []byte(got)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !test.color && strings.Contains(got, "\x1b") {
			t.Errorf("%s: colour where none is wanted", name)
		}
		text, _, _ := strings.Cut(got, "\n\n") // the totals are a sentence
		for line := range strings.Lines(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > test.width {
				t.Errorf("%s: a line of %d columns, want at most %d: %s", name, n, test.width, line)
			}
		}
	}
}

func TestMeans(t *testing.T) {
	table := Table{Batches: []Batch{
		{Rows: 100, Live: value(0.5), Never: value(0.5)},
		{Rows: 300, Live: value(0.9), Never: value(0.1)},
		{Rows: 999},
	}}
	live, never, ok := table.Means()
	if !ok || live != 0.8 || never != 0.2 {
		t.Errorf("means are %g and %g (%v), want 0.8 and 0.2", live, never, ok)
	}
	if _, _, ok := (Table{}).Means(); ok {
		t.Error("a table without measurements has means")
	}
}

func TestColored(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Colored(f, func(string) string { return "" }) {
		t.Error("colour into a file")
	}
	null, err := os.Open(os.DevNull) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for env, want := range map[string]bool{"": true, "NO_COLOR=1": false, "TERM=dumb": false, "TERM=xterm": true} {
		key, v, _ := strings.Cut(env, "=")
		if got := Colored(null, func(k string) string {
			if k == key {
				return v
			}
			return ""
		}); got != want {
			t.Errorf("with %q: %v, want %v", env, got, want)
		}
	}
}
