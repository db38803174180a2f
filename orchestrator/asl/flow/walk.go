package flow

import (
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A way is one of the ways in which an execution can come to a state: with
// which data, and after what.
type way struct {
	data *Shape
	vars *Shape
	item *Shape // of the innermost Map
	from *way
	via  string // the state that was left, and how
}

func (w *way) hash() uint64 {
	return w.data.Hash() ^ w.vars.Hash()*31 ^ w.item.Hash()*1009
}

// What bounds the work.
const (
	mostWays  = 32    // to one state that are told apart, if that does not take too long
	mostSteps = 8_000 // states that are gone through, those with much data for more than one
)

// follow goes through the machine on every way.
func (a *analysis) follow(m *scope) {
	a.explore(m, false)
	seen, calls := a.sites, a.calls
	// What known constants rule out is looked at too, as if they were not known.
	reached := map[*state]bool{}
	for _, st := range m.all() {
		reached[st] = st.reached
	}
	a.explore(m, true)
	for key, x := range a.sites {
		if !reached[x.st] {
			seen[key] = x
			calls[x.resource] = a.calls[x.resource]
		}
	}
	a.sites, a.calls = seen, calls
}

// explore goes through the machine. Where that takes too long it tells fewer
// ways apart, and where that does not help nothing is known.
func (a *analysis) explore(m *scope, blind bool) {
	for a.ways = mostWays; ; a.ways /= 4 {
		a.blind, a.steps = blind, 0
		a.passed, a.sites, a.calls = map[passage][]*way{}, map[siteKey]*site{}, map[int]int{}
		if a.ways == 0 {
			return
		}
		a.run(m, a.entry())
		if a.steps <= mostSteps {
			return
		}
	}
}

// entry is how an execution begins.
func (a *analysis) entry() *way {
	if a.Input == nil {
		return &way{data: Any(), vars: Record()}
	}
	return &way{data: a.Input, vars: Record()}
}

// An onward is a way on, and the state it leads to; nil where the scope ends.
type onward struct {
	to *state
	w  *way
}

// run goes through a scope and returns the ways to its end.
func (a *analysis) run(s *scope, in *way) []*way {
	key := passage{s, in.hash()}
	if ends, ok := a.passed[key]; ok {
		return ends
	}
	ends := a.walk(s, in)
	a.passed[key] = ends
	return ends
}

// A passage is a scope and with what it was gone through.
type passage struct {
	s  *scope
	in uint64
}

func (a *analysis) walk(s *scope, in *way) []*way {
	type arrivals struct {
		seen  map[uint64]bool
		all   *way // once there are too many ways: what is known on all of them
		count int
	}
	at := map[*state]*arrivals{}
	var ends []*way
	queue := []onward{{s.state(s.start), in}}
	for len(queue) > 0 && a.steps <= mostSteps {
		o := queue[0]
		queue = queue[1:]
		if o.to == nil {
			continue
		}
		x := at[o.to]
		if x == nil {
			x = &arrivals{seen: map[uint64]bool{}}
			at[o.to] = x
		}
		if x.all != nil {
			o.w = x.all.joined(o.w)
			x.all = o.w
		}
		if h := o.w.hash(); x.seen[h] {
			continue
		} else {
			x.seen[h] = true
		}
		if x.count++; x.count > a.ways && x.all == nil {
			x.all = o.w
		}
		o.to.reached = true
		a.steps += 1 + (len(o.w.data.Fields)+len(o.w.vars.Fields))/8
		for _, next := range a.state(o.to, o.w) {
			if next.to == nil {
				ends = append(ends, next.w)
			} else {
				queue = append(queue, next)
			}
		}
	}
	return ends
}

func (w *way) joined(x *way) *way {
	j := &way{data: join(w.data, x.data), vars: join(w.vars, x.vars), item: w.item, from: x.from, via: x.via}
	if w.item != nil && x.item != nil {
		j.item = join(w.item, x.item)
	}
	return j
}

// on is the way on from a state.
func (w *way) on(st *state, how string, data *Shape) *way {
	return &way{data: data, vars: w.vars, item: w.item, from: w, via: st.name + how}
}

// state goes through one state, and returns the ways on from it.
func (a *analysis) state(st *state, w *way) []onward {
	v := view{a: a, st: st, w: w, data: w.data}
	n := st.node
	a.see(st, func(x *Seen) **Shape { return &x.Input }, w.data)
	next := func(data *Shape, w *way) []onward {
		a.see(st, func(x *Seen) **Shape { return &x.Output }, data)
		to := st.scope.state(text(n, "Next"))
		if to == nil && !st.ends() {
			return nil // it leads nowhere, which has been reported
		}
		return []onward{{to, w.on(st, "", data)}}
	}
	if st.spoilt {
		a.see(st, func(x *Seen) **Shape { return &x.Parameters }, Any())
		a.see(st, func(x *Seen) **Shape { return &x.Output }, Any())
		var all []onward
		if st.ends() {
			all = append(all, onward{nil, w.on(st, "", Any())})
		}
		for _, to := range st.leads() {
			x := w.on(st, "", Any())
			x.vars = v.assigned(n, nil)
			all = append(all, onward{to, x})
		}
		return all
	}
	if st.kind == "Fail" {
		for _, key := range []string{"ErrorPath", "CausePath"} {
			if c := member(n, key); c != nil && !st.jsonata {
				s := v.expression(c)
				a.test(v, c, key, !s.Can(String), "must lead to a string, and %s is %s", c.Value.Text(), s.Kinds)
			}
		}
		return nil
	}
	v.data = v.selected("InputPath", w.data)
	switch st.kind {
	case "Pass":
		result := v.data
		if c := member(n, "Result"); c != nil && !st.jsonata {
			result = Exactly(c.Value)
		} else if c := member(n, "Parameters"); c != nil && !st.jsonata {
			result = v.template(c, "")
		}
		return v.placed(result, next)
	case "Wait":
		v.wait()
		return v.passed(next)
	case "Choice":
		return v.choose()
	case "Succeed":
		return v.passed(next)
	case "Task":
		v.number("TimeoutSecondsPath")
		v.number("HeartbeatSecondsPath")
		result := v.service()
		return append(v.placed(result, next), v.caught()...)
	case "Parallel":
		in := v.parameters().by(st, "Parameters", w.data)
		result := &Shape{Kinds: Array, Exact: true}
		for _, s := range st.inside {
			out := a.output(s, &way{data: in, vars: w.vars, item: w.item, from: w, via: st.name})
			if out == nil {
				return v.caught() // one branch always fails
			}
			result.Tuple = append(result.Tuple, out)
		}
		return append(v.placed(result, next), v.caught()...)
	case "Map":
		return append(v.each(next), v.caught()...)
	}
	return nil
}

// output is what a scope gives; nil where it never does.
func (a *analysis) output(s *scope, w *way) *Shape {
	ends := a.run(s, w)
	if len(ends) == 0 && a.steps <= mostSteps && s.sound() {
		return nil
	}
	if len(ends) == 0 {
		return Any()
	}
	out := ends[0].data
	for _, e := range ends[1:] {
		out = join(out, e.data)
	}
	return out
}

// sound reports whether all of the scope was understood.
func (s *scope) sound() bool {
	for _, st := range s.all() {
		if st.spoilt {
			return false
		}
	}
	return s.state(s.start) != nil
}

// selected applies InputPath or OutputPath.
func (v view) selected(key string, s *Shape) *Shape {
	c := member(v.st.node, key)
	if c == nil || v.st.jsonata {
		return s
	}
	if c.Value.Kind() == value.Null {
		return Record().by(v.st, key, s)
	}
	v.data = s
	if x := v.read(c, c.Value.Text()); x != s {
		return x.by(v.st, key, s)
	}
	return s
}

// parameters are what is sent: Parameters, or else the input.
func (v view) parameters() *Shape {
	key := "Parameters"
	if v.st.jsonata {
		key = "Arguments"
	}
	if c := member(v.st.node, key); c != nil {
		return v.template(c, "")
	}
	return v.data
}

// passed are the ways on from a state that has no result of its own.
func (v view) passed(next func(*Shape, *way) []onward) []onward {
	w := v.w.copy()
	w.vars = v.assigned(v.st.node, v.data)
	return next(v.out(v.data), w)
}

// out applies OutputPath or, in JSONata, Output.
func (v view) out(s *Shape) *Shape {
	if !v.st.jsonata {
		return v.selected("OutputPath", s)
	}
	if c := member(v.st.node, "Output"); c != nil {
		return v.template(c, "").by(v.st, "Output", s)
	}
	return s
}

func (w *way) copy() *way {
	x := *w
	return &x
}

// placed are the ways on from a state with a result.
func (v view) placed(result *Shape, next func(*Shape, *way) []onward) []onward {
	w := v.w.copy()
	if v.st.kind != "Pass" {
		v.result = result
	}
	x := v
	x.data, x.about = result, "the result"
	w.vars = x.assigned(v.st.node, result)
	if v.st.jsonata {
		if v.st.kind != "Pass" {
			result = result.by(v.st, "result", v.w.data)
		}
		return next(v.out(result), w)
	}
	if c := member(v.st.node, "ResultSelector"); c != nil {
		result = x.template(c, "").by(v.st, "ResultSelector", result)
	}
	return next(v.out(v.into(v.st.node, "ResultPath", result)), w)
}

// into places a result in the data by the ResultPath of n, which is the state
// or a catcher.
func (v view) into(n *value.Node, key string, result *Shape) *Shape {
	c := member(n, key)
	raw := v.w.data
	if c == nil {
		if v.st.kind == "Pass" && member(n, "Result") == nil && member(n, "Parameters") == nil {
			return result // what it was, whole or in part
		}
		return result.by(v.st, by(n, v.st), raw)
	}
	if c.Value.Kind() == value.Null {
		return raw
	}
	p, err := jsonpath.Parse(c.Value.Text())
	if err != nil || !p.Reference() {
		return Any()
	}
	if p.Root() {
		return result.by(v.st, by(n, v.st), raw)
	}
	steps := p.Steps()
	if old, _, miss := raw.follow(steps); miss == nil {
		result = result.by(v.st, by(n, v.st)+" "+p.String(), old)
	}
	out, miss := raw.set(steps, result)
	v.a.write(v, c, p, raw, miss)
	if out == nil {
		return Any()
	}
	return out
}

// by is what puts a value into the data: a state's result, or its catcher.
func by(n *value.Node, st *state) string {
	if n != st.node {
		return "Catch"
	}
	return "result"
}

// caught are the ways on after an error.
func (v view) caught() []onward {
	var all []onward
	for _, c := range list(v.st.node, "Catch") {
		to := v.st.scope.state(text(c, "Next"))
		if to == nil {
			continue
		}
		told := Record(Field{"Error", Of(String | Null), Sure}, Field{"Cause", &Shape{Kinds: String | Null, Text: "what the task said of its failure"}, Sure})
		w := v.w.on(v.st, " (failed, caught)", nil)
		x := v
		x.data, x.about, x.failed = told, "the error output", told
		w.vars = x.assigned(c, told)
		if v.st.jsonata {
			w.data = told.by(v.st, "Catch", v.w.data)
			if o := member(c, "Output"); o != nil {
				w.data = x.template(o, "").by(v.st, "Catch", v.w.data)
			}
		} else {
			w.data = v.into(c, "ResultPath", told)
		}
		all = append(all, onward{to, w})
	}
	return all
}

// assigned are the variables after Assign, in which $ stands for in.
func (v view) assigned(n *value.Node, in *Shape) *Shape {
	c := member(n, "Assign")
	vars := v.w.vars
	if c == nil || c.Value.Kind() != value.Object {
		return vars
	}
	if in == nil {
		in = Any()
	}
	v.data = in
	for _, f := range v.template(c, "").Fields {
		vars = vars.with(f.Name, f.Shape.bounded(deepest), Sure)
	}
	return vars
}

// choose are the ways on from a Choice.
func (v view) choose() []onward {
	open := []*way{{data: v.data, vars: v.w.vars, item: v.w.item, from: v.w, via: v.st.name}}
	var all []onward
	onto := func(n *value.Node, key string, w *way) {
		to := v.st.scope.state(text(n, key))
		if to == nil {
			return
		}
		x := v.on(w)
		vars := x.assigned(n, w.data)
		out := x.out(w.data)
		if c := member(n, "Output"); c != nil && v.st.jsonata {
			out = x.template(c, "").by(v.st, "Output", w.data)
		}
		all = append(all, onward{to, &way{data: out, vars: vars, item: w.item, from: v.w, via: v.st.name}})
	}
	for _, rule := range list(v.st.node, "Choices") {
		var rest []*way
		for _, w := range open {
			x := v.on(w)
			branches := []branch{{w, true}, {w, false}}
			if !v.st.jsonata {
				branches = x.condition(rule)
			}
			for _, b := range branches {
				if b.holds {
					onto(rule, "Next", b.w)
				} else {
					rest = append(rest, b.w)
				}
			}
		}
		if len(rest) > mostBranches {
			rest = []*way{{data: v.data, vars: v.w.vars, item: v.w.item, from: v.w, via: v.st.name}}
		}
		open = rest
	}
	for _, w := range open {
		onto(v.st.node, "Default", w)
	}
	return all
}

// wait looks at what a Wait waits for.
func (v view) wait() {
	if v.st.jsonata {
		return
	}
	v.number("SecondsPath")
	if c := member(v.st.node, "TimestampPath"); c != nil {
		s := v.read(c, c.Value.Text())
		wrong := !s.Can(String)
		if s.Value != nil && s.Can(String) {
			_, ok := timestamp(*s.Value)
			wrong = !ok && !strings.Contains(s.Value.Text(), "${")
		}
		v.a.test(v, c, "TimestampPath", wrong,
			"must lead to a time of RFC 3339, as in 2026-08-18T17:33:00Z, and %s is %s", c.Value.Text(), s.shown())
	}
}

// shown is the shape in words: the value where it is known.
func (s *Shape) shown() string {
	if s.Value != nil && s.Value.Size() < 60 {
		return s.Value.String()
	}
	return s.Kinds.String()
}

// number looks at a path that must lead to an integer.
func (v view) number(key string) { v.numberAt(v.st.node, key) }

func (v view) numberAt(n *value.Node, key string) {
	c := member(n, key)
	if c == nil || v.st.jsonata {
		return
	}
	s := v.read(c, c.Value.Text())
	wrong := !s.Can(Number|String) || key == "SecondsPath" && !s.Can(Number)
	if s.Value != nil && s.Is(String) { // digits are read, but by Wait
		_, err := strconv.Atoi(s.Value.Text())
		wrong = err != nil || key == "SecondsPath"
	} else if s.Value != nil {
		n, ok := s.Value.Int()
		wrong = !ok || n < 0
	}
	v.a.test(v, c, key, wrong, "must lead to an integer, and %s is %s", c.Value.Text(), s.shown())
}

// service is what a task gives.
func (v view) service() *Shape {
	sent := v.parameters()
	v.a.see(v.st, func(x *Seen) **Shape { return &x.Parameters }, sent)
	arn := member(v.st.node, "Resource")
	if v.a.Services == nil || arn == nil {
		return Any()
	}
	answer := v.a.Services(arn.Value.Text(), sent)
	v.a.complaints(v, arn, answer.Complaints)
	if answer.Result == nil {
		return Any()
	}
	return answer.Result
}

// each are the ways on from a Map.
func (v view) each(next func(*Shape, *way) []onward) []onward {
	st, n := v.st, v.st.node
	for _, key := range []string{"MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"} {
		v.number(key)
	}
	v.reader()
	items := v.items()
	item := items.Item()
	writer := member(n, "ResultWriter")
	written := member(writer, "Resource") != nil
	if items.Exact && len(items.Tuple) == 0 && !written {
		return v.placed(&Shape{Kinds: Array, Exact: true}, next)
	}
	w := &way{vars: v.w.vars, item: item, from: v.w, via: st.name}
	in := item.by(st, "item", v.w.data)
	for _, key := range []string{"ItemSelector", "Parameters"} {
		if c := member(n, key); c != nil {
			x := v
			x.w = w
			in = x.template(c, "").by(st, key, v.data)
			break
		}
	}
	if member(n, "ItemBatcher") != nil {
		in = &Shape{Kinds: Object, Open: true, Fields: []Field{{"Items", List(in), Sure}}}
	}
	w.data = in
	var result *Shape
	for _, s := range st.inside {
		out := v.a.output(s, w)
		if out == nil && (!items.Exact || v.tolerant()) {
			out = Any() // a list without items has no iteration that fails
		}
		if out == nil {
			return nil
		}
		result = List(out)
	}
	switch {
	case written:
		return v.placed(Record(Field{"MapRunArn", Of(String), Sure}, Field{"ResultWriterDetails", Record(
			Field{"Bucket", Of(String), Sure}, Field{"Key", Of(String), Sure},
		), Sure}), next)
	case result == nil:
		result = Any()
	case text(member(writer, "WriterConfig"), "Transformation") != "" && text(member(writer, "WriterConfig"), "Transformation") != "COMPACT":
		result = List(nil) // of what was in lists, or of all there is to say
	case v.tolerant(): // of those that failed there is something else
		result = List(nil)
	}
	if items.Exact && result.Items != nil {
		x := &Shape{Kinds: Array, Exact: true}
		for range items.Tuple {
			x.Tuple = append(x.Tuple, result.Items)
		}
		result = x
	}
	return v.placed(result, next)
}

// tolerant reports whether iterations may fail.
func (v view) tolerant() bool {
	for _, key := range []string{"ToleratedFailureCount", "ToleratedFailureCountPath", "ToleratedFailurePercentage", "ToleratedFailurePercentagePath"} {
		if member(v.st.node, key) != nil {
			return true
		}
	}
	return false
}

// readItem is an item that an ItemReader reads; nil where nobody knows.
func readItem(reader *value.Node) *Shape {
	config := member(reader, "ReaderConfig")
	kind := text(config, "InputType")
	switch {
	case strings.HasSuffix(text(reader, "Resource"), ":listObjectsV2") && kind == "":
		return &Shape{Kinds: Object, Open: true, Fields: []Field{
			{"Key", Of(String), Sure}, {"LastModified", Of(Number), Sure}, {"Size", Of(Number), Sure}, {"StorageClass", Of(String), Sure},
		}}
	case kind == "CSV" && text(config, "CSVHeaderLocation") == "GIVEN":
		var fields []Field
		if names := member(config, "CSVHeaders"); names != nil {
			for _, c := range names.Children {
				fields = append(fields, Field{c.Value.Text(), Of(String), Sure})
			}
		}
		return Record(fields...)
	case kind == "CSV", kind == "PARQUET", kind == "MANIFEST":
		return &Shape{Kinds: Object, Open: true}
	}
	return nil
}

// reader looks at what a distributed Map reads and writes with.
func (v view) reader() {
	for _, key := range []string{"ItemReader", "ResultWriter"} {
		c := member(v.st.node, key)
		if p := member(c, "Parameters"); p != nil && !v.st.jsonata {
			v.template(p, "")
		}
		if config := member(c, "ReaderConfig"); member(config, "MaxItemsPath") != nil {
			v.numberAt(config, "MaxItemsPath")
		}
	}
	if c := member(member(v.st.node, "ItemBatcher"), "BatchInput"); c != nil {
		v.template(c, "")
	}
}

// items is the list that a Map runs over.
func (v view) items() *Shape {
	n := v.st.node
	if reader := member(n, "ItemReader"); reader != nil {
		return List(readItem(reader))
	}
	if v.st.jsonata {
		return List(nil)
	}
	c := member(n, "ItemsPath")
	s, path, hint := v.data, "its input", ""
	if c != nil {
		s, path = v.read(c, c.Value.Text()), c.Value.Text()
	} else {
		c, hint = n, v.arrays(s)
	}
	distributed := strings.EqualFold(text(member(member(n, "ItemProcessor"), "ProcessorConfig"), "Mode"), "DISTRIBUTED")
	v.a.test(v, c, "ItemsPath", !s.Can(Array) && !(distributed && s.Can(Object)), "a Map runs over an array, and %s is %s%s", path, s.Kinds, hint)
	if distributed && s.Can(Object) {
		return List(nil)
	}
	if !s.Can(Array) {
		return List(nil)
	}
	return s
}

// arrays is a hint at the arrays in an object.
func (v view) arrays(s *Shape) string {
	if !s.Can(Object) {
		return ""
	}
	for _, f := range s.Fields {
		if f.Shape != nil && f.Shape.Is(Array) {
			return `: "ItemsPath": "$.` + f.Name + `" is one`
		}
	}
	return ` (set "ItemsPath" to where the array is)`
}

// context is the context object as a state sees it.
func (a *analysis) context(st *state, w *way) *Shape {
	when := &Shape{Kinds: String, Parts: []string{"-", ":"}}
	input := a.Input
	if input == nil {
		input = Any()
	}
	fields := []Field{
		{"Execution", Record(
			Field{"Id", Of(String), Sure}, Field{"Input", input, Sure}, Field{"Name", Of(String), Sure}, Field{"RoleArn", Of(String), Sure},
			Field{"StartTime", when, Sure}, Field{"RedriveCount", Of(Number), Sure}, Field{"RedriveTime", when, Unknown},
		), Sure},
		{"StateMachine", Record(Field{"Id", Of(String), Sure}, Field{"Name", Of(String), Sure}), Sure},
		{"State", Record(Field{"EnteredTime", when, Sure}, Field{"Name", Of(String), Sure}, Field{"RetryCount", Of(Number), Sure}), Sure},
	}
	resource := text(st.node, "Resource")
	if strings.Contains(resource, ".waitForTaskToken") || strings.Contains(resource, ".sync") || strings.Contains(resource, ":activity:") {
		fields = append(fields, Field{"Task", Record(Field{"Token", Of(String), Sure}), Sure})
	}
	if w.item != nil {
		fields = append(fields, Field{"Map", Record(Field{"Item", Record(
			Field{"Index", Of(Number), Sure}, Field{"Value", w.item, Sure}, Field{"Key", Of(String), Unknown}, Field{"Source", Of(String), Unknown},
		), Sure}), Sure})
	}
	return Record(fields...)
}
