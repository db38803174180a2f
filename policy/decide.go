package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// A Cause is why a policy is asked, with what is known at that time.
type Cause struct {
	// Event woke the policy. Its ID is the decision's cause and its Seen the
	// decision's time.
	Event anneal.Event
	// Origin is what a [Wake] was about in the first place, where Event is of
	// one: expressions see it as `event`. See [State.Woken].
	Origin  *anneal.Event
	Trigger string // as Matches said

	Signals  map[string]anneal.Signal // by name; one that is not there is missing
	Champion *anneal.Model            // nil where the group has none

	Training    anneal.Training // what a run would train on
	TrainingURI string          // training.prefix; unknown if empty
	ManifestURI string          // training.manifest; unknown if empty

	// Parameters and Force are those of a wake by hand. Those of a decision
	// that is looked at again need not be given: the State has them.
	Parameters map[string]any
	Force      bool // skips rules, never guards
}

// Decide is the verdict of the policy about the cause, with its proof: all
// rules and all guards, whichever of them settled it. Neither p nor past is
// changed; the caller applies the decision to past before the next one is made.
func Decide(p *Policy, past *State, c Cause) anneal.Decision {
	if wake, ok := past.Woken(c.Event); ok {
		c.Force = c.Force || wake.Force
		if c.Parameters == nil {
			c.Parameters = wake.Parameters
		}
	}
	b := p.Spec.Spec
	d := anneal.Decision{
		ID:      anneal.DecisionID(p.Name(), c.Event.ID),
		Policy:  p.Name(),
		Cause:   c.Event.ID,
		Trigger: c.Trigger,
		At:      c.Event.Seen,
		Rules:   []anneal.RuleResult{},
		Guards:  []anneal.GuardResult{},
		Signals: map[string]anneal.SignalValue{},

		Model:    p.Group(),
		Training: c.Training,
		Revision: p.Revision,
		Force:    c.Force,
	}
	if d.Training.Objects == nil {
		d.Training.Objects = []anneal.Object{}
	}
	if c.Champion != nil {
		d.Champion = c.Champion.ID()
	}
	for name := range b.Signals {
		s, ok := c.Signals[name]
		if !ok {
			s.Status = anneal.SignalMissing
		}
		d.Signals[name] = anneal.SignalValue{Value: s.Value, Share: s.Share, Low: s.Low, High: s.High, N: s.N, At: s.At, Age: s.Age, Status: s.Status, Verdict: s.Verdict, Due: s.Due, Why: s.Why, Window: s.Window}
	}
	verdict := func(v anneal.Verdict, format string, args ...any) anneal.Decision {
		d.Verdict, d.Reason = v, fmt.Sprintf(format, args...)
		return d
	}

	if reason, ok := byHand(c.Trigger, c.Event); ok {
		if c.Trigger == TriggerResume && b.Mode == Paused {
			reason += ", and still paused by its file"
		}
		return verdict(anneal.VerdictHold, "%s", reason)
	}
	answer := past.answered(c)
	if answer.settled != "" {
		return verdict(anneal.VerdictHold, "%s", answer.settled)
	}
	var err error
	if d.Parameters, err = p.parameters(c.Parameters, c.Event.Source == anneal.SourceManual && c.Trigger != TriggerApprove); err != nil {
		return verdict(anneal.VerdictError, "%v", err)
	}
	v := p.vars(d, c)
	v.cost(p)
	unknown, whyUnknown := "", "" // the first unknown rule
	for i, rule := range b.Rules {
		result, why := p.rule(i, past.ruleMemory(p.Name(), rule.ID), d, v, c.Signals)
		d.Rules = append(d.Rules, result)
		if result.Result == anneal.True && d.Rule == "" {
			d.Rule = rule.ID
		}
		if result.Result == anneal.Unknown && unknown == "" {
			unknown, whyUnknown = rule.ID, why
		}
	}

	stops, err := p.guards(past, &d)
	reason := ""
	switch {
	case b.Mode == Paused:
		return verdict(anneal.VerdictHold, "paused")
	case past.paused(p.Name()) != "":
		return verdict(anneal.VerdictHold, "%s", past.paused(p.Name()))
	case answer.approved != "":
		reason = answer.approved
	case c.Force:
		reason = "forced"
	case d.Rule != "":
		reason = because(d.Rule, d.Rules)
	case unknown != "" && b.OnMissingSignal == MissingHold:
		return verdict(anneal.VerdictHold, "%s", whyUnknown)
	case unknown != "" && b.OnMissingSignal == MissingRun:
		d.Rule = unknown
		reason = fmt.Sprintf("%s: %s, and onMissingSignal is run", unknown, whyUnknown)
	default:
		return verdict(anneal.VerdictHold, "%s", noRule(d.Rules))
	}

	if err != nil {
		return verdict(anneal.VerdictError, "%v", err)
	}
	vetoes := slices.DeleteFunc(slices.Clone(d.Guards), func(g anneal.GuardResult) bool { return !g.Veto })
	makesWay := b.Mode == Enforce && len(stops) > 0 // nothing else stands in the way
	if len(vetoes) > 0 {
		makesWay = makesWay && len(vetoes) == 1 && vetoes[0].ID == guardConcurrency
		d.Verdict, d.Reason = anneal.VerdictHold, vetoes[0].ID+": "+vetoes[0].Detail
		if vetoes[0].Until != nil && vetoes[0].ID != guardBreaker { // which may stay open, and is a person's to close
			d.Verdict, d.Until = anneal.VerdictDefer, latest(vetoes)
		}
		if !makesWay {
			return d
		}
	}
	var input json.RawMessage
	if p.input != nil {
		value, err := p.input.value(v)
		if err == nil {
			input, err = json.Marshal(value)
		}
		if err != nil {
			return verdict(anneal.VerdictError, "%v", err)
		}
	}
	if why, ask := p.asks(v); ask && answer.approved == "" && (len(vetoes) == 0 || makesWay) {
		if b.Mode == Observe {
			return verdict(anneal.VerdictWouldRun, "%s; it would ask: %s", reason, why)
		}
		if other, is := past.Asking(p.Name()); is {
			return verdict(anneal.VerdictHold, "decision %s asks for approval already", other)
		}
		until := d.At.Add(time.Duration(b.Approval.Timeout))
		d.Until = &until
		return verdict(anneal.VerdictAwaitApproval, "%s; %s", reason, why)
	}
	if makesWay {
		d.Stops = stops
	}
	if len(vetoes) > 0 {
		return d
	}
	d.Input = input
	if b.Mode == Observe {
		return verdict(anneal.VerdictWouldRun, "%s", reason)
	}
	return verdict(anneal.VerdictRun, "%s", reason)
}

// guards asks all guards, in their order, and records what they say in d. It
// returns the runs that make way for a new one. The error is of the concurrency
// key.
func (p *Policy) guards(past *State, d *anneal.Decision) (stops []string, err error) {
	g, now := p.Spec.Spec.Guards, d.At
	add := func(r anneal.GuardResult) { d.Guards = append(d.Guards, r) }
	if g.Breaker != nil {
		add(g.Breaker.ask(past, d.Policy, d.Model, now))
	}
	if len(g.Blackout) > 0 {
		add(p.blackouts.ask(now))
	}
	if g.Backoff != nil {
		add(g.Backoff.ask(past, d.Model, now))
	}
	if g.Cooldown != nil {
		add(g.Cooldown.ask(past, d.Model, now))
	}
	if g.Concurrency != nil {
		var key string
		if key, err = p.concurrencyKey(d.Parameters); err != nil {
			add(anneal.GuardResult{ID: guardConcurrency, Veto: true, Detail: err.Error()})
		} else {
			var r anneal.GuardResult
			r, stops = g.Concurrency.ask(past, d.Policy, d.Cause, key)
			add(r)
		}
	}
	if g.Budget != nil {
		add(g.Budget.ask(past, d.Model, now))
	}
	return stops, err
}

// latest is when the last of the vetoes with a known end is over: before that
// another look would only find the next of them.
func latest(vetoes []anneal.GuardResult) (until *time.Time) {
	for _, g := range vetoes {
		if g.Until != nil && (until == nil || g.Until.After(*until)) {
			until = g.Until
		}
	}
	return until
}

// NewRun is the run that d decided, pending.
func NewRun(p *Policy, d anneal.Decision) (anneal.Run, error) {
	key, err := p.concurrencyKey(d.Parameters)
	if err != nil {
		return anneal.Run{}, fmt.Errorf("run %s: %w", d.ID, err)
	}
	return anneal.Run{
		ID:             d.ID,
		Policy:         d.Policy,
		Model:          d.Model,
		Decision:       d.ID,
		Executor:       p.Spec.Spec.Run.Executor,
		Status:         anneal.StatusPending,
		Started:        d.At,
		ConcurrencyKey: key,
		Revision:       d.Revision,
		Training:       d.Training,
		Input:          d.Input,
	}, nil
}

// vars are what rules and inputs see of the decision's cause.
func (p *Policy) vars(d anneal.Decision, c Cause) vars {
	now := d.At
	v := vars{
		"now": now, "model.group": d.Model, "run.id": d.ID, "parameters": map[string]any{},
		"training.rows": float64(d.Training.Rows), "training.bytes": float64(d.Training.Bytes),
	}
	if d.Parameters != nil {
		v["parameters"] = d.Parameters
	}
	event := c.Event
	if c.Origin != nil {
		event = *c.Origin
	}
	v.event(event)
	for name, s := range d.Signals {
		at := "signals." + name
		v[at+".status"] = string(s.Status)
		if s.Status != anneal.SignalOK && s.Status != anneal.SignalStale {
			continue
		}
		v[at+".n"], v[at+".at"], v[at+".age"] = float64(s.N), s.At, seconds(s.Age)
		if s.Status == anneal.SignalOK && s.Value != nil {
			v[at+".value"] = *s.Value
		}
		if s.Status == anneal.SignalOK && s.Share != nil {
			v[at+".share"] = *s.Share
		}
		if s.Status == anneal.SignalOK && s.Low != nil && s.High != nil {
			v[at+".low"], v[at+".high"] = *s.Low, *s.High
		}
		if s.Status == anneal.SignalOK && s.Due != nil {
			v[at+".verdict"], v[at+".due"] = s.Verdict, *s.Due
		}
	}
	v.champion(c.Champion, now)
	objects := make([]map[string]any, len(d.Training.Objects))
	for i, o := range d.Training.Objects {
		objects[i] = map[string]any{"uri": o.URI, "version": o.Version, "bytes": float64(o.Bytes), "rows": float64(o.Rows)}
	}
	v["training.objects"] = objects
	if c.TrainingURI != "" {
		v["training.prefix"] = c.TrainingURI
	}
	if c.ManifestURI != "" {
		v["training.manifest"] = c.ManifestURI
	}
	return v
}

func (v vars) champion(m *anneal.Model, now time.Time) {
	v["champion.exists"], v["champion.artifact"] = m != nil, ""
	if m == nil {
		return
	}
	v["champion.version"], v["champion.trainedAt"] = float64(m.Version), m.TrainedAt
	v["champion.artifact"] = m.Artifact.URI
	v["champion.age"] = now.Sub(m.TrainedAt)
	v["champion.metrics"] = orEmpty(m.Metrics)
}

func orEmpty(m map[string]float64) map[string]float64 {
	if m == nil {
		return map[string]float64{}
	}
	return m
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// parameters are those given with the defaults, as JSON reads them.
func (p *Policy) parameters(given map[string]any, manual bool) (map[string]any, error) {
	if manual {
		if err := p.CheckParameters(given); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(p.effective(given))
	if err != nil {
		return nil, fmt.Errorf("parameters of policy %s: %w", p.Name(), err)
	}
	var plain map[string]any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return nil, fmt.Errorf("parameters of policy %s: %w", p.Name(), err)
	}
	return plain, nil
}

// rule is how rule i came out, and why where that is unknown.
func (p *Policy) rule(i int, past RuleMemory, d anneal.Decision, v vars, signals map[string]anneal.Signal) (anneal.RuleResult, string) {
	rule, x := p.Spec.Spec.Rules[i], p.rules[i]
	was := map[int64]bool{}
	for id, text := range x.was {
		was[id] = past.Truths[text]
	}
	v[wasVar] = was
	value, details, err := x.eval(v)
	r := anneal.RuleResult{ID: rule.ID, Result: anneal.Unknown, Clauses: x.clauses(v, details)}
	if err == nil {
		switch value.Value() {
		case true:
			r.Result = anneal.True
		case false:
			r.Result = anneal.False
		default:
			err = fmt.Errorf("%v is neither true nor false", value.Value())
		}
	}
	if rule.For != nil {
		whole := anneal.Clause{Expr: x.root.text, Value: truth(r.Result)}
		r.Clauses = append([]anneal.Clause{whole}, slices.DeleteFunc(r.Clauses, func(c anneal.Clause) bool { return c.Expr == whole.Expr })...)
		r.Result, r.For = rule.For.over(past, r, d)
	}
	if r.Result != anneal.Unknown {
		return r, ""
	}
	for _, name := range x.signals() {
		if s := d.Signals[name]; s.Status != anneal.SignalOK {
			why := fmt.Sprintf("signal %s is %s", name, s.Status)
			if detail := signals[name].Error; detail != "" {
				why += ": " + detail
			}
			return r, why
		}
	}
	if d.Champion == "" && slices.ContainsFunc(x.leaves, func(l leaf) bool {
		return strings.HasPrefix(l.text, "champion.") && l.text != "champion.exists"
	}) {
		return r, fmt.Sprintf("rule %s is unknown: there is no champion", rule.ID)
	}
	return r, fmt.Sprintf("rule %s is unknown: %v", rule.ID, err)
}

// over is the result of a rule that was r.Result on the present window: true
// if it is that now and was on enough of the last distinct windows, measured
// against the same champion.
func (f For) over(past RuleMemory, r anneal.RuleResult, d anneal.Decision) (anneal.Result, string) {
	var windows []WindowResult
	if past.If == r.Clauses[0].Expr {
		windows = past.Windows
	}
	if r.Result != anneal.Unknown {
		windows = addWindow(windows, WindowResult{Window: windowOf(r.Clauses, d.Signals), Champion: d.Champion, True: r.Result == anneal.True})
	}
	count, seen := 0, 0
	for _, w := range slices.Backward(windows) {
		if w.Champion != d.Champion {
			continue
		}
		if seen++; w.True {
			count++
		}
		if seen == f.Of {
			break
		}
	}
	progress := fmt.Sprintf("%d of %d windows", count, f.Windows)
	if r.Result == anneal.True && count < f.Windows {
		return anneal.False, progress
	}
	return r.Result, progress
}

func truth(r anneal.Result) any {
	switch r {
	case anneal.True:
		return true
	case anneal.False:
		return false
	}
	return nil
}

// signals are the names of those that x reads, in order.
func (x *expr) signals() []string {
	var names []string
	for _, l := range x.leaves {
		if rest, ok := strings.CutPrefix(l.text, "signals."); ok {
			name, _, _ := strings.Cut(rest, ".")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// because says in one line why the rule is true: its numbers.
func because(rule string, results []anneal.RuleResult) string {
	for _, r := range results {
		if r.ID != rule {
			continue
		}
		if read := numbers(r); len(read) > 0 {
			return rule + ": " + strings.Join(read, ", ")
		}
	}
	return rule
}

// noRule says in one line why nothing wants a run: each rule's numbers, and how
// far its `for` has come.
func noRule(results []anneal.RuleResult) string {
	var rules []string
	for _, r := range results {
		read := numbers(r)
		if r.For != "" {
			read = append(read, r.For)
		}
		rule := r.ID
		if len(read) > 0 {
			rule += " (" + strings.Join(read, ", ") + ")"
		}
		rules = append(rules, rule)
	}
	if len(rules) == 0 {
		return "there are no rules"
	}
	return "no rule is true: " + strings.Join(rules, ", ")
}

// numbers are what the rule read and what that was.
func numbers(r anneal.RuleResult) (read []string) {
	for _, c := range r.Clauses {
		if _, truth := c.Value.(bool); !truth && c.Value != nil {
			read = append(read, strings.TrimPrefix(c.Expr, "signals.")+" "+shown(c.Value))
		}
	}
	return read
}
