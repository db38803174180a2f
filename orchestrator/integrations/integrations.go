// Package integrations knows the service integrations of Step Functions: which
// there are, what they take, and what they give.
//
//	service := integrations.Of(resource, parameters, nil)
//
// It promises: a function of its arguments; a complaint only about what AWS
// refuses whatever the rest of the execution does. Of what it does not know, a
// service of aws-sdk or a parameter that comes from the input, it says nothing.
//
// What services take and give is in AWS's own API models, of which the folder
// models holds what is needed; models/cut.py makes it. That of an HTTP Task, which has
// none, is here. It leaves to others where
// a task runs (package tasks) and what functions return, which is handed in.
package integrations

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
)

// A Function is what is known of a Lambda function, given what it is called
// with: what it returns, and what is wrong with the call. The result is nil
// where nothing is known of it.
type Function func(name string, payload *flow.Shape) (*flow.Shape, []flow.Complaint)

// Of is what is known of a call of a resource.
func Of(resource string, parameters *flow.Shape, function Function) flow.Service {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return flow.Service{} // no ARN, which has been reported
	}
	if function == nil {
		function = func(string, *flow.Shape) (*flow.Shape, []flow.Complaint) { return nil, nil }
	}
	if parts[2] == "lambda" {
		result, complaints := function(resource, parameters)
		return flow.Service{Result: result, Complaints: complaints}
	}
	name, action, pattern, ok := split(resource)
	if !ok {
		return flow.Service{}
	}
	c := &check{}
	c.resource(name, action, pattern)
	m := models()[name]
	op, known := operation{}, false
	if m != nil {
		op, known = m.Operations[action]
	}
	if known {
		c.value(m, op.In, parameters, "what is sent", 0)
	}
	if known && name == "http" {
		c.http(parameters)
	}
	s := flow.Service{Result: result(m, op, name, pattern)}
	if name == "lambda" && action == "invoke" && pattern == "" {
		s.Result = c.invoked(s.Result, parameters, function)
	}
	s.Complaints = c.complaints
	return s
}

// split takes the ARN of an integration apart; it is false for any other.
func split(resource string) (name, action, pattern string, ok bool) {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 || parts[2] != "states" || parts[3] != "" {
		return "", "", "", false
	}
	call := strings.Split(parts[5], ":")
	name, action = call[0], strings.Join(call[1:], ":")
	if name == "aws-sdk" && len(call) > 2 {
		name, action = name+":"+call[1], strings.Join(call[2:], ":")
	}
	action, pattern, _ = strings.Cut(action, ".")
	return name, action, pattern, true
}

// Known is false for the ARN of an integration that Step Functions does not have.
func Known(resource string) bool {
	name, action, pattern, ok := split(resource)
	if !ok {
		return true
	}
	c := &check{}
	c.resource(name, action, pattern)
	return len(c.complaints) == 0
}

// A check gathers complaints about one call.
type check struct{ complaints []flow.Complaint }

// refused is what AWS takes no definition with: an ARN of nothing, a parameter
// that there is not.
func (c *check) refused(s *flow.Shape, format string, args ...any) {
	c.complaints = append(c.complaints, flow.Complaint{Shape: s, Severity: asl.SeverityError, Message: fmt.Sprintf(format, args...)})
}

// add is what a service refuses when it is called.
func (c *check) add(s *flow.Shape, format string, args ...any) {
	c.complaints = append(c.complaints, flow.Complaint{Shape: s, Severity: asl.SeverityError, Late: true, Message: fmt.Sprintf(format, args...)})
}

// services are the optimized integrations, their actions, and the patterns that
// each has beside request and response.
func services() map[string]map[string]string {
	return map[string]map[string]string{
		"apigateway":       {"invoke": "waitForTaskToken"},
		"athena":           {"startQueryExecution": "sync", "stopQueryExecution": "", "getQueryExecution": "", "getQueryResults": ""},
		"batch":            {"submitJob": "sync"},
		"bedrock":          {"invokeModel": "waitForTaskToken", "createModelCustomizationJob": "sync"},
		"bedrockagentcore": {"invokeHarness": ""},
		"codebuild":        {"startBuild": "sync", "stopBuild": "", "batchDeleteBuilds": "", "batchGetReports": "", "startBuildBatch": "sync", "stopBuildBatch": "", "retryBuildBatch": "sync", "deleteBuildBatch": ""},
		"databrew":         {"startJobRun": "sync"},
		"dynamodb":         {"getItem": "", "putItem": "", "updateItem": "", "deleteItem": ""},
		"ecs":              {"runTask": "sync waitForTaskToken"},
		"eks":              {"createCluster": "sync", "deleteCluster": "sync", "createFargateProfile": "sync", "deleteFargateProfile": "sync", "createNodegroup": "sync", "deleteNodegroup": "sync", "call": "", "runJob": "sync"},
		"elasticmapreduce": {"createCluster": "sync", "setClusterTerminationProtection": "", "terminateCluster": "sync", "addStep": "sync", "cancelStep": "", "modifyInstanceFleetByName": "", "modifyInstanceGroupByName": ""},
		"emr-containers":   {"createVirtualCluster": "", "deleteVirtualCluster": "sync", "startJobRun": "sync"},
		"emr-serverless":   {"createApplication": "sync", "startApplication": "sync", "stopApplication": "sync", "deleteApplication": "sync", "startJobRun": "sync", "cancelJobRun": "sync"},
		"events":           {"putEvents": "waitForTaskToken"},
		"glue":             {"startJobRun": "sync"},
		"http":             {"invoke": ""},
		"lambda":           {"invoke": "waitForTaskToken"},
		"mediaconvert":     {"createJob": "sync"},
		"sagemaker": {
			"createTrainingJob": "sync", "createProcessingJob": "sync", "createTransformJob": "sync", "createHyperParameterTuningJob": "sync",
			"createLabelingJob": "sync", "createModel": "", "createEndpointConfig": "", "createEndpoint": "", "updateEndpoint": "",
			"startPipelineExecution": "sync",
		},
		"sns":    {"publish": "waitForTaskToken"},
		"sqs":    {"sendMessage": "waitForTaskToken"},
		"states": {"startExecution": "sync sync:2 waitForTaskToken"},
	}
}

// resource looks at the parts of an ARN.
func (c *check) resource(name, action, pattern string) {
	if sdk, ok := strings.CutPrefix(name, "aws-sdk:"); ok {
		c.sdk(sdk, action, pattern)
		return
	}
	all := services()
	actions, ok := all[name]
	if !ok {
		c.refused(nil, "there is no integration %s (%s; any other service is aws-sdk:…, as in arn:aws:states:::aws-sdk:%s:%s)", name, offer(name, slices.Sorted(maps.Keys(all))), name, action)
		return
	}
	patterns, ok := actions[action]
	if !ok {
		c.refused(nil, "the integration %s has no action %q (%s)", name, action, offer(action, slices.Sorted(maps.Keys(actions))))
		return
	}
	if has := strings.Fields(patterns); pattern != "" && !slices.Contains(has, pattern) {
		c.refused(nil, "%s:%s has no .%s (%s)", name, action, pattern, cmpOr(strings.Join(prefixed(has), " and "), "it is called and answers at once"))
	}
}

func prefixed(patterns []string) []string {
	var all []string
	for _, p := range patterns {
		all = append(all, "it has ."+p)
	}
	return all
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sdk looks at a call of aws-sdk.
func (c *check) sdk(name, action, pattern string) {
	if pattern != "" && pattern != "waitForTaskToken" {
		c.refused(nil, "aws-sdk integrations have no .%s; they answer at once, or wait for a task token", pattern)
	}
	if first := action[:min(1, len(action))]; first != strings.ToLower(first) {
		c.refused(nil, "actions of aws-sdk begin with a small letter: %s%s", strings.ToLower(first), action[1:])
		return
	}
	m := models()["aws-sdk:"+name]
	if m == nil || slices.Contains(m.Actions, action) {
		return
	}
	if near := asl.Nearest(action, m.Actions); near != "" {
		c.refused(nil, "aws-sdk:%s has no action %q (have %q)", name, action, near)
	}
}

// offer is what a message names instead.
func offer(name string, have []string) string {
	if near := asl.Nearest(name, have); near != "" && len(name) > 3 {
		return fmt.Sprintf("have %q", near)
	}
	if len(have) > 8 {
		return "have " + strings.Join(have[:8], ", ") + ", …"
	}
	return "have " + strings.Join(have, ", ")
}

// invoked is the answer of lambda:invoke, with what the function returns.
func (c *check) invoked(answer, parameters *flow.Shape, function Function) *flow.Shape {
	name, _ := parameters.Member("FunctionName")
	payload, presence := parameters.Member("Payload")
	if presence == flow.Absent {
		payload = flow.Record()
	}
	if name == nil || name.Value == nil {
		return answer
	}
	returned, complaints := function(name.Value.Text(), payload)
	c.complaints = append(c.complaints, complaints...)
	if returned == nil {
		return answer
	}
	fields := slices.Clone(answer.Fields)
	for i, f := range fields {
		if f.Name == "Payload" {
			fields[i].Shape = returned
		}
	}
	return flow.Record(fields...)
}
