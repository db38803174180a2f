package asl

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Machine is a state machine that has been parsed and found sound. It does
// not change.
type Machine struct {
	File     string   // as given to Parse
	Comment  string   // of the definition
	Warnings Problems // what is odd but no error

	scope
	states    map[string]*state // all of them, those in branches too
	names     []string          // of all states, in the order of the file
	timeout   int64             // TimeoutSeconds; 0 is none
	resources []Resource
	calls     []Resource // resources, with each function once
}

// A scope is states that lead to each other: a machine is one, and so are each
// branch of a Parallel and the processor of a Map.
type scope struct {
	startAt string
}

// Names are the names of the machine's states, those in branches too, in the
// order of the file. No two are the same.
func (m *Machine) Names() []string { return append([]string(nil), m.names...) }

// A Type is the type of a state.
type Type string

// The types of states.
const (
	TypePass     Type = "Pass"
	TypeTask     Type = "Task"
	TypeChoice   Type = "Choice"
	TypeWait     Type = "Wait"
	TypeSucceed  Type = "Succeed"
	TypeFail     Type = "Fail"
	TypeParallel Type = "Parallel"
	TypeMap      Type = "Map"
)

// Type is the type of the state of that name; empty if there is none.
func (m *Machine) Type(name string) Type {
	if st := m.states[name]; st != nil {
		return st.kind
	}
	return ""
}

// A state is one state of a definition. Which fields are used depends on its
// type.
type state struct {
	name string
	kind Type
	next string // empty: it ends the scope

	enters, exits EventType // what is told as it is entered and left

	input, output  selection // InputPath, OutputPath
	parameters     *template
	resultSelector *template
	assign         *template
	result         *value.Value   // of a Pass
	resultPath     *jsonpath.Path // nil: the result is discarded

	// jsonata says that the state is in JSONata. Its Arguments, or the Output
	// of a Pass or Succeed, are then parameters, its Output is resultSelector,
	// and the paths are all $.
	jsonata bool

	task     task
	branches []scope // of a Parallel; a Map has one
	each     each
	retry    []retrier
	catch    []catcher
	rules    []rule // of a Choice
	normal   string // its Default
	wait     wait
	failure  failure
}

// A selection is InputPath or OutputPath.
type selection struct {
	field string
	path  *jsonpath.Path // nil: null, an empty object
}

// A task is what is special about a Task state.
type task struct {
	resource    resource
	timeout     number    // of seconds
	heartbeat   number    // of seconds
	credentials *template // Credentials: the role of another account
}

// An each is what is special about a Map state.
type each struct {
	items    *jsonpath.Path // ItemsPath
	list     *template      // Items in JSONata
	selector *template      // ItemSelector
	most     number         // MaxConcurrency
	count    number         // ToleratedFailureCount
	percent  number         // ToleratedFailurePercentage
	tolerant bool           // one of these is there

	distributed bool
	express     bool // ExecutionType
	label       string
	reader      *itemReader // nil: the items are in the input
	batcher     *itemBatcher
	writer      *resultWriter
}

// A number is an integer, or a path or query to one; neither is none.
type number struct {
	field string
	n     int64
	given bool // n is, or fraction
	path  *jsonpath.Path
	query *query
	least int64 // that the path may lead to
	most  int64

	fraction float64 // in the place of n, where it may be one
}

type wait struct {
	seconds   number
	until     string // Timestamp
	untilPath *jsonpath.Path
	untilFrom *query // Timestamp in JSONata
}

// failure is what is special about a Fail state.
type failure struct {
	errorText, causeText   string
	errorFrom, causeFrom   *expression // ErrorPath, CausePath
	errorQuery, causeQuery *query      // Error and Cause in JSONata
}

// A service says by which events a task is told in the history.
type service uint8

const (
	serviceTask     service = iota // an integration: arn:aws:states:::…
	serviceLambda                  // a Lambda function by its own ARN
	serviceActivity                // an activity
)

// A resource is an ARN of a Task, taken apart.
type resource struct {
	arn     string
	service service
	kind    string // resourceType: sagemaker, aws-sdk:s3
	action  string // createTrainingJob.sync
	token   bool   // $$.Task.Token is there: .waitForTaskToken and .sync
}

// name is how error texts call the resource.
func (r resource) name() string {
	if r.service == serviceTask {
		return r.kind
	}
	return r.arn
}

// lambdaFunction is the end of a function's ARN, with a version or alias or
// without.
var lambdaFunction = regexp.MustCompile(`^function:[A-Za-z0-9_-]+(:([A-Za-z0-9_-]+|\$LATEST))?$`)

func parseResource(arn string) (resource, bool) {
	r := resource{arn: arn}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return r, false
	}
	switch rest := parts[5]; {
	case parts[2] == "lambda" && lambdaFunction.MatchString(rest):
		r.service = serviceLambda
	case parts[2] == "states" && strings.HasPrefix(rest, "activity:") && len(rest) > len("activity:"):
		r.service = serviceActivity
	case parts[2] == "states" && parts[3] == "" && parts[4] == "":
		prefix := ""
		if strings.HasPrefix(rest, "aws-sdk:") {
			prefix, rest = "aws-sdk:", rest[len("aws-sdk:"):]
		}
		kind, action, ok := strings.Cut(rest, ":")
		if !ok || kind == "" || action == "" {
			return r, false
		}
		r.kind, r.action = prefix+kind, action
		r.token = strings.HasSuffix(action, ".waitForTaskToken") || strings.Contains(action, ".sync")
	default:
		return r, false
	}
	return r, true
}

// A Resource is what a Task state calls, so that it can be checked before
// anything runs that there is something to call.
type Resource struct {
	State        string // name of the Task state
	ARN          string
	Line, Column int // of the ARN in the file

	input      string // InputPath, what is sent where there are no Parameters
	parameters *value.Node
	jsonata    bool
	place      func(offset int) (line, column int)
}

// A Parameter is one value that a Task state sends.
type Parameter struct {
	Text         string          // the value, where it is a constant string
	Value        json.RawMessage // the value, where it is constant
	Expr         string          // the path, intrinsic function or JSONata it comes from, else
	Line, Column int             // in the file; 0 where it is in no Parameters
}

// Resources are those of all Task states in the order of the file.
func (m *Machine) Resources() []Resource { return append([]Resource(nil), m.resources...) }

// Calls are the Resources, of which those that differ in nothing but the state are
// left out: a Lambda function by its own ARN takes anything. They must not be changed.
func (m *Machine) Calls() []Resource { return m.calls }

// Parameter is the parameter at keys, as in Parameter("AppSpecification",
// "ImageUri"). Where it is a part of something that comes from a path, Expr is
// that path; where the state has no Parameters, its InputPath. The result is
// false where nothing is sent under these keys.
func (r Resource) Parameter(keys ...string) (Parameter, bool) {
	n := r.parameters
	if n == nil {
		return Parameter{Expr: r.input}, true
	}
	for _, key := range keys {
		if r.jsonata && isQuery(n.Value) {
			break
		}
		var next *value.Node
		for _, c := range n.Children {
			if c.Key == key+".$" && !r.jsonata {
				line, column := r.place(c.Offset)
				return Parameter{Expr: c.Value.Text(), Line: line, Column: column}, true
			}
			if c.Key == key {
				next = c
			}
		}
		if n = next; n == nil {
			return Parameter{}, false
		}
	}
	p := Parameter{Value: json.RawMessage(n.Value.String())}
	p.Line, p.Column = r.place(n.Offset)
	if r.jsonata && isQuery(n.Value) {
		p.Value, p.Expr = nil, n.Value.Text()
		return p, true
	}
	if n.Value.Kind() == value.String {
		p.Text = n.Value.Text()
	}
	return p, true
}
