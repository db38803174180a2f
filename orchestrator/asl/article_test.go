package asl

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestArticle runs the pipeline of a widely read article, unchanged, in its
// four stories.
func TestArticle(t *testing.T) {
	definition, err := os.ReadFile(shared(t, "pipeline", "article.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	input, err := os.ReadFile(shared(t, "pipeline", "article.input.json"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(definition, "article.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Warnings) > 0 {
		t.Errorf("warnings: %v", m.Warnings)
	}
	good := func() map[string][]Outcome {
		out := map[string][]Outcome{}
		for state, output := range map[string]string{
			"ValidateData":            `{"ExecutedVersion":"$LATEST","Payload":{"IsValid":true},"StatusCode":200}`,
			"PreprocessData":          `{"ProcessingJobStatus":"Completed"}`,
			"TrainModel":              `{"TrainingJobName":"train-2026-11-22","ModelArtifacts":{"S3ModelArtifacts":"s3://ml-data/models/train/output/model.tar.gz"}}`,
			"EvaluateModel":           `{"ExecutedVersion":"$LATEST","Payload":{"PassedThreshold":true,"Metrics":{"accuracy":0.91}},"StatusCode":200}`,
			"RegisterModel":           `{"ExecutedVersion":"$LATEST","Payload":{"Version":1},"StatusCode":200}`,
			"NotifySuccess":           `{"MessageId":"1"}`,
			"NotifyLowQuality":        `{"MessageId":"2"}`,
			"NotifyValidationFailure": `{"MessageId":"3"}`,
			"NotifyFailure":           `{"MessageId":"4"}`,
		} {
			out[state] = []Outcome{{Output: json.RawMessage(output)}}
		}
		return out
	}
	for _, tt := range []struct {
		story  string
		change func(map[string][]Outcome)
		status string
		error  string
		cause  string
		states string
	}{
		{
			story: "invalid data",
			change: func(o map[string][]Outcome) {
				o["ValidateData"][0].Output = json.RawMessage(`{"Payload":{"IsValid":false,"Reason":"no rows"}}`)
			},
			status: StatusSucceeded,
			states: "ValidateData CheckValidation NotifyValidationFailure",
		},
		{
			story: "a validator that fails twice and then for good",
			change: func(o map[string][]Outcome) {
				o["ValidateData"] = slices.Repeat([]Outcome{{Error: "Runtime.ExitError"}}, 4)
			},
			status: StatusSucceeded,
			states: "ValidateData NotifyFailure",
		},
		{
			story: "a failed gate",
			change: func(o map[string][]Outcome) {
				o["EvaluateModel"][0].Output = json.RawMessage(`{"Payload":{"PassedThreshold":false,"Metrics":{"accuracy":0.4}}}`)
			},
			status: StatusSucceeded,
			states: "ValidateData CheckValidation PreprocessData TrainModel EvaluateModel CheckModelQuality NotifyLowQuality",
		},
		{
			story: "a failing trainer",
			change: func(o map[string][]Outcome) {
				o["TrainModel"] = []Outcome{{Error: "States.TaskFailed", Cause: "exit status 1"}}
			},
			status: StatusFailed, error: "States.TaskFailed", cause: "exit status 1",
			states: "ValidateData CheckValidation PreprocessData TrainModel",
		},
		{
			story:  "all well",
			change: func(map[string][]Outcome) {},
			status: StatusFailed, error: ErrRuntime,
			cause: "An error occurred while executing the state 'NotifySuccess' (entered at the event id #33). The JSONPath '$.TrainingResult.TrainingJobName' " +
				`specified for the field 'TrainingJobName.$' could not be found in the input '{"ExecutedVersion":"$LATEST","Payload":{"Version":1},"StatusCode":200}'`,
			states: "ValidateData CheckValidation PreprocessData TrainModel EvaluateModel CheckModelQuality RegisterModel NotifySuccess",
		},
	} {
		t.Run(tt.story, func(t *testing.T) {
			outcomes := good()
			tt.change(outcomes)
			now := start
			turn := Start(m, info(), input, Env{Now: now})
			history := turn.Events
			step := func(next Turn) {
				turn = next
				turn.State = roundTrip(t, turn.State)
				history = append(history, turn.Events...)
			}
			for turn.Status == StatusRunning {
				if len(turn.Effects) == 0 {
					now = turn.Wake
					step(m.Tick(turn.State, Env{Now: now}))
					continue
				}
				e := turn.Effects[0]
				now = now.Add(time.Minute)
				if strings.HasSuffix(e.Resource, ".sync") {
					step(m.Submitted(turn.State, e.ID, json.RawMessage(`{}`), Env{Now: now}))
				}
				o := outcomes[e.State][0]
				outcomes[e.State] = outcomes[e.State][1:]
				step(m.Resolve(turn.State, e.ID, o, Env{Now: now}))
			}
			if turn.Status != tt.status || turn.Error != tt.error || turn.Cause != tt.cause {
				t.Errorf("got %s %s %s\nwant %s %s %s", turn.Status, turn.Error, turn.Cause, tt.status, tt.error, tt.cause)
			}
			var states []string
			for _, e := range history {
				if e.StateEntered != nil {
					states = append(states, e.StateEntered.Name)
				}
			}
			if got := strings.Join(states, " "); got != tt.states {
				t.Errorf("states %s\nwant   %s", got, tt.states)
			}
			if tt.story == "all well" {
				r, ok := Succeeded(history, "RegisterModel")
				if want := `{"FunctionName":"arn:aws:lambda:us-east-1:123456789:function:RegisterModel","Payload":{"ModelArtifact":"s3://ml-data/models/train/output/model.tar.gz","Metrics":{"accuracy":0.91}}}`; !ok || string(r.Parameters) != want {
					t.Errorf("parameters of RegisterModel: %s\nwant %s", r.Parameters, want)
				}
				if want := `{"ExecutedVersion":"$LATEST","Payload":{"Version":1},"StatusCode":200}`; string(r.Output) != want || !r.Exited.Equal(now) {
					t.Errorf("RegisterModel gave %s at %v, want %s", r.Output, r.Exited, want)
				}
				if _, ok := Succeeded(history, "NotifySuccess"); ok {
					t.Error("NotifySuccess succeeded, though it never began")
				}
			}
		})
	}
}

func TestResources(t *testing.T) {
	m, err := Parse([]byte(`{"StartAt": "A", "States": {
  "A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Payload.$": "$.x"}, "Next": "B"},
  "B": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
    "Parameters": {"AppSpecification": {"ImageUri.$": "$.image"}}, "Next": "C"},
  "C": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:g", "InputPath": "$.y", "End": true}}}`), "x.json")
	if err != nil {
		t.Fatal(err)
	}
	r := m.Resources()
	if len(r) != 3 || r[1].State != "B" || r[1].Line != 3 || r[1].Column != 37 {
		t.Fatalf("resources: %+v", r)
	}
	for _, tt := range []struct {
		resource int
		keys     []string
		text     string
		expr     string
		line     int
		ok       bool
	}{
		{0, []string{"FunctionName"}, "f", "", 2, true},
		{0, []string{"Payload", "deep"}, "", "$.x", 2, true},
		{0, []string{"TopicArn"}, "", "", 0, false},
		{1, []string{"AppSpecification", "ImageUri"}, "", "$.image", 4, true},
		{2, []string{"FunctionName"}, "", "$.y", 0, true},
	} {
		p, ok := r[tt.resource].Parameter(tt.keys...)
		if ok != tt.ok || p.Text != tt.text || p.Expr != tt.expr || p.Line != tt.line {
			t.Errorf("%s %v: %+v, %v; want text %q, expr %q, line %d, %v", r[tt.resource].State, tt.keys, p, ok, tt.text, tt.expr, tt.line, tt.ok)
		}
	}
}

// What belongs to one visit of a state is found among that of others.
func TestSucceededBesideOthers(t *testing.T) {
	m := machine(t, `{"StartAt": "Each", "States": {"Each": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "Train", "States": {
		"Train": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"of.$": "$"}, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "End"}], "Next": "End"},
		"End": {"Type": "Pass", "End": true}}}}}}`)
	turn := Start(m, info(), json.RawMessage(`["a", "b", "c"]`), Env{Now: start})
	history, effects := turn.Events, turn.Effects
	for _, i := range []int{2, 0, 1} {
		o := Outcome{Output: effects[i].Input}
		if i == 1 {
			o = Outcome{Error: "E"}
		}
		turn = m.Resolve(turn.State, effects[i].ID, o, Env{Now: start})
		history = append(history, turn.Events...)
	}
	r, ok := Succeeded(history, "Train")
	if want := `{"of":"a"}`; !ok || string(r.Parameters) != want || string(r.Output) != want || string(r.Input) != `"a"` {
		t.Errorf("got %s from %s with %s, %v; want the visit of a", r.Output, r.Input, r.Parameters, ok)
	}
	if rs := m.Resources(); len(rs) != 1 || rs[0].State != "Train" || m.Type("End") != TypePass {
		t.Errorf("resources %+v", rs)
	}
}
