package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
)

// told plays a story without faults and returns what the journal then holds.
func told(t *testing.T, s script) (records []journal.Record) {
	t.Helper()
	memory := &journal.Memory{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if _, err := live(t, ctx, cancel, newWorld(s), &dyingStore{Memory: memory, die: cancel}, time.Now(), 0); err != nil {
			t.Fatal(err)
		}
	})
	j := openMemory(t, memory)
	defer j.Close()
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func openMemory(t *testing.T, m *journal.Memory) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), m, journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// holding is a journal with these records.
func holding(t *testing.T, records []journal.Record) *journal.Journal {
	t.Helper()
	memory := &journal.Memory{}
	if _, err := journal.Import(t.Context(), memory, each(records)); err != nil {
		t.Fatal(err)
	}
	return openMemory(t, memory)
}

func each(records []journal.Record) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// standing is everything that the daemon goes on with: the fold, and what it
// reads of the journal about what is open or in use, besides the decisions of
// the last records.
func standing(t *testing.T, j *journal.Journal) map[string]string {
	t.Helper()
	ctx := t.Context()
	r, err := controller.Recover(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	r.State.Seq = 0 // the checkpoint's own records count, too
	got := map[string]string{"state": text(r.State), "engine": text(r.Engine)}
	read := func(kind, key string) string {
		record, err := j.Find(ctx, kind, key)
		if err != nil {
			got["missing "+kind+" "+key] = err.Error()
		}
		got[kind+" "+key] = string(record.Data)
		return string(record.Data)
	}
	lineage := func(id string) {
		if id == "" {
			return
		}
		var run anneal.Run
		var d anneal.Decision
		json.Unmarshal([]byte(read(controller.KindRun, id)), &run)
		json.Unmarshal([]byte(read(controller.KindDecision, run.Decision)), &d)
		read(controller.KindEvent, d.Cause)
		read(controller.KindPolicy, run.Revision)
		for name := range d.Signals {
			read(controller.KindSignal, anneal.ID("signal", d.Cause, d.Policy, name))
		}
		for _, o := range run.Training.Objects {
			read(controller.KindEvent, o.Event)
			read(controller.KindProfile, anneal.ID("profile", o.URI, o.Version))
		}
	}
	for _, run := range r.State.Runs {
		lineage(run.ID)
		read(controller.KindMachine, run.Machine)
	}
	for _, g := range r.State.Models.Groups {
		if g.Champion != nil {
			read(controller.KindModel, g.Champion.ID())
			lineage(g.Champion.Run)
		}
	}
	for _, d := range r.State.Data {
		for _, o := range d.Objects {
			read(controller.KindEvent, o.Event)
			read(controller.KindProfile, anneal.ID("profile", o.URI, o.Version))
		}
	}
	like := simPolicy(t, 1, traits{overlap: policy.Skip}) // all have the signal alike
	for _, signals := range r.State.Fed {
		for signal, fed := range signals {
			for _, o := range fed.Objects {
				read(controller.KindOutcomes, controller.OutcomesKey(like, signal, o.Labels, o.URI, o.Version))
			}
		}
	}
	for id := range r.State.Unsent {
		read(controller.KindNotice, id)
	}
	for _, m := range r.State.Past.Policies {
		if m.Wake != nil {
			read(controller.KindEvent, m.Wake.Event)
		}
	}
	e, err := engine.New(ctx, engine.Config{Journal: j, Tasks: idle{}}, r.Engine)
	if err != nil {
		t.Fatal(err)
	}
	for name := range r.Engine.Open {
		history, err := e.History(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		got["history "+name] = text(history)
	}
	return got
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// idle does no task.
type idle struct{ simTasks }

func (idle) Check(asl.Resource) error { return nil }

// TestEveryCut tells stories to some point and cuts their journals before each
// event in turn, and then again later: the daemon goes on from the same state,
// finds what is open and in use as it was, and makes every decision that is
// left again, byte for byte.
func TestEveryCut(t *testing.T) {
	cuts, found := 0, map[string]int{}
	seeds, every := uint64(8), 5
	if testing.Short() || raceDetector {
		seeds, every = 4, 12
	}
	for seed := range seeds {
		records := told(t, newScript(2000+seed))
		for _, upTo := range []int{len(records) / 4, len(records) / 2, len(records) * 3 / 4, len(records)} {
			part := records[:upTo]
			whole := holding(t, part)
			want := standing(t, whole)
			whole.Close()
			for what := range want {
				var kind string
				fmt.Sscan(what, &kind)
				found[kind]++
			}
			var events []uint64
			for _, r := range part {
				if r.Kind == controller.KindEvent && r.Seq > 1 {
					events = append(events, r.Seq)
				}
			}
			for i, before := range events {
				if i%every > 0 {
					continue
				}
				j := holding(t, part)
				for _, before := range []uint64{before, events[(i+len(events))/2]} {
					cuts++
					cut(t, j, before, part)
					if diff := cmp.Diff(want, standing(t, j)); diff != "" {
						t.Fatalf("seed %d, %d records, cut before %d: %s", seed, upTo, before, diff)
					}
				}
				j.Close()
			}
		}
	}
	for _, kind := range []string{"history", "outcomes", "run", "model", "profile", "event", "signal", "decision", "policy"} {
		if found[kind] == 0 {
			t.Errorf("no %s was in use at any point: the stories tell too little (%v)", kind, found)
		}
	}
	t.Logf("%d cuts; in use: %v", cuts, found)
}

// cut cuts j before a record and compares what is left.
func cut(t *testing.T, j *journal.Journal, before uint64, records []journal.Record) {
	t.Helper()
	gone, err := controller.Cut(t.Context(), j, before, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if j.First() != before {
		t.Fatalf("the first record is %d, want %d", j.First(), before)
	}
	for _, name := range gone {
		if r, err := j.Find(t.Context(), controller.KindRun, name); err == nil {
			t.Errorf("run %s is gone, and its record %d is there", name, r.Seq)
		}
	}
	decisions, seen := 0, map[uint64]bool{}
	for _, r := range records {
		if r.Seq >= before && r.Kind == controller.KindDecision {
			decisions++
		}
	}
	v, err := controller.Verify(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Sound() || v.Decisions != decisions || v.FirstRecord != before {
		t.Fatalf("cut before %d: %s, want %d decisions that agree", before, text(v), decisions)
	}
	for r, err := range j.Newest(t.Context(), controller.KindModel, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.Seq] || !slices.ContainsFunc(records, func(o journal.Record) bool {
			return o.Seq == r.Seq && o.Kind == r.Kind && o.Key == r.Key && string(o.Data) == string(r.Data)
		}) {
			t.Errorf("model record %d is listed twice, or is not as it was", r.Seq)
		}
		seen[r.Seq] = true
	}
}

// TestRetention plays stories with a retention of hours, in which the process
// dies now and then: what is left is a part of what an untrimmed journal holds,
// and nothing is lost, begun twice or decided otherwise.
func TestRetention(t *testing.T) {
	stories, deaths := uint64(3), 3
	if testing.Short() || raceDetector {
		stories, deaths = 2, 2
	}
	trimmed := 0
	for seed := range stories {
		s := newScript(3000 + seed)
		untrimmed := check(t, s, faults{}, nil)
		facts, appends := untrimmed.facts, untrimmed.appends
		kept := s
		s.retention = time.Duration(2+seed) * time.Hour
		for n := range deaths {
			f := faults{dieAt: n * appends / deaths, before: n%2 == 0}
			out := simulate(t, s, f)
			if out.problem != nil {
				t.Fatalf("seed %d, death %d: %v", seed, n, out.problem)
			}
			if out.first > 1 {
				trimmed++
			}
			// Where things happen at one moment, and after a death, a story may come out
			// in more than one way: it is played until it does in this one.
			for range 30 {
				if out.isPartOf(facts) {
					break
				}
				facts = append(facts, simulate(t, kept, f).facts...)
			}
			for _, fact := range out.facts {
				if !slices.Contains(facts, fact) {
					t.Errorf("seed %d, death %d: %s, and the untrimmed journal has no such thing", seed, n, fact)
				}
			}
		}
	}
	if trimmed == 0 {
		t.Error("no journal was trimmed")
	}
	t.Logf("%d journals were trimmed", trimmed)
}

func (o outcome) isPartOf(facts []string) bool {
	return !slices.ContainsFunc(o.facts, func(f string) bool { return !slices.Contains(facts, f) })
}

// TestRetentionIsByAge drops a file a day for months and looks at what is left.
func TestRetentionIsByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		memory := &journal.Memory{}
		j := openMemory(t, memory)
		defer j.Close()
		recovery, err := controller.Recover(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		var gone []string
		w := newWorld(script{conduct: []conduct{{takes: time.Hour}}})
		c := controller.New(controller.Config{
			Journal: j, Log: slog.New(slog.DiscardHandler),
			Generation: simGeneration(t, script{policies: []traits{{overlap: policy.Skip}}}, 0),
			Executors:  map[string]orchestrator.Executor{"embedded": w},
			Profile:    readFile, Staging: "s3://staging",
			Outcomes:  readPredictions,
			Stage:     func(context.Context, anneal.Training) error { return nil },
			Checksum:  func(context.Context, string) (string, int64, error) { return "00", 1, nil },
			Channels:  map[string]notify.Channel{"team": w},
			Retention: 10 * day,
			Prune: func(_ context.Context, executions []string) error {
				gone = append(gone, executions...)
				return nil
			},
		}, recovery.State)
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := j.Append(ctx, journal.Record{Kind: controller.KindMachine, Key: "digest", Data: []byte("{}")},
			journal.Record{Kind: "sfn-machine", Key: "m", Data: []byte(`{"name":"m","id":"i","digest":"digest"}`)}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		begin := time.Now()
		for n := range 60 {
			if _, _, err := c.Ingest(ctx, fileEvent(n, n%4 > 1, time.Now())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(day)
			standing := c.Retained()
			if standing.Problem != "" {
				t.Fatal(standing.Problem)
			}
			if age := time.Since(standing.Oldest); n > 12 && (age < 10*day || age > 12*day) {
				t.Fatalf("after %d days the oldest record is %s old, want 10 days and at most two more", n, age)
			}
		}
		// An event that was trimmed 48 days ago is news; one of 13 days ago is not.
		for _, c1 := range []struct {
			n         int
			duplicate bool
		}{{47, true}, {1, false}} {
			e := fileEvent(c1.n, c1.n%4 > 1, time.Now())
			_, duplicate, err := c.Ingest(ctx, e)
			if err != nil || duplicate != c1.duplicate {
				t.Errorf("file %d, of %s ago: duplicate %t, %v, want %t", c1.n, time.Since(begin.Add(time.Duration(c1.n)*day)), duplicate, err, c1.duplicate)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(gone) == 0 {
			t.Error("no run was pruned")
		}
		var champion anneal.Model
		for r, err := range j.Newest(t.Context(), controller.KindModel, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(r.Data, &champion); err == nil && champion.Stage == anneal.StageLive {
				break
			}
		}
		if slices.Contains(gone, champion.Run) {
			t.Errorf("run %s of the champion was pruned", champion.Run)
		}
		if v, err := controller.Verify(t.Context(), j); err != nil || !v.Sound() || v.Decisions == 0 {
			t.Errorf("verify: %s, %v", text(v), err)
		}
		// A state machine of the API is there as long as nobody deletes it.
		recovery, err = controller.Recover(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Find(t.Context(), controller.KindMachine, "digest"); err != nil || recovery.API.Machines["m"] == nil {
			t.Errorf("after %d days the API has the machines %v, and the definition: %v", 60, recovery.API.Machines, err)
		}
	})
}
