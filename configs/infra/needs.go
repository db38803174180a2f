package infra

import (
	"fmt"
	"slices"
	"strings"
)

// A Need is a permission: these actions, on these resources, where the conditions
// hold.
type Need struct {
	Role      string // that needs it; empty: the daemon's own
	Service   string // as people say it: SQS
	Actions   []string
	Resources []string
	When      []Condition
	Why       string // what the daemon does with it
	Wide      string // why AWS forces something wider than what the daemon uses; empty: it does not
}

// A Condition is one of IAM's.
type Condition struct {
	Operator, Key string
	Values        []string
}

// Needs are all permissions that d takes, part by part.
func (d Daemon) Needs() []Need {
	var all []Need
	for _, q := range d.Queues {
		all = append(all, q.needs()...)
	}
	all = append(all, d.objectNeeds()...)
	for _, a := range d.Alarms {
		all = append(all, a.needs()...)
	}
	for _, m := range d.Metrics {
		all = append(all, Need{Role: m.Role, Service: "CloudWatch", Actions: []string{"cloudwatch:GetMetricData"}, Resources: []string{"*"},
			Why: "reads the metrics that are signals", Wide: "metrics are no resources in IAM, and this action has no condition for their namespace"})
	}
	for _, r := range d.Reports {
		all = append(all, Need{Role: r.Role, Service: "CloudWatch", Actions: []string{"cloudwatch:PutMetricData"}, Resources: []string{"*"},
			When: []Condition{{"StringEquals", "cloudwatch:namespace", []string{r.Namespace}}},
			Why:  "publishes the daemon's own metrics", Wide: "metrics are no resources in IAM; the condition holds it to one namespace"})
	}
	for _, m := range d.Machines {
		all = append(all, m.needs()...)
	}
	for _, t := range d.Topics {
		all = append(all, Need{Role: t.Role, Service: "SNS", Actions: []string{"sns:Publish", "sns:GetTopicAttributes"}, Resources: []string{notWild.Replace(t.ARN)},
			Why: "sends the notices of channel " + t.Channel + ", and looks at the topic in `anneal doctor --online`"})
	}
	for _, b := range d.Buses {
		all = append(all, Need{Role: b.Role, Service: "EventBridge", Actions: []string{"events:PutEvents", "events:DescribeEventBus"}, Resources: []string{notWild.Replace(b.ARN)},
			Why: "sends the notices of channel " + b.Channel + ", and looks at the bus in `anneal doctor --online`"})
	}
	all = append(all, d.Tasks...)
	return append(assumptions(all), all...)
}

// assumptions are what the daemon's own role needs to become the others.
func assumptions(all []Need) []Need {
	var assume []Need
	seen := map[string]bool{"": true}
	for _, n := range all {
		if !seen[n.Role] {
			seen[n.Role] = true
			assume = append(assume, Need{Service: "STS", Actions: []string{"sts:AssumeRole"}, Resources: []string{notWild.Replace(n.Role)}, Why: "acts as the role that the settings name"})
		}
	}
	return assume
}

func (q Queue) needs() []Need {
	return []Need{{Role: q.Role, Service: "SQS",
		Actions:   []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"},
		Resources: []string{q.ARN},
		Why:       "takes events from the queue, and looks at it in `anneal doctor --online`"}}
}

func (d Daemon) objectNeeds() []Need {
	var all []Need
	reads := slices.Concat(d.Reads, d.Writes, d.Staging)
	if len(reads) == 0 {
		return nil
	}
	var buckets []string
	prefixes := map[string][]string{}
	for _, l := range compact(reads) {
		if _, ok := prefixes[l.Bucket]; !ok {
			buckets = append(buckets, l.Bucket)
		}
		prefixes[l.Bucket] = append(prefixes[l.Bucket], l.keys())
	}
	all = append(all, Need{Role: d.Store.Role, Service: "S3", Actions: []string{"s3:GetObject", "s3:GetObjectVersion"}, Resources: objectsOf(reads),
		Why: "reads data, by the version that an event named"})
	for _, bucket := range buckets {
		all = append(all, Need{Role: d.Store.Role, Service: "S3", Actions: []string{"s3:ListBucket"}, Resources: []string{bucketARN(bucket)},
			When: []Condition{{"StringLike", "s3:prefix", prefixes[bucket]}},
			Why:  "lists data; without it an object that is missing is told as one that is forbidden"})
	}
	if written := objectsOf(d.Writes); written != nil {
		all = append(all, Need{Role: d.Store.Role, Service: "S3", Actions: []string{"s3:PutObject", "s3:AbortMultipartUpload"}, Resources: written,
			Why: "writes what its own engine's jobs make"})
	}
	if staged := objectsOf(d.Staging); staged != nil {
		all = append(all, Need{Role: d.Store.Role, Service: "S3", Actions: []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"}, Resources: staged,
			Why: "stages training data and its manifests, and removes those that the journal has forgotten"})
	}
	if d.Store.Key != "" {
		all = append(all, Need{Role: d.Store.Role, Service: "KMS", Actions: []string{"kms:Decrypt", "kms:GenerateDataKey"}, Resources: []string{d.Store.Key},
			When: []Condition{{"StringLike", "kms:ViaService", []string{"s3.*.amazonaws.com", "s3.*.amazonaws.com.cn"}}},
			Why:  "reads and writes objects that are encrypted with the key, through S3 alone"})
	}
	return all
}

func objectsOf(all []Location) (arns []string) {
	for _, l := range compact(all) {
		arns = append(arns, l.objects())
	}
	return arns
}

func (l Location) objects() string { return bucketARN(l.Bucket) + "/" + l.keys() }

// keys are the keys of its objects, as IAM writes them.
func (l Location) keys() string {
	if l.One {
		return exactly(l.Prefix)
	}
	return exactly(l.Prefix) + "*"
}

// holds says whether all objects of other are among those of l.
func (l Location) holds(other Location) bool {
	if l.One {
		return l == other
	}
	return l.Bucket == other.Bucket && strings.HasPrefix(other.Prefix, l.Prefix)
}

func bucketARN(name string) string { return "arn:${AWS::Partition}:s3:::" + exactly(name) }

// compact leaves out what is below another location.
func compact(all []Location) []Location {
	var kept []Location
	for i, l := range all {
		below := false
		for j, other := range all {
			if other.holds(l) && (j < i || other != l) {
				below = true
			}
		}
		if !below {
			kept = append(kept, l)
		}
	}
	return kept
}

func (a Alarms) needs() []Need {
	return []Need{{Role: a.Role, Service: "CloudWatch", Actions: []string{"cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory"}, Resources: []string{"*"},
		Why: "polls the state of alarms", Wide: "composite alarms are told of to nobody whose permission is narrower"}}
}

func (m Machine) needs() []Need {
	m.ARN = notWild.Replace(m.ARN)
	machine, qualifier := Unqualified(m.ARN)
	var when []Condition
	if qualifier != "" {
		when = []Condition{{"StringEquals", "states:StateMachineQualifier", []string{qualifier}}}
	}
	who := "for " + listed(m.Policies)
	start, wide := []string{"states:StartExecution"}, ""
	switch m.Kind {
	case Express:
		start = []string{"states:StartSyncExecution"}
	case "":
		start, wide = append(start, "states:StartSyncExecution"), "whether a state machine is standard or express is not in its ARN, and they are started by different actions"
	}
	all := []Need{
		{Role: m.Role, Service: "Step Functions", Actions: start, Resources: []string{machine}, When: when, Why: "starts runs " + who, Wide: wide},
		{Role: m.Role, Service: "Step Functions", Actions: []string{"states:DescribeStateMachine"}, Resources: []string{machine}, When: when,
			Why: "sees whether it is standard or express, and looks at it in `anneal doctor --online`"},
	}
	if m.Kind == Express {
		return all // its executions cannot be looked at, stopped or redriven
	}
	return append(all,
		Need{Role: m.Role, Service: "Step Functions", Actions: []string{"states:ListExecutions"}, Resources: []string{machine}, Why: "follows runs " + who},
		Need{Role: m.Role, Service: "Step Functions",
			Actions:   []string{"states:DescribeExecution", "states:GetExecutionHistory", "states:StopExecution", "states:RedriveExecution"},
			Resources: []string{executions(m.ARN, "execution")}, Why: "follows, shows, stops and redrives runs " + who,
			Wide: "an execution's ARN ends with its name, which is derived from the decision and not known before"})
}

// listed is a few of many.
func listed(names []string) string {
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
