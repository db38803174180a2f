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
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
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
	object int           // a file with this number is dropped; negative: somebody triggers policy -object
	shift  bool          // the file's law has changed
	again  bool          // the event is told a second time
}

func (s step) String() string {
	what := fmt.Sprintf("file %d arrives", s.object)
	if s.object < 0 {
		what = fmt.Sprintf("somebody forces policy p%d", -s.object)
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
	policies int
	engine   bool // executions are the engine's, and only their tasks the world's
	steps    []step
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

func (w *world) end(e *execution, group string) {
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

func (w *world) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.executions[name].describe(), nil
}

func (w *world) Stop(context.Context, string, string, string) error { return nil }

// History is that of a machine whose one state Train made the model.
func (w *world) History(ctx context.Context, name string) ([]asl.HistoryEvent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.executions[name]
	if e.conduct.fails || e.conduct.never {
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
func simPolicy(t testing.TB, n int) *policy.Policy {
	t.Helper()
	group := "even"
	if n%2 == 1 {
		group = "odd"
	}
	overlap := []string{"skip", "buffer-one"}[n/2%2]
	var spec policy.Spec
	text := fmt.Sprintf(`{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p%d"},
		"spec": {
			"mode": "enforce", "model": {"group": %q},
			"data": {"target": "y", "train": {"last": 3}},
			"signals": {
				"drift": {"source": "data", "window": {"objects": 2}, "reference": "champion"},
				"rows": {"source": "data", "reduce": "rows", "since": "lastTrained"}
			},
			"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
			"rules": [
				{"id": "first", "if": "!champion.exists && signals.rows.value >= 200"},
				{"id": "drifted", "if": "signals.drift.share >= 0.5", "for": {"windows": 2, "of": 3}},
				{"id": "many", "if": "signals.rows.value >= 600"}
			],
			"guards": {
				"cooldown": {"after": "success", "for": "2h"},
				"concurrency": {"limit": 1, "overlap": %q}
			},
			"run": {
				"stateMachine": {"file": "m.json"}, "timeout": "5h",
				"input": {"Group": %q, "Data": {"expr": "training.prefix"}},
				"model": {"state": "Train", "artifact": {"expr": "state.output.artifact"}, "metrics": {"expr": "state.output.metrics"}}
			},
			"promote": {"if": "candidate.metrics.accuracy >= champion.metrics.accuracy"},
			"notify": [{"events": ["started", "failed", "promoted", "held"], "to": "team"}]
		}}`, n, group, overlap, group)
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	p, problems := policy.Compile(spec)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// fileEvent is the event of file n.
func fileEvent(n int, shift bool, now time.Time) anneal.Event {
	data := anneal.ObjectCreated{
		Version: "0", Bucket: anneal.BucketRef{Name: "inbox"},
		Object: anneal.ObjectRef{Key: fmt.Sprintf("f%d-%t.csv", n, shift), Size: 100, SHA256: fmt.Sprintf("%064d", n)},
	}
	raw, _ := json.Marshal(data)
	return anneal.Event{
		SpecVersion: "1.0", ID: data.EventID(anneal.SourceDirectory), Source: anneal.SourceDirectory,
		Type: anneal.TypeObjectCreated, Subject: data.Object.Key, Time: now, Seen: now, Data: raw,
	}
}

// readFile profiles what a file of the simulation holds; some cannot be read.
func readFile(ctx context.Context, o anneal.Object, columns map[string]dataset.Type) (*profile.Profile, error) {
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
	return profile.Build(ctx, strings.NewReader(b.String()), name, dataset.Options{Columns: columns})
}

func newScript(seed uint64) script {
	r := rand.New(rand.NewPCG(seed, 7))
	s := script{seed: seed, policies: 1 + r.IntN(4), engine: seed%2 == 1}
	at := time.Duration(0)
	for n := range 5 + r.IntN(20) {
		if r.IntN(4) > 0 {
			at += time.Duration(r.IntN(120)) * time.Minute
		}
		st := step{at: at, object: n, shift: r.IntN(3) == 0 || n > 12, again: r.IntN(4) == 0}
		if r.IntN(10) == 0 {
			st = step{at: at, object: -1 - r.IntN(s.policies)}
		}
		s.steps = append(s.steps, st)
	}
	for range 6 {
		s.conduct = append(s.conduct, conduct{
			takes: time.Duration(1+r.IntN(180)) * time.Minute, fails: r.IntN(4) == 0,
			lostStart: r.IntN(4) == 0, flakyWait: r.IntN(4) == 0, never: r.IntN(8) == 0,
		})
	}
	return s
}

// outcome is what a simulation leaves behind.
type outcome struct {
	facts      []string
	transcript []string
	appends    int
	problem    error
}

// simulate plays a script in a bubble of virtual time.
func simulate(t *testing.T, s script, f faults) (out outcome) {
	policies := make([]*policy.Policy, s.policies)
	machines := map[string]orchestrator.Machine{}
	for i := range policies {
		policies[i] = simPolicy(t, i+1)
		machines[policies[i].Name()] = orchestrator.Machine{Name: "m", Definition: []byte(simMachine)}
	}
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
			next, err = live(ctx, cancel, w, store, policies, machines, begin, next)
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
		out.facts, out.transcript, out.problem = examine(j, w)
	})
	return out
}

// live is one life of the process: it plays the script from step next on, and
// returns where it died, or nil once everything is over.
func live(ctx context.Context, cancel context.CancelFunc, w *world, store *dyingStore, policies []*policy.Policy,
	machines map[string]orchestrator.Machine, begin time.Time, next int) (int, error) {
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
		Journal: j, Log: silent, Generation: controller.Generation{Policies: policies, Machines: machines},
		Executors: map[string]orchestrator.Executor{"embedded": executor},
		Profile:   readFile,
		Stage:     func(context.Context, anneal.Training) error { return nil },
		Staging:   "s3://staging",
		Checksum:  func(context.Context, string) (string, int64, error) { return "00", 1, nil },
		Channels:  map[string]notify.Channel{"team": w},
	}, recovery.State)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for ; next < len(w.script.steps); next++ {
		s := w.script.steps[next]
		select {
		case <-time.After(time.Until(begin.Add(s.at))):
		case <-ctx.Done():
			<-ended
			return next, errDied
		}
		if err := play(ctx, c, s, begin); err != nil {
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

func play(ctx context.Context, c *controller.Controller, s step, begin time.Time) error {
	e := fileEvent(s.object, s.shift, begin.Add(s.at))
	if s.object < 0 {
		data, _ := json.Marshal(anneal.Triggered{Policy: fmt.Sprintf("p%d", -s.object), Force: true})
		e = anneal.Event{
			SpecVersion: "1.0", ID: anneal.ID("manual", s.at.String(), string(data)), Source: anneal.SourceManual,
			Type: anneal.TypeTriggered, Time: begin.Add(s.at), Seen: begin.Add(s.at), Data: data,
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
func examine(j *journal.Journal, w *world) (facts, transcript []string, problem error) {
	wrong := func(format string, args ...any) {
		if problem == nil {
			problem = fmt.Errorf(format, args...)
		}
	}
	events, decisions, models := map[string]int{}, map[string]int{}, map[string]int{}
	runs := map[string]anneal.Run{}
	woken := map[string]bool{}
	var first time.Time
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
			transcript = append(transcript, fmt.Sprintf("%-10s event %s %s", e.Seen.Sub(first), e.Type, e.Subject))
		case controller.KindDecision:
			var d anneal.Decision
			json.Unmarshal(record.Data, &d)
			if decisions[d.ID]++; decisions[d.ID] > 1 {
				wrong("decision %s is in the journal twice", d.ID)
			}
			if events[d.Cause] == 0 {
				wrong("decision %s is about an event that is not in the journal before it", d.ID)
			}
			woken[d.Policy] = true
			facts = append(facts, fmt.Sprintf("decision %s %s", d.ID, d.Verdict)) // its reason may tell a time
			transcript = append(transcript, fmt.Sprintf("%-10s %s %s: %s", d.At.Sub(first), d.Policy, d.Verdict, d.Reason))
		case controller.KindRun:
			var r anneal.Run
			json.Unmarshal(record.Data, &r)
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
	if len(w.starts) != len(runs) && !w.script.engine {
		wrong("%d executions were started for %d runs", len(w.starts), len(runs))
	}
	for id, n := range w.starts {
		if n != 1 {
			wrong("%s was begun %d times", id, n)
		}
	}
	for group, n := range w.most {
		if n > 1 {
			wrong("%d executions of group %s were open at a time, and the limit is 1", n, group)
		}
	}
	v, err := controller.Verify(context.Background(), j)
	if err != nil {
		return nil, transcript, err
	}
	for _, d := range v.Divergent {
		wrong("decision %s comes out otherwise when it is made again: %s\n  recorded %s\n  again    %s", d.Decision, d.Problem, d.Recorded, d.Again)
	}
	if v.Decisions == 0 {
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
	fmt.Fprintf(&b, "seed %d, %d policies, %+v: %v\n\nscript:\n", s.seed, s.policies, f, err)
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
	if testing.Short() {
		seeds = 10
	}
	ends := map[string]int{} // runs by how they ended, with and without the engine
	for seed := range uint64(seeds) {
		s := newScript(seed)
		for _, fact := range check(t, s, faults{}, nil).facts {
			var id, status string
			if n, _ := fmt.Sscanf(fact, "run %s %s", &id, &status); n == 2 {
				ends[fmt.Sprintf("%s engine=%t", status, s.engine)]++
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
	t.Logf("%d stories: %v", seeds, ends)
}

// TestDeathAtEveryAppend lets the process die at each append, once with the
// append stored and once without, and compares what is left with an
// undisturbed run.
func TestDeathAtEveryAppend(t *testing.T) {
	for seed, name := range []string{"without the engine", "with the engine"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(1000 + uint64(seed))
			undisturbed := check(t, s, faults{}, nil)
			step := 1
			if testing.Short() || raceDetector {
				step = 7 // all of them are tried where it is ten times as fast
			}
			for n := 1; n <= undisturbed.appends; n += step {
				for _, before := range []bool{true, false} {
					check(t, s, faults{dieAt: n, before: before}, undisturbed.facts)
				}
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
