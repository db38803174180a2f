package drift

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
)

// TestRetrain replays real histories with a model of gradient boosting that is
// retrained when [Due] says so, on all rows so far, against one that never is and
// one that always is. The metric is the mean over the batches of what the README of the data
// names: AUC, or the mean absolute error.
func TestRetrain(t *testing.T) {
	if raceDetector {
		t.Skip("nothing here is concurrent, and it is ten times as slow")
	}
	for name, metric := range map[string]string{"elec2": "auc", "bike": "mae", "bank": "auc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := shared(t, "drift/datasets/"+name)
			var schema historySchema
			readJSON(t, filepath.Join(dir, "schema.json"), &schema)
			parts, err := filepath.Glob(filepath.Join(dir, "batch_*"))
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(parts)
			parts = append([]string{filepath.Join(dir, "reference."+schema.Format)}, parts...)
			opt := Options{Target: schema.Target, Ignore: schema.Ignore}
			first := build(t, parts[0], nil)
			columns := WitnessColumns(first, opt)
			profiles := []*profile.Profile{}
			for _, path := range parts {
				profiles = append(profiles, build(t, path, first.Schema()))
			}
			// rows are those before batch n.
			rows := func(from, n int) *witness.Rows {
				all := &witness.Rows{}
				for _, path := range parts[from:n] {
					f, err := os.Open(path)
					if err != nil {
						t.Fatal(err)
					}
					err = all.Add(t.Context(), f, path, dataset.Options{Columns: first.Schema()})
					f.Close()
					if err != nil {
						t.Fatal(err)
					}
				}
				return all
			}
			trained := map[int]*witness.Witness{}
			train := func(n int) *witness.Witness {
				if trained[n] == nil {
					w, err := witness.New(rows(0, n), schema.Target, columns)
					if err != nil {
						t.Fatal(err)
					}
					trained[n] = w
				}
				return trained[n]
			}
			worth := func(w *witness.Witness, batch *witness.Rows) (float64, witness.Quality) {
				q, ok := w.Judge(batch)
				i := slices.IndexFunc(q.Metrics, func(m witness.Metric) bool { return m.Metric == metric })
				if !ok || i < 0 {
					t.Fatalf("no %s", metric)
				}
				return q.Metrics[i].Current, q
			}
			var never, told, always float64
			at, retrained, batches := 1, 0, len(parts)-1
			for i := 1; i <= batches; i++ {
				batch := rows(i, i+1)
				n, _ := worth(train(1), batch)
				a, _ := worth(train(i), batch)
				v, q := worth(train(at), batch)
				never, told, always = never+n/float64(batches), told+v/float64(batches), always+a/float64(batches)
				reference := profile.Merge(profiles[:at]...)
				opt.Quality = &q
				_, due := Due(Compare(reference, profiles[i], opt), profile.Merge(profiles[at:i+1]...).Counts.Rows, reference.Counts.Rows)
				if due && i < batches {
					at, retrained = i+1, retrained+1
				}
			}
			gain := (told - never) / (always - never)
			t.Logf("%s: %s never %.4f, when told %.4f, always %.4f: %.0f %% of the gain with %d retrainings for %d batches", name, metric, never, told, always, 100*gain, retrained, batches)
			if gain < 0.9 || 2*retrained > batches {
				t.Errorf("%.1f %% of the gain with %d retrainings for %d batches: want 90 %% with half as many", 100*gain, retrained, batches)
			}
		})
	}
}
