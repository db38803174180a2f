package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/anneal-ml/anneal"
)

// sense reports what can have no effect as it is written: expressions that
// are never true, triggers that match nothing, signals that nothing measures.
func (c *compiler) sense(p *Policy) {
	b := p.Spec.Spec
	d := newDomain(b)
	for i, rule := range p.rules {
		c.possible(index("spec.rules", i)+".if", rule, d)
	}
	c.possible("spec.promote.if", p.promote, d)
	c.possible("spec.approval.if", p.approval, d)
	for i, t := range b.Triggers {
		if t.Event == nil {
			continue
		}
		path := index("spec.triggers", i) + ".event"
		c.matchable(path, *t.Event)
		c.possible(path+".match", p.triggers[i], d.of(*t.Event))
		if t.Event.Type == anneal.TypeObjectCreated {
			c.objectFields(path+".match", p.triggers[i])
		}
	}
	c.metrics(p)
	c.measurable(b)
	if b.Data.Columns[b.Data.Target] == "index" && b.Data.Target != "" {
		c.problems.add(At("spec.data.columns", b.Data.Target), "%s is the target: an index only counts the rows", b.Data.Target)
	}
}

// possible reports the parts of x that are never true.
func (c *compiler) possible(path string, x *expr, d domain) {
	if x == nil || x.root == nil || strings.TrimSpace(x.text) == "false" {
		return
	}
	report := func(n *node, message string) {
		c.problems = append(c.problems, Problem{Path: path, Offset: n.at, Message: message})
	}
	before := len(c.problems)
	x.root.each(func(n *node) {
		if n.constant != nil && *n.constant {
			return
		}
		if word, ok := n.limit.(types.String); ok {
			if words := d.words[n.read]; words != nil && !slices.Contains(words, string(word)) {
				if len(words) == 1 {
					report(n, fmt.Sprintf("%s is %q here, never %q", n.read, words[0], string(word)))
				} else {
					report(n, fmt.Sprintf("%s is never %q%s", n.read, string(word), Have(string(word), words)))
				}
				return
			}
		}
		switch s, known := d.spans[n.over]; {
		case !d.possible([]literal{{n, false}}):
			report(n, d.whyNever(n))
		case known && s.hi == 1 && (n.bound > 1 || n.bound < 0):
			report(n, strings.Replace(d.whyNever(n), "never", "always", 1))
		}
	})
	if len(c.problems) > before {
		return
	}
	parts := []*node{x.root}
	if x.root.op == "||" {
		parts = x.root.kids
	}
	for _, part := range parts {
		if why, is := d.never(part); is {
			report(why[len(why)-1].node, together(why))
		}
	}
}

// each visits the comparisons in n.
func (n *node) each(visit func(*node)) {
	if n.op == "" {
		visit(n)
	}
	for _, kid := range n.kids {
		kid.each(visit)
	}
}

// whyNever says why one comparison is never true.
func (d domain) whyNever(n *node) string {
	s, known := d.spans[n.over]
	switch {
	case n.same:
		return n.text + " is never true: both sides are the same"
	case !known:
		return n.text + " is never true"
	case s.hi == 1 && n.bound >= 2 && n.bound <= 100:
		return fmt.Sprintf("%s is never true: %s is from 0 to 1, %s %% is %s", n.text, n.over, number(n.bound), number(n.bound/100))
	case s.hi == 1:
		return fmt.Sprintf("%s is never true: %s is from 0 to 1", n.text, n.over)
	}
	return fmt.Sprintf("%s is never true: %s is never less than %s", n.text, n.over, number(s.lo))
}

// matchable reports a source whose events wake policies by themselves.
func (c *compiler) matchable(path string, m Match) {
	switch m.Source {
	case anneal.SourceCron:
		c.problems.add(path+".source", "a tick wakes the policy whose schedule it is of: write schedule: {cron: \"30 2 * * *\"}")
	case anneal.SourceManual, anneal.SourceTimer, anneal.SourceRun:
		c.problems.add(path+".source", "an event of %s wakes the policy that it names, and needs no trigger", m.Source)
	}
}

// objectFields reports what a match reads that the data of an object does not
// have. What asks with has() may ask for anything.
func (c *compiler) objectFields(path string, x *expr) {
	if x == nil || x.asks {
		return
	}
	report := func(at int, format string, args ...any) {
		c.problems = append(c.problems, Problem{Path: path, Offset: at, Message: fmt.Sprintf(format, args...)})
	}
	for _, l := range x.leaves {
		if len(l.path) < 2 || l.path[0] != "event.data" {
			continue
		}
		name := strings.Join(l.path[1:], ".")
		if slices.Contains(objectFields, name) || slices.Contains(objectFields, name+".") {
			continue
		}
		within := ""
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			within = name[:i+1]
		}
		var have []string
		for _, f := range objectFields {
			if rest, ok := strings.CutPrefix(f, within); ok && rest != "" && !strings.Contains(strings.TrimSuffix(rest, "."), ".") {
				have = append(have, strings.TrimSuffix(rest, "."))
			}
		}
		report(l.at, "the data of an object has no %s%s", name, Have(name[len(within):], have))
	}
	x.root.each(func(n *node) {
		of, ok := strings.CutPrefix(n.read, "event.data.")
		if _, text := n.limit.(types.String); ok && text && slices.Contains(objectFields, of+".") {
			field := map[string]string{"bucket": "name", "object": "key"}[of]
			report(n.at, "%s is no text, it has fields: write %s.%s", n.read, n.read, field)
		}
	})
}

// metrics reports metrics of a candidate that no run gives.
func (c *compiler) metrics(p *Policy) {
	run := p.Spec.Spec.Run
	if p.promote == nil || run == nil || run.Model == nil {
		return
	}
	for _, l := range p.promote.leaves {
		if len(l.path) != 2 || l.path[0] != "candidate.metrics" || p.promote.asks {
			continue
		}
		report := func(format string, args ...any) {
			c.problems = append(c.problems, Problem{Path: "spec.promote.if", Offset: l.at, Message: fmt.Sprintf(format, args...)})
		}
		switch {
		case run.Model.Metrics == nil:
			report("a candidate has no metrics: run.model.metrics says where they are, such as {expr: state.output.Metrics}")
		case p.metrics != nil && p.metrics.fields != nil && p.metrics.fields[l.path[1]] == nil:
			report("a candidate has no metric %q%s", l.path[1], Have(l.path[1], sortedKeys(p.metrics.fields)))
		}
	}
}

// measurable reports signals over data that no trigger brings.
func (c *compiler) measurable(b Body) {
	if len(b.Triggers) == 0 || slices.ContainsFunc(b.Triggers, brings) {
		return
	}
	for _, name := range sortedKeys(b.Signals) {
		if s := b.Signals[name]; s.Source == SourceData && s.IsDrift() {
			c.problems.add(At("spec.signals", name), "there is never any data to measure: no trigger is for objects, such as event: {type: %s}", anneal.TypeObjectCreated)
		}
	}
}

// brings reports whether events of the trigger may bring objects.
func brings(t Trigger) bool {
	return t.Event != nil && (t.Event.Type == "" || t.Event.Type == anneal.TypeObjectCreated)
}

// Warnings are what is sound in the policy and is hardly meant so; makes says
// whether runs of any policy of the model group make models.
func (p *Policy) Warnings(makes bool) Problems {
	var found Problems
	warn := func(path string, offset int, format string, args ...any) {
		found = append(found, Problem{Path: path, Offset: offset, Message: fmt.Sprintf(format, args...), Warning: true})
	}
	b := p.Spec.Spec
	d := newDomain(b)
	for i, rule := range p.rules {
		path := index("spec.rules", i)
		switch text := strings.TrimSpace(rule.text); {
		case text == "false":
			warn(path+".if", 0, "never true: only --force runs by this rule")
		case text != "true" && d.always(rule.root):
			warn(path+".if", 0, "always true, once it is known what it reads")
		}
		if earlier, same := p.covered(i, d); earlier != "" {
			what := "it is true whenever this one is"
			if same {
				what = "it is the same"
			}
			warn(path+".if", 0, "never the reason: rule %q comes first, and %s", earlier, what)
		}
		if f := b.Rules[i].For; f != nil && f.Windows == 1 && f.Of > 1 {
			warn(path+".for.windows", -1, "1 window of %d is the present one: for says nothing then", f.Of)
		}
	}
	for _, t := range []*template{p.input, p.artifact, p.metrics, p.importance} {
		t.warnTexts(warn)
	}
	p.warnTriggers(warn)
	p.warnRun(warn, d, makes)
	return found
}

// covered is the first rule before rule i that is true wherever that is.
func (p *Policy) covered(i int, d domain) (earlier string, same bool) {
	rules := p.Spec.Spec.Rules
	for j := range i {
		a, b := rules[j], rules[i]
		same = p.rules[j].root.text == p.rules[i].root.text
		switch {
		case a.For == nil && (same || d.follows(p.rules[i].root, p.rules[j].root)):
			return a.ID, same && b.For == nil
		case a.For != nil && b.For != nil && same && a.For.Windows <= b.For.Windows && a.For.Of >= b.For.Of:
			return a.ID, *a.For == *b.For
		}
	}
	return "", false
}

type warn func(path string, offset int, format string, args ...any)

func (p *Policy) warnTriggers(warn warn) {
	var sources, types []string
	for _, source := range sortedKeys(knownEvents) {
		sources, types = append(sources, source), append(types, knownEvents[source]...)
	}
	for i, t := range p.Spec.Spec.Triggers {
		if t.Event == nil {
			continue
		}
		path, m := index("spec.triggers", i), *t.Event
		ours := m.Source == "" || strings.HasPrefix(strings.ToLower(m.Source), "aws") || strings.HasPrefix(strings.ToLower(m.Source), "anneal") || strings.EqualFold(m.Source, "s3")
		source := meant(m.Source, sources)
		if short := meant("aws."+m.Source, append(sources, "")); source == "" && m.Source != "" && short == "" && slices.Contains(sources, "aws."+strings.ToLower(m.Source)) {
			source = "aws." + strings.ToLower(m.Source)
		}
		known := knownEvents[m.Source]
		switch kind := meant(m.Type, types); {
		case source != "":
			warn(path+".event.source", -1, "events of %q are not known: did you mean %q?", m.Source, source)
		case kind != "" && ours:
			warn(path+".event.type", -1, "events of type %q are not known: did you mean %q?", m.Type, kind)
		case known != nil && m.Type != "" && !slices.Contains(known, m.Type) && slices.Contains(types, m.Type):
			warn(path+".event.type", -1, "%s sends no %q (it sends %s)", m.Source, m.Type, strings.Join(known, ", "))
		}
		if d := t.Debounce; d != nil && !brings(t) && (d.MinRows > 0 || d.MinObjects > 0) {
			warn(path+".debounce", -1, "these events bring no objects: what is gathered always waits for maxWait, %s", d.MaxWait)
		}
	}
}

// warnRun is about what a run cannot have.
func (p *Policy) warnRun(warn warn, d domain, makes bool) {
	b := p.Spec.Spec
	for _, name := range sortedKeys(b.Signals) {
		if s := b.Signals[name]; s.Source == SourceData && !s.IsDrift() && !slices.ContainsFunc(b.Triggers, brings) {
			warn(At("spec.signals", name), -1, "there are never any rows to count: no trigger is for objects, such as event: {type: %s}", anneal.TypeObjectCreated)
		}
	}
	if b.Run == nil {
		return
	}
	if b.Mode == Enforce && !makes {
		for i, rule := range p.rules {
			if l := rule.reads(d, "champion.exists"); l != nil {
				warn(index("spec.rules", i)+".if", l.at, "%s is never known: no run makes a champion, run.model says how one does", l.text)
				break
			}
		}
	}
	first := "" // a rule that may ask for the first run
	for i, rule := range p.rules {
		for _, way := range rule.root.ways(false) {
			w := newWorld(d)
			w.truth("champion.exists", false)
			if first == "" && !slices.ContainsFunc(way, func(l literal) bool { return !w.add(l) }) {
				first = b.Rules[i].ID
			}
		}
	}
	woken := len(b.Triggers) > 0
	ticks := "" // a schedule's trigger
	for _, t := range b.Triggers {
		if t.Schedule != nil {
			ticks = t.ID
		}
	}
	p.input.each(func(path string, x *expr) {
		if !x.strict {
			return
		}
		if l := x.reads(d, "champion.exists"); l != nil && first != "" && b.Run.Model != nil {
			warn(path, l.at, "%s is not known where there is no champion, and rule %q may run then: write champion.exists ? … : …", l.text, first)
		}
		for _, l := range x.leaves {
			if len(l.path) == 2 && l.path[0] == "parameters" && woken && !p.hasDefault(l.path[1]) {
				warn(path, l.at, "%s has no default, and only a wake by hand gives one: give it one under spec.parameters", l.text)
			}
			if len(l.path) > 1 && l.path[0] == "event.data" && ticks != "" && !slices.Contains([]string{"policy", "trigger"}, l.path[1]) && slices.Contains(objectFields, strings.Join(l.path[1:], ".")) {
				warn(path, l.at, "a tick of schedule %q brings no object, and so no %s", ticks, l.text)
			}
		}
	})
}

// hasDefault reports whether the parameter is always given.
func (p *Policy) hasDefault(name string) bool {
	_, ok := p.defaulted[name]
	return ok
}

// reads is what x reads that is known only where what is true, if anything is.
func (x *expr) reads(d domain, what string) *leaf {
	for i, l := range x.leaves {
		if slices.ContainsFunc(d.needs(l.path), func(n need) bool { return n.text == what && n.words == nil }) {
			return &x.leaves[i]
		}
	}
	return nil
}

// each visits the expressions of a template.
func (t *template) each(visit func(path string, x *expr)) {
	switch {
	case t.expr != nil:
		visit(At(t.path, "expr"), t.expr)
	case t.fields != nil:
		for _, key := range sortedKeys(t.fields) {
			t.fields[key].each(visit)
		}
	}
	for _, item := range t.items {
		item.each(visit)
	}
}

// parameter reports parameters that the policy's schema does not have.
func (c *compiler) undeclared(b Body) {
	if b.Parameters != nil {
		for _, open := range []string{"$ref", "allOf", "anyOf", "oneOf", "patternProperties", "if", "dependentSchemas"} {
			if _, ok := b.Parameters[open]; ok {
				return
			}
		}
		if more, ok := b.Parameters["additionalProperties"]; ok && more != false {
			return
		}
	}
	properties, _ := b.Parameters["properties"].(map[string]any)
	for _, read := range c.parameterReads {
		if properties[read.name] != nil {
			continue
		}
		message := fmt.Sprintf("unknown parameter %q%s", read.name, Have(read.name, sortedKeys(properties)))
		if b.Parameters == nil {
			message = fmt.Sprintf("the policy has no parameters: declare it under spec, parameters: {properties: {%s: {type: string}}}", read.name)
		}
		c.problems = append(c.problems, Problem{Path: read.path, Offset: read.at, Message: message})
	}
}

// A parameterRead is a place that reads a parameter.
type parameterRead struct {
	path string
	at   int
	name string
}

// A meantPath is a text that reads like what an expression could read.
const meantPath = `(?:run\.id|training\.(?:prefix|objects|manifest|rows|bytes)|champion\.(?:version|artifact|metrics\.\w+)|parameters\.\w+|event\.(?:id|data\.\w+)[\w.]*|state\.(?:parameters|input|output)\.[\w.]+)`

var meantExpr = regexp.MustCompile(`^` + meantPath + `$|(?:\{\{|\$\{|\+)\s*\.?` + meantPath + `\b|\b` + meantPath + `\s*\+`)

// warnTexts doubts constants that were hardly meant to be handed on as they are.
func (t *template) warnTexts(warn warn) {
	if t == nil {
		return
	}
	if text, ok := t.constant.(string); ok && meantExpr.MatchString(text) {
		warn(t.path, -1, "is handed on as this text: for what it reads write {expr: CEL}, such as {expr: \"'train-' + run.id\"}")
	}
	for _, key := range sortedKeys(t.fields) {
		t.fields[key].warnTexts(warn)
	}
	for _, item := range t.items {
		item.warnTexts(warn)
	}
}
