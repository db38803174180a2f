package sfnapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A recordedTest is one TestState call that AWS recorded.
type recordedTest struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`
	Recorded string         `json:"recorded"`
	Request  map[string]any `json:"request"`
	Expected struct {
		Response map[string]any `json:"response"`
		Error    *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"expected"`
	Volatile []struct {
		Placeholder string `json:"placeholder"`
	} `json:"volatile"`
}

// TestRecordedStates makes each recorded call of TestState.
func TestRecordedStates(t *testing.T) {
	s := serve(t, newJournal(t))
	files, _ := filepath.Glob(filepath.Join(shared(t, "conformance", "asl", "test-state"), "*.json"))
	ran, agreed := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var r recordedTest
		if err := d.Decode(&r); err != nil || r.Kind != "test_state" {
			continue
		}
		if strings.HasPrefix(r.Name, "test_state_scenarios_base_lambda_") && r.Expected.Error == nil {
			continue // it calls a function whose answer is not part of the recording
		}
		ran++
		if t.Run(r.Name, func(t *testing.T) { r.run(t, s) }) {
			agreed++
		}
	}
	t.Logf("%d of %d", agreed, ran)
}

func (r *recordedTest) run(t *testing.T, s *service) {
	var raw struct {
		Request struct {
			Definition json.RawMessage `json:"definition"`
		} `json:"request"`
	}
	data, _ := os.ReadFile(filepath.Join(shared(t, "conformance", "asl", "test-state"), r.Name+".json"))
	if json.Unmarshal(data, &raw) == nil && len(raw.Request.Definition) > 0 && raw.Request.Definition[0] == '{' {
		r.Request["definition"] = string(raw.Request.Definition)
	}
	status, out := s.call("TestState", r.Request)
	c := &comparer{bound: map[string]string{}, words: map[string]bool{}, recorded: r.Recorded}
	for _, v := range r.Volatile {
		c.words[v.Placeholder] = true
	}
	if e := r.Expected.Error; e != nil {
		if status != 400 || out["__type"] != e.Code || out["message"] != e.Message {
			t.Fatalf("got %d %v\nwant %s %s", status, out, e.Code, e.Message)
		}
		return
	}
	if status != 200 {
		t.Fatalf("%d %v\nfor %v", status, out, r.Request)
	}
	want := r.Expected.Response
	delete(want, "ResponseMetadata")
	got := c.normal("", out).(map[string]any)
	c.same("response", loose(got), loose(want))
	if len(c.differences) > 0 {
		t.Logf("request %.1500v", r.Request)
	}
	for _, d := range c.differences {
		t.Error(d)
	}
}

// loose has text that is JSON as what it says, as the recordings differ in
// whether it is.
func loose(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = loose(x)
		}
	case []any:
		for i, x := range v {
			v[i] = loose(x)
		}
	case string:
		if len(v) > 0 && slices.Contains([]byte(`{["`), v[0]) {
			var x any
			d := json.NewDecoder(bytes.NewReader([]byte(v)))
			d.UseNumber()
			if d.Decode(&x) == nil {
				return x
			}
		}
	}
	return v
}

// TestStateRules reads as what a call of TestState is answered with.
func TestStateRules(t *testing.T) {
	s := serve(t, newJournal(t))
	const (
		task = `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"End":true,
			"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":2,"MaxAttempts":2,"BackoffRate":3}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}]}`
		unfit = `{"QueryLanguage":"JSONata","Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":"{% $states.input.none %}","End":true,
			"Retry":[{"ErrorEquals":["States.QueryEvaluationError"],"IntervalSeconds":3},{"ErrorEquals":["E"]}]}`
		token = `{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","Parameters":{"QueueUrl":"q","MessageBody.$":"$$.Task.Token"},"End":true}`
	)
	fails := func(output object, retries any) object {
		return object{"definition": task, "mock": object{"errorOutput": output}, "inspectionLevel": "DEBUG", "stateConfiguration": object{"retrierRetryCount": retries}}
	}
	branches := func(from string) object {
		conf := object{}
		if from != "" {
			conf["errorCausedByState"] = from
		}
		return object{"definition": `{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}],"End":true,
			"Retry":[{"ErrorEquals":["F"]},{"ErrorEquals":["States.BranchFailed"],"IntervalSeconds":4}]}`,
			"mock": object{"errorOutput": object{"error": "E"}}, "inspectionLevel": "DEBUG", "stateConfiguration": conf}
	}
	for _, c := range []struct {
		params object
		want   string // the code and the message, or the status, the output and what comes next
	}{
		{object{"context": `{}`}, "ValidationException: TestState does not support Context when a mock is not specified."},
		{object{"stateConfiguration": object{"retrierRetryCount": 0}}, "ValidationException: TestState does not support RetrierRetryCount when a mock is not specified."},
		{object{"stateConfiguration": object{"mapItemReaderData": "[]"}}, "ValidationException: TestState does not support MapItemReaderData when a mock is not specified."},
		{object{"roleArn": "r"}, "InvalidArn: Invalid Role Arn: 'r'"},
		{object{"input": "{"}, "InvalidExecutionInput: Invalid State Machine Execution Input: 'Unexpected end-of-input: expected close marker for Object (start marker at [Source: (String)\"{\"; line: 1, column: 1])'"},
		{object{"variables": "[1]"}, "ValidationException: Variables must be a JSON object"},
		{object{"definition": task, "mock": object{"result": "{"}}, "ValidationException: Mocked result must be valid JSON."},
		{object{"definition": task, "mock": object{}}, "ValidationException: A test mock should have only one of the following fields: [result, errorOutput]."},
		{object{"definition": token, "roleArn": role}, "ValidationException: TestState does not support this integration when a mock is not specified."},
		{object{"definition": token, "mock": object{"result": "1"}, "context": `{"Task":{"Token":"mine"}}`, "inspectionLevel": "DEBUG"}, `SUCCEEDED 1 {"QueueUrl":"q","MessageBody":"mine"}`},
		{object{"definition": `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":100000,"End":true}}}`, "stateName": "A"}, "SUCCEEDED {}"},
		{fails(object{"error": "E"}, 0), "RETRIABLE after 2"},
		{fails(object{"error": "E"}, 1), "RETRIABLE after 6"},
		{fails(object{"error": "E"}, 2), `CAUGHT_ERROR {"Error":"E","Cause":""} to C`},
		{object{"definition": unfit, "mock": object{"result": "{}"}, "inspectionLevel": "DEBUG"}, "RETRIABLE after 3"},
		{object{"definition": unfit, "mock": object{"result": "{}"}, "inspectionLevel": "DEBUG", "stateConfiguration": object{"retrierRetryCount": 1}}, "RETRIABLE after 6"},
		{fails(object{"cause": "why"}, nil), `CAUGHT_ERROR {"Error":"","Cause":"why"} to C`},
		{object{"definition": `{"Type":"Pass","QueryLanguage":"JSONata","Output":{"v":"{% $states.input.none %}"},"End":true}`},
			"FAILED The JSONata expression '$states.input.none' specified for the field 'Output/v' returned nothing (undefined)."},
		{object{"definition": `{"Type":"Pass","Parameters":{"v.$":"$.none"},"End":true}`},
			"FAILED The JSONPath '$.none' specified for the field 'v.$' could not be found in the input '{}'"},
		{branches(""), "FAILED"},
		{branches("A"), "RETRIABLE after 4 by 1"},
		{branches("B"), "ValidationException: State not found in definition"},
	} {
		params := object{"definition": `{"Type":"Pass","End":true}`}
		maps.Copy(params, c.params)
		_, out := s.call("TestState", params)
		got := fmt.Sprintf("%v: %v", out["__type"], out["message"])
		if out["__type"] == nil {
			got = text(out["status"])
			data, _ := out["inspectionData"].(map[string]any)
			details, _ := data["errorDetails"].(map[string]any)
			for before, v := range map[string]any{" ": out["output"], " after ": details["retryBackoffIntervalSeconds"]} {
				if v != nil {
					got += before + text(v)
				}
			}
			if cause := text(out["cause"]); got == "FAILED" && strings.HasPrefix(cause, "The ") {
				got += " " + cause
			}
			if strings.Contains(c.want, "QueueUrl") {
				got += " " + text(data["afterParameters"])
			}
			if i := details["retryIndex"]; i != nil && text(i) != "0" {
				got += " by " + text(i)
			}
			if out["nextState"] != nil {
				got += " to " + text(out["nextState"])
			}
		}
		if got != c.want {
			t.Errorf("%v\n got %s\nwant %s", c.params, got, c.want)
		}
	}
}

// TestStateInspection reads as what is told of the steps of a state.
func TestStateInspection(t *testing.T) {
	s := serve(t, newJournal(t))
	const inner = `"ItemProcessor":{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}},"End":true}`
	for _, c := range []struct{ definition, want string }{
		{`{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"a.$":"$.none"},"End":true}`, "afterInputPath input"},
		{`{"QueryLanguage":"JSONata","Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":"{% $states.input.none %}","End":true}`, "input"},
		{`{"QueryLanguage":"JSONata","Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":{},"End":true}`, "afterArguments input result"},
		{`{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"v.$":"$$.Map.Item.Value","all.$":"$.l"},` + inner,
			`afterInputPath afterItemSelector=[{"v":1,"all":[1,2]},{"v":2,"all":[1,2]}] afterItemsPath afterResultPath afterResultSelector input maxConcurrency`},
		{`{"QueryLanguage":"JSONata","Type":"Map","Items":"{% $states.input.l %}","ItemSelector":{"i":"{% $states.context.Map.Item.Index %}"},` + inner,
			`afterItemSelector=[{"i":0},{"i":1}] input maxConcurrency`},
	} {
		result := "{}"
		if strings.Contains(c.definition, `"Map"`) {
			result = "[1,2]"
		}
		_, out := s.call("TestState", object{"definition": c.definition, "mock": object{"result": result}, "inspectionLevel": "DEBUG", "input": `{"l":[1,2]}`})
		data, _ := out["inspectionData"].(map[string]any)
		var told []string
		for _, name := range slices.Sorted(maps.Keys(data)) {
			if name == "afterItemSelector" {
				name += "=" + text(data[name])
			}
			told = append(told, name)
		}
		if got := strings.Join(told, " "); got != c.want {
			t.Errorf("%s\n got %s of %v\nwant %s", c.definition, got, out, c.want)
		}
	}
}

// TestStateInspectionValues reads as what one step of a state is told to be.
func TestStateInspectionValues(t *testing.T) {
	s := serve(t, newJournal(t))
	const (
		many = `"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}},"End":true}`
		read = `{"Type":"Map","ItemReader":{"Resource":"arn:aws:states:::s3:getObject","Parameters":{"Bucket":"b","Key":"k"},"ReaderConfig":`
		task = `{"QueryLanguage":"JSONata","Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":{"FunctionName":"f","Payload":"{% $states.context.State.RetryCount %}"},
			"Retry":[{"ErrorEquals":["E"],"MaxAttempts":3}],"Assign":{"a":"{% $b + 1 %}"},"Catch":[{"ErrorEquals":["F"],"Next":"C","Assign":{"why":"{% $states.errorOutput.Error %}"}}],"End":true}`
	)
	const selected = `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"ResultSelector":{"p.$":"$.Payload"},"ResultPath":"$.n.x","End":true,
		"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"C"}]}`
	for _, c := range []struct {
		definition string
		params     object
		field      string
		want       string
	}{
		{`{"Type":"Map","ItemsPath":"$.l","ItemBatcher":{"MaxItemsPerBatch":2,"BatchInput":{"n.$":"$.n"}},` + many, object{},
			"afterItemBatcher", `[{"BatchInput":{"n":7},"Items":[1,2]},{"BatchInput":{"n":7},"Items":[3]}]`},
		{`{"Type":"Map","ItemsPath":"$.l","ItemBatcher":{"MaxItemsPerBatchPath":"$.most"},"ItemSelector":{"i.$":"$$.Map.Item.Index"},` + many, object{},
			"afterItemBatcher", `[{"Items":[{"i":0}]},{"Items":[{"i":1}]},{"Items":[{"i":2}]}]`},
		{`{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"s.$":"$$.Map.Item.Source"},` + many, object{},
			"afterItemSelector", `[{"s":"STATE_DATA"},{"s":"STATE_DATA"},{"s":"STATE_DATA"}]`},
		{`{"Type":"Map","ItemsPath":"$.l","ItemBatcher":{"MaxItemsPerBatchPath":"$.none"},` + many, object{}, "afterItemBatcher", `<nil>`},
		{`{"Type":"Map","ItemsPath":"$.l",` + many, object{}, "afterItemBatcher", `<nil>`},
		{read + `{"InputType":"JSON","ItemsPointer":"/x/y"}},` + many, object{"stateConfiguration": object{"mapItemReaderData": `{"x":{"y":[1,{"z":2}]}}`}},
			"afterItemsPointer", `[1,{"z":2}]`},
		{read + `{"InputType":"JSON","ItemsPointer":"/none"}},` + many, object{"stateConfiguration": object{"mapItemReaderData": `{"x":{"y":[1]}}`}},
			"afterItemsPointer", `<nil>`},
		{read + `{"InputType":"JSON","ItemsPointer":"/x"}},` + many, object{}, "afterItemsPointer", `<nil>`},
		{read + `{"InputType":"CSV","CSVHeaderLocation":"FIRST_ROW","MaxItems":1}},"ItemSelector":{"v.$":"$$.Map.Item.Value.a"},` + many,
			object{"stateConfiguration": object{"mapItemReaderData": "a,b\n1,2\n3,4\n"}}, "afterItemSelector", `[{"v":"1"}]`},
		{read + `{"InputType":"JSONL"}},"ItemBatcher":{"MaxItemsPerBatch":5},` + many,
			object{"stateConfiguration": object{"mapItemReaderData": "{\"a\":1}\n{\"a\":2}\n"}}, "afterItemBatcher", `[{"Items":[{"a":1},{"a":2}]}]`},
		{`{"Type":"Map","ItemsPath":"$.l","ToleratedFailureCountPath":"$.n",` + many, object{}, "toleratedFailureCount", `7`},
		{`{"Type":"Map","ItemsPath":"$.l","MaxConcurrencyPath":"$.n",` + many, object{}, "maxConcurrency", `7`},
		{task, object{"stateConfiguration": object{"retrierRetryCount": 2}}, "afterArguments", `{"FunctionName":"f","Payload":2}`},
		{`{"Type":"Task","InputPath":"$.n","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload":{"in.$":"$","n.$":"$$.State.RetryCount"}},"End":true}`,
			object{"context": `{"State":{"RetryCount":5}}`, "stateConfiguration": object{"retrierRetryCount": 0}}, "afterParameters", `{"FunctionName":"f","Payload":{"in":7,"n":5}}`},
		{task, object{}, "afterArguments", `{"FunctionName":"f","Payload":0}`},
		{selected, object{"mock": object{"result": `{"Payload":1,"StatusCode":200}`}}, "result", `{"Payload":1,"StatusCode":200}`},
		{selected, object{"mock": object{"result": `{"Payload":1,"StatusCode":200}`}}, "afterResultSelector", `{"p":1}`},
		{selected, object{"mock": object{"result": `{"Payload":1,"StatusCode":200}`}}, "afterResultPath", `<nil>`},
		{selected, object{"mock": object{"errorOutput": object{"error": "E"}}}, "result", `<nil>`},
		{task, object{}, "variables", `{"a":3,"b":2}`},
		{task, object{"mock": object{"errorOutput": object{"error": "F"}}}, "variables", `{"b":2,"why":"F"}`},
		{task, object{"mock": object{"errorOutput": object{"error": "F"}}}, "errorDetails", `{"catchIndex":0}`},
		{`{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"a.$":"$.none"},"End":true,"Catch":[{"ErrorEquals":["E"],"Next":"A"},
			{"ErrorEquals":["States.ParameterPathFailure"],"Next":"B"}]}`, object{}, "errorDetails", `{"catchIndex":1}`},
		{task, object{"mock": object{"errorOutput": object{"error": "E"}}, "stateConfiguration": object{"retrierRetryCount": 2}},
			"errorDetails", `{"retryBackoffIntervalSeconds":4,"retryIndex":0}`},
		{task, object{"mock": object{"errorOutput": object{"error": "E"}}}, "variables", `{"b":2}`},
		{`{"Type":"Pass","Assign":{"b":5},"End":true}`, object{"mock": nil}, "variables", `{"b":5}`},
	} {
		params := object{"definition": c.definition, "mock": object{"result": "{}"}, "inspectionLevel": "DEBUG",
			"input": `{"l":[1,2,3],"n":7,"most":1}`, "variables": `{"b":2}`}
		if strings.Contains(c.definition, `"Map"`) {
			params["mock"] = object{"result": "[]"}
		}
		maps.Copy(params, c.params)
		for name, v := range params {
			if v == nil {
				delete(params, name)
			}
		}
		_, out := s.call("TestState", params)
		data, _ := out["inspectionData"].(map[string]any)
		got := "<nil>"
		switch v := data[c.field].(type) {
		case nil:
		case map[string]any:
			b, _ := json.Marshal(v)
			got = string(b)
		default:
			got = text(v)
		}
		if got != c.want {
			t.Errorf("%s\n%s is %s of %v\nwant %s", c.definition, c.field, got, out, c.want)
		}
	}
}
