package integrations

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A rule is what AWS asks of a type beside its model.
type rule struct {
	required []string
	unless   string     // with this member nothing of it is required
	one      [][]string // of each list exactly one
	some     [][]string // of each list at least one
	free     []string   // members that Step Functions takes as any JSON, and makes text of
}

func rules() map[string]rule {
	return map[string]rule{
		"CreateTrainingJobRequest":             {required: []string{"AlgorithmSpecification", "ResourceConfig", "StoppingCondition"}, unless: "ServerlessJobConfig"},
		"AlgorithmSpecification":               {one: [][]string{{"TrainingImage", "AlgorithmName"}}},
		"HyperParameterAlgorithmSpecification": {one: [][]string{{"TrainingImage", "AlgorithmName"}}},
		"ResourceConfig":                       {required: []string{"InstanceType", "InstanceCount", "VolumeSizeInGB"}, unless: "InstanceGroups"},
		"DataSource":                           {one: [][]string{{"S3DataSource", "FileSystemDataSource", "DatasetSource"}}},
		"CreateHyperParameterTuningJobRequest": {one: [][]string{{"TrainingJobDefinition", "TrainingJobDefinitions"}}},
		"CreateModelInput":                     {one: [][]string{{"PrimaryContainer", "Containers"}}},
		"ContainerDefinition":                  {some: [][]string{{"Image", "ModelPackageName"}}},
		"PublishInput":                         {one: [][]string{{"TopicArn", "TargetArn", "PhoneNumber"}}, free: []string{"Message"}},
		"SendMessageRequest":                   {free: []string{"MessageBody"}},
		"PutEventsRequestEntry":                {required: []string{"Source", "DetailType", "Detail"}, free: []string{"Detail"}},
		"StartExecutionInput":                  {free: []string{"Input"}},
		"InvocationRequest":                    {free: []string{"Payload"}},
		"HttpInvoke":                           {one: [][]string{{"Authentication", "InvocationConfig"}}, free: []string{"RequestBody", "QueryParameters"}},
	}
}

// value looks at what is given for a type. Name is how messages call it.
func (c *check) value(m *model, of string, s *flow.Shape, name string, depth int) {
	t := m.Shapes[of]
	if t == nil || s == nil || depth > 2*deepest {
		return
	}
	if !s.Can(t.kinds() | flow.Null) {
		c.add(s, "%s must be %s, not %s", name, wanted(t), shown(s))
		return
	}
	if s.Value != nil && s.Value.Kind() == value.Null {
		return
	}
	switch t.Type {
	case "object":
		c.object(m, of, t, s, name, depth)
	case "array":
		if s.Exact && s.Is(flow.Array) {
			c.length(t, s, name, len(s.Tuple), "items")
		}
		for i, x := range s.Tuple {
			c.value(m, t.Of, x, fmt.Sprintf("%s[%d]", name, i), depth+1)
		}
	case "map":
		for _, f := range s.Fields {
			if f.Presence == flow.Sure {
				c.value(m, t.Of, f.Shape, name+"."+f.Name, depth+1)
			}
		}
	case "string":
		c.text(t, of, s, name)
	case "integer", "number":
		c.number(t, of, s, name)
	}
}

func (c *check) object(m *model, of string, t *shape, s *flow.Shape, name string, depth int) {
	known := slices.Sorted(maps.Keys(t.Members))
	r := rules()[of]
	at := name + "."
	if depth == 0 {
		at = ""
	}
	wrong := map[string]bool{} // required members that are there under a wrong name
	for _, f := range s.Fields {
		if f.Presence != flow.Sure || f.Shape == nil {
			continue
		}
		of, ok := t.Members[f.Name]
		switch {
		case !ok && f.Shape.Offset > 0:
			near := meant(f.Name, known, s)
			wrong[near] = true
			c.refused(f.Shape, "there is no parameter %s%s (%s)", at, f.Name, offer(cmpOr(near, f.Name), known))
		case ok && slices.Contains(r.free, f.Name):
		case ok:
			c.value(m, of, f.Shape, at+f.Name, depth+1)
		}
	}
	there := func(name string) bool { _, p := s.Member(name); return p != flow.Absent }
	sure := func(name string) bool { _, p := s.Member(name); return p == flow.Sure }
	required := t.Required
	if r.unless == "" || !there(r.unless) {
		required = append(slices.Clone(required), r.required...)
	}
	for _, member := range required {
		if !there(member) && !wrong[member] {
			c.add(s, "parameter %s%s is required", at, member)
		}
	}
	for _, names := range r.one {
		if !slices.ContainsFunc(names, there) && !slices.ContainsFunc(names, func(n string) bool { return wrong[n] }) {
			c.add(s, "one of the parameters %s is required", strings.Join(prefix(at, names), ", "))
		}
		if has := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !sure(n) }); len(has) > 1 {
			c.add(s, "only one of the parameters %s may be there", strings.Join(prefix(at, has), " and "))
		}
	}
	for _, names := range r.some {
		if !slices.ContainsFunc(names, there) && !slices.ContainsFunc(names, func(n string) bool { return wrong[n] }) {
			c.add(s, "one of the parameters %s is required", strings.Join(prefix(at, names), ", "))
		}
	}
	if of == "CreateTrainingJobRequest" {
		c.spot(s)
	}
}

// meant is the parameter that is meant by a name that there is not: one that is
// almost the same, or begins with it or ends like it, and is not there as well.
func meant(name string, known []string, s *flow.Shape) string {
	free := slices.DeleteFunc(slices.Clone(known), func(k string) bool { _, p := s.Member(k); return p == flow.Sure })
	if near := asl.Nearest(name, free); near != "" {
		return near
	}
	for _, k := range free {
		if strings.HasPrefix(k, name) || strings.HasPrefix(name, k) || strings.HasSuffix(k, name) {
			return k
		}
	}
	return ""
}

// spot says what managed spot training needs.
func (c *check) spot(s *flow.Shape) {
	spot, _ := s.Member("EnableManagedSpotTraining")
	stop, presence := s.Member("StoppingCondition")
	if spot == nil || spot.Value == nil || !spot.Value.Bool() || presence != flow.Sure {
		return
	}
	wait, presence := stop.Member("MaxWaitTimeInSeconds")
	if presence == flow.Absent {
		c.add(stop, "parameter StoppingCondition.MaxWaitTimeInSeconds is required with EnableManagedSpotTraining")
		return
	}
	run, _ := stop.Member("MaxRuntimeInSeconds")
	if wait.Value != nil && run != nil && run.Value != nil && value.Compare(*wait.Value, *run.Value) < 0 {
		c.add(wait, "StoppingCondition.MaxWaitTimeInSeconds must be at least MaxRuntimeInSeconds, which is %s", run.Value)
	}
}

func prefix(at string, names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, at+n)
	}
	return all
}

// placeholder is text that is filled in before the definition is used.
func placeholder(text string) bool {
	return strings.Contains(text, "${") || strings.ContainsAny(text, "<>{}")
}

func (c *check) text(t *shape, of string, s *flow.Shape, name string) {
	if s.Value == nil {
		c.parts(t, s, name)
		return
	}
	text := s.Value.Text()
	if placeholder(text) {
		return
	}
	c.length(t, s, name, utf8.RuneCountInString(text), "characters")
	switch {
	case len(t.Enum) > 0 && !slices.Contains(t.Enum, text):
		c.add(s, "%s must be one of %s, not %q", name, strings.Join(t.Enum, ", "), text)
	case t.Pattern != "" && !t.like.MatchString(text):
		c.add(s, "%s must be like %s, not %q", name, t.Pattern, text)
	case of == "subject":
		c.subject(s, name, text)
	case strings.HasSuffix(of, "InstanceType") && !strings.HasPrefix(text, "ml."):
		c.add(s, "%s must be an instance type of SageMaker, which begin with ml., not %q", name, text)
	case strings.HasSuffix(name, "S3OutputPath") && !strings.HasPrefix(text, "s3://"):
		c.add(s, "%s must be an S3 URI, as in s3://bucket/prefix/, not %q", name, text)
	case strings.HasSuffix(name, "Arn") && !strings.HasPrefix(text, "arn:"):
		c.add(s, "%s must be an ARN, as in arn:aws:…, not %q", name, text)
	}
}

// subject is what SNS asks of the subject of a message.
func (c *check) subject(s *flow.Shape, name, text string) {
	switch {
	case utf8.RuneCountInString(text) > 100:
		c.add(s, "%s must have at most 100 characters, not %d", name, utf8.RuneCountInString(text))
	case strings.ContainsAny(text, "\n\r"):
		c.add(s, "%s must be one line", name)
	case text == "":
		c.add(s, "%s must not be empty", name)
	}
}

// parts looks at what is certain of a text that is made up when the state runs:
// whether the characters of its parts may stand in a name.
func (c *check) parts(t *shape, s *flow.Shape, name string) {
	if t.Pattern == "" || !t.like.MatchString("aa") {
		return
	}
	for _, part := range s.Parts {
		for _, r := range part {
			if !t.like.MatchString("a"+string(r)+"a") && !placeholder(part) {
				c.add(s, "%s must be like %s, and this has %q in it", name, t.Pattern, r)
				return
			}
		}
	}
}

func (c *check) number(t *shape, of string, s *flow.Shape, name string) {
	if s.Value == nil || s.Value.Kind() != value.Number {
		return
	}
	n := s.Value.Float()
	least := t.Min
	if strings.HasSuffix(of, "InstanceCount") || strings.HasSuffix(of, "VolumeSizeInGB") {
		least = max(least, 1)
	}
	switch _, whole := s.Value.Int(); {
	case t.Type == "integer" && !whole:
		c.add(s, "%s must be an integer, not %s", name, s.Value)
	case least != 0 && n < float64(least):
		c.add(s, "%s must be at least %d, not %s", name, least, s.Value)
	case t.Max != 0 && n > float64(t.Max):
		c.add(s, "%s must be at most %d, not %s", name, t.Max, s.Value)
	}
}

func (c *check) length(t *shape, s *flow.Shape, name string, n int, what string) {
	switch {
	case t.Min != 0 && n < int(t.Min):
		c.add(s, "%s must have at least %d %s, not %d", name, t.Min, what, n)
	case t.Max != 0 && n > int(t.Max):
		c.add(s, "%s must have at most %d %s, not %d", name, t.Max, what, n)
	}
}

// wanted is a type in words.
func wanted(t *shape) string {
	switch t.Type {
	case "map":
		return "an object"
	case "integer":
		return "an integer"
	case "time":
		return "a time"
	}
	return t.kinds().String()
}

// shown is what is given, in words.
func shown(s *flow.Shape) string {
	if s.Value == nil || s.Value.Size() > 60 {
		return s.Kinds.String()
	}
	text := "the " + strings.TrimPrefix(strings.TrimPrefix(s.Kinds.String(), "a "), "an ") + " " + s.Value.String()
	if s.Value.Kind() == value.Number || s.Value.Kind() == value.Bool {
		return text + fmt.Sprintf(" (for text, write %q)", s.Value.String())
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
