package sfnapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator"
)

const (
	account  = "arn:aws:states:us-east-1:111111111111:"
	role     = "arn:aws:iam::111111111111:role/r"
	pass     = `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`
	waits    = `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":3600,"End":true}}}`
	fails    = `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"E","Cause":"c"}}}`
	activity = `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"` + account + `activity:work","End":true}}}`
)

func (s *service) create(name, definition string) {
	s.t.Helper()
	s.must("CreateStateMachine", object{"name": name, "definition": definition, "roleArn": role})
}

func (s *service) begin(machine, name, input string) string {
	s.t.Helper()
	return text(s.must("StartExecution", object{"stateMachineArn": account + "stateMachine:" + machine, "name": name, "input": input})["executionArn"])
}

// ended waits for the end of an execution.
func (s *service) ended(arn string) map[string]any {
	s.t.Helper()
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(2 * time.Millisecond) {
		if x := s.must("DescribeExecution", object{"executionArn": arn}); x["status"] != "RUNNING" {
			return x
		}
	}
	s.t.Fatalf("%s does not end", arn)
	return nil
}

// TestRefusals reads as what a wrong call is answered with.
func TestRefusals(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", pass)
	s.create("w", waits)
	open := s.begin("w", "open", `{"a": 1}`)
	done := s.begin("m", "done", `{}`)
	s.ended(done)
	machine := account + "stateMachine:m"
	many := []object{}
	for i := range 51 {
		many = append(many, object{"key": fmt.Sprint("k", i), "value": ""})
	}
	for _, c := range []struct {
		action string
		params any
		want   string
	}{
		{"NoSuchThing", object{}, "400 UnknownOperationException: "},
		{"StartExecution", []int{1}, "400 SerializationException: Start of list found where not expected"},
		{"StartExecution", object{"stateMachineArn": 5}, "400 SerializationException: NUMBER_VALUE can not be converted to a String"},
		{"TagResource", object{"resourceArn": machine, "tags": "x"}, "400 SerializationException: Expected list or null"},
		{"CreateStateMachine", object{"loggingConfiguration": "x"}, "400 SerializationException: Expected null"},
		{"ListExecutions", object{"maxResults": "1"}, "400 SerializationException: STRING_VALUE can not be converted to an Integer"},
		{"StartExecution", object{}, "400 ValidationException: 1 validation error detected: Value null at 'stateMachineArn' failed to satisfy constraint: Member must not be null"},
		{"SendTaskSuccess", object{"taskToken": "x"}, "400 ValidationException: 1 validation error detected: Value at 'output' failed to satisfy constraint: Member must not be null"},
		{"SendTaskHeartbeat", object{"taskToken": nil}, "400 ValidationException: 1 validation error detected: Value null at 'taskToken' failed to satisfy constraint: Member must not be null"},
		{"CreateStateMachine", object{"name": ""}, "400 ValidationException: 3 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
			"Value at 'definition' failed to satisfy constraint: Member must not be null; Value null at 'roleArn' failed to satisfy constraint: Member must not be null"},
		{"StartExecution", object{"stateMachineArn": machine, "input": `"` + strings.Repeat("é", 131_072) + `"`}, "400 ValidationException: 1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have size less than or equal to 262144 bytes in UTF-8 encoding"},
		{"StartExecution", object{"stateMachineArn": "m", "name": strings.Repeat("n", 81)}, "400 InvalidArn: Invalid Arn: 'Invalid ARN prefix: m'"},
		{"StartExecution", object{"stateMachineArn": machine + "x", "name": strings.Repeat("n", 81)}, "400 ValidationException: 1 validation error detected: Value '" + strings.Repeat("n", 81) + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 80"},
		{"StartExecution", object{"stateMachineArn": machine + "x", "name": "a b", "input": "{"}, "400 StateMachineDoesNotExist: State Machine Does Not Exist: '" + machine + "x'"},
		{"StartExecution", object{"stateMachineArn": machine, "name": "a b", "input": "{"}, "400 InvalidName: Invalid Name: 'a b'"},
		{"StartExecution", object{"stateMachineArn": account + "stateMachine:w", "name": "open", "input": `{"a": 2}`}, "400 ExecutionAlreadyExists: Execution Already Exists: '" + open + "'"},
		{"StartExecution", object{"stateMachineArn": machine, "name": "done", "input": `{}`}, "400 ExecutionAlreadyExists: Execution Already Exists: '" + done + "'"},
		{"StartExecution", object{"stateMachineArn": machine, "name": "a b"}, "400 InvalidName: Invalid Name: 'a b'"},
		{"CreateActivity", object{"name": "a\ufffe"}, "400 InvalidName: Invalid Name: 'a\ufffe'"},
		{"CreateStateMachine", object{"name": "n", "definition": pass, "roleArn": "arn:aws:sqs:us-east-1:1:role/r"}, "400 InvalidArn: Invalid Role Arn: 'arn:aws:sqs:us-east-1:1:role/r'"},
		{"StartExecution", object{"stateMachineArn": machine + ":7"}, "400 StateMachineDoesNotExist: State Machine Does Not Exist: '" + machine + ":7'"},
		{"CreateStateMachine", object{"name": "m", "definition": waits, "roleArn": role}, "400 StateMachineAlreadyExists: State Machine Already Exists: '" + machine + "'"},
		{"CreateStateMachine", object{"name": "n", "definition": pass, "roleArn": role, "type": "FAST"}, "400 ValidationException: 1 validation error detected: Value 'FAST' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"B","States":{"A":{"Type":"Pass","End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /StartAt'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"Z"}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: Z at /States/A/Next, MISSING_END_STATE: Workflow has no terminal state at null'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"A","States":{"A":{"Type":"Succeed"},"B":{"Type":"Pass","Next":"C"},"C":{"Type":"Pass","Next":"A"}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$","StringMatches":"x"}],"Default":"P"},"P":{"Type":"Parallel","Branches":[{}],"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: [Next] at /States/C/Choices[0], SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /States/P/Branches[0]'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["E"]}],"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: States.ALL must appear alone and at end of list at /States/T/Retry[0]/ErrorEquals[0]'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.sync","End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::lambda:invoke.sync is not recognized. The value is not a valid resource ARN, or the resource is not available in this region. at /States/T/Resource'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:s3:getObjec","End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::aws-sdk:s3:getObjec is not recognized. The value is not a valid resource ARN, or the resource is not available in this region. at /States/T/Resource'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Parameters":{"QueueUrl":"q","MessageBody":"b","Delay":1},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The field 'Delay' is not supported by Step Functions at /States/T/Parameters'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"QueryLanguage":"JSONata","StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Arguments":{"QueueUrl":"q"},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The field 'MessageBody' is required but was missing at /States/T/Arguments'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"M","States":{"M":{"Type":"Map","ItemProcessor":{"StartAt":"M","States":{"M":{"Type":"Succeed"}}},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'DUPLICATE_STATE_NAME: Duplicate State name: M at /States/M/ItemProcessor/States/M'"},
		{"CreateStateMachine", object{"name": "n", "definition": `null`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"A"},"B":{"Type":"Pass","Next":"A"}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'MISSING_END_STATE: Workflow has no terminal state at null'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"Next":"X"}],"Default":"Y"},"S":{"Type":"Succeed"}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/A/Choices[0]/Next, MISSING_TRANSITION_TARGET: Missing 'Next' target: Y at /States/A/Default, MISSING_TRANSITION_TARGET: State \"S\" is not reachable. at /States/S'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"P","States":{"P":{"Type":"Pass","Output":1,"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage at /States/P'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"TimeoutSeconds":0,"StartAt":"P","States":{"P":{"Type":"Wait","Seconds":100000000,"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Minimum value is 1 at /TimeoutSeconds, SCHEMA_VALIDATION_FAILED: Maximum value is 99999999 at /States/P/Seconds'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"M","States":{"M":{"Type":"Map","Label":"l","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"EXPRESS"},"StartAt":"P","States":{"P":{"Type":"Succeed"}}},"Next":"N"},
			"N":{"Type":"Map","Label":"l","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"EXPRESS"},"StartAt":"Q","States":{"Q":{"Type":"Succeed"}}},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'DUPLICATE_LABEL_NAME: Duplicate Label name: l at /States/N/Label'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"M","States":{"M":{"Type":"Pass","TimeoutSeconds":1,"Catch":[],"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Field 'TimeoutSeconds' is not supported at /States/M, SCHEMA_VALIDATION_FAILED: Field 'Catch' is not supported at /States/M'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"E","QueryLanguage":"JSONata","States":{"E":{"Type":"Pass","Output":{"v":"{% phone %}","w":"{% 1 + %}","x":"{% $states.errorOutput %}"},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'UNSUPPORTED_JSONATA_EXPRESSION: Reference to 'phone' at the top level is not supported. at /States/E/Output/v, INVALID_JSONATA_EXPRESSION: Unexpected end of expression at /States/E/Output/w, UNSUPPORTED_JSONATA_EXPRESSION: Field '$states.errorOutput' does not exist. at /States/E/Output/x'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"P","QueryLanguage":"JSONata","States":{"P":{"Type":"Pass","QueryLanguage":"JSONPath","End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/P'"},
		{"CreateStateMachine", object{"name": "n", "definition": `{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":-1,"MaxConcurrencyPath":"$$.x","ItemProcessor":{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}},"End":true}}}`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: There should only be one of the following fields: [MaxConcurrency, MaxConcurrencyPath] at /States/M, SCHEMA_VALIDATION_FAILED: Minimum value is 0 at /States/M/MaxConcurrency, SCHEMA_VALIDATION_FAILED: Value is not a Reference Path at /States/M/MaxConcurrencyPath'"},
		{"CreateStateMachine", object{"name": "n", "definition": `"` + strings.Repeat("[", 2000) + `"`, "roleArn": role}, "400 InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object'"},
		{"StartExecution", object{"stateMachineArn": machine, "input": strings.Repeat("[", 10000) + strings.Repeat("]", 10000)}, "400 InvalidExecutionInput: Invalid State Machine Execution Input: 'Document nesting depth (1001) exceeds the maximum allowed (1000)'"},
		{"UpdateStateMachine", object{"stateMachineArn": machine}, "400 MissingRequiredParameter: Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified"},
		{"RedriveExecution", object{"executionArn": done}, "400 ExecutionNotRedrivable: Execution is SUCCEEDED and cannot be redriven"},
		{"SendTaskSuccess", object{"taskToken": "x", "output": "{}"}, "400 InvalidToken: Invalid Token: 'Invalid token'"},
		{"SendTaskSuccess", object{"taskToken": "x", "output": "{"}, "400 InvalidToken: Invalid Token: 'Invalid token'"},
		{"SendTaskSuccess", object{"taskToken": "eC95", "output": "{"}, "400 InvalidOutput: Invalid Output: 'Unexpected end-of-input: expected close marker for Object (start marker at [Source: (String)\"{\"; line: 1, column: 1])'"},
		{"TagResource", object{"resourceArn": machine, "tags": many}, "400 TooManyTags: A resource may have at most 50 tags"},
		{"DescribeMapRun", object{"mapRunArn": account + "mapRun:m/x:1"}, "400 ResourceNotFound: Resource not found: '" + account + "mapRun:m/x:1'"},
		{"CreateStateMachineAlias", object{"name": "1", "routingConfiguration": []object{{"stateMachineVersionArn": machine + ":1", "weight": 100}}}, "400 ValidationException: 1 validation error detected: Value '1' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?=.*[a-zA-Z_\\-\\.])[a-zA-Z0-9_\\-\\.]+$"},
		{"CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{{"stateMachineVersionArn": machine, "weight": 100}}}, "400 ValidationException: Routing configuration must contain state machine version ARNs. Received: [" + machine + "]"},
		{"CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{{"stateMachineVersionArn": machine + ":1", "weight": 50}, {"stateMachineVersionArn": machine + ":1", "weight": 50}}},
			"400 ValidationException: Routing configuration must contain distinct state machine version ARNs. Received: [" + machine + ":1, " + machine + ":1]"},
		{"CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{{"stateMachineVersionArn": machine + ":9", "weight": 100}}}, "400 ResourceNotFound: Request references a resource that does not exist."},
		{"UpdateStateMachineAlias", object{"stateMachineAliasArn": machine + "x:a", "description": "d"}, "400 ResourceNotFound: Request references a resource that does not exist."},
		{"UpdateStateMachineAlias", object{"stateMachineAliasArn": machine + ":a"}, "400 ValidationException: Either the description or the routing configuration must be specified"},
		{"DeleteStateMachine", object{"stateMachineArn": machine + "/label"}, "400 ValidationException: The state machine ARN must not have the label of a Map: '" + machine + "/label'"},
		{"StartExecution", object{"stateMachineArn": machine + "/label"}, "400 ValidationException: The state machine ARN must not have the label of a Map: '" + machine + "/label'"},
		{"DescribeStateMachine", object{"stateMachineArn": machine + "/label"}, "400 StateMachineDoesNotExist: State Machine Does Not Exist: '" + machine + "/label'"},
		{"ListExecutions", object{"stateMachineArn": machine, "statusFilter": "PENDING_REDRIVE"}, "400 ValidationException: PENDING_REDRIVE can be filtered for with mapRunArn only"},
		{"ListExecutions", object{}, "400 ValidationException: Must provide a StateMachine ARN or MapRun ARN"},
		{"ListExecutions", object{"stateMachineArn": machine, "mapRunArn": account + "mapRun:m/x:1"}, "400 ValidationException: Must specify exactly one of stateMachineArn or mapRunArn"},
		{"ListStateMachines", object{"nextToken": "x"}, "400 InvalidToken: Invalid Token: 'Invalid token'"},
		{"DescribeExecution", object{"executionArn": machine}, "400 InvalidArn: Invalid Arn: 'Resource type not valid in this context: stateMachine'"},
		{"StartExecution", object{"stateMachineArn": account + "activity:m"}, "400 InvalidArn: Invalid Arn: 'Resource type not valid in this context: activity'"},
		{"TagResource", object{"resourceArn": machine, "tags": []object{{"key": "aws:x", "value": ""}}}, "400 ValidationException: aws: prefixed tag key names are not allowed for external use: aws:x"},
		{"TagResource", object{"resourceArn": machine, "tags": []object{{"key": "a!", "value": ""}}}, "400 ValidationException: Tags may only contain Unicode letters, digits, white space, or these symbols: _ . : / = + - @: a!"},
		{"UntagResource", object{"resourceArn": machine, "tagKeys": []string{"a", ""}}, "400 ValidationException: 1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{{"stateMachineVersionArn": machine + ":1", "weight": 50}}}, "400 ValidationException: Sum of routing configuration weights must equal 100. Received: [50]"},
		{"TagResource", object{"resourceArn": machine, "tags": strings.Repeat("x", 3<<20)}, "413 RequestEntityTooLarge: Request body exceeds 2097152 bytes"},
	} {
		status, out := s.call(c.action, c.params)
		if got := fmt.Sprintf("%d %v: %v", status, out["__type"], out["message"]); got != c.want {
			t.Errorf("%s %.100v\n got %s\nwant %s", c.action, c.params, got, c.want)
		}
	}
	if again := s.begin("w", "open", `{ "a":1 }`); again != open {
		t.Errorf("the same start gives %s, want %s", again, open)
	}
}

// TestWorkerGone has workers ask for a task who are gone before they are answered: it is
// for the one that is there.
func TestWorkerGone(t *testing.T) {
	s := serve(t, newJournal(t))
	s.must("CreateActivity", object{"name": "work"})
	s.create("m", activity)
	s.begin("m", "x", `{"n":1}`)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 20 {
		req := httptest.NewRequestWithContext(gone, http.MethodPost, "/", strings.NewReader(`{"activityArn":"`+account+`activity:work"}`))
		req.Header.Set("X-Amz-Target", "AWSStepFunctions.GetActivityTask")
		req.Header.Set("Content-Type", "application/x-amz-json-1.0")
		s.api.ServeHTTP(httptest.NewRecorder(), req)
	}
	if task := s.must("GetActivityTask", object{"activityArn": account + "activity:work"}); task["input"] != `{"n":1}` {
		t.Errorf("the worker that is there is given %v; want the task", task)
	}
}

// TestRestart shows what a restart keeps: everything.
func TestRestart(t *testing.T) {
	j := newJournal(t)
	s := serve(t, j)
	s.create("m", activity)
	s.must("CreateActivity", object{"name": "work", "tags": []object{{"key": "k", "value": "v"}}})
	s.must("PublishStateMachineVersion", object{"stateMachineArn": account + "stateMachine:m"})
	s.must("CreateStateMachineAlias", object{"name": "live", "routingConfiguration": []object{{"stateMachineVersionArn": account + "stateMachine:m:1", "weight": 100}}})
	s.must("UpdateStateMachine", object{"stateMachineArn": account + "stateMachine:m", "definition": pass})
	taken := s.begin("m:live", "taken", `{"n":1}`)
	token := s.must("GetActivityTask", object{"activityArn": account + "activity:work"})["taskToken"]
	waiting := s.begin("m:1", "waiting", `{"n":2}`)
	calls := []struct {
		action string
		params object
	}{
		{"DescribeStateMachine", object{"stateMachineArn": account + "stateMachine:m"}},
		{"DescribeStateMachine", object{"stateMachineArn": account + "stateMachine:m:1"}},
		{"ListStateMachineVersions", object{"stateMachineArn": account + "stateMachine:m"}},
		{"DescribeStateMachineAlias", object{"stateMachineAliasArn": account + "stateMachine:m:live"}},
		{"ListTagsForResource", object{"resourceArn": account + "activity:work"}},
		{"DescribeExecution", object{"executionArn": taken}},
		{"DescribeStateMachineForExecution", object{"executionArn": taken}},
		{"ListExecutions", object{"stateMachineArn": account + "stateMachine:m"}},
		{"GetExecutionHistory", object{"executionArn": taken}},
	}
	var before []string
	for _, c := range calls {
		data, _ := json.Marshal(s.must(c.action, c.params))
		before = append(before, string(data))
	}
	s.stop()
	s = serve(t, j)
	for i, c := range calls {
		if data, _ := json.Marshal(s.must(c.action, c.params)); string(data) != before[i] {
			t.Errorf("%s after a restart:\n got %s\nwant %s", c.action, data, before[i])
		}
	}
	// The task that a worker has is not given to another.
	task := s.must("GetActivityTask", object{"activityArn": account + "activity:work"})
	if task["input"] != `{"n":2}` {
		t.Errorf("after a restart a worker gets %v, want the task that waits", task)
	}
	s.must("SendTaskSuccess", object{"taskToken": token, "output": `"a"`})
	s.must("SendTaskFailure", object{"taskToken": task["taskToken"], "error": "E", "cause": "why"})
	if x := s.ended(taken); x["output"] != `"a"` {
		t.Errorf("%v", x)
	}
	if x := s.ended(waiting); x["error"] != "E" || x["redriveStatus"] != "REDRIVABLE" {
		t.Errorf("%v", x)
	}
	if status, out := s.call("SendTaskSuccess", object{"taskToken": token, "output": `1`}); out["__type"] != "TaskTimedOut" {
		t.Errorf("a token that was used: %d %v", status, out)
	}
}

// TestDelete shows a machine that is deleted while it runs, and another of its
// name.
func TestDelete(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", waits)
	machine := object{"stateMachineArn": account + "stateMachine:m"}
	x := s.begin("m", "x", "{}")
	s.must("DeleteStateMachine", machine)
	if m := s.must("DescribeStateMachine", machine); m["status"] != "DELETING" {
		t.Errorf("status %v, want DELETING", m["status"])
	}
	if _, out := s.call("StartExecution", machine); out["__type"] != "StateMachineDeleting" {
		t.Errorf("a start is answered %v", out)
	}
	s.must("StopExecution", object{"executionArn": x, "error": "E", "cause": "enough"})
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, out := s.call("DescribeStateMachine", machine); out["__type"] == "StateMachineDoesNotExist" {
			break
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatal("it is not deleted though nothing runs")
		}
	}
	s.create("m", pass)
	if list := s.must("ListExecutions", machine)["executions"].([]any); len(list) > 0 {
		t.Errorf("a new machine has the executions %v", list)
	}
	if x := s.ended(s.begin("m", "x", "{}")); x["status"] != "SUCCEEDED" {
		t.Errorf("an execution of a name that one of the old machine had: %v", x)
	}
}

// TestDeleteAfterStop deletes at once what has nothing that still runs, so that the name
// is free.
func TestDeleteAfterStop(t *testing.T) {
	s := serve(t, newJournal(t))
	for range 50 {
		s.create("m", waits)
		s.must("StopExecution", object{"executionArn": s.begin("m", "x", "{}")})
		s.must("DeleteStateMachine", object{"stateMachineArn": account + "stateMachine:m"})
	}
}

// TestDeleteEnds ends the executions of a machine that is deleted when they make their
// next step, and not before.
func TestDeleteEnds(t *testing.T) {
	s := serve(t, newJournal(t))
	s.must("CreateActivity", object{"name": "work"})
	s.create("m", `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"`+account+`activity:work","Next":"B"},"B":{"Type":"Wait","Seconds":3600,"End":true}}}`)
	x := s.begin("m", "x", "{}")
	token := s.must("GetActivityTask", object{"activityArn": account + "activity:work"})["taskToken"]
	s.must("DeleteStateMachine", object{"stateMachineArn": account + "stateMachine:m"})
	out := s.must("DescribeExecution", object{"executionArn": x})
	if out["status"] != "RUNNING" || out["redriveStatusReason"] != "State machine is in DELETING status" {
		t.Errorf("before its next step the execution is %v", out)
	}
	s.must("SendTaskSuccess", object{"taskToken": token, "output": "{}"})
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		_, out := s.call("DescribeExecution", object{"executionArn": x})
		if out["status"] == "ABORTED" || out["__type"] == "ExecutionDoesNotExist" { // with its machine
			return
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("after it, %v", out)
		}
	}
}

// TestRedriveTokens redrives once for each client token.
func TestRedriveTokens(t *testing.T) {
	j := newJournal(t)
	s := serve(t, j)
	s.create("m", fails)
	x := s.begin("m", "x", "{}")
	s.ended(x)
	redrive := func(token string) any {
		t.Helper()
		return s.must("RedriveExecution", object{"executionArn": x, "clientToken": token})["redriveDate"]
	}
	first := redrive("a")
	s.ended(x)
	second := redrive("b")
	s.ended(x)
	s.stop()
	s = serve(t, j)
	redrive("a")
	if again := redrive("b"); again != second {
		t.Errorf("the same token is answered %v, then %v", second, again)
	}
	if n := s.ended(x)["redriveCount"]; text(n) != "2" {
		t.Errorf("redriven %v times by two tokens, at %v and %v", n, first, second)
	}
	for i := range 10 {
		redrive(fmt.Sprint("c", i))
		s.ended(x)
	}
	redrive("b") // the last ten are known
	if n := s.ended(x)["redriveCount"]; text(n) != "13" {
		t.Errorf("redriven %v times by 13 tokens, of which ten are known", n)
	}
}

// TestSameAgain creates what is there: the same is it, another is refused.
func TestSameAgain(t *testing.T) {
	s := serve(t, newJournal(t))
	group := object{"destinations": []object{{"cloudWatchLogsLogGroup": object{"logGroupArn": "arn:aws:logs:us-east-1:111111111111:log-group:g:*"}}}, "level": "ALL"}
	key := object{"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "alias/k"}
	machine := object{"name": "m", "definition": pass, "roleArn": role, "publish": true, "versionDescription": "one"}
	made := s.must("CreateStateMachine", machine)
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"roleArn", role + "2", ""},
		{"tags", []object{{"key": "a", "value": "b"}}, ""},
		{"type", "STANDARD", ""},
		{"loggingConfiguration", object{"includeExecutionData": false, "level": "OFF"}, ""},
		{"tracingConfiguration", object{"enabled": false}, ""},
		{"encryptionConfiguration", object{"type": "AWS_OWNED_KEY"}, ""},
		{"definition", pass + " ", "StateMachineAlreadyExists"},
		{"type", "EXPRESS", "StateMachineAlreadyExists"},
		{"loggingConfiguration", group, "StateMachineAlreadyExists"},
		{"tracingConfiguration", object{"enabled": true}, "StateMachineAlreadyExists"},
		{"encryptionConfiguration", key, "StateMachineAlreadyExists"},
		{"versionDescription", "two", "StateMachineAlreadyExists"},
		{"encryptionConfiguration", object{"type": "CUSTOMER_MANAGED_KMS_KEY"}, "InvalidEncryptionConfiguration"},
		{"encryptionConfiguration", object{"type": "AWS_OWNED_KEY", "kmsKeyId": "k"}, "InvalidEncryptionConfiguration"},
	} {
		again := maps.Clone(machine)
		again[c.name] = c.v
		_, out := s.call("CreateStateMachine", again)
		if c.want == "" && !reflect.DeepEqual(out, made) || c.want != "" && out["__type"] != c.want {
			t.Errorf("%s %v: %v, want %s %v", c.name, c.v, out, c.want, made)
		}
	}
	act := s.must("CreateActivity", object{"name": "a", "encryptionConfiguration": key})
	if again := s.must("CreateActivity", object{"name": "a", "encryptionConfiguration": key, "tags": []object{{"key": "k", "value": "v"}}}); again["creationDate"] != act["creationDate"] {
		t.Errorf("%v, then %v", act, again)
	}
	if _, out := s.call("CreateActivity", object{"name": "a"}); out["__type"] != "ActivityAlreadyExists" {
		t.Errorf("of another key: %v", out)
	}
	if got := s.must("DescribeActivity", object{"activityArn": account + "activity:a"})["encryptionConfiguration"]; text(got) != "map[kmsKeyId:alias/k type:CUSTOMER_MANAGED_KMS_KEY]" {
		t.Errorf("its key is %v", got)
	}
}

// TestEvents tells of every change of status once.
func TestEvents(t *testing.T) {
	j := newJournal(t)
	s := serve(t, j)
	s.create("good", pass)
	s.create("bad", fails)
	s.ended(s.begin("good", "g", `{"a":1}`))
	b := s.begin("bad", "b", `{}`)
	s.ended(b)
	s.must("RedriveExecution", object{"executionArn": b})
	s.ended(b)
	want := "g RUNNING, g SUCCEEDED, b RUNNING, b FAILED, b RUNNING, b FAILED"
	told := func(s *service) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		var all []string
		for _, e := range s.events {
			var d struct{ Name, Status string }
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			all = append(all, d.Name+" "+d.Status)
		}
		return strings.Join(all, ", ")
	}
	for begun := time.Now(); told(s) != want; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("told %s\nwant %s", told(s), want)
		}
	}
	s.mu.Lock()
	last := s.events[len(s.events)-1]
	s.mu.Unlock()
	if last.Source != "aws.states" || last.Type != "Step Functions Execution Status Change" || last.Subject != b {
		t.Errorf("event %+v", last)
	}
	var detail map[string]any
	if err := json.Unmarshal(last.Data, &detail); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]any{"executionArn": b, "error": "E", "cause": "c", "output": nil, "redriveStatus": "REDRIVABLE", "redriveCount": 1.0, "input": "{}"} {
		if detail[k] != v {
			t.Errorf("detail.%s is %v, want %v", k, detail[k], v)
		}
	}
	s.stop()
	if again := serve(t, j); told(again) != "" {
		t.Errorf("told again after a restart: %s", told(again))
	}
}

// TestLongEvents leaves out what an event has no room for: the output by itself, the
// input by both.
func TestLongEvents(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("same", pass)
	s.create("short", `{"StartAt":"A","States":{"A":{"Type":"Pass","Result":1,"End":true}}}`)
	const kilo = 1 << 10
	for _, c := range []struct {
		machine string
		length  int
		want    string // whether the input is in, and the output
	}{
		{"same", 100 * kilo, "true true"},
		{"same", 130 * kilo, "false true"},
		{"same", 250 * kilo, "false false"},
		{"short", 240 * kilo, "true true"},
		{"short", 250 * kilo, "false true"},
	} {
		x := s.begin(c.machine, fmt.Sprint(c.machine, c.length), `"`+strings.Repeat("a", c.length)+`"`)
		s.ended(x)
		got := ""
		for begun := time.Now(); got == "" && time.Since(begun) < 2*time.Minute; time.Sleep(5 * time.Millisecond) {
			s.mu.Lock()
			for _, e := range s.events {
				var d struct {
					Status                      string
					Input, Output               *string
					InputDetails, OutputDetails struct{ Included bool }
				}
				if err := json.Unmarshal(e.Data, &d); err != nil {
					t.Fatal(err)
				}
				if e.Subject == x && d.Status == "SUCCEEDED" {
					got = fmt.Sprint(d.InputDetails.Included, " ", d.OutputDetails.Included)
					if (d.Input != nil) != d.InputDetails.Included || (d.Output != nil) != d.OutputDetails.Included {
						t.Errorf("%s: what is told to be in is not: %s", x, got)
					}
				}
			}
			s.mu.Unlock()
		}
		if got != c.want {
			t.Errorf("%s with %d bytes: %s, want %s", c.machine, c.length, got, c.want)
		}
	}
}

// TestUntold tells after a restart what had happened before it.
func TestUntold(t *testing.T) {
	j := newJournal(t)
	s := serve(t, j)
	s.create("m", waits)
	s.stop()
	s = serve(t, j, deaf)
	s.begin("m", "x", "{}")
	s.stop()
	s = serve(t, j)
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.events)
		s.mu.Unlock()
		if n == 1 {
			return
		}
		if n > 1 || time.Since(begun) > 2*time.Minute {
			t.Fatalf("%d events, want 1", n)
		}
	}
}

// TestAliasWeights starts by the weights of an alias.
func TestAliasWeights(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", pass)
	arn := account + "stateMachine:m"
	s.must("PublishStateMachineVersion", object{"stateMachineArn": arn})
	s.must("UpdateStateMachine", object{"stateMachineArn": arn, "definition": fails, "publish": true})
	s.must("CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{
		{"stateMachineVersionArn": arn + ":1", "weight": 80}, {"stateMachineVersionArn": arn + ":2", "weight": 20}}})
	const n = 200
	for i := range n {
		s.begin("m:a", fmt.Sprint("x", i), "{}")
	}
	count := map[string]int{}
	next := any(nil)
	for pages := 0; pages == 0 || next != nil; pages++ {
		out := s.must("ListExecutions", object{"stateMachineArn": arn + ":a", "maxResults": 33, "nextToken": next})
		for _, x := range out["executions"].([]any) {
			count[text(x.(map[string]any)["stateMachineVersionArn"])]++
		}
		next = out["nextToken"]
	}
	// 200 draws at 20 %: fewer than 10 or more than 75 come once in 10^8.
	if a, b := count[arn+":1"], count[arn+":2"]; a+b != n || b < 10 || b > 75 {
		t.Errorf("%d of version 1 and %d of version 2, want %d in all, about 80:20", a, b, n)
	}
}

// TestMachines offers versions and aliases to the executions that begin others.
func TestMachines(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", pass)
	arn := account + "stateMachine:m"
	s.must("PublishStateMachineVersion", object{"stateMachineArn": arn})
	s.must("UpdateStateMachine", object{"stateMachineArn": arn, "definition": fails})
	s.must("CreateStateMachineAlias", object{"name": "a", "routingConfiguration": []object{{"stateMachineVersionArn": arn + ":1", "weight": 100}}})
	all, err := s.api.Machines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := all["m"]
	if string(m.Definition) != fails || m.Version != 0 || m.Alias != "" {
		t.Errorf("m is offered as version %d, alias %q: %s", m.Version, m.Alias, m.Definition)
	}
	for qualifier, alias := range map[string]string{"1": "", "a": "a"} {
		if v, err := m.Qualified(qualifier); err != nil || string(v.Definition) != pass || v.Version != 1 || v.Alias != alias {
			t.Errorf("m:%s is offered as version %d, alias %q: %s, %v", qualifier, v.Version, v.Alias, v.Definition, err)
		}
	}
	for _, qualifier := range []string{"2", "b"} {
		if v, err := m.Qualified(qualifier); !errors.Is(err, orchestrator.ErrNotFound) {
			t.Errorf("m:%s is offered as %+v, %v", qualifier, v, err)
		}
	}
}

// TestHistoryPages reads a history page by page, in both orders.
func TestHistoryPages(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", pass)
	x := s.begin("m", "x", "{}")
	s.ended(x)
	for _, reverse := range []bool{false, true} {
		var ids []string
		next := any(nil)
		for pages := 0; pages == 0 || next != nil; pages++ {
			out := s.must("GetExecutionHistory", object{"executionArn": x, "maxResults": 3, "reverseOrder": reverse, "nextToken": next, "includeExecutionData": false})
			for _, e := range out["events"].([]any) {
				ids = append(ids, text(e.(map[string]any)["id"]))
			}
			if data, _ := json.Marshal(out); strings.Contains(string(data), `"input"`) {
				t.Errorf("there is data in %s", data)
			}
			next = out["nextToken"]
		}
		want := "1 2 3 4"
		if reverse {
			want = "4 3 2 1"
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("reverse %v: events %s, want %s", reverse, got, want)
		}
	}
}

// TestManyStarts starts one execution from many sides.
func TestManyStarts(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", waits)
	var wg sync.WaitGroup
	var mu sync.Mutex
	dates := map[string]bool{}
	for range 16 {
		wg.Go(func() {
			status, out := s.call("StartExecution", object{"stateMachineArn": account + "stateMachine:m", "name": "x", "input": "{}"})
			mu.Lock()
			defer mu.Unlock()
			dates[fmt.Sprint(status, out["startDate"])] = true
		})
	}
	wg.Wait()
	list := s.must("ListExecutions", object{"stateMachineArn": account + "stateMachine:m"})["executions"].([]any)
	if len(dates) != 1 || len(list) != 1 {
		t.Errorf("answers %v and %d executions, want one of each", dates, len(list))
	}
}

// TestLongNames takes names of 80 letters of four bytes each.
func TestLongNames(t *testing.T) {
	s := serve(t, newJournal(t))
	long := strings.Repeat("𝄞", 80)
	s.create(long, pass)
	s.must("CreateActivity", object{"name": long})
	if x := s.ended(s.begin(long, long, "{}")); x["status"] != "SUCCEEDED" || x["name"] != long {
		t.Errorf("%v", x)
	}
}

// TestTimedOut: that the whole execution took too long is told by its history alone,
// after nothing.
func TestTimedOut(t *testing.T) {
	s := serve(t, newJournal(t))
	s.create("m", `{"TimeoutSeconds":1,"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"End":true}}}`)
	arn := s.begin("m", "x", "{}")
	if x := s.ended(arn); x["status"] != "TIMED_OUT" || x["error"] != nil || x["cause"] != nil {
		t.Errorf("%v, want TIMED_OUT without an error", x)
	}
	events := s.must("GetExecutionHistory", object{"executionArn": arn, "reverseOrder": true})["events"].([]any)
	last, _ := json.Marshal(events[0].(map[string]any)["executionTimedOutEventDetails"])
	if previous := events[0].(map[string]any)["previousEventId"]; text(previous) != "0" || string(last) != `{"error":"States.Timeout"}` {
		t.Errorf("the last event follows %v and has %s, want 0 and States.Timeout", previous, last)
	}
}

// TestOnlyPOST refuses what is no call.
func TestOnlyPOST(t *testing.T) {
	s := serve(t, newJournal(t))
	resp, err := http.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("GET / is answered %d, want 404", resp.StatusCode)
	}
}

// TestInputAsGiven: the input of an execution is told as it was written, to the letter;
// its states get the same compact. Who starts it again may write it otherwise.
func TestInputAsGiven(t *testing.T) {
	const (
		wait  = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}`
		input = "{\n  \"b\": 1.50,\t\"a\": \"\\u00e9\", \"a\": [ ]\n}\n"
	)
	j := newJournal(t)
	s := serve(t, j)
	s.create("m", wait)
	s.create("p", pass)
	x, ended := s.begin("m", "x", input), s.begin("p", "y", input)
	if again := s.begin("m", "x", input); again != x {
		t.Errorf("the same once more is %s, want %s", again, x)
	}
	if again := s.begin("m", "x", `{"b":1.50,"a":[]}`); again != x {
		t.Errorf("the same written otherwise is %s, want %s", again, x)
	}
	if status, out := s.call("StartExecution", object{"stateMachineArn": account + "stateMachine:m", "name": "x", "input": `{"b":1.50,"a":[1]}`}); status != 400 || out["__type"] != "ExecutionAlreadyExists" {
		t.Errorf("another input: %d %v, want ExecutionAlreadyExists", status, out)
	}
	if out := s.ended(ended)["output"]; out != `{"b":1.50,"a":[]}` && out != `{"b":1.5,"a":[]}` {
		t.Errorf("the output is %q, want it compact", out)
	}
	told := func(s *service) {
		t.Helper()
		for _, arn := range []string{x, ended} {
			if got := s.must("DescribeExecution", object{"executionArn": arn})["input"]; got != input {
				t.Errorf("%s has the input %q, want %q", arn, got, input)
			}
			first := s.must("GetExecutionHistory", object{"executionArn": arn})["events"].([]any)[0].(map[string]any)
			if got := first["executionStartedEventDetails"].(map[string]any)["input"]; got != input {
				t.Errorf("the history of %s has the input %q, want %q", arn, got, input)
			}
		}
	}
	told(s)
	told(serve(t, j))
}
