package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// What open executions need of the journal, and what they do not.
func TestNeeds(t *testing.T) {
	const waiting = `{"One": {"Type": "Wait", "SecondsPath": "$", "End": true}}`
	for _, c := range []struct {
		name, input string
		after       time.Duration
		children    int  // that have begun
		run         bool // is waited for
	}{
		{"some children have ended", `[1, 1000, 2, 1000, 3]`, time.Minute, 5, true},
		{"all are open", `[1000]`, time.Minute, 1, true},
		{"all but the last have ended", `[1, 1, 1, 1, 1, 1, 1, 1000]`, time.Minute, 8, true},
		{"the map run has ended", `[1, 2]`, time.Minute, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer j.Close()
				e, stop := engineOn(t, j, &world{})
				defer stop()
				definition := strings.Replace(spread(waiting, ""), `"End": true,`, `"Next": "Hold",`, 1)
				definition = strings.TrimSuffix(definition, "}}") + `, "Hold": {"Type": "Wait", "Seconds": 100000, "End": true}}}`
				start(t, e, "open", definition, c.input)
				start(t, e, "closed", `{"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}`, `{}`)
				time.Sleep(c.after)
				synctest.Wait()

				run := asl.MapRunID(mapRunOf(t, e, "open").ARN)
				names := map[string]string{"open": "open", "closed": "closed", run: "run"}
				for i := range c.children {
					names[asl.ChildName(run, i)] = fmt.Sprint("child ", i)
				}
				var fold Fold
				var want, got []string
				machine := "" // of the open execution
				for r, err := range j.Read(t.Context(), 0, false) {
					if err == nil {
						err = fold.Apply(r)
					}
					if err != nil {
						t.Fatal(err)
					}
					if r.Kind == KindMachine && machine == "" {
						machine, names[r.Key] = r.Key, "its own"
					}
					name := names[r.Key]
					if name == "open" || name == "its own" || c.run && (name == "run" || strings.HasPrefix(name, "child ")) {
						want = append(want, fmt.Sprint(r.Seq, r.Kind, name))
					}
				}
				newest := map[string]uint64{}
				for name, o := range fold.Open {
					newest[name] = o.Seq
				}
				n, err := NeedsOf(t.Context(), j, newest)
				if err != nil {
					t.Fatal(err)
				}
				for r, err := range j.Read(t.Context(), 0, false) {
					if err != nil {
						t.Fatal(err)
					}
					if n.Have(r) {
						got = append(got, fmt.Sprint(r.Seq, r.Kind, names[r.Key]))
						if !slices.Contains(n.Kinds(), r.Kind) {
							t.Errorf("a record of kind %s is needed, which is none of %q", r.Kind, n.Kinds())
						}
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("needed of the journal (-want +got)\n%s", diff)
				}
				for name, want := range map[string]bool{"open": true, "closed": false, asl.ChildName(run, 0): c.run, asl.ChildName(run, c.children): false} {
					if got := n.Execution(name); got != want {
						t.Errorf("the turns of %s are needed: %t, want %t", names[name], got, want)
					}
				}
			})
		})
	}
}
