package drift

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// TestRealData compares every batch of the real data sets, CSV, JSON Lines and
// Parquet, with its reference, and each number with what SciPy and pandas gave: the profiles are
// exact at this size.
func TestRealData(t *testing.T) {
	for _, name := range []string{"elec2", "bike", "bank", "employment"} {
		t.Run(name, func(t *testing.T) {
			dir := shared(t, "drift/datasets/"+name)
			var schema struct {
				Target, Format string
				Categorical    []string
			}
			readJSON(t, filepath.Join(dir, "schema.json"), &schema)
			var expected struct {
				Batches []struct {
					Batch   string
					Rows    int64
					Columns map[string]struct {
						KS         *float64
						P          *float64 `json:"ks_p_asymp"`
						PSI        *float64 `json:"psi_quantile10"`
						Chi2       *float64
						Chi2P      *float64 `json:"chi2_p"`
						MissingCur int64    `json:"missing_cur"`
						Test       string   // Evidently's choice
						Score      *float64 // of that test
						Drifted    bool
					}
				}
			}
			readJSON(t, filepath.Join(dir, "expected.json"), &expected)
			types := map[string]dataset.Type{}
			for _, c := range schema.Categorical {
				types[c] = dataset.Categorical
			}
			ref := build(t, filepath.Join(dir, "reference."+schema.Format), types)

			checked := 0
			check := func(batch, column, what string, got float64, want *float64) {
				t.Helper()
				if want == nil {
					return
				}
				checked++
				if math.Abs(got-*want) > 1e-8*math.Abs(*want)+1e-12 {
					t.Errorf("%s, %s: %s = %.10g, want %.10g", batch, column, what, got, *want)
				}
			}
			for _, b := range expected.Batches {
				cur := build(t, filepath.Join(dir, b.Batch+"."+schema.Format), ref.Schema())
				if cur.Counts.Rows != b.Rows {
					t.Errorf("%s: %d rows, want %d", b.Batch, cur.Counts.Rows, b.Rows)
				}
				c := Compare(ref, cur, Options{Target: schema.Target})
				for name, want := range b.Columns {
					got := column(t, c, name)
					p, q := ref.Column(name), cur.Column(name)
					if q.Missing != want.MissingCur {
						t.Errorf("%s, %s: %d missing, want %d", b.Batch, name, q.Missing, want.MissingCur)
					}
					if name := map[string]string{"wasserstein": "wasserstein", "jensenshannon": "js"}[want.Test]; name != "" {
						advice := test(t, got, name)
						check(b.Batch, got.Name, name, advice.Statistic, want.Score)
						if over := advice.Statistic >= advice.Threshold; over != want.Drifted {
							t.Errorf("%s, %s: %s of %v, want drift to be %v", b.Batch, got.Name, name, advice.Statistic, want.Drifted)
						}
					}
					if want.KS != nil {
						ks := test(t, got, "ks")
						if ks.Low != ks.High {
							t.Errorf("%s, %s: not exact", b.Batch, name)
						}
						check(b.Batch, name, "ks", ks.Statistic, want.KS)
						check(b.Batch, name, "psi", test(t, got, "psi").Statistic, want.PSI)
						check(b.Batch, name, "p", statistics.KSFinite(ks.Statistic, p.N(), q.N(), statistics.TwoSided), want.P)
					}
					if want.Chi2 != nil {
						var x, y []float64
						for _, k := range countsOf(p, q) {
							x = append(x, k[0])
							y = append(y, k[1])
						}
						statistic, prob, _ := statistics.ChiSquare(x, y, true)
						check(b.Batch, name, "chi2", statistic, want.Chi2)
						check(b.Batch, name, "chi2 p", prob, want.Chi2P)
					}
				}
				t.Logf("%s: share %.2f %s", b.Batch, *c.Share, c.Verdict)
			}
			if checked < 400 {
				t.Errorf("only %d numbers were compared", checked)
			}
		})
	}
}

// countsOf are the counts of every category on both sides.
func countsOf(p, q *profile.Column) map[string][2]float64 {
	both := map[string][2]float64{}
	for side, c := range []*profile.Column{p, q} {
		for _, k := range c.Categories.List() {
			counts := both[k.Name]
			counts[side] = float64(k.Count)
			both[k.Name] = counts
		}
	}
	return both
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func build(t testing.TB, path string, types map[string]dataset.Type) *profile.Profile {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Build(t.Context(), f, path, dataset.Options{Columns: types})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func column(t *testing.T, c Comparison, name string) Column {
	t.Helper()
	for _, col := range c.Columns {
		if col.Name == name {
			return col
		}
	}
	t.Fatalf("no column %q in the comparison", name)
	return Column{}
}

func test(t *testing.T, c Column, name string) Test {
	t.Helper()
	for _, x := range c.Tests {
		if x.Test == name {
			return x
		}
	}
	t.Fatalf("no test %q of column %q", name, c.Name)
	return Test{}
}
