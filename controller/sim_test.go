package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift/dataset"
	outcomes "github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/cron"
)

// The simulator runs the real controller, the real policies, the real journal
// and, in every other story, the real engine in virtual time, against a world
// that answers late, twice or never.
// A script says what happens in the world; faults say what goes wrong inside.
// Both are made from a seed, and a failure is shrunk to the shortest script
// that still fails and printed with what the journal then holds.

// A step is something that happens in the world.
type step struct {
	at     time.Duration // since the beginning
	object int           // a file with this number is dropped; negative: somebody does something to policy -object
	does   string        // what somebody does: force, pause, resume or reload
	shift  bool          // the file's law has changed
	again  bool          // the event is told a second time
}

func (s step) String() string {
	what := fmt.Sprintf("file %d arrives", s.object)
	if s.object < 0 {
		what = fmt.Sprintf("somebody: %s policy p%d", s.does, -s.object)
	}
	if s.shift {
		what += ", drifted"
	}
	if s.again {
		what += ", told twice"
	}
	return fmt.Sprintf("at %-8s %s", s.at, what)
}

// A script is a whole story.
type script struct {
	seed     uint64
	policies []traits
	engine   bool // executions are the engine's, and only their tasks the world's
	// retention is how old records become; 0: they are all kept.
	retention time.Duration
	steps     []step
	// What the world does to an execution is taken from conduct by its name.
	conduct []conduct
}

// conduct is how the world treats one execution.
type conduct struct {
	takes     time.Duration
	fails     bool
	lostStart bool // the first answer to Start is lost: it was started all the same
	flakyWait bool // the first Wait breaks off
	never     bool // it never ends by itself: its timeout ends it
}

// traits are what tells the policies of a story apart.
type traits struct {
	overlap  string
	debounce string // as in a trigger; empty: none
	schedule string // cron; empty: none
	guards   string // more of them, each with a comma at its end
}

// crowds reports whether more than one execution of a model may be open, or,
// with the engine, a task while the one that was stopped for it winds down.
func (t traits) crowds(engine bool) bool {
	return t.overlap == policy.AllowAll || t.overlap == policy.TerminateOther || engine && t.overlap == policy.CancelOther
}

func newTraits(r *rand.Rand) traits {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	return traits{
		overlap:  pick(policy.Skip, policy.BufferOne, policy.BufferAll, policy.CancelOther, policy.TerminateOther, policy.AllowAll),
		debounce: pick("", "", `{"quiet": "40m"}`, `{"quiet": "3h", "maxWait": "5h"}`, `{"minObjects": 3, "quiet": "10m", "maxWait": "9h"}`),
		schedule: pick("", "", "30 */3 * * *", "17 3 * * *"),
		guards: pick("", "", `"backoff": {"initial": "30m"},`, `"breaker": {"failed": 2, "within": "10h"},`,
			`"blackout": [{"cron": "0 2 * * *", "for": "3h"}],`, `"budget": {"runs": 2, "per": "12h"},`),
	}
}

// faults are what goes wrong inside: the process dies around its nth append.
type faults struct {
	dieAt  int  // append number, from 1; 0: never
	before bool // the append was not stored; else it was, and nobody heard
}

var errDied = errors.New("the process died")

// dyingStore is a journal's store in a process that dies.
type dyingStore struct {
	*journal.Memory
	die func()

	mu      sync.Mutex
	appends int    // guarded by mu
	faults  faults // guarded by mu
	dead    bool   // guarded by mu
}

func (s *dyingStore) Append(ctx context.Context, prev uint64, frame []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return 0, errDied
	}
	s.appends++
	last := s.appends == s.faults.dieAt
	if last {
		s.dead = true
		defer s.die()
		if s.faults.before {
			return 0, errDied
		}
	}
	seq, err := s.Memory.Append(ctx, prev, frame)
	if last && err == nil {
		return 0, errDied
	}
	return seq, err
}

// world is what survives the process: executions, and what was asked of them.
type world struct {
	script script

	mu         sync.Mutex
	executions map[string]*execution // guarded by mu
	starts     map[string]int        // guarded by mu; executions or tasks begun, by name
	delivered  map[string]int        // guarded by mu; by notice ID
	open, most map[string]int        // guarded by mu; executions open at a time, by model group
}

type execution struct {
	conduct conduct
	input   orchestrator.StartInput
	begun   time.Time
	ended   chan struct{}
	result  orchestrator.Execution // valid once ended is closed
	waited  bool
}

func newWorld(s script) *world {
	return &world{
		script: s, executions: map[string]*execution{}, starts: map[string]int{},
		delivered: map[string]int{}, open: map[string]int{}, most: map[string]int{},
	}
}

func (w *world) Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e, ok := w.executions[in.Name]; ok {
		if string(e.input.Input) != string(in.Input) {
			return orchestrator.Execution{}, orchestrator.ErrExecutionExists
		}
		return e.describe(), nil
	}
	e := &execution{
		conduct: w.script.conduct[sum(in.Name)%len(w.script.conduct)],
		input:   in, begun: time.Now(), ended: make(chan struct{}),
	}
	w.executions[in.Name] = e
	w.starts[in.Name]++
	group := groupOf(in)
	w.open[group]++
	w.most[group] = max(w.most[group], w.open[group])
	takes := e.conduct.takes
	if e.conduct.never {
		takes = in.Timeout
	}
	time.AfterFunc(takes, func() { w.end(e, group) })
	if e.conduct.lostStart {
		return orchestrator.Execution{}, errors.New("the answer was lost")
	}
	return e.describe(), nil
}

func sum(name string) (n int) {
	for _, b := range []byte(name) {
		n += int(b)
	}
	return n
}

func groupOf(in orchestrator.StartInput) string {
	var input struct{ Group string }
	json.Unmarshal(in.Input, &input)
	return input.Group
}

func (w *world) end(e *execution, group string) { w.finish(e, group, "") }

// finish ends an execution: as its conduct is, or as status.
func (w *world) finish(e *execution, group string, status anneal.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-e.ended:
		return
	default:
	}
	now := time.Now()
	e.result = orchestrator.Execution{
		Name: e.input.Name, ARN: "arn:" + e.input.Name, Status: anneal.StatusSucceeded,
		Started: &e.begun, Ended: &now, Input: e.input.Input,
	}
	switch {
	case status != "":
		e.result.Status = status
	case e.conduct.never:
		e.result.Status, e.result.Error = anneal.StatusTimedOut, "States.Timeout"
	case e.conduct.fails:
		e.result.Status, e.result.Error = anneal.StatusFailed, "States.TaskFailed"
	}
	w.open[group]--
	close(e.ended)
}

func (e *execution) describe() orchestrator.Execution {
	return orchestrator.Execution{Name: e.input.Name, ARN: "arn:" + e.input.Name, Status: anneal.StatusRunning, Started: &e.begun, Input: e.input.Input}
}

func (w *world) Wait(ctx context.Context, name string) (orchestrator.Execution, error) {
	w.mu.Lock()
	e := w.executions[name]
	broken := e.conduct.flakyWait && !e.waited
	e.waited = true
	w.mu.Unlock()
	if broken {
		return orchestrator.Execution{}, errors.New("the connection broke off")
	}
	select {
	case <-e.ended:
		return e.result, nil
	case <-ctx.Done():
		return orchestrator.Execution{}, ctx.Err()
	}
}

// Redrive is asked for by nobody here.
func (w *world) Redrive(ctx context.Context, name string) (orchestrator.Execution, error) {
	return orchestrator.Execution{}, orchestrator.ErrNotRedrivable
}

func (w *world) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.executions[name].describe(), nil
}

func (w *world) Stop(_ context.Context, name, _, _ string) error {
	w.mu.Lock()
	e := w.executions[name]
	w.mu.Unlock()
	if e == nil {
		return orchestrator.ErrNotFound
	}
	w.finish(e, groupOf(e.input), anneal.StatusAborted)
	return nil
}

// History is that of a machine whose one state Train made the model.
func (w *world) History(ctx context.Context, name string) ([]asl.HistoryEvent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.executions[name]
	if e.result.Status != anneal.StatusSucceeded {
		return nil, nil
	}
	output := fmt.Sprintf(`{"artifact":"s3://models/%s","metrics":{"accuracy":%g}}`, name, 0.5+float64(len(name)%7)/20)
	return trained(output), nil
}

func (w *world) Notify(ctx context.Context, n anneal.Notice) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delivered[n.ID]++
	if w.delivered[n.ID] == 1 && len(n.ID)%3 == 0 {
		return errors.New("try again")
	}
	return nil
}

// simMachine trains, tries again, waits a little and is done.
const simMachine = `{
	"StartAt": "Train",
	"States": {
		"Train": {
			"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 10800,
			"Parameters": {"FunctionName": "train", "Payload": {"Group.$": "$.Group"}},
			"ResultSelector": {"artifact.$": "$.artifact", "metrics.$": "$.metrics"},
			"Retry": [{"ErrorEquals": ["Flaky"], "IntervalSeconds": 60, "MaxAttempts": 2}],
			"Next": "Cool"
		},
		"Cool": {"Type": "Wait", "Seconds": 600, "Next": "Done"},
		"Done": {"Type": "Succeed"}
	}
}`

// simTasks is the world as the engine's tasks: one execution of the world for
// each effect.
type simTasks struct{ w *world }

func (s simTasks) Do(ctx context.Context, e asl.Effect, recovered bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	var input struct{ Payload json.RawMessage }
	json.Unmarshal(e.Input, &input)
	s.w.mu.Lock()
	_, begun := s.w.executions[e.ID]
	if begun && !recovered {
		s.w.starts[e.ID]++ // asked for as new, and it is not
	}
	s.w.mu.Unlock()
	if _, err := s.w.Start(ctx, orchestrator.StartInput{Name: e.ID, Input: input.Payload, Timeout: 100 * time.Hour}); err != nil && ctx.Err() != nil {
		return asl.Outcome{}, err
	}
	s.w.mu.Lock()
	ended := s.w.executions[e.ID].ended
	s.w.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
		return asl.Outcome{}, ctx.Err()
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.executions[e.ID].result.Status != anneal.StatusSucceeded {
		return asl.Outcome{Error: "Flaky", Cause: "the world is so"}, nil
	}
	return asl.Outcome{Output: json.RawMessage(fmt.Sprintf(`{"artifact":"s3://models/%s","metrics":{"accuracy":%g}}`, e.ID, 0.5+float64(sum(e.ID)%7)/20))}, nil
}

// Stop ends an effect that nobody waits for, as killing its process does.
func (s simTasks) Stop(_ context.Context, effect string) {
	s.w.mu.Lock()
	e := s.w.executions[effect]
	s.w.mu.Unlock()
	if e != nil {
		s.w.end(e, groupOf(e.input))
	}
}

func (s simTasks) Check(asl.Resource) error { return nil }

// simPolicy is policy pN of the simulation. The odd ones share a model group.
func simPolicy(t testing.TB, n int, is traits) *policy.Policy {
	t.Helper()
	group := "even"
	if n%2 == 1 {
		group = "odd"
	}
	limit := `"limit": 1,`
	if is.overlap == policy.AllowAll {
		limit = ""
	}
	triggers := `{"id": "new", "event": {"type": "Object Created", "match": "!event.data.object.key.startsWith('predictions/')"}`
	if is.debounce != "" {
		triggers += `, "debounce": ` + is.debounce
	}
	triggers += "}"
	if is.schedule != "" {
		triggers += fmt.Sprintf(`, {"id": "tick", "schedule": {"cron": %q}}`, is.schedule)
	}
	text := fmt.Sprintf(`{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p%d"},
		"spec": {
			"mode": "enforce", "model": {"group": %q}, "timeZone": "Europe/Berlin",
			"data": {"target": "y", "train": {"last": 3}},
			"signals": {
				"drift": {"source": "data", "window": {"objects": 2}, "reference": "champion"},
				"rows": {"source": "data", "reduce": "rows", "since": "lastTrained"},
				"quality": {"source": "predictions", "path": "predictions/", "labels": "labels/", "key": "id", "prediction": "y", "label": "y", "metric": "accuracy"}
			},
			"triggers": [%s],
			"rules": [
				{"id": "first", "if": "!champion.exists && signals.rows.value >= 200"},
				{"id": "degraded", "if": "signals.quality.value < champion.metrics.accuracy"},
				{"id": "drifted", "if": "signals.drift.share >= 0.5", "for": {"windows": 2, "of": 3}},
				{"id": "many", "if": "signals.rows.value >= 600"}
			],
			"guards": {
				%s
				"cooldown": {"after": "success", "for": "2h"},
				"concurrency": {%s "overlap": %q}
			},
			"run": {
				"stateMachine": {"file": "m.json"}, "timeout": "5h",
				"input": {"Group": %q, "Data": {"expr": "training.prefix"}},
				"model": {"state": "Train", "artifact": {"expr": "state.output.artifact"}, "metrics": {"expr": "state.output.metrics"}}
			},
			"promote": {"if": "candidate.metrics.accuracy >= champion.metrics.accuracy"},
			"notify": [{"events": ["started", "failed", "promoted", "held"], "to": "team"}]
		}}`, n, group, triggers, is.guards, limit, is.overlap, group)
	return written(t, text)
}

// fileEvent is the event of file n: of data, predictions or labels.
func fileEvent(n int, shift bool, now time.Time) anneal.Event {
	data := anneal.ObjectCreated{
		Version: "0", Bucket: anneal.BucketRef{Name: "inbox"},
		Object: anneal.ObjectRef{Key: fmt.Sprintf("f%d-%t.csv", n, shift), Size: 100, SHA256: fmt.Sprintf("%064d", n)},
	}
	switch n % 8 {
	case 3, 6:
		data.Object.Key = "predictions/" + data.Object.Key
	case 4, 7:
		data.Object.Key = "labels/" + data.Object.Key
	}
	raw, _ := json.Marshal(data)
	return anneal.Event{
		SpecVersion: "1.0", ID: data.EventID(anneal.SourceDirectory), Source: anneal.SourceDirectory,
		Type: anneal.TypeObjectCreated, Subject: data.Object.Key, Time: now, Seen: now, Data: raw,
	}
}

// readFile profiles what a file of the simulation holds; some cannot be read.
func readFile(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
	var n int
	name := o.URI[strings.LastIndex(o.URI, "/")+1:]
	fmt.Sscanf(name, "f%d-", &n)
	time.Sleep(time.Duration(n%5) * time.Second)
	if n%17 == 16 {
		return nil, &dataset.Error{Name: name, Reason: "not text"}
	}
	var shift float64
	if strings.Contains(name, "true") {
		shift = 5
	}
	r := rand.New(rand.NewPCG(uint64(n), 1))
	var b strings.Builder
	b.WriteString("a,b,y\n")
	for range 100 {
		fmt.Fprintf(&b, "%.3f,%.3f,%d\n", r.NormFloat64()+shift, r.Float64()-shift, r.IntN(2))
	}
	return profile.Build(ctx, strings.NewReader(b.String()), name, opt)
}

// readPredictions reads what files of predictions and of labels hold: three of
// four are right, and some files cannot be read.
func readPredictions(ctx context.Context, o anneal.Object, form outcomes.Form) (*outcomes.Batch, error) {
	var n int
	name := o.URI[strings.LastIndex(o.URI, "/")+1:]
	fmt.Sscanf(name, "f%d-", &n)
	time.Sleep(time.Duration(n%3) * time.Second)
	var b strings.Builder
	header := "id,y\n"
	if n%11 == 4 {
		header = "id,z\n"
	}
	b.WriteString(header)
	for i := range 40 {
		y := 1
		if form.Labels && i%4 == 0 {
			y = 0
		}
		fmt.Fprintf(&b, "%d,%d\n", (n/8*2+n%8/5)*40+i, y)
	}
	return outcomes.Read(ctx, strings.NewReader(b.String()), name, form, dataset.Options{})
}

func newScript(seed uint64) script {
	r := rand.New(rand.NewPCG(seed, 7))
	s := script{seed: seed, engine: seed%2 == 1}
	for range 1 + r.IntN(4) {
		s.policies = append(s.policies, newTraits(r))
	}
	at := time.Duration(0)
	for n := range 5 + r.IntN(20) {
		if r.IntN(4) > 0 {
			at += time.Duration(r.IntN(120)) * time.Minute
		}
		st := step{at: at, object: n, shift: r.IntN(3) == 0 || n > 12, again: r.IntN(4) == 0}
		if r.IntN(5) == 0 {
			does := []string{"force", "force", "pause", "resume", "reload", "reload"}[r.IntN(6)]
			if does == "reload" { // what comes at that instant could be decided on by either
				at += time.Minute
			}
			st = step{at: at, object: -1 - r.IntN(len(s.policies)), does: does}
			if does == "reload" {
				at += time.Minute
			}
		}
		s.steps = append(s.steps, st)
	}
	for n := range s.policies { // whatever is paused is resumed, so that all can end
		s.steps = append(s.steps, step{at: at + time.Hour, object: -1 - n, does: "resume"})
	}
	for range 6 {
		s.conduct = append(s.conduct, conduct{
			takes: time.Duration(1+r.IntN(180)) * time.Minute, fails: r.IntN(4) == 0,
			lostStart: r.IntN(4) == 0, flakyWait: r.IntN(4) == 0, never: r.IntN(8) == 0,
		})
	}
	return s
}

// short is the beginning of a story, of two policies at most.
func (s script) short() script {
	s.policies = s.policies[:min(2, len(s.policies))]
	var steps []step
	for _, st := range s.steps {
		resumes := st.does == "resume" && st.at >= s.steps[len(s.steps)-1].at // so that all can end
		if -st.object <= len(s.policies) && (len(steps) < 7 || resumes) {
			steps = append(steps, st)
		}
	}
	s.steps = steps
	return s
}

// outcome is what a simulation leaves behind.
type outcome struct {
	facts      []string
	transcript []string
	appends    int
	first      uint64 // record that is left
	problem    error
}

// simulate plays a script in a bubble of virtual time.
func simulate(t *testing.T, s script, f faults) (out outcome) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(s)
		memory := &journal.Memory{}
		begin := time.Now()
		next := 0
		for life := 0; ; life++ {
			if life > 3 {
				out.problem = errors.New("died more often than it was killed")
				return
			}
			ctx, cancel := context.WithCancel(context.Background())
			store := &dyingStore{Memory: memory, faults: f, die: cancel}
			if life > 0 {
				store.faults = faults{}
			}
			var err error
			next, err = live(t, ctx, cancel, w, store, begin, next)
			if life == 0 {
				out.appends = store.appends
			}
			cancel()
			synctest.Wait()
			if err == nil {
				break
			}
			if !errors.Is(err, errDied) {
				out.problem = err
				return
			}
		}
		j, err := journal.Open(context.Background(), memory, journal.Options{ReadOnly: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			out.problem = err
			return
		}
		defer j.Close()
		out.first = j.First()
		out.facts, out.transcript, out.problem = examine(j, w, simGeneration(t, s, s.reloads(len(s.steps))))
	})
	return out
}

// live is one life of the process: it plays the script from step next on, and
// returns where it died, or nil once everything is over.
func live(t *testing.T, ctx context.Context, cancel context.CancelFunc, w *world, store *dyingStore, begin time.Time, next int) (int, error) {
	silent := slog.New(slog.DiscardHandler)
	j, err := journal.Open(ctx, store, journal.Options{Logger: silent})
	if err != nil {
		return next, err
	}
	defer j.Close()
	recovery, err := controller.Recover(ctx, j)
	if err != nil {
		return next, err
	}
	executor := orchestrator.Executor(w)
	if w.script.engine {
		e, err := engine.New(ctx, engine.Config{Journal: j, Tasks: simTasks{w}, Log: silent}, recovery.Engine)
		if err != nil {
			return next, err
		}
		executor = e
		engineEnded := make(chan error, 1)
		go func() { engineEnded <- e.Run(ctx) }()
		defer func() { cancel(); <-engineEnded }()
	}
	c := controller.New(controller.Config{
		Journal: j, Log: silent, Generation: simGeneration(t, w.script, w.script.reloads(next)),
		Executors: map[string]orchestrator.Executor{"embedded": executor},
		Profile:   readFile,
		Outcomes:  readPredictions,
		Stage:     func(context.Context, anneal.Training) error { return nil },
		Staging:   "s3://staging",
		Checksum:  func(context.Context, string) (string, int64, error) { return "00", 1, nil },
		Channels:  map[string]notify.Channel{"team": w},
		Retention: w.script.retention,
	}, recovery.State)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stopTicks := ticks(t, ctx, c, w.script.policies, begin.Add(w.script.steps[len(w.script.steps)-1].at+12*time.Hour))
	defer func() { cancel(); stopTicks() }()
	for ; next < len(w.script.steps); next++ {
		s := w.script.steps[next]
		select {
		case <-time.After(time.Until(begin.Add(s.at))):
		case <-ctx.Done():
			<-ended
			return next, errDied
		}
		if s.does == "reload" {
			err = c.Load(ctx, simGeneration(t, w.script, w.script.reloads(next+1)))
		} else {
			err = play(ctx, c, s, begin)
		}
		if err != nil {
			cancel()
			<-ended
			return next, errDied
		}
	}
	select { // long enough for every run, cooldown and retry to be over
	case <-time.After(60 * time.Hour):
	case <-ctx.Done():
	}
	died := ctx.Err() != nil
	cancel()
	if err := <-ended; err != nil && !died {
		return next, err
	}
	if died {
		return next, errDied
	}
	return next, nil
}

// reloads is how many times the policies were loaded anew before step next.
func (s script) reloads(next int) (n int) {
	for _, st := range s.steps[:next] {
		if st.does == "reload" {
			n++
		}
	}
	return n
}

// simGeneration is the policies of a script after so many reloads: each changes
// the first policy's debounce and nothing else.
func simGeneration(t testing.TB, s script, reloads int) controller.Generation {
	g := controller.Generation{Machines: map[string]orchestrator.Machine{}}
	for i, is := range s.policies {
		if i == 0 && reloads > 0 {
			is.debounce = fmt.Sprintf(`{"quiet": "%dm"}`, 15*reloads)
		}
		p := simPolicy(t, i+1, is)
		g.Policies = append(g.Policies, p)
		g.Machines[p.Name()] = orchestrator.Machine{Name: "m", Definition: []byte(simMachine)}
	}
	return g
}

// ticks runs the schedules of the policies until that time or the end of ctx,
// which the returned function waits for.
func ticks(t *testing.T, ctx context.Context, c *controller.Controller, policies []traits, until time.Time) (wait func()) {
	t.Helper()
	ctx, cancel := context.WithDeadline(ctx, until)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var schedules []*cron.Schedule
	for i, is := range policies {
		if is.schedule == "" {
			continue
		}
		s, err := cron.Parse(cron.Entry{Policy: fmt.Sprintf("p%d", i+1), Trigger: "tick", Cron: is.schedule, Zone: berlin})
		if err != nil {
			t.Fatal(err)
		}
		schedules = append(schedules, s)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		known, err := c.Ticks(ctx)
		if err != nil {
			return
		}
		source, err := cron.New(cron.Config{Schedules: schedules, Last: func(s *cron.Schedule) (time.Time, bool) {
			e := s.Entry()
			return known.Last(e.Policy, e.Trigger, e.Cron, e.Zone.String())
		}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
			return
		}
		source.Run(ctx, c)
	})
	return wg.Wait
}

func play(ctx context.Context, c *controller.Controller, s step, begin time.Time) error {
	e := fileEvent(s.object, s.shift, begin.Add(s.at))
	if s.object < 0 {
		name, id, now := fmt.Sprintf("p%d", -s.object), fmt.Sprint(s), begin.Add(s.at)
		switch s.does {
		case "force":
			e, _ = triggers.Manual(name, nil, true, id, now)
		case "pause":
			e, _ = triggers.Pause(name, "", id, now)
		case "resume":
			e, _ = triggers.Resume(name, "", id, now)
		}
	}
	for range 1 + map[bool]int{true: 1}[s.again] {
		if _, _, err := c.Ingest(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// examine reads what a simulation left and finds what must never be.
func examine(j *journal.Journal, w *world, generation controller.Generation) (facts, transcript []string, problem error) {
	wrong := func(format string, args ...any) {
		if problem == nil {
			problem = fmt.Errorf(format, args...)
		}
	}
	events, decisions, models := map[string]int{}, map[string]int{}, map[string]int{}
	runs := map[string]anneal.Run{}
	seen := map[string]anneal.Event{}
	gathered := map[string]time.Time{}  // objects that are not decided on, by policy and URI
	all := map[string][]anneal.Object{} // that were ever gathered, by policy
	var past policy.State
	var first time.Time
	whole := j.First() == 1
	for record, err := range j.Read(context.Background(), 1, false) {
		if err != nil {
			return nil, nil, err
		}
		switch record.Kind {
		case controller.KindEvent:
			var e anneal.Event
			json.Unmarshal(record.Data, &e)
			if first.IsZero() {
				first = e.Seen
			}
			if events[e.ID]++; events[e.ID] > 1 {
				wrong("event %s (%s) is in the journal twice", e.ID, e.Subject)
			}
			past.ApplyEvent(e)
			seen[e.ID] = e
			transcript = append(transcript, fmt.Sprintf("%-10s event %s %s", e.Seen.Sub(first), e.Type, e.Subject))
		case controller.KindDecision:
			var d anneal.Decision
			json.Unmarshal(record.Data, &d)
			if decisions[d.ID]++; decisions[d.ID] > 1 {
				wrong("decision %s is in the journal twice", d.ID)
			}
			if events[d.Cause] == 0 && whole {
				wrong("decision %s is about an event that is not in the journal before it", d.ID)
			}
			if from, ok := past.Since(seen[d.Cause]); ok && whole {
				for _, o := range all[d.Policy] {
					if !o.Seen.Before(from) && !slices.ContainsFunc(d.Training.Objects, func(t anneal.Object) bool { return t.URI == o.URI }) {
						wrong("%s was gathered for decision %s of %s, and its run would not train on it", o.URI, d.ID, d.Policy)
					}
				}
			}
			past.ApplyDecision(d)
			if d.Trigger == "new" && whole { // all that was gathered is in what would be trained on
				for _, o := range d.Training.Objects {
					delete(gathered, d.Policy+" "+o.URI)
				}
				for about, at := range gathered {
					if strings.HasPrefix(about, d.Policy+" ") && at.Before(d.At.Add(-9*time.Hour)) {
						wrong("%s was gathered at %s and is not in decision %s", about, at.Sub(first), d.ID)
					}
				}
			}
			facts = append(facts, fmt.Sprintf("decision %s %s", d.ID, d.Verdict)) // its reason may tell a time
			transcript = append(transcript, fmt.Sprintf("%-10s %s %s: %s", d.At.Sub(first), d.Policy, d.Verdict, d.Reason))
		case controller.KindGathered:
			var g policy.Gathering
			json.Unmarshal(record.Data, &g)
			past.ApplyGathering(g)
			if g.Object != nil {
				gathered[g.Policy+" "+g.Object.URI] = g.Seen
				all[g.Policy] = append(all[g.Policy], *g.Object)
			}
			transcript = append(transcript, fmt.Sprintf("           %s gathers", g.Policy))
		case controller.KindPolicy:
			spec, err := policy.ParseSpec(record.Data)
			if err != nil {
				wrong("policy in record %d: %v", record.Seq, err)
			}
			past.ApplyPolicy(spec)
		case controller.KindRun:
			var r anneal.Run
			json.Unmarshal(record.Data, &r)
			past.ApplyRun(r)
			if old, ok := runs[r.ID]; ok && old.Status.Ended() {
				wrong("run %s goes on after its end", r.ID)
			}
			runs[r.ID] = r
			transcript = append(transcript, fmt.Sprintf("           run %s %s", r.ID, r.Status))
		case controller.KindModel:
			var m anneal.Model
			json.Unmarshal(record.Data, &m)
			models[m.ID()]++
			facts = append(facts, fmt.Sprintf("model %s of run %s is %s", m.ID(), m.Run, m.Stage))
			transcript = append(transcript, fmt.Sprintf("           model %s %s", m.ID(), m.Stage))
		case controller.KindParked:
			facts = append(facts, "parked "+record.Key)
		case controller.KindSignal:
			var s anneal.Signal
			json.Unmarshal(record.Data, &s)
			facts = append(facts, fmt.Sprintf("signal %s of %s %s", s.Name, s.Cause, s.Status))
		}
	}
	for id := range events {
		facts = append(facts, "event "+id)
	}
	for id, r := range runs {
		if !r.Status.Ended() {
			wrong("run %s never ended", id)
		}
		if n := w.starts[id]; n != 1 && !w.script.engine {
			wrong("run %s was started %d times", id, n)
		}
		facts = append(facts, fmt.Sprintf("run %s %s", id, r.Status))
	}
	if len(w.starts) != len(runs) && !w.script.engine && whole {
		wrong("%d executions were started for %d runs", len(w.starts), len(runs))
	}
	for id, n := range w.starts {
		if n != 1 {
			wrong("%s was begun %d times", id, n)
		}
	}
	for group, n := range w.most {
		crowded := false
		for i, is := range w.script.policies {
			crowded = crowded || is.crowds(w.script.engine) && (group == "odd") == (i%2 == 0)
		}
		if n > 1 && !crowded {
			wrong("%d executions of group %s were open at a time, and the limit is 1", n, group)
		}
	}
	if !whole {
		clear(gathered)
		past = policy.State{} // what was given up is not in it
	}
	for about := range gathered {
		wrong("%s was gathered and never decided on", about)
	}
	policies := map[string]*policy.Policy{}
	for _, p := range generation.Policies {
		policies[p.Name()] = p
	}
	for _, e := range past.Due(policies, first.Add(10_000*time.Hour)) {
		wrong("policy %s still waits for a %s", e.Subject, e.Type)
	}
	v, err := controller.Verify(context.Background(), j)
	if err != nil {
		return nil, transcript, err
	}
	for _, d := range v.Divergent {
		wrong("decision %s comes out otherwise when it is made again: %s\n  recorded %s\n  again    %s", d.Decision, d.Problem, d.Recorded, d.Again)
	}
	if v.Decisions == 0 && whole {
		wrong("nothing was decided")
	}
	sort.Strings(facts)
	return facts, transcript, problem
}

// check plays a script with faults; a failure is shrunk and reported.
func check(t *testing.T, s script, f faults, want []string) outcome {
	t.Helper()
	fails := func(s script) (outcome, error) {
		out := simulate(t, s, f)
		if out.problem == nil && want != nil {
			undisturbed := simulate(t, s, faults{})
			if undisturbed.problem != nil {
				return out, undisturbed.problem
			}
			if !slices.Equal(out.facts, undisturbed.facts) {
				return out, fmt.Errorf("facts differ from an undisturbed run's:\n%s", difference(undisturbed.facts, out.facts))
			}
		}
		return out, out.problem
	}
	out := simulate(t, s, f)
	if out.problem == nil && (want == nil || slices.Equal(out.facts, want)) {
		return out
	}
	out, err := fails(s)
	for shrunk := true; shrunk; {
		shrunk = false
		for i := range s.steps {
			smaller := s
			smaller.steps = slices.Delete(slices.Clone(s.steps), i, i+1)
			if len(smaller.steps) == 0 {
				continue
			}
			if o, e := fails(smaller); e != nil && !strings.Contains(e.Error(), "nothing was decided") {
				s, out, err, shrunk = smaller, o, e, true
				break
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %+v, %+v: %v\n\nscript:\n", s.seed, s.policies, f, err)
	for _, st := range s.steps {
		fmt.Fprintf(&b, "  %s\n", st)
	}
	for i, c := range s.conduct {
		fmt.Fprintf(&b, "  execution %d: %+v\n", i, c)
	}
	fmt.Fprintf(&b, "\njournal:\n  %s\n", strings.Join(out.transcript, "\n  "))
	t.Fatal(b.String())
	return out
}

// difference lists what is in one list only.
func difference(want, got []string) string {
	var b strings.Builder
	for _, s := range want {
		if !slices.Contains(got, s) {
			fmt.Fprintf(&b, "  missing: %s\n", s)
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			fmt.Fprintf(&b, "  extra:   %s\n", s)
		}
	}
	return b.String()
}

// TestStorms plays many stories without faults inside: late, lost and failed
// executions, events told twice, bursts at one instant.
func TestStorms(t *testing.T) {
	seeds := 40
	if testing.Short() || raceDetector {
		seeds = 10
	}
	ends := map[string]int{} // runs by how they ended, with and without the engine
	measured := 0            // signals over predictions
	for seed := range uint64(seeds) {
		s := newScript(seed)
		for _, fact := range check(t, s, faults{}, nil).facts {
			var id, status string
			if n, _ := fmt.Sscanf(fact, "run %s %s", &id, &status); n == 2 {
				ends[fmt.Sprintf("%s engine=%t", status, s.engine)]++
			}
			if strings.HasPrefix(fact, "signal quality") && strings.HasSuffix(fact, " ok") {
				measured++
			}
		}
	}
	for _, end := range []string{
		"SUCCEEDED engine=true", "SUCCEEDED engine=false", "FAILED engine=true", "FAILED engine=false", "TIMED_OUT engine=false",
	} {
		if ends[end] == 0 {
			t.Errorf("no run of %d stories ended %s: they tell too little (%v)", seeds, end, ends)
		}
	}
	if measured < seeds {
		t.Errorf("the performance was measured %d times in %d stories: they tell too little", measured, seeds)
	}
	t.Logf("%d stories: %v, performance measured %d times", seeds, ends, measured)
}

// TestDeathAtEveryAppend lets the process die at each append, by turns with the
// append stored and without, and compares what is left with an undisturbed run. The stories are short, since each is told for each of its
// appends; TestStorms has the long ones. The odd ones are with the engine.
func TestDeathAtEveryAppend(t *testing.T) {
	for _, seed := range []uint64{1002, 1010, 1003, 1017} {
		s := newScript(seed).short()
		var overlaps []string
		for _, is := range s.policies {
			overlaps = append(overlaps, is.overlap)
		}
		t.Run(strings.Join(overlaps, " and "), func(t *testing.T) {
			t.Parallel()
			undisturbed := check(t, s, faults{}, nil)
			step := 1
			if testing.Short() || raceDetector {
				step = 9 // all of them are tried where it is ten times as fast
			}
			for n := 1; n <= undisturbed.appends; n += step {
				check(t, s, faults{dieAt: n, before: n%2 == 0}, undisturbed.facts)
			}
		})
	}
}

// TestScriptsRepeat makes sure that a seed means one story. What happens at one
// instant may be told in another order.
func TestScriptsRepeat(t *testing.T) {
	a, b := simulate(t, newScript(5), faults{}), simulate(t, newScript(5), faults{})
	if !slices.Equal(a.facts, b.facts) {
		t.Errorf("the same seed gave two stories:\n%s", difference(a.facts, b.facts))
	}
}

// trained is the history of a state Train that succeeded with output.
func trained(output string) []asl.HistoryEvent {
	return []asl.HistoryEvent{
		{ID: 1, Type: "TaskStateEntered", StateEntered: &asl.StateEnteredDetails{Name: "Train", Input: "{}"}},
		{ID: 2, PreviousID: 1, Type: "TaskScheduled", TaskScheduled: &asl.TaskScheduledDetails{Parameters: "{}"}},
		{ID: 3, PreviousID: 2, Type: "TaskSucceeded", TaskSucceeded: &asl.TaskOutputDetails{OutputDetails: asl.OutputDetails{Output: output}}},
		{ID: 4, PreviousID: 3, Type: "TaskStateExited", StateExited: &asl.StateExitedDetails{Name: "Train", Output: output}},
	}
}
