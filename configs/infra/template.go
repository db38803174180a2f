package infra

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// Who may take the daemon's role.
const (
	ForECS = "ecs" // a task of ECS
	ForEKS = "eks" // a pod, by EKS Pod Identity
	ForEC2 = "ec2" // an instance
)

// Template writes what d needs as a CloudFormation template in YAML, for a daemon
// that runs on [ForECS], [ForEKS] or [ForEC2].
func Template(d Daemon, on string) string {
	p := &page{}
	p.comment(0, "Made by `anneal infra generate`: make it again when settings or policies change. What a comment calls forced is as narrow as AWS lets it be.")
	for _, doubt := range d.Doubts {
		p.comment(0, "Left open: "+doubt+".")
	}
	p.line(0, `AWSTemplateFormatVersion: "2010-09-09"`)
	p.line(0, "Description: What anneal needs for its policies")
	p.line(0, "Parameters:")
	for _, parameter := range d.Parameters {
		p.line(1, "%s:", parameter.Name)
		p.line(2, "Type: String")
		p.line(2, "Description: %s", quote(parameter.Description))
		p.line(2, "AllowedPattern: %s", quote("^"+parameter.Pattern+"$"))
	}
	p.line(1, "AlarmTopic:")
	p.line(2, "Type: String")
	p.line(2, "Default: %s", quote(""))
	p.line(2, "Description: ARN of the SNS topic that alarms are sent to, if any")
	readsData := len(d.Reads)+len(d.Writes)+len(d.Staging) > 0
	if readsData {
		p.line(1, "DataKey:")
		p.line(2, "Type: String")
		p.line(2, "Default: %s", quote(""))
		p.line(2, "Description: ARN of the KMS key that the data is encrypted with, if it is one of your own")
	}
	p.line(0, "Conditions:")
	p.line(1, `HasAlarmTopic: !Not [!Equals [!Ref AlarmTopic, ""]]`)
	if readsData {
		p.line(1, `HasDataKey: !Not [!Equals [!Ref DataKey, ""]]`)
	}
	p.line(0, "Resources:")
	p.role(d, on)
	for i, q := range d.Queues {
		if q.Made {
			p.queue(d, d.Queues[i])
		}
	}
	for _, m := range d.Machines {
		p.machineAlarms(m)
	}
	p.line(0, "Outputs:")
	p.line(1, "RoleArn:")
	p.line(2, "Value: !GetAtt Role.Arn")
	if len(d.Queues) > 0 {
		p.line(1, "QueueURL:")
		p.line(2, "Description: queueURL of the source sqs in the settings")
		p.line(2, "Value: !Ref Queue")
	}
	return p.String()
}

// A page is YAML that is being written.
type page struct{ strings.Builder }

func (p *page) line(depth int, format string, args ...any) {
	fmt.Fprintf(p, strings.Repeat("  ", depth)+format+"\n", args...)
}

// comment writes text as lines of at most about a hundred letters.
func (p *page) comment(depth int, text string) {
	indent := strings.Repeat("  ", depth) + "#"
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 && line != indent {
			p.WriteString(line + "\n")
			line = indent
		}
		line += " " + word
	}
	p.WriteString(line + "\n")
}

func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(s) // a string can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

var wholly = regexp.MustCompile(`^\$\{([A-Za-z0-9]+)(\.[A-Za-z0-9]+)?\}$`)

// value is a string in which ${NAME} stands for others.
func value(s string) string {
	if m := wholly.FindStringSubmatch(s); m != nil && m[2] != "" {
		return "!GetAtt " + m[1] + m[2]
	} else if m != nil {
		return "!Ref " + m[1]
	}
	if strings.Contains(s, "${") {
		return "!Sub " + quote(s)
	}
	return quote(s)
}

// literal is what a policy says, in which nothing stands for others.
func literal(v any) any {
	if s, ok := v.(string); ok {
		return strings.ReplaceAll(s, "${", "${!")
	}
	return v
}

// flow is a value on one line.
func flow(v any) string {
	switch v := v.(type) {
	case string:
		return value(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, flow(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(mapKeys(v)) {
			items = append(items, quote(key)+": "+flow(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return "null" // unreachable: patterns have no other values
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// detailOf is a pattern as EventBridge writes it.
//
// Source: "Comparison operators for use in event patterns in Amazon EventBridge".
func detailOf(p policy.Pattern) map[string]any {
	names := map[string]string{"event.source": "source", "event.type": "detail-type"}
	all := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(p)) {
		name := names[path]
		if name == "" {
			name = "detail." + strings.TrimPrefix(path, "event.data.")
		}
		at, steps := all, strings.Split(name, ".")
		for _, step := range steps[:len(steps)-1] {
			inner, ok := at[step].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[step] = inner
			}
			at = inner
		}
		var tests []any
		for _, t := range p[path] {
			switch t.Is {
			case "==":
				tests = append(tests, literal(t.Value))
			case "prefix":
				tests = append(tests, map[string]any{"prefix": literal(t.Value)})
			case "!=":
				tests = append(tests, map[string]any{"anything-but": []any{literal(t.Value)}})
			default:
				tests = append(tests, map[string]any{"numeric": []any{t.Is, t.Value}})
			}
		}
		at[steps[len(steps)-1]] = tests
	}
	return all
}

func (p *page) queue(d Daemon, q Queue) {
	suffix := ""
	if q.FIFO {
		suffix = ".fifo"
	}
	p.comment(1, "What the daemon cannot make durable, and what a rule cannot deliver. What cannot be read is not here: the daemon parks it, with its reason.")
	p.line(1, "DeadLetters:")
	p.line(2, "Type: AWS::SQS::Queue")
	p.line(2, "Properties:")
	if q.Name != "" {
		p.line(3, "QueueName: %s", quote(strings.TrimSuffix(q.Name, ".fifo")+"-dead"+suffix))
	}
	if q.FIFO {
		p.line(3, "FifoQueue: true")
	}
	p.line(3, "MessageRetentionPeriod: 1209600")
	p.line(3, "SqsManagedSseEnabled: true")
	p.line(1, "Queue:")
	p.line(2, "Type: AWS::SQS::Queue")
	p.line(2, "Properties:")
	if q.Name != "" {
		p.line(3, "QueueName: %s", quote(q.Name))
	}
	if q.FIFO {
		p.line(3, "FifoQueue: true")
		p.comment(3, "EventBridge gives no ID of its own to what it repeats; the daemon knows events again by theirs.")
		p.line(3, "ContentBasedDeduplication: true")
	}
	p.comment(3, "For as long as SQS keeps any: a daemon that is down for days loses nothing.")
	p.line(3, "MessageRetentionPeriod: 1209600")
	p.line(3, "VisibilityTimeout: %d", q.Visibility)
	p.line(3, "ReceiveMessageWaitTimeSeconds: 20")
	p.line(3, "SqsManagedSseEnabled: true")
	p.line(3, "RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadLetters.Arn, maxReceiveCount: 10}")

	names := ruleNames(d.Rules)
	for i, r := range d.Rules {
		p.comment(1, "For "+listed(r.For)+".")
		for _, bucket := range r.Buckets {
			p.comment(1, fmt.Sprintf("The bucket %s has to send its events to EventBridge. CloudFormation can say so only of a bucket that it made itself; of this one it is said by", bucket))
			p.line(1, "#   aws s3api get-bucket-notification-configuration --bucket %s > notifications.json", bucket)
			p.line(1, `#   # add "EventBridgeConfiguration": {} to it: what is put replaces what was there`)
			p.line(1, "#   aws s3api put-bucket-notification-configuration --bucket %s --notification-configuration file://notifications.json", bucket)
		}
		p.line(1, "%s:", names[i])
		p.line(2, "Type: AWS::Events::Rule")
		p.line(2, "Properties:")
		p.line(3, "Description: %s", quote(shortened("anneal: "+listed(r.For), 512)))
		p.line(3, "State: ENABLED")
		p.line(3, "EventPattern:")
		pattern := detailOf(r.Pattern)
		for _, key := range []string{"source", "detail-type", "detail"} {
			if pattern[key] != nil {
				p.line(4, "%s: %s", key, flow(pattern[key]))
			}
		}
		p.line(3, "Targets:")
		p.line(4, "- Id: anneal")
		p.line(5, "Arn: !GetAtt Queue.Arn")
		if q.FIFO {
			p.line(5, "SqsParameters: {MessageGroupId: anneal}")
		} else {
			p.line(5, "DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}")
		}
	}
	if len(d.Rules) > 0 {
		p.comment(1, "These rules and nobody else may send to the queue.")
		p.queuePolicy("QueuePolicy", "Queue", names)
		if !q.FIFO {
			p.queuePolicy("DeadLettersPolicy", "DeadLetters", names)
		}
	}

	p.comment(1, "Nobody takes what is on the queue: the daemon is down, or cannot.")
	p.alarm("QueueUnread", "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", "QueueName: !GetAtt Queue.QueueName", "GreaterThanThreshold", 900, 300, 1, "notBreaching")
	p.comment(1, "Something went where nobody looks.")
	p.alarm("DeadLettersFilled", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", "QueueName: !GetAtt DeadLetters.QueueName", "GreaterThanThreshold", 0, 300, 1, "notBreaching")
	p.comment(1, "Nothing was sent for a day: a rule, or a bucket that does not send its events. Where that is usual, take the alarm out.")
	p.alarm("QueueSilent", "AWS/SQS", "NumberOfMessagesSent", "Sum", "QueueName: !GetAtt Queue.QueueName", "LessThanThreshold", 1, 3600, 24, "breaching")
	p.comment(1, "Nobody asks the queue: polls that find nothing count as well.")
	p.line(1, "QueueUnpolled:")
	p.line(2, "Type: AWS::CloudWatch::Alarm")
	p.line(2, "Properties:")
	p.line(3, "Metrics:")
	p.line(4, "- {Id: polls, Expression: %s, Label: polls}", quote("FILL(empty, 0) + FILL(full, 0)"))
	for _, m := range [][2]string{{"empty", "NumberOfEmptyReceives"}, {"full", "NumberOfMessagesReceived"}} {
		p.line(4, "- Id: %s", m[0])
		p.line(5, "ReturnData: false")
		p.line(5, "MetricStat:")
		p.line(6, "Period: 300")
		p.line(6, "Stat: Sum")
		p.line(6, "Metric: {Namespace: AWS/SQS, MetricName: %s, Dimensions: [{Name: QueueName, Value: !GetAtt Queue.QueueName}]}", m[1])
	}
	p.line(3, "ComparisonOperator: LessThanThreshold")
	p.line(3, "Threshold: 1")
	p.line(3, "EvaluationPeriods: 3")
	p.line(3, "TreatMissingData: breaching")
	p.line(3, "AlarmActions: !If [HasAlarmTopic, [!Ref AlarmTopic], !Ref AWS::NoValue]")
}

func (p *page) queuePolicy(id, queue string, rules []string) {
	p.line(1, "%s:", id)
	p.line(2, "Type: AWS::SQS::QueuePolicy")
	p.line(2, "Properties:")
	p.line(3, "Queues: [!Ref %s]", queue)
	p.line(3, "PolicyDocument:")
	p.line(4, `Version: "2012-10-17"`)
	p.line(4, "Statement:")
	p.line(5, "- Effect: Allow")
	p.line(6, "Principal: {Service: events.amazonaws.com}")
	p.line(6, "Action: sqs:SendMessage")
	p.line(6, "Resource: !GetAtt %s.Arn", queue)
	p.line(6, "Condition:")
	p.line(7, "ArnEquals:")
	p.line(8, "aws:SourceArn:")
	for _, name := range rules {
		p.line(9, "- !GetAtt %s.Arn", name)
	}
}

// ruleNames are the names of rules in the template, by their sources and types.
func ruleNames(rules []Rule) []string {
	var names []string
	for _, r := range rules {
		words := "rule"
		for _, path := range []string{sourcePath, typePath} {
			if texts := equal(r.Pattern, path); len(texts) > 0 {
				words += " " + strings.TrimPrefix(texts[0], "aws.")
			}
		}
		base := camel(words)
		name := base
		for n := 2; slices.Contains(names, name); n++ {
			name = base + strconv.Itoa(n)
		}
		names = append(names, name)
	}
	return names
}

func shortened(s string, most int) string {
	if len(s) > most {
		return s[:most-3] + "..."
	}
	return s
}

func (p *page) alarm(id, namespace, metric, statistic, dimension, operator string, threshold, period, periods int, missing string) {
	name, value, _ := strings.Cut(dimension, ": ")
	p.line(1, "%s:", id)
	p.line(2, "Type: AWS::CloudWatch::Alarm")
	p.line(2, "Properties:")
	p.line(3, "Namespace: %s", namespace)
	p.line(3, "MetricName: %s", metric)
	p.line(3, "Dimensions: [{Name: %s, Value: %s}]", name, value)
	p.line(3, "Statistic: %s", statistic)
	p.line(3, "ComparisonOperator: %s", operator)
	p.line(3, "Threshold: %d", threshold)
	p.line(3, "Period: %d", period)
	p.line(3, "EvaluationPeriods: %d", periods)
	p.line(3, "TreatMissingData: %s", missing)
	p.line(3, "AlarmActions: !If [HasAlarmTopic, [!Ref AlarmTopic], !Ref AWS::NoValue]")
}

// machineAlarms tell of the executions of a state machine that came to no good.
func (p *page) machineAlarms(m Machine) {
	machine, _ := Unqualified(m.ARN)
	name := camel(machine[strings.LastIndexByte(machine, ':')+1:])
	p.comment(1, "Runs of "+listed(m.Policies)+" that came to no good, whoever started them.")
	for _, metric := range []string{"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"} {
		p.alarm(name+metric, "AWS/States", metric, "Sum", "StateMachineArn: "+value(machine), "GreaterThanThreshold", 0, 300, 1, "notBreaching")
	}
}

// role writes the daemon's own role, and what other roles need that the settings
// have it assume.
func (p *page) role(d Daemon, on string) {
	needs := d.Needs()
	p.comment(1, "The daemon's own role.")
	p.line(1, "Role:")
	p.line(2, "Type: AWS::IAM::Role")
	p.line(2, "Properties:")
	p.line(3, "AssumeRolePolicyDocument:")
	p.line(4, `Version: "2012-10-17"`)
	p.line(4, "Statement:")
	p.line(5, "- Effect: Allow")
	switch on {
	case ForEKS:
		p.line(6, "Principal: {Service: pods.eks.amazonaws.com}")
		p.line(6, "Action: [sts:AssumeRole, sts:TagSession]")
		p.line(6, "Condition: {StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}")
	case ForEC2:
		p.line(6, "Principal: {Service: ec2.amazonaws.com}")
		p.line(6, "Action: sts:AssumeRole")
	default:
		p.line(6, "Principal: {Service: ecs-tasks.amazonaws.com}")
		p.line(6, "Action: sts:AssumeRole")
		p.comment(6, "The cluster of a task is not known to this condition, so it holds for the account.")
		p.line(6, "Condition:")
		p.line(7, "StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}")
		p.line(7, "ArnLike: {aws:SourceArn: !Sub %s}", quote("arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:*"))
	}
	own := slices.DeleteFunc(slices.Clone(needs), func(n Need) bool { return n.Role != "" })
	if len(own) == 0 {
		p.comment(3, "Nothing in the settings and policies has the daemon call AWS as itself.")
	} else {
		p.line(3, "Policies:")
		p.line(4, "- PolicyName: anneal")
		p.line(5, "PolicyDocument:")
		p.statements(6, own)
	}
	var roles []string
	for _, n := range needs {
		if n.Role != "" && !slices.Contains(roles, n.Role) {
			roles = append(roles, n.Role)
		}
	}
	for i, role := range roles {
		p.comment(1, "What the role "+role+" needs that the settings have the daemon assume. Attach it to that role, and let the role trust the daemon's; in another account, deploy it there.")
		p.line(1, "AssumedRole%dPolicy:", i+1)
		p.line(2, "Type: AWS::IAM::ManagedPolicy")
		p.line(2, "Properties:")
		p.line(3, "Description: %s", quote("anneal: what it does as another role"))
		p.line(3, "PolicyDocument:")
		p.statements(4, slices.DeleteFunc(slices.Clone(needs), func(n Need) bool { return n.Role != role }))
	}
	if len(d.Reads)+len(d.Writes)+len(d.Staging) > 0 {
		p.comment(1, "A key of one's own has to let its readers decrypt, too. Through S3 alone.")
		p.line(1, "DataKeyPolicy:")
		p.line(2, "Type: AWS::IAM::ManagedPolicy")
		p.line(2, "Condition: HasDataKey")
		p.line(2, "Properties:")
		if d.Store.Role == "" {
			p.line(3, "Roles: [!Ref Role]")
		}
		p.line(3, "PolicyDocument:")
		actions := []string{"kms:Decrypt"}
		if len(d.Writes)+len(d.Staging) > 0 {
			actions = append(actions, "kms:GenerateDataKey")
		}
		p.statements(4, []Need{{Service: "KMS", Actions: actions, Resources: []string{"${DataKey}"},
			When: []Condition{{"StringEquals", "kms:ViaService", []string{"s3.${AWS::Region}.amazonaws.com"}}}, Why: "reads and writes encrypted objects"}})
	}
}

func (p *page) statements(depth int, needs []Need) {
	p.line(depth, `Version: "2012-10-17"`)
	p.line(depth, "Statement:")
	for _, n := range needs {
		p.comment(depth+1, n.Service+": "+n.Why+".")
		if n.Wide != "" {
			p.comment(depth+1, "Forced: "+n.Wide+".")
		}
		p.line(depth+1, "- Effect: Allow")
		p.list(depth+2, "Action", n.Actions)
		p.list(depth+2, "Resource", n.Resources)
		if len(n.When) > 0 {
			p.line(depth+2, "Condition:")
			for _, c := range n.When {
				p.line(depth+3, "%s:", c.Operator)
				p.list(depth+4, c.Key, c.Values)
			}
		}
	}
}

func (p *page) list(depth int, key string, values []string) {
	p.line(depth, "%s:", key)
	for _, v := range values {
		p.line(depth+1, "- %s", value(v))
	}
}
