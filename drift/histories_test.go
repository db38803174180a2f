package drift

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
)

// A history is a recorded data set with what is known of it.
type historySchema struct {
	Target, Format               string
	Numeric, Categorical, Ignore []string
}

// TestHistories replays the real histories, batch by batch, and counts alarms
// without degradation and degradation without alarm. A model was degraded where
// its accuracy or AUC was 0.05 lower, or its error 25 % higher, than over the
// newest quarter of the reference.
func TestHistories(t *testing.T) {
	if raceDetector {
		t.Skip("nothing here is concurrent, and it is ten times as slow")
	}
	type count struct{ alarms, false, missed int }
	var table strings.Builder
	total := map[string]*count{}
	judges := []string{"evidently", "nannyml", "anneal, columns alone", "anneal, columns weighed", "anneal, without labels", "anneal"}
	for _, name := range []string{"elec2", "bike", "bank", "employment"} {
		dir := shared(t, "drift/datasets/"+name)
		var schema historySchema
		readJSON(t, filepath.Join(dir, "schema.json"), &schema)
		var expected struct {
			Batches []struct {
				Batch       string
				Drift       bool `json:"dataset_drift"`
				Share       float64
				Performance struct {
					GBM struct {
						Degraded bool `json:"degraded_time_split"`
					}
				}
			}
		}
		readJSON(t, filepath.Join(dir, "expected.json"), &expected)
		types := map[string]dataset.Type{}
		for _, c := range schema.Categorical {
			types[c] = dataset.Categorical
		}
		path := func(batch string) string { return filepath.Join(dir, batch+"."+schema.Format) }
		given := build(t, path("reference"), types) // as Evidently was told
		found := build(t, path("reference"), nil)   // as anyone would begin
		chunks := chunksOf(t, path("reference"), given)
		w, err := witness.New(rowsOf(t, path("reference"), found.Schema()), schema.Target, WitnessColumns(found, Options{Target: schema.Target, Ignore: schema.Ignore}))
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]*count{}
		for _, j := range judges {
			counts[j] = &count{}
			if total[j] == nil {
				total[j] = &count{}
			}
		}
		for _, b := range expected.Batches {
			cur, curGiven := build(t, path(b.Batch), found.Schema()), build(t, path(b.Batch), given.Schema())
			others := Options{Target: schema.Target, Rules: EvidentlyRules, Chunks: chunks}
			for _, c := range given.Columns {
				if !slices.Contains(schema.Numeric, c.Name) && !slices.Contains(schema.Categorical, c.Name) {
					others.Ignore = append(others.Ignore, c.Name)
				}
			}
			own := Options{Target: schema.Target, Ignore: schema.Ignore}
			verdicts := map[string]Comparison{"evidently": Compare(given, curGiven, others)}
			others.Rules = NannyMLRules
			verdicts["nannyml"] = Compare(given, curGiven, others)
			verdicts["anneal, columns alone"] = Compare(found, cur, own)
			weighed := own // by what a model of gradient boosting goes by
			weighed.Importance = w.Importance()
			verdicts["anneal, columns weighed"] = Compare(found, cur, weighed)
			rows, unlabelled := rowsOf(t, path(b.Batch), found.Schema()), own
			if o, ok := w.Outlook(rows); ok {
				unlabelled.Outlook = &o
			}
			verdicts["anneal, without labels"] = Compare(found, cur, unlabelled)
			own.Ask(w, rows)
			verdicts["anneal"] = Compare(found, cur, own)
			if e := verdicts["evidently"]; (e.Verdict == Drift) != b.Drift || fmt.Sprintf("%.8f", *e.Share) != fmt.Sprintf("%.8f", b.Share) {
				t.Errorf("%s %s: Evidently's rules give %s with a share of %v, want drift %v with %v", name, b.Batch, e.Verdict, *e.Share, b.Drift, b.Share)
			}
			for _, j := range judges {
				alarm, degraded := verdicts[j].Verdict == Drift, b.Performance.GBM.Degraded
				for _, c := range []*count{counts[j], total[j]} {
					switch {
					case alarm && !degraded:
						c.false++
					case !alarm && degraded:
						c.missed++
					}
					if alarm {
						c.alarms++
					}
				}
			}
		}
		for _, j := range judges {
			fmt.Fprintf(&table, "%-12s %-24s %6d %6d %6d\n", name, j, counts[j].alarms, counts[j].false, counts[j].missed)
		}
		if a, e := counts["anneal"], counts["evidently"]; a.false > e.false || a.missed > e.missed {
			t.Errorf("%s: %d false and %d missed alarms, Evidently's rules give %d and %d", name, a.false, a.missed, e.false, e.missed)
		}
		if of := counts["anneal"].alarms + counts["anneal, columns alone"].alarms + counts["anneal, without labels"].alarms; name == "employment" && of > 0 {
			t.Errorf("%s: %d alarms, want none", name, of)
		}
	}
	for _, j := range judges {
		fmt.Fprintf(&table, "%-12s %-24s %6d %6d %6d\n", "all", j, total[j].alarms, total[j].false, total[j].missed)
	}
	t.Logf("\n%-12s %-24s %6s %6s %6s\n%s", "HISTORY", "RULES", "ALARMS", "FALSE", "MISSED", &table)
	for _, j := range []string{"anneal", "anneal, without labels"} {
		if a, e := total[j], total["evidently"]; a.false >= e.false || a.missed >= e.missed {
			t.Errorf("%s: %d false and %d missed alarms: want fewer than Evidently's %d and %d", j, a.false, a.missed, e.false, e.missed)
		}
	}
}

func rowsOf(t *testing.T, path string, types map[string]dataset.Type) *witness.Rows {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := &witness.Rows{}
	if err := rows.Add(t.Context(), f, path, dataset.Options{Columns: types}); err != nil {
		t.Fatal(err)
	}
	return rows
}

func chunksOf(t *testing.T, path string, p *profile.Profile) []*profile.Profile {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunks, err := profile.BuildChunks(t.Context(), f, path, dataset.Options{Columns: p.Schema()}, (p.Counts.Rows+9)/10)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}
