package policy

import (
	"regexp"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // zones are known where the system has no list of them

	"cel.dev/cel-go/cel"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/anneal-ml/anneal"
)

// A Policy is a Spec that was checked and is ready to decide.
type Policy struct {
	// Spec is as it was compiled, with the defaults filled in.
	Spec Spec
	// Revision is the digest of Spec in its canonical JSON: equal revisions
	// decide alike, and Spec compiled again has this one.
	Revision string

	triggers   []*expr // of Spec.Spec.Triggers; nil without a match
	keys       []*expr // of their debounce; nil without a key
	rules      []*expr
	blackouts  blackouts
	key        *expr // what concurrency counts by
	input      *template
	artifact   *template
	metrics    *template
	importance *template
	promote    *expr
	approval   *expr     // nil where it never asks
	forecast   *template // nil where it is not known
	schema     *jsonschema.Schema
	defaulted  map[string]any // parameters that have a default
}

// Name is the policy's name.
func (p *Policy) Name() string { return p.Spec.Metadata.Name }

// Group is the model group that the policy keeps in tune.
func (p *Policy) Group() string { return p.Spec.Spec.Model.Group }

// Values of enumerated keys that are spelled more than once.
const (
	SourceData            = "data"        // a signal over the model's data
	SourcePredictions     = "predictions" // a signal over what the model predicted, and what came true
	SourceReport          = "report"      // what another tool has measured
	SourceCloudWatch      = "cloudwatch"  // a metric of CloudWatch
	ReferenceChampion     = "champion"    // the champion's training data
	ReduceRows            = "rows"        // counts rows
	SinceLastTrained      = "lastTrained" // the objects no successful run has trained on
	FormatCSV             = "csv"
	FormatJSONLines       = "jsonl"
	FormatParquet         = "parquet"
	ExecutorEmbedded      = "embedded"
	ExecutorStepFunctions = "step-functions"
	Skip                  = "skip"
	BufferOne             = "buffer-one"
	BufferAll             = "buffer-all"
	CancelOther           = "cancel-other"
	TerminateOther        = "terminate-other"
	AllowAll              = "allow-all"
	MissingHold           = "hold"
	MissingIgnore         = "ignore"
	MissingRun            = "run"
	AfterSuccess          = "success"
	AfterFailure          = "failure"
	AfterAny              = "any"
)

// The triggers of wakes that no policy declares.
const (
	TriggerManual = "manual" // anneal trigger and the API
	TriggerTimer  = "timer"  // a deferred decision
	TriggerRun    = "run"    // a buffered decision
	TriggerPause  = "pause"  // anneal pause
	TriggerResume = "resume" // anneal resume

	TriggerApprove = "approve" // anneal approve
	TriggerReject  = "reject"  // anneal reject
)

// ownTriggers are those.
func ownTriggers() []string {
	return []string{TriggerManual, TriggerTimer, TriggerRun, TriggerPause, TriggerResume, TriggerApprove, TriggerReject}
}

// withDefaults fills in what the spec leaves open: all defaults are here.
func withDefaults(s Spec) Spec {
	or := func(v *string, value string) {
		if *v == "" {
			*v = value
		}
	}
	b := &s.Spec
	if b.Mode == "" {
		b.Mode = Observe
	}
	or(&b.OnMissingSignal, MissingHold)
	signals := make(map[string]Signal, len(b.Signals))
	for name, signal := range b.Signals {
		signals[name] = signal.withDefaults()
	}
	b.Signals = signals
	b.Triggers = slices.Clone(b.Triggers)
	for i, t := range b.Triggers {
		if t.Debounce != nil {
			debounce := t.Debounce.withDefaults()
			b.Triggers[i].Debounce = &debounce
		}
		if t.Schedule != nil {
			schedule := t.Schedule.withDefaults()
			b.Triggers[i].Schedule = &schedule
		}
	}
	b.Rules = slices.Clone(b.Rules)
	for i, r := range b.Rules {
		if r.For != nil && r.For.Of == 0 {
			b.Rules[i].For = &For{Windows: r.For.Windows, Of: r.For.Windows}
		}
	}
	if b.Guards.Cooldown != nil {
		cooldown := *b.Guards.Cooldown
		or(&cooldown.After, AfterSuccess)
		b.Guards.Cooldown = &cooldown
	}
	if b.Guards.Concurrency != nil {
		concurrency := *b.Guards.Concurrency
		or(&concurrency.Key, "model.group")
		or(&concurrency.Overlap, Skip)
		if concurrency.Limit == 0 && concurrency.Overlap != AllowAll {
			concurrency.Limit = 1
		}
		b.Guards.Concurrency = &concurrency
	}
	if b.Guards.Breaker != nil {
		breaker := *b.Guards.Breaker
		if breaker.Within == 0 {
			breaker.Within = Duration(2 * week)
		}
		b.Guards.Breaker = &breaker
	}
	if b.Guards.Backoff != nil {
		backoff := *b.Guards.Backoff
		or(&backoff.After, AfterFailure)
		if backoff.Factor == 0 {
			backoff.Factor = 2
		}
		if backoff.Max == 0 {
			backoff.Max = max(Duration(day), backoff.Initial)
		}
		b.Guards.Backoff = &backoff
	}
	if b.Approval != nil {
		approval := b.Approval.withDefaults()
		b.Approval = &approval
	}
	if b.Run != nil {
		run := *b.Run
		or(&run.Executor, ExecutorEmbedded)
		b.Run = &run
	}
	return s
}

var (
	policyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	groupName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	signalName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	ident      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// Compile checks the policy and makes it ready to decide. Where there are
// problems it gives all of them and no policy.
func Compile(spec Spec) (*Policy, Problems) { return new(Compiler).Compile(spec) }

// A Compiler compiles policies, and what several of them say in the same words
// only once: many that are alike take little more room and time than one. The
// zero Compiler is ready; it is for one goroutine at a time.
type Compiler struct {
	base   *cel.Env
	envs   map[string]*cel.Env // by place and signals
	exprs  map[string]*expr    // by place, signals and text; those without a problem
	places map[string]places   // by signals; without a cost
	zones  map[string]*time.Location
	crons  map[string]parsedCron
}

// Compile is [Compile].
func (k *Compiler) Compile(spec Spec) (*Policy, Problems) {
	spec = withDefaults(spec)
	raw, err := spec.JSON()
	if err != nil {
		return nil, Problems{{Path: "spec", Offset: -1, Message: err.Error()}}
	}
	if k.base == nil {
		if k.base, err = baseEnv(); err != nil {
			return nil, Problems{{Path: "spec", Offset: -1, Message: err.Error()}}
		}
		k.envs, k.exprs, k.places = map[string]*cel.Env{}, map[string]*expr{}, map[string]places{}
		k.zones, k.crons = map[string]*time.Location{}, map[string]parsedCron{}
	}
	c := &compiler{Compiler: k, kinds: kindsOf(spec.Spec.Signals)}
	p := &Policy{Spec: spec, Revision: digest(raw)}
	b := p.Spec.Spec
	at := c.placesOf(b)

	c.head(p.Spec)
	c.data(b.Data)
	c.signals(b.Signals)

	ids := map[string]string{}
	unique := func(path, kind, value string) {
		switch first, taken := ids[kind+value]; {
		case value == "":
			c.problems.add(path, "%s needs an id", kind)
		case !ident.MatchString(value):
			c.problems.add(path, "%q is not an id: letters, digits, - and _, at most 63", value)
		case taken:
			c.problems.add(path, "the id %q is taken by %s: give each %s its own", value, first, kind)
		default:
			ids[kind+value] = path[:len(path)-len(".id")]
		}
	}
	for i, t := range b.Triggers {
		path := index("spec.triggers", i)
		unique(path+".id", "trigger", t.ID)
		if slices.Contains(ownTriggers(), t.ID) {
			c.problems.add(path+".id", "the id %q stands for a wake that needs no trigger: choose another", t.ID)
		}
		var match, key *expr
		switch {
		case t.Event == nil && t.Schedule == nil:
			c.problems.add(path+".event", "a trigger needs an event, such as {type: Object Created}, or a schedule, such as {cron: \"30 2 * * *\"}")
		case t.Event != nil && t.Schedule != nil:
			c.problems.add(path+".schedule", "a trigger has an event or a schedule: write two triggers")
		case t.Schedule != nil && t.Debounce != nil:
			c.problems.add(path+".debounce", "there is nothing to gather of a schedule: debounce is for an event")
		case t.Schedule != nil:
			c.schedule(path+".schedule", *t.Schedule, b.TimeZone)
		case *t.Event == Match{}:
			c.problems.add(path+".event", "this matches every event: give source, type or match")
		case t.Event.Match != "":
			match = c.expr(path+".event.match", t.Event.Match, at.match)
		}
		if t.Event != nil && t.Debounce != nil {
			key = c.debounce(path+".debounce", *t.Debounce, at.gather)
		}
		p.triggers, p.keys = append(p.triggers, match), append(p.keys, key)
	}

	if len(b.Rules) == 0 {
		c.problems.add("spec.rules", "a policy without rules never runs: add one, such as {id: always, if: \"true\"}")
	}
	for i, r := range b.Rules {
		path := index("spec.rules", i)
		unique(path+".id", "rule", r.ID)
		rule := c.expr(path+".if", r.If, at.rule)
		p.rules = append(p.rules, rule)
		if r.For == nil {
			continue
		}
		switch {
		case r.For.Windows < 1:
			c.problems.add(path+".for.windows", "%d windows: at least 1", r.For.Windows)
		case r.For.Of < r.For.Windows:
			c.problems.add(path+".for.of", "%d windows of %d can never be: of is at least windows", r.For.Windows, r.For.Of)
		case r.For.Of > maxWindows:
			c.problems.add(path+".for.of", "%d windows are not remembered: at most %d", r.For.Of, maxWindows)
		case rule != nil && len(rule.signals()) == 0:
			c.problems.add(path+".for", "for counts the windows of the signals that a rule reads, and this rule reads none")
		}
	}
	c.problems.oneOf("spec.onMissingSignal", b.OnMissingSignal, []string{MissingHold, MissingIgnore, MissingRun}, nil)

	if cd := b.Guards.Cooldown; cd != nil {
		c.problems.oneOf("spec.guards.cooldown.after", cd.After, []string{AfterSuccess, AfterFailure, AfterAny}, nil)
		if cd.For <= 0 {
			c.problems.add("spec.guards.cooldown.for", "a cooldown needs a length: for: 24h")
		}
	}
	key := "model.group"
	if cc := b.Guards.Concurrency; cc != nil {
		key = cc.Key
		switch {
		case cc.Overlap == AllowAll && cc.Limit != 0:
			c.problems.add("spec.guards.concurrency.limit", "allow-all has no limit: leave it out, or choose another overlap")
		case cc.Overlap != AllowAll && cc.Limit < 1:
			c.problems.add("spec.guards.concurrency.limit", "a limit of %d never runs: at least 1", cc.Limit)
		}
		c.problems.oneOf("spec.guards.concurrency.overlap", cc.Overlap, []string{Skip, BufferOne, BufferAll, CancelOther, TerminateOther, AllowAll}, nil)
	}
	c.breaker(b.Guards.Breaker, b)
	p.blackouts = c.blackouts(b.Guards.Blackout, b.TimeZone)
	c.backoff(b.Guards.Backoff)
	c.budget(b.Guards.Budget)
	p.key = c.expr("spec.guards.concurrency.key", key, at.key)

	c.parameters(p, b.Parameters)
	c.run(p, b, at)
	c.approval(p, b, at)
	for i, n := range b.Notify {
		path := index("spec.notify", i)
		if n.To == "" {
			c.problems.add(path+".to", "a notice needs a channel: to: NAME, as under notify in the settings")
		}
		if len(n.Events) == 0 {
			c.problems.add(path+".events", "a notice needs events: [decided, started, succeeded, failed, promoted, held, parked]")
		}
		for j, e := range n.Events {
			c.problems.oneOf(index(path+".events", j), string(e), []string{
				string(anneal.NoticeDecided), string(anneal.NoticeStarted), string(anneal.NoticeSucceeded), string(anneal.NoticeFailed), string(anneal.NoticePromoted), string(anneal.NoticeHeld), string(anneal.NoticeParked),
			}, []string{"rolled-back", "approval"})
		}
	}
	c.undeclared(b)
	c.sense(p)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return p, nil
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (c *compiler) head(s Spec) {
	if s.APIVersion != APIVersion {
		c.problems.add("apiVersion", "apiVersion is %s, not %q", APIVersion, s.APIVersion)
	}
	if s.Kind != Kind {
		c.problems.add("kind", "kind is %s, not %q", Kind, s.Kind)
	}
	if name := s.Metadata.Name; name == "" {
		c.problems.add("metadata.name", "a policy needs a name")
	} else if !policyName.MatchString(name) {
		c.problems.add("metadata.name", "%q is not a policy's name: lower-case letters, digits and hyphens, at most 63", name)
	}
	c.problems.oneOf("spec.mode", string(s.Spec.Mode), []string{string(Observe), string(Enforce), string(Paused)}, nil)
	if zone := s.Spec.TimeZone; zone != "" {
		if location := c.zone(zone); location == nil || zone == "Local" {
			c.problems.add("spec.timeZone", "%s", unknownZone(zone))
		}
	}
	if group := s.Spec.Model.Group; group == "" {
		c.problems.add("spec.model.group", "a policy needs a model group: model: {group: NAME}")
	} else if !groupName.MatchString(group) {
		c.problems.add("spec.model.group", "%q is not a model group: letters, digits, . - and _, at most 63", group)
	}
}

func (c *compiler) data(d Data) {
	if d.Format != "" {
		c.problems.oneOf("spec.data.format", d.Format, []string{FormatCSV, FormatJSONLines, FormatParquet}, nil)
	}
	for _, name := range sortedKeys(d.Columns) {
		c.problems.oneOf(At("spec.data.columns", name), d.Columns[name], []string{"numeric", "categorical", "timestamp", "text", "index"}, nil)
	}
	switch t := d.Train; {
	case t.Last != 0 && t.Since != 0:
		c.problems.add("spec.data.train", "choose one: {last: N} or {since: 90d}")
	case t.Last < 0:
		c.problems.add("spec.data.train.last", "%d objects: at least 1", t.Last)
	}
}

func (c *compiler) run(p *Policy, b Body, at places) {
	if b.Run == nil {
		if b.Mode == Enforce {
			c.problems.add("spec.mode", "mode enforce needs a run: {stateMachine: {file: pipeline.asl.json}}")
		}
	} else {
		r := *b.Run
		c.problems.oneOf("spec.run.executor", r.Executor, []string{ExecutorEmbedded, ExecutorStepFunctions}, nil)
		switch m := r.StateMachine; {
		case r.Executor == ExecutorStepFunctions && m.ARN == nil && m.File != "":
			c.problems.add("spec.run.stateMachine", "step-functions runs what is on AWS, and %s is a file: name the state machine that it is deployed as, stateMachine: {arn: {env: NAME}}; the file may stay beside it, for check", m.File)
		case r.Executor == ExecutorStepFunctions && m.ARN == nil:
			c.problems.add("spec.run.stateMachine", "a run on step-functions needs the ARN of a state machine: stateMachine: {arn: {env: NAME}}")
		case r.Executor != ExecutorStepFunctions && m.ARN != nil:
			c.problems.add("spec.run.stateMachine.arn", "an ARN is for executor: step-functions; the embedded one needs a file")
		case r.Executor != ExecutorStepFunctions && m.File == "":
			c.problems.add("spec.run.stateMachine", "a run needs a state machine: stateMachine: {file: pipeline.asl.json}")
		}
		input := r.Input
		if input == nil {
			input = map[string]any{}
		}
		p.input = c.template("spec.run.input", input, at.input)
		if p.input.expr != nil {
			c.problems.add("spec.run.input", "the input is an object: give each of its keys a value or {expr: …}")
		}
		if m := r.Model; m != nil {
			if m.State == "" {
				c.problems.add("spec.run.model.state", "a model needs the state whose success makes it: state: RegisterModel")
			}
			if m.Artifact == nil {
				c.problems.add("spec.run.model.artifact", "a model needs an artifact: {expr: state.output.ModelArtifact}")
			}
			p.artifact = c.template("spec.run.model.artifact", m.Artifact, at.result)
			a := p.artifact
			if _, text := a.constant.(string); a.fields != nil || a.items != nil || a.constant != nil && !text {
				c.problems.add("spec.run.model.artifact", "an artifact is a string, its URI, or {expr: CEL}")
			}
			if m.Metrics != nil {
				p.metrics = c.template("spec.run.model.metrics", m.Metrics, at.result)
				if _, fields := m.Metrics.(map[string]any); !fields {
					c.problems.add("spec.run.model.metrics", "metrics are a map, or {expr: CEL} that gives one: {expr: state.output.Metrics}")
				}
			}
			if m.Importance != nil {
				c.importance(p, m.Importance, at.result)
			}
		}
	}
	if b.Promote != nil {
		p.promote = c.expr("spec.promote.if", b.Promote.If, at.promote)
		if b.Run != nil && b.Run.Model == nil {
			c.problems.add("spec.promote", "there is nothing to promote: run.model says how a run becomes a model")
		}
	}
}
