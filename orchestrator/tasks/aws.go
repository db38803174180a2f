package tasks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// patience is how long a call of AWS may take with all its tries; a function's
// may take as long as functions may.
const patience = time.Minute

// An integration's own words: those of the first SDK of Java for optimized
// integrations, those of the second for aws-sdk.
type words struct {
	prefix  string // of its errors' names
	service string // in causes
	base    string // the exception of what the API model has none for
	second  bool
}

// optimized are the integrations of their own name that AWS is called for by its
// model, and the actions of each. Others have their own ways.
var optimized = map[string]words{
	"lambda":   {"Lambda", "AWSLambda", "AWSLambdaException", false},
	"sns":      {"SNS", "AmazonSNS", "AmazonSNSException", false},
	"sqs":      {"SQS", "AmazonSQS", "AmazonSQSException", false},
	"dynamodb": {"DynamoDB", "AmazonDynamoDBv2", "AmazonDynamoDBException", false},
	"events":   {"EventBridge", "AmazonEventBridge", "AmazonEventBridgeException", false},
	"states":   {"StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException", false},
}

// modelOf is the name of a service's model by that of its integration.
func modelOf(service string) string {
	return cmp.Or(map[string]string{"events": "eventbridge", "states": "sfn"}[service], service)
}

// ofSDK are the words of aws-sdk for a service.
func ofSDK(service string) words {
	name := className(wire.ID(service))
	return words{name, name, name + "Exception", true}
}

// className is how the SDK of Java writes a service's name: Secrets Manager is
// SecretsManager, DynamoDB DynamoDb, SFN Sfn.
func className(id string) string {
	var b strings.Builder
	letters := []rune(id)
	for i, r := range letters {
		upper := func(i int) bool { return i >= 0 && i < len(letters) && unicode.IsUpper(letters[i]) }
		lower := i+1 < len(letters) && unicode.IsLower(letters[i+1])
		switch {
		case r == ' ':
		case unicode.IsUpper(r) && upper(i-1) && !lower:
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// A failure is how a call did not end well.
type failure struct {
	asl.Outcome
	passing bool // the same call may well succeed later
}

// remote calls AWS for an effect. Where that did not end well, the failure says
// how.
func (t *Tasks) remote(ctx context.Context, e asl.Effect, w words, r wire.Request) (*wire.Response, *failure, error) {
	fail := func(o asl.Outcome) (*wire.Response, *failure, error) { return nil, &failure{Outcome: o}, nil }
	if t.cfg.Remote == nil { // it was allowed when the execution began
		return fail(runtimeError(e, denied(e.Resource).Error()))
	}
	limit := patience
	if r.Service == "lambda" {
		limit += longestFunction
	}
	calling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.Role, r.Millis, r.Region = e.RoleARN, !w.second, regionOf(r.Params)
	resp, err := t.cfg.Remote.Call(calling, r)
	var refused *wire.Error
	var wrong wire.ParameterError
	switch {
	case err == nil:
		t.reached(ctx, e, r.Service, nil)
		return resp, nil, nil
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.As(err, &wrong):
		return fail(runtimeError(e, wrong.Error()))
	case errors.Is(err, wire.ErrLarge):
		return fail(tooLarge)
	case errors.As(err, &refused):
		t.reached(ctx, e, r.Service, nil)
		passing := refused.Status >= 500 || refused.Status == http.StatusTooManyRequests || strings.Contains(refused.Code, "Throttl") || strings.Contains(refused.Code, "ExpiredToken")
		return nil, &failure{w.refusal(refused), passing}, nil
	}
	t.reached(ctx, e, r.Service, err)
	return nil, &failure{w.unreached(err), true}, nil
}

// reached tells the log when a service is not reached any more, and when it is again,
// however often it is called in between.
func (t *Tasks) reached(ctx context.Context, e asl.Effect, service string, err error) {
	t.mu.Lock()
	was := t.lost[service]
	if t.lost[service] = err != nil; err == nil {
		delete(t.lost, service)
	}
	t.mu.Unlock()
	switch {
	case err != nil && !was:
		t.cfg.Log.WarnContext(ctx, "aws not reached", "service", service, "execution", e.Execution, "resource", e.Resource, "err", err)
	case err == nil && was:
		t.cfg.Log.InfoContext(ctx, "aws reached again", "service", service)
	}
}

// regionOf is the region of what a call is on, where its ARN tells it; else empty, for
// that of the daemon.
func regionOf(params value.Value) string {
	for _, key := range []string{"FunctionName", "TopicArn", "TargetArn", "StateMachineArn", "ExecutionArn", "TableName", "SecretId", "KeyId"} {
		v, ok := params.Find(key)
		if !ok || v.Kind() != value.String {
			continue
		}
		if p := strings.Split(v.Text(), ":"); len(p) > 5 && p[0] == "arn" {
			return p[3]
		}
	}
	return ""
}

// tooLarge is an outcome that the language refuses for its size.
var tooLarge = asl.Outcome{Output: bytes.Repeat([]byte("0"), asl.MaxData+1)}

// exceptionName is the class that the SDKs of Java make of an error's shape.
func exceptionName(shape string) string {
	shape = strings.TrimSuffix(shape, "Fault")
	if !strings.HasSuffix(shape, "Exception") {
		shape += "Exception"
	}
	return shape
}

// refusal is what a service answered, as Step Functions tells it.
func (w words) refusal(e *wire.Error) asl.Outcome {
	name, message := w.base, cmp.Or(e.Message, "null")
	if e.Exception != "" {
		name = exceptionName(e.Exception)
	}
	o := asl.Outcome{Error: w.prefix + "." + name}
	if !w.second {
		o.Cause = fmt.Sprintf("%s (Service: %s; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)", message, w.service, e.Status, e.Code, cmp.Or(e.RequestID, "null"))
		return o
	}
	extended := ""
	if e.Extended != "" {
		extended = ", Extended Request ID: " + e.Extended
	}
	o.Cause = fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s%s) (SDK Attempt Count: %d)", message, w.service, e.Status, cmp.Or(e.RequestID, "null"), extended, e.Attempts)
	return o
}

// unreached is what an SDK of Java says where there is no answer.
func (w words) unreached(err error) asl.Outcome {
	o := asl.Outcome{Error: w.prefix + ".SdkClientException", Cause: "Unable to execute HTTP request: " + err.Error()}
	var name *net.DNSError
	var at *url.Error
	var timeout net.Error
	switch {
	case errors.As(err, &name):
		o.Cause = "Unable to execute HTTP request: " + name.Name + ": Name or service not known"
	case errors.As(err, &timeout) && timeout.Timeout():
		o.Cause = "Unable to execute HTTP request: Read timed out"
	case errors.As(err, &at):
		o.Cause = "Unable to execute HTTP request: " + at.Err.Error() // its URL may have a secret in it
		if u, parsed := url.Parse(at.URL); parsed == nil && errors.Is(err, syscall.ECONNREFUSED) {
			o.Cause = "Unable to execute HTTP request: Connect to " + u.Host + " failed: Connection refused"
		}
	case !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "HTTP"):
		o.Cause = err.Error() // credentials, a region, an endpoint
	}
	return o
}

// answered is the answer of an optimized integration: the service's fields, and
// what the SDK saw of the exchange.
func answered(resp *wire.Response, fields value.Value) asl.Outcome {
	all, first := map[string][]string{}, map[string]string{}
	for name, values := range resp.Header {
		name = cmp.Or(spelled[name], name)
		all[name], first[name] = values, values[0]
	}
	extra, _ := value.Parse(encode(map[string]any{ // what was just written is read
		"SdkHttpMetadata":     map[string]any{"AllHttpHeaders": all, "HttpHeaders": first, "HttpStatusCode": resp.Status},
		"SdkResponseMetadata": map[string]string{"RequestId": resp.RequestID},
	}))
	for i := range extra.Len() {
		fields = fields.With(extra.Key(i), extra.At(i))
	}
	return asl.Outcome{Output: fields.Append(nil)}
}

// spelled are headers as services spell them, whom Go does not follow.
var spelled = map[string]string{
	"X-Amzn-Requestid": "x-amzn-RequestId", "X-Amz-Crc32": "x-amz-crc32", "X-Amzn-Trace-Id": "X-Amzn-Trace-Id",
	"X-Amzn-Remapped-Content-Length": "x-amzn-Remapped-Content-Length",
}

// params are the effective parameters, which are JSON.
func params(e asl.Effect) value.Value {
	v, err := value.Parse(e.Input)
	if err != nil {
		panic(err) // unreachable: the language wrote them
	}
	return v
}

// direct is an optimized integration that hands on what the service answers.
func (t *Tasks) direct(ctx context.Context, e asl.Effect, service, action, host string, in value.Value) (asl.Outcome, error) {
	resp, failed, err := t.remote(ctx, e, optimized[service], wire.Request{Service: modelOf(service), Action: action, Params: in, Host: host})
	if failed != nil || err != nil {
		return first(failed), err
	}
	return answered(resp, resp.Output), nil
}

func first(f *failure) asl.Outcome {
	if f == nil {
		return asl.Outcome{}
	}
	return f.Outcome
}

// putEvents is events:putEvents. Each event tells whose it is, and one that is
// not taken fails the task.
func (t *Tasks) putEvents(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	in := params(e)
	var own []value.Value
	if x, err := t.cfg.Executor.Describe(ctx, e.Execution); err == nil {
		own = []value.Value{value.OfString(x.ARN), value.OfString(x.Machine)}
	}
	if entries, ok := in.Find("Entries"); ok && entries.Kind() == value.Array {
		all := make([]value.Value, 0, entries.Len())
		for _, entry := range entries.Items() {
			if entry.Kind() == value.Object {
				had, _ := entry.Find("Resources")
				entry = entry.With("Resources", value.OfArray(slices.Concat(had.Items(), own)))
			}
			all = append(all, entry)
		}
		in = in.With("Entries", value.OfArray(all))
	}
	resp, failed, err := t.remote(ctx, e, optimized["events"], wire.Request{Service: "eventbridge", Action: "putEvents", Params: in})
	if failed != nil || err != nil {
		return first(failed), err
	}
	if n, _ := resp.Output.Find("FailedEntryCount"); n.Float() > 0 {
		return asl.Outcome{Error: "EventBridge.FailedEntry", Cause: resp.Output.String()}, nil
	}
	return answered(resp, resp.Output), nil
}

// sdk is aws-sdk:service:action. What this daemon has it does itself: objects of
// buckets that are folders here, and Step Functions.
func (t *Tasks) sdk(ctx context.Context, e asl.Effect, call string) (asl.Outcome, error) {
	service, action, _ := strings.Cut(call, ":")
	if service == "sfn" && t.cfg.StepFunctions != nil {
		return t.ownStepFunctions(ctx, e, action)
	}
	in := params(e)
	if service == "s3" {
		if bucket, ok := in.Find("Bucket"); ok && slices.Contains(t.cfg.Buckets, bucket.Text()) {
			return t.localObject(ctx, e, action, in)
		}
	}
	resp, failed, err := t.remote(ctx, e, ofSDK(service), wire.Request{Service: service, Action: action, Params: in})
	if failed != nil || err != nil {
		return first(failed), err
	}
	return asl.Outcome{Output: resp.Output.Append(nil)}, nil
}

// ownStepFunctions is aws-sdk:sfn, answered by this daemon's own API.
func (t *Tasks) ownStepFunctions(ctx context.Context, e asl.Effect, action string) (asl.Outcome, error) {
	out, err := wire.Local(ctx, wire.Request{Service: "sfn", Action: action, Params: params(e)}, func(ctx context.Context, target string, body []byte) (int, []byte) {
		return t.cfg.StepFunctions(ctx, target, body)
	})
	var refused *wire.Error
	var wrong wire.ParameterError
	switch {
	case ctx.Err() != nil:
		return asl.Outcome{}, ctx.Err()
	case errors.As(err, &wrong):
		return runtimeError(e, wrong.Error()), nil
	case errors.As(err, &refused):
		refused.RequestID = requestID("request", e.ID)
		return ofSDK("sfn").refusal(refused), nil
	case err != nil:
		return runtimeError(e, err.Error()), nil
	}
	return asl.Outcome{Output: out.Append(nil)}, nil
}

// denied says what keeps a resource from being called.
func denied(arn string) error {
	return fmt.Errorf("nothing here stands in for resource %q, and embedded.aws is deny: with allow it goes to AWS", arn)
}

// checkRemote says whether AWS can be called for a resource, where it may.
func (t *Tasks) checkRemote(arn, service, action string) error {
	name := modelOf(service)
	if service == "aws-sdk" {
		name, action, _ = strings.Cut(action, ":")
		if name == "sfn" && t.cfg.StepFunctions != nil {
			_, known := wire.Known(name, action)
			return unknownAction(arn, name, action, known)
		}
	}
	_, known := wire.Known(name, action)
	switch {
	case service == "apigateway" && action == "invoke":
	case service == "aws-sdk" && !slices.Contains(wire.Services(), name):
		return fmt.Errorf("resource %q: aws-sdk:%s is not built yet (have %s)", arn, name, strings.Join(wire.Services(), ", "))
	case service == "aws-sdk" && !known:
		return unknownAction(arn, name, action, known)
	case service == "aws-sdk":
	case service == "dynamodb" && slices.Contains([]string{"getItem", "putItem", "updateItem", "deleteItem"}, action):
	case service == "events" && action == "putEvents":
	default:
		return notBuilt(arn)
	}
	if t.cfg.Remote == nil {
		return denied(arn)
	}
	return nil
}

func unknownAction(arn, service, action string, known bool) error {
	if known {
		return nil
	}
	err := fmt.Errorf("resource %q: aws-sdk:%s has no action %q", arn, service, action)
	if near := asl.Nearest(action, wire.Actions(service)); near != "" {
		err = fmt.Errorf("%w (have %q)", err, near)
	}
	return err
}

// raw is the body of a call of Lambda: text is taken as the text of JSON, and
// nothing is an empty object.
func raw(payload json.RawMessage) json.RawMessage {
	var text string
	switch {
	case len(payload) == 0 || string(payload) == "null":
		return json.RawMessage("{}")
	case json.Unmarshal(payload, &text) == nil:
		return json.RawMessage(text)
	}
	return payload
}

// callLambda calls a function at AWS. The outcome's output is what it returned;
// resp is nil where it failed.
func (t *Tasks) callLambda(ctx context.Context, e asl.Effect, in value.Value, payload json.RawMessage) (*wire.Response, asl.Outcome, error) {
	resp, failed, err := t.remote(ctx, e, optimized["lambda"], wire.Request{Service: "lambda", Action: "invoke", Params: in, Body: payload})
	if failed != nil || err != nil {
		return nil, first(failed), err
	}
	if resp.Header.Get("X-Amz-Function-Error") != "" {
		o, _ := functionFailure(resp.Header, resp.Body)
		return nil, o, nil
	}
	body := bytes.TrimSpace(resp.Body)
	switch {
	case len(body) == 0:
		body = []byte("{}") // an event's
	case !json.Valid(body):
		body = encode(string(resp.Body))
	}
	return resp, asl.Outcome{Output: body}, nil
}

// invokeLambda is lambda:invoke at AWS.
func (t *Tasks) invokeLambda(ctx context.Context, e asl.Effect, payload json.RawMessage) (asl.Outcome, error) {
	var members []value.Member
	for v, i := params(e), 0; i < v.Len(); i++ {
		if v.Key(i) != "Payload" {
			members = append(members, value.Member{Key: v.Key(i), Value: v.At(i)})
		}
	}
	resp, o, err := t.callLambda(ctx, e, value.OfObject(members...), payload)
	if resp == nil || err != nil {
		return o, err
	}
	out := resp.Output
	if returned, err := value.Parse(o.Output); err == nil {
		out = out.With("Payload", returned)
	}
	return answered(resp, out), nil
}
