package infra_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A template is CloudFormation that was read, with what stands for values put in
// their place.
type template struct {
	values     map[string]string // by name, such as AWS::Region or Queue.Arn
	conditions map[string]bool
	root       map[string]any
}

// read reads a template as CloudFormation would deploy it.
func read(t *testing.T, text string, values map[string]string, conditions map[string]bool) template {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	x := template{values: values, conditions: conditions}
	x.root = x.value(t, document.Content[0]).(map[string]any)
	return x
}

var placeholder = regexp.MustCompile(`\$\{(!?)([^}]+)\}`)

func (x template) lookup(name string) string {
	if value, ok := x.values[name]; ok {
		return value
	}
	if id, ok := strings.CutSuffix(name, ".Arn"); ok && strings.HasPrefix(id, "Rule") {
		return "arn:aws:events:" + x.values["AWS::Region"] + ":" + x.values["AWS::AccountId"] + ":rule/" + id
	}
	return "(" + name + ")"
}

func (x template) value(t *testing.T, n *yaml.Node) any {
	switch n.Tag {
	case "!Ref", "!GetAtt":
		return x.lookup(n.Value)
	case "!Sub":
		return placeholder.ReplaceAllStringFunc(n.Value, func(s string) string {
			m := placeholder.FindStringSubmatch(s)
			if m[1] != "" {
				return "${" + m[2] + "}"
			}
			return x.lookup(m[2])
		})
	case "!If":
		if x.conditions[n.Content[0].Value] {
			return x.value(t, n.Content[1])
		}
		return x.value(t, n.Content[2])
	case "!Not", "!Equals":
		return nil // conditions are given
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = x.value(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, x.value(t, item))
		}
		return list
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		t.Fatalf("line %d: unknown function %s", n.Line, n.Tag)
	}
	return n.Value
}

// resources are those of a type, by name, that the conditions let be.
func (x template) resources(typ string) map[string]map[string]any {
	all := map[string]map[string]any{}
	for id, r := range x.root["Resources"].(map[string]any) {
		r := r.(map[string]any)
		if when, ok := r["Condition"].(string); r["Type"] == typ && (!ok || x.conditions[when]) {
			properties, _ := r["Properties"].(map[string]any)
			all[id] = properties
		}
	}
	return all
}

// statements are those of a policy document.
func statements(document any) (all []map[string]any) {
	for _, s := range document.(map[string]any)["Statement"].([]any) {
		all = append(all, s.(map[string]any))
	}
	return all
}

// own are the statements that the daemon's own role has.
func (x template) own() (all []map[string]any) {
	for _, role := range x.resources("AWS::IAM::Role") {
		policies, _ := role["Policies"].([]any)
		for _, p := range policies {
			all = append(all, statements(p.(map[string]any)["PolicyDocument"])...)
		}
	}
	for _, p := range x.resources("AWS::IAM::ManagedPolicy") {
		if p["Roles"] != nil {
			all = append(all, statements(p["PolicyDocument"])...)
		}
	}
	return all
}

// A request is what IAM is asked about one call.
type request struct {
	action, resource string
	context          map[string][]string
}

// allowed evaluates identity policies as IAM does: nothing is allowed but what a
// statement allows, and nothing that one denies.
//
// Source: "Policy evaluation logic" of the IAM User Guide.
func allowed(all []map[string]any, r request) (bool, error) {
	ok := false
	for _, s := range all {
		for key := range s {
			if !slices.Contains([]string{"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}, key) {
				return false, fmt.Errorf("unknown element %s", key)
			}
		}
		applies := named(s, "Action", r.action, true) && named(s, "Resource", r.resource, false)
		for operator, keys := range object(s["Condition"]) {
			for key, values := range object(keys) {
				holds, err := holds(operator, r.context[strings.ToLower(key)], texts(values))
				if err != nil {
					return false, err
				}
				applies = applies && holds
			}
		}
		switch s["Effect"] {
		case "Deny":
			if applies {
				return false, nil
			}
		case "Allow":
			ok = ok || applies
		default:
			return false, fmt.Errorf("unknown effect %v", s["Effect"])
		}
	}
	return ok, nil
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func texts(v any) (all []string) {
	if list, ok := v.([]any); ok {
		for _, item := range list {
			all = append(all, fmt.Sprint(item))
		}
		return all
	}
	return []string{fmt.Sprint(v)}
}

// named reports whether a statement's element, or the one that excludes, has the
// value in it.
func named(s map[string]any, element, value string, anyCase bool) bool {
	matches := func(v any) bool {
		return slices.ContainsFunc(texts(v), func(pattern string) bool { return like(pattern, value, anyCase) })
	}
	if not, ok := s["Not"+element]; ok {
		return !matches(not)
	}
	v, ok := s[element]
	return ok && matches(v)
}

// wild makes a regular expression of a pattern that was quoted: * is any letters and ? is
// one, and there are variables for each of these letters themselves. Others have no value
// here, and what has none is like nothing.
var wild = strings.NewReplacer(`\$\{\*\}`, `\*`, `\$\{\?\}`, `\?`, `\$\{\$\}`, `\$`, `\$\{`, `\z.`, `\*`, ".*", `\?`, ".")

// like compares as IAM does.
func like(pattern, value string, anyCase bool) bool {
	quoted := wild.Replace(regexp.QuoteMeta(pattern))
	if anyCase {
		quoted = "(?i)" + quoted
	}
	return regexp.MustCompile("(?s)^" + quoted + "$").MatchString(value)
}

// holds reports whether what a request has under a key passes an operator. A key
// that it does not have passes only where the operator ends with IfExists.
func holds(operator string, have, want []string) (bool, error) {
	operator, ifExists := strings.CutSuffix(operator, "IfExists")
	quantifier, plain, set := strings.Cut(operator, ":")
	if !set {
		quantifier, plain = "ForAnyValue", operator
	}
	var match func(have, want string) bool
	switch plain {
	case "StringEquals":
		match = func(have, want string) bool { return have == want }
	case "StringLike":
		match = func(have, want string) bool { return like(want, have, false) }
	case "ArnEquals", "ArnLike":
		match = arnLike
	default:
		return false, fmt.Errorf("unknown operator %s", operator)
	}
	passes := func(have string) bool {
		return slices.ContainsFunc(want, func(want string) bool { return match(have, want) })
	}
	switch {
	case len(have) == 0:
		return ifExists || quantifier == "ForAllValues", nil
	case quantifier == "ForAnyValue":
		return slices.ContainsFunc(have, passes), nil
	case quantifier == "ForAllValues":
		return !slices.ContainsFunc(have, func(h string) bool { return !passes(h) }), nil
	}
	return false, fmt.Errorf("unknown quantifier %s", quantifier)
}

// arnLike compares the six parts of an ARN one by one.
func arnLike(have, want string) bool {
	a, b := strings.SplitN(have, ":", 6), strings.SplitN(want, ":", 6)
	if len(a) != 6 || len(b) != 6 {
		return false
	}
	for i := range a {
		if !like(b[i], a[i], false) {
			return false
		}
	}
	return true
}

// TestEvaluator shows policies to the evaluator itself.
func TestEvaluator(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		request      request
		want         bool
	}{
		{"nothing", `[]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/k"}, false},
		{"an action's case is nothing", `[{Effect: Allow, Action: S3:getobject, Resource: "*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/k"}, true},
		{"a resource's case is something", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::B/*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/k"}, false},
		{"wildcards", `[{Effect: Allow, Action: "s3:Get*", Resource: "arn:aws:s3:::b/?/*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/k/x"}, true},
		{"wildcards, not matched", `[{Effect: Allow, Action: "s3:Get*", Resource: "arn:aws:s3:::b/?/*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/kk/x"}, false},
		{"a dot is a dot", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::a.b"}]`, request{action: "s3:ListBucket", resource: "arn:aws:s3:::axb"}, false},
		{"an asterisk itself", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::b/a${*}*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/a*/x"}, true},
		{"an asterisk itself, not matched", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::b/a${*}*"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/ab/x"}, false},
		{"a variable's beginning", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::b/${$}{aws:username}"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/${aws:username}"}, true},
		{"a variable", `[{Effect: Allow, Action: "*", Resource: "arn:aws:s3:::b/${aws:username}"}]`, request{action: "s3:GetObject", resource: "arn:aws:s3:::b/${aws:username}"}, false},
		{"NotAction", `[{Effect: Allow, NotAction: "iam:*", Resource: "*"}]`, request{action: "iam:PassRole", resource: "*"}, false},
		{"NotAction, others", `[{Effect: Allow, NotAction: "iam:*", Resource: "*"}]`, request{action: "s3:GetObject", resource: "*"}, true},
		{"a denial wins", `[{Effect: Allow, Action: "*", Resource: "*"}, {Effect: Deny, Action: "s3:Put*", Resource: "*"}]`, request{action: "s3:PutObject", resource: "*"}, false},
		{"a condition", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {StringLike: {s3:prefix: ["a/*"]}}}]`, request{action: "s3:ListBucket", resource: "*", context: map[string][]string{"s3:prefix": {"a/b"}}}, true},
		{"a condition that fails", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {StringLike: {s3:prefix: ["a/*"]}}}]`, request{action: "s3:ListBucket", resource: "*", context: map[string][]string{"s3:prefix": {"b/a/"}}}, false},
		{"a condition on what is not there", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {StringEquals: {a: b}}}]`, request{action: "x:Y", resource: "*"}, false},
		{"IfExists", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {StringEqualsIfExists: {a: b}}}]`, request{action: "x:Y", resource: "*"}, true},
		{"all conditions", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {StringEquals: {a: b, c: d}}}]`, request{action: "x:Y", resource: "*", context: map[string][]string{"a": {"b"}, "c": {"e"}}}, false},
		{"ForAnyValue", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {"ForAnyValue:StringEquals": {a: [b]}}}]`, request{action: "x:Y", resource: "*", context: map[string][]string{"a": {"z", "b"}}}, true},
		{"ForAllValues", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {"ForAllValues:StringEquals": {a: [b]}}}]`, request{action: "x:Y", resource: "*", context: map[string][]string{"a": {"z", "b"}}}, false},
		{"an ARN part by part", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {ArnLike: {a: "arn:aws:events:*:1:rule/x"}}}]`, request{action: "x:Y", resource: "*", context: map[string][]string{"a": {"arn:aws:events:r:9:1:rule/x"}}}, false},
		{"an ARN", `[{Effect: Allow, Action: "*", Resource: "*", Condition: {ArnEquals: {a: "arn:aws:events:r:1:rule/x"}}}]`, request{action: "x:Y", resource: "*", context: map[string][]string{"a": {"arn:aws:events:r:1:rule/x"}}}, true},
	} {
		var list []map[string]any
		if err := yaml.Unmarshal([]byte(c.policy), &list); err != nil {
			t.Fatal(err)
		}
		if got, err := allowed(list, c.request); got != c.want || err != nil {
			t.Errorf("%s: %s %s by %s: %t (%v), want %t", c.name, c.request.action, c.request.resource, c.policy, got, err, c.want)
		}
	}
}
