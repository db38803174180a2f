package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/configs/infra"
)

// This file asks AWS what the daemon will ask it, as far as that changes nothing:
// no message is received, nothing written, published or started. Whether those
// calls are allowed is asked of IAM.

const (
	// askWithin bounds each question to AWS, as it is asked for a person.
	askWithin = 10 * time.Second
	// At a skew of five minutes AWS refuses signatures.
	skewWarn, skewFail = time.Minute, 5 * time.Minute
)

// A question is one that AWS is asked.
type question struct {
	check        string
	region, role string
	externalID   string // that the role asks for
	service      cloud.Service
	call         string // the action that is asked for, without its prefix
	ask          func(ctx context.Context, with aws.Config) (reply, error)
	with         finding // what came of it
}

// A reply is what AWS says, and what is to be done where that is not well.
type reply struct{ detail, remedy string }

// online looks at what the settings and policies need of NATS and of AWS.
func (d *doctor) online() {
	d.askStreams()
	needs, err := infra.Of(d.cfg, infra.Options{})
	if err != nil {
		d.fail("aws", "set it where the daemon runs", "%v", err)
		return
	}
	if len(needs.Needs()) == 0 {
		d.ok("aws", "nothing in the settings and policies needs it")
		return
	}
	d.askAWS(needs)
}

// askAWS asks all questions at once, and reports in their order.
func (d *doctor) askAWS(needs infra.Daemon) {
	externalIDs := d.externalIDs()
	ask := func(all []*question) {
		for _, q := range all {
			q.externalID = externalIDs[q.role]
		}
		askAll(d.ctx, all, d.within)
	}
	who := identities(needs)
	ask(who)
	names := map[string]string{} // the principal of each role, as IAM knows it
	nobody := map[string]bool{}  // roles that the daemon cannot be
	for _, q := range who {
		d.findings = append(d.findings, q.with)
		if q.with.Status == checkOK {
			names[q.role] = principal(q.with.Detail)
		}
		nobody[q.role] = q.with.Status == checkFail
	}
	all := questionsOf(needs, names[""])
	all = append(all, permissions(needs, names)...)
	all = slices.DeleteFunc(all, func(q *question) bool { return nobody[q.role] || nobody[""] }) // that is said, once
	ask(all)
	refused := false // IAM may not be asked: said once
	for _, q := range all {
		if q.call == simulate && q.with.Status == checkWarn {
			if refused {
				continue
			}
			refused = true
			q.with.Check = "permissions"
		}
		d.findings = append(d.findings, q.with)
	}
	for _, doubt := range needs.Doubts {
		d.warn("policies", "see docs/aws.md", "%s", doubt)
	}
}

// externalIDs are what the roles of the settings ask for. What cannot be read is
// said already.
func (d *doctor) externalIDs() map[string]string {
	all := map[string]string{}
	if d.cfg == nil {
		return all
	}
	for _, a := range d.cfg.Settings.Accounts() {
		role, err := a.Role.Resolve()
		if id, unread := a.ExternalID.Resolve(); err == nil && unread == nil && id != "" {
			all[role] = id
		}
	}
	return all
}

// askAll asks, at the same time and so long at most, and has each question know what came of it.
func askAll(ctx context.Context, all []*question, within time.Duration) {
	var asked sync.WaitGroup
	for _, q := range all {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			with, err := cloud.Load(ctx, cloud.Config{Region: q.region, Role: q.role, ExternalID: q.externalID, Patience: within})
			var a reply
			if err == nil {
				q.service.Region = with.Region
				a, err = q.ask(ctx, with)
			}
			switch {
			case err != nil && q.call == simulate:
				q.with = finding{checkWarn, q.check, "not known: " + q.service.Explain(q.call, err), "without it, what the daemon does is seen when it does it"}
			case err != nil:
				what, remedy := q.service.Explain(q.call, err), "see what AWS says of it"
				if at := strings.LastIndex(what, ": "); at > 0 { // the remedy comes last
					what, remedy = what[:at], what[at+2:]
				}
				q.with = finding{checkFail, q.check, what, remedy}
			case a.remedy != "":
				q.with = finding{checkWarn, q.check, a.detail, a.remedy}
				if strings.HasPrefix(a.detail, "!") {
					q.with.Status, q.with.Detail = checkFail, a.detail[1:]
				}
			default:
				q.with = finding{checkOK, q.check, a.detail, ""}
			}
		})
	}
	asked.Wait()
}

// identities are who the daemon is, by itself and as each role it assumes.
func identities(d infra.Daemon) []*question {
	roles := []string{""}
	for _, n := range d.Needs() {
		if !slices.Contains(roles, n.Role) {
			roles = append(roles, n.Role)
		}
	}
	all := []*question{}
	for _, role := range roles {
		check := "aws identity"
		if role != "" {
			check = "aws role " + role
		}
		all = append(all, &question{check: check, role: role, service: cloud.Service{Name: "STS", Prefix: "sts", Resource: "itself"}, call: "GetCallerIdentity",
			ask: func(ctx context.Context, with aws.Config) (reply, error) {
				if with.Region == "" {
					with.Region = "us-east-1" // any region knows who asks
				}
				out, err := sts.NewFromConfig(with).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
				if err != nil {
					return reply{}, err
				}
				detail := aws.ToString(out.Arn)
				skew, _ := awsmiddleware.GetAttemptSkew(out.ResultMetadata)
				switch skew := skew.Abs(); {
				case skew >= skewFail:
					return reply{fmt.Sprintf("!%s; the clock is %s off that of AWS", detail, skew.Round(time.Second)), "set the clock: signatures are refused"}, nil
				case skew >= skewWarn:
					return reply{fmt.Sprintf("%s; the clock is %s off that of AWS", detail, skew.Round(time.Second)), "set the clock before signatures are refused, at five minutes"}, nil
				}
				return reply{detail: detail}, nil
			}})
	}
	return all
}

var assumedRole = regexp.MustCompile(`^arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/`)

// principal is who asks, as IAM names it; empty for what it has no policies of.
func principal(arn string) string {
	if m := assumedRole.FindStringSubmatch(arn); m != nil {
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", m[1], m[2], m[3])
	}
	if strings.Contains(arn, ":user/") {
		return arn
	}
	return ""
}

// regionOf is the region in an ARN, empty where it is not known.
func regionOf(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 3 && !strings.Contains(arn, "${") {
		return parts[3]
	}
	return ""
}

// questionsOf are about each resource, of what changes nothing.
func questionsOf(d infra.Daemon, me string) []*question {
	var all []*question
	add := func(q question, name, prefix, resource string) {
		q.service = cloud.Service{Name: name, Prefix: prefix, Resource: resource, Remedies: remedies(resource)}
		all = append(all, &q)
	}
	for _, queue := range d.Queues {
		if queue.URL == "" {
			continue // that the variable is not set is said already
		}
		add(question{check: "queue " + queue.Name, region: queue.Region, role: queue.Role, call: "GetQueueAttributes", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			return askQueue(ctx, with, queue.URL)
		}}, "SQS", "sqs", "the queue "+queue.Name)
	}
	seen := map[infra.Location]bool{}
	for _, l := range slices.Concat(d.Reads, d.Writes, d.Staging) {
		if seen[l] {
			continue
		}
		seen[l] = true
		add(question{check: "objects s3://" + l.Bucket + "/" + l.Prefix, region: d.Store.Region, role: d.Store.Role, call: "ListBucket", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			client := s3.NewFromConfig(with, func(o *s3.Options) {
				o.UsePathStyle = with.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
			})
			out, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &l.Bucket, Prefix: &l.Prefix, MaxKeys: aws.Int32(1)})
			if err != nil {
				return reply{}, err
			}
			if len(out.Contents) == 0 {
				return reply{detail: "can be listed; there is nothing yet"}, nil
			}
			return reply{detail: "can be listed"}, nil
		}}, "S3", "s3", "the bucket "+l.Bucket)
	}
	for _, a := range d.Alarms {
		check := "alarms"
		if len(a.Names) > 0 {
			check += " " + listed(slices.Clone(a.Names))
		}
		add(question{check: check, region: a.Region, role: a.Role, call: "DescribeAlarms", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			return askAlarms(ctx, with, a.Names)
		}}, "CloudWatch", "cloudwatch", "*")
	}
	for _, m := range d.Metrics {
		add(question{check: "metrics", region: m.Region, role: m.Role, call: "GetMetricData", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			now := time.Now()
			_, err := cloudwatch.NewFromConfig(with).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
				StartTime: aws.Time(now.Add(-time.Minute)), EndTime: &now,
				MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("none"), MetricStat: &cloudwatchtypes.MetricStat{
					Metric: &cloudwatchtypes.Metric{Namespace: aws.String("anneal"), MetricName: aws.String("none")}, Period: aws.Int32(60), Stat: aws.String("Sum"),
				}}},
			})
			return reply{detail: "can be read"}, err
		}}, "CloudWatch", "cloudwatch", "*")
	}
	for _, m := range d.Machines {
		arn := filled(m.ARN, me)
		add(question{check: "state machine " + arn, region: regionOf(arn), role: m.Role, call: "DescribeStateMachine", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			out, err := sfn.NewFromConfig(with).DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
			if err != nil {
				return reply{}, err
			}
			return reply{detail: fmt.Sprintf("%s, %s", strings.ToLower(string(out.Type)), strings.ToLower(string(out.Status)))}, nil
		}}, "Step Functions", "states", "the state machine "+arn)
	}
	for _, t := range d.Topics {
		arn := filled(t.ARN, me)
		add(question{check: "topic " + arn, region: regionOf(arn), role: t.Role, call: "GetTopicAttributes", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			_, err := sns.NewFromConfig(with).GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &arn})
			return reply{detail: "is there, for channel " + t.Channel}, err
		}}, "SNS", "sns", "the topic "+arn)
	}
	for _, b := range d.Buses {
		arn := filled(b.ARN, me)
		add(question{check: "event bus " + arn, region: regionOf(arn), role: b.Role, call: "DescribeEventBus", ask: func(ctx context.Context, with aws.Config) (reply, error) {
			_, err := eventbridge.NewFromConfig(with).DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &arn})
			return reply{detail: "is there, for channel " + b.Channel}, err
		}}, "EventBridge", "events", "the event bus "+arn)
	}
	return all
}

// remedies are of what is not there, or in another region, by the codes of each
// service.
func remedies(resource string) map[string]string {
	all := map[string]string{}
	for _, code := range []string{"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket", "StateMachineDoesNotExist", "NotFound", "NotFoundException", "ResourceNotFoundException", "ResourceNotFound"} {
		all[code] = "there is no " + strings.TrimPrefix(resource, "the ") + ": make it, or correct its name, region and account"
	}
	for _, code := range []string{"PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently", "InvalidArn", "InvalidAddress"} {
		all[code] = resource + " is in another region: correct region"
	}
	return all
}

// askQueue looks at a queue and takes nothing from it.
func askQueue(ctx context.Context, with aws.Config, queueURL string) (reply, error) {
	if with.BaseEndpoint == nil && os.Getenv("AWS_ENDPOINT_URL_SQS") == "" && !strings.Contains(queueURL, ".amazonaws.com") {
		with.BaseEndpoint = aws.String(regexp.MustCompile(`^(https?://[^/]+).*$`).ReplaceAllString(queueURL, "$1"))
	}
	out, err := sqs.NewFromConfig(with).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		return reply{}, err
	}
	detail := out.Attributes["ApproximateNumberOfMessages"] + " messages wait"
	if out.Attributes["RedrivePolicy"] == "" {
		return reply{detail + "; it has no dead-letter queue", "give it one: what cannot be made durable comes again for ever"}, nil
	}
	return reply{detail: detail}, nil
}

// askAlarms looks for alarms by their names, and by prefixes that end in *.
func askAlarms(ctx context.Context, with aws.Config, names []string) (reply, error) {
	client := cloudwatch.NewFromConfig(with)
	var lacking []string
	for _, name := range names {
		in := &cloudwatch.DescribeAlarmsInput{AlarmTypes: []cloudwatchtypes.AlarmType{cloudwatchtypes.AlarmTypeMetricAlarm, cloudwatchtypes.AlarmTypeCompositeAlarm}}
		switch prefix, is := strings.CutSuffix(name, "*"); {
		case !is:
			in.AlarmNames = []string{name}
		case prefix != "":
			in.AlarmNamePrefix = &prefix
		}
		out, err := client.DescribeAlarms(ctx, in)
		if err != nil {
			return reply{}, err
		}
		if len(out.MetricAlarms)+len(out.CompositeAlarms) == 0 {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		return reply{"there is no alarm " + listed(lacking), "make it, or correct its name and region"}, nil
	}
	return reply{detail: "can be read"}, nil
}

// simulate is the question to IAM.
const simulate = "SimulatePrincipalPolicy"

// permissions are the questions about what the daemon may do, one for each of its
// needs; none about who IAM has no policies of.
func permissions(d infra.Daemon, names map[string]string) []*question {
	var all []*question
	for _, n := range d.Needs() {
		who := names[n.Role]
		if who == "" {
			continue
		}
		p := cloud.Permission{Actions: n.Actions, Context: map[string]string{}}
		known := true
		for _, resource := range n.Resources {
			for _, q := range d.Queues {
				if q.Made && q.Known != "" {
					resource = strings.ReplaceAll(resource, "${Queue.Arn}", q.Known)
				}
			}
			resource = filled(resource, who)
			known = known && !unfilled.MatchString(resource)
			if resource != "*" { // an object, an execution, an alarm
				resource = infra.Sample(resource)
			}
			p.Resources = append(p.Resources, resource)
		}
		for _, c := range n.When {
			p.Context[c.Key] = infra.Sample(filled(c.Values[0], who))
		}
		if !known {
			continue // that a variable is not set is said already
		}
		actions, resources := listed(slices.Clone(n.Actions)), listed(slices.Clone(p.Resources))
		all = append(all, &question{check: "permission " + actions, role: n.Role, call: simulate, service: cloud.Service{Name: "IAM", Prefix: "iam", Resource: who},
			ask: func(ctx context.Context, with aws.Config) (reply, error) {
				denied, err := cloud.Simulate(ctx, with, who, p)
				if len(denied) > 0 {
					return reply{fmt.Sprintf("!%s may not %s", who, listed(denied)), "grant it: `anneal infra generate` writes the role"}, nil
				}
				return reply{detail: "on " + resources}, err
			}})
	}
	return all
}

// unfilled is what is not known of an ARN.
var unfilled = regexp.MustCompile(`\$\{[^!]`)

// filled is an ARN with what is known of the account of who asks in it.
func filled(arn, who string) string {
	parts := strings.Split(who, ":")
	if len(parts) < 5 {
		return arn
	}
	region := os.Getenv("AWS_REGION")
	if region == "" {
		region = os.Getenv("AWS_DEFAULT_REGION")
	}
	pairs := []string{"${AWS::Partition}", parts[1], "${AWS::AccountId}", parts[4]}
	if region != "" {
		pairs = append(pairs, "${AWS::Region}", region)
	}
	return strings.NewReplacer(pairs...).Replace(arn)
}
