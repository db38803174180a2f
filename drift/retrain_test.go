package drift

import (
	"os"
	"path/filepath"
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
		_, due := Due(Compare(trained, current, asked), newRows)
		read(so, part)
		known = profile.Merge(known, current)
		if i == len(parts)-2 {
			break
		}
		if freshest, err = witness.New(so, opt.Target, columns); err != nil {
			b.Fatal(err)
		}
		if due {
			champion, trained, newRows = freshest, known, 0
			trainings++
		}
	}
	return never, told, always, trainings
}
