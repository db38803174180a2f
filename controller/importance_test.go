package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/policy"
)

// A knowing world has runs that say what columns are worth to the model, each what is
// next.
type knowing struct {
	*world
	says *[]string
}

func (k knowing) History(_ context.Context, name string) ([]asl.HistoryEvent, error) {
	output := fmt.Sprintf(`{"artifact":"s3://models/%s","importance":%s}`, name, (*k.says)[0])
	*k.says = (*k.says)[1:]
	return trained(output), nil
}

// TestImportance has windows weighed by what the champion's run says its columns are
// worth, over a restart and a change of the champion; and by nothing where it says
// nothing, or nothing that can be read.
func TestImportance(t *testing.T) {
	spec := `{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "weighed"},
		"spec": {
			"mode": "enforce", "model": {"group": "g"}, "data": {"train": {"last": 1}},
			"signals": {"drift": {"source": "data", "window": {"objects": 1}}},
			"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
			"rules": [{"id": "first", "if": "!champion.exists"}, {"id": "drifted", "if": "signals.drift.share >= 0.5 && signals.drift.verdict == 'drift'"}],
			"run": {"stateMachine": {"file": "m.json"}, "model": {
				"state": "Train", "artifact": {"expr": "state.output.artifact"}, "importance": {"expr": "state.output.importance"}
			}},
			"promote": {"if": "true"}
		}}`
	p := written(t, spec)
	says := []string{`{"a": 3, "c": 1}`, `[{"feature": "b", "importance": 1}]`, `{"b": -1}`, `null`}
	synctest.Test(t, func(t *testing.T) {
		store := &journal.Memory{}
		silent := slog.New(slog.DiscardHandler)
		var j *journal.Journal
		var c *controller.Controller
		stop := func() {}
		start := func() {
			stop()
			var err error
			if j, err = journal.Open(t.Context(), store, journal.Options{Logger: silent}); err != nil {
				t.Fatal(err)
			}
			recovery, err := controller.Recover(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			c = controller.New(controller.Config{
				Journal: j, Log: silent,
				Generation: controller.Generation{
					Policies: []*policy.Policy{p},
					Machines: map[string]orchestrator.Machine{"weighed": {Name: "m", Definition: []byte(simMachine)}},
				},
				Executors: map[string]orchestrator.Executor{policy.ExecutorEmbedded: knowing{newWorld(script{conduct: []conduct{{takes: time.Minute}}}), &says}},
				Profile: func(_ context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
					var a, b float64
					fmt.Sscanf(path.Base(o.URI), "a%g b%g", &a, &b)
					r := rand.New(rand.NewPCG(uint64(len(o.URI)), uint64(a+10*b)))
					var rows bytes.Buffer
					rows.WriteString("a,b,c\n")
					for range 300 {
						fmt.Fprintf(&rows, "%.3f,%.3f,%.3f\n", r.NormFloat64()+a, r.NormFloat64()+b, r.NormFloat64())
					}
					return profile.Build(t.Context(), &rows, "rows.csv", opt)
				},
				Stage:    func(context.Context, anneal.Training) error { return nil },
				Checksum: func(context.Context, string) (string, int64, error) { return "00", 1, nil },
			}, recovery.State)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			stop = func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				j.Close()
			}
		}
		start()
		defer func() { stop() }()
		for _, step := range []struct {
			file     string
			restart  bool
			share    float64
			drifted  int
			champion int     // afterwards
			held     float64 // by the columns, of what the champion says; 0: it says nothing
			alike    string  // how the reason begins why they count alike
		}{
			{file: "a0 b0", champion: 1},
			{file: "a0 b9", share: 0, drifted: 1, champion: 1, held: 1},
			{file: "a0 b8", restart: true, share: 0, drifted: 1, champion: 1, held: 1},
			{file: "a9 b9", share: 0.75, drifted: 2, champion: 2, held: 1}, // the first that a is moved in
			{file: "a0 b9", share: 0, drifted: 1, champion: 2, held: 1},    // b is what counts now
			{file: "a9 b0", share: 1, drifted: 1, champion: 3, held: 1},
			{file: "a0 b0", share: 0.333, drifted: 1, champion: 3, alike: `spec.run.model.importance: column "b" has -1: want a number from 0 on, such as the size of a coefficient`},
			{file: "a0 b9", restart: true, share: 0.667, drifted: 2, champion: 4, alike: `spec.run.model.importance: column "b" has -1`},
			{file: "a0 b0", share: 0.333, drifted: 1, champion: 4},
		} {
			if step.restart {
				start()
			}
			e := fileEvent(0, false, time.Now().UTC())
			data := anneal.ObjectCreated{Version: time.Now().String(), Bucket: anneal.BucketRef{Name: "inbox"}, Object: anneal.ObjectRef{Key: step.file, Size: 1, SHA256: time.Now().String()}}
			e.ID = data.EventID(anneal.SourceDirectory)
			e.Data, _ = json.Marshal(data)
			if _, _, err := c.Ingest(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got, want := c.Status().Policies[0].Champion, fmt.Sprintf("g@%d", step.champion); got != want {
				t.Fatalf("%s: the champion is %s, want %s", step.file, got, want)
			}
			var signal anneal.Signal
			var got drift.Comparison
			record, err := j.Find(t.Context(), controller.KindSignal, anneal.ID("signal", e.ID, "weighed", "drift"))
			if err != nil {
				t.Fatal(err)
			}
			json.Unmarshal(record.Data, &signal)
			if signal.Status == anneal.SignalMissing && step.drifted == 0 {
				continue
			}
			json.Unmarshal(signal.Detail, &got)
			if signal.Value == nil || fmt.Sprintf("%.3f", *signal.Value) != fmt.Sprintf("%.3f", step.share) || got.Drifted != step.drifted {
				t.Errorf("%s: %s with a share of %v, %d columns drifted; want %.3f and %d", step.file, signal.Status, signal.Value, got.Drifted, step.share, step.drifted)
			}
			switch {
			case step.held == 0 && step.alike == "":
				if got.Importance != nil {
					t.Errorf("%s: %+v, want nothing known of importance", step.file, got.Importance)
				}
			case got.Importance == nil || got.Importance.Held != step.held || !strings.HasPrefix(got.Importance.Alike, step.alike) || (got.Importance.Alike == "") != (step.alike == ""):
				t.Errorf("%s: %+v, want %v held, alike for %q", step.file, got.Importance, step.held, step.alike)
			case step.held > 0 && slices.ContainsFunc(got.Columns, func(c drift.Column) bool { return c.Importance == nil }):
				t.Errorf("%s: the record lacks the importance of a column: %s", step.file, signal.Detail)
			}
		}
		for version, want := range map[int]string{1: "map[a:3 c:1] ", 2: "map[b:1] ", 3: `map[] spec.run.model.importance: column "b" has -1: want a number from 0 on, such as the size of a coefficient`, 4: "map[] "} {
			record, err := j.Find(t.Context(), controller.KindModel, anneal.ModelID("g", version))
			if err != nil {
				t.Fatal(err)
			}
			var m anneal.Model
			json.Unmarshal(record.Data, &m)
			if got := fmt.Sprint(m.Importance, " ", m.ImportanceProblem); got != want {
				t.Errorf("model %d: %s, want %s", version, got, want)
			}
		}
		if v, err := controller.Verify(t.Context(), j); err != nil || !v.Sound() || v.Agreed == 0 {
			t.Errorf("decisions made again: %+v %v", v, err)
		}
	})
}
