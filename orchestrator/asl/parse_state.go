package asl

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// stateFields are the fields of a state beside those that every state has.
func stateFields(kind Type) []string {
	flow := []string{"InputPath", "OutputPath"}
	onward := append(flow, "Next", "End")
	switch kind {
	case TypePass:
		return append(onward, "Parameters", "Result", "ResultPath", "Assign")
	case TypeTask:
		return append(onward, "Resource", "Parameters", "ResultSelector", "ResultPath",
			"TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath", "Credentials", "Retry", "Catch", "Assign")
	case TypeChoice:
		return append(flow, "Choices", "Default", "Assign")
	case TypeWait:
		return append(onward, "Seconds", "SecondsPath", "Timestamp", "TimestampPath", "Assign")
	case TypeParallel:
		return append(onward, "Branches", "Parameters", "ResultSelector", "ResultPath", "Retry", "Catch", "Assign")
	case TypeMap:
		return append(onward, "ItemsPath", "ItemProcessor", "Iterator", "ItemSelector", "Parameters",
			"MaxConcurrency", "MaxConcurrencyPath", "ToleratedFailureCount", "ToleratedFailureCountPath",
			"ToleratedFailurePercentage", "ToleratedFailurePercentagePath", "Label", "ItemReader", "ItemBatcher", "ResultWriter",
			"ResultSelector", "ResultPath", "Retry", "Catch", "Assign")
	case TypeSucceed:
		return flow
	}
	return []string{"Error", "ErrorPath", "Cause", "CausePath"} // Fail
}

// state reads one state and returns where it may lead.
func (c *checker) state(m *Machine, st *state, at spot) (links []link) {
	kind, f, ok := c.text(at, "Type")
	if !ok {
		if _, there := at.at("Type"); !there {
			c.errorf(at, `must have "Type", as in "Type": "Pass"`)
		}
		if next, f, ok := c.text(at, "Next"); ok { // so that what follows is not thought to be unreachable
			links = append(links, link{st.name, next, f})
		}
		return links
	}
	st.kind = Type(kind)
	st.enters, st.exits = EventType(kind+"StateEntered"), EventType(kind+"StateExited")
	defer func(outer bool, name string, kind Type) { c.jsonata, c.reading, c.kind = outer, name, kind }(c.jsonata, c.reading, c.kind)
	c.jsonata, c.reading, c.kind = c.language(at, c.normal), st.name, st.kind
	st.jsonata = c.jsonata
	c.transitions(st, at, &links)
	switch st.kind {
	case TypePass, TypeTask, TypeChoice, TypeWait, TypeSucceed, TypeFail:
	case TypeParallel, TypeMap: // before this state is refused for another reason
		c.branches(m, st, at)
	default:
		types := []string{"Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}
		c.errorf(f, "unknown type %q (%s)", kind, have(kind, types))
		return links
	}
	known, others := stateFields(st.kind), queryFields(st.kind)
	if c.jsonata {
		known, others = others, known
	}
	known = c.strangers(at, "state", append([]string{"Type", "Comment", "QueryLanguage"}, known...), others)
	c.fields(at, "a "+kind+" state", known, nil)
	c.text(at, "Comment")
	st.input = c.selection(at, "InputPath")
	st.output = c.selection(at, "OutputPath")
	st.resultPath = c.resultPath(at)
	switch {
	case !c.jsonata:
		st.parameters = c.template(at, "Parameters")
		st.resultSelector = c.template(at, "ResultSelector")
	case st.kind == TypePass, st.kind == TypeSucceed:
		st.parameters = c.template(at, "Output")
	default:
		st.parameters = c.template(at, "Arguments")
		st.resultSelector = c.template(at, "Output")
	}
	st.assign = c.assign(at, "")
	switch st.kind {
	case TypePass:
		if r, ok := at.at("Result"); ok {
			st.result = new(r.value())
		}
	case TypeTask:
		c.task(m, st, at)
	case TypeMap:
		c.each(st, at)
	case TypeWait:
		c.wait(st, at)
	case TypeFail:
		c.failure(st, at)
	}
	if list, ok := c.list(at, "Retry"); ok {
		for i, f := range list {
			st.retry = append(st.retry, c.retrier(f, i == len(list)-1))
		}
	}
	return links
}

// transitions reads all fields that name a state, and those that stand with
// them.
func (c *checker) transitions(st *state, at spot, links *[]link) {
	lead := func(at spot, key string) string {
		to, f, ok := c.text(at, key)
		if ok {
			*links = append(*links, link{st.name, to, f})
		}
		return to
	}
	switch st.kind {
	case TypeSucceed, TypeFail:
	case TypeChoice:
		st.normal = lead(at, "Default")
		c.choices(st, at, lead)
	default:
		st.next = lead(at, "Next")
		end, ok := at.at("End")
		if ok && end.value().Kind() != value.Bool {
			c.errorf(end, "must be true or false, not %s", brief(end.value()))
			return
		}
		if _, next := at.at("Next"); next && ok && end.value().Bool() {
			c.errorf(end, `"Next" and "End" exclude each other`)
		} else if !next && !hasEnd(at) {
			c.errorf(at, `must have "Next", the name of a state, or "End": true`)
		}
		if list, ok := c.list(at, "Catch"); ok {
			for i, f := range list {
				st.catch = append(st.catch, c.catcher(f, i == len(list)-1, lead))
			}
		}
	}
}

func (c *checker) selection(at spot, key string) selection {
	s := selection{field: key}
	if !c.jsonata {
		if isNull(at, key) {
			return s
		}
		s.path = c.path(at, key)
	}
	if s.path == nil {
		s.path, _ = jsonpath.Parse("$")
	}
	return s
}

func (c *checker) resultPath(at spot) *jsonpath.Path {
	var p *jsonpath.Path
	if !c.jsonata {
		if isNull(at, "ResultPath") {
			return nil
		}
		p = c.path(at, "ResultPath")
	}
	if p == nil {
		p, _ = jsonpath.Parse("$")
	}
	if !p.Reference() {
		f, _ := at.at("ResultPath")
		c.errorf(f, "%q cannot be written to; want a Reference Path, as in $.a.b[0]", p)
	}
	return p
}

func (c *checker) template(at spot, key string) *template {
	f, ok := at.at(key)
	if !ok {
		return nil
	}
	if c.jsonata {
		return c.filled(f, key)
	}
	return c.part(f)
}

func (c *checker) part(at spot) *template {
	t := &template{object: at.value().Kind() == value.Object}
	constant := true
	seen := map[string]bool{}
	for _, f := range at.members() {
		key, dynamic := f.step, false
		if t.object {
			key, dynamic = strings.CutSuffix(key, ".$")
			if seen[key] {
				c.add(f.node.KeyOffset, f.pointer(), SeverityError, "the key %q is there twice once .$ is taken off", key)
			}
			seen[key] = true
		}
		var item *template
		if dynamic {
			constant = false
			item = &template{}
			if f.value().Kind() != value.String {
				c.errorf(f, "must be a string with a path or an intrinsic function call, since its key ends in .$; not %s", f.value().Kind())
			} else if e, err := parseExpression(f.value().Text()); err != nil {
				c.errorf(f, "%v", err)
			} else {
				item.expr = e
				c.reads(f, e.paths()...)
			}
		} else {
			item = c.part(f)
			constant = constant && item.constant != nil
		}
		t.keys = append(t.keys, key)
		t.items = append(t.items, item)
	}
	if constant {
		return &template{constant: new(at.value())}
	}
	return t
}

func (c *checker) task(m *Machine, st *state, at spot) {
	arn, f, ok := c.text(at, "Resource")
	if !ok {
		if _, there := at.at("Resource"); !there {
			c.errorf(at, `must have "Resource", an ARN`)
		}
	} else if st.task.resource, ok = parseResource(arn); !ok && !foreign(arn) {
		c.errorf(f, "%q is not the ARN of an integration (arn:aws:states:::lambda:invoke), a Lambda function or an activity", arn)
	} else {
		if !ok { // the language allows any URI, and AWS does not
			st.task.resource = resource{arn: arn}
			c.warnf(f, "%q is the ARN of nothing that AWS runs: an integration (arn:aws:states:::lambda:invoke), a Lambda function or an activity; a ${placeholder} is filled in before", arn)
		}
		line, column := c.place(f.node.Offset)
		r := Resource{State: st.name, ARN: arn, Line: line, Column: column, place: c.place, jsonata: c.jsonata}
		sent := "Parameters"
		if c.jsonata {
			sent = "Arguments"
		}
		if p, ok := at.at(sent); ok {
			r.parameters = p.node
		} else if st.input.path != nil {
			r.input = st.input.path.String()
		}
		m.resources = append(m.resources, r)
		if st.task.resource.service != serviceLambda || !slices.ContainsFunc(m.calls, func(o Resource) bool { return o.ARN == arn }) {
			m.calls = append(m.calls, r)
		}
	}
	st.task.credentials = c.credentials(at, foreign(arn))
	st.task.timeout = c.number(at, "TimeoutSeconds", 1)
	st.task.heartbeat = c.number(at, "HeartbeatSeconds", 1)
	if t, h := st.task.timeout.n, st.task.heartbeat.n; t > 0 && h >= t {
		f, _ := at.at("HeartbeatSeconds")
		c.errorf(f, "must be less than TimeoutSeconds, which is %d", t)
	}
}

// filledIn is text that is filled in before a definition is used.
var filledIn = regexp.MustCompile(`^\$\{[^{}]+\}$`)

// otherURI is a URI (RFC 3986) that is no ARN.
var otherURI = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$`)

// foreign reports whether a resource is a URI that others than AWS may know, the ARN
// of another service, or stands for one that is filled in.
func foreign(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return filledIn.MatchString(arn) || parts[0] != "arn" && otherURI.MatchString(arn) || len(parts) == 6 && parts[0] == "arn" && parts[5] != "" && !slices.Contains([]string{"", "states", "lambda"}, parts[2])
}

// credentials reads whose rights a task is done with. What is in them is up to who
// runs the task (Amazon States Language, "Task State"): AWS takes a role.
func (c *checker) credentials(at spot, foreign bool) *template {
	f, ok := at.at("Credentials")
	if !ok {
		return nil
	}
	if c.jsonata && isQuery(f.value()) {
		return c.template(at, "Credentials")
	}
	if f.value().Kind() != value.Object {
		c.errorf(f, "must be an object, not %s", f.value().Kind())
		return nil
	}
	if foreign {
		return c.template(at, "Credentials")
	}
	keys := []string{"RoleArn", "RoleArn.$"}
	if c.jsonata {
		keys = keys[:1]
	}
	if c.one(f, true, keys...); !slices.ContainsFunc(keys, func(key string) bool { _, ok := f.at(key); return ok }) {
		return nil // that another field is there is no other mistake
	}
	c.fields(f, "Credentials", keys, nil)
	if r, ok := f.at("RoleArn"); ok && r.value().Kind() != value.String {
		c.errorf(r, "must be a string, not %s", r.value().Kind())
	}
	return c.template(at, "Credentials")
}

// number is a number under key, or the path to one under key + "Path".
func (c *checker) number(at spot, key string, least int64) number {
	return c.numberIn(at, key, key, least)
}

// numberIn is a number that is called by where it stands in its state.
func (c *checker) numberIn(at spot, key, location string, least int64) number {
	if f, ok := at.at(key); ok && c.jsonata && isQuery(f.value()) {
		return number{field: key, query: c.query(f, location), least: least, most: maxNumber}
	}
	_, given := at.at(key)
	x := number{field: key, given: given, n: c.integer(at, key, least, maxNumber, 0), least: least, most: maxNumber}
	if c.jsonata {
		return x
	}
	c.one(at, false, key, key+"Path")
	x.field, x.path = key+"Path", c.reference(at, key+"Path")
	return x
}

// errorEquals reads ErrorEquals.
func (c *checker) errorEquals(at spot, last bool) []string {
	f, ok := at.at("ErrorEquals")
	if !ok || f.value().Kind() != value.Array || f.value().Len() == 0 {
		if !ok {
			f = at
		}
		c.errorf(f, `must have "ErrorEquals", an array with at least one error name`)
		return nil
	}
	var names []string
	for _, x := range f.members() {
		name := x.value().Text()
		switch {
		case x.value().Kind() != value.String:
			c.errorf(x, "must be a string, not %s", x.value().Kind())
		case name == ErrAll && f.value().Len() > 1:
			c.errorf(x, "States.ALL must stand alone")
		case name == ErrAll && !last:
			c.errorf(x, "States.ALL must come last")
		case strings.HasPrefix(name, "States.") && !slices.Contains(errorNames, name) && !strings.HasPrefix(name, "States.Http.StatusCode."):
			c.warnf(x, "%q is no error name of the language (%s)", name, have(name, errorNames))
		}
		names = append(names, name)
	}
	return names
}

func (c *checker) retrier(at spot, last bool) retrier {
	c.fields(at, "a retrier", []string{"Comment", "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}, nil)
	r := retrier{
		errors:   c.errorEquals(at, last),
		interval: float64(c.integer(at, "IntervalSeconds", 1, maxNumber, 1)),
		attempts: c.integer(at, "MaxAttempts", 0, maxNumber, 3),
		rate:     2,
		most:     float64(c.integer(at, "MaxDelaySeconds", 1, 31_622_400, 0)),
	}
	if f, ok := at.at("BackoffRate"); ok {
		if r.rate = f.value().Float(); !(r.rate >= 1) || math.IsInf(r.rate, 0) {
			c.errorf(f, "must be a number of at least 1, not %s", brief(f.value()))
		}
	}
	if f, ok := at.at("MaxDelaySeconds"); ok && r.most > 0 && r.most <= r.interval {
		c.errorf(f, "must be greater than IntervalSeconds, which is %v", r.interval)
	}
	if s, f, ok := c.text(at, "JitterStrategy"); ok {
		if r.jitter = s == "FULL"; !r.jitter && s != "NONE" {
			c.errorf(f, `must be "FULL" or "NONE", not %q`, s)
		}
	}
	return r
}

func (c *checker) catcher(at spot, last bool, lead func(spot, string) string) catcher {
	known, others := []string{"Comment", "ErrorEquals", "Next", "Assign", "ResultPath"}, []string{"Output"}
	if c.jsonata {
		known, others = append(known[:4:4], "Output"), known[4:]
	}
	c.fields(at, "a catcher", c.strangers(at, "catcher", known, others), nil)
	if _, ok := at.at("Next"); !ok {
		c.errorf(at, `must have "Next", the name of a state`)
	}
	x := catcher{errors: c.errorEquals(at, last), next: lead(at, "Next"), resultPath: c.resultPath(at), assign: c.assign(at, "Catch["+at.step+"]/")}
	if f, ok := at.at("Output"); ok && c.jsonata {
		x.output = c.filled(f, "Catch["+at.step+"]/Output")
	}
	return x
}

func (c *checker) wait(st *state, at spot) {
	if c.jsonata {
		c.one(at, true, "Seconds", "Timestamp")
		st.wait.seconds = c.number(at, "Seconds", 0)
		if q, ok := c.dynamic(at, "Timestamp"); ok {
			st.wait.untilFrom = q
			return
		}
		st.wait.until = c.moment(at)
		return
	}
	c.one(at, true, "Seconds", "SecondsPath", "Timestamp", "TimestampPath")
	st.wait = wait{
		seconds:   number{field: "SecondsPath", n: c.integer(at, "Seconds", 0, maxNumber, 0), path: c.reference(at, "SecondsPath")},
		untilPath: c.reference(at, "TimestampPath"),
	}
	st.wait.until = c.moment(at)
}

// moment is the Timestamp of a Wait.
func (c *checker) moment(at spot) string {
	text, f, ok := c.text(at, "Timestamp")
	if _, valid := timestamp(text); ok && !valid {
		c.errorf(f, "must be a time of RFC 3339, as in 2026-08-18T17:33:00Z, not %q", text)
	}
	return text
}

func (c *checker) failure(st *state, at spot) {
	if c.jsonata {
		var ok bool
		if st.failure.errorQuery, ok = c.dynamic(at, "Error"); !ok {
			st.failure.errorText, _, _ = c.text(at, "Error")
		}
		if st.failure.causeQuery, ok = c.dynamic(at, "Cause"); !ok {
			st.failure.causeText, _, _ = c.text(at, "Cause")
		}
		return
	}
	c.one(at, false, "Error", "ErrorPath")
	c.one(at, false, "Cause", "CausePath")
	st.failure.errorText, _, _ = c.text(at, "Error")
	st.failure.causeText, _, _ = c.text(at, "Cause")
	for key, into := range map[string]**expression{"ErrorPath": &st.failure.errorFrom, "CausePath": &st.failure.causeFrom} {
		text, f, ok := c.text(at, key)
		if !ok {
			continue
		}
		e, err := parseExpression(text)
		if err == nil && e.path != nil && !e.path.Definite() {
			err = errors.New("want a Reference Path, as in $.a.b[0], or an intrinsic function call")
		}
		if err != nil {
			c.errorf(f, "%v", err)
			continue
		}
		c.reads(f, e.paths()...)
		*into = e
	}
}
