package asl

import (
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonata"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// queryFields are the fields of a state in JSONata, beside those that every
// state has.
func queryFields(kind Type) []string {
	onward := []string{"Output", "Assign", "Next", "End"}
	switch kind {
	case TypePass:
		return onward
	case TypeTask:
		return append(onward, "Resource", "Arguments", "TimeoutSeconds", "HeartbeatSeconds", "Credentials", "Retry", "Catch")
	case TypeChoice:
		return []string{"Choices", "Default", "Output", "Assign"}
	case TypeWait:
		return append(onward, "Seconds", "Timestamp")
	case TypeParallel:
		return append(onward, "Branches", "Arguments", "Retry", "Catch")
	case TypeMap:
		return append(onward, "Items", "ItemProcessor", "Iterator", "ItemSelector", "MaxConcurrency", "ToleratedFailureCount",
			"ToleratedFailurePercentage", "Label", "ItemReader", "ItemBatcher", "ResultWriter", "Retry", "Catch")
	case TypeSucceed:
		return []string{"Output"}
	}
	return []string{"Error", "Cause"} // Fail
}

// language reads QueryLanguage: whether a state, or the machine, is in JSONata.
func (c *checker) language(at spot, normal bool) bool {
	q, f, ok := c.text(at, "QueryLanguage")
	switch {
	case !ok:
		return normal
	case q != "JSONPath" && q != "JSONata":
		c.errorf(f, `must be "JSONPath" or "JSONata", not %q`, q)
		return normal
	case normal && q == "JSONPath" && at.up != nil:
		c.warnf(f, `Step Functions does not take a state in JSONPath where the state machine is in JSONata`)
	}
	return q == "JSONata"
}

// strangers refuses the fields of a state, or of what is in it, that only the
// other language has. The result are the fields that need no more complaint.
func (c *checker) strangers(at spot, what string, known, others []string) []string {
	mine, other := "JSONPath", "JSONata"
	if c.jsonata {
		mine, other = other, mine
	}
	for _, f := range at.members() {
		if name := f.step; !slices.Contains(known, name) && slices.Contains(others, name) {
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "%s belongs to %s, and this %s is in %s (have %s)", name, other, what, mine, quoted(known, "and"))
			known = append(slices.Clone(known), name)
		}
	}
	return known
}

// isQuery reports whether a string is meant to be a query.
func isQuery(v value.Value) bool {
	s := v.Text()
	return v.Kind() == value.String && (strings.HasPrefix(s, "{%") || strings.HasSuffix(s, "%}"))
}

// query reads a string that is a query. It is nil where it is wrong.
func (c *checker) query(at spot, location string) *query {
	s := at.value().Text()
	if len(s) < 4 || !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") {
		c.errorf(at, "a JSONata expression begins with {%% and ends with %%}, and nothing stands before or after; have %s", brief(at.value()))
		return nil
	}
	x, err := jsonata.ParseStates(strings.TrimSpace(s[2 : len(s)-2]))
	if err != nil {
		e := err.(*jsonata.Error) // there is no other
		c.errorf(at, "not a JSONata expression: %s (%s, at character %d of the expression)", e.Message, e.Code, e.Position)
		return nil
	}
	q := &query{expr: x, location: location}
	bare := false
	for _, r := range x.References() {
		switch {
		case r.Variable == "" && !bare:
			bare = true // once
			severity, refused := SeverityWarning, ""
			if len(r.Path) > 0 {
				severity, refused = SeverityError, ", and AWS refuses this"
			}
			c.add(at.node.Offset, at.pointer(), severity, "there is nothing at %s: the data that an expression reads begin at $states.input%s",
				strings.Join(append([]string{"$"}, r.Path...), "."), refused)
		case r.Variable == "states":
			q.context = q.context || len(r.Path) == 0 || r.Path[0] == "context"
			if len(r.Path) > 0 {
				c.reserved(at, r.Path[0], location)
			}
		case r.Variable != "":
			c.uses = append(c.uses, mention{r.Variable, c.block, at})
		}
	}
	return q
}

// reserved refuses or doubts a read of what $states does not have at the location.
func (c *checker) reserved(at spot, name, location string) {
	after := strings.HasPrefix(location, "Output") || strings.HasPrefix(location, "Assign")
	switch known := []string{"input", "result", "errorOutput", "context"}; {
	case !slices.Contains(known, name):
		c.errorf(at, "$states has no %q (%s)", name, have(name, known))
	case name == "result" && !(after && slices.Contains([]Type{TypeTask, TypeParallel, TypeMap}, c.kind)):
		c.warnf(at, "there is no $states.result here: Output and Assign of a Task, Parallel or Map have it")
	case name == "errorOutput" && !strings.HasPrefix(location, "Catch["):
		c.errorf(at, "there is no $states.errorOutput here: Output and Assign of a catcher have it")
	}
}

// dynamic is the query that a field of a state in JSONata has, if it has one.
func (c *checker) dynamic(at spot, key string) (*query, bool) {
	f, ok := at.at(key)
	if !ok || !c.jsonata || !isQuery(f.value()) {
		return nil, false
	}
	return c.query(f, key), true
}

// filled reads JSON in which strings may be queries.
func (c *checker) filled(at spot, location string) *template {
	v := at.value()
	if isQuery(v) {
		return &template{query: c.query(at, location)}
	}
	t := &template{object: v.Kind() == value.Object}
	constant := true
	for _, f := range at.members() {
		place := location + "[" + f.step + "]"
		if t.object {
			place = location + "/" + f.step
		}
		item := c.filled(f, place)
		constant = constant && item.constant != nil
		t.keys = append(t.keys, f.step)
		t.items = append(t.items, item)
	}
	if constant {
		return &template{constant: &v}
	}
	return t
}

// rules reads the Choices of a state in JSONata.
func (c *checker) when(at spot, i int) condition {
	location := "Choices[" + strconv.Itoa(i) + "]/Condition"
	f, ok := at.at("Condition")
	switch {
	case !ok:
		c.errorf(at, `must have "Condition", a JSONata expression or a boolean`)
	case f.value().Kind() == value.Bool:
		return always(f.value().Bool())
	case !isQuery(f.value()):
		c.errorf(f, "must be a JSONata expression, as in {%% $states.input.done %%}, or a boolean, not %s", brief(f.value()))
	default:
		if q := c.query(f, location); q != nil {
			return when{q}
		}
	}
	return nil
}
