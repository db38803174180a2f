// Package infra knows what a configuration needs of AWS: which calls the daemon
// makes for it, on what, and which rules and queues bring it the events that its
// policies wait for.
//
// [Of] reads that from a configuration, [Daemon.Needs] lists the permissions,
// and [Template] writes both as a CloudFormation template. It promises that each
// call that the daemon's code can make for the configuration is allowed, and that
// nothing else is: no action, resource or condition is wider than AWS forces,
// and where AWS does, a comment says why. The same input gives the same template,
// to the byte.
//
// Asking AWS is left to others.
package infra

import (
	"regexp"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// A Daemon is what a configuration has the daemon do on AWS. Where a value is not
// known before it is deployed, ${NAME} stands for it: a parameter, a resource of
// the template, or one of CloudFormation's own such as ${AWS::Region}.
type Daemon struct {
	Queues   []Queue
	Rules    []Rule     // what the first queue is sent
	Reads    []Location // objects that are listed and read
	Writes   []Location // objects that are written
	Staging  []Location // and removed again
	Store    Store
	Alarms   []Alarms
	Metrics  []Metrics
	Reports  []Report
	Machines []Machine
	Topics   []Target
	Buses    []Target
	Tasks    []Need // what state machines call

	Parameters []Parameter
	// Doubts are what could not be made narrow or made at all, each with what to
	// do about it.
	Doubts []string
}

// A Queue is one that is followed.
type Queue struct {
	Name       string // empty where CloudFormation names it
	ARN        string
	Made       bool   // by the template
	URL        string // empty where it is not known here
	Known      string // its ARN, where URL is known
	Region     string // empty: the environment's
	FIFO       bool
	Visibility int // in seconds
	Role       string
}

// A Location is the objects of a bucket whose keys begin with a prefix, or the one
// object whose key that is.
type Location struct {
	Bucket, Prefix string
	One            bool
}

// Store is how objects are reached.
type Store struct {
	Region, Role string
	Key          string // ARN of the KMS key that objects are written with; empty: the bucket's own choice
}

// Alarms are those that are polled: by name, or by a prefix that ends in *.
type Alarms struct {
	Names        []string
	Region, Role string
}

// Metrics are read as signals.
type Metrics struct{ Region, Role string }

// Report is where the daemon's own metrics go.
type Report struct{ Namespace, Region, Role string }

// A Machine is a state machine of Step Functions that policies run.
type Machine struct {
	ARN      string // with its version or alias
	Kind     string // Standard or Express; empty: not known
	Policies []string
	Role     string
}

// The kinds of state machines.
const (
	Standard = "standard"
	Express  = "express"
)

// A Target is what notices are published to.
type Target struct{ Channel, ARN, Role string }

// A Parameter is a value that is asked for when the template is deployed.
type Parameter struct {
	Name        string
	Description string
	Pattern     string // that the whole value has
}

// A Rule is an event pattern of EventBridge, and whom it is for.
type Rule struct {
	Pattern policy.Pattern
	For     []string // such as: trigger new-data of policy churn
	Machine string   // ARN of the state machine whose executions it tells of
	Buckets []string // that have to send their events
}

var qualified = regexp.MustCompile(`^(.*:stateMachine:[^:]+):([^:]+)$`)

// Unqualified is the ARN of a state machine without its version or alias, and
// which that is.
func Unqualified(arn string) (machine, qualifier string) {
	if m := qualified.FindStringSubmatch(arn); m != nil {
		return m[1], m[2]
	}
	return arn, ""
}

// executions are the ARN of a state machine's executions, whatever their names;
// kind is execution or express.
func executions(machine, kind string) string {
	machine, _ = Unqualified(machine)
	return strings.Replace(machine, ":stateMachine:", ":"+kind+":", 1) + ":*"
}
