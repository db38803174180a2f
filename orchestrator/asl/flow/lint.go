package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// lint looks for what AWS accepts and is plainly a mistake, one state at a time.
func (a *analysis) lint(m *scope) {
	a.loops(m)
	for _, st := range m.all() {
		for _, in := range st.inside {
			a.loops(in)
		}
		a.handlers(st, "Retry")
		a.handlers(st, "Catch")
		if st.jsonata {
			continue
		}
		switch st.kind {
		case "Pass":
			a.result(st)
		case "Choice":
			if !st.spoilt {
				a.choices(st)
			}
		}
		resource := text(st.node, "Resource")
		if sent := member(st.node, "Parameters"); strings.Contains(resource, ":lambda:") && !strings.Contains(resource, ":states:") &&
			(member(sent, "FunctionName") != nil || member(sent, "FunctionName.$") != nil) && (member(sent, "Payload") != nil || member(sent, "Payload.$") != nil) {
			a.remark(member(st.node, "Resource"), "the function gets FunctionName and Payload as they stand: with these Parameters the resource is arn:aws:states:::lambda:invoke")
		}
		if strings.HasSuffix(resource, ".waitForTaskToken") {
			sent := member(st.node, "Parameters")
			if sent == nil || !strings.Contains(sent.Value.String(), "$$.Task") && !strings.Contains(sent.Value.String(), `"$$"`) {
				at := member(st.node, "Resource")
				a.remark(at, `waits for a task token that nobody gets: pass it on in Parameters, as in "TaskToken.$": "$$.Task.Token"`)
			}
		}
	}
}

// loops finds states from which there is no way to the end.
func (a *analysis) loops(s *scope) {
	before, ends := map[*state][]*state{}, map[*state]bool{}
	var queue []*state
	for _, st := range s.states {
		for _, to := range st.leads() {
			before[to] = append(before[to], st)
		}
		if st.ends() || st.spoilt {
			queue = append(queue, st)
		}
	}
	for len(queue) > 0 {
		st := queue[0]
		queue = queue[1:]
		if !ends[st] {
			ends[st] = true
			queue = append(queue, before[st]...)
		}
	}
	if len(ends) == 0 { // asl.Parse warns of it, and the engine can run it
		what, why := "state machine", ", which AWS refuses"
		if s.up != nil {
			what, why = map[string]string{"Parallel": "branch", "Map": "iteration"}[s.up.kind], fmt.Sprintf(", so that %q never does", s.up.name)
		}
		if states := member(s.node, "States"); len(s.states) > 0 {
			a.add(states.Offset, asl.SeverityError, `no state ends the %s (with "End": true, Succeed or Fail)%s`, what, why)
		}
		return
	}
	reached := map[*state]bool{}
	queue = []*state{s.state(s.start)}
	for len(queue) > 0 {
		st := queue[0]
		queue = queue[1:]
		if st == nil || reached[st] {
			continue
		}
		reached[st] = true
		queue = append(queue, st.leads()...)
	}
	for _, st := range s.states {
		if reached[st] && !ends[st] {
			a.add(st.node.KeyOffset, asl.SeverityWarning, "from here on it goes round without end: no state that it leads to ends the line")
			return
		}
	}
}

// handlers looks at the errors that Retry or Catch names.
func (a *analysis) handlers(st *state, key string) {
	seen := map[string]bool{}
	all := false // of the errors that States.TaskFailed stands for
	for _, h := range list(st.node, key) {
		errors := member(h, "ErrorEquals")
		if errors == nil || errors.Value.Kind() != value.Array {
			continue
		}
		never := 0
		var why []func()
		for _, e := range errors.Children {
			name := e.Value.Text()
			reason := a.unthrown(st, key, name)
			switch {
			case seen[name] && name != asl.ErrAll:
				reason = fmt.Sprintf("%s is dealt with in an earlier %s already", name, key)
			case all && !strings.HasPrefix(name, "States."):
				reason = fmt.Sprintf("an earlier %s for States.TaskFailed takes %s, too; put this one before it", key, name)
			}
			if reason != "" {
				never++
				why = append(why, func() { a.remark(e, "never matches: %s", reason) })
			} else if near := misspelt(name); near != "" {
				a.remark(e, "%q is no error name that is known (have %q)", name, near)
			}
		}
		for _, e := range errors.Children {
			seen[e.Value.Text()] = true
			all = all || e.Value.Text() == asl.ErrTaskFailed
		}
		if never == len(errors.Children) {
			for _, tell := range why {
				tell()
			}
		}
	}
}

// unthrown says why a state cannot have an error, or Retry does nothing about it;
// nothing if it can.
func (a *analysis) unthrown(st *state, key, name string) string {
	has := func(key string) bool { return member(st.node, key) != nil }
	switch name {
	case asl.ErrRuntime:
		if key == "Retry" {
			return "States.Runtime is not tried again; it can be caught"
		}
	case asl.ErrHeartbeatTimeout:
		if st.kind == "Task" && !has("HeartbeatSeconds") && !has("HeartbeatSecondsPath") {
			return "the state has no HeartbeatSeconds"
		}
	case asl.ErrBranchFailed, asl.ErrExceedToleratedFailure, asl.ErrItemReaderFailed, asl.ErrResultWriterFailed, asl.ErrNoChoiceMatched:
		if st.kind == "Task" {
			return "a Task does not fail with " + name
		}
	}
	resource := text(st.node, "Resource")
	service, _, ok := strings.Cut(name, ".")
	own := map[string]string{"Lambda": "lambda", "SageMaker": "sagemaker", "SNS": ":sns:", "SQS": "sqs", "Glue": "glue", "Batch": "batch", "ECS": "ecs", "DynamoDB": "dynamodb", "Athena": "athena"}[service]
	if st.kind == "Task" && ok && own != "" && strings.HasPrefix(resource, "arn:") && !strings.Contains(strings.ToLower(resource), own) &&
		!strings.Contains(resource, ":lambda:") && !strings.Contains(resource, ":activity:") && !strings.Contains(resource, "states:startExecution") {
		return fmt.Sprintf("it is an error of %s, which this state does not call", service)
	}
	return ""
}

// known are errors of services that definitions name often.
var known = []string{
	"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.ClientExecutionTimeoutException",
	"Lambda.TooManyRequestsException", "Lambda.Unknown", "Lambda.ResourceNotFoundException", "Lambda.InvalidParameterValueException",
	"SageMaker.AmazonSageMakerException", "SageMaker.ResourceLimitExceededException", "SageMaker.ResourceInUseException",
	"SageMaker.ResourceNotFoundException",
}

// misspelt is the error that is meant by a name that is almost one.
func misspelt(name string) string {
	if strings.HasPrefix(name, "States.") || slices.Contains(known, name) {
		return "" // asl.Parse looks at the language's own
	}
	candidates := append(slices.Clone(known), asl.ErrorNames()...)
	for _, c := range asl.ErrorNames() { // as in State.ALL, ALL or TaskFailed
		_, short, _ := strings.Cut(c, ".")
		if _, own, _ := strings.Cut(name, "."); name == short && slices.Contains([]string{"ALL", "TaskFailed", "HeartbeatTimeout", "DataLimitExceeded"}, name) || strings.EqualFold(name, "State."+short) || strings.HasPrefix(name, "State.") && own == short {
			return c
		}
	}
	near := asl.Nearest(name, candidates)
	if len(near) == 0 || name == near || !strings.Contains(name, ".") || differ(name, near) > 2 {
		return ""
	}
	return near
}

// differ is how many letters two words differ by at their middle: what is left
// of the longer without what both begin and end with.
func differ(a, b string) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return max(len(a), len(b))
}

// result looks for paths in the Result of a Pass, where there are none.
func (a *analysis) result(st *state) {
	var visit func(n *value.Node)
	visit = func(n *value.Node) {
		for _, c := range n.Children {
			if text := c.Value.Text(); strings.HasSuffix(c.Key, ".$") && (strings.HasPrefix(text, "$") || strings.HasPrefix(text, "States.")) {
				a.remark(c, "a Result is constant: for the value of a path, use Parameters")
				continue
			}
			visit(c)
		}
	}
	if r := member(st.node, "Result"); r != nil {
		visit(r)
		if p := member(st.node, "Parameters"); p != nil {
			a.remark(p, "a Pass with a Result does not use its Parameters")
		}
	}
}
