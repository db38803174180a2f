package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/policy"
)

// TestPanics has data over which reading, learning or looking again panics, as a bug
// would, be it in a goroutine of the reader's own: their event is parked, or there is no
// witness, and everything else goes on.
func TestPanics(t *testing.T) {
	files := map[string][]byte{"reference.csv": rowsOf(1, 2000, 0, false), "same.csv": rowsOf(2, 500, 0, false)}
	for of, alone := range map[string]string{
		"reference.csv": "reference: fitting a witness panicked: a tree of nothing",
		"same.csv":      "window: reading again panicked: a tree of nothing",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := serve(t, history{Target: "y"}.policy(t, "false"), opens(files), func(cfg *controller.Config) {
				cfg.Profile = func(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
					if path.Base(o.URI) == "odd.csv" {
						d, err := dataset.Open(bytes.NewReader(files["same.csv"]), "odd.csv", opt)
						if err != nil {
							return nil, err
						}
						return nil, d.EachColumn(ctx, func(int, *dataset.Values, int) error { panic("a column of nothing") })
					}
					return opens(files).profile(ctx, o, opt)
				}
				cfg.Open = func(ctx context.Context, o anneal.Object) (io.ReadCloser, error) {
					if path.Base(o.URI) == of {
						panic("a tree of nothing")
					}
					return opens(files).read(ctx, o)
				}
			})
			c.drop("reference.csv")
			time.Sleep(time.Hour)
			odd := c.drop("odd.csv")
			time.Sleep(time.Hour)
			same := c.drop("same.csv")
			time.Sleep(time.Hour)

			record, err := c.journal.Find(t.Context(), controller.KindParked, odd.ID)
			if err != nil {
				t.Fatalf("what panics is not parked: %v", err)
			}
			var parked struct{ Reason string }
			if err := json.Unmarshal(record.Data, &parked); err != nil || !strings.HasSuffix(parked.Reason, "odd.csv: reading it panicked: a column of nothing") {
				t.Errorf("parked for %q (%v)", parked.Reason, err)
			}
			if s, got := c.drift(same); got.Verdict != drift.None || got.ColumnsAlone != alone {
				t.Errorf("afterwards: %s %s, columns alone %q; want a comparison without a witness: %q", s.Status, got.Verdict, got.ColumnsAlone, alone)
			}
			c.verify()
		})
	}
}

// TestComparingPanics has data that panic where they are compared, on any way to
// that: their event is parked, the data join no window, and the daemon goes on.
func TestComparingPanics(t *testing.T) {
	files := map[string][]byte{"reference.csv": rowsOf(1, 2000, 0, false), "odd.csv": rowsOf(3, 501, 0, false), "same.csv": rowsOf(2, 500, 0, false)}
	for name, c := range map[string]struct {
		change func(*policy.Spec)
		rows   bool
	}{
		"with its rows":  {func(*policy.Spec) {}, true},
		"profiles alone": {func(*policy.Spec) {}, false},
		"by other rules": {func(s *policy.Spec) {
			s.Spec.Signals["drift"] = policy.Signal{Source: policy.SourceData, Rules: "evidently", Window: policy.Window{Objects: 1}}
		}, true},
		"facts of quality": {func(s *policy.Spec) {
			s.Spec.Signals["drift"] = policy.Signal{Source: policy.SourceData, Quality: "range"}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spec := history{Target: "y"}.policy(t, "false").Spec
				c.change(&spec)
				p := compiled(t, spec)
				d := serve(t, p, opens(files), func(cfg *controller.Config) {
					if c.rows {
						cfg.Open = opens(files).read
					}
					cfg.CompareBy(func(ref, cur *profile.Profile, opt drift.Options) drift.Comparison {
						if cur.Counts.Rows == 501 {
							panic("shares of nothing")
						}
						return drift.Compare(ref, cur, opt)
					})
				})
				d.drop("reference.csv")
				time.Sleep(time.Hour)
				odd := d.drop("odd.csv")
				time.Sleep(time.Hour)
				same := d.drop("same.csv")
				time.Sleep(time.Hour)
				record, err := d.journal.Find(t.Context(), controller.KindParked, odd.ID)
				if err != nil {
					t.Fatalf("what panics is not parked: %v", err)
				}
				var parked struct{ Reason string }
				if err := json.Unmarshal(record.Data, &parked); err != nil || !strings.HasSuffix(parked.Reason, "odd.csv: comparing it panicked: shares of nothing") {
					t.Errorf("parked for %q (%v)", parked.Reason, err)
				}
				if s, _ := d.drift(same); s.Status != anneal.SignalOK {
					t.Errorf("afterwards the signal is %s: %s", s.Status, s.Error)
				}
				d.verify()
			})
		})
	}
}
