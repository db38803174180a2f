package flow_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/integrations"
)

// services are those of AWS; nothing is known of functions.
func services(resource string, parameters *flow.Shape) flow.Service {
	return integrations.Of(resource, parameters, nil)
}

// shared is a folder of the test data that is kept beside the repository.
func shared(t testing.TB, elements ...string) string {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("no shared test data: %v", err)
		}
		t.Skipf("no shared test data: %v", err)
	}
	return path
}

// A recording is one execution that AWS recorded.
type recording struct {
	Name, Area, Kind string
	Definition       json.RawMessage
	Input            json.RawMessage
	Expected         struct {
		Status, Error string
		Cause         json.RawMessage
		Output        json.RawMessage
	}
}

func recordings(t *testing.T) []recording {
	dir := shared(t, "conformance", "asl")
	var all []recording
	add := func(data []byte) {
		var kind struct{ Kind string }
		if err := json.Unmarshal(data, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind != "execution" {
			return
		}
		var r recording
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(data)
	}
	f, err := os.Open(filepath.Join(dir, "choice-operators", "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		add(lines.Bytes())
	}
	return all
}

// built are the problems without what is refused because it is not built.
func built(problems asl.Problems) asl.Problems {
	return slices.DeleteFunc(problems, func(p asl.Problem) bool { return strings.Contains(p.Message, "not built yet") })
}

// unlike are executions that ended otherwise than they would have to, and why.
var unlike = map[string]string{
	"task_service_lambda_raise_exception_catch_output_path_no_such_path": "the path is read only if the function succeeds, and it never does",
}

// TestRecordedExecutions checks the definition of every execution that AWS
// recorded, with its input. What succeeded there has no error; of what failed
// for its data the reason is known before.
func TestRecordedExecutions(t *testing.T) {
	succeeded, failed, predicted := 0, 0, 0
	for _, r := range recordings(t) {
		o := flow.Options{Services: services, Strict: true}
		if input, err := value.Parse(r.Input); err == nil && len(r.Input) > 0 {
			o.Input = flow.Exactly(input)
		}
		if why, ok := unlike[r.Name]; ok {
			t.Logf("%s: %s", r.Name, why)
			continue
		}
		errors := built(flow.Check(r.Definition, "case.asl.json", o).Errors())
		switch {
		case r.Expected.Status == asl.StatusSucceeded:
			succeeded++
			if len(errors) > 0 {
				t.Errorf("%s/%s succeeded on AWS:\n%v", r.Area, r.Name, errors)
			}
			if errors := built(flow.Check(r.Definition, "case.asl.json", flow.Options{Services: services, Strict: true}).Errors()); len(errors) > 0 {
				t.Errorf("%s/%s succeeded on AWS, with any input:\n%v", r.Area, r.Name, errors)
			}
		case r.Expected.Error == asl.ErrRuntime || r.Expected.Error == "States.ParameterPathFailure" || r.Expected.Error == asl.ErrResultPathMatchFailure || r.Expected.Error == asl.ErrIntrinsicFailure:
			failed++
			if len(errors) > 0 {
				predicted++
			} else {
				t.Logf("%s/%s failed on AWS: %.200s", r.Area, r.Name, r.Expected.Cause)
			}
		default:
			if len(errors) > 0 {
				t.Logf("%s/%s ended %s %s: %v", r.Area, r.Name, r.Expected.Status, r.Expected.Error, errors)
			}
		}
	}
	t.Logf("%d executions that succeeded have no error; of %d that failed for their data, %d are predicted", succeeded, failed, predicted)
}

// TestLate checks what is grave by itself, and what only where it is asked for.
func TestLate(t *testing.T) {
	for _, tt := range []struct {
		name, state     string
		lenient, strict int // errors
	}{
		{"a member of a list", `"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}}, "ResultSelector": {"a.$": "$.b"}`, 0, 1},
		{"a member of a result", `"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": {"QueueUrl": "u", "MessageBody": "m"}, "ResultSelector": {"a.$": "$.b"}`, 0, 1},
		{"a member in JSONata", `"Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::sqs:sendMessage", "Arguments": {"QueueUrl": "u", "MessageBody": "m"}, "Output": "{% $states.result.b %}"`, 0, 1},
		{"an argument", `"Type": "Pass", "Parameters": {"a.$": "States.ArrayLength(1)"}`, 0, 1},
		{"a value that the service refuses", `"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": {"TopicArn": "t", "Message": "m"}`, 0, 1},
		{"a parameter that there is not", `"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Mesage": "m"}`, 1, 1},
		{"an action that there is not", `"Type": "Task", "Resource": "arn:aws:states:::sns:publsh", "Parameters": {}`, 1, 1},
	} {
		definition := []byte(`{"StartAt": "S", "States": {"S": {"End": true, ` + tt.state + `}}}`)
		for strict, want := range map[bool]int{false: tt.lenient, true: tt.strict} {
			found := flow.Check(definition, "f.json", flow.Options{Services: services, Strict: strict})
			if len(found) != 1 || len(found.Errors()) != want {
				t.Errorf("%s, strict %v: %d errors; want 1 problem, %d errors:\n%v", tt.name, strict, len(found.Errors()), want, found)
			}
		}
	}
}
