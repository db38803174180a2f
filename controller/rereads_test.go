package controller_test

import (
	"fmt"
	"io"
	"path"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/policy"
)

// Data that are gone when a policy has them read under another schema keep it from
// nothing: neither then, nor after further changes of its file.
func TestReloadOfGoneData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := map[string][]byte{"reference.csv": rowsOf(1, 2000, 0, false), "one.csv": rowsOf(2, 500, 0, false), "two.csv": rowsOf(3, 500, 0, false)}
		var gone atomic.Bool
		open := func(o anneal.Object) (io.ReadCloser, error) {
			if gone.Load() && path.Base(o.URI) == "reference.csv" {
				return nil, fmt.Errorf("open %s: %w", o.URI, objects.ErrNotFound)
			}
			return opens(files)(o)
		}
		spec := history{Target: "y"}.policy(t, "false").Spec
		s := serve(t, compiled(t, spec), open, func(*controller.Config) {})
		s.drop("reference.csv")
		time.Sleep(time.Hour)
		gone.Store(true)
		spec.Spec.Data.Columns = map[string]string{"y": "numeric"} // another schema
		for i, name := range []string{"one.csv", "two.csv"} {
			spec.Metadata.Labels = map[string]string{"change": fmt.Sprint(i)}
			if err := s.Load(t.Context(), controller.Generation{Policies: []*policy.Policy{compiled(t, spec)}}); err != nil {
				t.Fatal(err)
			}
			e := s.drop(name)
			time.Sleep(time.Hour)
			if _, err := s.journal.Find(t.Context(), controller.KindDecision, anneal.DecisionID(s.policy, e.ID)); err != nil {
				t.Errorf("change %d: nothing is decided about %s within an hour: %v", i+1, name, err)
			}
		}
	})
}
