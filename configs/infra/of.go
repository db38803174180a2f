package infra

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/sqs"
)

// Options are what a configuration does not say.
type Options struct {
	// Buckets are those whose objects a trigger takes that names none.
	Buckets []string
}

// Of is what a configuration has the daemon do on AWS. What the environment has
// for {env: …} is used where it is set; where it is not, there is a parameter.
func Of(cfg *configs.Config, options Options) (Daemon, error) {
	o := &of{cfg: cfg, options: options}
	for _, source := range cfg.Settings.Sources {
		if source.SQS != nil {
			if err := o.queue(source.SQS); err != nil {
				return Daemon{}, err
			}
		}
	}
	if err := o.channels(); err != nil {
		return Daemon{}, err
	}
	if err := o.parts(); err != nil {
		return Daemon{}, err
	}
	for _, p := range cfg.Policies {
		o.policy(p.Policy)
	}
	if o.unmapped(cfg.Settings.Staging) {
		staging := locationOf(cfg.Settings.Staging)
		if staging.Prefix != "" {
			staging.Prefix = strings.TrimSuffix(staging.Prefix, "/") + "/"
		}
		o.d.Staging = append(o.d.Staging, staging)
	}
	o.d.Reads, o.d.Writes = inOrder(o.d.Reads), inOrder(o.d.Writes)
	if len(o.d.Queues) == 0 {
		o.d.Rules = nil
	}
	return o.d, nil
}

// of gathers a Daemon.
type of struct {
	cfg     *configs.Config
	options Options
	d       Daemon
}

func (o *of) doubt(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(o.d.Doubts, text) {
		o.d.Doubts = append(o.d.Doubts, text)
	}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// camel makes a name of CloudFormation of words.
func camel(words string) string {
	var b strings.Builder
	for _, word := range notInName.Split(words, -1) {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// nameOf is the value that a secret has, or, where it is not known here, the
// parameter that asks for the name of what it names.
func (o *of) nameOf(s configs.Secret, what, key, pattern string) (value, name string, err error) {
	if value, err = s.Resolve(); err == nil {
		return value, "", nil
	}
	if s.Env() == "" {
		return "", "", fmt.Errorf("%s: %w", key, err)
	}
	return "", o.parameter(s.Env(), what, pattern), nil
}

// parameter asks for the name of what a variable of the environment names.
func (o *of) parameter(variable, what, pattern string) string {
	name := camel(strings.ToLower(variable)) + "Name"
	if !slices.ContainsFunc(o.d.Parameters, func(p Parameter) bool { return p.Name == name }) {
		o.d.Parameters = append(o.d.Parameters, Parameter{Name: name, Pattern: pattern,
			Description: fmt.Sprintf("The name of the %s that the environment variable %s is to have", what, variable)})
	}
	return "${" + name + "}"
}

// role is the ARN of a role to assume, empty for none.
func (o *of) role(s configs.Secret, key string) (string, error) {
	if s == (configs.Secret{}) {
		return "", nil
	}
	arn, name, err := o.nameOf(s, "role", key, `[\w+=,.@/-]+`)
	if name != "" {
		arn = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/" + name
	}
	return arn, err
}

func (o *of) queue(q *configs.SQS) error {
	role, err := o.role(q.Role, "sqs: role")
	if err != nil {
		return err
	}
	visibility := time.Duration(q.Source("").WithDefaults().Visibility)
	made := Queue{Made: len(o.d.Queues) == 0, ARN: "${Queue.Arn}", Visibility: int(visibility.Seconds()), Role: role}
	queueURL, err := q.QueueURL.Resolve()
	switch {
	case err == nil:
		region, account, name := partsOf(queueURL)
		made.Name, made.FIFO, made.URL = name, strings.HasSuffix(name, ".fifo"), queueURL
		made.Known = fmt.Sprintf("arn:${AWS::Partition}:sqs:%s:%s:%s", region, account, exactly(name))
		if made.Region = q.Region; made.Region == "" {
			made.Region = sqs.Region(queueURL)
		}
		if !made.Made {
			made.ARN = made.Known
		}
	case q.QueueURL.Env() == "":
		return fmt.Errorf("sqs: queueURL: %w", err)
	case !made.Made:
		_, name, err := o.nameOf(q.QueueURL, "queue", "sqs: queueURL", `[\w-]+(\.fifo)?`)
		if err != nil {
			return err
		}
		made.ARN = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" + name
	}
	o.d.Queues = append(o.d.Queues, made)
	return nil
}

var account = regexp.MustCompile(`^\d{12}$`)

// partsOf are the parts of a queue's ARN that its URL has.
func partsOf(queueURL string) (region, owner, name string) {
	region, owner = sqs.Region(queueURL), "${AWS::AccountId}"
	if region == "" {
		region = "${AWS::Region}"
	}
	u, err := url.Parse(queueURL)
	if err != nil {
		return region, owner, ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) > 1 && account.MatchString(parts[0]) {
		owner = parts[0]
	}
	return region, owner, parts[len(parts)-1]
}

// unmapped reports whether a URI is in S3 itself.
func (o *of) unmapped(uri string) bool {
	if !strings.HasPrefix(uri, "s3://") {
		return false
	}
	_, mapped := o.cfg.Settings.Buckets[locationOf(uri).Bucket]
	return !mapped
}

func locationOf(uri string) Location {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return Location{Bucket: bucket, Prefix: prefix}
}

func inOrder(all []Location) []Location {
	slices.SortFunc(all, func(a, b Location) int { return strings.Compare(a.Bucket+"/"+a.Prefix, b.Bucket+"/"+b.Prefix) })
	return slices.Compact(all)
}

func (o *of) policy(p *policy.Policy) {
	body := p.Spec.Spec
	var buckets []string
	for i, t := range body.Triggers {
		for _, pattern := range p.Patterns(i) {
			buckets = append(buckets, o.trigger(pattern, fmt.Sprintf("trigger %s of policy %s", t.ID, p.Name()))...)
		}
	}
	for _, name := range slices.Sorted(mapKeys(body.Signals)) {
		s := body.Signals[name]
		if !s.IsPerformance() {
			continue
		}
		for _, path := range []string{s.Path, s.Labels} {
			o.measured(path, buckets, fmt.Sprintf("signal %s of policy %s", name, p.Name()))
		}
	}
	if run := body.Run; run != nil {
		o.mentioned(run.Input, run.Executor == policy.ExecutorEmbedded || run.Executor == "")
		if run.Model != nil {
			o.mentioned(run.Model.Artifact, false)
		}
	}
}

// S3's events, and those of other senders that do not come by EventBridge.
var (
	objectEvents = []string{"Object Created", "Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Restore Expired",
		"Object Storage Class Changed", "Object Access Tier Changed", "Object ACL Updated", "Object Tags Added", "Object Tags Deleted"}
	elsewhere = regexp.MustCompile(`^(anneal\.|minio\.s3$|aws\.(sqs|sns)$)`)
)

const (
	sourcePath = "event.source"
	typePath   = "event.type"
	bucketPath = "event.data.bucket.name"
	keyPath    = "event.data.object.key"
)

// equal are the texts that a path has to be one of; nil where it may be others.
func equal(p policy.Pattern, path string) []string {
	var texts []string
	for _, t := range p[path] {
		text, ok := t.Value.(string)
		if t.Is != "==" || !ok {
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

// trigger adds the rule of a pattern, and the objects that it tells of. It returns
// their buckets.
func (o *of) trigger(p policy.Pattern, who string) []string {
	delete(p, "event.id") // nobody knows one before
	delete(p, "event.subject")
	sources, types := equal(p, sourcePath), equal(p, typePath)
	if len(sources) > 0 && !slices.ContainsFunc(sources, func(s string) bool { return !elsewhere.MatchString(s) }) {
		return nil // it comes another way
	}
	isObject := func(typ string) bool { return slices.Contains(objectEvents, typ) }
	if slices.Equal(sources, []string{"aws.s3"}) || sources == nil && types != nil && !slices.ContainsFunc(types, func(t string) bool { return !isObject(t) }) {
		p[sourcePath] = []policy.Test{{Is: "==", Value: "aws.s3"}}
		return o.objects(p, who)
	}
	if sources == nil && types == nil {
		if len(o.d.Queues) > 0 {
			o.doubt("%s names neither a source nor a type, so no rule is made for it: name one, or make a rule by hand", who)
		}
		return nil
	}
	o.rule(Rule{Pattern: p, For: []string{who}})
	return nil
}

// objects adds the rule of a pattern of S3's events.
func (o *of) objects(p policy.Pattern, who string) []string {
	buckets := equal(p, bucketPath)
	if buckets == nil {
		if buckets = o.options.Buckets; len(buckets) == 0 {
			if len(o.d.Queues) > 0 {
				o.doubt("%s takes objects of any bucket, so no rule is made for it and none may be read: have its match say event.data.bucket.name == 'NAME', or name the buckets with --bucket", who)
			}
			return nil
		}
	}
	buckets = slices.DeleteFunc(slices.Clone(buckets), func(name string) bool {
		_, mapped := o.cfg.Settings.Buckets[name]
		return mapped
	})
	if len(buckets) == 0 {
		return nil // they are folders
	}
	p[bucketPath] = nil
	for _, name := range buckets {
		p[bucketPath] = append(p[bucketPath], policy.Test{Is: "==", Value: name})
	}
	o.rule(Rule{Pattern: p, For: []string{who}, Buckets: buckets})
	if types := equal(p, typePath); types != nil && !slices.Contains(types, "Object Created") {
		return buckets
	}
	for _, bucket := range buckets {
		for _, l := range locations(p[keyPath]) {
			l.Bucket = bucket
			o.d.Reads = append(o.d.Reads, l)
		}
	}
	return buckets
}

// locations are the objects whose keys pass the tests, in whatever bucket.
func locations(tests []policy.Test) []Location {
	var all []Location
	for _, t := range tests {
		text, ok := t.Value.(string)
		if !ok || t.Is != "==" && t.Is != "prefix" {
			return []Location{{}}
		}
		all = append(all, Location{Prefix: text, One: t.Is == "=="})
	}
	if all == nil {
		return []Location{{}}
	}
	return all
}

// measured adds the predictions or labels under a path: a URI, or a prefix of keys
// in the buckets of the policy.
func (o *of) measured(path string, buckets []string, who string) {
	var all []Location
	if strings.Contains(path, "://") {
		if o.unmapped(path) {
			all = []Location{locationOf(path)}
		}
	} else {
		for _, bucket := range append(slices.Clone(o.options.Buckets), buckets...) {
			if _, mapped := o.cfg.Settings.Buckets[bucket]; !mapped {
				all = append(all, Location{Bucket: bucket, Prefix: path})
			}
		}
	}
	for _, l := range all {
		o.d.Reads = append(o.d.Reads, l)
		p := policy.Pattern{
			sourcePath: {{Is: "==", Value: "aws.s3"}}, typePath: {{Is: "==", Value: "Object Created"}},
			bucketPath: {{Is: "==", Value: l.Bucket}},
		}
		if l.Prefix != "" {
			p[keyPath] = []policy.Test{{Is: "prefix", Value: l.Prefix}}
		}
		o.rule(Rule{Pattern: p, For: []string{who}, Buckets: []string{l.Bucket}})
	}
}

var beginsInS3 = regexp.MustCompile(`^\s*['"](s3://[^'"]*)['"]`)

// mentioned adds the objects that what a run is given tells of: it is where models
// are, whose checksum is taken, and where jobs of the daemon's own engine write.
func (o *of) mentioned(value any, written bool) {
	switch value := value.(type) {
	case string:
		if o.unmapped(value) && locationOf(value).Bucket != "" {
			if written {
				o.d.Writes = append(o.d.Writes, locationOf(value))
			}
			o.d.Reads = append(o.d.Reads, locationOf(value))
		}
	case []any:
		for _, item := range value {
			o.mentioned(item, written)
		}
	case map[string]any:
		if expr, ok := value["expr"].(string); ok && len(value) == 1 {
			if m := beginsInS3.FindStringSubmatch(expr); m != nil {
				o.mentioned(m[1], written)
			}
			return
		}
		for _, key := range slices.Sorted(mapKeys(value)) {
			o.mentioned(value[key], written)
		}
	}
}

// mostPattern is how long an event pattern may be, in bytes, less some room.
//
// Source: "Amazon EventBridge quotas".
const mostPattern = 1900

// rule adds a rule, or has another one let through what it does.
func (o *of) rule(r Rule) {
	for i := range o.d.Rules {
		other := &o.d.Rules[i]
		if len(flow(detailOf(other.Pattern)))+len(flow(detailOf(r.Pattern))) > mostPattern || other.Machine != r.Machine {
			continue
		}
		if other.Pattern.Join(r.Pattern) {
			other.For = union(other.For, r.For)
			other.Buckets = union(other.Buckets, r.Buckets)
			return
		}
	}
	o.d.Rules = append(o.d.Rules, r)
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
