package drift

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
)

// BenchmarkDue retrains a model of gradient boosting, on all rows so far, never, when that
// is due, and before each batch, over histories that begin later, whose batches are twice
// as long, or whose first model has seen more: the mean of AUC, or of the mean absolute
// error, over the batches. It takes minutes: `-benchtime 1x`.
func BenchmarkDue(b *testing.B) {
	for _, name := range []string{"elec2", "bike", "bank"} {
		metric := map[string]string{"elec2": "auc", "bike": "mae", "bank": "auc"}[name]
		dir := shared(b, "drift/datasets/"+name)
		var schema historySchema
		readJSON(b, filepath.Join(dir, "schema.json"), &schema)
		files, err := filepath.Glob(filepath.Join(dir, "batch_*."+schema.Format))
		if err != nil {
			b.Fatal(err)
		}
		reference := filepath.Join(dir, "reference."+schema.Format)
		variants := map[string][][]string{"whole": {{reference}}, "from-2": {{reference}}, "from-4": {{reference}}, "pairs": {{reference}}, "more-first": {append([]string{reference}, files[:3]...)}}
		for i, f := range files {
			one := []string{f}
			variants["whole"] = append(variants["whole"], one)
			if i >= 1 {
				variants["from-2"] = append(variants["from-2"], one)
			}
			if i >= 3 {
				variants["from-4"] = append(variants["from-4"], one)
				variants["more-first"] = append(variants["more-first"], one)
			}
			if i%2 == 0 {
				variants["pairs"] = append(variants["pairs"], files[i:min(i+2, len(files))])
			}
		}
		for _, variant := range []string{"whole", "from-2", "from-4", "pairs", "more-first"} {
			b.Run(name+"/"+variant, func(b *testing.B) {
				for b.Loop() {
					never, told, always, trainings := whenDue(b, variants[variant], schema, metric)
					b.ReportMetric(never, "never")
					b.ReportMetric(told, "when-due")
					b.ReportMetric(always, "always")
					b.ReportMetric(float64(trainings)/float64(len(variants[variant])-1), "trainings/batch")
				}
			})
		}
	}
}

// whenDue plays a history whose first part is what the first model is trained on.
func whenDue(b *testing.B, parts [][]string, schema historySchema, metric string) (never, told, always float64, trainings int) {
	b.Helper()
	opt := Options{Target: schema.Target, Ignore: schema.Ignore}
	var types map[string]dataset.Type
	read := func(into *witness.Rows, part []string) *profile.Profile {
		var all []*profile.Profile
		for _, path := range part {
			p := build(b, path, types)
			if types == nil {
				types = p.Schema()
			}
			all = append(all, p)
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if err := into.Add(b.Context(), f, path, dataset.Options{Columns: types}); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
		return profile.Merge(all...)
	}
	so := &witness.Rows{}
	known := read(so, parts[0])
	trained, newRows := known, int64(0)
	var saved Savings
	columns := WitnessColumns(known, opt)
	champion, err := witness.New(so, opt.Target, columns)
	if err != nil {
		b.Fatal(err)
	}
	first, freshest := champion, champion
	batches := float64(len(parts) - 1)
	for i, part := range parts[1:] {
		batch := &witness.Rows{}
		current := read(batch, part)
		never += first.Worth(batch)[metric] / batches
		told += champion.Worth(batch)[metric] / batches
		always += freshest.Worth(batch)[metric] / batches
		asked := opt
		asked.Ask(champion, batch)
		newRows += current.Counts.Rows
		saved = saved.See(strconv.Itoa(i))
		_, due := Due(Compare(trained, current, asked), newRows, saved)
		read(so, part)
		known = profile.Merge(known, current)
		if i == len(parts)-2 {
			break
		}
		if freshest, err = witness.New(so, opt.Target, columns); err != nil {
			b.Fatal(err)
		}
		if due {
			champion, trained, newRows, saved = freshest, known, 0, saved.Pay()
			trainings++
		}
	}
	return never, told, always, trainings
}

// TestDue says of a comparison, of the rows since the training and of what is saved
// whether a retraining is due.
func TestDue(t *testing.T) {
	half, less := 0.5, 0.4
	seen := func(fall float64) *witness.Quality { return &witness.Quality{Fall: fall} }
	for _, test := range []struct {
		name  string
		c     Comparison
		rows  int64
		saved int
		due   bool
		why   string
	}{
		{"worse", Comparison{Quality: seen(0.34)}, 100, 2, true, "what it learnt has lost 0.34 of a tolerance"},
		{"worse, and little saved", Comparison{Quality: seen(5)}, 100, 1, false, "what it learnt has lost 5.00 of a tolerance, but only 1 of the 2 windows that a retraining costs have come"},
		{"little worse", Comparison{Quality: seen(0.3)}, 100, 5, false, "what it learnt has lost 0.30 of a tolerance, and 100 rows are new to a model of 1000: worth it once 6 windows are saved, and 5 are"},
		{"little worse, and much saved", Comparison{Quality: seen(0.01)}, 100, 6, true, "what it learnt has lost 0.01 of a tolerance, and 6 windows are saved"},
		{"better", Comparison{Quality: seen(-0.2)}, 100, 8, false, "what it learnt has gained 0.20 of a tolerance, and 100 rows are new to a model of 1000"},
		{"columns and rows", Comparison{Share: &half}, 500, 2, true, "half of the columns have drifted, and 500 rows are new to a model of 1000"},
		{"columns and few rows", Comparison{Share: &half}, 499, 8, false, "499 rows are new to a model of 1000"},
		{"rows alone", Comparison{Share: &less, Quality: seen(-1)}, 500, 6, true, "500 rows are new to a model of 1000, and 6 windows are saved"},
		{"rows alone, and little saved", Comparison{Share: &less}, 500, 5, false, "500 rows are new to a model of 1000: worth it once 6 windows are saved, and 5 are"},
		{"a season's part", Comparison{Share: &half, Season: &Seasonal{Of: 2000}}, 500, 8, false, "500 rows are new to a model of 2000"},
	} {
		test.c.ReferenceRows = 1000
		why, due := Due(test.c, test.rows, Savings{"w", test.saved})
		if due != test.due || why != test.why {
			t.Errorf("%s: due %t, %q; want %t, %q", test.name, due, why, test.due, test.why)
		}
	}
}

// TestSavings retrains whenever that is due: the models that serve a window are no more than
// half of the windows, rounded up, and where it is always worth it every second has one.
func TestSavings(t *testing.T) {
	always, never := Comparison{Quality: &witness.Quality{Fall: 9}}, Comparison{Quality: &witness.Quality{}, ReferenceRows: 1 << 40}
	for _, test := range []struct {
		name    string
		windows []Comparison
		after   []int
	}{
		{"always", slices.Repeat([]Comparison{always}, 8), []int{1, 2, 4, 6, 8}},
		{"late", append(slices.Repeat([]Comparison{never}, 5), slices.Repeat([]Comparison{always}, 6)...), []int{6, 7, 8, 9, 10, 11}},
		{"later", append(slices.Repeat([]Comparison{never}, 50), slices.Repeat([]Comparison{always}, 10)...), []int{51, 52, 53, 54, 55, 56, 57, 59}},
		{"never", slices.Repeat([]Comparison{never}, 8), nil},
	} {
		var saved Savings
		var after []int
		for i, c := range test.windows {
			saved = saved.See(strconv.Itoa(i))
			if again := saved.See(strconv.Itoa(i)); again != saved {
				t.Fatalf("%s: looked at again, a window makes %+v of %+v", test.name, again, saved)
			}
			if _, due := Due(c, 0, saved); due {
				after, saved = append(after, i+1), saved.Pay()
			}
		}
		if !slices.Equal(after, test.after) {
			t.Errorf("%s: retrained after the windows %v, want %v", test.name, after, test.after)
		}
		serving := len(after)
		if serving > 0 && after[serving-1] == len(test.windows) {
			serving-- // no window comes after the last
		}
		if 2*serving > len(test.windows)+1 {
			t.Errorf("%s: %d models for %d windows", test.name, serving, len(test.windows))
		}
	}
	if debt := (Savings{"w", 1}).Pay(); debt.Saved != 0 {
		t.Errorf("a retraining that could not be paid leaves %d windows saved, want 0", debt.Saved)
	}
}
