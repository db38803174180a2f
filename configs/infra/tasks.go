package infra

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// tasks adds what the tasks of state machines call at AWS, where they may: those of
// policies and of embedded.stateMachines, as far as a definition names it.
func (o *of) tasks() error {
	e := &o.cfg.Settings.Embedded
	if e.AWS != "allow" {
		return nil
	}
	own, err := o.role(e.Role, "embedded.role")
	if err != nil {
		return err
	}
	here, there, err := o.mapped()
	if err != nil {
		return err
	}
	definitions := map[string][]string{} // file to what it is called
	for _, p := range o.cfg.Policies {
		if p.Machine != "" && p.ARN == "" {
			definitions[p.Machine] = append(definitions[p.Machine], "policy "+p.Name())
		}
	}
	for name, file := range e.StateMachines {
		definitions[string(file)] = append(definitions[string(file)], "state machine "+name)
	}
	for _, file := range slices.Sorted(mapKeys(definitions)) {
		text := o.cfg.Machines[file].Definition
		m, _ := asl.Parse(text, file) // what is wrong with it is told when it is loaded
		if m == nil {
			continue
		}
		slices.Sort(definitions[file])
		t := taskNeeds{of: o, who: listed(definitions[file]), own: own, roles: credentials(text)}
		for _, r := range m.Resources() {
			if there.Check(r) == nil {
				t.add(r, here.Check(r) != nil)
			}
		}
	}
	if e.Listen != "off" {
		o.doubt("embedded.aws is allow, and state machines that are created through the API may call more than what is in the role, and log to CloudWatch Logs, so add what they need by hand: of log groups logs:CreateLogStream and logs:PutLogEvents, and logs:DescribeLogGroups on *")
	}
	return nil
}

// mapped are the tasks of the daemon, without AWS and with it.
func (o *of) mapped() (here, there *tasks.Tasks, err error) {
	e := &o.cfg.Settings.Embedded
	machines := map[string]orchestrator.Machine{}
	for _, p := range o.cfg.Policies {
		if p.Machine != "" {
			machines[p.Name()] = orchestrator.Machine{}
		}
	}
	for name := range e.StateMachines {
		machines[name] = orchestrator.Machine{}
	}
	cfg := tasks.Config{
		Functions: map[string]tasks.Function{}, Topics: e.Topics, Buckets: slices.Sorted(mapKeys(o.cfg.Settings.Buckets)),
		Connections: map[string]httptask.Settings{},
		Machines:    func() map[string]orchestrator.Machine { return machines },
	}
	for name := range e.Functions {
		cfg.Functions[name] = tasks.Function{Command: []string{name}}
	}
	for name := range e.Connections {
		cfg.Connections[name] = httptask.Settings{Egress: httptask.Egress{Insecure: true}}
	}
	if e.Listen != "off" {
		cfg.StepFunctions = func(context.Context, string, []byte) (int, []byte) { return 0, nil } // nothing is called
	}
	if here, err = tasks.New(cfg); err != nil {
		return nil, nil, err
	}
	cfg.Remote = wire.New(nil)
	there, err = tasks.New(cfg)
	return here, there, err
}

// credentials are the roles that states have as their Credentials, by the state's name:
// empty where it is not known before.
func credentials(definition []byte) map[string]string {
	all := map[string]string{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			states, _ := v["States"].(map[string]any)
			for name, s := range states {
				if state, ok := s.(map[string]any); ok && state["Credentials"] != nil {
					all[name] = ""
					c, _ := state["Credentials"].(map[string]any)
					if role, ok := c["RoleArn"].(string); ok && strings.HasPrefix(role, "arn:") {
						all[name] = role
					}
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var root any
	if json.Unmarshal(definition, &root) == nil {
		walk(root)
	}
	return all
}

// taskNeeds are those of the tasks of one definition.
type taskNeeds struct {
	of    *of
	who   string
	own   string // the daemon's role for it; empty: its own
	roles map[string]string
}

// add adds what a task needs. Where it is not sure to go to AWS, it depends on what it is
// given.
func (t taskNeeds) add(r asl.Resource, sure bool) {
	service, action, sync := called(r.ARN)
	actions := actionsOf(service, action)
	role := t.own
	if given, ok := t.roles[r.State]; ok {
		if role = given; role == "" {
			t.of.doubt("state %s of %s has Credentials that are known only when it runs, so let the daemon's role assume them: sts:AssumeRole", r.State, t.who)
			return
		}
	}
	if service == "http" {
		t.connection(r, role, sure)
		return
	}
	resources, known := t.resources(r, service, action)
	switch {
	case known && (!sure || len(resources) == 0):
		return // it is done here, or nobody is asked
	case !known:
		t.of.doubt("state %s of %s calls %s on what is known only when it runs, so it is not in the role: allow %s on it by hand", r.State, t.who, r.ARN, strings.Join(actions, " and "))
		return
	}
	wide := ""
	if slices.Equal(resources, []string{"*"}) {
		wide = "what the action is on is not told by a name that is in the definition"
	}
	t.need(Need{Role: role, Service: wire.ID(service), Actions: actions, Resources: resources, Why: t.why(r), Wide: wide})
	if sync {
		t.need(Need{
			Role: role, Service: wire.ID(service), Actions: []string{"states:DescribeExecution", "states:StopExecution"}, Resources: []string{executions(resources[0], "execution")},
			Why: t.why(r), Wide: "an execution's ARN ends with its name, which is not known before",
		})
	}
}

func (t taskNeeds) why(r asl.Resource) string {
	return fmt.Sprintf("calls it for state %s of %s", r.State, t.who)
}

// need adds what is not there yet.
func (t taskNeeds) need(n Need) {
	if !slices.ContainsFunc(t.of.d.Tasks, func(o Need) bool {
		return o.Role == n.Role && slices.Equal(o.Actions, n.Actions) && slices.Equal(o.Resources, n.Resources)
	}) {
		t.of.d.Tasks = append(t.of.d.Tasks, n)
	}
}

// connection adds what is asked of a connection of EventBridge, and of the secret that
// it keeps there. The API itself is called by nobody's leave but its own.
func (t taskNeeds) connection(r asl.Resource, role string, sure bool) {
	describe, get := []string{"events:DescribeConnection"}, []string{"secretsmanager:GetSecretValue"}
	p, ok := r.Parameter("InvocationConfig", "ConnectionArn")
	if !ok {
		p, _ = r.Parameter("Authentication", "ConnectionArn")
	}
	if p.Text == "" {
		t.of.doubt("state %s of %s names its connection only when it runs, so it is not in the role: allow %s on it and %s on its secret by hand", r.State, t.who, describe[0], get[0])
		return
	}
	if !sure {
		return
	}
	events, secrets, name := local("events"), local("secretsmanager"), p.Text
	if before, after, ok := strings.Cut(p.Text, ":connection/"); ok {
		events, secrets = before+":", strings.Replace(before, ":events:", ":secretsmanager:", 1)+":"
		name, _, _ = strings.Cut(after, "/")
	}
	name = exactly(name)
	const wide = "EventBridge ends the names of connections and of their secrets with an ID"
	t.need(Need{Role: role, Service: wire.ID("eventbridge"), Actions: describe, Resources: []string{events + "connection/" + name, events + "connection/" + name + "/*"}, Why: t.why(r), Wide: wide})
	t.need(Need{Role: role, Service: wire.ID("secretsmanager"), Actions: get, Resources: []string{secrets + "secret:events!connection/" + name + "/*"}, Why: t.why(r), Wide: wide})
}

// called is the service and the action of a resource, by the names of the API models.
func called(resource string) (service, action string, sync bool) {
	p := strings.SplitN(resource, ":", 7)
	if p[2] == "lambda" {
		return "lambda", "invoke", false
	}
	service, action = p[5], p[6]
	if service == "aws-sdk" {
		service, action, _ = strings.Cut(action, ":")
	}
	action, pattern, _ := strings.Cut(action, ".")
	return cmp.Or(map[string]string{"events": "eventbridge", "states": "sfn"}[service], service), action, strings.HasPrefix(pattern, "sync")
}

// iam are the prefixes of services whose name in IAM is another.
var iam = map[string]string{"eventbridge": "events", "sfn": "states", "cloudwatchlogs": "logs", "apigateway": "execute-api"}

// others are the actions in IAM of operations that have another name there, or several.
//
// Source: "Actions, resources, and condition keys" of the Service Authorization
// Reference.
var others = map[string][]string{
	"lambda:invoke": {"InvokeFunction"}, "lambda:invokeAsync": {"InvokeFunction"},
	"s3:getObject": {"GetObject", "GetObjectVersion"}, "s3:headObject": {"GetObject", "GetObjectVersion"}, "s3:headBucket": {"ListBucket"},
	"s3:listObjects": {"ListBucket"}, "s3:listObjectsV2": {"ListBucket"}, "s3:listObjectVersions": {"ListBucketVersions"}, "s3:listBuckets": {"ListAllMyBuckets"},
	"s3:copyObject": {"GetObject", "GetObjectVersion", "PutObject"}, "s3:deleteObjects": {"DeleteObject"}, "s3:createMultipartUpload": {"PutObject"},
	"s3:uploadPart": {"PutObject"}, "s3:uploadPartCopy": {"GetObject", "GetObjectVersion", "PutObject"}, "s3:completeMultipartUpload": {"PutObject"},
	"s3:listMultipartUploads": {"ListBucketMultipartUploads"}, "s3:listParts": {"ListMultipartUploadParts"},
	"sqs:sendMessageBatch": {"SendMessage"}, "sqs:deleteMessageBatch": {"DeleteMessage"}, "sqs:changeMessageVisibilityBatch": {"ChangeMessageVisibility"},
	"sns:publishBatch":          {"Publish"},
	"dynamodb:transactGetItems": {"GetItem"}, "dynamodb:transactWriteItems": {"ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem"},
	"dynamodb:executeStatement":      {"PartiQLDelete", "PartiQLInsert", "PartiQLSelect", "PartiQLUpdate"},
	"dynamodb:batchExecuteStatement": {"PartiQLDelete", "PartiQLInsert", "PartiQLSelect", "PartiQLUpdate"},
	"dynamodb:executeTransaction":    {"PartiQLDelete", "PartiQLInsert", "PartiQLSelect", "PartiQLUpdate"},
}

// actionsOf are the actions in IAM of an operation.
func actionsOf(service, action string) []string {
	names := others[service+":"+action]
	if names == nil {
		names = []string{strings.ToUpper(action[:1]) + action[1:]}
	}
	var all []string
	for _, name := range names {
		all = append(all, cmp.Or(iam[service], service)+":"+name)
	}
	return all
}

// local is the account's part of the ARN of something in a service.
func local(service string) string {
	return "arn:${AWS::Partition}:" + service + ":${AWS::Region}:${AWS::AccountId}:"
}

// resources are the ARNs of what a task calls, and whether they are known.
func (t taskNeeds) resources(r asl.Resource, service, action string) (arns []string, known bool) {
	// named is the first of the parameters that is sent, as ARN or made one.
	named := func(arn func(name string) []string, keys ...string) ([]string, bool) {
		for _, key := range keys {
			if p, ok := r.Parameter(key); ok {
				switch {
				case p.Text == "":
					return nil, false
				case strings.HasPrefix(p.Text, "arn:"):
					return []string{exactly(p.Text)}, true
				}
				return arn(p.Text), true
			}
		}
		return []string{"*"}, true
	}
	in := func(prefix string, more ...string) func(string) []string {
		return func(name string) []string {
			name = exactly(name)
			all := []string{prefix + name}
			for _, suffix := range more {
				all = append(all, prefix+name+suffix)
			}
			return all
		}
	}
	switch service {
	case "lambda":
		name := r.ARN
		if strings.Contains(name, ":states:") {
			p, ok := r.Parameter("FunctionName")
			if name = p.Text; !ok || name == "" {
				return nil, false
			}
		}
		name = exactly(name)
		prefix := local("lambda") + "function:"
		if i := strings.LastIndex(name, "function:"); i >= 0 {
			if strings.HasPrefix(name, "arn:") {
				prefix = name[:i+len("function:")]
			}
			name = name[i+len("function:"):]
		}
		name, _, _ = strings.Cut(name, ":") // a qualifier
		name = prefix + name
		return []string{name, name + ":*"}, true
	case "sns":
		return named(in(local("sns")), "TopicArn", "TargetArn")
	case "sqs":
		return named(func(url string) []string {
			region, account, name := partsOf(url)
			return []string{fmt.Sprintf("arn:${AWS::Partition}:sqs:%s:%s:%s", region, account, exactly(name))}
		}, "QueueUrl")
	case "dynamodb":
		return named(in(local("dynamodb")+"table/", "/index/*"), "TableName")
	case "secretsmanager":
		return named(in(local("secretsmanager")+"secret:", "-??????"), "SecretId")
	case "cloudwatchlogs":
		return named(in(local("logs")+"log-group:", ":*"), "LogGroupName")
	case "sfn":
		arns, known := named(in(""), "StateMachineArn", "ExecutionArn")
		for i, arn := range arns {
			arns[i], _ = Unqualified(arn)
		}
		return arns, known
	case "kms":
		return named(func(id string) []string {
			if strings.HasPrefix(id, "alias/") {
				return []string{"*"}
			}
			return []string{local("kms") + "key/" + exactly(id)}
		}, "KeyId")
	case "s3":
		return t.objects(r, action)
	case "eventbridge":
		if action == "putEvents" {
			return buses(r)
		}
	case "apigateway":
		return stage(r)
	}
	return []string{"*"}, true
}

// objects are those of S3 that a task is on.
func (t taskNeeds) objects(r asl.Resource, action string) (arns []string, known bool) {
	bucket, ok := r.Parameter("Bucket")
	switch {
	case !ok:
		return []string{"*"}, true
	case bucket.Text == "":
		return nil, false
	}
	arn := bucketARN(bucket.Text)
	key, keyed := r.Parameter("Key")
	switch {
	case action == "copyObject" || action == "uploadPartCopy":
		source, _ := r.Parameter("CopySource")
		from, _, _ := strings.Cut(strings.TrimPrefix(source.Text, "/"), "/")
		if from == "" {
			return nil, false
		}
		return union([]string{arn + "/*"}, []string{bucketARN(from) + "/*"}), true
	case keyed && key.Text != "":
		return []string{arn + "/" + exactly(key.Text)}, true
	case keyed || action == "deleteObjects":
		return []string{arn + "/*"}, true
	}
	return []string{arn}, true
}

// buses are the event buses that a task puts events on.
func buses(r asl.Resource) (arns []string, known bool) {
	p, ok := r.Parameter("Entries")
	var entries []map[string]any
	if !ok || json.Unmarshal(p.Value, &entries) != nil {
		return nil, false
	}
	for _, e := range entries {
		bus, given := e["EventBusName"]
		name, text := bus.(string)
		switch {
		case e["EventBusName.$"] != nil || given && !text || strings.HasPrefix(name, "{%"):
			return nil, false
		}
		if name = exactly(name); !strings.HasPrefix(name, "arn:") {
			name = local("events") + "event-bus/" + cmp.Or(name, "default")
		}
		arns = union(arns, []string{name})
	}
	return arns, len(arns) > 0
}

// stage is the part of an API that a task calls.
func stage(r asl.Resource) (arns []string, known bool) {
	auth, ok := r.Parameter("AuthType")
	if !ok || auth.Text == "NO_AUTH" {
		return nil, true // it is not signed
	}
	host, _ := r.Parameter("ApiEndpoint")
	id, rest, ok := strings.Cut(host.Text, ".execute-api.")
	region, _, _ := strings.Cut(rest, ".")
	if !ok {
		return nil, false
	}
	part := func(key string) string {
		p, sent := r.Parameter(key)
		if sent && p.Text == "" {
			return "*"
		}
		return exactly(strings.Trim(p.Text, "/"))
	}
	return []string{fmt.Sprintf("arn:${AWS::Partition}:execute-api:%s:${AWS::AccountId}:%s/%s/%s/%s", region, exactly(id), cmp.Or(part("Stage"), "$default"), part("Method"), part("Path"))}, true
}
