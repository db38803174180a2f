package tasks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// ErrMissing is in what Check says of a parameter that a state does not send.
var ErrMissing = errors.New("is required")

// Check says, before anything runs, whether there is something to call for a
// Task state: an integration that is built, the parameters that it requires,
// and a mapping for what they name. A name that comes from the input is only
// known when the state runs.
func (t *Tasks) Check(r asl.Resource) error {
	if err := t.checkResource(r); err != nil {
		return fmt.Errorf("state %q: %w", r.State, err)
	}
	return nil
}

func (t *Tasks) checkResource(r asl.Resource) error {
	service, action := integration(r.ARN)
	if plain, ok := strings.CutSuffix(action, ".waitForTaskToken"); ok {
		switch service {
		case "sagemaker":
			return fmt.Errorf("resource %q: sagemaker has no .waitForTaskToken (have .sync)", r.ARN)
		case "http":
			return fmt.Errorf("resource %q: http:invoke has no .waitForTaskToken: it answers at once", r.ARN)
		}
		action = plain
	}
	switch service + ":" + strings.TrimSuffix(action, ".sync") {
	case "lambda:function":
		if _, ok := t.lookup(r.ARN); !ok && t.cfg.Remote == nil {
			return unmapped("function", r.ARN, "functions", functionNames(r.ARN)[0])
		}
		return nil
	case "lambda:invoke":
		if action != "invoke" {
			return notBuilt(r.ARN)
		}
		if err := invokeFields.require(r); err != nil {
			return err
		}
		if p, ok := r.Parameter("FunctionName"); ok && p.Text != "" {
			if _, ok := t.lookup(p.Text); !ok && t.cfg.Remote == nil {
				return unmapped("function", p.Text, "functions", functionNames(p.Text)[0])
			}
		}
		return nil
	case "sagemaker:createTrainingJob":
		if err := training.fields.require(r); err != nil {
			return err
		}
		return t.checkImage(r, "AlgorithmSpecification", "TrainingImage")
	case "sagemaker:createProcessingJob":
		if err := processing.fields.require(r); err != nil {
			return err
		}
		return t.checkImage(r, "AppSpecification", "ImageUri")
	case "sns:publish":
		if action != "publish" {
			return notBuilt(r.ARN)
		}
		if err := publishFields.require(r); err != nil {
			return err
		}
		for _, key := range []string{"TopicArn", "TargetArn"} {
			if p, ok := r.Parameter(key); ok && p.Text != "" {
				if _, ok := match(t.cfg.Topics, topicNames(p.Text)...); !ok && t.cfg.Remote == nil {
					return unmapped("topic", p.Text, "topics", topicNames(p.Text)[0])
				}
			}
		}
		return nil
	case "sqs:sendMessage":
		if action != "sendMessage" {
			return notBuilt(r.ARN)
		}
		if err := sendMessageFields.require(r); err != nil {
			return err
		}
		if p, ok := r.Parameter("QueueUrl"); ok && p.Text != "" {
			if _, ok := match(t.cfg.Topics, queueNames(p.Text)...); !ok && t.cfg.Remote == nil {
				return unmapped("queue", p.Text, "topics", queueNames(p.Text)[0])
			}
		}
		return nil
	case "states:startExecution", "states:startExecution.sync:2":
		if err := startExecutionFields.require(r); err != nil {
			return err
		}
		if p, ok := r.Parameter("StateMachineArn"); ok && p.Text != "" {
			if _, ok := match(t.cfg.Machines(), machineNames(p.Text)...); !ok && t.cfg.Remote == nil {
				return unmapped("state machine", p.Text, "stateMachines", machineNames(p.Text)[0])
			}
		}
		return nil
	case "http:invoke":
		if action != "invoke" {
			return notBuilt(r.ARN)
		}
		return t.checkConnection(r)
	}
	if bucket, ok := r.Parameter("Bucket"); ok && service == "aws-sdk" && strings.HasPrefix(action, "s3:") && slices.Contains(t.cfg.Buckets, bucket.Text) {
		return nil
	}
	return t.checkRemote(r.ARN, service, action)
}

// Refuses says, in the words of Step Functions, that a task cannot be begun with
// its parameters: nothing is scheduled then. Parameters are looked at again when
// the task is done.
func (t *Tasks) Refuses(e asl.Effect) string {
	service, action := integration(e.Resource)
	action = strings.TrimSuffix(action, ".waitForTaskToken")
	problem := ""
	switch service + ":" + action {
	case "lambda:function": // takes anything
	case "lambda:invoke":
		problem = invokeFields.check(e.Input)
	case "sns:publish":
		problem = publishFields.check(e.Input)
	case "sqs:sendMessage":
		problem = sendMessageFields.check(e.Input)
	case "states:startExecution", "states:startExecution.sync", "states:startExecution.sync:2":
		problem = startExecutionFields.check(e.Input)
	case "sagemaker:createTrainingJob", "sagemaker:createTrainingJob.sync":
		problem = training.fields.check(e.Input)
	case "sagemaker:createProcessingJob", "sagemaker:createProcessingJob.sync":
		problem = processing.fields.check(e.Input)
	case "apigateway:invoke":
		_, problem = checkAPI(e.Input)
	case "http:invoke":
		_, problem = checkHTTP(e)
	default:
		if service == "aws-sdk" {
			service, action, _ = strings.Cut(action, ":")
		}
		if err := wire.Check(modelOf(service), action, params(e)); err != nil {
			problem = err.Error()
		}
	}
	if problem == "" {
		return ""
	}
	return cannotStart(e, problem)
}

// cannotStart is how Step Functions refuses to begin a task at all.
func cannotStart(e asl.Effect, problem string) string {
	return fmt.Sprintf("The Parameters '%s' could not be used to start the Task: [%s]", e.Input, problem)
}

// Builtin is the name of the function of this program that stands for a Lambda
// function, where one does.
func (t *Tasks) Builtin(function string) (string, bool) {
	f, ok := t.lookup(function)
	return f.Builtin, ok && f.Builtin != ""
}

func (t *Tasks) checkImage(r asl.Resource, keys ...string) error {
	p, ok := r.Parameter(keys...)
	if !ok || p.Text == "" {
		return nil
	}
	if _, ok := match(t.cfg.Images, imageNames(p.Text)...); !ok {
		return unmapped("image", p.Text, "images", imageNames(p.Text)[0])
	}
	return nil
}

// require says which parameter a state does not send although the service
// requires it. Elements of lists are looked at when the state runs.
func (fs fields) require(r asl.Resource) error {
	for _, f := range fs {
		if !f.required || strings.Contains(f.name, "[]") {
			continue
		}
		keys := strings.Split(f.name, ".")
		if len(keys) > 1 {
			if _, ok := r.Parameter(keys[:len(keys)-1]...); !ok {
				continue // the problem of what holds it
			}
		}
		if _, ok := r.Parameter(keys...); !ok {
			return fmt.Errorf("parameter %s %w by %s", f.name, ErrMissing, r.ARN)
		}
	}
	return nil
}

// unmapped says what to add to the settings for something they do not name.
func unmapped(noun, name, section, key string) error {
	return fmt.Errorf("%s %q is not mapped here: add %q under embedded.%s", noun, name, key, section)
}

// notBuilt says which resource nothing here can do.
func notBuilt(arn string) error {
	return fmt.Errorf("resource %q is not built yet (have lambda:invoke, a Lambda function's ARN, sagemaker:createTrainingJob[.sync], sagemaker:createProcessingJob[.sync], states:startExecution[.sync[:2]], sns:publish, sqs:sendMessage, events:putEvents, apigateway:invoke, http:invoke, dynamodb:getItem, putItem, updateItem and deleteItem, aws-sdk, and .waitForTaskToken of those that SageMaker does not run)", arn)
}
