package infra_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/configs/infra"
)

var update = flag.Bool("update", false, "rewrite the templates in testdata")

// deployed are the values that a stack has in these tests.
var deployed = map[string]string{
	"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012",
	"Queue.Arn":          "arn:aws:sqs:eu-central-1:123456789012:uploads",
	"AnnealTopicArnName": "ml", "ChurnSfnArnName": "churn",
	"DeadLetters.Arn": "arn:aws:sqs:eu-central-1:123456789012:uploads-dead",
}

// all is a daemon with every part on.
func all() infra.Daemon {
	const machines = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:"
	return infra.Daemon{
		Queues:  []infra.Queue{{Name: "uploads", ARN: "${Queue.Arn}", Made: true, Visibility: 30}},
		Reads:   []infra.Location{{Bucket: "lake", Prefix: "training/"}, {Bucket: "lake", Prefix: "training/late/"}},
		Staging: []infra.Location{{Bucket: "lake", Prefix: "staging/"}},
		Store:   infra.Store{Key: "arn:aws:kms:eu-central-1:123456789012:key/1"},
		Alarms:  []infra.Alarms{{Names: []string{"slow"}}, {Role: "arn:aws:iam::123456789012:role/elsewhere"}},
		Metrics: []infra.Metrics{{}},
		Reports: []infra.Report{{Namespace: "anneal"}},
		Machines: []infra.Machine{
			{ARN: machines + "churn:PROD", Kind: infra.Standard, Policies: []string{"churn"}},
			{ARN: machines + "quick", Kind: infra.Express, Policies: []string{"price"}},
		},
		Topics: []infra.Target{{Channel: "team", ARN: "arn:aws:sns:eu-central-1:123456789012:team"}},
		Buses:  []infra.Target{{Channel: "bus", ARN: "arn:aws:events:eu-central-1:123456789012:event-bus/ml"}},
	}
}

// requests reads lines of an action, a resource, and keys with their values.
func requests(text string) (list []request) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		r := request{action: words[0], resource: words[1], context: map[string][]string{}}
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			r.context[strings.ToLower(key)] = append(r.context[strings.ToLower(key)], value)
		}
		list = append(list, r)
	}
	return list
}

func files(t *testing.T, name string) map[string]string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range archive.Files {
		all[f.Name] = string(f.Data)
	}
	return all
}

// check evaluates what is allowed and what is not. Of every two that are allowed,
// the action of one on the resource of the other is refused, unless that is there
// too.
func check(t *testing.T, statements []map[string]any, yes, no []request) {
	t.Helper()
	ask := func(r request, want bool) {
		t.Helper()
		got, err := allowed(statements, r)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s on %s with %v: allowed %t, want %t", r.action, r.resource, r.context, got, want)
		}
	}
	listed := map[string]bool{}
	for _, r := range yes {
		ask(r, true)
		listed[r.action+" "+r.resource] = true
	}
	for _, r := range no {
		ask(r, false)
	}
	for _, a := range yes {
		for _, b := range yes {
			if listed[a.action+" "+b.resource] || wide(a.action) {
				continue
			}
			ask(request{a.action, b.resource, b.context}, false)
			ask(request{a.action, b.resource, a.context}, false)
		}
	}
	// Nothing is granted that no line above asks for.
	for _, s := range statements {
		for _, action := range texts(s["Action"]) {
			if strings.Contains(action, "*") || !slices.ContainsFunc(yes, func(r request) bool { return r.action == action }) {
				t.Errorf("%s is granted, and nothing here calls it", action)
			}
		}
	}
}

// wide are the actions that IAM knows no resources of, or none that would do.
func wide(action string) bool {
	return strings.HasPrefix(action, "cloudwatch:") || action == "dynamodb:ListTables"
}

// sound parses a template as the CloudFormation resource specification has it: a
// property that a type does not have is an error.
func sound(t *testing.T, text string) {
	t.Helper()
	parsed, err := goformation.ParseYAML([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for id, r := range parsed.Resources {
		if r == nil || strings.Contains(r.AWSCloudFormationType(), "Custom") {
			t.Errorf("%s has no type that CloudFormation knows", id)
		}
	}
}

// TestExamples generates for the examples of the repository. They run on one
// machine with folders for buckets, so the role may do nothing at all.
func TestExamples(t *testing.T) {
	settings, err := filepath.Glob("../*/anneal.yaml")
	if err != nil || len(settings) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range settings {
		cfg, err := configs.Load(file, configs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := infra.Of(cfg, infra.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := infra.Template(d, infra.ForECS)
		sound(t, text)
		x := read(t, text, deployed, nil)
		if len(d.Queues)+len(d.Machines)+len(d.Topics) == 0 && len(x.own()) > 0 {
			t.Errorf("%s calls nothing of AWS, and its role may: %v", file, x.own())
		}
	}
}

// TestAWS generates for the example that has everything on AWS.
func TestAWS(t *testing.T) {
	for _, name := range []string{"ANNEAL_QUEUE_URL", "ANNEAL_TOPIC_ARN", "CHURN_SFN_ARN"} {
		if _, set := os.LookupEnv(name); set {
			t.Setenv(name, "") // puts it back
			os.Unsetenv(name)
		}
	}
	cfg, err := configs.Load("../aws/anneal.yaml", configs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := infra.Of(cfg, infra.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Doubts) > 0 {
		t.Errorf("left open: %q", d.Doubts)
	}
	text := infra.Template(d, infra.ForECS)
	golden(t, "aws.cfn.yaml", text)
	sound(t, text)
	given := files(t, "aws.txt")
	check(t, read(t, text, deployed, nil).own(), requests(given["allowed"]), requests(given["refused"]))
}

// configuration is what a file of testdata has beside what it is to allow.
func configuration(t *testing.T, given map[string]string) infra.Daemon {
	t.Helper()
	dir := t.TempDir()
	for name, text := range given {
		if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".json") {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg, err := configs.Load(filepath.Join(dir, "anneal.yaml"), configs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := infra.Of(cfg, infra.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := infra.Of(cfg, infra.Options{}); infra.Template(again, infra.ForECS) != infra.Template(d, infra.ForECS) {
		t.Error("a second time the template is another")
	}
	var doubts []string
	for _, doubt := range d.Doubts {
		begin, _, _ := strings.Cut(doubt, ", so")
		doubts = append(doubts, begin)
	}
	if diff := cmp.Diff(strings.TrimSpace(given["doubts"]), strings.Join(doubts, "\n")); diff != "" {
		t.Errorf("doubts (-want +got):\n%s", diff)
	}
	return d
}

// granted holds a template to what a file of testdata allows and refuses.
func granted(t *testing.T, x template, given map[string]string) {
	t.Helper()
	check(t, x.own(), requests(given["allowed"]), requests(given["refused"]))
	var assumed []map[string]any
	for _, p := range x.resources("AWS::IAM::ManagedPolicy") {
		assumed = append(assumed, statements(p["PolicyDocument"])...)
	}
	for _, r := range requests(given["assumed allowed"]) {
		if ok, err := allowed(assumed, r); !ok || err != nil {
			t.Errorf("the assumed role: %s on %s is refused (%v)", r.action, r.resource, err)
		}
	}
}

// TestTasks lets state machines call what they name.
func TestTasks(t *testing.T) {
	given := files(t, "tasks.txt")
	text := infra.Template(configuration(t, given), infra.ForECS)
	sound(t, text)
	granted(t, read(t, text, deployed, nil), given)
}

// TestLiteral has names and prefixes with letters that mean more to IAM and to
// CloudFormation than themselves.
func TestLiteral(t *testing.T) {
	given := files(t, "literal.txt")
	d := configuration(t, given)
	text := infra.Template(d, infra.ForECS)
	golden(t, "literal.cfn.yaml", text)
	sound(t, text)
	granted(t, read(t, text, deployed, nil), given)

	var samples []string
	for _, n := range d.Needs() {
		for _, resource := range n.Resources {
			if strings.Contains(resource, ":s3:::") {
				samples = append(samples, infra.Sample(resource))
			}
		}
	}
	for _, want := range strings.Fields(given["samples"]) {
		if !slices.Contains(samples, want) {
			t.Errorf("no sample is %s: %q", want, samples)
		}
	}
}

func TestLake(t *testing.T) {
	given := files(t, "lake.txt")
	d := configuration(t, given)
	text := infra.Template(d, infra.ForECS)
	golden(t, "lake.cfn.yaml", text)
	sound(t, text)
	x := read(t, text, deployed, nil)
	granted(t, x, given)

	// The rules, and who may send to the queue.
	rules := map[string]bool{}
	senders := x.resources("AWS::SQS::QueuePolicy")["QueuePolicy"]
	for id, r := range x.resources("AWS::Events::Rule") {
		pattern := object(r["EventPattern"])
		detail := numbers(marshal(t, pattern["detail"]))
		rules[texts(pattern["source"])[0]+"/"+texts(pattern["detail-type"])[0]+" "+detail] = true
		for _, c := range []struct {
			rule string
			want bool
		}{{x.lookup(id + ".Arn"), true}, {x.lookup(id+".Arn") + "x", false}} {
			got, err := allowed(statements(senders["PolicyDocument"]), request{"sqs:SendMessage", deployed["Queue.Arn"],
				map[string][]string{"aws:sourcearn": {c.rule}}})
			if got != c.want || err != nil {
				t.Errorf("rule %s sends to the queue: %t (%v), want %t", c.rule, got, err, c.want)
			}
		}
	}
	want := map[string]bool{}
	for line := range strings.Lines(given["rules"]) {
		want[strings.TrimSpace(line)] = true
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), `\u003e`, ">")
}

// numbers are written as texts by [template.value].
func numbers(s string) string { return regexp.MustCompile(`"(\d+)"`).ReplaceAllString(s, "$1") }

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestAll lets a daemon with every part on do what its calls need, and nothing
// else. Every action that any call asks for is among that.
func TestAll(t *testing.T) {
	text := infra.Template(all(), infra.ForEKS)
	golden(t, "all.cfn.yaml", text)
	sound(t, text)
	x := read(t, text, deployed, nil)
	given := files(t, "all.txt")
	yes := requests(given["allowed"])
	check(t, x.own(), yes, requests(given["refused"]))
	for call, actions := range calls() {
		for _, action := range actions {
			if !slices.ContainsFunc(yes, func(r request) bool { return r.action == action }) {
				t.Errorf("%s asks for %s, which nothing here is allowed to do", call, action)
			}
		}
	}

	// The key that is a parameter, where it is given.
	values := map[string]string{"DataKey": "arn:aws:kms:eu-central-1:123456789012:key/data"}
	for k, v := range deployed {
		values[k] = v
	}
	x = read(t, text, values, map[string]bool{"HasDataKey": true})
	for via, want := range map[string]bool{"s3.eu-central-1.amazonaws.com": true, "s3.us-east-1.amazonaws.com": false, "sqs.eu-central-1.amazonaws.com": false} {
		got, err := allowed(x.own(), request{"kms:Decrypt", values["DataKey"], map[string][]string{"kms:viaservice": {via}}})
		if got != want || err != nil {
			t.Errorf("the data's key via %s: %t (%v), want %t", via, got, err, want)
		}
	}
}

// TestForced says why of everything that is wider than what is used.
func TestForced(t *testing.T) {
	for _, n := range all().Needs() {
		for _, resource := range n.Resources {
			objects := strings.Contains(resource, ":s3:::") // a prefix is what is used
			if strings.Contains(resource, "*") && !objects && n.Wide == "" {
				t.Errorf("%v on %s: no word of why", n.Actions, resource)
			}
		}
		for _, action := range n.Actions {
			if strings.Contains(action, "*") {
				t.Errorf("%s is more than one action", action)
			}
		}
	}
}

func TestFIFO(t *testing.T) {
	d := all()
	d.Queues[0].Name, d.Queues[0].FIFO = "uploads.fifo", true
	sound(t, infra.Template(d, infra.ForEC2))
}
